"""The gate check: what exists in a namespace, and what Pod Security Admission (PSA) says about it, asked in dry runs.

Each question is a dry run that creates a pod in a preview namespace. PSA's whole verdict comes back as a warning, and
nothing is stored: manifests/admission/preview-dry-run.yaml refuses every request that is no dry run. An answer without
a warning proves something only if PSA warns in that namespace at all. So the first question is about a pod that every
level forbids.
"""

import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from hostnetwork_operator import bodies
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import gate, snapshot, spared
from hostnetwork_operator.observe import live, living

Body = Mapping[str, Any]
# The kinds of Kubernetes itself that make pods from a template. The operator has no permission to read other kinds.
TEMPLATES: Final = {
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "ReplicationController": "/api/v1/namespaces/{}/replicationcontrollers",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
}
# More questions would keep a worker busy for minutes. What was not asked about is not known to be clean, so a namespace
# with more questions is Held.
MOST_QUESTIONS: Final = 1000
# The largest total size of the questions about templates, and of the questions about pods. A usual question has some
# hundred bytes.
_MOST_BYTES: Final = 8 * 2**20
# The API server sends warnings of 4,096 characters in all, and omits every warning after that. If there are many other
# warnings, PSA's verdict may be among those omitted.
_MOST_ELSE: Final = 2000
_PREVIEW: Final = {
    labels.Level.BASELINE: labels.PREVIEW_NAMESPACES[0],
    labels.Level.RESTRICTED: labels.PREVIEW_NAMESPACES[1],
}
_FORBIDDEN: Final = living.asked({}, {"hostPID": True, "containers": [{"name": "main", "image": "none"}]})
# How the API server begins a refusal by an admission policy, by an admission policy whose expressions fail, by a
# webhook, and by a webhook that cannot be called.
_POLICIES: Final = (
    re.compile(r"""pods "gate" is forbidden: (?P<policy>ValidatingAdmissionPolicy '[^']*') (with binding|denied)"""),
    re.compile(r"""(?P<policy>policy ['"][^'"]*['"]) (with binding|denied)"""),
    re.compile(r'(?P<policy>admission webhook "[^"]*") (denied the request|does not support dry run)'),
    re.compile(r'Internal error occurred: failed calling (?P<policy>webhook "[^"]*")'),
)
# How the API server begins a refusal because of RBAC.
_RIGHT: Final = re.compile(r'pods is forbidden: User ".*" cannot create resource "pods"')
_VERDICT: Final = re.compile(
    r'would violate PodSecurity "(?P<level>[^":]*):(?P<version>[^"]*)": (?P<why>.*)', re.DOTALL
)


class Asker(live.Reader, Protocol):
    """The part of the gateway that the gate needs. It raises its own errors.

    If the API server refuses the dry run, the answer has the reason for that.
    """

    async def preview(self, path: str, body: Body) -> bodies.Answer: ...


async def look(
    asker: Asker, state: snapshot.NamespaceSnapshot, target: labels.Level, clock: live.Clock
) -> snapshot.GateAnswer:
    """Return what enforcement at `target` would refuse of what exists in a namespace now."""
    try:
        all_living = [item async for item in existing(asker, state.namespace.name, most_bytes=_MOST_BYTES)]
    except TooMuchError:
        nothing = gate.inquire(state, (), clock.now())
        return _failed(target, clock, nothing, "the objects in the namespace are too large to check")
    inquiry = gate.inquire(state, all_living, clock.now())
    questions = {question.key: question for question in inquiry.questions}
    if len(questions) > MOST_QUESTIONS:
        return _failed(target, clock, inquiry, f"the namespace has more than {MOST_QUESTIONS} different pods")
    answers = {key: reason for key, reason in (state.gate.answers if state.gate else {}).items() if key in questions}
    asked = await ask(asker, [question for key, question in questions.items() if key not in answers], inquiry.version)
    if asked.failed:
        return _failed(target, clock, inquiry, asked.failed)
    answers |= asked.answers
    unanswered = asked.unanswered  # these questions are asked again in the next gate check
    all_answers = {**answers, **unanswered}
    holders, blocking = gate.holders(inquiry, all_answers, unanswered), gate.holding(inquiry, all_answers)
    excepted = inquiry.excepted
    return snapshot.GateAnswer(target, clock.now(), holders, "", excepted, answers, blocking.holding, blocking.basis)


class Answered(NamedTuple):
    """The answers of Pod Security Admission by the key of the question, '' if it allows the pod.

    `unanswered` has the reason why there is no answer. `failed` is why no question was asked, or ''.
    """

    answers: dict[str, str]
    unanswered: dict[str, str]
    failed: str = ""


async def ask(asker: Asker, questions: Sequence[gate.Question], version: str) -> Answered:
    """Ask each question, by this version of the Pod Security Standards."""
    asked = Answered({}, {})
    for level in sorted({question.level for question in questions}):
        if why := await _speechless(asker, level, version):
            return Answered({}, {}, why)
    for question in questions:
        reason = await _reason(asker, question)
        (asked.answers if reason.known else asked.unanswered)[question.key] = reason.text
    return asked


async def strictest(asker: Asker, bodies: Sequence[Body], version: str) -> labels.Level | str:
    """Return the strictest level that allows all these pods; why that cannot be told, if it cannot."""
    for level in (labels.Level.RESTRICTED, labels.Level.BASELINE):
        if why := await _speechless(asker, level, version):
            return why
        reasons = [await _reason(asker, gate.Question("", level, body)) for body in bodies]
        if unknown := next((reason.text for reason in reasons if not reason.known), ""):
            return unknown
        if not any(spared.answer(reason.text) for reason in reasons):
            return level
    return labels.Level.PRIVILEGED


