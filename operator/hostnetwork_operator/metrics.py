"""The operator's metrics, on a registry of their own.

Gauges are counted from the latest plans at the scrape or shortly before it (control/server), so they cannot drift. The
values of labels are namespaces, exceptions and words of the operator, and never pods or text from users. So the number
of series is bounded.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import hostnetwork_operator
from hostnetwork_operator import clock, logs
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import coverage, inventory, level, plan, snapshot
from hostnetwork_operator.observe import ledger

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counters and histograms that the operator updates, and their registry."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # a second series per counter, which no user needs
        self.registry = prometheus_client.CollectorRegistry()
        self._collector: StateCollector | None = None
        self._led: Callable[[], bool] = lambda: True
        self.detected_pods = self._counter(
            "hostnetwork_detected_pods",
            "Writes of the verdict label of host-namespace pods, by verdict.",
            "verdict",
        )
        self.deleted_pods = self._counter(
            "hostnetwork_deleted_pods",
            "Pods of expired Diagnostic exceptions: deleted, already removed, spared by a second check, or failed.",
            "outcome",
        )
        self.namespace_writes = self._counter(
            "hostnetwork_namespace_writes", "Writes of a namespace's labels and grants.", "action", "outcome"
        )
        self.effects = self._counter(
            "hostnetwork_operator_effects", "Effects (steps of a plan) that were carried out.", "effect", "outcome"
        )
        self.requests = self._counter(
            "hostnetwork_operator_api_requests",
            "Requests to the API server; code 0 means no answer, or an answer that does not fit the request.",
            "method",
            "code",
        )
        self.reconcile = prometheus_client.Histogram(
            "hostnetwork_operator_reconcile_duration_seconds",
            "Time from taking a namespace off the queue until its effects are carried out.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.lag = prometheus_client.Histogram(
            "hostnetwork_operator_event_loop_lag_seconds",
            "How late the event loop was, ten times a second, and more often while the loop is late.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.resync = prometheus_client.Gauge(
            "hostnetwork_operator_last_resync_timestamp_seconds",
            "Unix time at which a kind was last listed completely.",
            ["kind"],
            registry=self.registry,
        )
        self._leader = prometheus_client.Gauge(
            "hostnetwork_operator_leader",
            "1 if the process may write: it holds the Lease, or no Lease is configured. 0 on a standby.",
            registry=self.registry,
        )
        self._leader.set(1)
        self.registry.register(_Log())
        build = prometheus_client.Gauge(
            "hostnetwork_operator_build_info",
            "Always 1; the label has the version.",
            ["version"],
            registry=self.registry,
        )
        build.labels(hostnetwork_operator.__version__).set(1)
        prometheus_client.ProcessCollector(registry=self.registry)

    def count_request(self, method: str, code: int) -> None:
        self.requests.labels(method, str(code)).inc()

    def depend_on_lease(self, may_write: Callable[[], bool], led: Callable[[], bool]) -> None:
        """Have the metrics show whether the process may write, and the state of the cluster only once it has led: a
        standby has not listed the cluster. The thread that calls `text` calls `may_write`.
        """
        self._leader.set_function(lambda: float(may_write()))
        self._led = led

    def show(self, state: "StateCollector") -> None:
        """Add the gauges of the current state to the metrics."""
        self._collector = state
        self.registry.register(state)

    def gather(self) -> None:
        """Record the current state for `text`. Call it only in the event loop that changes the state."""
        if self._collector is not None and self._led():
            self._collector.gather()

    def text(self) -> bytes:
        """Return the metrics as text in the exposition format, from the state that `gather` recorded last.

        Call it in any thread, but in one thread at a time.
        """
        return prometheus_client.generate_latest(self.registry)

    def _counter(self, name: str, text: str, *label_names: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, text, label_names, registry=self.registry)


class _Log(Collector):
    """The metric about the operator's own log."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        name, text = "hostnetwork_operator_log_lines_dropped", "Log lines that could not be written to stdout."
        yield CounterMetricFamily(name, text, value=logs.dropped())


@dataclass(frozen=True, slots=True)
class _GatheredState:
    """The state at one moment. A plan never changes; the mapping that has the plans does, so it is copied."""

    plans: list[tuple[str, plan.NamespacePlan]]
    guards: Mapping[str, snapshot.Guard]
    unread: Mapping[str, int]
    api_servers: Sequence[snapshot.ApiServer]
    skew_seconds: float
    spread_seconds: float
    ledger: snapshot.LedgerSummary
    ledger_bytes: int


