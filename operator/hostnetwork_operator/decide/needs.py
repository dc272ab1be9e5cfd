"""Questions of a plan: what the operator must ask or read before it can plan more. Needs are data, as effects are.

`control/needs` answers them. A plan that is made with the answers has fewer needs.
"""

import datetime
from dataclasses import dataclass

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import snapshot


@dataclass(frozen=True, slots=True)
class AskGate:
    """The question what enforcement at this level would refuse. The plan has no effect that depends on the answer."""

    level: labels.Level


@dataclass(frozen=True, slots=True)
class ListPods:
    """A list of every pod of the namespace, to be read at `at` or later. From `at` on the deferrable effects wait for
    the list. Urgent effects never wait.
    """

    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class CountPods:
    """A list of every pod of the namespace, to be read at `at` or later, that is used for counts only. No effect waits
    for the list.
    """

    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class FindOwner:
    """The question which controller is the top owner above this owner of a pod. Reports wait for the answer."""

    owner: snapshot.Reference


@dataclass(frozen=True, slots=True)
class FindAccount:
    """The question whether the service account of this name exists. The status of an exception that covers nothing
    waits for the answer.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ReadException:
    """The exception of this name, to be read before the plan's write of the namespace. That write revokes the grant of
    the exception and is valid for every version of the namespace, and somebody may just have renewed the exception.
    """

    name: str


Need = AskGate | ListPods | CountPods | FindOwner | FindAccount | ReadException
