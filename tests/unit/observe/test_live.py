"""Lists work around objects that cannot be decoded: every other object is read, and it is known which one is not."""

import itertools
import urllib.parse
from typing import Any

import pytest

from hostnetwork_operator import bodies, clock
from hostnetwork_operator.api import policy
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import live, store
from tests.unit.builders import NAMESPACE
from tests.unit.observe.test_store import body, default, namespace_body, pod

WHY = "deeper than 100 levels"


class Server:
    """The lists of an API server.

    A page with an object of `nested` cannot be decoded, unless the request is for metadata alone.
    """

    def __init__(self, *objects: dict[str, Any], nested: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self._versions = {100: list(objects)}
        self._nested = nested
        self.asked: list[str] = []
        self.whole: list[str] = []  # those that asked for more than metadata
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
            self._versions[version + 1] = [item for item in objects if item["metadata"]["name"] != name]
        if accept == live.METADATA_LIST:
            items = [{"metadata": item["metadata"]} for item in items]
        else:
            self.whole.append(path)
            if {item["metadata"]["name"] for item in items} & self._nested:
                raise bodies.DecodeError(WHY)
        more = {"continue": f"{version}-{end}"} if end < len(objects) else {}
        return bodies.Answer({"metadata": {"resourceVersion": str(version), **more}, "items": list(items)})


def pods(count: int) -> list[dict[str, Any]]:
    return [pod(f"pod-{number:03}", number + 1) for number in range(count)]


async def list_objects(server: Server) -> tuple[list[str], list[str]]:
    """Return the names of the objects that were read, and of those that were not."""
    pages = [page async for page in live.pages(server, "/api/v1/pods")]
    names = [item["metadata"]["name"] for page in pages for item in page.items]
    return names, [undecoded.meta["name"] for page in pages for undecoded in page.undecoded]


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 250])
@pytest.mark.parametrize("at", [{0}, {-1}, {0, 1}, {37, 41}])
async def test_a_list_goes_around_what_cannot_be_decoded(count: int, at: set[int]) -> None:
    """Every object comes once and in order. An object that cannot be decoded comes with its metadata."""
    objects = pods(count)
    names = [item["metadata"]["name"] for item in objects]
    nested = {names[number] for number in at if number < count}
    names_read, undecoded = await list_objects(Server(*objects, nested=nested))
    assert (names_read, undecoded) == ([name for name in names if name not in nested], sorted(nested))


async def test_one_object_costs_few_requests() -> None:
    """If one of 1,000 objects cannot be decoded, the list takes about three times as many requests."""
    plain, hostile = Server(*pods(1000)), Server(*pods(1000), nested={"pod-555"})
    await list_objects(plain)
    await list_objects(hostile)
    assert (len(plain.asked), len(hostile.asked)) == (10, 31)


async def test_a_list_that_no_object_spoils_is_asked_for_in_full_pages() -> None:
    """No request has a resourceVersion, and each page has 100 objects."""
    server = Server(*pods(150))
    await list_objects(server)
    assert server.asked == ["/api/v1/pods?limit=100", "/api/v1/pods?limit=100&continue=100-100"]


async def test_no_other_object_is_taken_for_the_one_that_cannot_be_decoded() -> None:
    """The first object of the list is deleted before its metadata are read. The next object is read like any other."""
    server = Server(*pods(3), nested={"pod-000"})
    limits = [100, 50, 25, 12, 6, 3, 1]
    server.deleted_after[len(limits)] = "pod-000"
    assert await list_objects(server) == (["pod-001", "pod-002"], [])


async def test_where_metadata_cannot_be_decoded_either_the_list_fails() -> None:
    """An answer that is no list at all is no reason to skip every object."""

    class Broken(Server):
        async def get(self, path: str, *, accept: str = "application/json", most: int = bodies.BYTES) -> bodies.Answer:
            raise bodies.DecodeError("no JSON at character 0")

    with pytest.raises(bodies.DecodeError):
        await list_objects(Broken())


# -- what the store keeps -------------------------------------------------------------------------------------------


async def fill(cache: store.Store, kind: store.Kind, server: Server) -> set[str]:
    return await live.fill(server, cache, kind, clock.ServerClock())


@pytest.fixture
def cache() -> store.Store:
    cache = store.Store()
    cache.put(store.Kind.NAMESPACE, namespace_body(1))
    return cache


def state_of(cache: store.Store) -> snapshot.NamespaceSnapshot:
    state = cache.snapshot(NAMESPACE)
    assert state is not None
    return state


