"""Why an exception that is in force covers nothing: what a person can correct, with the remedy.

It needs the exception, the pods of its namespace with their verdicts (host-namespace pods, and pods that an exception
for pods without host namespaces may cover), and whether its service account exists. That nobody can tell whether the
account exists is no reason to say that the account does not exist.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import coverage, snapshot, validity

ACCOUNT_MISSING: Final = "ServiceAccountMissing"
NO_HOST_PODS: Final = "NoHostPods"
IMAGES_DIFFER: Final = "ImagesDiffer"
PODS_DIFFER: Final = "PodsDiffer"
COVERED_BY_ANOTHER: Final = "CoveredByAnother"
# An exception, its service account and its pods come with one apply, in whatever order. The reason is due in a minute.
SETTLED: Final = datetime.timedelta(seconds=30)
# An account that is asked for again this often: a person who creates the missing one waits for it.
AGAIN: Final = datetime.timedelta(seconds=60)
# So long after its creation the pods of an exception are expected that no watch tells of (only hostPID or hostIPC):
# their namespace is listed each minute, or "covers nothing" would be wrong for up to an hour.
EXPECTED: Final = datetime.timedelta(minutes=10)
# Accounts of a namespace that are asked for. Of more nobody can tell.
MOST: Final = 16
_NAMED: Final = 3  # things named in a sentence


@dataclass(frozen=True, slots=True)
class Why:
    """A reason of the condition InUse, and the sentence for it."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """By uid why exceptions cover nothing, None where their account must be asked for first; the accounts to `ask` for;
    and the moments at which a reason is due, or an account is to be asked for again.
    """

    why: Mapping[str, Why | None]
    ask: tuple[str, ...]
    moments: tuple[datetime.datetime, ...]


def reasons(
    seen: snapshot.NamespaceSnapshot,
    standings: Sequence[validity.Standing],
    verdicts: Sequence[coverage.PodVerdict],
    now: datetime.datetime,
) -> Reasons:
    """Return what there is to say of the exceptions in force that cover nothing, by what is known of their accounts."""
    quiet = silent(standings, coverage.by_exception(verdicts), seen.every_pod_listed, now)
    wanted = accounts(quiet, verdicts)
    old = tuple(name for name in wanted if name not in seen.accounts or seen.accounts[name].asked + AGAIN <= now)
    made: dict[str, Why | None] = {}
    for standing in quiet:
        name = standing.exception.spec.service_account
        known = name not in wanted or name in seen.accounts
        made[standing.exception.metadata.uid] = why(standing, verdicts, seen.accounts.get(name)) if known else None
    moments = [seen.accounts[name].asked + AGAIN for name in set(wanted) - set(old) if not seen.accounts[name].exists]
    moments += [due(standing) for standing in standings if standing.in_force]
    return Reasons(made, old, tuple(moment for moment in moments if moment > now))


def unlisted(standing: validity.Standing, seen: snapshot.NamespaceSnapshot) -> bool:
    """Return whether nobody can tell which pods without host namespaces the exception covers: the last list of all pods
    was made when no such exception for its account was known.
    """
    spec = standing.exception.spec
    return standing.readable and not spec.host_namespaces and spec.service_account not in seen.plain_accounts


def lists(standing: validity.Standing, listed: datetime.datetime, *, covers: bool) -> list[datetime.datetime]:
    """Return when all pods of its namespace are to be listed next for an exception in force.

    No watch tells of pods without host namespaces. Their exception has them counted each minute while it is young, and
    every ten minutes then.
    """
    first, last = due(standing), standing.exception.metadata.creation_timestamp + EXPECTED
    if not standing.exception.spec.host_namespaces and (covers or listed >= last):
        return [listed + (AGAIN if listed < last else EXPECTED)]
    if covers or watched(standing):
        return []
    return [first if listed < first else min(listed + AGAIN, last)]


def due(standing: validity.Standing) -> datetime.datetime:
    """Return from when an exception that covers nothing is to say why."""
    return standing.exception.metadata.creation_timestamp + SETTLED


def watched(standing: validity.Standing) -> bool:
    """Return whether a watch tells of all pods that an exception may cover; of those with only hostPID or hostIPC a
    list does (docs/adr/0014).
    """
    return set(standing.exception.spec.host_namespaces) == {labels.HostNamespace.NETWORK}


def silent(
    standings: Sequence[validity.Standing],
    led: Mapping[str, Sequence[coverage.PodVerdict]],
    listed: datetime.datetime | None,
    now: datetime.datetime,
) -> tuple[validity.Standing, ...]:
    """Return the exceptions in force that cover nothing and are to say why.

    `led` has the verdicts by their uids; `listed` is when all pods were listed last.
    """
    return tuple(
        standing
        for standing in standings
        if standing.in_force
        and now >= due(standing)
        and (watched(standing) or (listed is not None and listed >= due(standing)))
        and not led.get(standing.exception.metadata.uid)
    )


def accounts(silent: Sequence[validity.Standing], verdicts: Sequence[coverage.PodVerdict]) -> tuple[str, ...]:
    """Return the service accounts that must be asked for: those of no host-namespace pod. A pod has an account."""
    running = {verdict.pod.service_account for verdict in verdicts}
    return tuple(sorted({standing.exception.spec.service_account for standing in silent} - running)[:MOST])


def why(standing: validity.Standing, verdicts: Sequence[coverage.PodVerdict], account: snapshot.Account | None) -> Why:
    """Return why an exception in force covers none of these pods, which are all of its namespace.

    `account` is what the API server said of its service account, None if it was not asked.
    """
    spec = standing.exception.spec
    own = [v for v in verdicts if v.pod.service_account == spec.service_account and not v.pod.mirror]
    if not own:
        missing = account is not None and account.exists is False
        return _account_missing(standing.exception, verdicts) if missing else _no_host_pods(standing, verdicts)
    judged = [(coverage.covers(standing, verdict.pod), verdict) for verdict in own]
    others = sorted({e.metadata.name for found, v in judged if found.covers for e in v.exceptions})
    if others:
        text = f"its pods are covered by exception {others[0]!r}, which lasts as long or longer"
        return Why(
            COVERED_BY_ANOTHER, f"{text}; delete this one if nothing else needs it: {_delete(standing.exception)}"
        )
    return _differs(standing.exception, [found for found, _ in judged])


def _account_missing(subject: exception.HostNetworkException, verdicts: Sequence[coverage.PodVerdict]) -> Why:
    account, namespace = subject.spec.service_account, subject.metadata.namespace
    text = f"service account {account!r} does not exist in namespace {namespace!r}{_others(verdicts)}"
    create = f"kubectl create serviceaccount {account} -n {namespace}"
    return Why(ACCOUNT_MISSING, f"{text}; create it ({create}), or write a new exception for the account of the pods")


def _no_host_pods(standing: validity.Standing, verdicts: Sequence[coverage.PodVerdict]) -> Why:
    subject = standing.exception
    spec, namespace = subject.spec, subject.metadata.namespace
    shared = ", ".join(sorted(spec.host_namespaces))
    uses = f"shares {shared} of its node" if shared else "uses anything of its node that an exception can name"
    listed = "" if watched(standing) else " when all pods were last listed"
    account = f"service account {spec.service_account!r}"
    text = f"no pod of {account} {uses}{listed}{_others(verdicts)}"
    return Why(
        NO_HOST_PODS,
        f"{text}; if its pods are refused, the Events of their workload say what the exception lacks (kubectl get"
        f" events -n {namespace}); if nothing needs it, delete it: {_delete(subject)}",
    )


def _differs(subject: exception.HostNetworkException, found: Sequence[coverage.Coverage]) -> Why:
    """What the nearest of its pods lacks. No name of a pod: those of a DaemonSet change, and the reason does not."""
    order = list(coverage.Condition)
    nearest = min(found, key=lambda one: (-order.index(one.failed or order[-1]), one.why))
    text = f"no pod of service account {subject.spec.service_account!r} is covered: {nearest.why}"
    remedy = "write a new exception that names what the pods use, or change the pods"
    if nearest.failed is not coverage.Condition.IMAGES:
        return Why(PODS_DIFFER, f"{text}; {remedy}")
    return Why(IMAGES_DIFFER, f"{text}, and it lists {_some(sorted(subject.spec.images or ()))}; {remedy}")


def _others(verdicts: Sequence[coverage.PodVerdict]) -> str:
    """Whose the host-namespace pods of the namespace are, where a name is mistyped."""
    shown = [verdict.pod for verdict in verdicts if verdict.pod.host_namespaces and not verdict.pod.mirror]
    accounts = sorted({pod.service_account for pod in shown})
    return f", and the pods there that share host namespaces run as {_some(accounts)}" if accounts else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _delete(subject: exception.HostNetworkException) -> str:
    return f"kubectl delete hne {subject.metadata.name} -n {subject.metadata.namespace}"
