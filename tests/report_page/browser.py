"""A headless Chromium that tells what a page does: requests, dialogs, errors, layout and accessibility.

Debian's package `chromium` is installed if it is missing, and axe-core comes from the npm registry. A machine without
one of them cannot run these tests, and says so.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp

from tests.controlplane import binary
from tests.image import base

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = "4.11.0"
_SECONDS = 120.0
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


class UnavailableError(Exception):
    """This machine has no browser, or no axe-core; the message has the reason."""


def find_or_install() -> str:
    """Return the path of the browser. Raise UnavailableError."""
    if (path := _find()) is not None:
        return path
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise UnavailableError("chromium is missing, and only root can install it by apt-get")
    print("installing chromium", file=sys.stderr, flush=True)
    try:
        base.install("chromium", "fonts-dejavu-core")
    except base.ImageError as error:
        raise UnavailableError(f"chromium cannot be installed: {error}") from error
    if (path := _find()) is None:
        raise UnavailableError("the package chromium has no browser")
    return path


def axe() -> str:
    """Return the source of axe-core, which this machine keeps. Raise UnavailableError."""
    kept = binary.cache_directory() / f"axe-{AXE}.js"
    if not kept.exists():
        if shutil.which("npm") is None:
            raise UnavailableError("npm is missing, which gets axe-core")
        kept.parent.mkdir(parents=True, exist_ok=True)
        directory = kept.parent
        command = ["npm", "pack", f"axe-core@{AXE}", "--silent", "--pack-destination", str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            raise UnavailableError(f"npm cannot get axe-core: {done.stderr.strip()[-300:]}")
        package = directory / f"axe-core-{AXE}.tgz"
        with tarfile.open(package) as archive:
            source = archive.extractfile("package/axe.min.js")
            assert source is not None
            kept.write_bytes(source.read())
        package.unlink()
    return kept.read_text(encoding="utf-8")


def _find() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


class Page:
    """One tab. `events` has what the browser told about the page, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol, and return its result."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        async with asyncio.timeout(_SECONDS):
            while True:
                message = json.loads((await self._socket.receive()).data)
                if message.get("id") == self._number:
                    assert "error" not in message, message
                    return dict(message["result"])
                self.events.append(message)

    async def open(
        self, path: pathlib.Path, *, width: int = 1280, scheme: str = "light", media: str = "screen"
    ) -> Self:
        """Load a file and wait until it is complete."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", media=media, features=features)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        await self.call("Page.navigate", url=path.as_uri())
        async with asyncio.timeout(_SECONDS):
            while not any(event["method"] == "Page.loadEventFired" for event in self.events):
                self.events.append(json.loads((await self._socket.receive()).data))
        return self

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression. It runs from outside of the page, whose policy allows no script."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of these methods."""
        return [event["params"] for event in self.events if event["method"] in methods]


@contextlib.asynccontextmanager
async def browser(path: str, directory: pathlib.Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a browser with its profile in `directory`. The session knows its address."""
    command = [path, *_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={directory}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = directory / "DevToolsActivePort"
        async with asyncio.timeout(_SECONDS):
            while not port.exists() or not port.read_text().count("\n"):
                assert process.poll() is None, "the browser has ended"
                await asyncio.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
        async with aiohttp.ClientSession(base_url=address) as session:
            yield session
    finally:
        process.terminate()
        process.wait(30)


@contextlib.asynccontextmanager
async def tab(session: aiohttp.ClientSession) -> AsyncIterator[Page]:
    """Open a tab, and close it at the end."""
    async with session.put("/json/new?about:blank") as answer:
        target = await answer.json(content_type=None)
    async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        yield Page(socket)
    async with session.get(f"/json/close/{target['id']}") as answer:
        await answer.read()
