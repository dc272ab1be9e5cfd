"""Valid inputs for decisions: pods, exceptions, namespaces, policies, guards and snapshots.

A test changes one thing in an input. All objects exist in namespace payments at NOW, one hour after their creation and
one day after the creation of the guards. Without arguments a builder returns a valid object that fits the others:
`hne()` is approved and covers `pod()`.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hostnetwork_operator.api import exception, grant, labels, ledger, policy
from hostnetwork_operator.decide import coverage, effects, needs, plan, selection, snapshot, terms

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)
NAMESPACE = "payments"
UID = "5f0c8f1e-0000-4000-8000-000000000001"
IMAGE = "registry.example.com/netshoot:1"
PINNED = "registry.example.com/netshoot@sha256:" + "0" * 64
NETWORK, PID, IPC = labels.HostNamespace
LEVEL_VERSIONS = dict.fromkeys(labels.PSA_VERSIONS, "latest")
AUDIT_AND_WARN = {labels.PSA_AUDIT: "restricted", labels.PSA_WARN: "restricted", **LEVEL_VERSIONS}
# Labels and annotations of an enforced and of a relaxed namespace, as the operator writes them.
DENIED = {labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "baseline", **AUDIT_AND_WARN}
RELAXED = {**DENIED, labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline", labels.PSA_WARN: "baseline"}
ADOPTED = {labels.LEVEL_BEFORE: ""}
IDENTITY = "policy-and-binding-1"  # of every guard


def at(**delta: float) -> datetime.datetime:
    """Return the moment this much after NOW; `at(hours=-1)` is one hour before NOW."""
    return NOW + datetime.timedelta(**delta)


def pod(name: str = "capture", **fields: Any) -> snapshot.Pod:
    """Return a hostNetwork pod, 59 minutes old, that `hne()` covers."""
    defaults: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": name,
        "uid": f"uid-of-{name}",
        "resource_version": "7",
        "created": at(minutes=-59),
        "service_account": "netdebug",
        "host_namespaces": frozenset({NETWORK}),
        "images": frozenset({IMAGE}),
        "node": "node-1",
    }
    return snapshot.Pod(**{**defaults, **fields})


def meta(name: str, **fields: Any) -> dict[str, Any]:
    defaults = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": f"uid-of-{name}",
        "generation": 1,
        "resource_version": "3",
        "creation_timestamp": at(hours=-1),
    }
    return {**defaults, **fields}


def hne(
    name: str = "net",
    *,
    metadata: Mapping[str, Any] | None = None,
    status: exception.ExceptionStatus | None = None,
    **spec: Any,
) -> exception.HostNetworkException:
    """Return a Diagnostic exception that was created an hour ago and expires in an hour.

    The names in `spec` and `metadata` are those of the models' fields.
    """
    defaults: dict[str, Any] = {
        "type": "Diagnostic",
        "owner": "team-sre-network",
        "reason": "Capture SYN retries on node-7",
        "service_account_name": "netdebug",
    }
    if spec.get("type") != "Infrastructure":
        defaults |= {"ticket": "INC-4711", "expiry": at(hours=1), "images": (IMAGE,)}
    return exception.HostNetworkException.model_validate(
        {
            "metadata": meta(name, **(metadata or {})),
            "spec": {**defaults, **spec},
            "status": status or exception.ExceptionStatus(),
        }
    )


def namespace(**fields: Any) -> snapshot.Namespace:
    """Return a namespace without labels and annotations."""
    defaults: dict[str, Any] = {"name": NAMESPACE, "uid": UID, "created": at(hours=-1), "resource_version": "11"}
    return snapshot.Namespace(**{**defaults, **fields})


def denied(*subjects: exception.HostNetworkException, **fields: Any) -> snapshot.Namespace:
    """Return a namespace as the operator leaves it: enforced, and relaxed if an exception is granted."""
    lines = {labels.GRANT_PREFIX + subject.metadata.name: terms.line_of(subject, namespace()) for subject in subjects}
    namespace_labels = dict(RELAXED if subjects else DENIED) | dict(fields.pop("labels", {}))
    annotations = {**ADOPTED, **lines, **fields.pop("annotations", {})}
    return namespace(labels=namespace_labels, annotations=annotations, **fields)


def governed(**spec: Any) -> snapshot.PolicyState:
    """Return a policy with mode Enforce, rollout Immediate and kube-system exempt, unless `spec` changes that."""
    defaults = {"mode": "Enforce", "rollout": "Immediate", "exempt_namespaces": ("kube-system",)}
    return snapshot.PolicyState(snapshot.Existence.PRESENT, policy.PolicySpec.model_validate({**defaults, **spec}))


def shortage(name: str = "agent", kind: str = "DaemonSet", **fields: Any) -> snapshot.Shortage:
    """Return a workload that has none of its two wanted pods, which are like `pod()`, and that was read at NOW."""
    version = {"Job": "batch/v1", "ReplicationController": "v1"}.get(kind, "apps/v1")
    workload = snapshot.Reference(kind, NAMESPACE, name, f"uid-of-{name}", version)
    defaults: dict[str, Any] = {
        "workload": workload,
        "top": workload,
        "pod": pod(),
        "present": 0,
        "wanted": 2,
        "read": NOW,
    }
    return snapshot.Shortage(**{**defaults, **fields})


ABSENT = snapshot.PolicyState(snapshot.Existence.ABSENT)
UNKNOWN = snapshot.PolicyState(snapshot.Existence.UNKNOWN)


def guards(
    missing: Iterable[str] = (),
    since: datetime.datetime = NOW - datetime.timedelta(days=1),
    excused: datetime.datetime | None = None,
) -> dict[str, snapshot.Guard]:
    """Return all admission policies, in place from `since` on. Missing policies may be excused until `excused`."""
    missing_names = set(missing)
    return {
        name: snapshot.Guard(name, None, f"ValidatingAdmissionPolicy {name!r} is missing", excused)
        if name in missing_names
        else snapshot.Guard(name, since, identity=IDENTITY)
        for name in labels.POLICIES
    }


def seen(
    *objects: snapshot.Pod | exception.HostNetworkException | snapshot.UnreadablePod, **fields: Any
) -> snapshot.NamespaceSnapshot:
    """Return a snapshot of these pods and exceptions, in an enforced namespace, under `governed()`.

    The ledger has records of everything: the exceptions as approved, and the labels of the namespace as written by the
    operator.
    """
    defaults: dict[str, Any] = {
        "namespace": denied(),
        "pods": [t for t in objects if isinstance(t, snapshot.Pod)],
        "unreadable_pods": tuple(t for t in objects if isinstance(t, snapshot.UnreadablePod)),
        "exceptions": tuple(t for t in objects if isinstance(t, exception.HostNetworkException)),
        "policy": governed(),
        "guards": guards(),
        "ordinary_pods": False,
        "accounts": {"netdebug": snapshot.Account(NOW, exists=True)},
    }
    snapshot_fields = {**defaults, **fields}
    for name in ("pods", "plain_pods"):
        snapshot_fields[name] = snapshot.PodSet.of(snapshot_fields.get(name, ()))
    snapshot_fields.setdefault("ledger", recorded(snapshot_fields["namespace"], *snapshot_fields["exceptions"]))
    return snapshot.NamespaceSnapshot(**snapshot_fields)


def approved(subject: exception.HostNetworkException, **fields: Any) -> ledger.ExceptionRecord:
    """Return the record of an approved exception."""
    record = terms.record_of(subject, namespace(), approved=True, under=IDENTITY)
    return record.model_copy(update=fields)


def written(namespace: snapshot.Namespace, *theirs: str, **fields: Any) -> ledger.NamespaceRecord | None:
    """Return the record of a governed namespace whose Pod Security labels the operator wrote, all except `theirs`."""
    enforced = namespace.enforcement is labels.Enforcement.DENY or labels.LEVEL_BEFORE in namespace.annotations
    if not (enforced or namespace.enforcement or fields):
        return None
    psa = {
        key: text for key, text in namespace.labels.items() if key.startswith(labels.PSA_PREFIX) and key not in theirs
    }
    if psa.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED:
        # The ledger has the level that the operator will restore.
        psa[labels.PSA_ENFORCE] = namespace.labels.get(labels.GUARD, "baseline")
    ours = {key: (text,) for key, text in psa.items()}
    if enforced and labels.PSA_WARN in ours:
        # The values for the guard and for the policy.
        ours[labels.PSA_WARN] = tuple(sorted({*ours[labels.PSA_WARN], "baseline", "restricted"}))
    defaults: dict[str, Any] = {
        "enforced": enforced,
        "before": namespace.annotations.get(labels.LEVEL_BEFORE, "") if enforced else None,
        "ours": ours,
        "chosen": selection.present(namespace),
        "under": IDENTITY,
    }
    return ledger.NamespaceRecord(**{**defaults, **fields})


def recorded(
    present_namespace: snapshot.Namespace,
    *subjects: exception.HostNetworkException,
    theirs: Iterable[str] = (),
    **fields: Any,
) -> snapshot.LedgerView:
    """Return a ledger with records of this namespace and of these exceptions, as approved.

    The labels `theirs` are not recorded as labels that the operator wrote.
    """
    defaults: dict[str, Any] = {
        "namespace": written(present_namespace, *theirs),
        "exceptions": {subject.metadata.uid: approved(subject) for subject in subjects},
    }
    return snapshot.LedgerView(**{**defaults, **fields})


# -- what a plan does -----------------------------------------------------------------------------------------------


def planned(state: snapshot.NamespaceSnapshot, now: datetime.datetime = NOW) -> plan.NamespacePlan:
    """Return the plan once the ledger has stored every record that the plans asked for."""
    namespace_plan = plan.plan_namespace(state, now)
    while records(namespace_plan) and not state.ledger.trouble:
        state = stored(state, namespace_plan)
        namespace_plan = plan.plan_namespace(state, now)
    return namespace_plan


def bare(namespace_plan: plan.NamespacePlan) -> plan.NamespacePlan:
    """Return the plan with a verdict for each pod, and without what it keeps for the next plan."""
    return replace(namespace_plan, judged=namespace_plan.verdicts, plain=coverage.each(namespace_plan.plain), kept=None)


def stored(state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan) -> snapshot.NamespaceSnapshot:
    """Return the snapshot once the ledger has stored the records of the plan."""
    ledger_view = state.ledger
    for effect in records(namespace_plan):
        match effect:
            case effects.RecordNamespace():
                ledger_view = replace(ledger_view, namespace=effect.record)
            case effects.RecordException():
                ledger_view = replace(
                    ledger_view, exceptions={**ledger_view.exceptions, effect.subject.uid: effect.record}
                )
    return replace(state, ledger=ledger_view)


def gate_level(namespace_plan: plan.NamespacePlan) -> labels.Level | None:
    """Return the level about which the plan asks the gate."""
    return next((need.level for need in namespace_plan.asks(needs.AskGate)), None)


def list_at(namespace_plan: plan.NamespacePlan) -> datetime.datetime | None:
    """Return the moment from which the plan's deferrable effects wait for a list of pods."""
    return next((need.at for need in namespace_plan.asks(needs.ListPods)), None)


