"""HostNetworkException: the object that allows the pods of one service account to use host namespaces until it ends."""

import datetime
import enum
from typing import Annotated, Any

from pydantic import Field

from hostnetwork_operator.api import fields, grant, labels, meta
from hostnetwork_operator.api.conditions import Condition

KIND = "HostNetworkException"
PLURAL = "hostnetworkexceptions"
# The fields that an approver decided about. A change of one of them needs a new exception.
IMMUTABLE = (
    "type",
    "component",
    "serviceAccountName",
    "hostNamespaces",
    "images",
    "capabilities",
    "privileged",
    "hostPaths",
    "hostPorts",
    "podSecurityLevel",
)
_SEPARATORS = "spaces or |"


class ExceptionType(enum.StrEnum):
    INFRASTRUCTURE = "Infrastructure"
    DIAGNOSTIC = "Diagnostic"
    APPLICATION = "Application"


class Component(enum.StrEnum):
    NETWORK_PLUGIN = "NetworkPlugin"
    KUBE_PROXY = "KubeProxy"
    METRICS_EXPORTER = "MetricsExporter"
    INGRESS_CONTROLLER = "IngressController"
    DNS_CACHE = "DNSCache"
    STORAGE_DRIVER = "StorageDriver"
    SECURITY_SENSOR = "SecuritySensor"
    LOAD_BALANCER = "LoadBalancer"
    NODE_AGENT = "NodeAgent"
    OTHER = "Other"


class OnExpiry(enum.StrEnum):
    DELETE = "Delete"
    REPORT = "Report"


Image = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        json_schema_extra=fields.rules(
            fields.form(
                r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*([:@][*])?$",
                "image must be written exactly as in the pod, such as registry.example.com/netshoot@sha256:…, or for"
                " any tag or digest of a repository as registry.example.com/agent:* or registry.example.com/agent@*",
            ),
            fields.rule(
                "!self.endsWith('*')"
                " || !self.substring(0, self.size() - 2).matches('(@|:[A-Za-z0-9_][A-Za-z0-9._-]*$)')",
                "image must name a repository without tag and digest before :* or @*; remove the tag or digest",
                got="self",
            ),
        ),
    ),
]
Capability = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        json_schema_extra=fields.rules(
            fields.form(
                "^[A-Za-z][A-Za-z0-9_]*$",
                "capability must be written letter by letter as the pod writes it, such as NET_ADMIN",
            ),
        ),
    ),
]


class HostPath(fields.Model):
    """A directory of the node that covered pods may mount, with everything below it."""

    path: str = Field(
        min_length=1,
        max_length=512,
        description="A prefix by path segment: /var/lib allows /var/lib/kubelet, not /var/library.",
        json_schema_extra=fields.rules(
            fields.form(
                r"^/[^ |\\\\]*$",
                f"path must begin with / and must not hold {_SEPARATORS} or a backslash; "
                "a path of a Windows node is written without its drive, /var/log for C:/var/log",
            ),
            fields.rule(
                "!('..' in self.split('/'))", "path must not hold .. segments; name the directory itself", got="self"
            ),
            fields.visible("path"),
        ),
    )
    read_only: bool = Field(
        True,
        description="Whether every mount of it must be readOnly, and the volume of no type that writes "
        "(DirectoryOrCreate, FileOrCreate, Socket). false allows writing to the node's disk.",
    )


class Review(fields.Model):
    """The last review: a person has checked that the exception is still needed."""

    time: fields.Time | None = Field(None, description="When it was reviewed.")
    kubernetes_version: str | None = Field(
        None,
        max_length=16,
        description="The minor version of Kubernetes it was reviewed for, such as 1.36.",
        json_schema_extra=fields.rules(
            fields.form("^1[.][0-9]{1,3}$", "kubernetesVersion must be a minor version such as 1.36")
        ),
    )


def _required_unless_infrastructure(name: str, what: str) -> dict[str, Any]:
    return fields.rule(
        f"self.type == 'Infrastructure' || has(self.{name})",
        f"required for types Diagnostic and Application; {what}",
        path=f".{name}",
        reason="FieldValueRequired",
    )


def _immutable(name: str) -> dict[str, Any]:
    return fields.rule(
        f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        f"{name} cannot change after creation, it is what was approved; write a new exception under another name",
        path=f".{name}",
        reason="FieldValueForbidden",
    )


