"""What the policies add to creating an ordinary pod, beside a cluster with none and one with a trivial policy.

Single dry-run requests of one client, every place once in each round, in a new order each round: whatever else the
machine does meets all of them alike.
"""

import contextlib
import random
import time
from collections.abc import Iterator
from typing import Any

from tests.controlplane import api, cluster

from bench import audit, figures
from bench.world import LABEL, PSA_ENFORCE, World, ordinary_pod, say

_ROUNDS = 1500
_WARM_UP = 200
_BARE, _AGAIN, _PSA = "no policy", "no policy, again (A/A)", "no policy, only the Pod Security labels"
_TRIVIAL, _ENFORCED, _RELAXED = "one trivial policy", "ours, enforced namespace", "ours, relaxed namespace"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_NAME = "trivial.bench.example.com"

Places = dict[str, tuple[api.Api, str]]  # what it is -> whom to ask, in which namespace


def measure() -> list[figures.Row]:
    with contextlib.ExitStack() as stack:
        places = _places(stack)
        say(f"admission: {_ROUNDS} rounds of {len(places)} dry runs")
        values = _alternate(places)
    rows = [figures.spread(f"pod create: {name}", values[name]) for name in places]
    rows += [figures.spread(f"added: {name}", _added(values, name)) for name in places if name != _BARE]
    bare, trivial = rows[0].quantile(0.5), _median(_added(values, _TRIVIAL))
    enforced, relaxed = _median(_added(values, _ENFORCED)), _median(_added(values, _RELAXED))
    beyond = _median([ours - psa for ours, psa in zip(values[_ENFORCED], values[_PSA], strict=True)])
    return [
        *rows,
        figures.single("added, of a create: A/A, the noise", 100 * _median(_added(values, _AGAIN)) / bare, "%"),
        figures.single("added, of a create: ours, enforced", 100 * enforced / bare, "%", at_most=2),
        figures.single("added, of a create: ours, enforced, beyond the PSA labels'", 100 * beyond / bare, "%"),
        figures.single("added: ours, relaxed, times the trivial policy's", relaxed / trivial, "x", at_most=1.5),
    ]


def _places(stack: contextlib.ExitStack) -> Places:
    say("admission: four control planes side by side")
    bare, again, trivial = (stack.enter_context(cluster.Cluster()) for _ in range(3))
    ours = stack.enter_context(World(pods=0, audit=False))
    ours.operator.start()
    ours.enforced(["enforced", "relaxed"])
    ours.create_exception("relaxed", int(audit.now()) + 3600)
    relaxed = f"{PSA_ENFORCE}=privileged"
    ours.cluster.wait("the relaxed namespace", lambda: "relaxed" in ours.labelled(relaxed))
    _apply_trivial(trivial)
    levels = ours.api.get("/api/v1/namespaces/enforced").expect(200).body["metadata"]["labels"]
    same = {key: value for key, value in levels.items() if key.startswith("pod-security.kubernetes.io/")}
    return {
        _BARE: (bare.admin, _namespace(bare, {})),
        _AGAIN: (again.admin, _namespace(again, {})),
        _PSA: (bare.admin, _namespace(bare, same, "levels")),
        _TRIVIAL: (trivial.admin, _namespace(trivial, {})),
        _ENFORCED: (ours.api, "enforced"),
        _RELAXED: (ours.api, "relaxed"),
    }


def _namespace(running: cluster.Cluster, labels: dict[str, str], name: str = "place") -> str:
    running.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}}).expect(201)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    running.wait("its service account", lambda: running.admin.get(account).status == 200)
    return name


def _apply_trivial(running: cluster.Cluster) -> None:
    """One expression on every pod, bound to deny; waits until it is in force."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.metadata.name != 'refused'"}],
    }
    binding = {"policyName": _NAME, "validationActions": ["Deny"]}
    path = f"{_ADMISSION}/validatingadmissionpolic"
    running.admin.post(f"{path}ies", {"metadata": {"name": _NAME}, "spec": spec}).expect(201)
    running.admin.post(f"{path}ybindings", {"metadata": {"name": _NAME}, "spec": binding}).expect(201)
    create = "/api/v1/namespaces/default/pods?dryRun=All"
    running.wait("the trivial policy", lambda: running.admin.post(create, ordinary_pod("refused")).status == 422)


def _alternate(places: Places) -> dict[str, list[float]]:
    """Milliseconds of each place, the rounds in step."""
    values: dict[str, list[float]] = {name: [] for name in places}
    for number, name in _order(list(places)):
        client, namespace = places[name]
        path, body = f"/api/v1/namespaces/{namespace}/pods?dryRun=All", _restricted_pod()
        began = time.perf_counter()
        answer = client.post(path, body)
        took = time.perf_counter() - began
        answer.expect(201)
        if number >= _WARM_UP:
            values[name].append(1000 * took)
    return values


def _order(names: list[str]) -> Iterator[tuple[int, str]]:
    for number in range(_WARM_UP + _ROUNDS):
        for name in random.sample(names, len(names)):
            yield number, name


def _restricted_pod() -> dict[str, Any]:
    """An ordinary pod that every level takes without a warning, so that no place has to write one."""
    body = ordinary_pod("probe")
    body["metadata"]["labels"] = {f"{LABEL}/bench": "probe"}
    body["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    harmless = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    body["spec"]["containers"][0]["securityContext"] = harmless
    return body


def _added(values: dict[str, list[float]], name: str) -> list[float]:
    """By how much a place took longer than the one without policy, round by round."""
    return [with_it - without for with_it, without in zip(values[name], values[_BARE], strict=True)]


def _median(values: list[float]) -> float:
    return figures.spread("", values).quantile(0.5)
