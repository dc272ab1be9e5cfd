"""Why an exception that is in force covers nothing: the mistake that a person can correct, with the remedy.

The reason depends on the exception, on the pods of its namespace with their verdicts (host-namespace pods, and pods
that an exception for pods without host namespaces may cover), and on whether its service account exists. If that cannot
be told, this module does not say that the account is missing.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.api.conditions import InUse
from hostnetwork_operator.decide import coverage, snapshot, validity

# One apply may create an exception, its service account and its pods, in any order. The reason is due within a minute.
SETTLED: Final = datetime.timedelta(seconds=30)
# How often the operator asks for an account again: a person who creates a missing account waits for the next answer.
AGAIN: Final = datetime.timedelta(seconds=60)
# For so long after the creation of an exception, its pods are expected, and after that the operator asks and lists so
# seldom. For pods that no watch reports (only hostPID or hostIPC) the namespace is listed each minute until then, or
# "covers nothing" would be wrong for up to an hour.
EXPECTED: Final = datetime.timedelta(minutes=10)
# How many accounts of a namespace the operator asks for. Whether the others exist is not known.
MOST: Final = 16
_NAMED: Final = 3  # things named in a sentence


@dataclass(frozen=True, slots=True)
class Why:
    """A reason of the condition InUse, and the sentence for it."""

    reason: InUse
    sentence: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why exceptions cover nothing, and what the operator must ask.

    `why` has the reason by uid of the exception, None if the operator must ask for the service account first. `ask` are
    the accounts to ask for. At `moments` a reason is due, or a missing account is to be asked for again. From `until`
    on, another plan could ask for any account again.
    """

    why: Mapping[str, Why | None]
    ask: tuple[str, ...]
    moments: tuple[datetime.datetime, ...]
    until: datetime.datetime | None


def reasons(
    state: snapshot.NamespaceSnapshot,
    standings: Sequence[validity.Standing],
    verdicts: Sequence[coverage.PodVerdict],
    now: datetime.datetime,
) -> Reasons:
    """Return the reasons for the exceptions in force that cover nothing, by what is known about their accounts."""
    silent_standings = silent(standings, coverage.by_exception(verdicts), state.every_pod_listed, now)
    wanted = accounts(silent_standings, verdicts)
    again = {name: _again(name, silent_standings, state) for name in wanted if name in state.accounts}
    to_ask = tuple(name for name in wanted if name not in again or again[name] <= now)
    reasons_by_uid: dict[str, Why | None] = {}
    for standing in silent_standings:
        name = standing.exception.spec.service_account
        account_known = name not in wanted or name in state.accounts
        reasons_by_uid[standing.exception.metadata.uid] = (
            why(standing, verdicts, state.accounts.get(name)) if account_known else None
        )
    later = [moment for moment in (due(standing) for standing in standings if standing.in_force) if moment > now]
    missing = [moment for name, moment in again.items() if moment > now and not state.accounts[name].exists]
    until = min((*later, *(moment for moment in again.values() if moment > now)), default=None)
    return Reasons(reasons_by_uid, to_ask, (*missing, *later), until)


def _again(name: str, silent: Sequence[validity.Standing], state: snapshot.NamespaceSnapshot) -> datetime.datetime:
    """Return when the operator asks for an account again: each minute while an exception for the account is young."""
    metas = (each.exception.metadata for each in silent if each.exception.spec.service_account == name)
    last, asked = max(meta.creation_timestamp for meta in metas) + EXPECTED, state.accounts[name].asked
    return asked + (AGAIN if asked < last else EXPECTED)


def unlisted(standing: validity.Standing, state: snapshot.NamespaceSnapshot) -> bool:
    """Return whether it is unknown which pods without host namespaces the exception covers, because no exception for
    such pods of its service account was known when all pods were last listed.
    """
    spec = standing.exception.spec
    return standing.readable and not spec.host_namespaces and spec.service_account not in state.plain_accounts


def lists(standing: validity.Standing, listed: datetime.datetime, *, covers: bool) -> list[datetime.datetime]:
    """Return when all pods of the namespace are to be listed next for an exception in force.

    No watch reports pods without host namespaces. For an exception for such pods the operator counts them each minute
    while the exception is young, and every ten minutes after that.
    """
    first, last = due(standing), standing.exception.metadata.creation_timestamp + EXPECTED
    if not standing.exception.spec.host_namespaces and (covers or listed >= last):
        return [listed + (AGAIN if listed < last else EXPECTED)]
    if covers or watched(standing):
        return []
    return [first if listed < first else min(listed + AGAIN, last)]


def due(standing: validity.Standing) -> datetime.datetime:
    """Return from when the status of an exception that covers nothing must say why."""
    return standing.exception.metadata.creation_timestamp + SETTLED


def watched(standing: validity.Standing) -> bool:
    """Return whether a watch reports all pods that an exception may cover. Pods with only hostPID or hostIPC are found
    by a list (docs/adr/0014).
    """
    return set(standing.exception.spec.host_namespaces) == {labels.HostNamespace.NETWORK}


