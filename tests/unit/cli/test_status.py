"""The exit status of `status` says whether everything was looked at."""

import types
from typing import Any, cast

import pytest

from hostnetwork_operator.cli import status
from hostnetwork_operator.decide import inventory, snapshot
from tests.unit.builders import NAMESPACE, planned, pod, seen

ODD = snapshot.UnreadablePod(NAMESPACE, "odd", "uid-of-odd", "TypeError")


@pytest.mark.parametrize(
    ("pods", "fail_on", "expected"),
    [
        ([pod()], None, 0),
        ([pod()], frozenset({"Uncovered"}), 3),
        ([pod(), ODD], None, 1),
        ([pod(), ODD], frozenset({"Uncovered"}), 1),
    ],
)
def test_a_pod_that_cannot_be_read_is_no_success(
    pods: list[snapshot.Pod | snapshot.UnreadablePod], fail_on: frozenset[str] | None, expected: int
) -> None:
    """Its verdict is Unknown because nobody could look at it."""
    state = seen(*pods)
    reading = cast("Any", types.SimpleNamespace(not_looked_at=()))
    result = status.StatusResult(inventory.overview([(state, planned(state))]), reading, every_pod=False)
    assert status.exit_status(result, fail_on) == expected
