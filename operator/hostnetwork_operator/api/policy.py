"""HostNetworkExceptionPolicy: how the cluster is governed. Cluster-scoped; only the object named `default` counts."""

import enum
from typing import Annotated, Any, Literal

from pydantic import Field

from hostnetwork_operator.api import fields, labels, meta
from hostnetwork_operator.api.conditions import Condition

KIND = "HostNetworkExceptionPolicy"
PLURAL = "hostnetworkexceptionpolicies"
NAME = "default"
EXEMPT_BY_DEFAULT = ("kube-system", "kube-public", "kube-node-lease")


class Mode(enum.StrEnum):
    ENFORCE = "Enforce"
    AUDIT = "Audit"
    RELEASE = "Release"  # not Off, which YAML reads as false


class Rollout(enum.StrEnum):
    GATED = "Gated"
    IMMEDIATE = "Immediate"


class ImageDigests(enum.StrEnum):
    WARN = "Warn"
    REQUIRE = "Require"


def _default(value: Any) -> dict[str, Any]:
    return {"default": value}


_ENFORCED = "which the admission policies enforce whatever is set here"


def _ceiling(name: str, ceiling: str, why: str = _ENFORCED) -> dict[str, Any]:
    return fields.rule(
        f"!has(self.{name}) || !self.{name}.matches('^([0-9]{{1,5}}(h|m|s|ms)){{1,4}}$')"
        f" || duration(self.{name}) <= duration('{ceiling}')",
        f"must be no more than {ceiling}, {why}",
        got=f"self.{name}",
        path=f".{name}",
    )


class PodSecurity(fields.Model):
    """The Pod Security Admission labels that governed namespaces carry."""

    enforce: labels.Level = Field(labels.Level.BASELINE, description="The target: enforced where nothing is granted.")
    audit: labels.Level = Field(labels.Level.RESTRICTED, description="Violations of it are written to the audit log.")
    warn: labels.Level = Field(labels.Level.RESTRICTED, description="Violations of it are told to whoever applies.")
    version: str = Field(
        "latest",
        max_length=16,
        description="Which version of the Pod Security Standards: latest, or one such as v1.36.",
        json_schema_extra=fields.rules(
            fields.form("^(latest|v1[.][0-9]{1,3})$", "version must be latest or a minor version such as v1.36")
        ),
    )


class LabelSelectorRequirement(fields.Model):
    """One condition on a label."""

    key: str = Field(min_length=1, max_length=317, description="The label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How values are compared.")
    values: tuple[Annotated[str, Field(max_length=63)], ...] = Field(
        (), max_length=64, description="For In and NotIn.", json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )


