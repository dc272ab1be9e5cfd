"""Carries out the effects of a plan, and reports the result of each effect.

If an effect rests on the write of the namespace, it waits for that write. If the write fails, no effect claims that it
was done, and the namespace is evaluated again. Verdict labels and deletes of pods do not rest on the write.
"""

import dataclasses
from collections.abc import Callable, Iterable

from hostnetwork_operator.act import exceptions, gateway, namespaces, outbox, pods, reports
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.decide import effects, snapshot
from hostnetwork_operator.observe import live, store


@dataclasses.dataclass(frozen=True, slots=True)
class EffectResult:
    """The result of one effect: its outcome, and the error if the effect failed."""

    effect: effects.Effect
    outcome: Outcome
    error: Exception | None = None


class Application:
    """One plan while it is carried out.

    `cache` gets every object as it is after the operator has written it. `record` gets what the ledger is to have.
    `box` gets the Events about finished effects, and the Events that the API server refuses. After `deadline`, a
    monotonic moment, the plan is too old for a write of its namespace. `pace` returns the seconds until an effect may
    be carried out, where 0 means now. Once `stopping` returns True, no delete is begun.
    """

    def __init__(
        self,
        api: gateway.Gateway,
        state: snapshot.NamespaceSnapshot,
        clock: live.Clock,
        cache: store.Store,
        record: Callable[[effects.RecordException | effects.RecordNamespace], None],
        box: outbox.Outbox,
        deadline: float,
        pace: Callable[[effects.Effect], float] = lambda _: 0.0,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._state = state
        self._clock = clock
        self._cache = cache
        self._record = record
        self._outbox = box
        self._deadline = deadline
        self._pace = pace
        self._stopping = stopping
        self.namespace_written = True  # False if a write of the namespace that the plan contains has failed
        self.paced_seconds = 0.0  # until the first postponed effect may be carried out; 0 if none was postponed
        self.results: list[EffectResult] = []

    async def carry_out(self, planned: Iterable[effects.Effect]) -> None:
        """Carry out effects, one after the other."""
        for effect in planned:
            await self._attempt(effect)

    @property
    def emitted(self) -> list[effects.EmitEvent]:
        """Return the Events that have been stored."""
        stored = {Outcome.DONE, Outcome.EXISTS}
        return [r.effect for r in self.results if isinstance(r.effect, effects.EmitEvent) and r.outcome in stored]

    async def _attempt(self, effect: effects.Effect) -> None:
        """Carry out one effect. If it fails, the failure is a result, not an exception."""
        if (left_out := self._left_out(effect)) is not None:
            self.results.append(EffectResult(effect, left_out))
            return
        if isinstance(effect, effects.WriteVerdict | effects.WriteExceptionStatus):
            for event in effect.events:
                await self._attempt(event)
        try:
            self.results.append(EffectResult(effect, await self._do(effect)))
        except Exception as error:  # even an unexpected error must not keep another effect from being carried out
            self.namespace_written &= not isinstance(effect, effects.WriteNamespace)
            outcome = error.outcome if isinstance(error, gateway.ApiError) else Outcome.CRASHED
            self.results.append(EffectResult(effect, outcome, error))

    def _left_out(self, effect: effects.Effect) -> Outcome | None:
        """Return the outcome of an effect that is not carried out now, None if the effect is carried out."""
        if not self.namespace_written and isinstance(effect, effects.WriteNamespace | effects.WriteExceptionStatus):
            return Outcome.SKIPPED
        if isinstance(effect, effects.DeletePod) and self._stopping():
            return Outcome.SKIPPED  # the next process deletes the pod, and has the time to report that
        if isinstance(effect, effects.EmitEvent) and not self._outbox.is_open(self._clock.monotonic()):
            self._outbox.add([effect])
            return Outcome.POSTPONED
        if seconds := self._pace(effect):
            self.paced_seconds = min(self.paced_seconds or seconds, seconds)
            return Outcome.PACED
        return None

    async def _do(self, effect: effects.Effect) -> Outcome:
        match effect:
            case effects.RecordException() | effects.RecordNamespace():
                self._record(effect)
            case effects.WriteNamespace():
                body = await namespaces.write(self._api, effect, self._deadline)
                self._outbox.add(effect.events)
                self._cache.put(store.Kind.NAMESPACE, body)
            case effects.WriteVerdict():
                pod = await pods.write_verdict(self._api, effect)
                if pod is None:
                    return Outcome.GONE
                self._cache.put(store.Kind.POD, pod)
            case effects.WriteExceptionStatus():
                self._cache.put(store.Kind.EXCEPTION, await exceptions.write_status(self._api, effect))
            case effects.EmitEvent():
                return Outcome.DONE if await self._outbox.emit(self._api, effect, self._clock) else Outcome.EXISTS
            case effects.DeletePod():
                return await self._delete(effect)
            case effects.WriteReport():
                return await reports.write(self._api, effect, self._cache)
            case effects.DeleteReport():
                return await reports.delete(self._api, effect, self._cache)
        return Outcome.DONE

    async def _delete(self, effect: effects.DeletePod) -> Outcome:
        deleted = await pods.delete(self._api, effect, self._state, self._clock)
        if deleted.outcome is Outcome.DELETED:
            self._outbox.add((*effect.events, *(effect.job_events if deleted.job else effect.owner_events)))
        return deleted.outcome
