"""Which workloads have pods that the API server refuses for their host namespaces, and which Events report that.

The cause is decided from the template, as every verdict is decided from the pod; no Event is believed. A workload is
judged here only after the operator read it live and saw fewer pods than it wants (observe/refused).
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import classify, coverage, effects, level, messages, snapshot, validity

# An Event rests on a workload that was read no longer ago than this.
_FRESH: Final = datetime.timedelta(seconds=10)
# The API server keeps Events for an hour (--event-ttl). If the cause lasts longer, the operator emits the Event again
# under the same name.
_AGAIN: Final = datetime.timedelta(minutes=15)
# Characters of one part of a message, of an Event's 1,024: no part must crowd out the others.
_MOST_WHY: Final = 250
_MOST_LISTED: Final = 200
# The controllers of these kinds create pods immediately after a rollout restart. For other kinds, any change of the
# workload does the same.
_RESTARTED: Final = frozenset({"DaemonSet", "Deployment", "StatefulSet"})
# Measured. The controllers of all other kinds wait up to 1,000 s, the limit of client-go's rate limiter.
_LONGEST_WAIT: Final = {"Job": "a minute"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A workload that lacks pods, the verdict on the next pod from its template, what the workload looks like by this
    pod, and what people read about all of that.
    """

    shortage: snapshot.Shortage
    verdict: coverage.PodVerdict
    classification: classify.Classification
    text: str

    @property
    def refused(self) -> bool:
        """Whether the next pod is refused too; False if an exception covers that pod, and its controller only waits."""
        return self.verdict.verdict is not labels.Verdict.COVERED


def find(
    state: snapshot.NamespaceSnapshot,
    standings: Sequence[validity.Standing],
    now: datetime.datetime,
    *,
    exempt: bool,
) -> tuple[Refusal, ...] | None:
    """Return the workloads that lack pods, in the order of their names; an empty tuple if nothing refuses their pods.

    Return None if it is not known which workloads lack pods, or whether anything refuses their pods.
    """
    refuses = _refuses(state, now, exempt=exempt)
    if refuses is False:
        return ()
    if refuses is None or state.shortages is None:
        return None
    ordered = sorted(state.shortages, key=lambda item: (item.workload.kind, item.workload.name, item.workload.uid))
    return tuple(judged for shortage in ordered if (judged := _judged(shortage, standings, now)) is not None)


def complete(state: snapshot.NamespaceSnapshot, now: datetime.datetime, *, exempt: bool) -> bool:
    """Return whether `find` finds every workload that lacks pods: not if Events were not listed that may name more."""
    return state.shortages_complete or _refuses(state, now, exempt=exempt) is False


def _refuses(state: snapshot.NamespaceSnapshot, now: datetime.datetime, *, exempt: bool) -> bool | None:
    """Return whether the API server refuses uncovered pods with host namespaces; None if that cannot be told.

    Every level but privileged refuses all such pods. At privileged, only our admission policy refuses them, if it is in
    force. A policy that was applied a moment ago, or that may be half of an upgrade, is in force or will be.
    """
    namespace = state.namespace
    if exempt or namespace.terminating or namespace.enforcement is not labels.Enforcement.DENY:
        return False
    enforced = namespace.labels.get(labels.PSA_ENFORCE)
    if level.strictness(enforced, absent=labels.Level.PRIVILEGED) > labels.Level.PRIVILEGED.strictness:
        return True
    guard = state.guards.get(labels.POLICY_HOST_NAMESPACES)
    if guard is None or guard.missing(now):
        return False
    return True if guard.counts(now) else None


def _judged(
    shortage: snapshot.Shortage, standings: Sequence[validity.Standing], now: datetime.datetime
) -> Refusal | None:
    """Return the refusal of a workload; None if the workload cannot be judged. A refusal is only shown, and the levels
    of the namespace must not wait for it.
    """
    # The next pod would be created now, whatever the age of the workload.
    pod = replace(shortage.pod, created=now)
    try:
        verdict = coverage.judge(pod, standings, exempt=False)
        seen = classify.of_pods(shortage.top, (pod,))
        return Refusal(shortage, verdict, seen, _text(verdict, classify.clause(seen)))
    except Exception:
        return None


