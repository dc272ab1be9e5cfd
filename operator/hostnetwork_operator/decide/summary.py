"""The status of the policy: whether the operator acts on the policy, and the state of the cluster under it."""

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from hostnetwork_operator.api import conditions, labels, ledger, policy
from hostnetwork_operator.api.conditions import (
    ClockSynchronized,
    Contested,
    Guarded,
    KubernetesTested,
    LedgerIntact,
    PolicyReady,
    Sealed,
)
from hostnetwork_operator.decide import coverage, effects, messages, plan, snapshot

# The sentences leave out the measured seconds, which change all the time:
# hostnetwork_operator_clock_{skew,spread}_seconds have them.
_CLOCK: Final = {
    ClockSynchronized.AGREES: "the clocks of the operator and the API servers differ by at most 5 s",
    ClockSynchronized.SKEWED: "the clocks of the operator and the API server differ by more than 5 s; until the clocks"
    " agree, the operator deletes nothing, and restores levels by the API server's clock; set the clock of the"
    " operator's node",
    ClockSynchronized.SPREAD: "the clocks of API servers differ by more than 5 s, or a clock was set; until the clocks"
    " agree, the operator deletes nothing; set the clocks of the API servers' nodes",
}
_LISTED: Final = 15  # exceptions that one Event names; kubectl get hne -A has all
_RIGHTS: Final = (
    "the operator needs the Role hostnetwork-operator-ledger in hostnetwork-system (kubectl apply -k manifests/rbac)"
)
_NAMED: Final = 10  # contested namespaces that the condition names; hostnetwork_contested_namespaces counts all


def policy_status(
    policy_object: snapshot.PolicyObject, plans: Sequence[plan.NamespacePlan], now: datetime.datetime
) -> policy.PolicyStatus:
    """Return the status that the policy should have, with its conditions Ready and Contested. It equals the present
    status if nothing changed.
    """
    reason, message = _accepted(policy_object)
    accepted = conditions.word(reason is PolicyReady.ACCEPTED)
    ready = conditions.Observation(conditions.ConditionType.READY, accepted, reason, message)
    by_enforcement = Counter(namespace_plan.enforcement for namespace_plan in plans)
    verdicts = coverage.count((verdict for namespace_plan in plans for verdict in namespace_plan.judged), unreadable=0)
    return policy.PolicyStatus(
        observed_generation=policy_object.generation,
        conditions=conditions.observe(
            policy_object.status.conditions, [ready, _contested(plans)], policy_object.generation, now
        ),
        namespaces=policy.NamespaceCounts(
            deny=by_enforcement[labels.Enforcement.DENY],
            held=by_enforcement[labels.Enforcement.HELD],
            audit=by_enforcement[labels.Enforcement.AUDIT],
            exempt=sum(namespace_plan.exempt for namespace_plan in plans),
            relaxed=sum(namespace_plan.relaxed for namespace_plan in plans),
        ),
        pods=policy.PodCounts(
            covered=verdicts[labels.Verdict.COVERED],
            uncovered=verdicts[labels.Verdict.UNCOVERED],
            expired=verdicts[labels.Verdict.EXPIRED],
            static=verdicts[labels.Verdict.STATIC],
        ),
        workloads=_workloads(policy_object, plans),
    )


def _workloads(
    policy_object: snapshot.PolicyObject, plans: Sequence[plan.NamespacePlan]
) -> policy.WorkloadCounts | None:
    """Return how many workloads are refused; None if there may be more. While that is not known for some namespace,
    because the operator has just started, return the present count.
    """
    if not all(namespace_plan.refused_complete for namespace_plan in plans if namespace_plan.refused is not None):
        return None
    counts = [namespace_plan.refused_count for namespace_plan in plans]
    known_counts = [count for count in counts if count is not None]
    return (
        policy.WorkloadCounts(refused=sum(known_counts))
        if len(known_counts) == len(counts)
        else policy_object.status.workloads
    )


