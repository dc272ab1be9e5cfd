"""Carries out a plan's effects and says what came of each.

Whatever rests on a namespace's write waits for it: where that write fails, nothing claims that it was done, and the
namespace is judged again. Flags and deletes do not rest on it.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Final

from hostnetwork_operator.act import events, exceptions, gateway, namespaces, pods, reports
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

    `kept` is given every object as it is after a write of ours, `record` what the ledger is to have. After `deadline`,
    a monotonic moment, the plan is too old for a write of its namespace. `pace` says in how many seconds an effect may
    be carried out; 0: now.

    `events` are Events about effects that are done, to be emitted. `refused_events` were not taken by the API server.
    """

    def __init__(
        self,
        api: gateway.Gateway,
        seen: snapshot.NamespaceSnapshot,
        clock: live.Clock,
        kept: store.Store,
        record: Callable[[effects.RecordException | effects.RecordNamespace], None],
        deadline: float,
        pace: Callable[[effects.Effect], float] = lambda _: 0.0,
    ) -> None:
        self._api = api
        self._seen = seen
        self._clock = clock
        self._kept = kept
        self._record = record
        self._deadline = deadline
        self._pace = pace
        self.namespace_written = True  # as far as the plan asked for it
        self.paced_seconds = 0.0  # until what was left out may be done; 0: nothing was
        self.outcomes: list[Outcome] = []
        self.events: list[effects.EmitEvent] = []

    async def carry_out(self, planned: Iterable[effects.Effect]) -> None:
        """Carry effects out, one after the other."""
        for effect in planned:
            await self._attempt(effect)

    @property
    def emitted(self) -> list[effects.EmitEvent]:
        """The Events that are stored."""
        return [o.effect for o in self.outcomes if isinstance(o.effect, effects.EmitEvent) and o.error is None]

    @property
    def refused_events(self) -> list[effects.EmitEvent]:
        """The Events that are not stored and may be later. An Event that the API server calls invalid never is."""
        failed = ((o.effect, o.error) for o in self.outcomes if o.error is not None)
        return [
            effect
            for effect, error in failed
            if isinstance(effect, effects.EmitEvent)
            and not (isinstance(error, gateway.ApiError) and error.status in _NEVER_STORED)
        ]

    async def _attempt(self, effect: effects.Effect) -> None:
        """One effect. One that fails is an outcome, not an exception."""
        if not self.namespace_written and isinstance(effect, effects.WriteNamespace | effects.WriteExceptionStatus):
            self.outcomes.append(Outcome(effect, "skipped"))
            return
        if seconds := self._pace(effect):
            self.paced_seconds = min(self.paced_seconds or seconds, seconds)
            self.outcomes.append(Outcome(effect, "paced"))
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

    async def _do(self, effect: effects.Effect) -> str:
        match effect:
            case effects.RecordException() | effects.RecordNamespace():
                self._record(effect)
            case effects.WriteNamespace():
                body = await namespaces.write(self._api, effect, self._deadline)
                self.events += effect.told
                self._kept.put(store.Kind.NAMESPACE, body)
            case effects.WriteVerdict():
                pod = await pods.write_verdict(self._api, effect)
                if pod is None:
                    return "gone"
                self._kept.put(store.Kind.POD, pod)
            case effects.WriteExceptionStatus():
                self._kept.put(store.Kind.EXCEPTION, await exceptions.write_status(self._api, effect))
            case effects.EmitEvent():
                return DONE if await events.emit(self._api, effect, self._clock.now()) else "exists"
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
            self.events += (*effect.told, *(effect.told_of_job if made.job else effect.told_of_owner))
        return made.word.value
