"""A kind counts as watched as long as the operator hears from its watch."""

import pytest

from hostnetwork_operator.control import heard
from hostnetwork_operator.observe import store


class Watches:
    """Watches of pods and namespaces, and the seconds that have passed."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.noted = heard.Heard({store.Kind.POD, store.Kind.NAMESPACE}, lambda: self.seconds)
        for kind in (store.Kind.POD, store.Kind.NAMESPACE):
            self.noted.heard(kind)

    def after(self, seconds: float) -> str:
        self.seconds += seconds
        return self.noted.trouble()


@pytest.fixture
def watches() -> Watches:
    return Watches()


def test_a_watch_that_fails_is_forgiven_for_a_moment(watches: Watches) -> None:
    """A watch ends every few minutes, and its next request may fail once."""
    watches.noted.failed(store.Kind.POD, "no answer")
    assert watches.after(10) == ""
    watches.noted.failed(store.Kind.POD, "no answer")
    assert watches.after(10) == "the watch of pods has failed for 20 s: no answer"
    watches.noted.heard(store.Kind.POD)
    assert watches.after(10) == ""


def test_a_watch_that_is_silent_is_no_watch(watches: Watches) -> None:
    """The API server sends a bookmark every minute. News of another kind does not help."""
    assert watches.after(170) == ""
    watches.noted.heard(store.Kind.NAMESPACE)
    assert watches.after(20) == "the watch of pods has been silent for 190 s"


def test_what_is_not_watched_is_not_missed(watches: Watches) -> None:
    """This applies to a kind that is not counted, such as Events, and to watches from before a new beginning."""
    watches.noted.failed(store.Kind.POLICY, "no right")
    watches.noted.failed("events", "no right")
    assert watches.after(60) == ""
    watches.noted.failed(store.Kind.POD, "no answer")
    watches.noted.begin()
    assert watches.after(600) == ""
