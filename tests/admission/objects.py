"""The largest and oddest objects that a client can write, and a check for failed CEL expressions.

If an expression fails, or costs more than the API server allows, the API server answers 422 whatever the policy says.
`kubectl apply --force` then deletes the object. `HNO_FUZZ` sets the number of writes to draw. If it exceeds the slice
of `make test`, the tests write the largest objects too. `HNO_SEED` selects other writes.
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
# The policies whose expressions must never fail. The policies about pods have their own limits (docs/adr/0008).
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
ROOM = labels.ANNOTATION_BYTES - 1000  # less the few annotations that every object has and one written annotation
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECONDS = 120.0  # for one request: the largest requests take a while
_STEP = 30_000  # keys per write: the managedFields of a step need more room than its keys
Map = dict[str, str]
Request = tuple[str, str, Any, str]  # method, path, body, content type


@dataclasses.dataclass(frozen=True)
class Sort:
    """A sort of object: what the object has beside the few keys that every object of a test has."""

    labels: Map = dataclasses.field(default_factory=dict)
    annotations: Map = dataclasses.field(default_factory=dict)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def heavy(self) -> bool:
        """Return whether the API server alone, without any policy, takes seconds to write the object."""
        return len(self.labels) + len(self.annotations) > 30_000

    @property
    def stepwise(self) -> bool:
        """Return whether the object must be written in steps.

        In a single write, the API server does not finish the object's managedFields in time.
        """
        return len(self.labels) + len(self.annotations) > 100_000

    @property
    def draws(self) -> int:
        """The number of writes to try on the object."""
        return FUZZ // (30 if self.heavy else 8)


def smallest(count: int = 10**6, size: int = 10**7) -> Map:
    """Return the shortest possible keys with empty values: at most `count` keys of at most `size` bytes in all."""
    entries: Map = {}
    for length in itertools.count(1):
        for letters in itertools.product(_ALPHABET, repeat=length):
            size -= length
            if len(entries) == count or size < 0:
                return entries
            entries["".join(letters)] = ""
    raise AssertionError("unreachable")


def look_alikes(count: int) -> Map:
    """Return keys that end like the operator's keys, and one key that begins like them."""
    return {f"a{number:x}.{labels.GROUP}/x": "" for number in range(count)} | {f"{labels.GROUP}.example.com/x": ""}


def pretending(size: int) -> Map:
    """Return values that contain the text of grants, as JSON and as the text form of a map."""
    text = f'", "{GRANT}mine":"x", \\", \\"{GRANT}mine\\":\\"x\\" {{"{labels.GUARD}":"x"}} '
    return {"a": text * (size // len(text)), f"b/{'c' * 63}": f'"{GRANT}mine":"x'}


OWNERS = [  # of a kind unknown to the garbage collector, which deletes an object if all its owners are gone
    {"apiVersion": "example.com/v1", "kind": "Nothing", "name": f"owner-{number}", "uid": f"{number:032x}"}
    for number in range(1000)
]
FINALIZERS = [f"example.com/finalizer-{number}" for number in range(2000)]
LONGEST = {f"{number:05}.{'a' * 57}.{'b' * 60}.{'c' * 60}/{'d' * 63}": "e" * 63 for number in range(2500)}


def fill(client: api.Api, path: str, field: str, values: Map) -> None:
    """Add labels or annotations in steps and empty managedFields in each step, as a client that needs room would do."""
    items = list(values.items())
    for start in range(0, len(items), _STEP):
        status = 409  # a controller wrote the object meanwhile
        while status == 409:
            body = client.get(path).expect(200).body
            body["metadata"]["managedFields"] = [{}]
            body["metadata"].setdefault(field, {}).update(items[start : start + _STEP])
            status = client.request("PUT", path, body, timeout=_SECONDS).expect(200, 409).status


# Per metadata field of a Namespace: as much as the API server stores.
LARGEST: dict[str, Callable[[], dict[str, Any]]] = {
    "annotations": lambda: {"annotations": smallest(size=ROOM)},
    "labels": lambda: {"labels": smallest(60_000)},
    "owners": lambda: {"ownerReferences": [{**OWNERS[0], "uid": f"{n:x}"} for n in range(10_000)]},
    "finalizers": lambda: {"finalizers": [f"a.b/{number}" for number in range(20_000)]},
}


def enlarge(client: api.Api, path: str, name: str) -> None:
    """Fill the Namespace with the LARGEST entry of this name."""
    metadata = LARGEST[name]()
    for field in ("labels", "annotations"):
        fill(client, path, field, metadata.pop(field, {}))
    if metadata:
        patch = {"metadata": {**metadata, "managedFields": [{}]}}
        ask(client, ("PATCH", path, patch, api.MERGE)).expect(200)


MARKER = "written-by-hand-01"  # as long as the bytes that replace it
_INVALID = b"\xff\xc3A\xf0\x9f\x92\xed\xa0\x80\xe2\x82\xc0\xafzzzzz"


def spoil(client: api.Api, path: str, subresource: str = "") -> None:
    """Replace each MARKER in the object by bytes that are not UTF-8; the write uses protobuf, to `path + at`."""
    status = 409  # a controller wrote the object meanwhile
    while status == 409:
        body = client.protobuf(path)
        assert MARKER.encode() in body
        data = body.replace(MARKER.encode(), _INVALID)
        status = client.request("PUT", path + subresource, data, api.PROTOBUF).expect(200, 409).status
    assert _INVALID in client.protobuf(path)


def ask(client: api.Api, request: Request) -> api.Response:
    """Send the request and return the answer, with a timeout long enough for the slowest request."""
    method, path, body, content_type = request
    return client.request(method, path, body, content_type, _SECONDS)


def judge(answer: api.Response, status: int, what: object) -> None:
    """Assert that the answer has this status and that no expression failed for the request."""
    workbench.sound(answer)
    assert answer.status == status, f"{what}: expected {status}, got {answer.status}: {answer.message[:1000]}"
    if status == 403:
        assert "ValidatingAdmissionPolicy" in answer.message, f"{what}: {answer.message[:1000]}"


def failures(cluster: controlplane.Cluster) -> list[str]:
    """Return the metrics and log lines in which the API server reports failed expressions of these policies.

    They include failures that no answer shows.
    """
    # A validating policy's refusal also counts as invalid_error; a real error of that type shows in the answer.
    error_metrics = re.compile(
        r'^apiserver_(validating_admission_policy_check_total\{.*error_type="(compile_error|out_of_budget)'
        r'|mutating_admission_policy_check_total\{.*error_type="(?!no_error))'
    )
    unmatched_metrics = re.compile(r"^apiserver_admission_match_condition_evaluation_errors_total")
    text = cluster.admin.get("/metrics").expect(200).body
    lines = [line for line in text.splitlines() if any(f'"{name}.{labels.GROUP}"' in line for name in POLICIES)]
    reported = [line for line in lines if error_metrics.match(line) or unmatched_metrics.match(line)]
    log = cluster.components["kube-apiserver"].log.read_text(errors="replace")
    return reported + [line[:1000] for line in log.splitlines() if "error while evaluating messageExpression" in line]