def policy_event(policy_object: snapshot.PolicyObject) -> effects.EmitEvent | None:
    """Return the Event on the policy if the reason of its condition Ready changes."""
    reason, message = _accepted(policy_object)
    before = conditions.find(policy_object.status.conditions, conditions.ConditionType.READY)
    if before is not None and before.reason == reason:
        return None
    subject = snapshot.Reference(policy.KIND, "", policy.NAME, policy_object.uid, labels.API_VERSION)
    return effects.EmitEvent(
        subject,
        "Normal" if reason is PolicyReady.ACCEPTED else "Warning",
        messages.PolicyReason(f"Policy{reason}"),
        message,
        f"{reason} {policy_object.generation}",
    )


def with_guards(
    status: policy.PolicyStatus, guards: Sequence[snapshot.Guard], now: datetime.datetime
) -> policy.PolicyStatus:
    """Return `status` with the condition that says whether the admission policies are in place.

    A policy that is missing is reported once, until all are in place again. The condition remembers that across a
    restart, so it keeps its reason while the policies are being changed.
    """
    reason, message = _guarded(guards, now)
    if reason is Guarded.CHANGING and _reported_missing(status):
        reason = Guarded.GUARD_MISSING
    words: dict[Guarded, conditions.Word] = {Guarded.INTACT: "True", Guarded.CHANGING: "Unknown"}
    guarded = conditions.ConditionType.GUARDED
    return _with(status, conditions.Observation(guarded, words.get(reason, "False"), reason, message), now)


def with_clock(status: policy.PolicyStatus, state: ClockSynchronized, now: datetime.datetime) -> policy.PolicyStatus:
    """Return `status` with the condition that says whether the operator is sure what time it is."""
    agrees = conditions.word(state is ClockSynchronized.AGREES)
    synchronized = conditions.ConditionType.CLOCK_SYNCHRONIZED
    return _with(status, conditions.Observation(synchronized, agrees, state, _CLOCK[state]), now)


def with_kubernetes(
    status: policy.PolicyStatus, versions: Sequence[snapshot.MinorVersion], now: datetime.datetime
) -> policy.PolicyStatus:
    """Return `status` with the condition that says whether the operator is tested with the versions of the API servers,
    given the oldest first. Without a version, the condition stays as it is.
    """
    if not versions:
        return status
    reason, message = _tested(versions)
    tested = conditions.word(reason is KubernetesTested.TESTED)
    kind = conditions.ConditionType.KUBERNETES_TESTED
    return _with(status, conditions.Observation(kind, tested, reason, message), now)


def with_seal(
    status: policy.PolicyStatus, api_servers: snapshot.ApiServers, now: datetime.datetime
) -> policy.PolicyStatus:
    """Return `status` with the condition that says whether the API servers have the seal."""
    reason, message = _seal(api_servers)
    words: dict[Sealed, conditions.Word] = {Sealed.SEALED: "True", Sealed.UNKNOWN: "Unknown"}
    kind = conditions.ConditionType.SEALED
    return _with(status, conditions.Observation(kind, words.get(reason, "False"), reason, message), now)


def with_ledger(
    status: policy.PolicyStatus, ledger_summary: snapshot.LedgerSummary, now: datetime.datetime
) -> policy.PolicyStatus:
    """Return `status` with the counts of the ledger, and the condition that says whether the ledger is complete."""
    reason, message = _ledger(ledger_summary)
    intact, recorded = conditions.ConditionType.LEDGER_INTACT, conditions.word(reason is LedgerIntact.RECORDED)
    status = _with(status, conditions.Observation(intact, recorded, reason, message), now)
    return status.model_copy(update={"ledger": ledger_summary.counts if ledger_summary.counts.id else status.ledger})


