"""A namespace that does what a plan says: a plan's effects on a snapshot, as the API server and the store make them.

Pure and small: no clock, no I/O. Pods do not come by themselves, and a deleted pod is gone at once.
"""

import dataclasses
import datetime
from collections.abc import Mapping

from hostnetwork_operator.api import report
from hostnetwork_operator.decide import effects, gate, plan, snapshot


def carry_out(seen: snapshot.NamespaceSnapshot, made: plan.NamespacePlan) -> snapshot.NamespaceSnapshot:
    """The snapshot once every effect of the plan is done."""
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
                stands = snapshot.Report(
                    effect.kind, effect.report.name, effect.uid or "made", effect.report.owner.kind, report.digest(body)
                )
                others = [one for one in seen.reports if (one.kind, one.name) != (stands.kind, stands.name)]
                seen = dataclasses.replace(seen, reports=(*others, stands))
            case effects.DeleteReport():
                left = [one for one in seen.reports if (one.kind, one.name) != (effect.kind, effect.subject.name)]
                seen = dataclasses.replace(seen, reports=tuple(left))
            case effects.EmitEvent():
                pass
    return seen


def answered(
    seen: snapshot.NamespaceSnapshot, now: datetime.datetime, holders: tuple[str, ...]
) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    """The plan, with the gate asked where it wants to be; `holders` are those that the gate finds."""
    made = plan.plan_namespace(seen, now)
    if made.ask is not None:
        excepted = gate.names(gate.excepted(seen, now))
        seen = dataclasses.replace(seen, gate=snapshot.GateAnswer(made.ask, now, holders, excepted=excepted))
        made = plan.plan_namespace(seen, now)
    return seen, made


def _written(namespace: snapshot.Namespace, write: effects.WriteNamespace) -> snapshot.Namespace:
    present = _merged(namespace.labels, write.labels)
    return dataclasses.replace(
        namespace,
        labels=present,
        annotations=_merged(namespace.annotations, write.annotations),
        # Whoever changes the value of a field takes it from everybody else (server-side apply's rule for updates).
        others={label: who for label, who in namespace.others.items() if label not in write.labels},
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
