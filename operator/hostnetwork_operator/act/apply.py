"""Carries out a plan's effects and says what came of each.

Whatever rests on a namespace's write waits for it: where that write fails, nothing claims that it was done, and the
namespace is judged again. Flags and deletes do not rest on it.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Final

from hostnetwork_operator.act import events, exceptions, gateway, namespaces, outbox, pods, reports
from hostnetwork_operator.decide import effects, snapshot
from hostnetwork_operator.observe import live, store

DONE: Final = "done"
_NEVER_STORED: Final = frozenset({400, 404, 422})  # an Event that is malformed, or whose namespace is gone


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one effect: a bounded word, and the error where it failed."""

    effect: effects.Effect
    word: str
    error: Exception | None = None


class Application:
    """One plan being carried out.

    `kept` is given every object as it is after a write of ours, `record` what the ledger is to have, and `box` the
    Events about effects that are done, and those that the API server refuses. After `deadline`, a monotonic moment, the
    plan is too old for a write of its namespace. `pace` says in how many seconds an effect may be carried out; 0: now.
    No delete is begun once `stopping`.
    """

    def __init__(
        self,
        api: gateway.Gateway,
        seen: snapshot.NamespaceSnapshot,
        clock: live.Clock,
        kept: store.Store,
        record: Callable[[effects.RecordException | effects.RecordNamespace], None],
        box: outbox.Outbox,
        deadline: float,
        pace: Callable[[effects.Effect], float] = lambda _: 0.0,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._seen = seen
        self._clock = clock
        self._kept = kept
        self._record = record
        self._outbox = box
        self._deadline = deadline
        self._pace = pace
        self._stopping = stopping
        self.namespace_written = True  # as far as the plan asked for it
        self.paced_seconds = 0.0  # until what was left out may be done; 0: nothing was
        self.outcomes: list[Outcome] = []

    async def carry_out(self, planned: Iterable[effects.Effect]) -> None:
        """Carry effects out, one after the other."""
        for effect in planned:
            await self._attempt(effect)

    @property
    def emitted(self) -> list[effects.EmitEvent]:
        """The Events that are stored."""
        stored = {DONE, "exists"}
        return [o.effect for o in self.outcomes if isinstance(o.effect, effects.EmitEvent) and o.word in stored]

    async def _attempt(self, effect: effects.Effect) -> None:
        """One effect. One that fails is an outcome, not an exception."""
        if (left_out := self._left_out(effect)) is not None:
            self.outcomes.append(Outcome(effect, left_out))
            return
        if isinstance(effect, effects.WriteVerdict | effects.WriteExceptionStatus):
            for event in effect.told:
                await self._attempt(event)
        try:
            self.outcomes.append(Outcome(effect, await self._do(effect)))
        except Exception as error:  # also one that nobody foresaw: no other effect waits for it
            self.namespace_written &= not isinstance(effect, effects.WriteNamespace)
            word = error.outcome if isinstance(error, gateway.ApiError) else "crashed"
            self.outcomes.append(Outcome(effect, word, error))

    def _left_out(self, effect: effects.Effect) -> str | None:
        """Why an effect is not carried out now, in a word; None if it is."""
        if not self.namespace_written and isinstance(effect, effects.WriteNamespace | effects.WriteExceptionStatus):
            return "skipped"
        if isinstance(effect, effects.DeletePod) and self._stopping():
            return "skipped"  # the next process does it, and has the time to say so
        if isinstance(effect, effects.EmitEvent) and not self._outbox.is_open(self._clock.monotonic()):
            self._outbox.add([effect])
            return "postponed"
        if seconds := self._pace(effect):
            self.paced_seconds = min(self.paced_seconds or seconds, seconds)
            return "paced"
        return None

    async def _emit(self, event: effects.EmitEvent) -> str:
        try:
            stored = await events.emit(self._api, event, self._clock.now())
        except gateway.ApiError as error:
            if error.status in _NEVER_STORED:
                self._outbox.rejected(event)
            else:
                self._outbox.refused(event, self._clock.monotonic())
            raise
        except Exception:
            self._outbox.rejected(event)
            raise
        self._outbox.stored(event)
        return DONE if stored else "exists"

    async def _do(self, effect: effects.Effect) -> str:
        match effect:
            case effects.RecordException() | effects.RecordNamespace():
                self._record(effect)
            case effects.WriteNamespace():
                body = await namespaces.write(self._api, effect, self._deadline)
                self._outbox.add(effect.told)
                self._kept.put(store.Kind.NAMESPACE, body)
            case effects.WriteVerdict():
                pod = await pods.write_verdict(self._api, effect)
                if pod is None:
                    return "gone"
                self._kept.put(store.Kind.POD, pod)
            case effects.WriteExceptionStatus():
                self._kept.put(store.Kind.EXCEPTION, await exceptions.write_status(self._api, effect))
            case effects.EmitEvent():
                return await self._emit(effect)
            case effects.DeletePod():
                return await self._delete(effect)
            case effects.WriteReport():
                return (await reports.write(self._api, effect, self._kept)).value
            case effects.DeleteReport():
                return (await reports.delete(self._api, effect, self._kept)).value
        return DONE

    async def _delete(self, effect: effects.DeletePod) -> str:
        made = await pods.delete(self._api, effect, self._seen, self._clock)
        if made.word is pods.Deletion.DELETED:
            self._outbox.add((*effect.told, *(effect.told_of_job if made.job else effect.told_of_owner)))
        return made.word.value
