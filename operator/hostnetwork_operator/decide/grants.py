"""Which exceptions become grants: what withholds an exception that is in order by itself.

A grant rests on the admission policies that restrict everybody whom the grant is not for. An exception whose grant line
cannot be written in full is withheld: the line is never cut.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from hostnetwork_operator.api import conditions, exception, grant, labels
from hostnetwork_operator.decide import contest, guards, level, ownership, snapshot, terms, validity

# The other policies are not listed: operator-limits restricts the operator, preview-dry-run two namespaces without
# grants, namespace-size and pod-size the size of an object, and own-namespaces who writes in the operator's own
# namespaces. Without them no pod is admitted that should be refused, so revoking grants when they are missing would
# cost something and save nothing.
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


class Grants(NamedTuple):
    """The standings of the exceptions after some are withheld, and whether the namespace is relaxed."""

    standings: tuple[validity.Standing, ...]
    relaxed: bool


def withhold(
    state: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    settings: level.Settings,
    decision: level.Decision,
    standings: Sequence[validity.Standing],
    now: datetime.datetime,
    *,
    recorded: bool,
) -> Grants:
    """Return the standings, changed for each exception that is withheld, and whether the namespace is relaxed.

    `recorded`: the ledger has the level that the operator will restore later, so that the operator may lift the level.
    """
    if decision.enforcement is None:
        return Grants(tuple(standings), relaxed=False)
    needs_guard = decision.enforcement is labels.Enforcement.DENY and settings.target is not labels.Level.PRIVILEGED
    results = []
    for standing in standings:
        result = standing
        if standing.in_force:
            result = _withheld(state, owned, settings, standing, now, needs_guard=needs_guard)
        if result.in_force and not state.exceptions_served and not terms.is_granted(result.exception, state.namespace):
            # The exception may have been deleted before its kind was removed. The ledger drops its record later.
            why = "the API server does not serve HostNetworkExceptions; the operator grants nothing by the ledger alone"
            result = replace(result, reason=conditions.Ready.NOT_APPROVED, why=why)
        if result.in_force and needs_guard and not recorded and not terms.is_granted(result.exception, state.namespace):
            result = _unrecorded(result, state)
        results.append(result)
    # `held-by` is cut to make room for grants. During a contest grants are written alone, so `held-by` stays.
    cut = () if contest.ends(state.record, now) is not None else (labels.HELD_BY,)
    results = _within_limits(state.namespace, results, cut)
    relaxed = needs_guard and any(s.in_force or keeps(s, state.namespace) for s in results)
    return Grants(tuple(results), relaxed)


def keeps(standing: validity.Standing, namespace: snapshot.Namespace) -> bool:
    """Return whether an exception that waits for its record has its grant already. That grant stays meanwhile."""
    return standing.waiting and terms.is_granted(standing.exception, namespace)


def _unrecorded(standing: validity.Standing, state: snapshot.NamespaceSnapshot) -> validity.Standing:
    trouble = state.ledger.trouble
    why = "the ledger does not have the namespace yet; until then the operator lifts no level there"
    if trouble:
        why = f"the operator lifts no level in the namespace, because the namespace cannot be recorded: {trouble}"
    return replace(standing, reason=conditions.Ready.NOT_RECORDED, why=why, waiting=not trouble)


def _withheld(
    state: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    settings: level.Settings,
    standing: validity.Standing,
    now: datetime.datetime,
    *,
    needs_guard: bool,
) -> validity.Standing:
    namespace, subject = state.namespace, standing.exception
    # If namespace-labels was missing for a moment, the grant may be a claim. A user who wrote a grant in that moment
    # has the grant already, and gains no more here.
    granted = terms.is_granted(subject, namespace)
    if needs_guard and level.lifting_is_barred(namespace, owned):
        value = namespace.labels[labels.PSA_ENFORCE]
        why = (
            f"the operator does not lift the level, because another client set the label {labels.PSA_ENFORCE}={value};"
            f" find the client (kubectl get namespace {namespace.name} -o yaml --show-managed-fields), stop its writes,"
            f" and remove the label (kubectl label namespace {namespace.name} {labels.PSA_ENFORCE}-): the operator then"
            " sets the label"
        )
        return replace(standing, reason=conditions.Ready.LEVEL_OWNED_BY_OTHER, why=why)
    if decision_rests_on := _rests_on(settings, needs_guard=needs_guard):
        relaxed_for_it = granted and namespace.enforcement is labels.Enforcement.DENY
        if not relaxed_for_it:
            missing = guards.first_uncounted(state.guards.values(), decision_rests_on, now)
        elif subject.spec.type is exception.ExceptionType.DIAGNOSTIC:
            missing = guards.first_missing(state.guards.values(), decision_rests_on, now)
        else:
            # Revoking grants of the other types would stop network and ingress at the next restart of their pods. So
            # these grants stay, and a metric reports that.
            missing = None
        if missing is not None:
            why = missing.why_not or (
                f"the admission policy {missing.name} is not in force yet: a policy counts from 5 s after its last"
                " change"
            )
            return replace(standing, reason=conditions.Ready.GUARD_MISSING, why=why)
    contested = contest.ends(state.record, now) is not None
    agreed = needs_guard and contest.agrees(state)
    if contested and not agreed and not _is_granted(namespace, settings, subject, now, needs_guard=needs_guard):
        return replace(standing, reason=conditions.Ready.CONTESTED, why=contest.why_nothing_is_granted(namespace))
    if settings.pod_security is None and not granted:
        why = "the operator grants nothing new, because no valid HostNetworkExceptionPolicy named default exists"
        return replace(standing, reason=conditions.Ready.NO_POLICY, why=why)
    return standing


def _is_granted(
    namespace: snapshot.Namespace,
    settings: level.Settings,
    subject: exception.HostNetworkException,
    now: datetime.datetime,
    *,
    needs_guard: bool,
) -> bool:
    """Return whether the grant of an exception is set and admits pods now, with the level and guard that restrict all
    other pods.
    """
    present = terms.decoded(namespace.grants.get(subject.metadata.name))
    if present is None or not terms.is_granted(subject, namespace) or present.until <= now:
        return False  # during a contest no later end is written, so the end in the present line counts
    return not needs_guard or (
        namespace.enforcement is labels.Enforcement.DENY
        and level.level_of(namespace) is labels.Level.PRIVILEGED
        and namespace.labels.get(labels.GUARD) == settings.target
    )


def _rests_on(settings: level.Settings, *, needs_guard: bool) -> tuple[str, ...]:
    """Return the admission policies that must be in place before a grant is written. If the level is lifted for the
    grant, the policies of the guard are among them.

    If nothing is enforced (Audit, Held), a grant lifts nothing, so no policy is needed.
    """
    if needs_guard:
        return WHAT_RELAXING_RESTS_ON
    return _WHAT_GRANTING_RESTS_ON if settings.target is labels.Level.PRIVILEGED else ()


def _within_limits(
    namespace: snapshot.Namespace, standings: Sequence[validity.Standing], cut: Sequence[str]
) -> list[validity.Standing]:
    """Return the standings, changed for each exception whose grant exceeds the limits of a namespace: it is withheld.
    The annotations `cut` need no room.

    Existing grants are counted first, also those that are kept for an exception that is not in force just now, for
    instance because its changed spec waits for a record.
    """
    present = namespace.grants
    order = sorted(
        (standing for standing in standings if standing.in_force or keeps(standing, namespace)),
        key=lambda s: (
            s.exception.metadata.name not in present,
            s.exception.metadata.creation_timestamp,
            s.exception.metadata.name,
        ),
    )
    size, count, withheld = 0, 0, dict[str, validity.Standing]()
    room = min(grant.MAX_BYTES, namespace.room(*(labels.GRANT_PREFIX + name for name in present), *cut))
    for standing in order:
        name = standing.exception.metadata.name
        try:
            line = terms.line_of(standing.exception, namespace)
        except grant.GrantError as error:
            if standing.in_force:
                withheld[name] = replace(standing, reason=conditions.Ready.INVALID, why=str(error))
            continue
        length = len(labels.GRANT_PREFIX) + len(name) + len(line.encode())
        if standing.in_force and (count + 1 > grant.MAX_GRANTS or size + length > room):
            why = (
                f"a namespace can have at most {grant.MAX_GRANTS} grants, of {grant.MAX_BYTES // 1024} KiB in total,"
                f" and the other annotations of this namespace leave room for {max(0, room)} bytes; delete exceptions"
                " and annotations that are not needed, or use another namespace"
            )
            withheld[name] = replace(standing, reason=conditions.Ready.GRANT_TOO_LARGE, why=why)
            continue
        size, count = size + length, count + 1
    return [withheld.get(standing.exception.metadata.name, standing) for standing in standings]
