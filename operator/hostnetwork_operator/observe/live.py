"""Reads from the API server itself, without the store: complete lists, and the check right before a delete."""

import datetime
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from hostnetwork_operator import bodies
from hostnetwork_operator.api import exception, labels, policy
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import parse, store

Body = Mapping[str, Any]
# Only one page of a list is in memory at a time: at most PAGE objects, and at most PAGE_BYTES of JSON unless the page
# is a single object.
PAGE: Final = 100
PAGE_BYTES: Final = 4 * 2**20
# A list without specs and statuses. It shows the metadata of an object that cannot be decoded.
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
CUSTOM: Final = f"/apis/{labels.GROUP}/{labels.VERSION}"
_OURS: Final = f"labelSelector={labels.MANAGED_BY.replace('/', '%2F')}%3D{labels.MANAGER}"
PATHS: Final = {
    store.Kind.POD: "/api/v1/pods?fieldSelector=spec.hostNetwork%3Dtrue",
    store.Kind.EVERY_POD: "/api/v1/pods",
    store.Kind.NAMESPACE: "/api/v1/namespaces",
    store.Kind.EXCEPTION: f"{CUSTOM}/{exception.PLURAL}",
    store.Kind.POLICY: f"{CUSTOM}/{policy.PLURAL}",
    store.Kind.ADMISSION_POLICY: f"{_ADMISSION}/validatingadmissionpolicies",
    store.Kind.ADMISSION_BINDING: f"{_ADMISSION}/validatingadmissionpolicybindings",
    **{kind: f"/apis/{found.api_version}/{found.plural}?{_OURS}" for kind, found in store.REPORTS.items()},
}
_NAMESPACED: Final = frozenset({store.Kind.POD, store.Kind.EVERY_POD, store.Kind.EXCEPTION, *store.REPORTS})
LEDGER: Final = f"/api/v1/namespaces/{labels.SYSTEM_NAMESPACE}/configmaps"
# The kinds of owner that decide/report asks for, with the whole path: a tenant who writes a part of a path could
# redirect the request.
_OWNERS: Final = {
    ("apps/v1", "ReplicaSet"): "/apis/apps/v1/namespaces/{}/replicasets/{}",
    ("batch/v1", "Job"): "/apis/batch/v1/namespaces/{}/jobs/{}",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a list is to have: the objects of one namespace (None: all), and the pods with these labels ('': all)."""

    namespace: str | None = None
    pod_labels: str = ""


EVERYWHERE: Final = Scope()


class Reader(Protocol):
    """The part of the gateway that reads. It raises its own errors.

    The error for an answer that cannot be decoded is also a bodies.DecodeError.
    """

    async def get(self, path: str, *, accept: str = "application/json", most: int = bodies.BYTES) -> bodies.Answer: ...


class Clock(Protocol):
    """The API server's time, and the seconds of a clock that nobody can set."""

    def now(self) -> datetime.datetime: ...
    def monotonic(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Undecoded:
    """An object of a list that cannot be decoded: its metadata, and why it cannot."""

    meta: Mapping[str, Any]
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. `version` is the resource version of the whole list. `known` has the metadata of objects that
    were not read, because the caller knows them already.
    """

    items: list[Body]
    version: str
    undecoded: tuple[Undecoded, ...] = ()
    known: tuple[Mapping[str, Any], ...] = ()


Knows = Callable[[Mapping[str, Any]], bool]  # whether an object with this metadata need not be read


async def pages(reader: Reader, path: str, knows: Knows | None = None) -> AsyncIterator[Page]:
    """Yield the pages of a list. This function keeps no reference to a page that it has yielded.

    With `knows`, first only the metadata of a page is read, and the page itself only if one of its objects is not
    known. Metadata takes a third of the bytes, and most objects have not changed since the last list.

    If a page is too large or cannot be decoded, it is requested again in smaller pieces, down to one object. Of an
    object that cannot be decoded only the metadata is read, and the list continues after that object.

    The request names no resourceVersion, so the list is up to date and shows one moment. With resourceVersion=0 the API
    server may ignore `limit` and return all objects in one answer.
    """
    joint = "&" if "?" in path else "?"
    position, limit = "", PAGE
    while True:
        query = f"{path}{joint}limit={limit}{position}"
        most = PAGE_BYTES if limit > 1 else bodies.BYTES
        undecoded: tuple[Undecoded, ...] = ()
        known: tuple[Mapping[str, Any], ...] = ()
        try:
            if knows is not None:
                listed = (await reader.get(query, accept=METADATA_LIST, most=most)).body
                known = tuple(item["metadata"] for item in listed["items"] or ())
                listed["items"] = []
            if knows is None or not all(map(knows, known)):
                known, listed = (), (await reader.get(query, most=most)).body
        except bodies.DecodeError as error:
            if limit > 1:
                limit //= 2
                continue
            listed = (await reader.get(query, accept=METADATA_LIST)).body
            if not position:
                # By now another object may be the first. From here on, read the list as it was at this version.
                position = f"&resourceVersion={listed['metadata']['resourceVersion']}&resourceVersionMatch=Exact"
                continue
            undecoded = tuple(Undecoded(item["metadata"], error.why) for item in listed["items"] or ())
            listed["items"] = []
        yield Page(listed.pop("items") or [], listed["metadata"]["resourceVersion"], undecoded, known)
        if not listed["metadata"].get("continue"):
            return
        position = f"&continue={listed['metadata']['continue']}"
        limit = min(PAGE, 2 * limit)


async def fill(
    reader: Reader, cache: store.Store, kind: store.Kind, clock: Clock, scope: Scope = EVERYWHERE
) -> set[str]:
    """List one kind into the store. Return the namespaces in which the list changed the store."""
    return await _fill(reader, cache, kind, scope, clock)


def path(kind: store.Kind, scope: Scope) -> str:
    """Return the path of the list of a kind."""
    whole, _, query = PATHS[kind].partition("?")
    queries = [query] if query else []
    if scope.namespace is not None and kind in _NAMESPACED:
        group, _, plural = whole.rpartition("/")
        whole = f"{group}/namespaces/{scope.namespace}/{plural}"
    if scope.namespace is not None and kind is store.Kind.NAMESPACE:
        queries.append(f"fieldSelector=metadata.name%3D{scope.namespace}")
    if scope.pod_labels and kind in {store.Kind.POD, store.Kind.EVERY_POD}:
        queries.append(f"labelSelector={urllib.parse.quote(scope.pod_labels, safe='')}")
    return whole + ("?" + "&".join(queries) if queries else "")


async def fill_pods(reader: Reader, cache: store.Store, namespace: str, clock: Clock) -> None:
    """List all pods of one namespace into the store, also the pods that no watch reports."""
    await _fill(reader, cache, store.Kind.EVERY_POD, Scope(namespace), clock)


async def _fill(reader: Reader, cache: store.Store, kind: store.Kind, scope: Scope, clock: Clock) -> set[str]:
    namespace = scope.namespace if kind in _NAMESPACED else None
    began = clock.now()
    listing = cache.listing(kind, namespace)
    version = "0"
    # Other kinds are few, and nothing is known before the first list.
    knows = listing.knows if kind is store.Kind.POD and cache.has_any(kind) else None
    async for page in pages(reader, path(kind, scope), knows):
        listing.page(page.items)
        listing.confirm(page.known)
        for undecoded in page.undecoded:
            listing.set_aside(undecoded.meta, undecoded.why)
        version = page.version
        del page  # or this page would stay in memory while the next page is read
    touched = listing.end(version)
    if kind is store.Kind.EVERY_POD:
        cache.every_pod_listed(namespace, began)
    return touched


async def ledger(reader: Reader) -> list[Body]:
    """Return the ConfigMaps of the ledger."""
    config_maps: list[Body] = []
    async for page in pages(reader, f"{LEDGER}?{_OURS}"):
        # A ConfigMap that cannot be decoded exists, but has no readable record: it is damaged.
        config_maps += [*page.items, *({"metadata": undecoded.meta} for undecoded in page.undecoded)]
    return config_maps


async def top_of(reader: Reader, owner: snapshot.Reference) -> snapshot.Reference | None:
    """Return the controller of a ReplicaSet or Job, or `owner` itself if it has no controller.

    Return None if the answer is about another object.
    """
    path = _OWNERS[owner.api_version, owner.kind].format(owner.namespace, owner.name)
    body = (await reader.get(path)).body
    meta = body.get("metadata") or {}
    asked = (owner.kind, owner.namespace, owner.name, owner.uid)
    if (body.get("kind"), meta.get("namespace"), meta.get("name"), meta.get("uid")) != asked:
        return None
    return parse.controller(body) or owner


async def again(
    reader: Reader, state: snapshot.NamespaceSnapshot, pod: snapshot.Reference
) -> snapshot.NamespaceSnapshot:
    """Return the same namespace with one pod and all exceptions read anew, to evaluate the pod right before a delete.

    If the API server does not serve the kind of exceptions, the exceptions are those that the ledger has.
    """
    body = (await reader.get(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}")).body
    read_pod = parse.pod(body)
    state = replace(state, pods=snapshot.PodSet.of([read_pod] if isinstance(read_pod, snapshot.Pod) else []))
    if not state.exceptions_served:
        return state
    exceptions: list[exception.HostNetworkException] = []
    unreadable: list[snapshot.UnreadableException] = []
    async for page in pages(reader, f"{CUSTOM}/namespaces/{pod.namespace}/{exception.PLURAL}"):
        for item in page.items:  # an item of a list has no field `kind`, and the model does not require it
            read_exception = parse.host_network_exception(item)
            if isinstance(read_exception, exception.HostNetworkException):
                exceptions.append(read_exception)
            else:
                unreadable.append(read_exception)
        unreadable += (parse.unreadable_exception(undecoded.meta, undecoded.why) for undecoded in page.undecoded)
    return replace(state, exceptions=tuple(exceptions), unreadable_exceptions=tuple(unreadable))
