"""Whether an exception covers a pod, and the verdict on a pod.

Both are decided by what cannot change after a pod's creation, never by labels or owner references, which can be forged.
manifests/admission/host-namespaces.yaml has the same rule in CEL; the two must never disagree: promise 6 of
docs/explanation/architecture.md#the-promise.
"""

import contextlib
import datetime
import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hostnetwork_operator.api import exception, grant, image, labels
from hostnetwork_operator.decide import snapshot, validity

# Pod Security Standards, control Capabilities: the capabilities that a container may add at each level.
_BASELINE_CAPABILITIES: Final = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID"
    " SYS_CHROOT".split()
)
_RESTRICTED_CAPABILITIES: Final = frozenset({"NET_BIND_SERVICE"})


class Criterion(enum.Enum):
    """The conditions of `covers`, in the order in which they are checked."""

    NAMESPACE = "namespace"
    SERVICE_ACCOUNT = "serviceAccountName"
    HOST_NAMESPACES = "hostNamespaces"
    IMAGES = "images"
    CAPABILITIES = "capabilities"
    PRIVILEGED = "privileged"
    HOST_PATHS = "hostPaths"
    HOST_PORTS = "hostPorts"
    CREATED_BEFORE_EXPIRY = "created before expiry"
    IN_FORCE = "in force"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether an exception covers a pod: `failed` is the first condition that is not met, None if all are met."""

    exception: str
    failed: Criterion | None
    why: str

    @property
    def covers(self) -> bool:
        return self.failed is None


@dataclass(frozen=True, slots=True)
class PodVerdict:
    """The verdict on a pod, the reason, and the exceptions behind it: for Covered the exception that lasts longest, for
    Expired all that fit. If the verdict is about several pods that are alike, `alike` has all of them, `pod` first.
    """

    pod: snapshot.Pod
    verdict: labels.Verdict
    why: str
    exceptions: tuple[exception.HostNetworkException, ...] = ()
    alike: snapshot.AlikePods | None = field(default=None, compare=False)

    @property
    def pods(self) -> Iterable[snapshot.Pod]:
        """All pods that the verdict is about, in the order of their names."""
        return (self.pod,) if self.alike is None else self.alike

    @property
    def oldest(self) -> datetime.datetime:
        """The creation time of the oldest of these pods."""
        return self.pod.created if self.alike is None else self.alike.oldest

    @property
    def count(self) -> int:
        return 1 if self.alike is None else len(self.alike)

    def each(self) -> Iterator["PodVerdict"]:
        """Yield a verdict for each of these pods."""
        for pod in self.pods:
            yield replace(self, pod=pod, alike=None)


class Candidates:
    """The standings of the exceptions of a namespace, by service account: one that is for another account is not
    compared with a pod.
    """

    def __init__(self, standings: Iterable[validity.Standing]) -> None:
        self._by_account: dict[str, list[validity.Standing]] = {}
        for standing in standings:
            self._by_account.setdefault(standing.exception.spec.service_account, []).append(standing)
        # A pod of an account without exceptions is told about the first one.
        every = (standing for group in self._by_account.values() for standing in group)
        self._first = sorted(every, key=lambda standing: standing.exception.metadata.name)[:1]

    def of(self, account: str) -> Sequence[validity.Standing]:
        """Return the standings that decide about pods of this account."""
        return self._by_account.get(account, self._first)


def capabilities_without_naming(level: labels.Level) -> frozenset[str]:
    """Return the capabilities that a covered pod may add although its exception does not name them."""
    return _RESTRICTED_CAPABILITIES if level is labels.Level.RESTRICTED else _BASELINE_CAPABILITIES


def relies_on_a_grant(pod: snapshot.Pod, target: labels.Level) -> bool:
    """Return whether a pod uses what only a grant can allow beside a guard of this level.

    No grant covers a pod without host namespaces that uses nothing of the kind. Such a pod is ordinary, whatever its
    service account (relaxed-namespace.yaml, variable `covered`).
    """
    beyond = pod.capabilities - capabilities_without_naming(target)
    return bool(pod.host_namespaces or pod.privileged or pod.host_paths or pod.host_ports or beyond)


def covers(standing: validity.Standing, pod: snapshot.Pod) -> Coverage:
    """Return whether this exception alone covers the whole pod. The first condition that is not met explains why
    not.
    """
    name = standing.exception.metadata.name
    for condition, why_not in _conditions(standing, pod):
        if why_not:
            return Coverage(name, condition, why_not)
    return Coverage(name, None, f"exception {name!r} covers the pod")


def _conditions(standing: validity.Standing, pod: snapshot.Pod) -> Iterator[tuple[Criterion, str]]:
    """Yield each condition with the reason why it is not met, or '' if it is met. A condition is evaluated only when
    the caller asks for it.
    """
    subject, spec = standing.exception, standing.exception.spec
    yield Criterion.NAMESPACE, _namespace(subject, pod)
    yield Criterion.SERVICE_ACCOUNT, _service_account(spec, pod)
    yield Criterion.HOST_NAMESPACES, _host_namespaces(spec, pod)
    yield Criterion.IMAGES, _images(spec, pod)
    yield Criterion.CAPABILITIES, _capabilities(spec, pod)
    yield (
        Criterion.PRIVILEGED,
        "the pod is privileged, and the exception does not allow privileged containers"
        if pod.privileged > spec.privileged
        else "",
    )
    yield Criterion.HOST_PATHS, _host_paths(spec, pod)
    yield Criterion.HOST_PORTS, _host_ports(spec, pod)
    yield Criterion.CREATED_BEFORE_EXPIRY, _created(spec, pod)
    yield Criterion.IN_FORCE, "" if standing.in_force else standing.why or f"the exception is {standing.reason.value}"


def judge(pod: snapshot.Pod, standings: Sequence[validity.Standing], *, exempt: bool) -> PodVerdict:
    """Return the verdict on a pod. `standings` are those of all exceptions of its namespace."""
    if pod.mirror:
        why = f"the pod is a static pod of node {pod.node}; the API server cannot restrict static pods"
        return PodVerdict(pod, labels.Verdict.STATIC, why)
    coverages = [(standing, covers(standing, pod)) for standing in standings]
    covering = [standing.exception for standing, coverage in coverages if coverage.covers]
    if covering:
        longest = max(covering, key=lambda e: (e.spec.until, e.metadata.name))
        return PodVerdict(
            pod, labels.Verdict.COVERED, f"exception {longest.metadata.name!r} covers the pod", (longest,)
        )
    fitting = [standing for standing, coverage in coverages if coverage.failed is Criterion.IN_FORCE]
    expired = [standing.exception for standing in fitting if standing.expired]
    # The reason why an exception is withheld may end, and a deleted pod does not come back.
    spared = [coverage for standing, coverage in coverages if standing in fitting and standing.spares]
    why = _explain(spared or [coverage for _, coverage in coverages])
    if exempt:
        return PodVerdict(pod, labels.Verdict.EXEMPT, f"namespace {pod.namespace!r} is exempt; {why}")
    if expired and not spared:
        ordered = tuple(sorted(expired, key=lambda e: e.metadata.name))
        ends = (f"exception {e.metadata.name!r} ended at {grant.format_time(e.spec.until)}" for e in ordered)
        return PodVerdict(pod, labels.Verdict.EXPIRED, ", ".join(ends), ordered)
    return PodVerdict(pod, labels.Verdict.UNCOVERED, why)


def judge_alike(pods: snapshot.AlikePods, candidates: Candidates, *, exempt: bool) -> tuple[PodVerdict, ...]:
    """Return the verdicts on pods that are alike: one, unless an exception ended between their creations."""
    standings = candidates.of(pods.first.service_account)
    parts = pods.between(standing.exception.spec.until for standing in standings)
    return tuple(replace(judge(part.first, standings, exempt=exempt), alike=part) for part in parts)


def plain(
    pods: snapshot.PodSet, standings: Sequence[validity.Standing], target: labels.Level
) -> tuple[PodVerdict, ...]:
    """Return which exceptions for pods without host namespaces cover such pods, or would have; in the order of the pod
    names.
    """
    candidates = Candidates(standing for standing in standings if not standing.exception.spec.host_namespaces)
    verdicts: list[PodVerdict] = []
    for alike in pods.groups:
        if relies_on_a_grant(alike.first, target):
            with contextlib.suppress(Exception):  # only a count rests on this verdict, and no level may wait for it
                verdicts += judge_alike(alike, candidates, exempt=False)
    return tuple(verdicts)


def by_exception(verdicts: Iterable[PodVerdict]) -> dict[str, list[PodVerdict]]:
    """Return the verdicts by the uids of the exceptions that led to them."""
    verdicts_by_uid: dict[str, list[PodVerdict]] = {}
    for verdict in verdicts:
        for uid in {subject.metadata.uid for subject in verdict.exceptions}:
            verdicts_by_uid.setdefault(uid, []).append(verdict)
    return verdicts_by_uid


def each(verdicts: Iterable[PodVerdict]) -> tuple[PodVerdict, ...]:
    """Return a verdict for each pod, in the order of the pod names."""
    return tuple(
        sorted((one for verdict in verdicts for one in verdict.each()), key=lambda one: (one.pod.name, one.pod.uid))
    )


def count(verdicts: Iterable[PodVerdict], unreadable: int) -> dict[labels.Verdict, int]:
    """Return the number of pods for each verdict, zeros included. Pods that could not be read count as Unknown."""
    counts = dict.fromkeys(labels.Verdict, 0)
    for verdict in verdicts:
        counts[verdict.verdict] += verdict.count
    counts[labels.Verdict.UNKNOWN] += unreadable
    return counts


def covered(verdicts: Iterable[PodVerdict]) -> int:
    """Return how many pods have the verdict Covered."""
    return sum(verdict.count for verdict in verdicts if verdict.verdict is labels.Verdict.COVERED)


def used(host_namespaces: Iterable[str]) -> str:
    """Return the words for the use of these host namespaces, of which there is at least one."""
    names = sorted(host_namespaces)
    return f"host namespace{'s' * (len(names) > 1)} {', '.join(names)}"


def within(path: str, prefix: str) -> bool:
    """Return whether `path` is `prefix` or below it, by path segment. One trailing slash on either does not matter."""
    return _closed(path).startswith(_closed(prefix))


def _closed(path: str) -> str:
    return path if path.endswith("/") else path + "/"


def _explain(coverages: Sequence[Coverage]) -> str:
    """Return why the pod is not covered: what the exception that comes nearest to covering it lacks."""
    order = list(Criterion)
    failures = [(order.index(c.failed), c) for c in coverages if c.failed and c.failed is not Criterion.NAMESPACE]
    if not failures:
        return "the namespace has no HostNetworkException"
    nearest = min(failures, key=lambda pair: (-pair[0], pair[1].exception))[1]
    if nearest.failed is Criterion.IN_FORCE:
        return f"no exception covers the pod. Closest: {nearest.exception!r}, which is not in force: {nearest.why}"
    return f"no exception covers the pod. Closest: {nearest.exception!r} ({nearest.why})"


def _namespace(subject: exception.HostNetworkException, pod: snapshot.Pod) -> str:
    return "" if subject.metadata.namespace == pod.namespace else f"for namespace {subject.metadata.namespace!r}"


def _service_account(spec: exception.ExceptionSpec, pod: snapshot.Pod) -> str:
    if spec.service_account == pod.service_account:
        return ""
    return f"for service account {spec.service_account!r}; this pod runs as {pod.service_account!r}"


def _host_namespaces(spec: exception.ExceptionSpec, pod: snapshot.Pod) -> str:
    if not pod.host_namespaces and spec.host_namespaces:
        return "the exception is for pods with host namespaces, and the pod has none"
    return _beyond("host namespaces", pod.host_namespaces - set(spec.host_namespaces))


def _images(spec: exception.ExceptionSpec, pod: snapshot.Pod) -> str:
    return "" if spec.images is None else _beyond("images", image.unlisted(pod.images, spec.images))


def _capabilities(spec: exception.ExceptionSpec, pod: snapshot.Pod) -> str:
    allowed = capabilities_without_naming(spec.pod_security_level) | set(spec.capabilities)
    return _beyond("capabilities", pod.capabilities - allowed)


def _host_paths(spec: exception.ExceptionSpec, pod: snapshot.Pod) -> str:
    beyond = {
        f"{mount.path} ({'read' if mount.read_only else 'write'})"
        for mount in pod.host_paths
        # On a Windows node a backslash separates segments, so that `..` can hide behind one.
        if "\\" in mount.path
        or not any(within(mount.path, p.path) and (mount.read_only or not p.read_only) for p in spec.host_paths)
    }
    return _beyond("host paths", beyond)


def _host_ports(spec: exception.ExceptionSpec, pod: snapshot.Pod) -> str:
    if pod.host_namespaces or spec.host_ports or not pod.host_ports:
        return ""  # of a pod with host namespaces the guard judges the ports: Network brings all ports of the node
    return "the pod uses host ports, and the exception does not allow host ports"


def _created(spec: exception.ExceptionSpec, pod: snapshot.Pod) -> str:
    if pod.created < spec.until:
        return ""
    return f"the exception ended at {grant.format_time(spec.until)}, before the pod was created"


def _beyond(what: str, items: frozenset[str] | set[str]) -> str:
    if not items:
        return ""
    ordered = sorted(items)
    more = f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return f"the pod uses {what} that the exception does not list: {', '.join(ordered[:3])}{more}"