class StateCollector(Collector):
    """The gauges of the current state, from the latest plan of every namespace, as `gather` recorded it last."""

    def __init__(
        self,
        plans: Mapping[str, plan.NamespacePlan],
        guards: Callable[[], Mapping[str, snapshot.Guard]],
        unread: Callable[[], Mapping[str, int]],
        api_servers: Callable[[], snapshot.ApiServers],
        server_clock: clock.ServerClock,
        records: ledger.Ledger,
    ) -> None:
        self._ledger = records
        self._plans = plans
        self._guards = guards
        self._unread = unread
        self._api_servers = api_servers
        self._clock = server_clock
        self._state: _GatheredState | None = None
        # The workloads of each plan that `collect` counted last. A plan never changes, and 50,000 pods take a while.
        self._counted: dict[str, tuple[plan.NamespacePlan, Counter[tuple[str, str, str]]]] = {}

    def gather(self) -> None:
        """Record the current state."""
        self._state = _GatheredState(
            list(self._plans.items()),
            dict(self._guards()),
            dict(self._unread()),
            self._api_servers().servers,
            self._clock.skew_seconds(),
            self._clock.spread_seconds(),
            self._ledger.summary(),
            self._ledger.bytes,
        )

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state = self._state
        if state is None:
            return
        plans = sorted(state.plans, key=operator.itemgetter(0))
        yield self._pods(plans)
        yield self._workloads(plans)
        yield from self._exceptions(plans)
        yield self._namespaces(plans)
        yield self._refused(plans)
        contested = _gauge(
            "hostnetwork_contested_namespaces", "Namespaces in which another client undoes the operator's writes."
        )
        contested.add_metric([], sum(namespace_plan.contested is not None for _, namespace_plan in plans))
        yield contested
        intact = _gauge(
            "hostnetwork_admission_policy_intact",
            "1 if the policy exists as shipped, fails closed and is bound to deny; 0 for a moment in an upgrade.",
            "policy",
        )
        for name, guard in sorted(state.guards.items()):
            intact.add_metric([name], float(guard.since is not None))
        yield intact
        yield from self._recorded(state)
        yield from _each_api_server(state.api_servers)
        unread = _gauge(
            "hostnetwork_operator_unreadable_objects",
            "API objects that cannot be decoded or interpreted, and such watch lines since the last list of the kind.",
            "kind",
        )
        for kind, count in sorted(state.unread.items()):
            unread.add_metric([kind], count)
        yield unread
        skew = _gauge(
            "hostnetwork_operator_clock_skew_seconds",
            "Seconds by which the operator's clock is ahead of the API server's clock.",
        )
        skew.add_metric([], state.skew_seconds)
        yield skew
        spread = _gauge(
            "hostnetwork_operator_clock_spread_seconds",
            "Seconds by which the clocks of API servers differ, by their answers.",
        )
        spread.add_metric([], state.spread_seconds)
        yield spread

    def _recorded(self, state: _GatheredState) -> Iterable[GaugeMetricFamily]:
        intact = _gauge(
            "hostnetwork_ledger_intact",
            "1 if the ledger has every record and can be written, and no grant stays without proof.",
        )
        summary = state.ledger
        intact.add_metric([], float(summary.intact))
        records = _gauge(
            "hostnetwork_ledger_records",
            "Records of the ledger: approved exceptions, namespaces, grants that stay without proof, and namespaces"
            " whose level before enforcement is not known.",
            "kind",
        )
        for kind in ("exceptions", "namespaces", "unproven", "levels_unknown"):
            records.add_metric([kind], getattr(summary.counts, kind))
        size = _gauge("hostnetwork_ledger_bytes", "Size of the data in the ConfigMaps of the ledger.")
        size.add_metric([], state.ledger_bytes)
        return intact, records, size

    def _pods(self, plans: list[tuple[str, plan.NamespacePlan]]) -> GaugeMetricFamily:
        gauge = _gauge("hostnetwork_pods", "Host-namespace pods by verdict.", "namespace", "verdict")
        for name, namespace_plan in plans:
            for verdict, count in coverage.count(namespace_plan.judged, namespace_plan.unreadable).items():
                gauge.add_metric([name, verdict.value], count)
        return gauge

    def _workloads(self, plans: list[tuple[str, plan.NamespacePlan]]) -> GaugeMetricFamily:
        gauge = _gauge(
            "hostnetwork_workloads",
            "Workloads with host-namespace pods by what they look like, how sure that is, and their worst verdict.",
            "class",
            "confidence",
            "verdict",
        )
        counted = self._counted
        self._counted = {
            name: counted[name]
            if name in counted and counted[name][0] is namespace_plan
            else (namespace_plan, inventory.count(namespace_plan))
            for name, namespace_plan in plans
        }
        counts: Counter[tuple[str, str, str]] = Counter()
        for _, of_namespace in self._counted.values():
            counts.update(of_namespace)
        for key, count in sorted(counts.items()):
            gauge.add_metric(list(key), count)
        return gauge

    def _refused(self, plans: list[tuple[str, plan.NamespacePlan]]) -> GaugeMetricFamily:
        gauge = _gauge(
            "hostnetwork_refused_workloads",
            "Workloads in an enforced namespace that lack pods, and whose pods no exception in force covers.",
            "namespace",
        )
        for name, namespace_plan in plans:
            count = namespace_plan.refused_count
            if namespace_plan.enforcement is labels.Enforcement.DENY and count is not None:
                gauge.add_metric([name], count)
        return gauge

    def _exceptions(self, plans: list[tuple[str, plan.NamespacePlan]]) -> Iterable[GaugeMetricFamily]:
        ready = _gauge("hostnetwork_exceptions", "Exceptions by the reason of their Ready condition.", "type", "ready")
        expirations = _gauge(
            "hostnetwork_exception_expiration_timestamp_seconds",
            "Unix time at which an exception ends; absent for an exception without expiry.",
            "namespace",
            "name",
        )
        covered = _gauge("hostnetwork_exception_covered_pods", "Pods that an exception covers.", "namespace", "name")
        findings = _gauge(
            "hostnetwork_exception_findings",
            "1 for each finding that warns about an exception.",
            "namespace",
            "name",
            "type",
            "finding",
        )
        counts: dict[tuple[str, str], int] = {}
        for name, namespace_plan in plans:
            verdicts, types = coverage.by_exception(namespace_plan.judged), dict[str, str]()
            for standing in namespace_plan.standings:
                subject = standing.exception
                key = (subject.spec.type.value, standing.reason.value)
                counts[key] = counts.get(key, 0) + 1
                types[subject.metadata.uid] = key[0]
                if subject.spec.expiry is not None:
                    expirations.add_metric([name, subject.metadata.name], subject.spec.expiry.timestamp())
                pods = coverage.covered(verdicts.get(subject.metadata.uid, ()))
                covered.add_metric([name, subject.metadata.name], pods)
            for finding in namespace_plan.findings:
                if finding.warns:
                    reference = finding.subject
                    findings.add_metric([name, reference.name, types[reference.uid], finding.rule.id], 1)
        for key, count in sorted(counts.items()):
            ready.add_metric(list(key), count)
        return ready, expirations, covered, findings

    def _namespaces(self, plans: list[tuple[str, plan.NamespacePlan]]) -> GaugeMetricFamily:
        gauge = _gauge(
            "hostnetwork_namespaces",
            "Namespaces by enforcement (none: exempt, or no policy yet) and enforced level (none: not labelled).",
            "enforcement",
            "level",
        )
        counts: dict[tuple[str, str], int] = {}
        for _, namespace_plan in plans:
            enforced = level.level_of(namespace_plan.namespace)
            key = (
                namespace_plan.enforcement.value if namespace_plan.enforcement else "none",
                enforced.value if enforced else "none",
            )
            counts[key] = counts.get(key, 0) + 1
        for key, count in sorted(counts.items()):
            gauge.add_metric(list(key), count)
        return gauge


def _each_api_server(api_servers: Sequence[snapshot.ApiServer]) -> Iterable[GaugeMetricFamily]:
    """Return what each API server said of itself. An API server that does not answer has no series."""
    info = _gauge(
        "hostnetwork_api_server_info",
        "1 for each API server, with its minor version of Kubernetes; tested: whether this operator is tested with it.",
        "address",
        "version",
        "tested",
    )
    sealed = _gauge(
        "hostnetwork_api_server_sealed",
        "1 if the API server refuses changes of the operator's admission policies, CRDs and rights.",
        "address",
    )
    for server in api_servers:
        if server.version is not None:
            info.add_metric([server.address, str(server.version), str(server.version.tested).lower()], 1)
        if server.sealed is not None:
            sealed.add_metric([server.address], float(server.sealed))
    return info, sealed


def _gauge(name: str, text: str, *label_names: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=label_names)
