"""HostNetworkException: allows the pods of one service account to use host namespaces until its expiry."""

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
                " any tag or digest of a repository as registry.example.com/agent:* or registry.example.com/agent@*;"
                " copy the image from the pod",
            ),
            fields.rule(
                "!self.endsWith('*')"
                " || !self.substring(0, self.size() - 2).matches('(@|:[A-Za-z0-9_][A-Za-z0-9._-]*$)')",
                "image must have no tag and no digest before :* or @*; remove the tag or digest",
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
                "capability must be the name of a capability exactly as in the pod, such as NET_ADMIN; copy the name"
                " from the pod",
            ),
        ),
    ),
]


class HostPath(fields.Model):
    """HostPath is a file or directory of the node that covered pods may mount, with everything below it."""

    path: str = Field(
        min_length=1,
        max_length=512,
        description="path is an absolute path on the node, of at most 512 characters. It allows the path itself and"
        " every path below it: /var/lib allows /var/lib/kubelet, but not /var/library. For a Windows node, omit the"
        " drive: /var/log for C:/var/log.",
        json_schema_extra=fields.rules(
            fields.form(
                r"^/[^ |\\\\]*$",
                f"path must begin with / and must not contain {_SEPARATORS} or a backslash; "
                "for a Windows node, omit the drive: /var/log for C:/var/log",
            ),
            fields.rule(
                "!('..' in self.split('/'))",
                "path must not contain the segment ..; write the path of the directory itself",
                got="self",
            ),
            fields.visible("path"),
        ),
    )
    read_only: bool = Field(
        True,
        description="readOnly says whether pods may only read the path. If true, every mount of the path must be"
        " readOnly, and the volume must not have a type that writes (DirectoryOrCreate, FileOrCreate, Socket). If"
        " false, pods may write to the disk of the node. Defaults to true.",
    )


class Review(fields.Model):
    """Review records that a person has checked that the exception is still needed."""

    time: fields.Time | None = Field(None, description="time is the time of the last review.")
    kubernetes_version: str | None = Field(
        None,
        max_length=16,
        description="kubernetesVersion is the minor version of Kubernetes at the last review, such as 1.36.",
        json_schema_extra=fields.rules(
            fields.form("^1[.][0-9]{1,3}$", "kubernetesVersion must be a minor version of Kubernetes, such as 1.36")
        ),
    )


def _required_unless_infrastructure(name: str, what: str) -> dict[str, Any]:
    return fields.rule(
        f"self.type == 'Infrastructure' || has(self.{name})",
        f"{name} is required for types Diagnostic and Application; {what}",
        path=f".{name}",
        reason="FieldValueRequired",
    )


def _immutable(name: str) -> dict[str, Any]:
    return fields.rule(
        f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        f"{name} cannot change after creation, because the value was approved; create a new exception with another"
        " name",
        path=f".{name}",
        reason="FieldValueForbidden",
    )


_SPEC_RULES = fields.rules(
    _required_unless_infrastructure("ticket", "set the ticket that requests the exception, such as INC-4711"),
    _required_unless_infrastructure(
        "expiry", "set the end of the exception, such as 2026-11-22T16:00:00Z (date -u +%FT%TZ)"
    ),
    _required_unless_infrastructure("images", "list every image exactly as in the pod"),
    fields.rule(
        "self.type == 'Infrastructure' || !has(self.images) || !self.images.exists(i, i.endsWith('*'))",
        "an image that ends with :* or @* is allowed for type Infrastructure only; list every image exactly as in the"
        " pod",
        path=".images",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "self.type != 'Diagnostic' || !has(self.hostNamespaces) || self.hostNamespaces.size() > 0",
        "an empty list is allowed for types Infrastructure and Application only; list the host namespaces of the pod,"
        " or set another type",
        path=".hostNamespaces",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "!has(self.hostPorts) || !self.hostPorts || has(self.hostNamespaces) && self.hostNamespaces.size() == 0",
        "hostPorts is allowed only for pods without host namespaces, because Network includes host ports; remove"
        " hostPorts, or set hostNamespaces: []",
        path=".hostPorts",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "self.type != 'Infrastructure' || has(self.serviceAccountName)",
        "serviceAccountName is required for type Infrastructure; set the service account of the agent",
        path=".serviceAccountName",
        reason="FieldValueRequired",
    ),
    fields.rule(
        "self.type == 'Infrastructure' || !has(self.component)",
        "component is allowed for type Infrastructure only; remove component, or set type: Infrastructure",
        path=".component",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "self.type == 'Diagnostic' || !has(self.onExpiry)",
        "onExpiry is allowed for type Diagnostic only, because pods of other types are never deleted; remove onExpiry",
        path=".onExpiry",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "!(has(self.privileged) && self.privileged"
        " && has(self.podSecurityLevel) && self.podSecurityLevel == 'restricted')",
        "podSecurityLevel restricted is not allowed with privileged: true, because restricted forbids privilege"
        " escalation; set podSecurityLevel: baseline, or remove privileged",
        path=".podSecurityLevel",
        reason="FieldValueForbidden",
    ),
    fields.rule(
        "!has(self.namespace)",
        "an exception applies to its own namespace only; remove spec.namespace and set metadata.namespace",
        path=".namespace",
        reason="FieldValueForbidden",
    ),
    *(_immutable(name) for name in IMMUTABLE),
)


