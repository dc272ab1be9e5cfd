"""What a rule about exceptions is, and what the rules share.

An id is an Event reason, a metric label and a file name. An id never gets another meaning.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.api import exception, policy
from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide import snapshot

# How long after the creation of the first covered pod a rule judges what the pods use: by then a rollout has created
# the other pods.
SETTLED: Final = datetime.timedelta(minutes=10)
NAMED: Final = 3  # things named in a sentence

# The first words of remedies.
PATCH: Final = "kubectl patch hne <name> -n <namespace> --type=merge -p "
SHOW_IMAGES: Final = (
    "kubectl get pods -n <namespace> -o custom-columns=POD:.metadata.name,IMAGE:.spec.containers[*].image"
    ",ID:.status.containerStatuses[*].imageID"
)


@dataclass(frozen=True, slots=True)
class Case:
    """The input of a rule: an exception, the pods that the exception covers, and what is known about the cluster.

    `pods` has one pod of all that are alike. `oldest` is when the oldest covered pod was created, None without pods.
    `settings` is None if the policy is not known; a rule that needs the settings cannot judge then. `ordinary` says
    whether ordinary pods run in the namespace, and is None before the first list of all pods. `releases` are the
    releases that these pods belong to.
    """

    subject: exception.HostNetworkException
    pods: Sequence[snapshot.Pod]
    settings: policy.Exceptions | None
    kubernetes: snapshot.MinorVersion | None
    ordinary: bool | None = field(kw_only=True)
    releases: frozenset[frozenset[str]]
    exempt: bool = field(kw_only=True)
    now: datetime.datetime
    oldest: datetime.datetime | None = field(kw_only=True)

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
        """The moment since which an exception that covers no pod has covered none."""
        status = self.subject.status
        # If the status still counts pods, the last pod was removed just now.
        last = self.now.replace(microsecond=0) if status.covered_pods else status.last_used_time
        return max(self.created, last or self.created)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says about a case. At `moments`, time alone could make the rule say something else."""

    result: Result
    sentence: str
    moments: tuple[datetime.datetime, ...] = ()


POLICY_UNKNOWN: Final = Judgement(
    Result.ERROR, "the operator cannot read the HostNetworkExceptionPolicy, and does not know its settings"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about exceptions.

    `source` says where the rule and its severity come from. `remedy` has <name>, <namespace> and <version> to
    fill in. `judge` returns None if the rule does not apply to the exception.
    """

    id: str
    severity: Severity
    source: str
    remedy: str
    judge: Callable[[Case], Judgement | None] = field(repr=False)

    @property
    def page(self) -> str:
        """The page about the rule, as a path in the repository."""
        return f"docs/reference/findings/{self.id}.md"
