"""Objects as large and as odd as those who write them can make them, and what the API server says of expressions.

An expression that fails, or costs more than the API server allows, is answered with 422 whatever the policy says, and
`kubectl apply --force` then deletes the object. `HNO_FUZZ` says how many writes are drawn; where they are more than the
slice of `make test`, the largest objects are written too. `HNO_SEED` draws others.
"""

import dataclasses
import itertools
import os
import re
from collections.abc import Callable
from typing import Any

from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

SLICE = 120
FUZZ = int(os.environ.get("HNO_FUZZ", str(SLICE)))
SEED = int(os.environ.get("HNO_SEED", "1"))
# What no policy of these may ever report. Those about pods have limits of their own (docs/adr/0008).
POLICIES = (
    "exception-expiry",
    "exception-writers",
    "label-at-birth",
    "labels-kept",
    "namespace-labels",
    "namespace-size",
    "operator-limits",
    "own-namespaces",
    "pod-size",
    "rule-selectors",
)
GRANT = labels.GRANT_PREFIX
ROOM = labels.ANNOTATION_BYTES - 1000  # for the few annotations that every object has, and one that is written
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECONDS = 120.0  # for one request: the largest take some
_STEP = 30_000  # keys that are written at once: the managedFields of a step need more room than its keys
Map = dict[str, str]
Request = tuple[str, str, Any, str]  # method, path, body, content type


@dataclasses.dataclass(frozen=True)
class Sort:
    """One sort of object, by what is on it beside the few keys that every object of a test has."""

    labels: Map = dataclasses.field(default_factory=dict)
    annotations: Map = dataclasses.field(default_factory=dict)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def heavy(self) -> bool:
        """Whether the API server alone takes seconds for it, with no policy."""
        return len(self.labels) + len(self.annotations) > 30_000

    @property
    def stepwise(self) -> bool:
        """Whether it is written in steps only: at once the API server does not finish its managedFields in time."""
        return len(self.labels) + len(self.annotations) > 100_000

    @property
    def draws(self) -> int:
        """How many writes are tried on it."""
        return FUZZ // (30 if self.heavy else 8)


def smallest(count: int = 10**6, size: int = 10**7) -> Map:
    """The shortest keys that there are, without values: so many, or with so many bytes in all."""
    found: Map = {}
    for length in itertools.count(1):
        for letters in itertools.product(_ALPHABET, repeat=length):
            size -= length
            if len(found) == count or size < 0:
                return found
            found["".join(letters)] = ""
    raise AssertionError("unreachable")


def look_alikes(count: int) -> Map:
    """Keys that end as ours do, and one that begins so."""
    return {f"a{number:x}.{labels.GROUP}/x": "" for number in range(count)} | {f"{labels.GROUP}.example.com/x": ""}


def pretending(size: int) -> Map:
    """Values with the text of grants in them, as JSON and as the text of a map has it."""
    text = f'", "{GRANT}mine":"x", \\", \\"{GRANT}mine\\":\\"x\\" {{"{labels.GUARD}":"x"}} '
    return {"a": text * (size // len(text)), f"b/{'c' * 63}": f'"{GRANT}mine":"x'}


OWNERS = [  # of a kind that the garbage collector does not know: it takes what has no living owner
    {"apiVersion": "example.com/v1", "kind": "Nothing", "name": f"owner-{number}", "uid": f"{number:032x}"}
    for number in range(1000)
]
FINALIZERS = [f"example.com/finalizer-{number}" for number in range(2000)]
LONGEST = {f"{number:05}.{'a' * 57}.{'b' * 60}.{'c' * 60}/{'d' * 63}": "e" * 63 for number in range(2500)}


def fill(client: api.Api, path: str, field: str, values: Map) -> None:
    """Adds so many labels or annotations as somebody does who wants room: managedFields are emptied in each step."""
    items = list(values.items())
    for start in range(0, len(items), _STEP):
        status = 409  # a controller has written it too
        while status == 409:
            body = client.get(path).expect(200).body
            body["metadata"]["managedFields"] = [{}]
            body["metadata"].setdefault(field, {}).update(items[start : start + _STEP])
            status = client.request("PUT", path, body, timeout=_SECONDS).expect(200, 409).status


# Of each field of a Namespace's metadata as much as the API server stores.
LARGEST: dict[str, Callable[[], dict[str, Any]]] = {
    "annotations": lambda: {"annotations": smallest(size=ROOM)},
    "labels": lambda: {"labels": smallest(60_000)},
    "owners": lambda: {"ownerReferences": [{**OWNERS[0], "uid": f"{n:x}"} for n in range(10_000)]},
    "finalizers": lambda: {"finalizers": [f"a.b/{number}" for number in range(20_000)]},
}


def enlarge(client: api.Api, path: str, name: str) -> None:
    """Gives a Namespace what LARGEST has under this name."""
    metadata = LARGEST[name]()
    for field in ("labels", "annotations"):
        fill(client, path, field, metadata.pop(field, {}))
    if metadata:
        change = {"metadata": {**metadata, "managedFields": [{}]}}
        ask(client, ("PATCH", path, change, api.MERGE)).expect(200)


MARKER = "written-by-hand-01"  # as long as what takes its place
_INVALID = b"\xff\xc3A\xf0\x9f\x92\xed\xa0\x80\xe2\x82\xc0\xafzzzzz"


def spoil(client: api.Api, path: str, at: str = "") -> None:
    """Writes bytes that are not UTF-8 for each MARKER in the object, by protobuf, to `at` below the path."""
    status = 409  # a controller has written it too
    while status == 409:
        body = client.protobuf(path)
        assert MARKER.encode() in body
        written = body.replace(MARKER.encode(), _INVALID)
        status = client.request("PUT", path + at, written, api.PROTOBUF).expect(200, 409).status
    assert _INVALID in client.protobuf(path)


def ask(client: api.Api, request: Request) -> api.Response:
    """The answer, however long it takes."""
    method, path, body, content_type = request
    return client.request(method, path, body, content_type, _SECONDS)


def judge(answer: api.Response, status: int, what: object) -> None:
    """The answer has this status, and no expression failed on the way to it."""
    workbench.sound(answer)
    assert answer.status == status, f"{what}: expected {status}, got {answer.status}: {answer.message[:1000]}"
    if status == 403:
        assert "ValidatingAdmissionPolicy" in answer.message, f"{what}: {answer.message[:1000]}"


def failures(cluster: controlplane.Cluster) -> list[str]:
    """What the API server counted and logged of expressions of these policies that failed, in answers or not."""
    # A refusal by a validating policy counts as invalid_error too; an error of that sort is in the answer.
    counted = re.compile(
        r'^apiserver_(validating_admission_policy_check_total\{.*error_type="(compile_error|out_of_budget)'
        r'|mutating_admission_policy_check_total\{.*error_type="(?!no_error))'
    )
    unmatched = re.compile(r"^apiserver_admission_match_condition_evaluation_errors_total")
    text = cluster.admin.get("/metrics").expect(200).body
    ours = [line for line in text.splitlines() if any(f'"{name}.{labels.GROUP}"' in line for name in POLICIES)]
    found = [line for line in ours if counted.match(line) or unmatched.match(line)]
    log = cluster.components["kube-apiserver"].log.read_text(errors="replace")
    return found + [line[:1000] for line in log.splitlines() if "error while evaluating messageExpression" in line]
