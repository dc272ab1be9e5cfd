"""Questions of a plan: what must be asked or read before more can be planned. They are data, as effects are.

`control/needs` answers them. A plan that is made with the answers asks for less.
"""

import datetime
from dataclasses import dataclass

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import snapshot


@dataclass(frozen=True, slots=True)
class AskGate:
    """What would enforcement at this level refuse? The plan has no effect that depends on the answer."""

    level: labels.Level


@dataclass(frozen=True, slots=True)
class ListPods:
    """A list of every pod of the namespace, taken at `at` or later. From `at` on the deferrable effects wait for the
    list. Urgent effects never wait.
    """

    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class CountPods:
    """The same list, from which only counts come. No effect waits for the list."""

    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class FindOwner:
    """Which controller is at the top of this owner of a pod? Reports wait for the answer."""

    owner: snapshot.Reference


@dataclass(frozen=True, slots=True)
class FindAccount:
    """Does the service account of this name exist? The status of an exception that covers nothing waits for the
    answer.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ReadException:
    """The exception of this name as it is now. The plan takes its grant with a write that is valid for every version
    of the namespace, and somebody may just have renewed the exception: it is read before that write.
    """

    name: str


Need = AskGate | ListPods | CountPods | FindOwner | FindAccount | ReadException
