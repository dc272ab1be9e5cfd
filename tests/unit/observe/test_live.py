"""Lists work around objects that cannot be decoded: every other object is read, and it is known which one is not."""

import urllib.parse
from typing import Any

import pytest

from hostnetwork_operator import bodies, clock
from hostnetwork_operator.api import policy
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import live, store
from tests.unit.builders import NAMESPACE
from tests.unit.observe.test_store import body, default, home, pod

WHY = "deeper than 100 levels"


class Server:
    """The lists of an API server.

    A page with an object of `nested` cannot be decoded, unless the request is for metadata alone.
    """

    def __init__(self, *objects: dict[str, Any], nested: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self._versions = {100: list(objects)}
        self._nested = nested
        self.asked: list[str] = []
        self.deleted_after: dict[int, str] = {}  # the object that is deleted after this many requests

    async def get(self, path: str, *, accept: str = "application/json", most: int = bodies.BYTES) -> bodies.Answer:
        self.asked.append(path)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
        version, start = max(self._versions), 0
        if "continue" in query:
            version, start = (int(text) for text in query["continue"].split("-"))
        elif "resourceVersion" in query:
            assert query["resourceVersionMatch"] == "Exact"
            version = int(query["resourceVersion"])
        objects = self._versions[version]
        end = start + int(query["limit"])
        items = objects[start:end]
        if name := self.deleted_after.get(len(self.asked)):
            self._versions[version + 1] = [one for one in objects if one["metadata"]["name"] != name]
        if accept == live.METADATA_LIST:
            items = [{"metadata": one["metadata"]} for one in items]
        elif {one["metadata"]["name"] for one in items} & self._nested:
            raise bodies.DecodeError(WHY)
        rest = {"continue": f"{version}-{end}"} if end < len(objects) else {}
        return bodies.Answer({"metadata": {"resourceVersion": str(version), **rest}, "items": list(items)})


def pods(count: int) -> list[dict[str, Any]]:
    return [pod(f"pod-{number:03}", number + 1) for number in range(count)]


async def listed(server: Server) -> tuple[list[str], list[str]]:
    """Return the names of the objects that were read, and of those that were not."""
    found = [page async for page in live.pages(server, "/api/v1/pods")]
    read = [item["metadata"]["name"] for page in found for item in page.items]
    return read, [one.meta["name"] for page in found for one in page.undecoded]


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 250])
@pytest.mark.parametrize("at", [{0}, {-1}, {0, 1}, {37, 41}])
async def test_a_list_goes_around_what_cannot_be_decoded(count: int, at: set[int]) -> None:
    """Every object comes once and in order. An object that cannot be decoded comes with its metadata."""
    objects = pods(count)
    names = [one["metadata"]["name"] for one in objects]
    nested = {names[number] for number in at if number < count}
    read, undecoded = await listed(Server(*objects, nested=nested))
    assert (read, undecoded) == ([name for name in names if name not in nested], sorted(nested))


async def test_one_object_costs_few_requests() -> None:
    """If one of 1,000 objects cannot be decoded, the list takes about three times as many requests."""
    plain, hostile = Server(*pods(1000)), Server(*pods(1000), nested={"pod-555"})
    await listed(plain)
    await listed(hostile)
    assert (len(plain.asked), len(hostile.asked)) == (10, 31)


async def test_a_list_that_no_object_spoils_is_asked_for_in_full_pages() -> None:
    """No request has a resourceVersion, and each page has 100 objects."""
    server = Server(*pods(150))
    await listed(server)
    assert server.asked == ["/api/v1/pods?limit=100", "/api/v1/pods?limit=100&continue=100-100"]


async def test_no_other_object_is_taken_for_the_one_that_cannot_be_decoded() -> None:
    """The first object of the list is deleted before its metadata are read. The next object is read like any other."""
    server = Server(*pods(3), nested={"pod-000"})
    failed = [100, 50, 25, 12, 6, 3, 1]
    server.deleted_after[len(failed)] = "pod-000"
    assert await listed(server) == (["pod-001", "pod-002"], [])


