"""HostNetworkExceptionPolicy: how the operator governs namespaces. Cluster-scoped; only the name `default` is valid."""

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


_ENFORCED = "because the admission policies refuse a later expiry"


def _ceiling(name: str, ceiling: str, why: str = _ENFORCED) -> dict[str, Any]:
    return fields.rule(
        f"!has(self.{name}) || !self.{name}.matches('^([0-9]{{1,5}}(h|m|s|ms)){{1,4}}$')"
        f" || duration(self.{name}) <= duration('{ceiling}')",
        f"{name} must be at most {ceiling}, {why}; set a shorter duration",
        got=f"self.{name}",
        path=f".{name}",
    )


class PodSecurity(fields.Model):
    """PodSecurity has the levels that the operator writes as Pod Security Admission labels on governed namespaces."""

    enforce: labels.Level = Field(
        labels.Level.BASELINE,
        description="enforce is the target: the level that Pod Security Admission enforces in a namespace without"
        " grants. Defaults to baseline.",
    )
    audit: labels.Level = Field(
        labels.Level.RESTRICTED,
        description="audit is the level whose violations are written to the audit log. Defaults to restricted.",
    )
    warn: labels.Level = Field(
        labels.Level.RESTRICTED,
        description="warn is the level whose violations are shown as warnings to the user who sends the request."
        " Defaults to restricted.",
    )
    version: str = Field(
        "latest",
        max_length=16,
        description="version is the version of the Pod Security Standards for all three levels: latest, or a minor"
        " version such as v1.36. Defaults to latest.",
        json_schema_extra=fields.rules(
            fields.form("^(latest|v1[.][0-9]{1,3})$", "version must be latest or a minor version such as v1.36")
        ),
    )