_SPEC_RULES = fields.rules(
    _required_unless_infrastructure("ticket", "name the ticket that asks for this, such as INC-4711"),
    _required_unless_infrastructure("expiry", "say when it ends, such as 2026-11-22T16:00:00Z (date -u +%FT%TZ)"),
    _required_unless_infrastructure("images", "list every image of the pod exactly as the pod names it"),
    fields.rule(
        "self.type == 'Infrastructure' || !has(self.images) || !self.images.exists(i, i.endsWith('*'))",
        "any tag or digest of a repository is for type Infrastructure only; list every image exactly as the pod names"
        " the image",
        path=".images",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "self.type != 'Diagnostic' || !has(self.hostNamespaces) || self.hostNamespaces.size() > 0",
        "an exception without host namespaces is for types Infrastructure and Application only; name the host"
        " namespaces of the pod, or set another type",
        path=".hostNamespaces",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "!has(self.hostPorts) || !self.hostPorts || has(self.hostNamespaces) && self.hostNamespaces.size() == 0",
        "hostPorts is for pods without host namespaces, host ports come with Network; remove hostPorts or set"
        " hostNamespaces: []",
        path=".hostPorts",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "self.type != 'Infrastructure' || has(self.serviceAccountName)",
        "required for type Infrastructure; name the service account of the agent",
        path=".serviceAccountName",
        reason="FieldValueRequired",
    ),
    fields.rule(
        "self.type == 'Infrastructure' || !has(self.component)",
        "component is for type Infrastructure only; remove it or set type: Infrastructure",
        path=".component",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "self.type == 'Diagnostic' || !has(self.onExpiry)",
        "onExpiry is for type Diagnostic only, pods of other types are never deleted; remove it",
        path=".onExpiry",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "!(has(self.privileged) && self.privileged"
        " && has(self.podSecurityLevel) && self.podSecurityLevel == 'restricted')",
        "a privileged container cannot meet restricted, which forbids privilege escalation; set podSecurityLevel:"
        " baseline, or no privileged",
        path=".podSecurityLevel",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "!has(self.namespace)",
        "an exception is for the namespace that it is in; remove spec.namespace and set metadata.namespace",
        path=".namespace",
        reason="FieldValueForbidden",
    ),
    *(_immutable(name) for name in IMMUTABLE),
)


