"""What the bookkeeper stores and confirms, and what happens if the server fails or changes meanwhile."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from aiohttp import web

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.control import bookkeeping
from hostnetwork_operator.decide import effects, snapshot
from hostnetwork_operator.observe import live, store
from tests.unit import serving
from tests.unit.builders import NAMESPACE, NOW, UID, approved, hne, namespace, seen
from tests.unit.shell.apiserver import ApiServer, Request

ROOT = pathlib.Path(__file__).parents[3]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
SUBJECT = snapshot.Reference("HostNetworkException", NAMESPACE, "net", "uid-of-net", labels.API_VERSION)
PATH = f"{live.CUSTOM}/namespaces/{NAMESPACE}/hostnetworkexceptions/net"
LEDGER = f"{live.LEDGER}/hostnetwork-ledger-1"
CREATED = "2026-11-22T10:00:00Z"
NO_ANSWER = "status 200 with no JSON object"


class Clock:
    def now(self) -> Any:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def policies() -> list[dict[str, Any]]:
    """Return exception-writers and its binding, as shipped."""
    file = ROOT / "manifests" / "admission" / "exception-writers.yaml"
    plurals = {"ValidatingAdmissionPolicy": "policies", "ValidatingAdmissionPolicyBinding": "policybindings"}
    policy_bodies = []
    for body in yaml.safe_load_all(file.read_text()):
        meta = body["metadata"]
        meta |= {"uid": f"uid-of-{body['kind']}", "generation": 1, "creationTimestamp": CREATED}
        policy_bodies.append({**body, "path": f"{ADMISSION}/validatingadmission{plurals[body['kind']]}/{meta['name']}"})
    return policy_bodies


def stored_exception(generation: int = 1) -> dict[str, Any]:
    subject = hne()
    meta = {
        "name": "net",
        "namespace": NAMESPACE,
        "uid": "uid-of-net",
        "generation": generation,
        "creationTimestamp": "2026-11-22T11:00:00Z",
    }
    spec = subject.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"path": PATH, "metadata": meta, "spec": spec}


class Books:
    """A bookkeeper that works with a server."""

    def __init__(self, api: gateway.Gateway, server: ApiServer) -> None:
        self.api, self.server = api, server
        self.store = store.Store(lambda: NOW)
        self.woken: list[str] = []
        self.keeper = bookkeeping.Bookkeeper(
            api,
            self.store,
            Clock(),
            self.woken.append,
            lambda: self.woken.append("*"),
            lambda: None,
        )

    async def begin(self) -> None:
        for kind in (store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING):
            await live.fill(self.api, self.store, kind, Clock())
        assert await self.keeper.load()
        self.keeper.settle()

    @property
    def identity(self) -> str:
        return self.store.guards()[labels.POLICY_EXCEPTION_WRITERS].identity

    def submit(self, **fields: Any) -> None:
        record = approved(hne(), under=self.identity)
        effect = effects.RecordException(SUBJECT, record, **{"guard": self.identity, **fields})
        self.keeper.submit(effect, NAMESPACE)

    async def until_woken(self, name: str = "") -> list[str]:
        """Wait until any namespace, or the named one, is to be planned again."""
        async with asyncio.timeout(60):
            while not (name in self.woken if name else self.woken):
                await asyncio.sleep(0.001)
        return self.woken

    @property
    def recorded(self) -> ledger.Record | None:
        return self.keeper.copy.get("hne.uid-of-net")


@contextlib.asynccontextmanager
async def books_of() -> AsyncIterator[Books]:
    """Yield books on a server that has the policies and one exception. Nothing is read yet."""
    server = ApiServer()
    for body in (*policies(), stored_exception()):
        server.put(body.pop("path"), body)
    async with serving.gateway_to(server.answer) as api:
        yield Books(api, server)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on after a failure within milliseconds, because what is tested does not depend on the pauses."""
    monkeypatch.setattr(gateway, "_FIRST_WAIT_SECONDS", 0.005)
    monkeypatch.setattr(bookkeeping, "_FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
async def books() -> AsyncIterator[Books]:
    async with books_of() as new_books:
        await new_books.begin()
        task = asyncio.create_task(new_books.keeper.keep())
        yield new_books
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def failure(status: int, message: str = "out of order") -> web.Response:
    """Return an answer with this status.

    Status 0 stands for the answer of a proxy to a request that never reached the API server.
    """
    if status == 0:
        return web.json_response([message])
    return web.json_response({"kind": "Status", "reason": "Broken", "message": message}, status=status)


class Failing:
    """Fails the request of this number, with all attempts that the gateway makes."""

    def __init__(self, number: int, status: int) -> None:
        self._number, self._status = number, status
        self._asked = 0
        self.failed: list[tuple[str, str]] = []

    def __call__(self, request: Request) -> web.Response | None:
        attempt = (request.method, request.path)
        attempts = gateway.ATTEMPTS if self._status in {0, 500} else 1
        repeated = 0 < len(self.failed) < attempts and self.failed[0] == attempt
        self._asked += not repeated
        if not repeated and self._asked != self._number:
            return None
        self.failed.append(attempt)
        return failure(self._status)


async def test_a_record_is_stored_and_its_namespace_planned_again(books: Books) -> None:
    """The operator reads the policy again first, and stores the records of the admission policies in the same write."""
    books.submit()
    assert await books.until_woken() == [NAMESPACE]
    assert books.recorded == approved(hne(), under=books.identity)
    data = books.server.objects[LEDGER]["data"]
    assert {"hne.uid-of-net", "ledger", f"guard.{labels.POLICY_EXCEPTION_WRITERS}"} <= data.keys()
    paths = [request.path for request in books.server.requests]
    confirmed = max(n for n, path in enumerate(paths) if path == f"{ADMISSION}/validatingadmissionpolicybindings")
    assert confirmed < paths.index(live.LEDGER, confirmed)


async def test_records_that_come_together_are_stored_together(books: Books) -> None:
    """One write stores all of them."""
    for number in range(50):
        namespace_state = namespace(uid=f"uid-{number}", name=f"n-{number}")
        record = ledger.NamespaceRecord(enforced=True, before="")
        books.keeper.submit(effects.RecordNamespace(namespace_state, record), namespace_state.name)
    async with asyncio.timeout(60):
        await books.keeper.until_idle()
    assert len([request for request in books.server.requests if request.method != "GET"]) <= 2
    assert len(set(books.woken)) == 50


async def test_what_is_being_stored_is_seen(books: Books) -> None:
    """The view has the record that is being stored and the newer one that waits.

    Afterwards it has only the stored record.
    """
    first, second = (ledger.NamespaceRecord(enforced=True, before=text) for text in ("", "privileged"))
    state = seen(namespace=namespace())
    for record in (first, second):
        books.keeper.submit(effects.RecordNamespace(namespace(), record), NAMESPACE)
        if record is first:
            async with asyncio.timeout(60):
                while not books.server.requests:
                    await asyncio.sleep(0)
    view = books.keeper.view(state)
    assert view.coming[-1] == second
    async with asyncio.timeout(60):
        await books.keeper.until_idle()
    view = books.keeper.view(state)
    assert (view.namespace, view.coming) == (second, ())


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"generation": 3}},
        {"metadata": {"uid": "another"}},
        {"spec": {"failurePolicy": "Ignore"}},
        {"metadata": {"deletionTimestamp": CREATED}},
    ],
    ids=["weakened and put back", "deleted and created again", "weaker", "being deleted"],
)
async def test_an_approval_is_not_stored_if_its_policy_is_another_one_by_now(
    books: Books, change: dict[str, Any]
) -> None:
    """Watches are not ordered: one reported the exception before another reported the policy.

    The namespace is planned again.
    """
    identity = books.identity
    path, body = next((name, stored) for name, stored in books.server.objects.items() if "policies/" in name)
    body = {**body, **{key: {**body[key], **value} for key, value in change.items()}}
    books.server.put(path, body)
    books.submit(guard=identity)
    assert NAMESPACE in await books.until_woken(NAMESPACE)
    assert books.recorded is None
    assert books.identity != identity