class LabelSelectorRequirement(fields.Model):
    """LabelSelectorRequirement is one condition on a label."""

    key: str = Field(min_length=1, max_length=317, description="key is the label key that the requirement applies to.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="operator is how the label is compared with values: In, NotIn, Exists or DoesNotExist."
    )
    values: tuple[Annotated[str, Field(max_length=63)], ...] = Field(
        (),
        max_length=64,
        description="values are the values for the operators In and NotIn. Must be empty for Exists and DoesNotExist.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class LabelSelector(fields.Model):
    """LabelSelector selects namespaces by their labels, as elsewhere in Kubernetes. An empty selector selects all."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        description="matchLabels are labels that a namespace must have, all of them, with these values.",
        json_schema_extra={"maxProperties": 64},
    )
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(
        (),
        max_length=64,
        description="matchExpressions are requirements that a namespace must meet, all of them, besides matchLabels.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
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
    """Rule overrides settings of the policy for some namespaces. A field that is absent has the value of the policy."""

    selector: LabelSelector = Field(description="selector selects the namespaces of this rule by their labels.")
    mode: Literal[Mode.ENFORCE, Mode.AUDIT] | None = Field(
        None, description="mode is the mode of these namespaces: Enforce or Audit."
    )
    enforce: labels.Level | None = Field(
        None,
        description="enforce is the target of these namespaces. privileged is for namespaces reserved for privileged"
        " workloads; their host-namespace pods still need exceptions.",
    )
    rollout: Rollout | None = Field(None, description="rollout is the rollout of these namespaces: Gated or Immediate.")


class MaxDuration(fields.Model):
    """MaxDuration is the longest time from the creation of an exception to its expiry, by type."""

    model_config = {"json_schema_extra": fields.rules(_ceiling("Diagnostic", "24h"), _ceiling("Application", "2160h"))}

    diagnostic: fields.Duration = fields.duration(
        "24h",
        alias="Diagnostic",
        description="Diagnostic is the longest duration for type Diagnostic, such as 8h or 1h30m. At most 24h,"
        " defaults to 24h.",
    )
    application: fields.Duration = fields.duration(
        "2160h",
        alias="Application",
        description="Application is the longest duration for type Application, such as 720h. At most 2160h, defaults"
        " to 2160h.",
    )


class WarnBefore(fields.Model):
    """WarnBefore is how long before its expiry an exception gets the condition Expiring, by type."""

    diagnostic: fields.Duration = fields.duration(
        "30m", alias="Diagnostic", description="Diagnostic is the time for type Diagnostic. Defaults to 30m."
    )
    application: fields.Duration = fields.duration(
        "168h",
        alias="Application",
        description="Application is the time for type Application, and for type Infrastructure with an expiry."
        " Defaults to 168h.",
    )


class Exceptions(fields.Model):
    """Exceptions has the rules for all exceptions of the cluster."""

    model_config = {
        "json_schema_extra": fields.rules(
            _ceiling("trustAtInstall", "10m", "because it is for the time of an installation")
        )
    }

    max_duration: MaxDuration = Field(
        MaxDuration(),
        description="maxDuration is the longest time from the creation of an exception to its expiry, by type.",
        json_schema_extra=_default({}),
    )
    warn_before: WarnBefore = Field(
        WarnBefore(),
        description="warnBefore is how long before its expiry an exception gets the condition Expiring, by type.",
        json_schema_extra=_default({}),
    )
    review_every: fields.Duration = fields.duration(
        "4320h",
        description="reviewEvery is the time after which an Infrastructure exception gets the condition ReviewDue,"
        " from its review.time, or from its creation if it was never reviewed. Defaults to 4320h (180 days).",
    )
    review_on_upgrade: bool = Field(
        True,
        description="reviewOnUpgrade says whether an Infrastructure exception also gets the condition ReviewDue when"
        " the minor version of the cluster is newer than its review.kubernetesVersion. Defaults to true.",
    )
    image_digests: ImageDigests = Field(
        ImageDigests.WARN,
        description="imageDigests says what happens to an exception whose images are not all pinned by digest. Warn:"
        " the operator reports the finding ImageNotPinned. Require: the exception is Invalid. Defaults to Warn.",
    )
    unused_after: fields.Duration = fields.duration(
        "720h",
        description="unusedAfter is how long an exception covers no pod until the operator reports the finding Unused."
        " Defaults to 720h (30 days).",
    )
    trust_at_install: fields.Duration | None = Field(
        None,
        description="trustAtInstall is for the installation in a cluster that has no tenants yet. An exception that"
        " was created at most this long before or after this object, and never changed, counts as approved, even if"
        " the admission policies were installed later. At most 10m; absent means that no exception counts as approved"
        " in this way.",
    )


class PolicySpec(fields.Model):
    """The specification of the policy: how the operator governs namespaces."""

    model_config = {
        "json_schema_extra": fields.rules(_ceiling("restoreGrace", "24h", "because it is for the time of a restore"))
    }

    mode: Mode = Field(
        description="mode is what the operator does in namespaces that are not exempt, unless a rule has another mode."
        " Enforce: the operator writes Pod Security levels, and host-namespace pods need exceptions. Audit: the"
        " operator evaluates and reports everything, nothing is refused, and the operator restores the levels that"
        " namespaces had before. Release: the operator treats every namespace as exempt, whatever rules say, and"
        " removes everything that it wrote; use Release before an uninstallation."
    )
    pod_security: PodSecurity = Field(
        PodSecurity(),
        description="podSecurity has the Pod Security levels of governed namespaces.",
        json_schema_extra=_default({}),
    )
    rollout: Rollout = Field(
        Rollout.GATED,
        description="rollout is when a namespace is enforced. Gated: when enforcement would refuse nothing that exists"
        " in the namespace; until then the namespace is Held. Immediate: without that check. Defaults to Gated.",
    )
    restore_grace: fields.Duration = fields.duration(
        "15m",
        description="restoreGrace is how long the operator waits before it checks a namespace that was created with"
        " enforcement Held, as a restored backup is, because its pods are created later. The time counts from the"
        " creation of the namespace. At most 24h, defaults to 15m.",
    )
    rules: tuple[NamespaceRule, ...] = Field(
        (),
        max_length=64,
        description="rules override settings of this policy for some namespaces. If several rules select a namespace,"
        " the first one applies. At most 64 rules.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    exempt_namespaces: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = Field(
        EXEMPT_BY_DEFAULT,
        max_length=256,
        description="exemptNamespaces are names of namespaces that the operator does not govern: it writes nothing"
        " into them, its admission policies refuse no pod there, and their pods are still evaluated and reported."
        " Defaults to kube-system, kube-public and kube-node-lease.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    exceptions: Exceptions = Field(
        Exceptions(),
        description="exceptions has the rules for all exceptions of the cluster.",
        json_schema_extra=_default({}),
    )


class NamespaceCounts(fields.Model):
    """NamespaceCounts is the number of namespaces by enforcement, and of relaxed namespaces."""

    deny: int = Field(0, ge=0, description="deny is the number of enforced namespaces.")
    held: int = Field(
        0,
        ge=0,
        description="held is the number of namespaces that are not enforced yet, because enforcement would refuse"
        " something that exists in them.",
    )
    audit: int = Field(0, ge=0, description="audit is the number of namespaces that are only evaluated and reported.")
    exempt: int = Field(0, ge=0, description="exempt is the number of namespaces that this policy exempts.")
    relaxed: int = Field(
        0,
        ge=0,
        description="relaxed is the number of enforced namespaces whose level is privileged because a grant is in"
        " force.",
    )


class PodCounts(fields.Model):
    """PodCounts is the number of host-namespace pods by verdict. Pods in exempt namespaces count too."""

    covered: int = Field(0, ge=0, description="covered is the number of pods that an exception in force covers.")
    uncovered: int = Field(0, ge=0, description="uncovered is the number of pods that no exception covers.")
    expired: int = Field(0, ge=0, description="expired is the number of pods whose exception has expired.")
    static: int = Field(0, ge=0, description="static is the number of static pods of nodes.")


class WorkloadCounts(fields.Model):
    """WorkloadCounts is the number of workloads that lack pods because the API server refuses them."""

    refused: int = Field(
        0,
        ge=0,
        description="refused is the number of workloads that lack pods because no exception in force covers the pods"
        " of their templates.",
    )


class LedgerCounts(fields.Model):
    """LedgerCounts describes the operator's ledger, which is stored in ConfigMaps of namespace hostnetwork-system."""

    id: str = Field("", max_length=64, description="id identifies the ledger. It changes if the ledger was lost.")
    exceptions: int = Field(
        0, ge=0, description="exceptions is the number of exceptions that are recorded as approved."
    )
    namespaces: int = Field(0, ge=0, description="namespaces is the number of namespaces whose levels are recorded.")
    unproven: int = Field(
        0,
        ge=0,
        description="unproven is the number of exceptions whose grants stay although their approval is not proved,"
        " after a loss of the ledger.",
    )
    levels_unknown: int = Field(
        0,
        ge=0,
        description="levelsUnknown is the number of enforced namespaces whose level before enforcement is not known.",
    )


class PolicyStatus(fields.Model):
    """PolicyStatus is what the operator observed. Only the operator can write it."""

    observed_generation: int | None = Field(
        None, ge=0, description="observedGeneration is the metadata.generation that is in effect."
    )
    conditions: tuple[Condition, ...] = Field(
        (),
        max_length=16,
        description="conditions are the latest observations about the policy. Ready: whether this version of the"
        " object is in effect. Guarded: whether the admission policies are in place. LedgerIntact: whether the ledger"
        " is complete and can be written. ClockSynchronized: whether the operator is certain about the time."
        " Contested: whether another client reverts what the operator writes on a namespace.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    namespaces: NamespaceCounts | None = Field(
        None, description="namespaces is the number of namespaces by enforcement."
    )
    pods: PodCounts | None = Field(None, description="pods is the number of host-namespace pods by verdict.")
    workloads: WorkloadCounts | None = Field(
        None, description="workloads is the number of workloads in enforced namespaces that lack pods."
    )
    ledger: LedgerCounts | None = Field(None, description="ledger is what the operator has recorded.")


class HostNetworkExceptionPolicy(fields.Model):
    """HostNetworkExceptionPolicy says how the operator governs the namespaces of the cluster.

    Without the object named default, the operator enforces and relaxes nothing new. Existing labels and grants stay.
    """

    model_config = {
        "json_schema_extra": fields.rules(
            fields.rule(
                f"self.metadata.name == '{NAME}'",
                f"metadata.name must be {NAME}, because the operator reads no other object; rename the object",
                got="self.metadata.name",
            )
        )
    }

    metadata: meta.ObjectMeta
    spec: PolicySpec
    status: PolicyStatus = Field(
        PolicyStatus(), description="status is what the operator observed. Only the operator can write it."
    )
