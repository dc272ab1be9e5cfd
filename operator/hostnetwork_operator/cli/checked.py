"""The result of `check`: what was asked about each pod, and the problems. The forms of the output are in forms."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostnetwork_operator.cli import tables

if TYPE_CHECKING:
    from hostnetwork_operator.decide import coverage
    from hostnetwork_operator.observe import manifests


class CheckRule(enum.StrEnum):
    """What a problem is about: the ids of rules in SARIF."""

    HOST_NAMESPACES = "HostNamespaces"
    POD_SECURITY = "PodSecurity"
    REFUSED_CHANGE = "RefusedChange"
    UNREADABLE = "Unreadable"
    UNKNOWN_KIND = "UnknownKind"
    NOT_ASKED = "NotAsked"

    @property
    def text(self) -> str:
        return _TEXTS[self]


_UnknownTemplates = tuple["manifests.UnknownTemplate", ...]
_TEXTS = {
    CheckRule.HOST_NAMESPACES: "A pod that shares a host namespace of its node needs a HostNetworkException that covers"
    " it.",
    CheckRule.POD_SECURITY: "Pod Security would refuse the pod.",
    CheckRule.REFUSED_CHANGE: "The approved fields of a HostNetworkException cannot change.",
    CheckRule.UNKNOWN_KIND: "A pod template of a kind that is not of Kubernetes was not checked.",
    CheckRule.UNREADABLE: "A document cannot be read.",
    CheckRule.NOT_ASKED: "Pod Security could not be asked about a pod.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person must look at, and where it is written."""

    rule: CheckRule
    place: "manifests.Position"
    sentence: str

    @property
    def line(self) -> str:
        return tables.cell(f"{self.place.file}:{self.place.line}: {self.sentence}")


@dataclass(frozen=True, slots=True)
class PodSecurityAnswer:
    """What Pod Security says about a pod at this level and version: why it refuses the pod, '' if it allows the pod."""

    level: str
    version: str
    refusal: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A pod template with what was asked about it.

    `verdict` is None if the pod shares no host namespace. `security` is None if Pod Security was not asked.
    """

    template: "manifests.Template"
    verdict: "coverage.PodVerdict | None"
    security: PodSecurityAnswer | None = None

    @property
    def subject(self) -> str:
        return f"{self.template.kind} {self.template.name} in namespace {self.template.pod.namespace}"

    @property
    def uncovered(self) -> bool:
        """Whether the pod would be refused because it shares a host namespace without an exception."""
        return self.verdict is not None and self.verdict.verdict in {"Uncovered", "Expired"}

    @property
    def violates(self) -> bool:
        """Whether Pod Security would refuse the pod."""
        return self.security is not None and bool(self.security.refusal)

    @property
    def host_sentence(self) -> str:
        """What would happen to a pod with host namespaces, and why; '' for any other pod."""
        if self.verdict is None:
            return ""
        shares = ", ".join(sorted(self.template.pod.host_namespaces))
        what = "would be refused" if self.uncovered else self.verdict.verdict.value
        return tables.cell(f"{self.subject} shares {shares}: {what}: {self.verdict.why}")

    @property
    def security_sentence(self) -> str:
        """Why Pod Security would refuse the pod, as the API server says it; '' if it was not asked."""
        if self.security is None:
            return ""
        standards = f"{self.security.level}:{self.security.version}"
        return tables.cell(
            f'{self.subject} would be refused: violates PodSecurity "{standards}": {self.security.refusal}'
        )

    @property
    def problems(self) -> tuple[Problem, ...]:
        found = []
        if self.uncovered:
            found.append(Problem(CheckRule.HOST_NAMESPACES, self.template.place, self.host_sentence))
        if self.violates:
            found.append(Problem(CheckRule.POD_SECURITY, self.template.place, self.security_sentence))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Pods that Pod Security was not asked about, all for the same reason: the first of them, and how many."""

    first: Checked
    pods: int
    why: str

    @property
    def sentence(self) -> str:
        more = f" and {self.pods - 1} more" if self.pods > 1 else ""
        return tables.cell(f"Pod Security was not asked about {self.first.subject}{more}: {self.why}")


@dataclass(frozen=True, slots=True)
class RefusedChange:
    """An exception from a file that the API server would refuse: these fields differ from what is granted."""

    written: "manifests.WrittenException"
    changed: tuple[str, ...]

    @property
    def sentence(self) -> str:
        meta = self.written.exception.metadata
        return tables.cell(
            f"HostNetworkException {meta.name} in namespace {meta.namespace} would be refused: the file changes fields"
            f" of the granted exception that cannot change: {', '.join(self.changed)}; create an exception with another"
            " name"
        )


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the command found, for every form: the pods with host namespaces, or with `server` every pod.

    `server`: whether Pod Security was to be asked.
    """

    manifests: "manifests.Manifests"
    checked: tuple[Checked, ...]
    not_asked: tuple[NotAsked, ...] = ()
    changes: tuple[RefusedChange, ...] = ()
    server: bool = False

    @property
    def refused(self) -> tuple[Checked, ...]:
        """The pods that would be refused, for whatever reason."""
        return tuple(each for each in self.checked if each.problems)

    @property
    def refusals(self) -> tuple[Problem, ...]:
        return (*(problem for each in self.checked for problem in each.problems), *self.refused_changes)

    @property
    def refused_changes(self) -> tuple[Problem, ...]:
        return tuple(Problem(CheckRule.REFUSED_CHANGE, each.written.place, each.sentence) for each in self.changes)

    @property
    def unknown(self) -> _UnknownTemplates:
        """The pod templates that had to be looked at. Without `server` only host namespaces are judged."""
        return tuple(each for each in self.manifests.unknown if self.server or each.shares)

    @property
    def gaps(self) -> tuple[Problem, ...]:
        """What could not be looked at: the command cannot say that all is fine."""
        unreadable = (Problem(CheckRule.UNREADABLE, each.place, each.why) for each in self.manifests.unreadable)
        not_asked = (Problem(CheckRule.NOT_ASKED, each.first.template.place, each.sentence) for each in self.not_asked)
        unknown = (Problem(CheckRule.UNKNOWN_KIND, each.place, each.why) for each in self.unknown)
        return (*unreadable, *unknown, *not_asked)


def result(
    found: "manifests.Manifests",
    pods: Iterable[Checked],
    not_asked: Iterable[NotAsked] = (),
    changes: Iterable[RefusedChange] = (),
    *,
    server: bool = False,
) -> CheckResult:
    """Return the result, in the order in which the pods are written."""
    ordered = sorted(pods, key=lambda each: (each.template.place.file, each.template.place.line))
    return CheckResult(found, tuple(ordered), tuple(not_asked), tuple(changes), server)
