"""Watches of the API server, one thread each, which take an event's time on arrival, not when it is read."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import yaml
from tests.controlplane import cluster

Note = Callable[[float, dict[str, Any]], None]  # time on time.monotonic(), the object


class Watch:
    """A context that calls `note` for every object that exists, appears or changes, with an administrator's rights."""

    def __init__(self, control_plane: cluster.Cluster, path: str, note: Note) -> None:
        user = yaml.safe_load(control_plane.kubeconfig.read_text())["users"][0]["user"]
        context = ssl.create_default_context(cafile=str(control_plane.authority.certificate_path))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        self._connection = http.client.HTTPSConnection("127.0.0.1", control_plane.ports.apiserver, context=context)
        self._path = f"{path}{'&' if '?' in path else '?'}watch=true&timeoutSeconds=3600"
        self._note = note
        self._stopping = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._response: http.client.HTTPResponse | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._connection.request("GET", self._path, headers={"Accept": "application/json"})
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        assert self._response.status == 200, f"GET {self._path}: {self._response.status}"
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopping = True
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)

    def _read(self) -> None:
        assert self._response is not None
        try:
            while line := self._response.readline():
                moment = time.monotonic()
                event = json.loads(line)
                if event["type"] != "DELETED":
                    self._note(moment, event["object"])
        except Exception:
            # Our own shutdown of the socket may raise any of several errors.
            if not self._stopping:
                raise


class Moments:
    """The time of the first event per uid; a watch's thread fills it, a measure waits for it."""

    def __init__(self) -> None:
        self._first: dict[str, float] = {}
        self._changed = threading.Condition()

    def note(self, uid: str, moment: float) -> None:
        with self._changed:
            self._first.setdefault(uid, moment)
            self._changed.notify_all()

    def __len__(self) -> int:
        """Return how many have a time."""
        with self._changed:
            return len(self._first)

    def count(self, uids: set[str]) -> int:
        """Return how many of these uids have a time."""
        with self._changed:
            return len(uids & self._first.keys())

    def wait(self, uid: str, deadline_seconds: float = 30) -> float:
        """Return the time of the first event. Raise AssertionError after the deadline."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: uid in self._first, deadline_seconds)
            assert arrived, f"nothing seen of {uid} for {deadline_seconds:.0f} s"
            return self._first[uid]

    def latest(self, uids: set[str]) -> float:
        """Return the latest of these uids' times."""
        with self._changed:
            return max(self._first[uid] for uid in uids)