def count(refused: Sequence[Refusal] | None, *, complete: bool = True) -> int | None:
    """Return how many workloads are refused; None if that is not known. A Deployment counts as one workload, however
    many of its ReplicaSets are refused.
    """
    if refused is None or not complete:
        return None
    return len({refusal.shortage.top.uid for refusal in refused if refusal.refused})


def _text(verdict: coverage.PodVerdict, looks: str) -> str:
    """Return why the pods of a workload are refused, and which exception to ask for."""
    pod = verdict.pod
    used = coverage.used(pod.host_namespaces)
    return (
        f"the API server refuses pods of this workload: a pod uses {used}, {f'{looks}, ' if looks else ''}and"
        f" {_cut(verdict.why, _MOST_WHY)}. Remove the host namespaces from the pod template, or ask a user with the"
        f" verb approve for a HostNetworkException in this namespace with {asked_for(pod)}"
    )


def asked_for(pod: snapshot.Pod) -> str:
    """Return the fields of the smallest exception that covers a pod, as YAML in one line."""
    hosts = ", ".join(sorted(pod.host_namespaces))
    fields = [f"serviceAccountName: {pod.service_account}", f"hostNamespaces: [{hosts}]"]
    if pod.privileged:
        fields.append("privileged: true")
    if pod.capabilities:
        fields.append(f"capabilities: {_listed(pod.capabilities)}")
    if pod.host_paths:
        paths = (f"{{path: {mount.path}, readOnly: {str(mount.read_only).lower()}}}" for mount in pod.host_paths)
        fields.append(f"hostPaths: {_listed(paths)}")
    images = (f'"{image}"' for image in pod.images)
    return ", ".join([*fields, f"images: {_listed(images)}"])


def events(
    refused: Sequence[Refusal] | None, patience: datetime.timedelta, now: datetime.datetime
) -> tuple[effects.EmitEvent, ...]:
    """Return the Events that are due: one for each workload and cause.

    `patience` is how long a controller may take to create pods after an exception covers them.
    """
    events_by_key: dict[tuple[str, str], effects.EmitEvent] = {}
    for refusal in refused or ():
        if now - refusal.shortage.read > _FRESH:
            continue
        event = (
            _event(refusal, messages.Reason.REFUSED, refusal.text, refusal.text)
            if refusal.refused
            else _waiting(refusal, patience)
        )
        if event is None:
            continue
        emitted = refusal.shortage.emitted.get(event.key)
        if emitted is None or now - emitted >= _AGAIN:
            events_by_key.setdefault((event.regarding.uid, event.key), event)
    return tuple(events_by_key.values())


def _event(refusal: Refusal, reason: str, message: str, key: str) -> effects.EmitEvent:
    return effects.EmitEvent(refusal.shortage.top, "Warning", reason, message, key)


def _waiting(refusal: Refusal, patience: datetime.timedelta) -> effects.EmitEvent | None:
    """Return the Event about a controller that has created no pods since an exception covers them; None if not due."""
    lacking = refusal.shortage
    if lacking.covered is None or lacking.read - lacking.covered < patience:
        return None
    names = ", ".join(repr(e.metadata.name) for e in refusal.verdict.exceptions)
    longest = _LONGEST_WAIT.get(lacking.workload.kind, "17 minutes")
    message = (
        f"exception {names} covers the pods of {lacking.workload.kind} {lacking.workload.name}, and {lacking.present}"
        f" of {lacking.wanted} pods exist; the controller of the pods waits longer after every refusal, up to"
        f" {longest}; to have pods created now: {_try_again(lacking)}; if the API server refuses pods after that, the"
        " Event FailedCreate says why"
    )
    key = " ".join([lacking.workload.uid, *(e.metadata.uid for e in refusal.verdict.exceptions)])
    return _event(refusal, messages.Reason.WAITING, message, key)


def _try_again(lacking: snapshot.Shortage) -> str:
    top, workload = lacking.top, lacking.workload
    if top.kind in _RESTARTED:
        return f"kubectl rollout restart {top.kind.lower()}/{top.name} -n {top.namespace}"
    name = f"{workload.kind.lower()}/{workload.name}"
    return f"kubectl annotate {name} -n {workload.namespace} --overwrite retried-at=$(date +%s)"


def _listed(items: Iterable[str]) -> str:
    return f"[{_cut(', '.join(sorted(items)), _MOST_LISTED)}]"


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[:most]}…"
