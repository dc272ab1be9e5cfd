"""What a rule about exceptions is, and what the rules share.

An id is an Event reason, a metric label and a file name. An id is never given another meaning.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.api import exception, policy
from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide import snapshot

# How long after the first covered pod a rule judges what the pods use: a rollout brings the other pods meanwhile.
SETTLED: Final = datetime.timedelta(minutes=10)
NAMED: Final = 3  # things named in a sentence

# Beginnings of remedies.
PATCH: Final = "kubectl patch hne <name> -n <namespace> --type=merge -p "
SHOW_IMAGES: Final = (
    "kubectl get pods -n <namespace> -o custom-columns=POD:.metadata.name,IMAGE:.spec.containers[*].image"
    ",ID:.status.containerStatuses[*].imageID"
)


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule judges: an exception, the pods that the exception covers, and what is known of the cluster.

    `settings` is None if the policy is not known; a rule that needs the settings cannot judge then. `ordinary` says
    whether ordinary pods run in the namespace, and is None before the first list of all pods. `releases` are the
    releases that these pods belong to.
    """

    subject: exception.HostNetworkException
    pods: Sequence[snapshot.Pod]
    settings: policy.Exceptions | None
    kubernetes: snapshot.MinorVersion | None
    ordinary: bool | None
    releases: frozenset[frozenset[str]]
    exempt: bool
    now: datetime.datetime

    @property
    def spec(self) -> exception.ExceptionSpec:
        return self.subject.spec

    @property
    def created(self) -> datetime.datetime:
        return self.subject.metadata.creation_timestamp

    @property
    def account(self) -> str:
        return f"service account {self.spec.service_account!r}"

    @property
    def last_used(self) -> datetime.datetime:
        """Return since when no pod is covered, of an exception that covers none."""
        status = self.subject.status
        # Its last pod has just gone, and the status does not say so yet.
        last = self.now.replace(microsecond=0) if status.covered_pods else status.last_used_time
        return max(self.created, last or self.created)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says of a case. `moments` are when time alone could make the rule say something else."""

    result: Result
    sentence: str
    moments: tuple[datetime.datetime, ...] = ()


POLICY_UNKNOWN: Final = Judgement(Result.ERROR, "the policy cannot be read, so its settings are not known")


@dataclass(frozen=True, slots=True)
class Rule:
    """`source` is who says so, and whose severity it is. `remedy` has <name>, <namespace> and <version> to fill in.

    `judge` returns None for an exception that the rule does not apply to.
    """

    id: str
    severity: Severity
    source: str
    remedy: str
    judge: Callable[[Case], Judgement | None] = field(repr=False)

    @property
    def page(self) -> str:
        """Its documentation, as a path in the repository."""
        return f"docs/reference/findings/{self.id}.md"
