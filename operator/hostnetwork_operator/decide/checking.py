"""What enforcement would refuse of manifests that are not in a cluster yet.

Without a cluster: host namespaces without an exception. With what was read of the cluster: also under the exceptions
that are granted there, and by the level at which the namespace would enforce.
"""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from hostnetwork_operator.api import exception, labels, policy
from hostnetwork_operator.decide import approval, coverage, gate, level, snapshot, terms, validity


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
    namespace: snapshot.Namespace, state: snapshot.PolicyState, exempt: Collection[str] | None = None
) -> Governed:
    """Return how a namespace would be governed: by its labels where enforcement is on, otherwise by the policy.

    Without a policy, its defaults count. `exempt` are the exempt namespaces if not those of the policy.
    """
    spec = state.spec or policy.PolicySpec(mode=policy.Mode.ENFORCE)
    settings = level.settings_for(namespace, snapshot.PolicyState(snapshot.Existence.PRESENT, spec, state.created))
    version, own = spec.pod_security.version, _own(namespace)
    if settings.exempt if exempt is None else namespace.name in exempt:
        return Governed(own, version, exempt=True, barred=True)
    if namespace.enforcement is labels.Enforcement.DENY and namespace.uid:  # a file may have that label and no level
        # While the level is lifted, the guard has the level that will be restored. Only the operator writes the guard.
        guard = namespace.labels.get(labels.GUARD)
        restored = labels.Level(guard) if guard in set(labels.Level) else own
        return Governed(_stricter(own, restored), version, exempt=False, barred=False)
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
    replaces the granted exception of the same name.
    """
    ruling = approval.Ruling(approval.ApprovalState.APPROVED)
    own = [subject for subject in written if subject.metadata.namespace == namespace.name]
    names = {subject.metadata.name for subject in own}
    granted = [subject for subject in terms.granted(namespace) if subject.metadata.name not in names]
    return (
        *(validity.stand(subject, rules, ruling, now) for subject in own),
        *(validity.stand(subject, None, ruling, now) for subject in granted),
    )


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


def _own(namespace: snapshot.Namespace) -> labels.Level:
    """Return the level that Pod Security enforces in a namespace now. A value that is no level counts as restricted."""
    value = namespace.labels.get(labels.PSA_ENFORCE, labels.Level.PRIVILEGED)
    return labels.Level(value) if value in set(labels.Level) else labels.Level.RESTRICTED


def _stricter(first: labels.Level, second: labels.Level) -> labels.Level:
    return max(first, second, key=lambda each: each.strictness)
