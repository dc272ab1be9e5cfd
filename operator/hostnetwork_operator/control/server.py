"""/metrics, /healthz and /readyz on one port."""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from hostnetwork_operator import metrics

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Check = Callable[[], str]  # '' where all is well, else what is not


def application(measures: metrics.Metrics, healthy: Check, ready: Check) -> web.Application:
    """`healthy` says whether the process should be restarted, `ready` whether it does all that it is for."""

    async def serve_metrics(_: web.Request) -> web.Response:
        return web.Response(body=measures.text(), headers={"Content-Type": _CONTENT_TYPE})

    def probe(check: Check) -> Callable[[web.Request], object]:
        async def serve(_: web.Request) -> web.Response:
            trouble = check()
            return web.Response(status=503 if trouble else 200, text=(trouble or "ok") + "\n")

        return serve

    made = web.Application()
    made.router.add_get("/metrics", serve_metrics)
    made.router.add_get("/healthz", probe(healthy))  # type: ignore[arg-type]
    made.router.add_get("/readyz", probe(ready))  # type: ignore[arg-type]
    return made
