"""The API server's time: the clock is never ahead of it, soon close to it, and trusted only if the answers agree.

In these tests an API server is a function of the monotonic clock. The clock under test sees only the Date headers of
that server.
"""

import datetime
import email.utils
import math
import time

import pytest

from hostnetwork_operator import clock
from hostnetwork_operator.api import conditions


class Server:
    """An API server whose clock is `ahead` seconds ahead of this machine's."""

    def __init__(self, ahead: float = 0.0) -> None:
        self._base = time.time() - time.monotonic() + ahead

    def at(self, monotonic: float) -> float:
        return self._base + monotonic

    def date(self, monotonic: float) -> str:
        return email.utils.formatdate(math.floor(self.at(monotonic)), usegmt=True)

    def answer(self, server_clock: clock.ServerClock, ago: float, there: float = 0.004, back: float = 0.004) -> None:
        """Give the clock an answer that was made `ago` seconds ago.

        The request took `there` seconds, the answer `back` seconds.
        """
        moment = time.monotonic() - ago
        server_clock.observe(self.date(moment), moment - there, moment + back)


def behind(server_clock: clock.ServerClock, server: Server) -> tuple[float, float]:
    """Return the smallest and the largest possible lag of the clock behind the server, in seconds."""
    earliest = server.at(time.monotonic())
    now = server_clock.now().timestamp()
    return earliest - now, server.at(time.monotonic()) - now


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -3600.0])
@pytest.mark.parametrize(("there", "back"), [(0.001, 0.001), (0.0, 2.0), (2.0, 0.0), (0.5, 0.5)])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_the_clock_is_never_ahead_of_the_server(ahead: float, there: float, back: float, count: int) -> None:
    """However long a request and its answer take, and however many answers there are."""
    server, server_clock = Server(ahead), clock.ServerClock()
    for number in range(count, 0, -1):
        server.answer(server_clock, ago=3 + number * 0.377, there=there, back=back)
        assert behind(server_clock, server)[1] >= -1e-6
        assert behind(server_clock, server)[0] < 1 + there + back + 0.01


def test_many_answers_narrow_it_to_about_a_round_trip() -> None:
    """One answer gives the second. Many answers show when that second begins."""
    server, server_clock = Server(), clock.ServerClock()
    for number in range(50, 0, -1):
        server.answer(server_clock, ago=number * 0.617)
    assert behind(server_clock, server)[0] < 0.1


def test_before_the_first_answer_nothing_has_expired() -> None:
    """The clock shows the epoch and is not trusted."""
    server_clock = clock.ServerClock()
    assert datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) == server_clock.now()
    assert (server_clock.trusted(), server_clock.skew_seconds(), server_clock.spread_seconds()) == (False, 0.0, 0.0)


def test_time_goes_on_without_answers() -> None:
    """Between two answers the clock follows the monotonic clock, and never runs backwards."""
    server, server_clock = Server(), clock.ServerClock()
    server.answer(server_clock, ago=0.01)
    moments = [server_clock.now() for _ in range(1000)]
    assert sorted(moments) == moments
    assert moments[0] < moments[-1]


def test_a_clock_that_agrees_is_trusted() -> None:
    """Its spread is zero, and its skew is less than the second that a Date header leaves open."""
    server, server_clock = Server(), clock.ServerClock()
    for number in range(20, 0, -1):
        server.answer(server_clock, ago=number * 0.7)
    assert server_clock.trusted()
    assert server_clock.spread_seconds() == 0.0
    assert -0.1 < server_clock.skew_seconds() < 1.1


@pytest.mark.parametrize("ahead", [60.0, -60.0])
def test_a_machine_whose_clock_is_off_is_not_trusted(ahead: float) -> None:
    """The skew is how far the machine is ahead of the server."""
    server, server_clock = Server(ahead), clock.ServerClock()
    server.answer(server_clock, ago=0.1)
    assert not server_clock.trusted()
    assert conditions.ClockSynchronized.SKEWED is server_clock.state()
    assert abs(server_clock.skew_seconds() + ahead) < 1.1


@pytest.mark.parametrize(("apart", "trusted"), [(3.0, True), (30.0, False)])
def test_servers_that_contradict_each_other_are_a_spread(apart: float, trusted: bool) -> None:
    """With a spread of more than five seconds, the operator must not delete pods by this clock."""
    first, second, server_clock = Server(), Server(-apart), clock.ServerClock()
    for number in range(20, 0, -1):
        first.answer(server_clock, ago=number * 0.6)
        second.answer(server_clock, ago=number * 0.6 - 0.3)
    assert apart - 1.1 < server_clock.spread_seconds() < apart + 1.1
    assert trusted is server_clock.trusted()
    assert (
        conditions.ClockSynchronized.AGREES if trusted else conditions.ClockSynchronized.SPREAD
    ) is server_clock.state()


def test_where_answers_contradict_each_other_the_newest_counts() -> None:
    """If the clock of a server was set back, the operator's clock follows immediately.

    A clock ahead of the server would delete pods too early.
    """
    before, after, server_clock = Server(), Server(-100.0), clock.ServerClock()
    before.answer(server_clock, ago=10)
    after.answer(server_clock, ago=0.1)
    assert behind(server_clock, after)[1] >= -1e-6


def test_old_answers_are_forgotten() -> None:
    """One minute after a server's clock was set back, the clock is trusted again."""
    before, after, server_clock = Server(100.0), Server(), clock.ServerClock()
    before.answer(server_clock, ago=70)
    after.answer(server_clock, ago=5)
    assert server_clock.spread_seconds() == 0.0
    assert server_clock.trusted()


@pytest.mark.parametrize(
    "date", ["", "garbage", "2026-11-22T12:00:00Z", "Sun, 31 Feb 2026 11:00:00 GMT", "Sun, 22 Nov 99999 11:00:00 GMT"]
)
def test_a_header_that_is_no_date_says_nothing(date: str) -> None:
    """A proxy may send any Date header."""
    server_clock = clock.ServerClock()
    server_clock.observe(date, 1.0, 2.0)
    assert not server_clock.trusted()
    assert server_clock.skew_seconds() == 0.0