async def test_an_approval_is_not_stored_if_the_policy_is_gone(books: Books) -> None:
    """The same applies if the policy or its binding no longer exists."""
    for path in [path for path in books.server.objects if "policybindings/" in path]:
        del books.server.objects[path]
    books.submit()
    assert NAMESPACE in await books.until_woken(NAMESPACE)
    assert books.recorded is None


@pytest.mark.parametrize("harm", ["changed", "gone"])
async def test_a_record_of_what_changed_meanwhile_is_dropped(books: Books, harm: str) -> None:
    """If the exception may have changed at a moment without the policy, the operator reads the exception again."""
    if harm == "gone":
        del books.server.objects[PATH]
    else:
        body = stored_exception(generation=2)
        books.server.put(body.pop("path"), body)
    books.submit(reread=True)
    assert NAMESPACE in await books.until_woken(NAMESPACE)
    assert books.recorded is None


@pytest.mark.parametrize("uid", [namespace().uid, "of-the-next-one", None])
async def test_a_young_exception_is_recorded_for_the_namespace_that_is_there(books: Books, uid: str | None) -> None:
    """The watch of namespaces may lag behind.

    The operator then learns of the namespace that exists now, and plans it.
    """
    path = f"/api/v1/namespaces/{NAMESPACE}"
    if uid is not None:
        books.server.put(path, {"metadata": {"name": NAMESPACE, "uid": uid, "creationTimestamp": CREATED}})
    books.submit(young=True)
    assert NAMESPACE in await books.until_woken(NAMESPACE)
    assert (books.recorded is not None) is (uid == namespace().uid)
    assert books.store.namespaces() == ([NAMESPACE] if uid else [])