def ledger_event(
    policy_object: snapshot.PolicyObject, ledger_summary: snapshot.LedgerSummary
) -> effects.EmitEvent | None:
    """Return the Event if the ledger cannot be read or written any more, or lacks a proof, or is complete again.

    `begun_event` reports a loss of the ledger, once the consequences of the loss are known.
    """
    reason, message = _ledger(ledger_summary)
    before = conditions.find(policy_object.status.conditions, conditions.ConditionType.LEDGER_INTACT)
    if reason in {LedgerIntact.LOST, before.reason if before else LedgerIntact.RECORDED}:
        return None
    return _transition(policy_object, before, reason, message, normal=reason is LedgerIntact.RECORDED)


def begun_event(
    policy_object: snapshot.PolicyObject, ledger_summary: snapshot.LedgerSummary, plans: Sequence[plan.NamespacePlan]
) -> effects.EmitEvent | None:
    """Return the Event after a loss of the ledger, or after a first start that found exceptions without a known
    approval.
    """
    refused = sorted(
        f"{standing.exception.metadata.namespace}/{standing.exception.metadata.name}"
        for namespace_plan in plans
        for standing in namespace_plan.standings
        if standing.reason is conditions.Ready.NOT_APPROVED
    )
    subject = snapshot.Reference(policy.KIND, "", policy.NAME, policy_object.uid, labels.API_VERSION)
    counts = ledger_summary.counts
    if ledger_summary.state is ledger.State.LOST:
        message = (
            f"the ledger was lost, completely or in part; approved exceptions: {counts.exceptions};"
            f" ApprovalUnproven: {counts.unproven}; NotApproved: {_named(refused)};"
            f" namespaces whose level before enforcement is not known: {counts.levels_unknown}"
        )
        return effects.EmitEvent(subject, "Warning", messages.PolicyReason.LEDGER_LOST, message, counts.id)
    if ledger_summary.state is ledger.State.SEEDING and refused:
        message = (
            f"the operator began a new ledger; approved exceptions: {counts.exceptions}; NotApproved: {_named(refused)}"
        )
        return effects.EmitEvent(subject, "Warning", messages.PolicyReason.LEDGER_SEEDED, message, counts.id)
    return None


def _named(refused: Sequence[str]) -> str:
    """Return the names of some of these exceptions, and what to do about them."""
    if not refused:
        return "none"
    shown = ", ".join(refused[:_LISTED]) + (f" and {len(refused) - _LISTED} more" if len(refused) > _LISTED else "")
    return f"{shown} (a user with the verb approve must change the spec of each exception that is still needed)"


def clock_event(policy_object: snapshot.PolicyObject, state: ClockSynchronized) -> effects.EmitEvent | None:
    """Return the Event if the clocks begin to differ, or agree again."""
    before = conditions.find(policy_object.status.conditions, conditions.ConditionType.CLOCK_SYNCHRONIZED)
    if state == (before.reason if before else ClockSynchronized.AGREES):
        return None
    return _transition(policy_object, before, state, _CLOCK[state], normal=state is ClockSynchronized.AGREES)


def kubernetes_event(
    policy_object: snapshot.PolicyObject, versions: Sequence[snapshot.MinorVersion]
) -> effects.EmitEvent | None:
    """Return the Event if the versions of the API servers begin to differ, or the operator is not tested with them, or
    both have ended.
    """
    if not versions:
        return None
    reason, message = _tested(versions)
    before = conditions.find(policy_object.status.conditions, conditions.ConditionType.KUBERNETES_TESTED)
    if reason == (before.reason if before else KubernetesTested.TESTED):
        return None
    return _transition(policy_object, before, reason, message, normal=reason is KubernetesTested.TESTED)


