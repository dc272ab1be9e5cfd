"""Metrics on a registry of their own. Gauges are counted from the latest plans when they are scraped, or shortly before
(control/server), so that they cannot drift; labels are bounded by namespaces, exceptions and words of ours, never by
pods or text of users.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import hostnetwork_operator
from hostnetwork_operator import clock, logs
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import coverage, level, plan, refusals, snapshot, status

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Ledger(Protocol):
    """The ledger, as far as it is shown."""

    @property
    def bytes(self) -> int: ...
    def summary(self) -> snapshot.LedgerSummary: ...


class Metrics:
    """Counters and histograms that the operator moves, and the registry they are on."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # a second series a counter, which nobody asked for
        self.registry = prometheus_client.CollectorRegistry()
        self._standing: Standing | None = None
        self.detected_pods = self._counter(
            "hostnetwork_detected_pods",
            "Host-namespace pods that got this verdict label, once for each time it was written.",
            "verdict",
        )
        self.deleted_pods = self._counter(
            "hostnetwork_deleted_pods",
            "Pods of expired diagnostic exceptions: deleted, gone already, spared after a second look, or an error.",
            "outcome",
        )
        self.namespace_writes = self._counter(
            "hostnetwork_namespace_writes", "Writes of a namespace's labels and grants.", "action", "outcome"
        )
        self.effects = self._counter(
            "hostnetwork_operator_effects", "Effects carried out: steps of a plan.", "effect", "outcome"
        )
        self.requests = self._counter(
            "hostnetwork_operator_api_requests",
            "Requests to the API server; code 0 means no answer, or none to that request.",
            "method",
            "code",
        )
        self.reconcile = prometheus_client.Histogram(
            "hostnetwork_operator_reconcile_duration_seconds",
            "Time from taking a namespace off the queue to its effects being carried out.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.resync = prometheus_client.Gauge(
            "hostnetwork_operator_last_resync_timestamp_seconds",
            "When a kind was last listed completely, Unix time.",
            ["kind"],
            registry=self.registry,
        )
        self.registry.register(_Log())
        build = prometheus_client.Gauge(
            "hostnetwork_operator_build_info", "Always 1; the version is a label.", ["version"], registry=self.registry
        )
        build.labels(hostnetwork_operator.__version__).set(1)
        prometheus_client.ProcessCollector(registry=self.registry)

    def count_request(self, method: str, code: int) -> None:
        self.requests.labels(method, str(code)).inc()

    def stands(self, standing: "Standing") -> None:
        """Puts the gauges of what is the case on the page."""
        self._standing = standing
        self.registry.register(standing)

    def gather(self) -> None:
        """Takes note of what is the case, for `text`. Only in the event loop in which that changes."""
        if self._standing is not None:
            self._standing.gather()

    def text(self) -> bytes:
        """The exposition format, of what was gathered last. In any thread, one at a time."""
        return prometheus_client.generate_latest(self.registry)

    def _counter(self, name: str, text: str, *label_names: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, text, label_names, registry=self.registry)


class _Log(Collector):
    """What became of the operator's own log."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        name, text = "hostnetwork_operator_log_lines_dropped", "Lines of the log that could not be written to stdout."
        yield CounterMetricFamily(name, text, value=logs.dropped())


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is the case at one moment. Plans do not change; what holds them does."""

    plans: list[tuple[str, plan.NamespacePlan]]
    guards: Mapping[str, snapshot.Guard]
    unread: Mapping[str, int]
    skew_seconds: float
    spread_seconds: float
    ledger: snapshot.LedgerSummary
    ledger_bytes: int