@pytest.mark.parametrize(
    ("present", "stored"), [({}, True), ({"team": "a"}, True), ({f"{labels.GROUP}/kept-for": "x"}, False)]
)
async def test_labels_that_came_in_a_moment_without_the_policy_are_not_taken_for_chosen(
    books: Books, present: dict[str, str], stored: bool
) -> None:
    """The watch of namespaces may report the labels later than another watch reports the policy.

    So the operator reads the namespace again.
    """
    namespace_state = namespace()
    path = f"/api/v1/namespaces/{namespace_state.name}"
    meta = {"name": namespace_state.name, "uid": namespace_state.uid, "creationTimestamp": CREATED, "labels": present}
    books.server.put(path, {"metadata": meta})
    record = ledger.NamespaceRecord(enforced=True, under=books.identity)
    books.keeper.submit(effects.RecordNamespace(namespace_state, record, books.identity), namespace_state.name)
    assert namespace_state.name in await books.until_woken(namespace_state.name)
    assert (books.keeper.copy.get(ledger.NAMESPACE + namespace_state.uid) == record) is stored
    assert books.store.namespaces() == [namespace_state.name]


async def test_a_record_that_rests_on_nothing_is_stored_without_questions(books: Books) -> None:
    """Such records are about trust at installation, and about grants that stay after a loss of the ledger."""
    count_before = len(books.server.requests)
    books.submit(guard="")
    await books.until_woken()
    assert books.recorded is not None
    assert {request.method for request in books.server.requests[count_before:]} == {"POST"}


@pytest.mark.parametrize(("failing", "status"), [(1, 0), (2, 403), (3, 500), (4, 404), (4, 409), (5, 0)])
async def test_a_failure_of_any_request_is_said_and_tried_again(books: Books, failing: int, status: int) -> None:
    """Meanwhile everything is planned again, with the trouble. Nothing is lost, and the trouble ends afterwards."""
    books.server.fails = fails = Failing(failing, status)
    books.submit(reread=True)
    async with asyncio.timeout(60):
        while books.recorded is None:
            await asyncio.sleep(0.001)
            books.submit(reread=True)
    async with asyncio.timeout(60):
        await books.keeper.until_idle()
        while books.keeper.copy.trouble:
            await asyncio.sleep(0.001)
    assert books.recorded == approved(hne(), under=books.identity)
    assert len(fails.failed) == (gateway.ATTEMPTS if status in {0, 500} else 1)


async def test_where_nothing_can_be_stored_that_is_said(books: Books) -> None:
    """The trouble withholds every new grant, and no plan waits for the ledger any more."""
    books.server.fails = lambda request: failure(403, "configmaps is forbidden") if request.method != "GET" else None
    books.submit()
    assert await books.until_woken() == ["*"]
    assert books.keeper.copy.trouble == "the operator cannot write the ledger: configmaps is forbidden"
    assert books.keeper.idle
    books.server.fails = lambda _: None
    async with asyncio.timeout(60):
        while books.recorded is None:
            await asyncio.sleep(0.001)
    assert books.keeper.copy.trouble == ""


