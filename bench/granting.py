"""The time from the API server's acceptance of an exception until a pod under the exception is admitted."""

import time

from bench import audit, figures
from bench.world import World, host_pod, say

_EXCEPTIONS = 50
_DEADLINE_SECONDS = 30.0


def measure(world: World) -> list[figures.Row]:
    say(f"granting: {_EXCEPTIONS} exceptions, each in a clean enforced namespace of its own")
    places = [f"granted-{number}" for number in range(_EXCEPTIONS)]
    world.enforced(places)
    expiry = int(audit.now()) + 3600
    values, requests = [], []
    for place in places:
        assert not world.admitted(place, host_pod("early")), f"{place} admits a host-namespace pod without exception"
        world.create_exception(place, expiry)
        answered, tries = time.monotonic(), 1
        while not world.admitted(place, host_pod("probe")):
            assert time.monotonic() - answered < _DEADLINE_SECONDS, f"{place}: never admitted\n{world.operator.tail()}"
            tries += 1
        values.append(1000 * (time.monotonic() - answered))
        requests.append(tries)
    return [
        figures.spread("exception applied -> pod admitted", values),
        figures.spread("exception applied: dry runs until admitted", requests, "requests"),
    ]