def seal_event(policy_object: snapshot.PolicyObject, api_servers: snapshot.ApiServers) -> effects.EmitEvent | None:
    """Return the Event if the API servers got the seal or lost it. A cluster that never had the seal has no Event, nor
    has an answer that is missing.
    """
    reason, message = _seal(api_servers)
    before = conditions.find(policy_object.status.conditions, conditions.ConditionType.SEALED)
    reason_before = before.reason if before else Sealed.UNKNOWN
    if reason in {Sealed.UNKNOWN, reason_before} or (reason is Sealed.NOT_SEALED and reason_before == Sealed.UNKNOWN):
        return None
    return _transition(policy_object, before, reason, message, normal=reason is Sealed.SEALED)


def guards_event(
    policy_object: snapshot.PolicyObject, guards: Sequence[snapshot.Guard], now: datetime.datetime
) -> effects.EmitEvent | None:
    """Return the Event if an admission policy is missing now, or if all are in place again after one was missing. A
    change that may be an upgrade has no Event, neither at its beginning nor at its end.
    """
    reason, message = _guarded(guards, now)
    before = conditions.find(policy_object.status.conditions, conditions.ConditionType.GUARDED)
    if reason is Guarded.CHANGING or (reason is Guarded.GUARD_MISSING) == _reported_missing(policy_object.status):
        return None
    return _transition(policy_object, before, reason, message, normal=reason is Guarded.INTACT)


def _reported_missing(status: policy.PolicyStatus) -> bool:
    guarded = conditions.find(status.conditions, conditions.ConditionType.GUARDED)
    return guarded is not None and guarded.reason == Guarded.GUARD_MISSING


def _transition(
    policy_object: snapshot.PolicyObject,
    before: conditions.Condition | None,
    reason: str,
    message: str,
    *,
    normal: bool,
) -> effects.EmitEvent:
    subject = snapshot.Reference(policy.KIND, "", policy.NAME, policy_object.uid, labels.API_VERSION)
    since = before.last_transition_time.isoformat() if before else ""
    kind: Literal["Normal", "Warning"] = "Normal" if normal else "Warning"
    return effects.EmitEvent(subject, kind, messages.PolicyReason(f"Policy{reason}"), message, f"{reason} {since}")


def _with(status: policy.PolicyStatus, observed: conditions.Observation, now: datetime.datetime) -> policy.PolicyStatus:
    updated = conditions.observe(status.conditions, [observed], status.observed_generation or 0, now)
    return status.model_copy(update={"conditions": updated})


def _guarded(guards: Sequence[snapshot.Guard], now: datetime.datetime) -> tuple[Guarded, str]:
    missing_guards = sorted((guard for guard in guards if guard.since is None), key=lambda guard: guard.name)
    reasons = "; ".join(guard.why_not for guard in missing_guards)
    if not missing_guards:
        return Guarded.INTACT, "all admission policies that deny are in place"
    if any(guard.missing(now) for guard in missing_guards):
        return Guarded.GUARD_MISSING, reasons
    if all(guard.excused == snapshot.FOREVER for guard in missing_guards):
        return Guarded.CHANGING, f"{missing_guards[0].why_not}; the operator grants nothing new until a list succeeds"
    return Guarded.CHANGING, (
        f"{reasons}; for 60 s after the change the operator treats the change as an upgrade and grants nothing new"
    )


def _tested(versions: Sequence[snapshot.MinorVersion]) -> tuple[KubernetesTested, str]:
    oldest, newest = versions[0], versions[-1]
    run = f"the API servers run Kubernetes {' and '.join(map(str, versions))}"
    range_of_tests = f"this operator is tested with {snapshot.OLDEST_TESTED} to {snapshot.NEWEST_TESTED}"
    if not all(version.tested for version in versions):
        guard_version = min(oldest, snapshot.NEWEST_TESTED)
        return KubernetesTested.NOT_TESTED, (
            f"{run}, and {range_of_tests}; the guard evaluates pods by the Pod Security Standards of {guard_version};"
            " see docs/howto/upgrade-kubernetes.md"
        )
    if oldest != newest:
        return KubernetesTested.VERSIONS_DIFFER, (
            f"{run}; until all API servers run {newest}, the guard evaluates pods by the Pod Security Standards of"
            f" {oldest}"
        )
    return KubernetesTested.TESTED, f"{run}, and {range_of_tests}"


