"""The settings of the process, from environment variables. How the cluster is governed is in the policy object."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_PREFIX = "HOSTNETWORK_"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"  # RFC 1123


class ConfigError(Exception):
    """An environment variable has a value that is not allowed. The message names the variable."""


class Config(BaseModel):
    """The settings. Each is read from an environment variable `HOSTNETWORK_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field("0.0.0.0", description="The address at which /metrics, /healthz and /readyz are served.")  # noqa: S104 - a pod's
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="The port of /metrics.")
    probe_port: Annotated[int, Field(ge=0, le=65535)] = Field(8081, description="The port of /healthz and /readyz.")
    metrics_cert_dir: str = Field(
        "", description="A directory with tls.crt and tls.key, to serve /metrics over TLS; absent: plain HTTP."
    )
    metrics_auth: Literal["None", "TokenReview"] = Field(
        "None", description="Whether the API server decides who may read /metrics; TokenReview needs metrics_cert_dir."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="How many namespaces are reconciled at the same time."
    )
    resync_seconds: Annotated[float, Field(ge=1)] = Field(300, description="How often everything is listed again.")
    full_resync_seconds: Annotated[float, Field(ge=1)] = Field(
        3600,
        description="How often all pods are listed, to find pods that no field selector selects, and ordinary pods.",
    )
    exceptions_resync_seconds: Annotated[float, Field(ge=1)] = Field(
        30, description="How often exceptions are listed again."
    )
    controller_wait_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        60, description="How long a controller may take to create pods after an exception covers them."
    )
    lease: Annotated[str, Field(pattern=rf"^({_LABEL}/{_LABEL}([.]{_LABEL})*)?$", max_length=317)] = Field(
        "",
        description="The Lease whose holder alone writes, as namespace/name; absent: this process is the only one.",
    )


def from_environment(environment: Mapping[str, str]) -> Config:
    """Return the settings. Raise ConfigError for a value that is not allowed, and for a name that does not exist."""
    values = {
        name.removeprefix(_PREFIX).lower(): value for name, value in environment.items() if name.startswith(_PREFIX)
    }
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + str(first["loc"][0]).upper()
        raise ConfigError(f"environment variable {name}: {first['msg']}, got {first['input']!r}") from error