def _failed(target: labels.Level, clock: live.Clock, inquiry: gate.Inquiry, why: str) -> snapshot.GateAnswer:
    return snapshot.GateAnswer(target, clock.now(), failed=why, excepted=inquiry.excepted)


class TooMuchError(Exception):
    """The questions about what exists in a namespace would take too much memory."""


async def existing(
    reader: live.Reader, namespace: str | None, *, most_bytes: float = math.inf
) -> AsyncIterator[snapshot.Living]:
    """Yield the templates of a namespace, or with None of all, then the pods that living.Pods has chosen.

    The templates of a workload and the pod that is chosen for it have one `identity`. If the questions about templates,
    or those about pods, are larger than `most_bytes`, raise TooMuchError. The reader raises its own errors.
    """
    workloads: dict[str, living.Workload] = {}
    async for template in _templates(reader, namespace, most_bytes):
        if isinstance(template, living.Workload):
            workloads[template.uid] = template
        else:
            yield template
    for workload in workloads.values():
        if living.top(workload, workloads) is workload and not workload.ended:
            yield workload.living
    async for pod in _pods(reader, namespace, workloads, most_bytes):
        yield pod


async def _pods(
    reader: live.Reader, namespace: str | None, workloads: Mapping[str, living.Workload], most_bytes: float
) -> AsyncIterator[snapshot.Living]:
    """Yield the pods that living.Pods has chosen in each namespace, and those that cannot be decoded."""
    pods: dict[str, living.Pods] = {}
    async for page in live.pages(reader, _path("/api/v1/namespaces/{}/pods", namespace)):
        by_namespace: dict[str, list[Body]] = {}
        for body in page.items:
            by_namespace.setdefault(body["metadata"]["namespace"], []).append(body)
        for name, items in by_namespace.items():
            pods.setdefault(name, living.Pods(workloads)).page(items)
        _bounded(sum(chosen.weight for chosen in pods.values()), most_bytes)
        for undecoded in page.undecoded:
            yield living.unreadable("Pod", undecoded.meta, undecoded.why)
    for chosen in pods.values():
        for pod in chosen.living():
            yield pod


async def _templates(
    reader: live.Reader, namespace: str | None, most_bytes: float
) -> AsyncIterator[living.Workload | snapshot.Living]:
    """Yield the workloads of every kind, as an unreadable object where a workload cannot be read."""
    weight = 0
    for kind, path in TEMPLATES.items():
        async for page in live.pages(reader, _path(path, namespace)):
            for template in (living.read(kind, body) for body in page.items):
                weight += living.weight(template.living if isinstance(template, living.Workload) else template)
                yield template
            for undecoded in page.undecoded:
                yield living.unreadable(kind, undecoded.meta, undecoded.why)
            _bounded(weight, most_bytes)


def _path(path: str, namespace: str | None) -> str:
    """Return the path of a list in a namespace, or with None in all."""
    return path.replace("/namespaces/{}", "") if namespace is None else path.format(namespace)


def _bounded(weight: int, most_bytes: float) -> None:
    if weight > most_bytes:
        raise TooMuchError


async def _speechless(asker: Asker, asked: labels.Level, version: str) -> str:
    """Return why the answers from the preview namespace of a level cannot be relied on; '' if they can."""
    preview = _PREVIEW[asked]
    answer = await asker.preview(f"/api/v1/namespaces/{preview}/pods", _FORBIDDEN)
    if answer.refused:
        return f"the API server refused a dry run in namespace {preview!r}: {explained(answer.refused)}"
    verdict = _verdict(answer.warnings)
    if verdict is None or verdict["level"] != asked:
        return f"namespace {preview!r} does not warn at level {asked}; run kubectl apply -k manifests/base"
    if verdict["version"] != version:
        return (
            f"namespace {preview!r} warns by version {verdict['version']}, and the policy has version {version}; set"
            f" the label {labels.PSA_WARN}-version of the namespace to {version}"
        )
    return ""


class _PreviewReason(NamedTuple):
    """Why Pod Security Admission forbids a pod, '' if it allows the pod. If that is not `known`, why it is not."""

    text: str
    known: bool = True


async def _reason(asker: Asker, question: gate.Question) -> _PreviewReason:
    answer = await asker.preview(f"/api/v1/namespaces/{_PREVIEW[question.level]}/pods", question.body)
    if answer.refused:
        return _PreviewReason(
            f"not known, because the API server refused the dry run: {explained(answer.refused)}", known=False
        )
    verdict = _verdict(answer.warnings)
    if verdict is not None:
        return _PreviewReason(verdict["why"])
    if sum(len(text) for text in answer.warnings) > _MOST_ELSE:
        return _PreviewReason("not known, because the API server answered with too many other warnings", known=False)
    return _PreviewReason("")


def explained(refusal: str) -> str:
    """Return the API server's refusal with the remedy. If a policy of another owner refused, its name and the remedy
    come first.

    They come first because the annotation held-by is cut off at its end, and the text of a policy may be long.
    """
    namespaces = " and ".join(labels.PREVIEW_NAMESPACES)
    if _RIGHT.match(refusal):
        return f"{refusal}; bind the ClusterRole {labels.PREVIEW_ROLE} in the namespaces {namespaces}"
    policy = next((match["policy"] for pattern in _POLICIES if (match := pattern.match(refusal))), None)
    if policy is None or policy[:-1].endswith(labels.GROUP):  # up to the quotation mark: a policy of the operator
        return refusal
    return f"{policy} refuses the dry run; exclude the namespaces {namespaces} from that policy; got: {refusal}"


def _verdict(warnings: tuple[str, ...]) -> re.Match[str] | None:
    return next((verdict for text in warnings if (verdict := _VERDICT.match(text))), None)
