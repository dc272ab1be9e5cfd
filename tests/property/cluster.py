"""A simulated namespace: applies a plan's effects to a snapshot, as the API server and the store would.

The simulation is pure and small: no clock, no I/O. It creates no pods, and a deleted pod disappears immediately.
"""

import dataclasses
import datetime
from collections.abc import Mapping

from hostnetwork_operator.api import report
from hostnetwork_operator.decide import effects, gate, needs, plan, snapshot
from tests.unit import builders


def carry_out(state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan) -> snapshot.NamespaceSnapshot:
    """Return the snapshot after all effects of the plan."""
    if not state.ledger.trouble:
        state = builders.stored(state, namespace_plan)
    for effect in namespace_plan.effects:
        match effect:
            case effects.WriteNamespace():
                state = dataclasses.replace(state, namespace=_with_write(state.namespace, effect))
            case effects.WriteVerdict():
                label = effect.verdict.value if effect.verdict else None
                pods = snapshot.PodSet.of(
                    dataclasses.replace(pod, verdict_label=label, resource_version=_next(pod.resource_version))
                    if pod.uid == effect.pod.uid
                    else pod
                    for pod in state.pods
                )
                state = dataclasses.replace(state, pods=pods)
            case effects.WriteExceptionStatus():
                state = _with_status(state, effect)
            case effects.DeletePod():
                state = dataclasses.replace(
                    state, pods=snapshot.PodSet.of(pod for pod in state.pods if pod.uid != effect.pod.uid)
                )
            case effects.WriteReport():
                body = effect.report.body(effect.kind)
                stored_report = snapshot.StoredReport(
                    effect.kind, effect.report.name, effect.uid or "made", effect.report.owner.kind, report.digest(body)
                )
                others = [
                    other
                    for other in state.reports
                    if (other.kind, other.name) != (stored_report.kind, stored_report.name)
                ]
                state = dataclasses.replace(state, reports=(*others, stored_report))
            case effects.DeleteReport():
                remaining = [
                    other for other in state.reports if (other.kind, other.name) != (effect.kind, effect.subject.name)
                ]
                state = dataclasses.replace(state, reports=tuple(remaining))
            case effects.EmitEvent() | effects.RecordException() | effects.RecordNamespace():
                pass
    return state


def answered(
    state: snapshot.NamespaceSnapshot, now: datetime.datetime, holders: tuple[str, ...]
) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    """Return the snapshot and the plan once the ledger has the records, and the gate and the accounts, if asked,
    have answered.

    `holders` is the gate's answer. Every service account that the plan asks for exists.
    """
    state, namespace_plan = _with_records(state, now)
    if (level := builders.gate_level(namespace_plan)) is not None:
        excepted = gate.names(gate.excepted(state, now))
        state = dataclasses.replace(state, gate=snapshot.GateAnswer(level, now, holders, excepted=excepted))
        state, namespace_plan = _with_records(state, now)
    if asked := namespace_plan.asks(needs.FindAccount):
        found = {need.name: snapshot.Account(now, exists=True) for need in asked}
        state = dataclasses.replace(state, accounts={**state.accounts, **found})
        state, namespace_plan = _with_records(state, now)
    return state, namespace_plan


def settled(
    state: snapshot.NamespaceSnapshot, now: datetime.datetime, holders: tuple[str, ...], rounds: int
) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    """Carry out at most `rounds` plans in turn, and return the resulting snapshot and the next plan."""
    state, namespace_plan = answered(state, now, holders)
    for _ in range(rounds):
        if not doing(namespace_plan):
            break
        state, namespace_plan = answered(carry_out(state, namespace_plan), now, holders)
    return state, namespace_plan


def doing(namespace_plan: plan.NamespacePlan) -> list[effects.Effect]:
    """Return the effects without the records, which a plan repeats as long as the ledger cannot be written."""
    record_effects = builders.records(namespace_plan)
    return [effect for effect in namespace_plan.effects if effect not in record_effects]


def _with_records(
    state: snapshot.NamespaceSnapshot, now: datetime.datetime
) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    namespace_plan = plan.plan_namespace(state, now)
    while builders.records(namespace_plan) and not state.ledger.trouble:
        state = builders.stored(state, namespace_plan)
        namespace_plan = plan.plan_namespace(state, now)
    return state, namespace_plan


def _with_write(namespace: snapshot.Namespace, write: effects.WriteNamespace) -> snapshot.Namespace:
    namespace_labels = _merged(namespace.labels, write.labels)
    return dataclasses.replace(
        namespace,
        labels=namespace_labels,
        annotations=_merged(namespace.annotations, write.annotations),
        resource_version=_next(namespace.resource_version),
    )


def _with_status(state: snapshot.NamespaceSnapshot, effect: effects.WriteExceptionStatus) -> snapshot.NamespaceSnapshot:
    subjects = []
    for subject in state.exceptions:
        if subject.metadata.uid == effect.subject.uid:
            metadata = subject.metadata.model_copy(
                update={"resource_version": _next(subject.metadata.resource_version)}
            )
            subject = subject.model_copy(update={"status": effect.status, "metadata": metadata})
        subjects.append(subject)
    return dataclasses.replace(state, exceptions=tuple(subjects))


def _merged(present: Mapping[str, str], patch: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**present, **patch}
    return {key: value for key, value in merged.items() if value is not None}


def _next(version: str) -> str:
    return str(int(version) + 1)
