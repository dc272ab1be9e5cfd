"""Settings with which the process cannot start. The process says so before it sends any request to a cluster."""

import pathlib

import pytest

from hostnetwork_operator import config
from hostnetwork_operator.control import startup


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
