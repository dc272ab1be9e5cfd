"""Which exceptions become grants: what withholds one that is in order by itself, and the line of one that is not.

A grant rests on the admission policies that hold whoever it is not for; one that cannot be written as it is, is not
cut.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hostnetwork_operator.api import conditions, exception, grant, labels
from hostnetwork_operator.decide import contest, guards, level, ownership, snapshot, terms, validity

# operator-limits restricts the operator, preview-dry-run two namespaces that nothing is granted in, namespace-size and
# pod-size the size of an object, and own-namespaces who writes the operator's own: without them no pod is admitted that
# should not be, so taking grants for their sake would cost something and save nothing.
_WHAT_GRANTING_RESTS_ON: Final = (
    labels.POLICY_EXCEPTION_WRITERS,
    labels.POLICY_HOST_NAMESPACES,
    labels.POLICY_NAMESPACE_LABELS,
)
WHAT_RELAXING_RESTS_ON: Final = (
    *_WHAT_GRANTING_RESTS_ON,
    labels.POLICY_RELAXED_NAMESPACE,
    labels.POLICY_RELAXED_NAMESPACE_RESTRICTED,
)


def withhold(
    seen: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    settings: level.Settings,
    decision: level.Decision,
    standings: Sequence[validity.Standing],
    now: datetime.datetime,
    *,
    recorded: bool,
) -> tuple[tuple[validity.Standing, ...], bool]:
    """Return the standings with what withholds a grant, and whether the namespace is relaxed.

    `recorded`: the ledger has the level that will be put back, so that the level may be lifted.
    """
    if decision.enforcement is None:
        return tuple(standings), False
    needs_guard = decision.enforcement is labels.Enforcement.DENY and settings.target is not labels.Level.PRIVILEGED
    held = []
    for standing in standings:
        one = standing
        if standing.in_force:
            one = _withheld(seen, owned, settings, standing, now, needs_guard=needs_guard)
        if one.in_force and not seen.exceptions_served and not terms.stands(one.exception, seen.namespace):
            # It may have been deleted before the kind went; the ledger forgets a while later.
            why = "the API server does not serve its kind; nothing is granted by the ledger alone"
            one = replace(one, reason=conditions.Ready.NOT_APPROVED, why=why)
        if one.in_force and needs_guard and not recorded and not terms.stands(one.exception, seen.namespace):
            one = _unrecorded(one, seen)
        held.append(one)
    held = _within_limits(seen.namespace, held)
    return tuple(held), needs_guard and any(s.in_force or keeps(s, seen.namespace) for s in held)


def keeps(standing: validity.Standing, namespace: snapshot.Namespace) -> bool:
    """Return whether an exception that waits for its record has its grant already, which stays meanwhile."""
    return standing.waiting and terms.stands(standing.exception, namespace)


def _unrecorded(standing: validity.Standing, seen: snapshot.NamespaceSnapshot) -> validity.Standing:
    trouble = seen.ledger.trouble
    why = "the ledger does not have its namespace yet; no level is lifted before that"
    if trouble:
        why = f"its namespace cannot be recorded in the ledger, so no level is lifted there: {trouble}"
    return replace(standing, reason=conditions.Ready.NOT_RECORDED, why=why, waiting=not trouble)


def _withheld(
    seen: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    settings: level.Settings,
    standing: validity.Standing,
    now: datetime.datetime,
    *,
    needs_guard: bool,
) -> validity.Standing:
    namespace, subject = seen.namespace, standing.exception
    # A claim, if namespace-labels was away. Who writes a grant in that moment has it already, and needs no more.
    stands = terms.stands(subject, namespace)
    if needs_guard and level.lifting_is_barred(namespace, owned):
        value = namespace.labels[labels.PSA_ENFORCE]
        why = (
            f"label {labels.PSA_ENFORCE}={value} was not set by the operator, so its level is not lifted; find who"
            f" writes it (kubectl get namespace {namespace.name} -o yaml --show-managed-fields), stop that, and remove"
            f" the label (kubectl label namespace {namespace.name} {labels.PSA_ENFORCE}-): the operator writes it again"
        )
        return replace(standing, reason=conditions.Ready.LEVEL_OWNED_BY_OTHER, why=why)
    if decision_rests_on := _rests_on(settings, needs_guard=needs_guard):
        relaxed_for_it = stands and namespace.enforcement is labels.Enforcement.DENY
        if not relaxed_for_it:
            missing = guards.first_uncounted(seen.guards.values(), decision_rests_on, now)
        elif subject.spec.type is exception.ExceptionType.DIAGNOSTIC:
            missing = guards.first_missing(seen.guards.values(), decision_rests_on, now)
        else:
            # Taking these would stop network and ingress at the next restart; they stay, and a metric is loud about it.
            missing = None
        if missing is not None:
            why = missing.why_not or f"{missing.name} is not in force yet: it counts 5 s after its last change"
            return replace(standing, reason=conditions.Ready.GUARD_MISSING, why=why)
    contested = contest.ends(seen.record, now) is not None
    agreed = needs_guard and contest.agrees(seen)
    if contested and not agreed and not _stands(namespace, settings, subject, now, needs_guard=needs_guard):
        return replace(standing, reason=conditions.Ready.CONTESTED, why=contest.why_nothing_is_granted(namespace))
    if settings.pod_security is None and not stands:
        why = "there is no valid HostNetworkExceptionPolicy named default; nothing new is granted until there is one"
        return replace(standing, reason=conditions.Ready.NO_POLICY, why=why)
    return standing


def _stands(
    namespace: snapshot.Namespace,
    settings: level.Settings,
    subject: exception.HostNetworkException,
    now: datetime.datetime,
    *,
    needs_guard: bool,
) -> bool:
    """Whether its grant stands and admits pods now, with everything around it that holds the others."""
    present = terms.decoded(namespace.grants.get(subject.metadata.name))
    if present is None or not terms.stands(subject, namespace) or present.until <= now:
        return False  # a later end is not written meanwhile, so the one that is set counts
    return not needs_guard or (
        namespace.enforcement is labels.Enforcement.DENY
        and level.level_of(namespace) is labels.Level.PRIVILEGED
        and namespace.labels.get(labels.GUARD) == settings.target
    )


def _rests_on(settings: level.Settings, *, needs_guard: bool) -> tuple[str, ...]:
    """Which policies must be in place before a grant is written: the guard too where the level is lifted for it.

    Where nothing is enforced (Audit, Held) a grant lifts nothing, so none is needed.
    """
    if needs_guard:
        return WHAT_RELAXING_RESTS_ON
    return _WHAT_GRANTING_RESTS_ON if settings.target is labels.Level.PRIVILEGED else ()


def _within_limits(namespace: snapshot.Namespace, standings: Sequence[validity.Standing]) -> list[validity.Standing]:
    """Those that do not fit any more are withheld. What is granted already keeps its place."""
    present = namespace.grants
    order = sorted(
        (s for s in standings if s.in_force),
        key=lambda s: (
            s.exception.metadata.name not in present,
            s.exception.metadata.creation_timestamp,
            s.exception.metadata.name,
        ),
    )
    size, count, refused = 0, 0, dict[str, validity.Standing]()
    room = min(grant.MAX_BYTES, namespace.room(*(labels.GRANT_PREFIX + name for name in present)))
    for standing in order:
        name = standing.exception.metadata.name
        try:
            line = terms.line_of(standing.exception, namespace)
        except grant.GrantError as error:
            refused[name] = replace(standing, reason=conditions.Ready.INVALID, why=str(error))
            continue
        length = len(labels.GRANT_PREFIX) + len(name) + len(line.encode())
        if count + 1 > grant.MAX_GRANTS or size + length > room:
            why = (
                f"a namespace holds at most {grant.MAX_GRANTS} grants and {grant.MAX_BYTES // 1024} KiB of them, here"
                f" {max(0, room)} bytes beside the annotations of others; remove what is not needed, or use another"
                " namespace"
            )
            refused[name] = replace(standing, reason=conditions.Ready.GRANT_TOO_LARGE, why=why)
            continue
        size, count = size + length, count + 1
    return [refused.get(s.exception.metadata.name, s) for s in standings]
