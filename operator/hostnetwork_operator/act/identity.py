"""Where the API server is and as whom the operator speaks to it: the service account of a pod, else a kubeconfig."""

import os
import pathlib
from typing import Final

import aiohttp
from kubernetes.aio import client, config

_CONNECTIONS: Final = 32
_DEFAULT: Final = "~/.kube/config"


class IdentityError(Exception):
    """There is no identity that works; the message is one line with the remedy."""


async def configure() -> client.Configuration:
    """Return the configuration of the service account in a pod, else of the current kubeconfig. Raise IdentityError."""
    configuration = await _load()
    configuration.connection_pool_maxsize = _CONNECTIONS
    # The environment is asked for proxies and ~/.netrc at every single request otherwise, which costs half of it. A
    # proxy-url in the kubeconfig counts.
    # What a connection holds unread is memory too.
    configuration.client_session_kwargs = {"trust_env": False, "read_bufsize": 2**16}
    return configuration


async def refresh(configuration: client.Configuration) -> None:
    """Read the token again, now: the library does so once a minute. Where that fails, the token stays as it is."""
    try:
        fresh = await _load()
    except IdentityError:
        return
    if fresh.host == configuration.host:  # not where somebody has turned to another cluster meanwhile
        configuration.api_key = fresh.api_key
        configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


def token(configuration: client.Configuration) -> str:
    """Return the Authorization header as it was last read, '' without one."""
    return str(configuration.api_key.get("BearerToken") or "")


def client_of(configuration: client.Configuration) -> client.ApiClient:
    """Return a client with this identity. Raise IdentityError where its certificates cannot be used."""
    given = configuration.client_session_kwargs or {}
    configuration.client_session_kwargs = {**given, "middlewares": (_delete_once,)}
    try:
        return client.ApiClient(configuration)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise IdentityError(
            f"the certificates for {configuration.host} must be usable, got {_line(error)}; correct"
            " certificate-authority, client-certificate and client-key in the kubeconfig"
        ) from error


async def _delete_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a DELETE by itself where a connection breaks that was used before: nobody would look
    again, and nobody would know that the first one may have been carried out.
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
    if not _there(paths):
        raise IdentityError(
            f"the operator needs a service account or a kubeconfig, got no service account ({no_account}) and no"
            f" file {paths!r}; set KUBECONFIG to a kubeconfig that exists, or run the operator as manifests/base does"
        )
    try:
        await config.load_kube_config(paths, client_configuration=configuration)
    except Exception as error:  # the library fails in as many ways as a file can be wrong
        raise IdentityError(
            f"kubeconfig {paths!r} must be a valid one, got {type(error).__name__}: {_line(error)}; correct it, or set"
            " KUBECONFIG to another one"
        ) from error
    if "://" not in configuration.host:
        raise IdentityError(
            f"kubeconfig {paths!r} must name a server such as https://192.0.2.1:6443, got {configuration.host!r};"
            " correct it, or set KUBECONFIG to another one"
        )


def _there(paths: str) -> bool:
    return any(pathlib.Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
