"""The address of the API server, and the operator's identity: the service account of a pod, else a kubeconfig."""

import os
import pathlib
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from kubernetes.aio import client, config

_CONNECTIONS: Final = 32
_DEFAULT: Final = "~/.kube/config"
_ACCOUNT_NAMESPACE: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class IdentityError(Exception):
    """No identity works. The message is one line with the remedy."""


async def configure() -> client.Configuration:
    """Return the configuration of the pod's service account, or else of the current kubeconfig. Raise IdentityError."""
    configuration = await _load()
    _prepare(configuration)
    return configuration


def _prepare(configuration: client.Configuration) -> None:
    configuration.connection_pool_maxsize = _CONNECTIONS
    # With trust_env, the environment is searched for proxies and ~/.netrc at every request, which takes half of the
    # request's time. A proxy-url in the kubeconfig still counts.
    # The unread bytes of a connection also take memory, so the buffer is small.
    configuration.client_session_kwargs = {"trust_env": False, "read_bufsize": 2**16}


@dataclass(frozen=True, slots=True)
class Context:
    """A context of a kubeconfig: how to reach the API server, the namespace of the context, and the name that the
    kubeconfig gives the cluster ('' without a kubeconfig).
    """

    configuration: client.Configuration
    namespace: str
    cluster: str = ""


async def of_context(kubeconfig: str | None, context: str | None) -> Context:
    """Return a context as kubectl chooses it: `context` or the current one, of `kubeconfig`, $KUBECONFIG or the default
    file; without a file, the pod's service account. Raise IdentityError.
    """
    paths = kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT
    configuration = client.Configuration()
    namespace, cluster = "default", ""
    if kubeconfig is None and context is None and not _any_exists(paths):
        try:
            config.load_incluster_config(client_configuration=configuration)
            namespace = _ACCOUNT_NAMESPACE.read_text().strip()
        except (config.ConfigException, OSError) as error:
            raise IdentityError(
                f"no kubeconfig at {paths!r}, and no service account of a pod; set KUBECONFIG or use --kubeconfig"
            ) from error
    else:
        if not _any_exists(paths):
            raise IdentityError(f"no kubeconfig at {paths!r}; set KUBECONFIG or use --kubeconfig")
        loader = await _read_kubeconfig(configuration, paths, context)
        chosen = loader.current_context.get("context") or {}
        namespace, cluster = chosen.get("namespace") or namespace, str(chosen.get("cluster") or "")
    _prepare(configuration)
    return Context(configuration, namespace, cluster)


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


def client_of(configuration: client.Configuration, *traces: aiohttp.TraceConfig) -> client.ApiClient:
    """Return a client with this identity. Raise IdentityError if its certificates cannot be used."""
    session_options = configuration.client_session_kwargs or {}
    configuration.client_session_kwargs = {
        **session_options,
        "middlewares": (_delete_once,),
        "trace_configs": list(traces),
    }
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
    await _read_kubeconfig(configuration, paths, None)


async def _read_kubeconfig(configuration: client.Configuration, paths: str, context: str | None) -> Any:
    try:
        loader = await config.load_kube_config(paths, context, client_configuration=configuration)
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
    return loader


def _any_exists(paths: str) -> bool:
    return any(pathlib.Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
