"""The gate's look: what lives in a namespace, and what Pod Security Admission says of it, asked in dry runs.

Each question is a pod that is created in a preview namespace, as a dry run: PSA's whole verdict comes back as a
warning, and nothing is stored (manifests/admission/preview-dry-run.yaml refuses whatever is no dry run). A silent
answer is worth something only if PSA speaks there at all, so a pod that every level forbids is asked about first.
"""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import gate, snapshot
from hostnetwork_operator.observe import live, living

Body = Mapping[str, Any]
# Whatever makes pods from a template and is part of Kubernetes; the operator may read these and no other kind.
TEMPLATES: Final = {
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "ReplicationController": "/api/v1/namespaces/{}/replicationcontrollers",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
}
# More would keep a worker for minutes; not looked at is not clean, so what is beyond holds.
MOST_QUESTIONS: Final = 1000
_MOST_BYTES: Final = 8 * 2**20  # of the questions of all templates, and of all pods; a usual one has some hundreds
# The API server sends warnings of 4,096 characters in all, and leaves out what comes after those. A verdict may have
# been left out where there is much else.
_MOST_ELSE: Final = 2000
_PREVIEW: Final = {
    labels.Level.BASELINE: labels.PREVIEW_NAMESPACES[0],
    labels.Level.RESTRICTED: labels.PREVIEW_NAMESPACES[1],
}
_FORBIDDEN: Final = living.asked({}, {"hostPID": True, "containers": [{"name": "main", "image": "none"}]})
# How the API server begins a refusal by an admission policy, one whose expressions fail, a webhook, or one that fails.
_POLICIES: Final = (
    re.compile(r"""pods "gate" is forbidden: (?P<policy>ValidatingAdmissionPolicy '[^']*') (with binding|denied)"""),
    re.compile(r"""(?P<policy>policy ['"][^'"]*['"]) (with binding|denied)"""),
    re.compile(r'(?P<policy>admission webhook "[^"]*") (denied the request|does not support dry run)'),
    re.compile(r'Internal error occurred: failed calling (?P<policy>webhook "[^"]*")'),
)
_VERDICT: Final = re.compile(
    r'would violate PodSecurity "(?P<level>[^":]*):(?P<version>[^"]*)": (?P<why>.*)', re.DOTALL
)


class Told(live.Answer, Protocol):
    """What a dry run gave; `refused` is why there is nothing else."""

    @property
    def refused(self) -> str: ...


class Asker(live.Reader, Protocol):
    """The gateway, as far as the gate needs it. Raises its own errors."""

    async def preview(self, path: str, body: Body) -> Told: ...


async def look(
    asker: Asker, seen: snapshot.NamespaceSnapshot, target: labels.Level, clock: live.Clock
) -> snapshot.GateAnswer:
    """What a namespace's enforcement at `target` would refuse of what lives in it now."""
    try:
        found = [one async for one in _living(asker, seen.namespace.name)]
    except _TooMuchError:
        nothing = gate.inquire(seen, (), clock.now())
        return _failed(target, clock, nothing, "what lives there is too large to be asked about")
    inquiry = gate.inquire(seen, found, clock.now())
    questions = {question.key: question for question in inquiry.questions}
    if len(questions) > MOST_QUESTIONS:
        return _failed(target, clock, inquiry, f"more than {MOST_QUESTIONS} different pods live there")
    known = {key: said for key, said in (seen.gate.known if seen.gate else {}).items() if key in questions}
    unknown = [question for key, question in questions.items() if key not in known]
    unanswered: dict[str, str] = {}  # they are asked again in the next gate check
    for one in sorted({question.level for question in unknown}):
        if why := await _speechless(asker, one, inquiry.version):
            return _failed(target, clock, inquiry, why)
    for question in unknown:
        reason, answered = await _reason(asker, question)
        (known if answered else unanswered)[question.key] = reason
    every = {**known, **unanswered}
    held, (holding, basis) = gate.holders(inquiry, every, unanswered), gate.holding(inquiry, every)
    return snapshot.GateAnswer(target, clock.now(), held, "", inquiry.excepted, known, holding, basis)