def _seal(api_servers: snapshot.ApiServers) -> tuple[Sealed, str]:
    servers = api_servers.servers
    unknown = [server for server in servers if server.sealed is None]
    open_servers = [server for server in servers if server.sealed is False]
    if open_servers and len(open_servers) < len(servers) - len(unknown):
        shown = ", ".join(server.address for server in open_servers)
        return Sealed.PARTLY_SEALED, (
            f"these API servers do not have the seal, and other API servers have it: {shown}; copy"
            " manifests/static/seal.yaml to their nodes (docs/howto/seal.md)"
        )
    if unknown or not servers:
        trouble = "; ".join(f"{server.address}: {server.trouble}" for server in unknown) or api_servers.trouble
        return Sealed.UNKNOWN, f"the operator cannot tell whether the API servers have the seal: {trouble}"
    if open_servers:
        return Sealed.NOT_SEALED, (
            "no API server has the seal, so an administrator can change and delete the admission policies through the"
            " API (docs/howto/seal.md)"
        )
    return Sealed.SEALED, (
        f"all API servers ({len(servers)}) refuse changes of the admission policies, CRDs and rights of"
        " hostnetwork-operator"
    )


def _ledger(ledger_summary: snapshot.LedgerSummary) -> tuple[LedgerIntact, str]:
    counts = ledger_summary.counts
    if ledger_summary.state is ledger.State.UNREADABLE:
        return (
            LedgerIntact.UNREADABLE,
            f"{ledger_summary.trouble}; the operator grants nothing new and ends Diagnostic grants; {_RIGHTS}",
        )
    if ledger_summary.trouble:
        return LedgerIntact.UNWRITABLE, f"{ledger_summary.trouble}; the operator grants nothing new; {_RIGHTS}"
    if ledger_summary.state is ledger.State.LOST:
        return (
            LedgerIntact.LOST,
            "a ConfigMap of the ledger is missing or damaged; the operator records again what can be proved",
        )
    if counts.unproven:
        return LedgerIntact.UNPROVEN, (
            f"the grants of {counts.unproven} exceptions stay, although nothing proves their approval because the"
            " ledger was lost; a user with the verb approve must change the spec of each of these exceptions"
            " (kubectl get hne -A, READY ApprovalUnproven)"
        )
    if counts.levels_unknown:
        return LedgerIntact.RECORDED, (
            f"the ledger has every record; namespaces whose level before enforcement is not known:"
            f" {counts.levels_unknown}; the modes Audit and Release leave the level of these namespaces unchanged"
            " (docs/howto/uninstall.md)"
        )
    return LedgerIntact.RECORDED, "the ledger has every record"


def _contested(plans: Sequence[plan.NamespacePlan]) -> conditions.Observation:
    condition_type, observation = conditions.ConditionType.CONTESTED, conditions.Observation
    names = sorted(namespace_plan.namespace.name for namespace_plan in plans if namespace_plan.contested is not None)
    if not names:
        return observation(
            condition_type, "False", Contested.UNCONTESTED, "no other client undoes writes of the operator"
        )
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    message = (
        f"another client undoes writes of the operator on namespaces: {shown}; the Events"
        f" {messages.Reason.CONTESTED} of these namespaces name the labels"
    )
    return observation(condition_type, "True", Contested.LABELS_REVERTED, message)


def _accepted(policy_object: snapshot.PolicyObject) -> tuple[PolicyReady, str]:
    if policy_object.spec is None:
        return PolicyReady.BROKEN, (
            f"the operator cannot act on this policy: {policy_object.mistake}; correct the policy; until then the last"
            " valid policy that the operator has read stays in effect"
        )
    return PolicyReady.ACCEPTED, f"the operator acts on this policy in mode {policy_object.spec.mode}"
