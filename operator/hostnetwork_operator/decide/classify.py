"""What a workload with host access looks like: an agent of the cluster, a debug tool, or an application.

The catalogue has what projects publish. A name, a label and an owner can be forged by anyone who creates pods. So a
workload is `certain` only if its namespace, its service account and every image are those of one agent, and it shares
no host namespace that the agent does not need. Nothing is granted because of a class.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from hostnetwork_operator.api.exception import Component, ExceptionType
from hostnetwork_operator.decide import catalogue, matching, snapshot

_LETTERS: Final = {"N": "Network", "P": "PID", "I": "IPC"}
_DOCKER: Final = "docker.io"
# Tenants write the texts, and the operator compares the texts for each plan, and caches some of them. So longer texts
# and more of them fit no entry. A repository has 255 characters at most (OCI Distribution Specification), a name 253.
_LONGEST: Final = 255
_MOST: Final = 64
_CACHED: Final = 128
# What is known of this many sets of texts is cached, if a set has at most so many characters. A character of a tenant
# may have 4 bytes, so the two caches have at most 16 MiB, keys and results. An image has about 60 characters, and few
# namespaces have more sets.
_CACHED_SETS: Final = 1024
_CACHED_CHARACTERS: Final = 1024
Known = TypeVar("Known")
# Other controllers create these for their own pods, and name them after themselves with a suffix.
_BETWEEN: Final = frozenset({"ReplicaSet", "Job"})


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


class _Traits(NamedTuple):
    """All that a class depends on. `named` are the positions of the entries with the name of the workload."""

    namespace: str
    kind: str
    named: frozenset[int]
    repositories: frozenset[str]
    accounts: frozenset[str]
    shared: frozenset[str]
    mirrors: bool


class _Fit(NamedTuple):
    """How well an agent fits. More fields that fit come first."""

    images: int  # matching.PUBLISHED, matching.MIRRORED or 0
    account: bool
    namespace: bool
    name: bool
    shares: bool


def classify(workload: Evidence) -> Classification:
    """Return the class of a workload. The pods are those with the workload's top owner, at least one.

    The class does not depend on the order of the pods. Pods that are being deleted choose the class only if no others
    exist. But their containers run as long as their creator wants, so no class is certain that does not fit them too.
    """
    staying = tuple(pod for pod in workload.pods if not pod.deleting)
    if not staying or len(staying) == len(workload.pods):
        return _classified(_traits(workload))
    found = _classified(_traits(workload._replace(pods=staying)))
    if found.confidence is not Confidence.CERTAIN or _classified(_traits(workload)) == found:
        return found
    reasons = (*found.reasons, f"a pod that is being deleted, and still runs, is not as {found.agent} publishes it")
    return dataclasses.replace(found, confidence=Confidence.LIKELY, reasons=reasons)


def of_pods(top: snapshot.Reference, pods: Iterable[snapshot.Pod]) -> Classification:
    """Return the class of the workload that is the top owner of these pods, of which there is at least one."""
    return classify(Evidence(top.namespace, top.kind, top.name, tuple(pods)))


def clause(seen: Classification) -> str:
    """Return which agent a workload looks like, as a predicate; '' if it looks like none. The text has words of the
    catalogue alone, and nothing that a user wrote.
    """
    if not seen.agent or seen.confidence is Confidence.UNKNOWN:
        return ""
    return f"looks like {seen.agent} ({seen.type}, {seen.confidence})"


def _cached_if_short(function: Callable[[frozenset[str]], Known]) -> Callable[[frozenset[str]], Known]:
    """Return the function with a cache for short texts: the pods of a namespace have few different sets of images."""
    cached = functools.lru_cache(maxsize=_CACHED_SETS)(function)

    def known(texts: frozenset[str]) -> Known:
        return (cached if sum(map(len, texts)) <= _CACHED_CHARACTERS else function)(texts)

    return known


@_cached_if_short
def _by_images(repositories: frozenset[str]) -> Mapping[int, int]:
    return matching.by_images(repositories)


@functools.lru_cache(maxsize=_CACHED)
def _classified(traits: _Traits) -> Classification:
    by_images = _by_images(traits.repositories)
    positions = sorted({*by_images, *(matching.without_images() & traits.named)})  # without images the name must fit
    fits = [(_fit(position, traits, by_images), catalogue.AGENTS[position]) for position in positions]
    fitting = [(fit, agent) for fit, agent in fits if _fits(fit, agent)]
    if not fitting:
        return _unnamed(traits)
    fit, agent = max(fitting, key=lambda pair: pair[0])
    return _named(traits, agent, fit)


def _fits(fit: _Fit, agent: catalogue.Agent) -> bool:
    """Return whether a workload looks like the agent: by its images and at least one of its names. If the user or the
    cluster chooses the image, the name of the workload must fit.
    """
    if not agent.images:
        return fit.name and fit.shares and (fit.namespace or agent.type is ExceptionType.DIAGNOSTIC)
    if agent.type is ExceptionType.DIAGNOSTIC:
        return fit.images > 0 and fit.name
    return fit.images > 0 and (fit.name or fit.account or fit.namespace)


def _named(traits: _Traits, agent: catalogue.Agent, fit: _Fit) -> Classification:
    """Return the class of a workload that looks like the agent. The reasons say what fits, then what does not."""
    doubts = []
    if fit.images == matching.MIRRORED:
        doubts.append(f"the registry is not known as that of {agent.name}, and may be a mirror")
    if not agent.images:
        doubts.append(f"anyone who creates pods can choose the name of {agent.name}")
    if agent.accounts and not fit.account:
        accounts = " and ".join(sorted(traits.accounts))
        doubts.append(f"the service account of {agent.name} is not {accounts}")
    if agent.namespaces and not fit.namespace:
        doubts.append(f"the published file of {agent.name} is for another namespace than {traits.namespace}")
    if not (agent.accounts and agent.namespaces):
        doubts.append(f"{agent.name} has no namespace and service account of its own")
    if not fit.shares:
        doubts.append(f"the workload shares a host namespace that {agent.name} does not need")
    confidence = Confidence.LIKELY if fit.shares else Confidence.UNKNOWN
    confidence = confidence if doubts else Confidence.CERTAIN
    fitting = f"every image is one of {agent.name}" if agent.images else f"the name is one of {agent.name}"
    return Classification(agent.type, agent.component, agent.name, confidence, (fitting, *doubts))


def _unnamed(traits: _Traits) -> Classification:
    """Return the class of a workload that no entry of the catalogue fits, by its kind alone."""
    reasons = ["no image is one of an agent in the catalogue"]
    if traits.named:
        reasons.insert(0, f"the name is that of {catalogue.AGENTS[min(traits.named)].name}, and the images are not")
    if traits.kind == "DaemonSet":
        reasons.append("a DaemonSet is usually an agent")
        return Classification(ExceptionType.INFRASTRUCTURE, Component.OTHER, "", Confidence.UNKNOWN, tuple(reasons))
    if traits.kind == "Pod" and not traits.mirrors:
        reasons.append("a pod without a controller is usually started by a person")
        return Classification(ExceptionType.DIAGNOSTIC, None, "", Confidence.UNKNOWN, tuple(reasons))
    return Classification(ExceptionType.APPLICATION, None, "", Confidence.UNKNOWN, tuple(reasons))


def _traits(workload: Evidence) -> _Traits:
    pods = workload.pods
    # Almost all pods of a workload have equal sets of images, and the operator compares whole sets first.
    images = pods[0].images if len(pods) == 1 else frozenset[str]().union(*{pod.images for pod in pods})
    accounts = frozenset({pod.service_account for pod in pods})
    few = max(len(images), len(accounts)) <= _MOST
    name = workload.name
    names = (name, name.rpartition("-")[0]) if workload.kind in _BETWEEN else (name,)
    return _Traits(
        workload.namespace,
        workload.kind if len(workload.kind) <= _LONGEST else "",
        matching.named(names) if len(workload.name) <= _LONGEST else frozenset(),
        _repositories(images) if few else frozenset(),
        accounts if few else frozenset(),
        pods[0].host_namespaces if len(pods) == 1 else frozenset[str]().union(*{pod.host_namespaces for pod in pods}),
        all(pod.mirror for pod in pods),
    )


@_cached_if_short
def _repositories(images: frozenset[str]) -> frozenset[str]:
    """Return the repositories of images; none if one is too long to be a repository."""
    names = frozenset(map(repository, images))
    return names if all(len(name) <= _LONGEST for name in names) else frozenset()


def _fit(position: int, traits: _Traits, by_images: Mapping[int, int]) -> _Fit:
    agent = catalogue.AGENTS[position]
    return _Fit(
        images=by_images.get(position, 0),
        account=bool(agent.accounts) and all(matching.fits(account, agent.accounts) for account in traits.accounts),
        namespace=matching.fits(traits.namespace, agent.namespaces),
        name=position in traits.named,
        shares=traits.shared <= {_LETTERS[letter] for letter in agent.host_namespaces},
    )


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