async def test_where_metadata_cannot_be_decoded_either_the_list_fails() -> None:
    """An answer that is no list at all is no reason to skip every object."""

    class Broken(Server):
        async def get(self, path: str, *, accept: str = "application/json", most: int = bodies.BYTES) -> bodies.Answer:
            raise bodies.DecodeError("no JSON at character 0")

    with pytest.raises(bodies.DecodeError):
        await listed(Broken())


# -- what the store keeps -------------------------------------------------------------------------------------------


async def filled(kept: store.Store, kind: store.Kind, server: Server) -> set[str]:
    return await live.fill(server, kept, kind, clock.ServerClock())


@pytest.fixture
def kept() -> store.Store:
    made = store.Store()
    made.put(store.Kind.NAMESPACE, home(1))
    return made


def seen(kept: store.Store) -> snapshot.NamespaceSnapshot:
    made = kept.snapshot(NAMESPACE)
    assert made is not None
    return made


def unread(kept: store.Store) -> dict[str, int]:
    """Return the number of objects that cannot be read, by kind, for the kinds that have any."""
    return {kind: count for kind, count in kept.unread.counts().items() if count}


async def test_a_pod_that_cannot_be_decoded_is_unknown_until_it_can(kept: store.Store) -> None:
    """Even if an older version of the pod was read. The same version counts as soon as it can be read."""
    kept.put(store.Kind.POD, pod("a", 5))
    now, beside = pod("a", 7), pod("b", 6)
    assert {NAMESPACE} == await filled(kept, store.Kind.POD, Server(now, beside, nested={"a"}))
    unreadable = snapshot.UnreadablePod(NAMESPACE, "a", "uid-of-a", WHY)
    assert ((unreadable,), ["b"]) == (seen(kept).unreadable_pods, [one.name for one in seen(kept).pods])
    assert set() == await filled(kept, store.Kind.POD, Server(now, beside, nested={"a"}))
    assert {NAMESPACE} == await filled(kept, store.Kind.POD, Server(now, beside))
    assert (seen(kept).unreadable_pods, sorted(one.name for one in seen(kept).pods)) == ((), ["a", "b"])


async def test_a_version_that_was_read_is_not_unread_by_a_list(kept: store.Store) -> None:
    """The watch reported this very version, and that line could be decoded."""
    kept.put(store.Kind.POD, pod("a", 7))
    assert set() == await filled(kept, store.Kind.POD, Server(pod("a", 7), nested={"a"}))
    assert [one.name for one in seen(kept).pods] == ["a"]
    assert unread(kept) == {}


async def test_a_pod_of_the_long_list_stays_unknown_though_no_watched_list_has_it(kept: store.Store) -> None:
    """The pod may share the PID namespace of its node.

    It is forgotten once the list of every pod does not have it any more.
    """
    await filled(kept, store.Kind.EVERY_POD, Server(body("a", 7, spec={}), nested={"a"}))
    await filled(kept, store.Kind.POD, Server())
    assert [one.name for one in seen(kept).unreadable_pods] == ["a"]
    await filled(kept, store.Kind.EVERY_POD, Server())
    assert (seen(kept).unreadable_pods, unread(kept)) == ((), {})


async def test_an_exception_that_cannot_be_decoded_is_unreadable(kept: store.Store) -> None:
    """Such an exception grants nothing."""
    await filled(kept, store.Kind.EXCEPTION, Server(body("a", 7), nested={"a"}))
    unreadable = snapshot.UnreadableException(NAMESPACE, "a", "uid-of-a", WHY)
    assert (unreadable,) == seen(kept).unreadable_exceptions


async def test_a_namespace_is_read_from_its_metadata(kept: store.Store) -> None:
    """The metadata have everything that decisions read of a Namespace."""
    await filled(kept, store.Kind.NAMESPACE, Server(home(7, team="a"), nested={NAMESPACE}))
    assert dict(seen(kept).namespace.labels) == {"team": "a"}
    assert unread(kept) == {}


