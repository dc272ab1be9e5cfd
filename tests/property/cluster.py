"""A simulated namespace: applies a plan's effects to a snapshot, as the API server and the store would.

The simulation is pure and small: no clock, no I/O. It creates no pods, and a deleted pod disappears immediately.
"""

import dataclasses
import datetime
from collections.abc import Mapping

from hostnetwork_operator.api import report
from hostnetwork_operator.decide import effects, gate, plan, snapshot
from tests.unit import builders


def carry_out(seen: snapshot.NamespaceSnapshot, made: plan.NamespacePlan) -> snapshot.NamespaceSnapshot:
    """Return the snapshot after all effects of the plan."""
    if not seen.ledger.trouble:
        seen = builders.stored(seen, made)
    for effect in made.effects:
        match effect:
            case effects.WriteNamespace():
                seen = dataclasses.replace(seen, namespace=_written(seen.namespace, effect))
            case effects.WriteVerdict():
                label = effect.verdict.value if effect.verdict else None
                pods = tuple(
                    dataclasses.replace(pod, verdict_label=label, resource_version=_next(pod.resource_version))
                    if pod.uid == effect.pod.uid
                    else pod
                    for pod in seen.pods
                )
                seen = dataclasses.replace(seen, pods=pods)
            case effects.WriteExceptionStatus():
                seen = _with_status(seen, effect)
            case effects.DeletePod():
                seen = dataclasses.replace(seen, pods=tuple(pod for pod in seen.pods if pod.uid != effect.pod.uid))
            case effects.WriteReport():
                body = effect.report.body(effect.kind)
                stands = snapshot.StoredReport(
                    effect.kind, effect.report.name, effect.uid or "made", effect.report.owner.kind, report.digest(body)
                )
                others = [one for one in seen.reports if (one.kind, one.name) != (stands.kind, stands.name)]
                seen = dataclasses.replace(seen, reports=(*others, stands))
            case effects.DeleteReport():
                left = [one for one in seen.reports if (one.kind, one.name) != (effect.kind, effect.subject.name)]
                seen = dataclasses.replace(seen, reports=tuple(left))
            case effects.EmitEvent() | effects.RecordException() | effects.RecordNamespace():
                pass
    return seen


def answered(
    seen: snapshot.NamespaceSnapshot, now: datetime.datetime, holders: tuple[str, ...]
) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    """Return the snapshot and the plan after the ledger has its records and the gate has answered, if the plan asks it.

    `holders` is the gate's answer.
    """
    seen, made = _recorded(seen, now)
    if (level := builders.gate_level(made)) is not None:
        excepted = gate.names(gate.excepted(seen, now))
        seen = dataclasses.replace(seen, gate=snapshot.GateAnswer(level, now, holders, excepted=excepted))
        seen, made = _recorded(seen, now)
    return seen, made


def settled(
    seen: snapshot.NamespaceSnapshot, now: datetime.datetime, holders: tuple[str, ...], rounds: int
) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    """Carry out at most `rounds` plans in turn, and return the resulting snapshot and the next plan."""
    seen, made = answered(seen, now, holders)
    for _ in range(rounds):
        if not doing(made):
            break
        seen, made = answered(carry_out(seen, made), now, holders)
    return seen, made


def doing(made: plan.NamespacePlan) -> list[effects.Effect]:
    """Return the effects without the records, which a plan repeats as long as the ledger cannot be written."""
    asked = builders.records(made)
    return [effect for effect in made.effects if effect not in asked]


def _recorded(
    seen: snapshot.NamespaceSnapshot, now: datetime.datetime
) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    made = plan.plan_namespace(seen, now)
    while builders.records(made) and not seen.ledger.trouble:
        seen = builders.stored(seen, made)
        made = plan.plan_namespace(seen, now)
    return seen, made


def _written(namespace: snapshot.Namespace, write: effects.WriteNamespace) -> snapshot.Namespace:
    present = _merged(namespace.labels, write.labels)
    return dataclasses.replace(
        namespace,
        labels=present,
        annotations=_merged(namespace.annotations, write.annotations),
        resource_version=_next(namespace.resource_version),
    )


def _with_status(seen: snapshot.NamespaceSnapshot, effect: effects.WriteExceptionStatus) -> snapshot.NamespaceSnapshot:
    made = []
    for subject in seen.exceptions:
        if subject.metadata.uid == effect.subject.uid:
            metadata = subject.metadata.model_copy(
                update={"resource_version": _next(subject.metadata.resource_version)}
            )
            subject = subject.model_copy(update={"status": effect.status, "metadata": metadata})
        made.append(subject)
    return dataclasses.replace(seen, exceptions=tuple(made))


def _merged(present: Mapping[str, str], patch: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**present, **patch}
    return {key: value for key, value in merged.items() if value is not None}


def _next(version: str) -> str:
    return str(int(version) + 1)