def count_at(namespace_plan: plan.NamespacePlan) -> datetime.datetime | None:
    """Return when the pods are to be counted."""
    return next((need.at for need in namespace_plan.asks(needs.CountPods)), None)


def owners(namespace_plan: plan.NamespacePlan) -> tuple[snapshot.Reference, ...]:
    """Return the owners that the plan asks for."""
    return tuple(need.owner for need in namespace_plan.asks(needs.FindOwner))


def accounts(namespace_plan: plan.NamespacePlan) -> tuple[str, ...]:
    """Return the service accounts that the plan asks for."""
    return tuple(need.name for need in namespace_plan.asks(needs.FindAccount))


def exceptions(namespace_plan: plan.NamespacePlan) -> tuple[str, ...]:
    """Return the exceptions that the plan wants to read again."""
    return tuple(need.name for need in namespace_plan.asks(needs.ReadException))


def records(namespace_plan: plan.NamespacePlan) -> list[effects.RecordException | effects.RecordNamespace]:
    return [e for e in namespace_plan.effects if isinstance(e, effects.RecordException | effects.RecordNamespace)]


def writes(namespace_plan: plan.NamespacePlan) -> list[effects.WriteNamespace]:
    return [e for e in namespace_plan.effects if isinstance(e, effects.WriteNamespace)]