def unread_counts(cache: store.Store) -> dict[str, int]:
    """Return the number of objects that cannot be read, by kind, for the kinds that have any."""
    return {kind: count for kind, count in cache.unread.counts().items() if count}


async def test_what_is_known_is_not_read_again(cache: store.Store) -> None:
    """A second list reads the metadata of the first page, and the second page in full, because of one changed pod."""
    await fill(cache, store.Kind.POD, first := Server(*pods(150)))
    assert first.asked == first.whole
    changed = pods(150)
    changed[120] = pod("pod-120", 500)
    second = Server(*changed)
    assert {NAMESPACE} == await fill(cache, store.Kind.POD, second)
    assert [path.rpartition("=")[2] for path in second.asked] == ["100", "100-100", "100-100"]
    assert [path.rpartition("=")[2] for path in second.whole] == ["100-100"]
    images = [*itertools.chain.from_iterable(each.images for each in state_of(cache).pods)]
    assert (len(images), images.index("v:500")) == (150, 120)


async def test_what_a_list_of_known_pods_lacks_is_removed(cache: store.Store) -> None:
    """The pods that the list has stay."""
    await fill(cache, store.Kind.POD, Server(*pods(3)))
    assert {NAMESPACE} == await fill(cache, store.Kind.POD, server := Server(*pods(2)))
    assert server.whole == []
    assert [each.name for each in state_of(cache).pods] == ["pod-000", "pod-001"]


async def test_a_pod_that_cannot_be_decoded_is_unknown_until_it_can(cache: store.Store) -> None:
    """Even if an older version of the pod was read. The same version counts as soon as it can be read."""
    cache.put(store.Kind.POD, pod("a", 5))
    now, other = pod("a", 7), pod("b", 6)
    assert {NAMESPACE} == await fill(cache, store.Kind.POD, Server(now, other, nested={"a"}))
    unreadable = snapshot.UnreadablePod(NAMESPACE, "a", "uid-of-a", WHY)
    assert ((unreadable,), ["b"]) == (
        state_of(cache).unreadable_pods,
        [pod_state.name for pod_state in state_of(cache).pods],
    )
    assert set() == await fill(cache, store.Kind.POD, Server(now, other, nested={"a"}))
    assert {NAMESPACE} == await fill(cache, store.Kind.POD, Server(now, other))
    assert (state_of(cache).unreadable_pods, sorted(pod_state.name for pod_state in state_of(cache).pods)) == (
        (),
        ["a", "b"],
    )


async def test_a_version_that_was_read_is_not_unread_by_a_list(cache: store.Store) -> None:
    """The watch reported this very version, and that line could be decoded."""
    cache.put(store.Kind.POD, pod("a", 7))
    assert set() == await fill(cache, store.Kind.POD, Server(pod("a", 7), nested={"a"}))
    assert [pod_state.name for pod_state in state_of(cache).pods] == ["a"]
    assert unread_counts(cache) == {}


async def test_a_pod_of_the_long_list_stays_unknown_though_no_watched_list_has_it(cache: store.Store) -> None:
    """The pod may share the PID namespace of its node.

    It is forgotten once the list of every pod does not have it any more.
    """
    await fill(cache, store.Kind.EVERY_POD, Server(body("a", 7, spec={}), nested={"a"}))
    await fill(cache, store.Kind.POD, Server())
    assert [unreadable.name for unreadable in state_of(cache).unreadable_pods] == ["a"]
    await fill(cache, store.Kind.EVERY_POD, Server())
    assert (state_of(cache).unreadable_pods, unread_counts(cache)) == ((), {})


async def test_an_exception_that_cannot_be_decoded_is_unreadable(cache: store.Store) -> None:
    """Such an exception grants nothing."""
    await fill(cache, store.Kind.EXCEPTION, Server(body("a", 7), nested={"a"}))
    unreadable = snapshot.UnreadableException(NAMESPACE, "a", "uid-of-a", WHY)
    assert (unreadable,) == state_of(cache).unreadable_exceptions


async def test_a_namespace_is_read_from_its_metadata(cache: store.Store) -> None:
    """The metadata have everything that decisions read of a Namespace."""
    await fill(cache, store.Kind.NAMESPACE, Server(namespace_body(7, team="a"), nested={NAMESPACE}))
    assert dict(state_of(cache).namespace.labels) == {"team": "a"}
    assert unread_counts(cache) == {}


