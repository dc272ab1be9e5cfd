"""The gate: what enforcement would refuse of the objects that exist in a namespace, less what an exception would cover.

Pod Security Admission judges, not the operator: each template and each pod becomes a question, asked as a dry run in a
preview namespace. A question leaves out what an exception covers, as relaxed-namespace does. This module must not know
how a question is asked; observe/preview knows.
"""

import datetime
import hashlib
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

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

_MOST_HOLDING: Final = 100  # the ledger has room for some KiB about a namespace
_MOST_IMAGES: Final = 4  # images named in a sentence: held-by has 1,000 characters for all holders


@dataclass(frozen=True, slots=True)
class Question:
    """The question whether `level` allows a pod such as `body`, asked about `subject` (`Deployment web`).

    `standards` says which Pod Security Standards: their version, and that of the cluster, because `latest` depends on
    the cluster. `holder` is the subject as the ledger keeps it. `covered`: an exception covers the pod, and the body
    has only what the exception does not spare the pod. `lacks` is why the existing exceptions do not help, '' if there
    is none.
    """

    subject: str
    level: labels.Level
    body: Mapping[str, Any]
    standards: str = ""
    holder: str = ""
    covered: bool = field(default=False, kw_only=True)
    lacks: str = ""

    @property
    def key(self) -> str:
        """The digest of the question: the same for equal questions about different subjects."""
        text = json.dumps([self.standards, self.level.value, self.body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Blocker(NamedTuple):
    """A subject that blocks enforcement without a question, and why. `holder` is the subject as the ledger keeps it."""

    subject: str
    reason: str
    holder: str


class Holders(NamedTuple):
    """What blocks enforcement, as the ledger keeps it, and everything that the subjects were judged by."""

    holding: tuple[str, ...] = ()
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """The questions to ask, and what blocks enforcement without a question.

    `version` is that of the Pod Security Standards. `holding` are the subjects that block enforcement already.
    `excepted` are the exceptions that are counted. `basis` says
    everything that the subjects are judged by.
    """

    questions: tuple[Question, ...]
    version: str
    holding: tuple[Blocker, ...]
    excepted: frozenset[str]
    basis: str


def excepted(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> tuple[validity.Standing, ...]:
    """Return the standings of the exceptions that would be in force if enforcement were on."""
    return tuple(standing for standing in _would_be(state, now) if standing.in_force)


def _would_be(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> tuple[validity.Standing, ...]:
    """Return the standings that all exceptions would have if enforcement were on."""
    settings = selection.settings(state)
    enforced = level.Decision(labels.Enforcement.DENY)
    standings = validity.standings(state, approval.rulings(state, now), now)
    # Once enforcement is on, the ledger has the namespace, unless nothing can be recorded.
    recorded = not state.ledger.trouble
    owned = ownership.owned(state)
    return grants.withhold(state, owned, settings, enforced, standings, now, recorded=recorded).standings


def names(standings: Iterable[validity.Standing]) -> frozenset[str]:
    """Return the names of the exceptions."""
    return frozenset(standing.exception.metadata.name for standing in standings)


def inquire(state: snapshot.NamespaceSnapshot, living: Iterable[snapshot.Living], now: datetime.datetime) -> Inquiry:
    """Return what to ask about the objects that exist in a namespace. An object that was created or changed after
    enforcement was first wanted does not block it: a tenant has no veto (docs/explanation/architecture.md#the-gate).

    No source that a tenant cannot forge says when a template was changed. So the ledger keeps the first holders.
    """
    settings = selection.settings(state)
    standings = _would_be(state, now)
    counted = names(standing for standing in standings if standing.in_force)
    since = level.held_since(state, now)
    version = settings.pod_security.version if settings.pod_security is not None else ""
    basis = _basis(settings.target, version, state, counted)
    first = _first(state, basis)
    questions: list[Question] = []
    holding: list[Blocker] = []
    subjects = [
        _Subject(template_or_pod, _covering(template_or_pod.pod, standings, settings.target))
        for template_or_pod in sorted(living, key=lambda o: (o.kind, o.name))
    ]
    for subject in subjects:
        if subject.living.created > since or (first is not None and subject.holder not in first):
            continue
        try:
            question = _asked(subject, settings.target, standings, subjects)
        except Exception as error:  # whatever is wrong with one object, the others are asked about
            question = f"the operator cannot interpret the object: {type(error).__name__}: {error}"
        if isinstance(question, Question):
            questions.append(replace(question, standards=f"{version} {state.kubernetes}", holder=subject.holder))
        elif question:
            holding.append(Blocker(subject.name, question, subject.holder))
    return Inquiry(tuple(questions), version, tuple(holding), counted, basis)


def question(
    template: snapshot.Living, standings: Sequence[validity.Standing], target: labels.Level
) -> Question | None:
    """Return what to ask about one template under these exceptions, wherever the template is; None if no level is left
    to ask about.
    """
    subject = _Subject(template, _covering(template.pod, standings, target))
    asked = _asked(subject, target, standings, (subject,))
    return asked if isinstance(asked, Question) else None


def holders(inquiry: Inquiry, answers: Mapping[str, str], unanswered: Container[str] = ()) -> tuple[str, ...]:
    """Return what blocks enforcement, one sentence for each subject.

    `answers` has the answer to each question: '' if nothing is refused. For a question in `unanswered` it has the
    reason why there is no answer, against which no exception helps.
    """
    reasons = {blocker.subject: blocker.reason for blocker in reversed(inquiry.holding)}
    for question in inquiry.questions:
        if reason := answers[question.key]:
            reason = spared.answer(reason) if question.covered else reason
            lacks = f", and {question.lacks}" if question.lacks and question.key not in unanswered else ""
            reasons.setdefault(question.subject, f"{reason} (level {question.level}){lacks}")
    return tuple(f"{subject}: {reason}" for subject, reason in sorted(reasons.items()))


def holding(inquiry: Inquiry, answers: Mapping[str, str]) -> Holders:
    """Return what blocks enforcement, as the ledger keeps it; nothing if the holders are too many to keep."""
    block_ids = {blocker.holder for blocker in inquiry.holding}
    block_ids |= {question.holder for question in inquiry.questions if answers[question.key]}
    return Holders(tuple(sorted(block_ids)), inquiry.basis) if len(block_ids) <= _MOST_HOLDING else Holders()


def holder_fields(
    state: snapshot.NamespaceSnapshot, stored: ledger.NamespaceRecord, decision: level.Decision
) -> Mapping[str, Any]:
    """Return what the ledger is to have of the holders of a Held namespace: those of the first gate check, until the
    namespace is judged by another basis.
    """
    if decision.since is None:
        return {"holding": (), "basis": ""}
    answer = state.gate
    if answer is None or answer.failed or (stored.held is not None and stored.basis == answer.basis):
        return {"holding": stored.holding, "basis": stored.basis}
    return {"holding": answer.holding, "basis": answer.basis}


def _basis(target: labels.Level, version: str, state: snapshot.NamespaceSnapshot, counted: Iterable[str]) -> str:
    return _digest(f"{target} {version} {state.kubernetes} {' '.join(sorted(counted))}")


def _first(state: snapshot.NamespaceSnapshot, basis: str) -> frozenset[str] | None:
    """Return what blocked enforcement when it was first Held, if judged by the same basis; None if that is not
    known.
    """
    entry = state.ledger.namespace
    return frozenset(entry.holding) if entry is not None and entry.held is not None and entry.basis == basis else None


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
    return tuple(standing for standing in standings if standing.in_force and coverage.covers(standing, pod).covers)


def _asked(
    subject: _Subject, target: labels.Level, standings: Sequence[validity.Standing], subjects: Sequence[_Subject]
) -> Question | str:
    """Return the question about a subject or, if no question is needed, why the subject blocks enforcement; '' if it
    does not.
    """
    pod, body = subject.living.pod, subject.living.body
    if isinstance(pod, snapshot.UnreadablePod):
        return f"the operator cannot interpret the object: {pod.why}"
    if subject.covering:
        return "" if target is labels.Level.PRIVILEGED else _covered(subject, pod, target) or ""
    if target is not labels.Level.PRIVILEGED:
        may_help = [standing for standing in standings if _may_help(standing, pod, target)]
        lacks = _lacks(subject, pod, may_help, subjects) if may_help else ""
        return Question(subject.name, target, body, lacks=lacks)
    return _lacks(subject, pod, standings, subjects) if pod.host_namespaces else ""


def _may_help(standing: validity.Standing, pod: snapshot.Pod, target: labels.Level) -> bool:
    """Return whether the sentence about a pod should say what the exception lacks. For a pod without host namespaces,
    only an exception for such pods of the same service account is mentioned: most such pods need no exception.
    """
    spec = standing.exception.spec
    if pod.host_namespaces:
        return True
    for_plain_pods = not spec.host_namespaces and spec.service_account == pod.service_account
    return for_plain_pods and coverage.relies_on_a_grant(pod, target)


def _covered(subject: _Subject, pod: snapshot.Pod, target: labels.Level) -> Question | None:
    """Return the question about a pod that an exception covers; None if the exception says privileged, so that nothing
    is left to ask.
    """
    # As in relaxed-namespace, the least strict of the covering exceptions counts. An exception for pods without host
    # namespaces makes nothing stricter.
    least_strict = min((s.exception for s in subject.covering), key=lambda e: e.spec.pod_security_level.strictness)
    asked_level = least_strict.spec.pod_security_level
    if not pod.host_namespaces:
        asked_level = min(asked_level, target, key=lambda each: each.strictness)
    if asked_level is labels.Level.PRIVILEGED:
        return None
    body = spared.rest(
        subject.living.body,
        network=labels.HostNamespace.NETWORK in pod.host_namespaces,
        ports=not pod.host_namespaces,
    )
    lacks = f"exception {least_strict.metadata.name!r} requires podSecurityLevel {asked_level} of covered pods"
    return Question(subject.name, asked_level, body, covered=True, lacks=lacks)


def _lacks(
    subject: _Subject, pod: snapshot.Pod, standings: Sequence[validity.Standing], subjects: Sequence[_Subject]
) -> str:
    """Return why no exception covers the pod: what the nearest exception lacks.

    If an admission webhook rewrites images, to a mirror or to digests, a template and its pods have different images.
    """
    why = coverage.judge(pod, standings, exempt=False).why
    differing = (
        other.living.pod.images ^ pod.images
        for other in subjects
        if other.holder == subject.holder and isinstance(other.living.pod, snapshot.Pod)
        if any(coverage.covers(standing, pod).failed is coverage.Criterion.IMAGES for standing in other.covering)
    )
    images = sorted(next(differing, ()))
    if not images:
        return why
    more = f" and {len(images) - _MOST_IMAGES} more" if len(images) > _MOST_IMAGES else ""
    return (
        f"{why}. The pod template and the running pods have different images, for example because admission rewrites"
        f" images; write an exception that lists all of these images: {', '.join(images[:_MOST_IMAGES])}{more}"
    )
