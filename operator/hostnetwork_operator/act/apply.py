"""Carries out a plan's effects in their order, and says what came of each.

What tells about a namespace's write waits for it: where that write fails, nothing claims that it was done, and the
namespace is judged again. Flags and deletes do not hang on it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hostnetwork_operator.act import events, exceptions, gateway, namespaces, pods
from hostnetwork_operator.decide import effects, plan, snapshot
from hostnetwork_operator.observe import live, store

Note = Callable[[store.Kind, Mapping[str, Any]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one effect: a bounded word, and the error where it failed."""

    effect: effects.Effect
    word: str
    error: gateway.ApiError | None = None


async def apply(
    api: gateway.Gateway, made: plan.NamespacePlan, seen: snapshot.NamespaceSnapshot, clock: live.Clock, note: Note
) -> tuple[Outcome, ...]:
    """Outcomes in the order of the effects. `note` is given every object as it is after a write of ours."""
    outcomes: list[Outcome] = []
    version = seen.namespace.resource_version
    namespace_failed = False
    for effect in made.effects:
        if namespace_failed and _hangs_on_namespace(effect):
            outcomes.append(Outcome(effect, "skipped"))
            continue
        try:
            if isinstance(effect, effects.WriteNamespace):
                body = await namespaces.write(api, effect, version)
                version = body["metadata"]["resourceVersion"]
                note(store.Kind.NAMESPACE, body)
                outcomes.append(Outcome(effect, "done"))
            else:
                outcomes.append(Outcome(effect, await _one(api, effect, seen, clock, note)))
        except gateway.ApiError as error:
            namespace_failed = namespace_failed or isinstance(effect, effects.WriteNamespace)
            outcomes.append(Outcome(effect, error.outcome, error))
    return tuple(outcomes)


def _hangs_on_namespace(effect: effects.Effect) -> bool:
    if isinstance(effect, effects.EmitEvent):
        return effect.regarding.kind in {"Namespace", "HostNetworkException"}
    return isinstance(effect, effects.WriteNamespace | effects.WriteExceptionStatus)


async def _one(
    api: gateway.Gateway, effect: effects.Effect, seen: snapshot.NamespaceSnapshot, clock: live.Clock, note: Note
) -> str:
    match effect:
        case effects.WriteVerdict():
            pod = await pods.write_verdict(api, effect)
            if pod is None:
                return "gone"
            note(store.Kind.POD, pod)
        case effects.WriteExceptionStatus():
            note(store.Kind.EXCEPTION, await exceptions.write_status(api, effect))
        case effects.EmitEvent():
            return "done" if await events.emit(api, effect, clock.now()) else "exists"
        case effects.DeletePod():
            return (await pods.delete(api, effect, seen, clock)).value
    return "done"