async def test_a_policy_that_cannot_be_decoded_is_not_absent(cache: store.Store) -> None:
    """The last valid policy stays in effect. If there was none, the wanted settings are not known."""
    server = Server(default(7, "Audit"), nested={policy.NAME})
    await fill(cache, store.Kind.POLICY, server)
    assert snapshot.Existence.UNKNOWN is cache.policy_state().existence
    await fill(cache, store.Kind.POLICY, Server(default(8)))
    await fill(cache, store.Kind.POLICY, Server(default(9, "Audit"), nested={policy.NAME}))
    policy_state = cache.policy_state()
    assert (policy_state.existence, policy_state.spec and policy_state.spec.mode) == (
        snapshot.Existence.PRESENT,
        "Enforce",
    )


async def test_of_other_kinds_the_last_version_stays(cache: store.Store) -> None:
    """An admission policy that was read counts as it was read. It is also counted as unreadable."""
    kind = store.Kind.ADMISSION_POLICY
    await fill(cache, kind, Server(body("host-namespaces", 5, namespace="")))
    guards = cache.guards()
    await fill(cache, kind, Server(body("host-namespaces", 7, namespace=""), nested={"host-namespaces"}))
    assert guards == cache.guards()
    assert {kind.value: 1} == unread_counts(cache)
    await fill(cache, kind, Server())
    assert unread_counts(cache) == {}


async def test_the_look_before_a_delete_knows_what_it_could_not_read(cache: store.Store) -> None:
    """The exceptions of the namespace are listed around the one that cannot be decoded."""
    cache.put(store.Kind.POD, pod("a", 5))

    class Both(Server):
        async def get(self, path: str, *, accept: str = "application/json", most: int = bodies.BYTES) -> bodies.Answer:
            return bodies.Answer(pod("a", 6)) if path.endswith("/pods/a") else await super().get(path, accept=accept)

    state = state_of(cache)
    second_state = await live.again(
        Both(body("x", 7), body("y", 8, spec={}), nested={"x"}), state, next(iter(state.pods)).reference
    )
    assert [pod_state.resource_version for pod_state in second_state.pods] == ["6"]
    assert [unreadable.name for unreadable in second_state.unreadable_exceptions] == ["x", "y"]


def test_it_is_news_once_that_an_object_cannot_be_read(cache: store.Store) -> None:
    """It is news once more when the object can be read again, or no longer exists."""
    broken = body("a", 7, spec={"hostNetwork": True, "containers": [{}]})
    cache.put(store.Kind.POD, broken)
    cache.put(store.Kind.POD, {**broken, "metadata": {**broken["metadata"], "resourceVersion": "8"}})
    assert [news.why for news in cache.unread.take_news()] == ["KeyError: 'image'"]
    cache.put(store.Kind.POD, pod("a", 9))
    cache.put(store.Kind.POD, pod("a", 10))
    assert [(news.name, news.why) for news in cache.unread.take_news()] == [("a", "")]
    cache.put(store.Kind.POD, body("a", 11, spec={"hostNetwork": True, "containers": [{}]}))
    cache.remove(store.Kind.POD, body("a", 12))
    assert [news.why for news in cache.unread.take_news()] == ["KeyError: 'image'", ""]


def test_an_object_of_which_something_is_odd_leaves_all_others_to_be_read(cache: store.Store) -> None:
    """Whatever is odd about it, the list continues, and the object is counted."""
    listing = cache.listing(store.Kind.ADMISSION_POLICY)
    odd = body("odd", 7, namespace="", metadata={"creationTimestamp": "0000-01-01T00:00:00Z"})
    listing.page([odd, body("even", 8, namespace="")])
    listing.end("9")
    assert unread_counts(cache) == {"validatingadmissionpolicies": 1}


async def test_undecoded_watch_lines_count_until_the_next_list(cache: store.Store) -> None:
    """The first of these lines is news, and again the first one after a list."""
    for _ in range(2):
        for _ in range(3):
            cache.unread.add_line("pods", WHY)
        assert (cache.unread.lines("pods"), unread_counts(cache)) == (3, {"pods": 3})
        assert [(news.name, news.why) for news in cache.unread.take_news()] == [("", WHY)]
        await fill(cache, store.Kind.POD, Server())
        assert cache.unread.lines("pods") == 0


def test_a_line_that_comes_while_a_list_is_read_still_counts(cache: store.Store) -> None:
    """The list has the state at its beginning, so it cannot have what the line reported."""
    cache.unread.add_line("pods", WHY)
    listing = cache.listing(store.Kind.POD)
    cache.unread.add_line("pods", WHY)
    listing.end("9")
    assert cache.unread.lines("pods") == 1
