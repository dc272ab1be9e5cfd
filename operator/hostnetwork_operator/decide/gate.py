"""The gate: what enforcement would refuse of what lives in a namespace, less what an exception would cover.

Pod Security Admission judges, not we: each template and each pod becomes a question to it, asked as a dry run in a
preview namespace. What an exception covers is left out of its question, as relaxed-namespace leaves it out. This module
must not know how a question is asked; that is observe/preview.
"""

import datetime
import hashlib
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import (
    approval,
    coverage,
    grants,
    level,
    ownership,
    selection,
    snapshot,
    spared,
    validity,
)

_MOST_HOLDING: Final = 100  # the ledger has some KiB for a namespace
_MOST_IMAGES: Final = 4  # in a sentence: held-by has 1,000 characters for all holders


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a pod such as `body` may be at `level`, asked for the sake of `subject` (`Deployment web`).

    `standards` says which Pod Security Standards: their version, and the cluster's, since `latest` moves with it.
    `holder` is the subject as the ledger keeps it. `covered`: an exception spares the pod what is not asked about.
    `lacks` is why the exceptions that are there do not help, '' where there is none.
    """

    subject: str
    level: labels.Level
    body: Mapping[str, Any]
    standards: str = ""
    holder: str = ""
    covered: bool = False
    lacks: str = ""

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
    return tuple(standing for standing in _would_be(seen, now) if standing.in_force)


def _would_be(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> tuple[validity.Standing, ...]:
    """All exceptions, as they would stand if enforcement were on."""
    settings = selection.settings(seen)
    enforced = level.Decision(labels.Enforcement.DENY)
    standings = validity.standings(seen, approval.rulings(seen, now), now)
    # Once the namespace is enforced it is in the ledger, unless nothing can be recorded.
    recorded = not seen.ledger.trouble
    owned = ownership.owned(seen)
    would_be, _ = grants.withhold(seen, owned, settings, enforced, standings, now, recorded=recorded)
    return tuple(would_be)


def names(standings: Iterable[validity.Standing]) -> frozenset[str]:
    """Those of their exceptions."""
    return frozenset(standing.exception.metadata.name for standing in standings)


def inquire(seen: snapshot.NamespaceSnapshot, living: Iterable[snapshot.Living], now: datetime.datetime) -> Inquiry:
    """What to ask about what lives there. What came after the namespace was first to be enforced does not hold it, and
    neither does what was changed since: a tenant has no veto (docs/explanation/architecture.md#the-gate).

    When a template was changed nobody knows whom a tenant could not deceive. So the ledger keeps what held at first.
    """
    settings = selection.settings(seen)
    standings = _would_be(seen, now)
    counted = names(standing for standing in standings if standing.in_force)
    since = level.held_since(seen, now)
    version = settings.pod_security.version if settings.pod_security is not None else ""
    basis = _basis(settings.target, version, seen, counted)
    first = _first(seen, basis)
    questions: list[Question] = []
    holding: list[tuple[str, str, str]] = []
    subjects = [
        _Subject(one, _covering(one.pod, standings, settings.target))
        for one in sorted(living, key=lambda o: (o.kind, o.name))
    ]
    for one in subjects:
        if one.living.created > since or (first is not None and one.holder not in first):
            continue
        try:
            question = _asked(one, settings.target, standings, subjects)
        except Exception as error:  # whatever it is about one object, all others are still asked about
            question = f"cannot be understood: {type(error).__name__}: {error}"
        if isinstance(question, Question):
            questions.append(replace(question, standards=f"{version} {seen.kubernetes}", holder=one.holder))
        elif question:
            holding.append((one.name, question, one.holder))
    return Inquiry(tuple(questions), version, tuple(holding), counted, basis)


def holders(inquiry: Inquiry, known: Mapping[str, str], unanswered: Container[str] = ()) -> tuple[str, ...]:
    """By whom enforcement is held, one sentence each; `known` has the answer to each question, empty for none, or why
    there is no answer to those that are `unanswered`, which no exception helps against.
    """
    told = {subject: reason for subject, reason, _ in reversed(inquiry.holding)}
    for question in inquiry.questions:
        if reason := known[question.key]:
            reason = spared.answer(reason) if question.covered else reason
            lacks = f", and {question.lacks}" if question.lacks and question.key not in unanswered else ""
            told.setdefault(question.subject, f"{reason} (level {question.level}){lacks}")
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True)
class _Subject:
    """A template or a pod, and the exceptions in force that cover it."""

    living: snapshot.Living
    covering: tuple[validity.Standing, ...]

    @property
    def name(self) -> str:
        return f"{self.living.kind} {self.living.name}"

    @property
    def holder(self) -> str:
        """The subject as the ledger keeps it."""
        return _digest(self.living.identity)


def _covering(
    pod: snapshot.Pod | snapshot.UnreadablePod, standings: Iterable[validity.Standing], target: labels.Level
) -> tuple[validity.Standing, ...]:
    if isinstance(pod, snapshot.UnreadablePod) or not coverage.relies_on_a_grant(pod, target):
        return ()
    return tuple(one for one in standings if one.in_force and coverage.covers(one, pod).covers)


def _asked(
    one: _Subject, target: labels.Level, standings: Sequence[validity.Standing], subjects: Sequence[_Subject]
) -> Question | str:
    """What is asked about it; or why it holds, '' if it does not."""
    pod, body = one.living.pod, one.living.body
    if isinstance(pod, snapshot.UnreadablePod):
        return f"cannot be understood: {pod.why}"
    if one.covering:
        return "" if target is labels.Level.PRIVILEGED else _covered(one, pod, target) or ""
    if target is not labels.Level.PRIVILEGED:
        near = [standing for standing in standings if _may_help(standing, pod, target)]
        lacks = _lacks(one, pod, near, subjects) if near else ""
        return Question(one.name, target, body, lacks=lacks)
    return _lacks(one, pod, standings, subjects) if pod.host_namespaces else ""


def _may_help(standing: validity.Standing, pod: snapshot.Pod, target: labels.Level) -> bool:
    """Return whether what the exception lacks is worth a word about the pod. Of a pod without host namespaces only an
    exception for such pods of the same account is: most such pods need none.
    """
    spec = standing.exception.spec
    if pod.host_namespaces:
        return True
    for_such = not spec.host_namespaces and spec.service_account == pod.service_account
    return for_such and coverage.relies_on_a_grant(pod, target)


def _covered(one: _Subject, pod: snapshot.Pod, target: labels.Level) -> Question | None:
    """None where nothing is asked of a pod: the exception that covers it says privileged."""
    # The least strict of the exceptions that cover it, as in relaxed-namespace; and there an exception for pods without
    # host namespaces makes nothing stricter.
    least = min((s.exception for s in one.covering), key=lambda e: e.spec.pod_security_level.strictness)
    asked = least.spec.pod_security_level
    if not pod.host_namespaces:
        asked = min(asked, target, key=lambda each: each.strictness)
    if asked is labels.Level.PRIVILEGED:
        return None
    body = spared.rest(
        one.living.body,
        network=labels.HostNamespace.NETWORK in pod.host_namespaces,
        ports=not pod.host_namespaces,
    )
    lacks = f"exception {least.metadata.name!r} asks for podSecurityLevel {asked} of the pods that it covers"
    return Question(one.name, asked, body, covered=True, lacks=lacks)


def _lacks(
    one: _Subject, pod: snapshot.Pod, standings: Sequence[validity.Standing], subjects: Sequence[_Subject]
) -> str:
    """Return why no exception covers the pod: what the nearest lacks.

    Where admission rewrites images, to a mirror or to digests, the template has one form and its pods have another.
    """
    why = coverage.judge(pod, standings, exempt=False).why
    differing = (
        other.living.pod.images ^ pod.images
        for other in subjects
        if other.holder == one.holder and isinstance(other.living.pod, snapshot.Pod)
        if any(coverage.covers(each, pod).failed is coverage.Condition.IMAGES for each in other.covering)
    )
    images = sorted(next(differing, ()))
    if not images:
        return why
    more = f" and {len(images) - _MOST_IMAGES} more" if len(images) > _MOST_IMAGES else ""
    return (
        f"{why}. Its template and its running pods have different images, as where admission rewrites images; write an"
        f" exception that lists all of these: {', '.join(images[:_MOST_IMAGES])}{more}"
    )