def deletes(namespace_plan: plan.NamespacePlan) -> list[effects.DeletePod]:
    return [e for e in namespace_plan.effects if isinstance(e, effects.DeletePod)]


def statuses(namespace_plan: plan.NamespacePlan) -> dict[str, exception.ExceptionStatus]:
    return {e.subject.name: e.status for e in namespace_plan.effects if isinstance(e, effects.WriteExceptionStatus)}


def flags(namespace_plan: plan.NamespacePlan) -> dict[str, str | None]:
    """Return the verdict label that the plan writes, by pod name."""
    return {
        e.pod.name: e.verdict.value if e.verdict else None
        for e in namespace_plan.effects
        if isinstance(e, effects.WriteVerdict)
    }


def verdicts(namespace_plan: plan.NamespacePlan) -> dict[str, str]:
    return {v.pod.name: v.verdict.value for v in namespace_plan.verdicts}


def reasons(namespace_plan: plan.NamespacePlan) -> dict[str, str]:
    """Return the reason of the Ready condition, by exception name."""
    return {s.exception.metadata.name: s.reason.value for s in namespace_plan.standings}


def granted(namespace_plan: plan.NamespacePlan) -> set[str]:
    """Return the names of the exceptions that have a grant once the plan is carried out."""
    lines = dict.fromkeys(namespace_plan.namespace.grants, "")
    for write in writes(namespace_plan):
        for key, line in write.annotations.items():
            if key.startswith(labels.GRANT_PREFIX):
                name = key.removeprefix(labels.GRANT_PREFIX)
                lines.pop(name, None)
                if line is not None:
                    lines[name] = line
    return set(lines)


def host_path(path: str, *, write: bool = False) -> grant.HostPathAccess:
    return grant.HostPathAccess(path, read_only=not write)
