"""The gate: what enforcement would refuse of what lives in a namespace, less what an exception would cover.

Pod Security Admission judges, not we: each template and each pod becomes a question to it, asked as a dry run in a
preview namespace. What an exception covers is left out of its question, as relaxed-namespace leaves it out. This module
must not know how a question is asked; that is observe/preview.
"""

import copy
import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import approval, coverage, grants, level, ownership, selection, snapshot, validity

_MOST_HOLDING: Final = 100  # the ledger has some KiB for a namespace
_CONTAINERS: Final = ("initContainers", "containers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a pod such as `body` may be at `level`, asked for the sake of `subject` (`Deployment web`).

    `standards` says which Pod Security Standards: their version, and the cluster's, since `latest` moves with it.
    `holder` is the subject as the ledger keeps it.
    """

    subject: str
    level: labels.Level
    body: Mapping[str, Any]
    standards: str = ""
    holder: str = ""

    @property
    def key(self) -> str:
        """The same for the same question, whoever it is asked for."""
        text = json.dumps([self.standards, self.level.value, self.body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What has to be asked of which version of the Pod Security Standards, and what holds already: by subject, reason,
    and how the ledger keeps it. `excepted` are the exceptions counted, and `basis` says all that is judged by.
    """

    questions: tuple[Question, ...]
    version: str
    holding: tuple[tuple[str, str, str], ...]
    excepted: frozenset[str]
    basis: str


def excepted(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> tuple[validity.Standing, ...]:
    """The exceptions that would be in force if enforcement were on."""
    settings = selection.settings(seen)
    enforced = level.Decision(labels.Enforcement.DENY)
    standings = validity.standings(seen, approval.rulings(seen, now), now)
    # Once the namespace is enforced it is in the ledger, unless nothing can be recorded.
    recorded = not seen.ledger.trouble
    owned = ownership.owned(seen)
    would_be, _ = grants.withhold(seen, owned, settings, enforced, standings, now, recorded=recorded)
    return tuple(standing for standing in would_be if standing.in_force)


def names(standings: Iterable[validity.Standing]) -> frozenset[str]:
    """Those of their exceptions."""
    return frozenset(standing.exception.metadata.name for standing in standings)


def inquire(seen: snapshot.NamespaceSnapshot, living: Iterable[snapshot.Living], now: datetime.datetime) -> Inquiry:
    """What to ask about what lives there. What came after the namespace was first to be enforced does not hold it, and
    neither does what was changed since: a tenant has no veto (design, section 4).

    When a template was changed nobody knows whom a tenant could not deceive. So the ledger keeps what held at first.
    """
    settings = selection.settings(seen)
    counted = excepted(seen, now)
    since = level.held_since(seen, now)
    version = settings.pod_security.version if settings.pod_security is not None else ""
    basis = _basis(settings.target, version, seen, names(counted))
    first = _first(seen, basis)
    questions: list[Question] = []
    holding: list[tuple[str, str, str]] = []
    for one in sorted(living, key=lambda one: (one.kind, one.name)):
        holder = _holder(one)
        if one.created > since or (first is not None and holder not in first):
            continue
        subject = f"{one.kind} {one.name}"
        try:
            question = _asked(subject, one, settings.target, counted)
        except Exception as error:  # whatever it is about one object, all others are still asked about
            question = f"cannot be understood: {type(error).__name__}: {error}"
        if isinstance(question, Question):
            questions.append(replace(question, standards=f"{version} {seen.kubernetes}", holder=holder))
        elif question:
            holding.append((subject, question, holder))
    return Inquiry(tuple(questions), version, tuple(holding), names(counted), basis)


def holders(inquiry: Inquiry, known: Mapping[str, str]) -> tuple[str, ...]:
    """By whom enforcement is held, one sentence each; `known` has the answer to each question, empty for none."""
    told = {subject: reason for subject, reason, _ in reversed(inquiry.holding)}
    for question in inquiry.questions:
        if reason := known[question.key]:
            told.setdefault(question.subject, f"{reason} (level {question.level})")
    return tuple(f"{subject}: {reason}" for subject, reason in sorted(told.items()))


def holding(inquiry: Inquiry, known: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """By whom enforcement is held as the ledger keeps it, and what that was judged by; () and '' for too many."""
    found = {holder for _, _, holder in inquiry.holding}
    found |= {question.holder for question in inquiry.questions if known[question.key]}
    return (tuple(sorted(found)), inquiry.basis) if len(found) <= _MOST_HOLDING else ((), "")


def kept(
    seen: snapshot.NamespaceSnapshot, known: ledger.NamespaceRecord, decision: level.Decision
) -> Mapping[str, Any]:
    """Return what the ledger is to have of the holders of a namespace that is held: those of the first look, until it
    is judged by something else.
    """
    if decision.since is None:
        return {"holding": (), "basis": ""}
    answer = seen.gate
    if answer is None or answer.failed or (known.held is not None and known.basis == answer.basis):
        return {"holding": known.holding, "basis": known.basis}
    return {"holding": answer.holding, "basis": answer.basis}


def _basis(target: labels.Level, version: str, seen: snapshot.NamespaceSnapshot, counted: Iterable[str]) -> str:
    return _digest(f"{target} {version} {seen.kubernetes} {' '.join(sorted(counted))}")


def _first(seen: snapshot.NamespaceSnapshot, basis: str) -> frozenset[str] | None:
    """Who held when enforcement was first held, judged by the same; None where that is not known."""
    known = seen.ledger.namespace
    return frozenset(known.holding) if known is not None and known.held is not None and known.basis == basis else None


def _holder(one: snapshot.Living) -> str:
    return _digest(one.identity)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _covering(pod: snapshot.Pod, counted: Sequence[validity.Standing]) -> list[validity.Standing]:
    return [standing for standing in counted if coverage.covers(standing, pod).covers] if pod.host_namespaces else []


def _asked(
    subject: str, one: snapshot.Living, target: labels.Level, counted: Sequence[validity.Standing]
) -> Question | str:
    """What is asked about it; or why it holds, '' if it does not."""
    if isinstance(one.pod, snapshot.UnreadablePod):
        return f"cannot be understood: {one.pod.why}"
    if target is not labels.Level.PRIVILEGED:
        return _question(subject, one.pod, one.body, target, counted) or ""
    if not one.pod.host_namespaces or _covering(one.pod, counted):
        return ""
    return coverage.judge(one.pod, counted, exempt=False).why


def _question(
    subject: str,
    pod: snapshot.Pod,
    body: Mapping[str, Any],
    target: labels.Level,
    counted: Sequence[validity.Standing],
) -> Question | None:
    """None where nothing is asked of a pod: the exception that covers it says privileged."""
    covering = _covering(pod, counted)
    if not covering:
        return Question(subject, target, body)
    # The least strict of the exceptions that cover it, as in relaxed-namespace.
    least = min((s.exception.spec.pod_security_level for s in covering), key=lambda one: one.strictness)
    if least is labels.Level.PRIVILEGED:
        return None
    return Question(subject, least, _spared(body, network=labels.HostNamespace.NETWORK in pod.host_namespaces))


def _spared(body: Mapping[str, Any], *, network: bool) -> Mapping[str, Any]:
    """The same pod without what the exception that covers it allows, so that only the rest is judged."""
    made = copy.deepcopy(dict(body))
    spec = made["spec"]
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        spec.pop(field, None)
    for volume in spec.get("volumes") or ():
        if volume.pop("hostPath", None) is not None:
            volume["emptyDir"] = {}
    for container in (one for kind in _CONTAINERS for one in spec.get(kind) or ()):
        context = container.get("securityContext") or {}
        context.pop("privileged", None)
        (context.get("capabilities") or {}).pop("add", None)
        if network:
            _spare_network(container)
    return made


def _spare_network(container: dict[str, Any]) -> None:
    for port in container.get("ports") or ():
        port.pop("hostPort", None)
    lifecycle = container.get("lifecycle") or {}
    for handler in (*(container.get(key) for key in _PROBES), *(lifecycle.get(key) for key in _HOOKS)):
        for way in ("httpGet", "tcpSocket"):
            ((handler or {}).get(way) or {}).pop("host", None)
