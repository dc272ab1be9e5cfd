"""What a workload with host access looks like: an agent of the cluster, a debug tool, or an application.

The catalogue has what projects publish. A name, a label and an owner can be forged by anyone who creates pods. So a
workload is `certain` only if its namespace, its service account and every image are those of one agent, and it shares
no host namespace that the agent does not need. Nothing is granted because of a class.
"""

import enum
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from hostnetwork_operator.api.exception import Component, ExceptionType
from hostnetwork_operator.decide import catalogue, snapshot

_LETTERS: Final = {"N": "Network", "P": "PID", "I": "IPC"}
_DOCKER: Final = "docker.io"
_PUBLISHED: Final = 2  # every image is in a repository of the agent
_MIRRORED: Final = 1  # every image has the path of such a repository, at another registry


class Confidence(enum.StrEnum):
    """How sure a class is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Classification:
    """The class of a workload. `agent` is the name of the agent in the catalogue, '' if no entry fits. `reasons` say
    what fits and what does not.
    """

    type: ExceptionType
    component: Component | None
    agent: str
    confidence: Confidence
    reasons: tuple[str, ...]


class Evidence(NamedTuple):
    """What a class is decided by. `kind` is the kind of the top owner, `Pod` for a pod without a controller."""

    namespace: str
    kind: str
    name: str
    pods: tuple[snapshot.Pod, ...]


class _Fit(NamedTuple):
    """How well an agent fits. More fields that fit come first."""

    images: int  # _PUBLISHED, _MIRRORED or 0
    account: bool
    namespace: bool
    name: bool
    shares: bool


def classify(workload: Evidence) -> Classification:
    """Return the class of a workload. The pods are those with the workload's top owner, at least one."""
    fits = [(_fit(agent, workload), agent) for agent in catalogue.AGENTS]
    fitting = [(fit, agent) for fit, agent in fits if _fits(fit, agent)]
    if fitting:
        fit, agent = max(fitting, key=lambda pair: pair[0])
        return _named(workload, agent, fit)
    return _unnamed(workload, next((agent for fit, agent in fits if fit.name), None))


def _fits(fit: _Fit, agent: catalogue.Agent) -> bool:
    """Return whether a workload looks like the agent: by its images and at least one of its names. If the user or the
    cluster chooses the image, the name of the workload must fit.
    """
    if not agent.images:
        return fit.name and fit.shares and (fit.namespace or agent.type is ExceptionType.DIAGNOSTIC)
    if agent.type is ExceptionType.DIAGNOSTIC:
        return fit.images > 0 and fit.name
    return fit.images > 0 and (fit.name or fit.account or fit.namespace)


def _named(workload: Evidence, agent: catalogue.Agent, fit: _Fit) -> Classification:
    """Return the class of a workload that looks like the agent. The reasons say what fits, then what does not."""
    doubts = []
    if fit.images == _MIRRORED:
        doubts.append("the registry is another, for example a mirror")
    if not agent.images:
        doubts.append(f"anyone who creates pods can choose the name of {agent.name}")
    if agent.accounts and not fit.account:
        accounts = " and ".join(sorted({pod.service_account for pod in workload.pods}))
        doubts.append(f"the service account of {agent.name} is not {accounts}")
    if agent.namespaces and not fit.namespace:
        doubts.append(f"the published file of {agent.name} is for another namespace than {workload.namespace}")
    if not (agent.accounts and agent.namespaces):
        doubts.append(f"{agent.name} has no namespace and service account of its own")
    if not fit.shares:
        doubts.append(f"the workload shares a host namespace that {agent.name} does not need")
    confidence = Confidence.LIKELY if fit.shares else Confidence.UNKNOWN
    confidence = confidence if doubts else Confidence.CERTAIN
    fitting = f"every image is one of {agent.name}" if agent.images else f"the name is one of {agent.name}"
    return Classification(agent.type, agent.component, agent.name, confidence, (fitting, *doubts))


def _unnamed(workload: Evidence, namesake: catalogue.Agent | None) -> Classification:
    """Return the class of a workload that no entry of the catalogue fits, by its kind alone."""
    reasons = ["no image is one of an agent in the catalogue"]
    if namesake is not None:
        reasons.insert(0, f"the name is that of {namesake.name}, and the images are not")
    if workload.kind == "DaemonSet":
        reasons.append("a DaemonSet is usually an agent")
        return Classification(ExceptionType.INFRASTRUCTURE, Component.OTHER, "", Confidence.UNKNOWN, tuple(reasons))
    if workload.kind == "Pod" and not all(pod.mirror for pod in workload.pods):
        reasons.append("a pod without a controller is usually started by a person")
        return Classification(ExceptionType.DIAGNOSTIC, None, "", Confidence.UNKNOWN, tuple(reasons))
    return Classification(ExceptionType.APPLICATION, None, "", Confidence.UNKNOWN, tuple(reasons))


def _fit(agent: catalogue.Agent, workload: Evidence) -> _Fit:
    repositories = {repository(image) for pod in workload.pods for image in pod.images}
    accounts = {pod.service_account for pod in workload.pods}
    shared = {name.value for pod in workload.pods for name in pod.host_namespaces}
    return _Fit(
        images=_images(agent, repositories),
        account=bool(agent.accounts) and all(_matches(account, agent.accounts) for account in accounts),
        namespace=_matches(workload.namespace, agent.namespaces),
        name=_matches(workload.name, agent.workloads),
        shares=shared <= {_LETTERS[letter] for letter in agent.host_namespaces},
    )


def _images(agent: catalogue.Agent, repositories: set[str]) -> int:
    if not agent.images or not repositories:
        return 0
    if all(_matches(name, agent.images) for name in repositories):
        return _PUBLISHED
    paths = tuple(_path(name) for name in agent.images)
    return _MIRRORED if all(_ends_with(name, paths) for name in repositories) else 0


def repository(image: str) -> str:
    """Return the repository of an image with its registry, as a container runtime completes a short name."""
    name = image.partition("@")[0]
    head, _, tail = name.rpartition("/")
    name = f"{head}/{tail.partition(':')[0]}" if head else tail.partition(":")[0]
    first, _, rest = name.partition("/")
    if not rest:
        return f"{_DOCKER}/library/{name}"
    if "." in first or ":" in first or first == "localhost":
        return f"{_DOCKER}/library/{rest}" if first == _DOCKER and "/" not in rest else name
    return f"{_DOCKER}/{name}"


def _path(name: str) -> str:
    return name.partition("/")[2]


def _ends_with(name: str, paths: Iterable[str]) -> bool:
    """Return whether a repository ends with one of the paths, so that it may be a mirror."""
    return any(_pattern(f"*/{path}", "[^ ]*").fullmatch(name) for path in paths)


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(text) for pattern in patterns)


@functools.cache
def _pattern(pattern: str, anything: str = "[^/]*") -> re.Pattern[str]:
    return re.compile(anything.join(re.escape(part) for part in pattern.split("*")))