class Standing(Collector):
    """Gauges of what is the case, from the latest plan of every namespace, as they were gathered last."""

    def __init__(
        self,
        plans: Mapping[str, plan.NamespacePlan],
        guards: Callable[[], Mapping[str, snapshot.Guard]],
        unread: Callable[[], Mapping[str, int]],
        server_clock: clock.ServerClock,
        ledger: Ledger,
    ) -> None:
        self._ledger = ledger
        self._plans = plans
        self._guards = guards
        self._unread = unread
        self._clock = server_clock
        self._seen: _Seen | None = None

    def gather(self) -> None:
        """Takes note of what is the case."""
        self._seen = _Seen(
            list(self._plans.items()),
            dict(self._guards()),
            dict(self._unread()),
            self._clock.skew_seconds(),
            self._clock.spread_seconds(),
            self._ledger.summary(),
            self._ledger.bytes,
        )

    def collect(self) -> Iterable[GaugeMetricFamily]:
        seen = self._seen
        if seen is None:
            return
        plans = sorted(seen.plans, key=operator.itemgetter(0))
        yield self._pods(plans)
        yield from self._exceptions(plans)
        yield self._namespaces(plans)
        yield self._refused(plans)
        contested = _gauge("hostnetwork_contested_namespaces", "Namespaces where the operator's writes are undone.")
        contested.add_metric([], sum(one.contested is not None for _, one in plans))
        yield contested
        intact = _gauge(
            "hostnetwork_admission_policy_intact",
            "1 if the policy is there as shipped, fails closed and is bound to deny; in an upgrade 0 for a moment.",
            "policy",
        )
        for name, guard in sorted(seen.guards.items()):
            intact.add_metric([name], float(guard.since is not None))
        yield intact
        yield from self._recorded(seen)
        unread = _gauge(
            "hostnetwork_operator_unreadable_objects",
            "Objects of the API that cannot be decoded or understood, and watch lines since the last list of the kind.",
            "kind",
        )
        for kind, count in sorted(seen.unread.items()):
            unread.add_metric([kind], count)
        yield unread
        skew = _gauge(
            "hostnetwork_operator_clock_skew_seconds", "How far the operator's clock is ahead of the API server's."
        )
        skew.add_metric([], seen.skew_seconds)
        yield skew
        spread = _gauge(
            "hostnetwork_operator_clock_spread_seconds",
            "By how much answers of API servers contradict each other about the time.",
        )
        spread.add_metric([], seen.spread_seconds)
        yield spread

    def _recorded(self, seen: _Seen) -> Iterable[GaugeMetricFamily]:
        whole = _gauge(
            "hostnetwork_ledger_intact",
            "1 if the ledger has all that was recorded and can be written, and no grant stays without proof.",
        )
        found = seen.ledger
        whole.add_metric([], float(found.intact))
        records = _gauge(
            "hostnetwork_ledger_records",
            "Records of the ledger: approved exceptions, namespaces, grants that stay without proof, and namespaces"
            " whose level before enforcement is not known.",
            "kind",
        )
        for kind in ("exceptions", "namespaces", "unproven", "levels_unknown"):
            records.add_metric([kind], getattr(found.counts, kind))
        size = _gauge("hostnetwork_ledger_bytes", "What the ledger holds in its ConfigMaps.")
        size.add_metric([], seen.ledger_bytes)
        return whole, records, size

    def _pods(self, plans: list[tuple[str, plan.NamespacePlan]]) -> GaugeMetricFamily:
        made = _gauge("hostnetwork_pods", "Host-namespace pods by verdict.", "namespace", "verdict")
        for name, one in plans:
            for verdict, count in coverage.count(one.verdicts, one.unreadable).items():
                made.add_metric([name, verdict.value], count)
        return made

    def _refused(self, plans: list[tuple[str, plan.NamespacePlan]]) -> GaugeMetricFamily:
        made = _gauge(
            "hostnetwork_refused_workloads",
            "Workloads in an enforced namespace that lack pods, which no exception in force covers.",
            "namespace",
        )
        for name, one in plans:
            count = refusals.count(one.refused)
            if one.enforcement is labels.Enforcement.DENY and count is not None:
                made.add_metric([name], count)
        return made

    def _exceptions(self, plans: list[tuple[str, plan.NamespacePlan]]) -> Iterable[GaugeMetricFamily]:
        ready = _gauge("hostnetwork_exceptions", "Exceptions by the reason of their Ready condition.", "type", "ready")
        ends = _gauge(
            "hostnetwork_exception_expiration_timestamp_seconds",
            "When an exception ends, Unix time; absent for one without expiry.",
            "namespace",
            "name",
        )
        covered = _gauge("hostnetwork_exception_covered_pods", "Pods covered by an exception.", "namespace", "name")
        found = _gauge(
            "hostnetwork_exception_findings",
            "1 for each finding that warns about an exception.",
            "namespace",
            "name",
            "type",
            "finding",
        )
        counts: dict[tuple[str, str], int] = {}
        for name, one in plans:
            led, types = coverage.by_exception(one.verdicts), dict[str, str]()
            for standing in one.standings:
                subject = standing.exception
                key = (subject.spec.type.value, standing.reason.value)
                counts[key] = counts.get(key, 0) + 1
                types[subject.metadata.uid] = key[0]
                if subject.spec.expiry is not None:
                    ends.add_metric([name, subject.metadata.name], subject.spec.expiry.timestamp())
                pods = status.pods_with(labels.Verdict.COVERED, subject, led.get(subject.metadata.uid, ()))
                covered.add_metric([name, subject.metadata.name], len(pods))
            for finding in one.findings:
                if finding.warns:
                    about = finding.subject
                    found.add_metric([name, about.name, types[about.uid], finding.rule.id], 1)
        for key, count in sorted(counts.items()):
            ready.add_metric(list(key), count)
        return ready, ends, covered, found

    def _namespaces(self, plans: list[tuple[str, plan.NamespacePlan]]) -> GaugeMetricFamily:
        made = _gauge(
            "hostnetwork_namespaces",
            "Namespaces by enforcement (none: exempt, or no policy yet) and enforced level (none: not labelled).",
            "enforcement",
            "level",
        )
        counts: dict[tuple[str, str], int] = {}
        for _, one in plans:
            enforced = level.level_of(one.namespace)
            key = (one.enforcement.value if one.enforcement else "none", enforced.value if enforced else "none")
            counts[key] = counts.get(key, 0) + 1
        for key, count in sorted(counts.items()):
            made.add_metric(list(key), count)
        return made


def _gauge(name: str, text: str, *label_names: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=label_names)