def _failed(target: labels.Level, clock: live.Clock, inquiry: gate.Inquiry, why: str) -> snapshot.GateAnswer:
    return snapshot.GateAnswer(target, clock.now(), failed=why, excepted=inquiry.excepted)


class _TooMuchError(Exception):
    """What lives in a namespace would take too much memory."""


async def _living(asker: Asker, namespace: str) -> AsyncIterator[snapshot.Living]:
    """The templates first, then of their pods and of all others one of each kind (living.Pods)."""
    workloads: dict[str, living.Workload] = {}
    async for template in _templates(asker, namespace):
        if isinstance(template, living.Workload):
            workloads[template.uid] = template
        else:
            yield template
    for one in workloads.values():
        if living.top(one, workloads) is one and not one.ended:
            yield one.living
    pods = living.Pods(workloads)
    async for page in live.pages(asker, f"/api/v1/namespaces/{namespace}/pods"):
        pods.page(page.items)
        _bounded(pods.weight)
        for undecoded in page.undecoded:
            yield living.unreadable("Pod", undecoded.meta, undecoded.why)
    for found in pods.living():
        yield found


async def _templates(asker: Asker, namespace: str) -> AsyncIterator[living.Workload | snapshot.Living]:
    """The workloads of every kind; those that are not understood as unreadable ones."""
    weight = 0
    for kind, path in TEMPLATES.items():
        async for page in live.pages(asker, path.format(namespace)):
            for one in (living.read(kind, body) for body in page.items):
                weight += living.weight(one.living if isinstance(one, living.Workload) else one)
                yield one
            for undecoded in page.undecoded:
                yield living.unreadable(kind, undecoded.meta, undecoded.why)
            _bounded(weight)


def _bounded(weight: int) -> None:
    if weight > _MOST_BYTES:
        raise _TooMuchError


async def _speechless(asker: Asker, asked: labels.Level, version: str) -> str:
    """Why the preview namespace of a level says nothing that could be relied on, or ''."""
    preview = _PREVIEW[asked]
    told = await asker.preview(f"/api/v1/namespaces/{preview}/pods", _FORBIDDEN)
    if told.refused:
        return f"namespace {preview!r} cannot be asked: {explained(told.refused)}"
    said = _verdict(told.warnings)
    if said is None or said["level"] != asked:
        return f"namespace {preview!r} does not warn of level {asked}; apply manifests/base again"
    if said["version"] != version:
        return (
            f"namespace {preview!r} warns by version {said['version']}, the policy says {version}; set its label"
            f" {labels.PSA_WARN}-version to {version}"
        )
    return ""


async def _reason(asker: Asker, question: gate.Question) -> tuple[str, bool]:
    """What Pod Security Admission has against the pod, '' for nothing, and whether that is known; why not, if not."""
    told = await asker.preview(f"/api/v1/namespaces/{_PREVIEW[question.level]}/pods", question.body)
    if told.refused:
        return f"not known, because the question is refused: {explained(told.refused)}", False
    said = _verdict(told.warnings)
    if said is not None:
        return said["why"], True
    if sum(len(text) for text in told.warnings) > _MOST_ELSE:
        return "not known, because the API server has too much else to say about such a pod", False
    return "", True


def explained(refusal: str) -> str:
    """Return the API server's refusal; where somebody else's policy about pods refuses, first its name and the remedy.

    held-by is cut off at its end, and the text of a policy may be long.
    """
    policy = next((found["policy"] for known in _POLICIES if (found := known.match(refusal))), None)
    if policy is None or policy[:-1].endswith(labels.GROUP):  # before the quotation mark: one of our own
        return refusal
    both = " and ".join(labels.PREVIEW_NAMESPACES)
    return f"{policy} refuses such a pod; except the namespaces {both} from that policy; got: {refusal}"


def _verdict(warnings: tuple[str, ...]) -> re.Match[str] | None:
    return next((said for text in warnings if (said := _VERDICT.match(text))), None)