class ExceptionSpec(fields.Model):
    """The specification of an exception: which pods may use host namespaces, why, who is responsible, and until when.

    After creation only expiry, owner, contact, reason, ticket, review, onExpiry and gracePeriodSeconds can change.
    """

    model_config = {"json_schema_extra": _SPEC_RULES}

    type: ExceptionType = Field(
        description="type is the kind of use. Infrastructure is for agents of the cluster and may have no expiry."
        " Diagnostic is for at most 24h after creation; the operator deletes its pods at the expiry. Application is for"
        " at most 2160h (90 days) after creation; the operator labels its pods at the expiry and does not delete them."
        " exceptions.maxDuration of the HostNetworkExceptionPolicy can set shorter limits."
    )
    component: Component | None = Field(
        None, description="component is the kind of agent. Only for type Infrastructure; absent means Other."
    )
    owner: fields.PlainLine = Field(
        min_length=1,
        max_length=253,
        description="owner is the team or person who is responsible for the pods. 1 to 253 characters.",
    )
    contact: fields.PlainLine | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="contact is how to reach the owner, such as an e-mail address or a chat channel. At most 253"
        " characters.",
    )
    reason: fields.PlainLine = Field(
        min_length=10,
        max_length=1024,
        description="reason is why the pods need what the exception allows, in a sentence for an auditor. 10 to 1024"
        " characters.",
    )
    ticket: fields.PlainLine | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="ticket is the ticket that requests the exception, such as INC-4711. Required for types Diagnostic"
        " and Application. At most 128 characters.",
    )
    expiry: fields.Time | None = Field(
        None,
        description="expiry is the time at which the exception ends, in UTC to the second, such as"
        " 2026-11-22T16:00:00Z. From that second on, the API server admits no pod under the exception. Required for"
        " types Diagnostic and Application. To revoke the exception, set expiry to the current time. An expiry that has"
        " passed cannot change.",
    )
    service_account_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="serviceAccountName is the service account of the pods. Required for type Infrastructure; absent"
        " means default. Every user who may create pods with this service account in the namespace can use the"
        " exception, so give the workload a service account of its own.",
        json_schema_extra=fields.rules(
            fields.form(
                "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
                "serviceAccountName must be a valid name of a service account, such as node-agent",
            )
        ),
    )
    host_namespaces: tuple[labels.HostNamespace, ...] = Field(
        (labels.HostNamespace.NETWORK,),
        max_length=3,
        description="hostNamespaces are the namespaces of the node that the pods may share: Network, PID, IPC. A pod"
        " may share fewer. Defaults to [Network]. An empty list is for pods that share no host namespace and need"
        " hostPaths, hostPorts, capabilities or privileged; it is allowed for types Infrastructure and Application"
        " only.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    images: tuple[Image, ...] | None = Field(
        None,
        min_length=1,
        max_length=grant.MAX_IMAGES,
        description="images are the images that the containers of the pods may use, each exactly as in the pod."
        " Required for types Diagnostic and Application; absent allows any image. For type Infrastructure, NAME:*"
        f" allows any tag of the repository NAME, and NAME@* allows any digest. At most {grant.MAX_IMAGES} entries.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    capabilities: tuple[Capability, ...] = Field(
        (),
        max_length=41,
        description="capabilities are the Linux capabilities that containers may add beyond those that podSecurityLevel"
        " allows, each exactly as in the pod, such as NET_ADMIN. Capabilities that a privileged container adds need no"
        " entry. At most 41 entries.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    privileged: bool = Field(
        False,
        description="privileged says whether containers may be privileged. A privileged container has root rights on"
        " the node. Defaults to false.",
    )
    host_paths: tuple[HostPath, ...] = Field(
        (),
        max_length=32,
        description="hostPaths are the paths of the node that the pods may mount. At most 32 entries.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
    )
    host_ports: bool = Field(
        False,
        description="hostPorts says whether containers may use ports of the node (hostPort). Only allowed if"
        " hostNamespaces is empty, because pods with Network can use every port of the node. Defaults to false.",
    )
    pod_security_level: labels.Level = Field(
        labels.Level.BASELINE,
        description="podSecurityLevel is the level of the Pod Security Standards that the pods must meet, except for"
        " what this exception allows: privileged, baseline or restricted. Defaults to baseline.",
    )
    on_expiry: OnExpiry | None = Field(
        None,
        description="onExpiry is what the operator does with the pods at the expiry. Delete: the operator deletes the"
        " pods. Report: the operator only labels the pods. Only for type Diagnostic; absent means Delete.",
    )
    grace_period_seconds: int = Field(
        30,
        ge=0,
        le=300,
        description="gracePeriodSeconds is the time in seconds that the pods have to stop when the operator deletes"
        " them at the expiry. 0 to 300, defaults to 30.",
    )
    review: Review | None = Field(None, description="review is the last review of the exception by a person.")
    namespace: str | None = Field(
        None,
        max_length=63,
        description="namespace must not be set: an exception applies to its own namespace (metadata.namespace).",
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
    """ExceptionStatus is what the operator observed. Only the operator can write it."""

    observed_generation: int | None = Field(
        None, ge=0, description="observedGeneration is the metadata.generation that the operator last evaluated."
    )
    namespace_uid: str | None = Field(
        None,
        serialization_alias="namespaceUID",
        validation_alias="namespaceUID",
        max_length=64,
        description="namespaceUID is the uid of the namespace in which the exception was approved. In another namespace"
        " of the same name the exception is not approved.",
    )
    conditions: tuple[Condition, ...] = Field(
        (),
        max_length=16,
        description="conditions are the latest observations about the exception. Ready: whether the exception is in"
        " force, and if not, why. InUse: whether the exception covers a pod now. Expiring: whether the exception ends"
        " soon. ReviewDue: whether a person must review the exception (type Infrastructure). CleanedUp: whether all its"
        " pods have ended after the expiry.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    covered_pods: int | None = Field(
        None, ge=0, description="coveredPods is the number of pods that the exception covers now."
    )
    sample_pods: tuple[Annotated[str, Field(max_length=253)], ...] = Field(
        (),
        max_length=10,
        description="samplePods are the names of up to 10 of the covered pods.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    last_used_time: fields.Time | None = Field(
        None, description="lastUsedTime is the time at which the last covered pod ended."
    )


class HostNetworkException(fields.Model):
    """HostNetworkException allows pods of one service account in its namespace to use host namespaces until its expiry.

    One exception must cover the whole pod; two exceptions are never combined. To create an exception or change its
    spec, a user needs the cluster-wide verb "approve" on hostnetworkexceptions.
    """

    model_config = {
        "json_schema_extra": fields.rules(
            fields.rule(
                "self.metadata.name.size() <= 63",
                "metadata.name must have at most 63 characters, as it is part of an annotation key; shorten the name",
                got="self.metadata.name",
            ),
            fields.rule(
                "!has(oldSelf.status) || !has(oldSelf.status.conditions)"
                " || !oldSelf.status.conditions.exists(c, c.type == 'Ready' && c.reason == 'Expired')"
                " || !has(oldSelf.spec.expiry) || (has(self.spec.expiry) && self.spec.expiry == oldSelf.spec.expiry)",
                "expiry cannot change after it has passed, because the pods are being cleaned up; create a new"
                " exception",
                path=".spec.expiry",
                reason="FieldValueForbidden",
            ),
        )
    }

    metadata: meta.ObjectMeta
    spec: ExceptionSpec
    status: ExceptionStatus = Field(
        ExceptionStatus(), description="status is what the operator observed. Only the operator can write it."
    )
