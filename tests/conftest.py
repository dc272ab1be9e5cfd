"""What every suite does before a test: skips what this Kubernetes does not have, and waits for its turn."""

from collections.abc import Generator

import pytest

from tests import turns
from tests.controlplane import binary


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that is marked `since("1.36", …)` on an older Kubernetes (`make test KUBERNETES=1.33`)."""
    for mark in item.iter_markers("since"):
        minor, feature = mark.args
        if not binary.release().has(minor):
            pytest.skip(f"{feature}: Kubernetes {minor} and newer")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test that is marked `alone` only while no other test runs."""
    with turns.turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)
