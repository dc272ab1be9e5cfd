"""The running operator: the store, the queue, and the one path from a change to its effects."""

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import functools
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hostnetwork_operator import clock, logs, metrics
from hostnetwork_operator.act import apply, gateway, policies, reports
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import accounts, bookkeeping, memory, pace, reread, shortages, workqueue
from hostnetwork_operator.decide import contest, effects, isolate, messages, plan, refusals, snapshot
from hostnetwork_operator.observe import live, refused, store

_log = logging.getLogger(__name__)
# Kinds that say something about every namespace.
_GLOBAL: Final = frozenset({store.Kind.POLICY, store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING})
_POLICY_STATUS_SECONDS: Final = 2.0  # how long changes are gathered before the policy's counts are written
# After a moment that was waited for: the clock is a lower bound, so it may not have come quite yet.
_EARLY_SECONDS: Final = 0.01
_CLOCK_SECONDS: Final = 2.0  # how often it is looked at whether clocks agree
_ASK_AGAIN_SECONDS: Final = 0.1
# A plan holds up everything else. The tenant of a crowded namespace asks for one as often as he likes, so a namespace
# whose plan takes this long rests after it, for three times as long: its plans have no more than a quarter of the time.
_LONG_PLAN_SECONDS: Final = 0.05
_REST: Final = 3.0
_LONGEST_REST_SECONDS: Final = 5.0
_PATIENCE: Final = datetime.timedelta(seconds=60)  # with a controller that may create its pods now