class LabelSelector(fields.Model):
    """A selector of namespaces by their labels, as everywhere in Kubernetes. An empty selector selects all."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, description="All of these.", json_schema_extra={"maxProperties": 64}
    )
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(
        (), max_length=64, description="And all of these.", json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )

    def matches(self, present: dict[str, str]) -> bool:
        """Return whether the selector selects an object with these labels."""
        if any(present.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(_holds(requirement, present) for requirement in self.match_expressions)


def _holds(requirement: LabelSelectorRequirement, present: dict[str, str]) -> bool:
    value = present.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":  # also true if the label is absent, as in Kubernetes
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


class NamespaceRule(fields.Model):
    """How the selected namespaces differ; what is absent here is the value of the policy."""

    selector: LabelSelector = Field(description="Which namespaces.")
    mode: Literal[Mode.ENFORCE, Mode.AUDIT] | None = Field(None, description="Enforce or Audit.")
    enforce: labels.Level | None = Field(
        None,
        description="The target there. privileged: a namespace kept for such workloads; exceptions are still needed.",
    )
    rollout: Rollout | None = Field(None, description="Gated or Immediate.")


class MaxDuration(fields.Model):
    """How long an exception may last, from its creation to its expiry."""

    model_config = {"json_schema_extra": fields.rules(_ceiling("Diagnostic", "24h"), _ceiling("Application", "2160h"))}

    diagnostic: fields.Duration = fields.duration(
        "24h", alias="Diagnostic", description="For type Diagnostic; at most 24h."
    )
    application: fields.Duration = fields.duration(
        "2160h", alias="Application", description="For type Application; at most 2160h."
    )


class WarnBefore(fields.Model):
    """How long before its expiry an exception is Expiring, by type."""

    diagnostic: fields.Duration = fields.duration("30m", alias="Diagnostic", description="For type Diagnostic.")
    application: fields.Duration = fields.duration(
        "168h", alias="Application", description="For type Application, and for Infrastructure with an expiry."
    )


class Exceptions(fields.Model):
    """What exceptions must be like."""

    model_config = {"json_schema_extra": fields.rules(_ceiling("trustAtInstall", "10m", "it is for an installation"))}

    max_duration: MaxDuration = Field(
        MaxDuration(), description="The longest life of an exception by type.", json_schema_extra=_default({})
    )
    warn_before: WarnBefore = Field(
        WarnBefore(),
        description="How long before its expiry an exception is Expiring, by type.",
        json_schema_extra=_default({}),
    )
    review_every: fields.Duration = fields.duration(
        "4320h", description="How long after its creation or review.time an Infrastructure exception is ReviewDue."
    )
    review_on_upgrade: bool = Field(
        True,
        description="Whether Infrastructure is ReviewDue when the cluster's minor version is newer than its"
        " review.kubernetesVersion.",
    )
    image_digests: ImageDigests = Field(
        ImageDigests.WARN, description="Require: an exception whose images are not all pinned by digest is Invalid."
    )
    unused_after: fields.Duration = fields.duration(
        "720h", description="How long without a covered pod until an exception is Unused."
    )
    trust_at_install: fields.Duration | None = Field(
        None,
        description="For a cluster without tenants yet. An exception that was created this long before or after this"
        " object, and never changed, counts as approved, also where the admission policies came later. At most 10m;"
        " absent: off.",
    )


class PolicySpec(fields.Model):
    """How namespaces are governed."""

    model_config = {"json_schema_extra": fields.rules(_ceiling("restoreGrace", "24h", "it is for a restore"))}

    mode: Mode = Field(
        description="Enforce: namespaces get PSA levels and host-namespace pods need exceptions. Audit: everything is"
        " judged and shown, nothing is refused, and the levels that stood before are written back. Release: every"
        " namespace is as if exempt, whatever rules say, and what was written into it is taken back: the way off."
    )
    pod_security: PodSecurity = Field(
        PodSecurity(), description="The levels of governed namespaces.", json_schema_extra=_default({})
    )
    rollout: Rollout = Field(
        Rollout.GATED,
        description="Gated: a namespace is enforced only when that refuses nothing that lives there; until then it is"
        " Held. Immediate: at once.",
    )
    restore_grace: fields.Duration = fields.duration(
        "15m",
        description="How long after its creation a namespace that comes into being Held is left alone: a restored"
        " backup, whose pods come later. Then it is looked at like any other. At most 24h.",
    )
    rules: tuple[NamespaceRule, ...] = Field(
        (),
        max_length=64,
        description="Differences for some namespaces; the first that selects a namespace counts.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    exempt_namespaces: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = Field(
        EXEMPT_BY_DEFAULT,
        max_length=256,
        description="Nothing is written into these and nothing is refused there; their pods are judged and shown.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    exceptions: Exceptions = Field(
        Exceptions(), description="What exceptions must be like.", json_schema_extra=_default({})
    )


class NamespaceCounts(fields.Model):
    """How many namespaces have which enforcement, and how many are relaxed."""

    deny: int = Field(0, ge=0, description="Enforced.")
    held: int = Field(0, ge=0, description="To be enforced, but it would refuse something that lives there.")
    audit: int = Field(0, ge=0, description="Judged and shown only.")
    exempt: int = Field(0, ge=0, description="Exempt by this policy.")
    relaxed: int = Field(0, ge=0, description="Enforced, but at privileged because a grant is in force.")


class PodCounts(fields.Model):
    """How many host-namespace pods have which verdict. Pods in exempt namespaces count too."""

    covered: int = Field(0, ge=0, description="An exception in force covers it.")
    uncovered: int = Field(0, ge=0, description="No exception covers it.")
    expired: int = Field(0, ge=0, description="The exception that covered it has ended.")
    static: int = Field(0, ge=0, description="A static pod of a node.")


class WorkloadCounts(fields.Model):
    """How many workloads lack pods, because the API server refuses pods with host namespaces."""

    refused: int = Field(0, ge=0, description="No exception in force covers the pods of their templates.")


class LedgerCounts(fields.Model):
    """The operator's ledger, which is in ConfigMaps of namespace hostnetwork-system."""

    id: str = Field("", max_length=64, description="Which ledger: it is another one after a loss.")
    exceptions: int = Field(0, ge=0, description="Exceptions that are recorded as approved.")
    namespaces: int = Field(0, ge=0, description="Namespaces whose levels are recorded.")
    unproven: int = Field(0, ge=0, description="Exceptions whose grants stay although their approval is not proved.")
    levels_unknown: int = Field(0, ge=0, description="Enforced namespaces whose level before enforcement is not known.")


class PolicyStatus(fields.Model):
    """What the operator made of it."""

    observed_generation: int | None = Field(None, ge=0, description="The metadata.generation that is acted on.")
    conditions: tuple[Condition, ...] = Field(
        (),
        max_length=16,
        description="Ready: whether this object is what is acted on.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    namespaces: NamespaceCounts | None = Field(None, description="Namespaces by how they stand.")
    pods: PodCounts | None = Field(None, description="Host-namespace pods by verdict.")
    workloads: WorkloadCounts | None = Field(None, description="Workloads in enforced namespaces that lack pods.")
    ledger: LedgerCounts | None = Field(None, description="What the operator has recorded.")


class HostNetworkExceptionPolicy(fields.Model):
    """How the cluster is governed. Without one nothing new is enforced or relaxed, and what stands stays."""

    model_config = {
        "json_schema_extra": fields.rules(
            fields.rule(
                f"self.metadata.name == '{NAME}'",
                f"metadata.name must be {NAME}, no other policy counts; rename it",
                got="self.metadata.name",
            )
        )
    }

    metadata: meta.ObjectMeta
    spec: PolicySpec
    status: PolicyStatus = Field(PolicyStatus(), description="What the operator made of it.")
