"""The address of the API server, and the operator's identity: the service account of a pod, else a kubeconfig."""

import os
import pathlib
from typing import Final

import aiohttp
from kubernetes.aio import client, config

_CONNECTIONS: Final = 32
_DEFAULT: Final = "~/.kube/config"


class IdentityError(Exception):
    """No identity works. The message is one line with the remedy."""


async def configure() -> client.Configuration:
    """Return the configuration of the pod's service account, or else of the current kubeconfig. Raise IdentityError."""
    configuration = await _load()
    configuration.connection_pool_maxsize = _CONNECTIONS
    # With trust_env, the environment is searched for proxies and ~/.netrc at every request, which takes half of the
    # request's time. A proxy-url in the kubeconfig still counts.
    # The unread bytes of a connection also take memory, so the buffer is small.
    configuration.client_session_kwargs = {"trust_env": False, "read_bufsize": 2**16}
    return configuration


async def refresh(configuration: client.Configuration) -> None:
    """Read the token again now: the library reads it only once a minute. If that fails, the token stays as it is."""
    try:
        latest = await _load()
    except IdentityError:
        return
    if latest.host == configuration.host:  # otherwise a user has switched the kubeconfig to another cluster meanwhile
        configuration.api_key = latest.api_key
        configuration.refresh_api_key_hook = latest.refresh_api_key_hook


def token(configuration: client.Configuration) -> str:
    """Return the Authorization header as it was last read, '' if there is none."""
    return str(configuration.api_key.get("BearerToken") or "")


def client_of(configuration: client.Configuration) -> client.ApiClient:
    """Return a client with this identity. Raise IdentityError if its certificates cannot be used."""
    session_options = configuration.client_session_kwargs or {}
    configuration.client_session_kwargs = {**session_options, "middlewares": (_delete_once,)}
    try:
        return client.ApiClient(configuration)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise IdentityError(
            f"the certificates for {configuration.host} must be usable, got {_line(error)}; correct"
            " certificate-authority, client-certificate and client-key in the kubeconfig"
        ) from error


async def _delete_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a DELETE automatically when a reused connection breaks: the object would not be
    evaluated again before the repetition, and the operator would not know that the first DELETE may have been carried
    out.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method != "DELETE" or isinstance(error, aiohttp.ClientConnectorError):
            raise
        raise aiohttp.ClientConnectionError(f"{type(error).__name__}: {error}") from error


async def _load() -> client.Configuration:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        await _load_kubeconfig(configuration, _line(error))
    return configuration


async def _load_kubeconfig(configuration: client.Configuration, no_account: str) -> None:
    paths = os.environ.get("KUBECONFIG") or _DEFAULT
    if not _any_exists(paths):
        raise IdentityError(
            f"the operator needs a service account or a kubeconfig, got no service account ({no_account}) and no"
            f" file {paths!r}; set KUBECONFIG to a kubeconfig that exists, or run the operator as manifests/base does"
        )
    try:
        await config.load_kube_config(paths, client_configuration=configuration)
    except Exception as error:  # the library fails in as many ways as a file can be wrong
        raise IdentityError(
            f"kubeconfig {paths!r} must be valid, got {type(error).__name__}: {_line(error)}; correct the file, or set"
            " KUBECONFIG to another file"
        ) from error
    if "://" not in configuration.host:
        raise IdentityError(
            f"kubeconfig {paths!r} must name a server such as https://192.0.2.1:6443, got {configuration.host!r};"
            " correct the file, or set KUBECONFIG to another file"
        )


def _any_exists(paths: str) -> bool:
    return any(pathlib.Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