class Operator:
    """One cluster, one gateway. `start` workers, feed `changed`."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        measures: metrics.Metrics,
        patience: datetime.timedelta = _PATIENCE,
    ) -> None:
        self.api = api
        self.clock = server_clock
        self.metrics = measures
        self.store = store.Store(server_clock.now)
        self.queue = workqueue.WorkQueue()
        self._pace = pace.Pace(server_clock.monotonic)
        self.looks = workqueue.WorkQueue()  # the namespaces that the gate is to look at (control/looks)
        self.counts = workqueue.WorkQueue()  # the namespaces whose pods are to be counted (control/counts)
        self.shortages = shortages.Shortages(server_clock.monotonic, patience)
        self.plans: dict[str, plan.NamespacePlan] = {}
        self.memories = collections.defaultdict[str, memory.Memory](memory.Memory)
        self._unsure = False  # whether something was judged while the time was not sure
        self._policy_changed = asyncio.Event()
        self.books = bookkeeping.Bookkeeper(
            api, self.store, server_clock, self.queue.add, self.everything, self._policy_changed.set
        )
        standing = metrics.Standing(
            self.plans, self.store.guards, self.store.unread.counts, server_clock, self.books.copy
        )
        measures.stands(standing)

    def changed(self, kind: store.Kind, event: str | None, body: Mapping[str, Any]) -> None:
        """One watch event: into the store, and the namespaces that it concerns into the queue."""
        before = (self.store.policy_state(), self.store.guards()) if kind in _GLOBAL else None
        news = True
        if event == "DELETED":
            self.store.remove(kind, body)
            self.books.forget(kind, body["metadata"]["uid"])
        else:
            news = self.store.put(kind, body)
        self.log_unread()
        if not news:
            return
        meta = body["metadata"]
        if kind is store.Kind.NAMESPACE:
            self.queue.add(meta["name"])
        elif kind not in _GLOBAL:
            self.queue.add(meta["namespace"])
        elif before != (self.store.policy_state(), self.store.guards()):
            self.everything()
        if kind is store.Kind.POLICY:
            self._policy_changed.set()

    def claimed(self, event: Mapping[str, Any]) -> None:
        """An Event says that a controller could not create a pod: a reason to read its workload (control/refused)."""
        claim = refused.claimed(event)
        if claim is not None:
            self.shortages.claim(claim)

    def missed(self, kind: store.Kind, why: str) -> None:
        """A line of a watch could not be decoded. The next list has what it said (control/resync)."""
        self.store.unread.add_line(kind.value, why)
        self.log_unread()

    def log_unread(self) -> None:
        """Logs which objects can no longer be read, and which can again."""
        for news in self.store.unread.take_news():
            subject = f"{news.namespace}/{news.name}" if news.name else "a line of the watch"
            if news.why:
                logs.log(_log, logging.WARNING, "unreadable", kind=news.kind, object=subject, error=news.why)
            else:
                logs.log(_log, logging.INFO, "unreadable-ended", kind=news.kind, object=subject)

    def everything(self) -> None:
        """All namespaces into the queue, and the policy's status to be looked at."""
        for name in self.store.namespaces():
            self.queue.add(name)
        self._policy_changed.set()

    async def work(self) -> None:
        """A worker, until it is cancelled."""
        while True:
            name = await self.queue.take()
            try:
                await self.reconcile(name)
            except gateway.ApiError as error:
                pause = self.queue.retry(name)
                logs.log(
                    _log,
                    logging.WARNING,
                    "reconcile-failed",
                    namespace=name,
                    error=str(error),
                    retry_seconds=round(pause, 2),
                )
            except Exception:
                # One namespace's trouble must not end the work on all others.
                pause = self.queue.retry(name)
                _log.exception("reconcile-crashed", extra={"hno_fields": {"namespace": name, "retry_seconds": pause}})
            finally:
                self.queue.done(name)
            await asyncio.sleep(0)  # a plan may take a moment, and deletes, probes and watches must not wait for many

    async def reconcile(self, name: str) -> None:
        """Observe, decide, act on one namespace. Where an effect failed, all others come first, and then its error is
        raised: mostly a gateway.ApiError.
        """
        started = time.monotonic()
        trouble: Exception | None = await self._list_doubted(name)
        decided = await self._decide(name)
        if decided is None:
            self._drop(name)
            return
        seen, made, deadline = decided
        known = self.memories[name]
        record = functools.partial(self.books.submit, namespace=name)
        applying = apply.Application(self.api, seen, self.clock, self.store, record, deadline, self._pace.wait)
        await applying.press(made)
        self._remember(seen, made, applying.outcomes)
        untold = [*known.take_untold(), *applying.untold]
        if trouble is None and made.relist is not None and made.relist <= self.clock.now():
            # What is to be told may be of pods that are gone, or not of all.
            known.untold = untold
            self._doubt(name)
        elif self.queue.pressing:
            # Others wait for their levels and deletes: what is to be told of this one comes after those.
            known.untold = untold
            self.queue.defer(name)
        else:
            await applying.tell(made, untold)
            trouble = trouble or await self._look_up(name, made.owners)
            await self._ask_for(name, made)
        outcomes = applying.outcomes
        self._show(name, made if applying.namespace_written else plan.unchanged(made))
        emitted = [o.effect for o in outcomes if isinstance(o.effect, effects.EmitEvent) and o.error is None]
        self.shortages.heed(made, emitted, self.clock.now())
        self._count(outcomes)
        self.metrics.reconcile.observe(time.monotonic() - started)
        self._tell(made, outcomes, time.monotonic() - started)
        if applying.paced_seconds:
            self.queue.add_after(name, applying.paced_seconds + _EARLY_SECONDS)
        if made.next_check is not None:
            await self._come_back(name, made.next_check)
        if made.relist is not None and not known.doubted:
            self.queue.add_after(name, (made.relist - self.clock.now()).total_seconds() + _EARLY_SECONDS)
        if made.recount is not None:
            self.counts.add_after(name, (made.recount - self.clock.now()).total_seconds() + _EARLY_SECONDS)
        if _vanishing(outcomes) & {verdict.pod.uid for verdict in made.verdicts if not verdict.pod.watched}:
            self._doubt(name)  # nothing else will tell
        self._heed(name, outcomes)
        failed = next((outcome.error for outcome in outcomes if outcome.error is not None), trouble)
        if failed is not None:
            raise failed
        self.queue.forget(name)

    async def _decide(self, name: str) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan, float] | None:
        """What is seen, what is to be done, and until which monotonic moment that may be begun; None: no namespace.

        A write that takes grants needs no version of the namespace, so the exceptions of these grants are read again
        first: one of them may just have been renewed.
        """
        read: set[str] = set()
        while True:
            moment, began = self.clock.monotonic(), time.thread_time()
            seen = self.observe(name)
            if seen is None:
                return None
            try:
                seen, made = self._planned(seen)
            except Exception as error:
                if not self._set_aside(seen, error):
                    raise
                continue
            if (took := time.thread_time() - began) > _LONG_PLAN_SECONDS:
                self.queue.rest(name, min(_REST * took, _LONGEST_REST_SECONDS))
            if read >= set(made.reread) or not seen.exceptions_served:
                return seen, made, moment + plan.FRESH_SECONDS
            await asyncio.gather(*(reread.an_exception(self.api, self.store, name, one) for one in made.reread))
            read |= set(made.reread)

    def _set_aside(self, seen: snapshot.NamespaceSnapshot, error: Exception) -> bool:
        """Takes what no plan can be made with for unreadable, until it changes; False if that would not help."""
        found = isolate.culprits(seen, self.clock.now())
        if found:
            _log.error("set-aside", exc_info=error, extra={"hno_fields": {"namespace": seen.namespace.name}})
        for one in found:
            self.store.misunderstood(one)
        self.log_unread()
        return bool(found)

    def _drop(self, name: str) -> None:
        """Forgets a namespace that is gone."""
        self.memories.pop(name, None)
        self.plans.pop(name, None)
        self.shortages.forget(name)
        self.queue.forget(name)
        self._policy_changed.set()

    def observe(self, name: str) -> snapshot.NamespaceSnapshot | None:
        """What is known of a namespace now; None where there is none of that name."""
        seen = self.store.snapshot(name)
        if seen is None:
            return None
        known = self.memories[name]
        trusted = self.clock.trusted()
        self._unsure |= not trusted
        return dataclasses.replace(
            seen,
            ledger=self.books.view(seen),
            gate=known.gate,
            clock_trusted=trusted,
            tops=dict(known.tops),
            accounts=dict(known.accounts),
            record=known.record(seen.namespace.uid),
            shortages=self.shortages.of(name),
            patience=self.shortages.patience,
        )

    async def until_idle(self) -> None:
        """Until every namespace is judged, recorded, and looked at where it is to be; what is due later counts not."""
        await self.queue.until_idle()
        while not (self.looks.idle and self.books.idle):
            await self.looks.until_idle()
            await self.books.until_idle()
            await self.queue.until_idle()

    async def keep_policy_status(self) -> None:
        """Writes the policy's status whenever what it says has changed; until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._policy_changed.wait(), self._excused_seconds())
            await asyncio.sleep(_POLICY_STATUS_SECONDS)
            self._policy_changed.clear()
            try:
                await policies.write_status(
                    self.api,
                    self.store,
                    list(self.plans.values()),
                    self.clock.state(),
                    self.books.copy.summary(),
                    self.clock.now(),
                )
            except gateway.ApiError as error:
                logs.log(_log, logging.WARNING, "policy-status-failed", error=str(error))
                self._policy_changed.set()

    async def settle_ledger(self) -> None:
        """Everything was judged once: say what the ledger begins with, and leave the state of a first start."""
        recorded, plans = self.books.copy.summary(), list(self.plans.values())
        try:
            await policies.emit_begun(self.api, self.store, plans, recorded, self.clock.now())
        except gateway.ApiError as error:
            logs.log(_log, logging.WARNING, "ledger-event-failed", error=str(error))
        self.books.settle()
        self._policy_changed.set()

    async def keep_clock(self) -> None:
        """Has everything judged anew when the time has become sure, and it said when it is not; until cancelled."""
        shown = self.clock.state()
        while True:
            await asyncio.sleep(_CLOCK_SECONDS)
            if not self.clock.trusted() and not self.clock.asked_within(_CLOCK_SECONDS):
                with contextlib.suppress(gateway.ApiError):  # or the answers that contradict it never grow old
                    await self.api.get("/version")
            before, shown = shown, self.clock.state()
            if before is not shown:
                level = logging.INFO if self.clock.trusted() else logging.ERROR
                skew, spread = round(self.clock.skew_seconds(), 1), round(self.clock.spread_seconds(), 1)
                logs.log(_log, level, "clock", state=shown.value, skew_seconds=skew, spread_seconds=spread)
                self._policy_changed.set()
            if before is not shown or (self._unsure and self.clock.trusted()):
                self._unsure = False
                self.everything()

    def _excused_seconds(self) -> float | None:
        """How long an admission policy may still be half of an upgrade: then its status changes by itself."""
        now = self.clock.now()
        moments = [guard.excused for guard in self.store.guards().values() if guard.excused is not None]
        return min(((moment - now).total_seconds() for moment in moments if moment > now), default=None)

    def _planned(self, seen: snapshot.NamespaceSnapshot) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
        """The plan, and what it was made of, with what somebody has undone counted. A look is begun where it asks for
        one, and none goes on that would not have seen what came in while nothing was to be held.
        """
        made = plan.plan_namespace(seen, self.clock.now())
        while made.undone:
            seen = self._undone(seen, made)
            made = plan.plan_namespace(seen, self.clock.now())
        if made.ask is not None:
            self.looks.add(made.namespace.name)
        elif made.enforcement is not labels.Enforcement.HELD and not _goes_on(seen, made):
            self.memories[made.namespace.name].forget_gate()
        return seen, made

    def _undone(self, seen: snapshot.NamespaceSnapshot, made: plan.NamespacePlan) -> snapshot.NamespaceSnapshot:
        """Counts that somebody has undone what was written, and says so where that makes the namespace contested."""
        namespace, now = seen.namespace, self.clock.now()
        record = contest.counted(seen.record, made.undone, now)
        self.memories[namespace.name].keep(namespace.uid, record)
        logs.log(_log, logging.WARNING, "undone", namespace=namespace.name, keys=made.undone)
        if made.contested is None and contest.ends(record, now) is not None:
            told = messages.contested_event(namespace, record, made.undone)
            self.memories[namespace.name].untold.append(told)
        return dataclasses.replace(seen, record=record)

    def _remember(
        self, seen: snapshot.NamespaceSnapshot, made: plan.NamespacePlan, outcomes: list[apply.Outcome]
    ) -> None:
        writes = [(one.effect, one) for one in outcomes if isinstance(one.effect, effects.WriteNamespace)]
        record = seen.record
        if not made.partial:  # else what it leaves alone may be wrong
            planned, contested = [write for write, _ in writes], made.contested is not None
            record = contest.stands(seen, made.owned, made.enforcement, planned, contested=contested)
        for write, outcome in writes:
            if outcome.word == apply.DONE:
                record = contest.written(record, write, self.clock.now())
                self.queue.add(seen.namespace.name)  # what the ledger is to have, or what comes next
            elif isinstance(outcome.error, gateway.ApiError) and outcome.error.status == 409:
                record = contest.refused(record)
            elif outcome.error is not None:
                record = contest.unsure(record, write)
        self.memories[seen.namespace.name].keep(seen.namespace.uid, record)

    def _doubt(self, name: str) -> None:
        """Has the namespace's pods listed, and the namespace judged by that."""
        self.memories[name].doubted = True
        self.queue.add(name)

    async def _list_doubted(self, name: str) -> gateway.ApiError | None:
        """Why the pods of a doubted namespace could not be listed: no reason to leave a level or a pod as it is."""
        if not self.memories[name].doubted:
            return None
        try:
            await live.fill_pods(self.api, self.store, name, self.clock)
        except gateway.ApiError as error:
            return error
        finally:
            self.log_unread()
        self.memories[name].doubted = False
        return None

    def forget_tops(self) -> None:
        """Has owners looked up again: a ReplicaSet can be given to another Deployment."""
        for known in self.memories.values():
            known.tops.clear()

    async def _look_up(self, name: str, owners: Sequence[snapshot.Reference]) -> Exception | None:
        """Asks who is at the top, and has the namespace judged by that; why it could not be asked."""
        for owner in owners:
            try:
                top = await live.top_of(self.api, owner)
            except gateway.ApiError as error:
                unknown = error.status == 403 or isinstance(error, gateway.UndecodableError)
                if not unknown and error.status != 404:
                    return error
                top = owner if unknown else None  # nothing is known but the owner
            except Exception:  # an owner that is not understood is no reason to report nothing
                _log.exception("owner-not-understood", extra={"hno_fields": {"namespace": name, "of": owner.name}})
                top = owner
            self.memories[name].tops[owner] = top
            self.queue.add(name)
        return None

    async def _ask_for(self, name: str, made: plan.NamespacePlan) -> None:
        """Asks for the service accounts of exceptions that cover nothing, and has the namespace judged by that."""
        if not made.accounts:
            return
        named = {standing.exception.spec.service_account for standing in made.standings}
        known = {one: answer for one, answer in self.memories[name].accounts.items() if one in named}
        self.memories[name].accounts = known | await accounts.ask(self.api, self.clock, name, made.accounts)
        self.queue.add(name)

    def _heed(self, name: str, outcomes: list[apply.Outcome]) -> None:
        """A report that was gone is to be made anew if it is wanted still; a kind that is gone concerns everybody."""
        words = {outcome.word for outcome in outcomes if isinstance(outcome.effect, effects.WriteReport)}
        if reports.Outcome.GONE in words:
            self.queue.add(name)
        if reports.Outcome.UNSERVED in words:
            self.everything()

    async def _come_back(self, name: str, moment: datetime.datetime) -> None:
        """Has the namespace judged at `moment`. Where that may be past already, the API server is asked for the time:
        the clock is a lower bound, and in a quiet cluster up to a second behind.
        """
        if self.clock.may_be_past(moment):
            if not self.clock.asked_within(_ASK_AGAIN_SECONDS):
                await self.api.get("/version")
            self.queue.add_after(name, _ASK_AGAIN_SECONDS)
        else:
            self.queue.add_after(name, (moment - self.clock.now()).total_seconds() + _EARLY_SECONDS)

    def _show(self, name: str, made: plan.NamespacePlan) -> None:
        """Keeps a plan for the metrics, and has the policy's counts written if they show something else now."""
        before, self.plans[name] = self.plans.get(name), made
        if before is None or _counted(before) != _counted(made):
            self._policy_changed.set()

    def _count(self, outcomes: list[apply.Outcome]) -> None:
        for outcome in outcomes:
            effect = outcome.effect
            self.metrics.effects.labels(type(effect).__name__, outcome.word).inc()
            if isinstance(effect, effects.WriteNamespace):
                self.metrics.namespace_writes.labels(effect.action, outcome.word).inc()
            elif isinstance(effect, effects.DeletePod):
                self.metrics.deleted_pods.labels(outcome.word).inc()
            elif isinstance(effect, effects.WriteVerdict) and effect.verdict and outcome.word == apply.DONE:
                self.metrics.detected_pods.labels(effect.verdict.value).inc()

    def _tell(self, made: plan.NamespacePlan, outcomes: list[apply.Outcome], seconds: float) -> None:
        """The canonical line of a reconcile; one that did nothing is told only at DEBUG."""
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        level = logging.WARNING if failed else logging.INFO if outcomes else logging.DEBUG
        logs.log(
            _log,
            level,
            "reconcile",
            namespace=made.namespace.name,
            enforcement=made.enforcement,
            relaxed=made.relaxed,
            pods=len(made.verdicts),
            exceptions=len(made.standings),
            findings=[f"{one.subject.name}:{one.rule.id}" for one in made.findings if one.warns],
            effects=[f"{type(outcome.effect).__name__}:{outcome.word}" for outcome in outcomes],
            errors=[str(outcome.error) for outcome in failed],
            next_check=made.next_check,
            seconds=round(seconds, 4),
        )


def _vanishing(outcomes: list[apply.Outcome]) -> set[str]:
    """Uids of the pods that were not there any more, or will not be."""
    effected = (outcome.effect for outcome in outcomes if outcome.word in {"gone", "deleted"})
    return {effect.pod.uid for effect in effected if isinstance(effect, effects.WriteVerdict | effects.DeletePod)}


def _goes_on(seen: snapshot.NamespaceSnapshot, made: plan.NamespacePlan) -> bool:
    """Whether enforcement is to go on: until it is written, which waits for the ledger, the gate's answer counts. A
    second look would see what came in after the first.
    """
    deny = labels.Enforcement.DENY
    return made.enforcement is deny and seen.namespace.enforcement is not deny


def _counted(made: plan.NamespacePlan) -> object:
    return (
        made.exempt,
        made.enforcement,
        made.relaxed,
        made.contested is None,
        [verdict.verdict for verdict in made.verdicts],
        refusals.count(made.refused),
    )
