"""What enforcement would refuse of manifests that are not in a cluster yet.

Without a cluster: host namespaces without an exception. With what was read of the cluster: also under the exceptions
that are granted there, and by the level at which the namespace would enforce.
"""

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.api import exception, grant, labels, policy
from hostnetwork_operator.decide import approval, coverage, gate, level, snapshot, terms, validity

# The fields of a grant that cannot change, by their names in an exception.
APPROVED: Final = {
    "type": "type",
    "serviceAccountName": "service_account",
    "hostNamespaces": "host_namespaces",
    "images": "images",
    "capabilities": "capabilities",
    "privileged": "privileged",
    "hostPaths": "host_paths",
    "hostPorts": "host_ports",
    "podSecurityLevel": "level",
}


@dataclass(frozen=True, slots=True)
class Governed:
    """How a namespace would be governed if enforcement were on.

    `level` is what Pod Security enforces for pods that no exception covers, by this version of the standards. `barred`:
    no exception changes the level, because somebody else set the level, or because the namespace is exempt.
    """

    exempt: bool = field(kw_only=True)
    level: labels.Level
    version: str
    barred: bool = field(kw_only=True)


def governed(
    namespace: snapshot.Namespace,
    state: snapshot.PolicyState,
    exempt: Collection[str] | None = None,
    written: Mapping[str, str] | None = None,
) -> Governed:
    """Return how a namespace would be governed: by its labels where enforcement is on, otherwise by the policy.

    Without a policy, its defaults count. `exempt` are the exempt namespaces if not those of the policy. `written` are
    the labels that the files have for the namespace: their level counts if it is stricter than that of the namespace.
    """
    spec = state.spec or policy.PolicySpec(mode=policy.Mode.ENFORCE)
    settings = level.settings_for(namespace, snapshot.PolicyState(snapshot.Existence.PRESENT, spec, state.created))
    version, present = spec.pod_security.version, _own(namespace.labels)
    own = _stricter(present, _own(written or {}))
    if settings.exempt if exempt is None else namespace.name in exempt:
        return Governed(own, version, exempt=True, barred=True)
    if namespace.enforcement is labels.Enforcement.DENY and namespace.uid:  # a file may have that label and no level
        # While the level is lifted, the guard has the level that will be restored. Only the operator writes the guard.
        guard = namespace.labels.get(labels.GUARD)
        restored = labels.Level(guard) if guard in set(labels.Level) else own
        # Every client may tighten the level, and the operator does not lift what another client has set. The labels do
        # not say who has set the target itself; what the files tighten, another client sets.
        tightened = own is not present and own is settings.target
        barred = tightened or own.strictness > settings.target.strictness
        return Governed(_stricter(own, restored), version, exempt=False, barred=barred)
    barred = own is not labels.Level.PRIVILEGED and own.strictness >= settings.target.strictness
    return Governed(_stricter(own, settings.target), version, exempt=False, barred=barred)


def standings(
    namespace: snapshot.Namespace,
    written: Sequence[exception.HostNetworkException],
    rules: policy.Exceptions | None,
    now: datetime.datetime,
) -> tuple[validity.Standing, ...]:
    """Return the standings of the exceptions from files and of those that are granted on the namespace.

    An exception from a file is not approved yet. It counts as approved, as once it is applied by an approver, and
    replaces the granted exception of the same name. If the API server would refuse that, the granted exception counts.
    """
    ruling = approval.Ruling(approval.ApprovalState.APPROVED)
    own = [
        subject
        for subject in written
        if subject.metadata.namespace == namespace.name and not changed(subject, namespace, now)
    ]
    names = {subject.metadata.name for subject in own}
    granted = [subject for subject in terms.granted(namespace) if subject.metadata.name not in names]
    return (
        *(validity.stand(subject, rules, ruling, now) for subject in own),
        *(validity.stand(subject, None, ruling, now) for subject in granted),
    )


def changed(
    subject: exception.HostNetworkException, namespace: snapshot.Namespace, now: datetime.datetime
) -> tuple[str, ...]:
    """Return the fields in which an exception from a file differs from the grant of its name, and that cannot change.

    The API server refuses such a file, and the granted exception stays. An end can change until that end has passed.
    """
    present = terms.decoded(namespace.grants.get(subject.metadata.name))
    if present is None or present.namespace_uid != namespace.uid:
        return ()
    try:
        wanted = terms.decoded(terms.line_of(subject, namespace))
    except grant.GrantError:  # such an exception is never granted, so the grant has other terms
        return ("spec",)
    fixed = APPROVED if present.until > now else {**APPROVED, "expiry": "until"}
    return tuple(name for name, own in fixed.items() if getattr(wanted, own, None) != getattr(present, own))


def judge(pod: snapshot.Pod, standings: Sequence[validity.Standing], *, exempt: bool) -> coverage.PodVerdict | None:
    """Return the verdict on a pod that would be created now; None if the pod shares no host namespace."""
    return coverage.judge(pod, standings, exempt=exempt) if pod.host_namespaces else None


def question(
    template: snapshot.Living, standings: Sequence[validity.Standing], settings: Governed
) -> gate.Question | None:
    """Return what to ask Pod Security about a template; None if every pod is allowed there."""
    if not settings.barred:
        return gate.question(template, standings, settings.level)
    if settings.level is labels.Level.PRIVILEGED:
        return None
    pod = template.pod
    covering = isinstance(pod, snapshot.Pod) and any(coverage.covers(each, pod).covers for each in standings)
    lacks = "no exception lifts a level that somebody else has set; remove the label " + labels.PSA_ENFORCE
    return gate.Question(
        f"{template.kind} {template.name}",
        settings.level,
        template.body,
        lacks=lacks if covering and not settings.exempt else "",
    )


def _own(present: Mapping[str, str]) -> labels.Level:
    """Return the level that Pod Security enforces by these labels. A value that is no level counts as restricted."""
    value = present.get(labels.PSA_ENFORCE, labels.Level.PRIVILEGED)
    return labels.Level(value) if value in set(labels.Level) else labels.Level.RESTRICTED


def _stricter(first: labels.Level, second: labels.Level) -> labels.Level:
    return max(first, second, key=lambda each: each.strictness)