def silent(
    standings: Sequence[validity.Standing],
    verdicts_by_uid: Mapping[str, Sequence[coverage.PodVerdict]],
    listed: datetime.datetime | None,
    now: datetime.datetime,
) -> tuple[validity.Standing, ...]:
    """Return the exceptions in force that cover nothing and whose status must say why.

    `verdicts_by_uid` has the verdicts by the uids of the exceptions; `listed` is when all pods were last listed.
    """
    return tuple(
        standing
        for standing in standings
        if standing.in_force
        and standing.readable  # the operator writes no status of an exception that it cannot read
        and now >= due(standing)
        and (watched(standing) or (listed is not None and listed >= due(standing)))
        and not verdicts_by_uid.get(standing.exception.metadata.uid)
    )


def accounts(silent: Sequence[validity.Standing], verdicts: Sequence[coverage.PodVerdict]) -> tuple[str, ...]:
    """Return the service accounts that the operator must ask for. An account that a pod runs as exists, so the operator
    does not ask for it.
    """
    running = {verdict.pod.service_account for verdict in verdicts}
    return tuple(sorted({standing.exception.spec.service_account for standing in silent} - running)[:MOST])


def why(standing: validity.Standing, verdicts: Sequence[coverage.PodVerdict], account: snapshot.Account | None) -> Why:
    """Return why an exception in force covers none of these pods, which are all pods of its namespace.

    `account` is the API server's answer about its service account, None if the operator has not asked.
    """
    spec = standing.exception.spec
    its_verdicts = [v for v in verdicts if v.pod.service_account == spec.service_account and not v.pod.mirror]
    if not its_verdicts:
        missing = account is not None and account.exists is False
        return _account_missing(standing.exception, verdicts) if missing else _no_host_pods(standing, verdicts)
    coverages = [(coverage.covers(standing, verdict.pod), verdict) for verdict in its_verdicts]
    covering_names = sorted({e.metadata.name for result, v in coverages if result.covers for e in v.exceptions})
    if covering_names:
        text = f"exception {covering_names[0]!r} covers the pods, and lasts as long or longer"
        remedy = f"delete this exception if no other pod needs the exception: {_delete(standing.exception)}"
        return Why(InUse.COVERED_BY_ANOTHER, f"{text}; {remedy}")
    return _differs(standing.exception, [result for result, _ in coverages])


def _account_missing(subject: exception.HostNetworkException, verdicts: Sequence[coverage.PodVerdict]) -> Why:
    account, namespace = subject.spec.service_account, subject.metadata.namespace
    text = f"service account {account!r} does not exist in namespace {namespace!r}{_others(verdicts)}"
    create = f"kubectl create serviceaccount {account} -n {namespace}"
    remedy = f"create the account ({create}), or write a new exception for the service account of the pods"
    return Why(InUse.SERVICE_ACCOUNT_MISSING, f"{text}; {remedy}")


def _no_host_pods(standing: validity.Standing, verdicts: Sequence[coverage.PodVerdict]) -> Why:
    subject = standing.exception
    spec, namespace = subject.spec, subject.metadata.namespace
    uses = coverage.used(spec.host_namespaces) if spec.host_namespaces else "anything that an exception can allow"
    listed = "" if watched(standing) else " in the last list of all pods"
    account = f"service account {spec.service_account!r}"
    text = f"no pod of {account} uses {uses}{listed}{_others(verdicts)}"
    return Why(
        InUse.NO_HOST_PODS,
        f"{text}; if the API server refuses the pods, the Events of the workload say what the exception lacks (kubectl"
        f" get events -n {namespace}); if no pod needs the exception, delete the exception: {_delete(subject)}",
    )


def _differs(subject: exception.HostNetworkException, coverages: Sequence[coverage.Coverage]) -> Why:
    """Return how the nearest pod of its service account differs. The sentence names no pod: the pods of a DaemonSet
    change, and the reason must not change with them.
    """
    order = list(coverage.Criterion)
    nearest = min(coverages, key=lambda result: (-order.index(result.failed or order[-1]), result.why))
    text = f"the exception covers no pod of service account {subject.spec.service_account!r}: {nearest.why}"
    remedy = "write a new exception that lists what the pods use, or change the pods"
    if nearest.failed is not coverage.Criterion.IMAGES:
        return Why(InUse.PODS_DIFFER, f"{text}; {remedy}")
    return Why(
        InUse.IMAGES_DIFFER, f"{text}, and the exception lists {_some(sorted(subject.spec.images or ()))}; {remedy}"
    )


def _others(verdicts: Sequence[coverage.PodVerdict]) -> str:
    """Return which service accounts the host-namespace pods of the namespace run as: the name may be mistyped."""
    shown = [verdict.pod for verdict in verdicts if verdict.pod.host_namespaces and not verdict.pod.mirror]
    accounts = sorted({pod.service_account for pod in shown})
    return f", and the pods in the namespace that use host namespaces run as {_some(accounts)}" if accounts else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _delete(subject: exception.HostNetworkException) -> str:
    return f"kubectl delete hne {subject.metadata.name} -n {subject.metadata.namespace}"
