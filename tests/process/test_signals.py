"""A signal that arrives between two runs of kopf, or while a run ends for the next, ends the process.

kopf handles signals in the main thread only, and cancels younger tasks at its end. So the test runs this file as a
process.
"""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from hostnetwork_operator import clock, metrics
from hostnetwork_operator.control import operator, refused, watching
from tests.unit import serving
from tests.unit.shell import world

ROOT = pathlib.Path(__file__).parents[2]
RESOURCE = {
    "name": "namespaces",
    "singularName": "",
    "kind": "Namespace",
    "namespaced": False,
    "verbs": ["get", "list", "watch"],
}
KNOWN: dict[str, Any] = {
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": []},
    "/api/v1": {"resources": [RESOURCE]},
}


@pytest.mark.parametrize("moment", ["kopf gave up", "kopf ends for the next run"])
def test_a_signal_between_two_runs_of_kopf_ends_the_process(moment: str) -> None:
    """kopf has replaced the signal handlers of the process, and does not restore them when it ends."""
    command = [sys.executable, "-m", __name__, moment]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (completed.returncode, completed.stdout) == (0, "sent\nended\n"), completed.stderr


async def _answer(request: web.Request) -> web.Response:
    """Answer like an API server that no longer serves namespaces. kopf then gives up."""
    return web.json_response(KNOWN.get(request.path, {}), status=200 if request.path in KNOWN else 404)


async def _watch_and_send(moment: str) -> None:
    stop, watched = asyncio.Event(), asyncio.Event()
    watching.take_signals(stop)
    server_clock = clock.ServerClock()

    async def answer_watch(request: web.Request) -> web.Response:
        if request.path != "/api/v1/namespaces" or moment == "kopf gave up":
            return await _answer(request)
        if "watch" in request.query:
            watched.set()
            await asyncio.sleep(120)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    async with serving.gateway_to(answer_watch, server_clock) as api:
        core = operator.Operator(api, server_clock, metrics.Metrics())
        refusals = refused.Refused(
            api, server_clock, core.intake, core.shortages, core.plans, core.schedule, asyncio.Event()
        )
        configuration = client.Configuration(host=api.configuration.host)
        lists = world.listing(core)
        watch = watching.Watching(configuration, core.intake, lists, refusals, core.shortages.hears)

        async def send() -> None:
            if moment == "kopf gave up":
                while "APINotFoundError" not in watch.trouble:
                    await asyncio.sleep(0.01)
            else:
                await watched.wait()
                lists.recovered.set()
                await asyncio.sleep(0)  # the task that ends kopf runs
            print("sent", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)

        task = asyncio.create_task(send())
        async with asyncio.timeout(60):
            await watch.keep(stop)
        await task
    print("ended", flush=True)


if __name__ == "__main__":
    asyncio.run(_watch_and_send(sys.argv[1]))
