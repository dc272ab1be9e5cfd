"""One way to a pod, tried without pause: the attacker beside the canary."""

import contextlib
import datetime
import itertools
import threading
import time
from typing import Any, Self

from tests.controlplane import api
from tests.e2e.conftest import IMAGE
from tests.faults import answers

COVERED = {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]}
UNCOVERED = {"hostNetwork": True, "containers": [{"name": "main", "image": "registry.example.com/miner:1"}]}
PRIVILEGED = {"containers": [{"name": "main", "image": IMAGE, "securityContext": {"privileged": True}}]}
ORDINARY = {"containers": [{"name": "main", "image": IMAGE}]}
_numbers = itertools.count(1)


class Door:
    """A client that creates this kind of pod in this namespace through this API server, repeatedly, on some threads.

    The door deletes an admitted pod immediately. A suspended server answers only when it resumes, hence the long
    timeout.
    """

    def __init__(self, client: api.Api, namespace: str, spec: dict[str, Any], threads: int = 1) -> None:
        self._client = client
        self._namespace = namespace
        self._spec = spec
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._again, daemon=True) for _ in range(threads)]
        self._answers: list[answers.Answer] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=130)

    @property
    def tried(self) -> list[answers.Answer]:
        """Return all answers except those of an API server that was away or not ready."""
        return [answer for answer in list(self._answers) if not answer.gap]

    @property
    def refused(self) -> list[answers.Answer]:
        return [answer for answer in self.tried if answer.refused]

    def admitted(self, since: float = 0.0) -> list[answers.Answer]:
        """Return the requests that were admitted by an answer after that moment."""
        return [answer for answer in self.tried if answer.passed and answer.ended > since]

    def born(self, moment: datetime.datetime) -> list[answers.Answer]:
        """Return the admitted pods whose creationTimestamp is that moment or later."""
        return [answer for answer in self.admitted() if answer.created is not None and answer.created >= moment]

    def closed(self, seconds: float) -> bool:
        """Return whether the API server has refused a pod, and has admitted none for `seconds` seconds."""
        return bool(self.refused) and not self.admitted(time.monotonic() - seconds)

    def _again(self) -> None:
        while not self._stopped.wait(0.01):
            self._try(f"door-{next(_numbers)}")

    def _try(self, name: str) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        began = time.monotonic()
        status, message, created = 0, "", None
        try:
            answer = self._client.request("POST", path, {"metadata": {"name": name}, "spec": self._spec}, timeout=120)
            status, message = answer.status, answer.message
            if status == 201:
                created = datetime.datetime.fromisoformat(answer.body["metadata"]["creationTimestamp"])
        except api.ConnectionFailedError as error:
            message = str(error)
        ended = time.monotonic()
        self._answers.append(answers.Answer(began, ended, "create", self._namespace, status, message, created))
        if status == 201:
            # A pod that is left over disturbs nothing: no name is used twice.
            with contextlib.suppress(api.ConnectionFailedError):
                self._client.request("DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0}, timeout=120)