async def test_a_policy_that_cannot_be_decoded_is_not_absent(kept: store.Store) -> None:
    """The last valid policy stays in effect. If there was none, the wanted settings are not known."""
    nested = Server(default(7, "Audit"), nested={policy.NAME})
    await filled(kept, store.Kind.POLICY, nested)
    assert snapshot.Existence.UNKNOWN is kept.policy_state().existence
    await filled(kept, store.Kind.POLICY, Server(default(8)))
    await filled(kept, store.Kind.POLICY, Server(default(9, "Audit"), nested={policy.NAME}))
    found = kept.policy_state()
    assert (found.existence, found.spec and found.spec.mode) == (snapshot.Existence.PRESENT, "Enforce")


async def test_of_other_kinds_the_last_version_stays(kept: store.Store) -> None:
    """An admission policy that was read counts as it was read. It is also counted as unreadable."""
    kind = store.Kind.ADMISSION_POLICY
    await filled(kept, kind, Server(body("host-namespaces", 5, namespace="")))
    before = kept.guards()
    await filled(kept, kind, Server(body("host-namespaces", 7, namespace=""), nested={"host-namespaces"}))
    assert before == kept.guards()
    assert {kind.value: 1} == unread(kept)
    await filled(kept, kind, Server())
    assert unread(kept) == {}


async def test_the_look_before_a_delete_knows_what_it_could_not_read(kept: store.Store) -> None:
    """The exceptions of the namespace are listed around the one that cannot be decoded."""
    kept.put(store.Kind.POD, pod("a", 5))

    class Both(Server):
        async def get(self, path: str, *, accept: str = "application/json", most: int = bodies.BYTES) -> bodies.Answer:
            return bodies.Answer(pod("a", 6)) if path.endswith("/pods/a") else await super().get(path, accept=accept)

    before = seen(kept)
    again = await live.again(Both(body("x", 7), body("y", 8, spec={}), nested={"x"}), before, before.pods[0].reference)
    assert [one.resource_version for one in again.pods] == ["6"]
    assert [one.name for one in again.unreadable_exceptions] == ["x", "y"]


def test_it_is_news_once_that_an_object_cannot_be_read(kept: store.Store) -> None:
    """It is news once more when the object can be read again, or no longer exists."""
    broken = body("a", 7, spec={"hostNetwork": True, "containers": [{}]})
    kept.put(store.Kind.POD, broken)
    kept.put(store.Kind.POD, {**broken, "metadata": {**broken["metadata"], "resourceVersion": "8"}})
    assert [one.why for one in kept.unread.take_news()] == ["KeyError: 'image'"]
    kept.put(store.Kind.POD, pod("a", 9))
    kept.put(store.Kind.POD, pod("a", 10))
    assert [(one.name, one.why) for one in kept.unread.take_news()] == [("a", "")]
    kept.put(store.Kind.POD, body("a", 11, spec={"hostNetwork": True, "containers": [{}]}))
    kept.remove(store.Kind.POD, body("a", 12))
    assert [one.why for one in kept.unread.take_news()] == ["KeyError: 'image'", ""]


def test_an_object_of_which_something_is_odd_leaves_all_others_to_be_read(kept: store.Store) -> None:
    """Whatever is odd about it, the list continues, and the object is counted."""
    listing = kept.listing(store.Kind.ADMISSION_POLICY)
    odd = body("odd", 7, namespace="", metadata={"creationTimestamp": "0000-01-01T00:00:00Z"})
    listing.page([odd, body("even", 8, namespace="")])
    listing.end("9")
    assert unread(kept) == {"validatingadmissionpolicies": 1}


async def test_undecoded_watch_lines_count_until_the_next_list(kept: store.Store) -> None:
    """The first of these lines is news, and again the first one after a list."""
    for _ in range(2):
        for _ in range(3):
            kept.unread.add_line("pods", WHY)
        assert (kept.unread.lines("pods"), unread(kept)) == (3, {"pods": 3})
        assert [(one.name, one.why) for one in kept.unread.take_news()] == [("", WHY)]
        await filled(kept, store.Kind.POD, Server())
        assert kept.unread.lines("pods") == 0


def test_a_line_that_comes_while_a_list_is_read_still_counts(kept: store.Store) -> None:
    """The list has the state at its beginning, so it cannot have what the line reported."""
    kept.unread.add_line("pods", WHY)
    listing = kept.listing(store.Kind.POD)
    kept.unread.add_line("pods", WHY)
    listing.end("9")
    assert kept.unread.lines("pods") == 1
