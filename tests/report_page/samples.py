"""Evidence for pages: none, thirty and three thousand workloads, and a cluster in which every text is hostile."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from hostnetwork_operator.api import labels, policy
from hostnetwork_operator.cli import report_page
from hostnetwork_operator.decide import evidence, exhibits, snapshot, trend
from tests.unit.builders import (
    ABSENT,
    IPC,
    NETWORK,
    NOW,
    PID,
    PINNED,
    at,
    denied,
    governed,
    guards,
    hne,
    host_path,
    namespace,
    planned,
    pod,
    recorded,
    seen,
)

_AGENTS = (
    ("node-exporter", "quay.io/prometheus/node-exporter:v1.9.1", frozenset({NETWORK, PID})),
    ("cilium", "quay.io/cilium/cilium:v1.18.2", frozenset({NETWORK})),
    ("keepalived", "registry.example.com/keepalived@sha256:" + "3" * 64, frozenset({NETWORK})),
    ("legacy-proxy", "registry.example.com/legacy/proxy:2019-4", frozenset({NETWORK})),
    ("queue", "registry.example.com/queue:7", frozenset({IPC})),
)
FACTS = evidence.ReportFacts(
    generated=NOW,
    as_of=NOW,
    cluster=exhibits.ClusterIdentity("production", "5f0c8f1e-0000-4000-8000-00000000beef", "v1.37.2"),
    tool=exhibits.Tool("kubectl-hostnetwork", "0.1.0"),
    namespace=None,
    installed=True,
    not_looked_at=(),
    policy=snapshot.PolicyObject("uid", at(days=-90), "1", 3, policy.PolicyStatus(), governed().spec),
    guards=guards(),
    operator=exhibits.OperatorEvidence(
        found=True, image="registry.example.com/operator@sha256:" + "a" * 64, available_replicas=1
    ),
    duties=(
        exhibits.Duty(
            "approve exceptions",
            ("Group sre-leads by hostnetwork-exception-approver", "Group system:masters by cluster-admin"),
        ),
        exhibits.Duty("set Pod Security levels", ("Group system:masters by cluster-admin",)),
        exhibits.Duty("change admission policies", ()),
        exhibits.Duty("change their bindings", None),
    ),
)


def nothing() -> exhibits.AuditEvidence:
    """Return the evidence of a cluster with nothing installed and no such pod."""
    states = [seen(namespace=namespace(name=name), policy=ABSENT, guards={}) for name in ("default", "kube-system")]
    facts = dataclasses.replace(
        FACTS, installed=False, policy=None, guards={}, operator=exhibits.OperatorEvidence(found=False)
    )
    return _evidence(states, facts)


def many(number: int, namespaces: int) -> exhibits.AuditEvidence:
    """Return the evidence of a governed cluster with so many workloads, of every verdict, class and state."""
    return _evidence([_team(index, number, namespaces) for index in range(namespaces)] + [_system()], FACTS)


def unseen() -> exhibits.AuditEvidence:
    """Return the evidence of a person who may read little."""
    missing = [
        exhibits.Unseen(kind, f'{kind} is forbidden: User "eve" cannot list resource "{kind}"', "pods are not shown")
        for kind in ("pods", "hostnetworkexceptions", "roles")
    ]
    facts = dataclasses.replace(FACTS, not_looked_at=tuple(missing), as_of=at(days=31))
    return _evidence([seen()], facts)


def hostile(texts: Iterable[str]) -> exhibits.AuditEvidence:
    """Return evidence in which each of these texts stands in every field that can have a text."""
    found = many(6, 2)
    out = [_with(found, text) for text in texts]
    first = out[0]
    return dataclasses.replace(
        first,
        namespaces=tuple(each for evidence_ in out for each in evidence_.namespaces),
        workloads=tuple(each for evidence_ in out for each in evidence_.workloads),
        exceptions=tuple(each for evidence_ in out for each in evidence_.exceptions),
        violations=tuple(each for evidence_ in out for each in evidence_.violations),
        findings=tuple(each for evidence_ in out for each in evidence_.findings),
        duties=tuple(each for evidence_ in out for each in evidence_.duties),
    )


def _with(found: exhibits.AuditEvidence, text: str) -> exhibits.AuditEvidence:
    return exhibits.with_texts(found, lambda _: text)


def _evidence(states: Iterable[snapshot.NamespaceSnapshot], facts: evidence.ReportFacts) -> exhibits.AuditEvidence:
    return evidence.evidence([(state, planned(state)) for state in states], facts)


def _system() -> snapshot.NamespaceSnapshot:
    owner = snapshot.Reference("DaemonSet", "kube-system", "kube-proxy", "uid-of-kube-proxy", "apps/v1")
    proxies = [
        pod(f"kube-proxy-{n}", namespace="kube-system", owner=owner, service_account="kube-proxy", node=f"node-{n}",
            images=frozenset({"registry.k8s.io/kube-proxy:v1.37.2"}), privileged=True)
        for n in range(3)
    ]  # fmt: skip
    static = pod("kube-apiserver-node-0", namespace="kube-system", mirror=True, node="node-0")
    return seen(*proxies, static, namespace=namespace(name="kube-system"))


def _team(index: int, number: int, namespaces: int) -> snapshot.NamespaceSnapshot:
    name = f"team-{index:03}"
    mine = range(index, number, namespaces)
    pods = [each for position in mine for each in _pods(name, position)]
    subjects = [subject for position in mine if (subject := _exception(name, position)) is not None]
    granted = [subject for subject in subjects if subject.spec.until > NOW]
    where = denied(*granted, name=name) if index % 5 else namespace(name=name, labels={labels.PSA_WARN: "restricted"})
    where = namespace(name=name, labels={labels.PSA_ENFORCE: "restricted"}) if index % 7 == 3 else where
    return seen(*pods, *subjects, namespace=where, ledger=recorded(where, *subjects))


def _pods(name: str, position: int) -> Iterable[snapshot.Pod]:
    agent, image, shared = _AGENTS[position % len(_AGENTS)]
    kind, version = (("DaemonSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("Job", "batch/v1"))[position % 3]
    owner = snapshot.Reference(kind, name, f"{agent}-{position}", f"uid-of-{name}-{agent}-{position}", version)
    for node in range(1 + position % 3):
        yield pod(
            f"{agent}-{position}-{node}",
            namespace=name,
            uid=f"uid-of-{name}-{position}-{node}",
            owner=owner,
            node=f"node-{node}",
            service_account=f"account-{position}",
            images=frozenset({image, PINNED} if position % 4 == 0 else {image}),
            host_namespaces=shared,
            privileged=position % 6 == 0,
            capabilities=frozenset({"NET_ADMIN", "NET_RAW"}) if position % 3 == 0 else frozenset(),
            host_paths=frozenset({host_path("/proc")}) if position % 5 == 0 else frozenset(),
            created=at(days=-(position % 8) - 1) if position % 4 != 2 else at(hours=-1.5),
        )


def _exception(name: str, position: int) -> Any:
    if position % 4 == 3:
        return None
    agent, image, shared = _AGENTS[position % len(_AGENTS)]
    kinds: list[dict[str, Any]] = [
        {"type": "Infrastructure", "component": "NodeAgent", "contact": "#sre-network"},
        {"type": "Application", "expiry": at(days=1 + position % 80), "contact": "web@example.com"},
        {"type": "Diagnostic", "expiry": at(hours=-1) if position % 8 == 2 else at(hours=1 + position % 20)},
    ]
    spec = kinds[position % 4]
    created = at(hours=-2) if spec["type"] == "Diagnostic" else at(days=-9)
    if spec["type"] != "Infrastructure":
        spec |= {"images": (image, PINNED), "ticket": f"INC-{4711 + position}"}
    return hne(
        f"{agent}-{position}",
        metadata={"namespace": name, "uid": f"uid-of-exception-{name}-{position}", "creation_timestamp": created},
        owner=f"team-{position % 9}",
        reason="Speaks VRRP on the network of its node until the new load balancer is in place",
        service_account_name=f"account-{position}",
        host_namespaces=tuple(sorted(shared)),
        privileged=position % 6 == 0,
        capabilities=("NET_ADMIN", "NET_RAW") if position % 3 == 0 else (),
        host_paths=({"path": "/proc", "readOnly": True},) if position % 5 == 0 else (),
        **spec,
    )


def history() -> report_page.History:
    """Return the archive of six weeks with a report a day, but for two blind days."""
    opened, ended = ("team-000/a", "team-001/b"), ("team-000/c",)
    points = [
        trend.Point(at(days=-age), 30, age // 6, 20, opened[: age % 3], ended[: age % 2], (age,), blind=age == 9)
        for age in range(44, -1, -1)
        if age != 20
    ]
    return report_page.History(trend.trend(points), len(points), "5f" * 32)
