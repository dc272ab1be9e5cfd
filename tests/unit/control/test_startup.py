"""Settings of the process: with which it cannot start, which it says before any request, and what a standby shows."""

import pathlib
from typing import Any, cast

import pytest

from hostnetwork_operator import clock, config, metrics
from hostnetwork_operator.control import operator, startup


async def test_tokens_are_not_asked_for_over_plain_http() -> None:
    """The message names both variables."""
    with pytest.raises(startup.StartError) as error:
        await startup.run(config.Config(metrics_auth="TokenReview"))
    assert str(error.value) == (
        "with HOSTNETWORK_METRICS_AUTH=TokenReview bearer tokens must be sent over TLS, got no certificate;"
        " set HOSTNETWORK_METRICS_CERT_DIR to a directory with tls.crt and tls.key"
    )


@pytest.mark.parametrize("auth", ["None", "TokenReview"])
async def test_a_directory_without_a_certificate_is_named(tmp_path: pathlib.Path, auth: str) -> None:
    """The message says what to mount there."""
    with pytest.raises(startup.StartError) as error:
        await startup.run(config.Config.model_validate({"metrics_auth": auth, "metrics_cert_dir": str(tmp_path)}))
    assert f"tls.key, got {tmp_path}: [Errno 2] No such file" in str(error.value)
    assert str(error.value).endswith("; mount a Secret of type kubernetes.io/tls there")


@pytest.mark.parametrize("name", ["hostnetwork-operator", "a/b/c", "a/", "/b", "A/b", "a/b?force=true", "a.b/c"])
def test_a_lease_has_a_namespace_and_a_name(name: str) -> None:
    """The name becomes a part of a path."""
    with pytest.raises(config.ConfigError, match=r"^environment variable HOSTNETWORK_LEASE: "):
        config.from_environment({"HOSTNETWORK_LEASE": name})


@pytest.mark.parametrize("name", ["", "hostnetwork-system/hostnetwork-operator", "a/b.c"])
def test_no_lease_is_the_default(name: str) -> None:
    """Without a Lease the process always leads. An empty variable is as good as none."""
    assert config.from_environment({"HOSTNETWORK_LEASE": name}).lease == name
    assert config.from_environment({}).lease == ""


def test_a_standby_shows_that_it_is_one_and_no_state() -> None:
    """It has not listed the cluster, so a ledger without records would be a false alarm."""
    measures, leads = metrics.Metrics(), False
    operator.Operator(cast("Any", None), clock.ServerClock(), measures)
    measures.gather()
    assert "hostnetwork_operator_leader 1.0" in measures.text().decode()
    assert "hostnetwork_ledger_intact" in measures.text().decode()
    measures = metrics.Metrics()
    measures.depend_on_lease(lambda: leads, lambda: leads)
    operator.Operator(cast("Any", None), clock.ServerClock(), measures)
    measures.gather()
    assert "hostnetwork_operator_leader 0.0" in measures.text().decode()
    assert "hostnetwork_ledger_intact" not in measures.text().decode()
    leads = True
    measures.gather()
    assert "hostnetwork_operator_leader 1.0" in measures.text().decode()
    assert "hostnetwork_ledger_intact" in measures.text().decode()
