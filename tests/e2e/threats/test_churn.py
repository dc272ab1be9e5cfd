"""A tenant who patches his own objects without pause: nothing that takes away, tightens or deletes waits for him."""

import contextlib
import datetime
import statistics
import threading
from collections.abc import Callable, Iterator

from tests.controlplane import api
from tests.e2e.conftest import PSA, World
from tests.e2e.threats.conftest import tenant

THREADS = 16
EXPIRIES = 4  # HNO_EXPIRIES=20 for the long run
# An idle machine of two cores needs half a second; what is asserted is that churn does not add to it without end.
DEADLINE_SECONDS = 30


@contextlib.contextmanager
def churn(*ways: Callable[[int], api.Response]) -> Iterator[list[int]]:
    """THREADS threads in turn through these writes, without pause; how many were taken."""
    stop, taken = threading.Event(), [0] * THREADS

    def patch(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            with contextlib.suppress(api.ConnectionFailedError):
                taken[number] += ways[number % len(ways)](count).status == 200

    threads = [threading.Thread(target=patch, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield taken
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def note(client: api.Api, path: str) -> Callable[[int], api.Response]:
    """A new annotation value each time."""
    return lambda count: client.patch(path, {"metadata": {"annotations": {"example.com/churn": str(count)}}})


def _moment(world: World, verb: str, resource: str, namespace: str, since: int) -> datetime.datetime | None:
    for event in world.writes(since):
        reference = event.get("objectRef", {})
        about = (event["verb"], reference.get("resource"), reference.get("namespace") or reference.get("name"))
        if about == (verb, resource, namespace) and event["responseStatus"]["code"] in {200, 202}:
            return datetime.datetime.fromisoformat(event["requestReceivedTimestamp"])
    return None


def test_an_expiry_is_carried_out_under_churn(attacked: World) -> None:
    """On namespace, pod and exception at once: the level is back and the DELETE is sent, each time."""
    late = []
    for _ in range(EXPIRIES):
        namespace = attacked.namespace()
        attacked.exception(namespace, seconds=12).expect(201)
        attacked.until("admitted", lambda n=namespace: attacked.pod(n).status in {201, 409})
        ends = attacked.admin.get(f"{attacked.exceptions(namespace)}/capture").body["spec"]["expiry"]
        attacker = tenant(attacked, namespace)
        paths = (f"/api/v1/namespaces/{namespace}", f"{attacked.pods(namespace)}/capture")
        ways = [note(attacker, path) for path in (*paths, f"{attacked.exceptions(namespace)}/capture")]
        with churn(*ways) as taken:
            attacked.until(
                "the level is back", lambda n=namespace: attacked.labels(n)[PSA] == "baseline", DEADLINE_SECONDS
            )
            attacked.until(
                "the DELETE is sent",
                lambda n=namespace: (
                    attacked.admin.get(f"{attacked.pods(n)}/capture").body["metadata"].get("deletionTimestamp")
                    if attacked.admin.get(f"{attacked.pods(n)}/capture").status == 200
                    else True
                ),
                DEADLINE_SECONDS,
            )
            late.append((attacked.now() - datetime.datetime.fromisoformat(ends)).total_seconds())
        assert sum(taken) > 50, "that was no churn"
        attacked.until("its status says so", lambda n=namespace: attacked.ready(n) == "Expired")
    print(f"seconds after the expiry: {sorted(late)}, median {statistics.median(late)}")
