"""How many random samples: a slice in every run, HNO_SAMPLES=20000 in the long one, from another HNO_SEED if wished."""

import os
from collections.abc import Callable
from typing import Final, TypeVar
from unittest import mock

import hypothesis
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine

T = TypeVar("T")
SEED: Final = int(os.environ.get("HNO_SEED", "0"))


def samples(of_a_slice: int) -> int:
    """The number wished for in the environment, else that of a slice."""
    return int(os.environ.get("HNO_SAMPLES", of_a_slice))


def search(count: int, strategy: st.SearchStrategy[T], judge: Callable[[T], None]) -> None:
    """Judges that many; where one fails, raises for the smallest that still does."""

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
    )
    @hypothesis.given(strategy)
    def run(sample: T) -> None:
        judge(sample)

    # Five of six samples would be the one before with a part of it copied to another place: a control that decided
    # seventeen times in three hundred decided once. There is no setting for it.
    with mock.patch.object(engine.ConjectureRunner, "generate_mutations_from"):
        run()