async def test_a_ledger_that_is_deleted_is_stored_again(books: Books) -> None:
    """The next check stores the ledger again, or the next record does."""
    books.submit()
    await books.until_woken()
    del books.server.objects[LEDGER]
    await books.keeper.check()
    assert "hne.uid-of-net" in books.server.objects[LEDGER]["data"]
    del books.server.objects[LEDGER]
    books.keeper.submit(effects.RecordNamespace(namespace(), ledger.NamespaceRecord(enforced=True)), NAMESPACE)
    async with asyncio.timeout(60):
        while LEDGER not in books.server.objects or f"ns.{UID}" not in books.server.objects[LEDGER]["data"]:
            await asyncio.sleep(0.001)
    assert "hne.uid-of-net" in books.server.objects[LEDGER]["data"]


async def test_a_record_that_finds_no_room_keeps_nothing_else_waiting(books: Books) -> None:
    """Its namespace is planned again once, not repeatedly. The other record is stored."""
    huge = approved(hne(), under=books.identity, grant="x" * ledger.SHARD_BYTES)
    reference = snapshot.Reference("HostNetworkException", "other", "net", "uid-of-huge", labels.API_VERSION)
    books.keeper.submit(effects.RecordException(reference, huge), "other")
    books.submit()
    async with asyncio.timeout(60):
        await books.keeper.until_idle()
        while len(books.woken) < 2:
            await asyncio.sleep(0.001)
    books.keeper.submit(effects.RecordException(reference, huge), "other")
    await asyncio.sleep(0.05)
    assert (sorted(books.woken), books.keeper.copy.omitted) == (["other", NAMESPACE], {"hne.uid-of-huge"})
    assert books.recorded == approved(hne(), under=books.identity)


async def test_records_of_removed_objects_are_removed(books: Books) -> None:
    """Immediately after a watch reports the removal, or after a complete list."""
    books.submit()
    books.keeper.submit(effects.RecordNamespace(namespace(), ledger.NamespaceRecord(enforced=True)), NAMESPACE)
    await books.until_woken()
    books.keeper.forget(store.Kind.EXCEPTION, "uid-of-net")
    books.keeper.forget(store.Kind.POD, UID)
    books.keeper.prune(store.Kind.NAMESPACE, ["another"])
    other_namespace = namespace(uid="another", name="other")
    books.keeper.submit(effects.RecordNamespace(other_namespace, ledger.NamespaceRecord(enforced=True)), "other")
    async with asyncio.timeout(60):
        while books.recorded is not None:
            await asyncio.sleep(0.001)
    assert [key for key in books.keeper.copy if key.startswith(("hne.", "ns."))] == ["ns.another"]


async def test_a_record_outlives_its_exception_while_the_namespace_goes(books: Books) -> None:
    """The watch of exceptions may be ahead of the watch of namespaces.

    Once the namespace no longer exists, the record is removed.
    """
    path = f"/api/v1/namespaces/{NAMESPACE}"
    metadata = {"name": NAMESPACE, "uid": UID, "creationTimestamp": CREATED}
    namespace_body = books.server.put(path, {"metadata": metadata})
    books.store.put(store.Kind.NAMESPACE, namespace_body)
    books.submit()
    await books.until_woken()
    books.server.put(path, {"metadata": {**metadata, "deletionTimestamp": "2026-11-22T12:00:00Z"}})
    books.keeper.forget(store.Kind.EXCEPTION, "uid-of-net")
    await _another_round(books, "another")
    assert books.recorded is not None
    books.store.remove(store.Kind.NAMESPACE, namespace_body)
    await _another_round(books, "a third")
    assert books.recorded is None


async def _another_round(books: Books, name: str) -> None:
    other_namespace = namespace(uid=name, name=name)
    books.keeper.submit(effects.RecordNamespace(other_namespace, ledger.NamespaceRecord(enforced=True)), name)
    async with asyncio.timeout(60):
        while books.keeper.copy.get(ledger.NAMESPACE + name) is None:
            await asyncio.sleep(0.001)
        await books.keeper.until_idle()


@pytest.mark.parametrize(("status", "is_known"), [(403, True), (404, True), (500, False), (0, False)])
async def test_a_ledger_that_may_not_be_read_is_known_to_be_unreadable(status: int, is_known: bool) -> None:
    """The operator waits for the end of an outage, but not for missing rights."""
    async with books_of() as books:
        books.server.fails = lambda request: failure(status, "no") if request.path == live.LEDGER else None
        assert is_known is await books.keeper.load()
        assert books.keeper.copy.state is ledger.State.UNREADABLE
        assert books.keeper.copy.trouble == f"the operator cannot read the ledger: {'no' if status else NO_ANSWER}"
