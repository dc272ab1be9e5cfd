"""Reads of the cluster itself, past the store: full lists, and the second look before a delete."""

import datetime
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from hostnetwork_operator import bodies
from hostnetwork_operator.api import exception, labels, policy
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import parse, store

Body = Mapping[str, Any]
# A page is all of a list that is ever held at once: so many objects, and no more bytes of JSON unless it is one object.
PAGE: Final = 100
PAGE_BYTES: Final = 4 * 2**20
# A list without specs and statuses: the way to know of an object that cannot be decoded.
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
LEDGER: Final = f"/api/v1/namespaces/{labels.SYSTEM_NAMESPACE}/configmaps"
# Those that decide/report asks for, whole: a part of a path that a tenant writes steers the request.
_OWNERS: Final = {
    ("apps/v1", "ReplicaSet"): "/apis/apps/v1/namespaces/{}/replicasets/{}",
    ("batch/v1", "Job"): "/apis/batch/v1/namespaces/{}/jobs/{}",
}


class Answer(Protocol):
    """What a request gave."""

    @property
    def body(self) -> Any: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...


class Reader(Protocol):
    """The gateway, as far as reading goes. Raises its own errors; one that is a bodies.DecodeError where an answer
    cannot be decoded.
    """

    async def get(self, path: str, *, accept: str = "application/json", most: int = bodies.BYTES) -> Answer: ...


class Clock(Protocol):
    """The API server's time, and seconds on a clock that is never set."""

    def now(self) -> datetime.datetime: ...
    def monotonic(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Undecoded:
    """An object of a list that cannot be decoded: its metadata, and why."""

    meta: Mapping[str, Any]
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. `version` is the resource version of the whole list."""

    items: list[Body]
    version: str
    undecoded: tuple[Undecoded, ...] = ()


async def pages(reader: Reader, path: str) -> AsyncIterator[Page]:
    """Pages of a list. Nothing in here keeps a page that has been given.

    A page that is too large, or that cannot be decoded, is asked for in smaller pieces, down to one object. An object
    that cannot be decoded is known by its metadata alone, and the list goes on after it.

    No resourceVersion is asked for: the list is of one moment and up to date. With resourceVersion=0 the API server
    may leave `limit` aside and give everything at once.
    """
    joint = "&" if "?" in path else "?"
    position, limit = "", PAGE
    while True:
        query = f"{path}{joint}limit={limit}{position}"
        undecoded: tuple[Undecoded, ...] = ()
        try:
            body = (await reader.get(query, most=PAGE_BYTES if limit > 1 else bodies.BYTES)).body
        except bodies.DecodeError as error:
            if limit > 1:
                limit //= 2
                continue
            body = (await reader.get(query, accept=METADATA_LIST)).body
            if not position:
                # Another object may be the first by now. From here on the list is as it was at this version.
                position = f"&resourceVersion={body['metadata']['resourceVersion']}&resourceVersionMatch=Exact"
                continue
            undecoded = tuple(Undecoded(item["metadata"], error.why) for item in body["items"] or ())
            body["items"] = []
        yield Page(body.pop("items") or [], body["metadata"]["resourceVersion"], undecoded)
        if not body["metadata"].get("continue"):
            return
        position = f"&continue={body['metadata']['continue']}"
        limit = min(PAGE, 2 * limit)


async def fill(reader: Reader, kept: store.Store, kind: store.Kind, clock: Clock) -> set[str]:
    """Lists one kind into the store; gives the namespaces that were not as the store had them."""
    return await _fill(reader, kept, kind, None, clock)


async def fill_pods(reader: Reader, kept: store.Store, namespace: str, clock: Clock) -> None:
    """Lists one namespace's pods into the store, all of them: also those that no watch tells of."""
    await _fill(reader, kept, store.Kind.EVERY_POD, namespace, clock)


async def _fill(reader: Reader, kept: store.Store, kind: store.Kind, namespace: str | None, clock: Clock) -> set[str]:
    path = PATHS[kind] if namespace is None else f"/api/v1/namespaces/{namespace}/pods"
    began = clock.now()
    listing = kept.listing(kind, namespace)
    version = "0"
    async for page in pages(reader, path):
        listing.page(page.items)
        for one in page.undecoded:
            listing.set_aside(one.meta, one.why)
        version = page.version
        del page  # or it is there still while the next one comes
    touched = listing.end(version)
    if kind is store.Kind.EVERY_POD:
        kept.every_pod_listed(namespace, began)
    return touched


async def ledger(reader: Reader) -> list[Body]:
    """The ConfigMaps of the ledger."""
    found: list[Body] = []
    async for page in pages(reader, f"{LEDGER}?{_OURS}"):
        # One that cannot be decoded is there, and has no records that anybody could read: it is damaged.
        found += [*page.items, *({"metadata": one.meta} for one in page.undecoded)]
    return found


async def top_of(reader: Reader, owner: snapshot.Reference) -> snapshot.Reference | None:
    """Whose a ReplicaSet or Job is; itself if nobody's, None if the answer is about another."""
    path = _OWNERS[owner.api_version, owner.kind].format(owner.namespace, owner.name)
    body = (await reader.get(path)).body
    meta = body.get("metadata") or {}
    asked = (owner.kind, owner.namespace, owner.name, owner.uid)
    if (body.get("kind"), meta.get("namespace"), meta.get("name"), meta.get("uid")) != asked:
        return None
    return parse.controller(body) or owner


async def again(
    reader: Reader, seen: snapshot.NamespaceSnapshot, pod: snapshot.Reference
) -> snapshot.NamespaceSnapshot:
    """The same namespace with one pod and all exceptions as they are now, for a judgement right before a delete.

    Where the API server does not have their kind, the exceptions are those that the ledger has.
    """
    body = (await reader.get(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}")).body
    found = parse.pod(body)
    seen = replace(seen, pods=(found,) if isinstance(found, snapshot.Pod) else ())
    if not seen.exceptions_served:
        return seen
    exceptions: list[exception.HostNetworkException] = []
    unreadable: list[snapshot.UnreadableException] = []
    async for page in pages(reader, f"{CUSTOM}/namespaces/{pod.namespace}/{exception.PLURAL}"):
        for item in page.items:  # without a kind of its own, which the models do not ask for
            read = parse.host_network_exception(item)
            if isinstance(read, exception.HostNetworkException):
                exceptions.append(read)
            else:
                unreadable.append(read)
        unreadable += (parse.unreadable_exception(one.meta, one.why) for one in page.undecoded)
    return replace(seen, exceptions=tuple(exceptions), unreadable_exceptions=tuple(unreadable))