class ExceptionSpec(fields.Model):
    """Who needs host namespaces, why, for which pods and until when.

    After creation only expiry, owner, contact, reason, ticket, review, onExpiry and gracePeriodSeconds can change.
    """

    model_config = {"json_schema_extra": _SPEC_RULES}

    type: ExceptionType = Field(
        description="Infrastructure: agents of the cluster, may be permanent. Diagnostic: at most 24h, its pods are"
        " deleted when it ends. Application: at most 2160h (90 days), its pods are flagged when it ends."
    )
    component: Component | None = Field(
        None, description="What kind of agent; type Infrastructure only, absent means Other."
    )
    owner: fields.PlainLine = Field(
        min_length=1, max_length=253, description="The team or person who answers for these pods."
    )
    contact: fields.PlainLine | None = Field(
        None, min_length=1, max_length=253, description="How to reach the owner: an address, a channel."
    )
    reason: fields.PlainLine = Field(
        min_length=10,
        max_length=1024,
        description="Why the pods cannot do without, in a sentence that an auditor understands.",
    )
    ticket: fields.PlainLine | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="The ticket that asks for this; required unless type is Infrastructure.",
    )
    expiry: fields.Time | None = Field(
        None,
        description="When it ends, in UTC to the second, such as 2026-11-22T16:00:00Z. From that second the API server"
        " admits nothing under it. Required unless type is Infrastructure. To revoke, set it to now.",
    )
    service_account_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="The service account that the pods run as; absent means default. Everybody who may create pods"
        " with it in this namespace can use this exception, so give such workloads one of their own.",
        json_schema_extra=fields.rules(
            fields.form("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "serviceAccountName must be the name of a service account")
        ),
    )
    host_namespaces: tuple[labels.HostNamespace, ...] = Field(
        (labels.HostNamespace.NETWORK,),
        max_length=3,
        description="Which namespaces of the node the pods may share; a pod may use fewer. [] is for pods that share"
        " none and need hostPaths, hostPorts, capabilities or privileged; types Infrastructure and Application only.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    images: tuple[Image, ...] | None = Field(
        None,
        min_length=1,
        max_length=grant.MAX_IMAGES,
        description="Every container's image must be one of these exact strings. Required for Diagnostic and"
        " Application; absent allows any image. For Infrastructure NAME:* allows any tag of exactly this repository,"
        " NAME@* any digest.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    capabilities: tuple[Capability, ...] = Field(
        (),
        max_length=41,
        description="Linux capabilities that containers may add beyond what podSecurityLevel allows, letter by letter"
        " as the pod writes them. What a privileged container adds needs no naming.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    privileged: bool = Field(False, description="Whether containers may be privileged: root on the node.")
    host_paths: tuple[HostPath, ...] = Field(
        (),
        max_length=32,
        description="Directories of the node that the pods may mount.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
    )
    host_ports: bool = Field(
        False, description="Whether containers may take ports of the node; for pods without host namespaces only."
    )
    pod_security_level: labels.Level = Field(
        labels.Level.BASELINE,
        description="The Pod Security Standards level that the pods must still meet apart from what is named here.",
    )
    on_expiry: OnExpiry | None = Field(
        None,
        description="Diagnostic only. Delete (the default): the pods are deleted at the expiry. Report: flagged only.",
    )
    grace_period_seconds: int = Field(
        30, ge=0, le=300, description="How many seconds the pods get to stop when they are deleted at the expiry."
    )
    review: Review | None = Field(None, description="The last review by a person.")
    namespace: str | None = Field(
        None, max_length=63, description="Always refused: an exception is for the namespace that it is in."
    )

    @property
    def service_account(self) -> str:
        return self.service_account_name or "default"

    @property
    def until(self) -> datetime.datetime:
        """The expiry; for an exception without expiry, the end of the year 9999."""
        return self.expiry or grant.ENDLESS

    @property
    def deletes(self) -> bool:
        """Whether the operator deletes the covered pods at the expiry."""
        return self.type is ExceptionType.DIAGNOSTIC and self.on_expiry is not OnExpiry.REPORT


class ExceptionStatus(fields.Model):
    """What the operator saw; nobody else can write it."""

    observed_generation: int | None = Field(None, ge=0, description="The metadata.generation that was last judged.")
    namespace_uid: str | None = Field(
        None,
        serialization_alias="namespaceUID",
        validation_alias="namespaceUID",
        max_length=64,
        description="The incarnation of the namespace in which it was approved; it is worth nothing in another.",
    )
    conditions: tuple[Condition, ...] = Field(
        (),
        max_length=16,
        description="Ready: whether it is in force, and why not. InUse: whether a pod is covered by it now."
        " Expiring: whether it ends soon. ReviewDue: whether a person is to look at it again (Infrastructure)."
        " CleanedUp: whether its pods are gone after its expiry.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    covered_pods: int | None = Field(None, ge=0, description="How many pods are covered by it now.")
    sample_pods: tuple[Annotated[str, Field(max_length=253)], ...] = Field(
        (),
        max_length=10,
        description="Names of up to 10 of them.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    last_used_time: fields.Time | None = Field(None, description="When the last covered pod went.")


class HostNetworkException(fields.Model):
    """Allows the pods of one service account in this namespace to share namespaces of their node, until it ends.

    A pod must be covered by one exception as a whole; two never add up. Writing one needs the verb "approve".
    """

    model_config = {
        "json_schema_extra": fields.rules(
            fields.rule(
                "self.metadata.name.size() <= 63",
                "metadata.name must be no more than 63 characters, it becomes part of an annotation key; shorten it",
                got="self.metadata.name",
            ),
            fields.rule(
                "!has(oldSelf.status) || !has(oldSelf.status.conditions)"
                " || !oldSelf.status.conditions.exists(c, c.type == 'Ready' && c.reason == 'Expired')"
                " || !has(oldSelf.spec.expiry) || (has(self.spec.expiry) && self.spec.expiry == oldSelf.spec.expiry)",
                "expiry cannot move once it has passed, pods are being cleaned up; write a new exception",
                path=".spec.expiry",
                reason="FieldValueForbidden",
            ),
        )
    }

    metadata: meta.ObjectMeta
    spec: ExceptionSpec
    status: ExceptionStatus = Field(ExceptionStatus(), description="What the operator saw; nobody else can write it.")
