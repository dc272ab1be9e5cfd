"""The rule DefaultServiceAccount."""

import pytest

from hostnetwork_operator.decide import rules
from tests.unit.builders import hne
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne(service_account_name=None))


@pytest.mark.parametrize("name", [None, "default"])
def test_the_default_service_account_is_warned_of(name: str | None) -> None:
    """The rule warns if the exception names `default` or no service account. Another service account passes."""
    assert judged.result_of(rules.DEFAULT_SERVICE_ACCOUNT, hne(service_account_name=name)) == "warn"
    assert judged.result_of(rules.DEFAULT_SERVICE_ACCOUNT, hne()) == "pass"
