"""Answers the needs of plans (decide/needs), except the question to the gate, which control/gate_check answers.

Every answer is put into the store or into the memory of the namespace. Then the namespace is planned again with the
answer.
"""

import asyncio
import logging
from collections.abc import Iterable

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import accounts, intake, memory, reread, schedule
from hostnetwork_operator.decide import needs, plan
from hostnetwork_operator.observe import cluster, live, store

_log = logging.getLogger(__name__)


class Needs:
    """Answers the needs of one namespace at a time."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        cache: store.Store,
        when: schedule.Schedule,
    ) -> None:
        self._api = api
        self._clock = server_clock
        self._store = cache
        self._schedule = when

    async def read_exceptions(self, name: str, asked: Iterable[needs.ReadException]) -> None:
        """Read exceptions again from the API server, into the store. Raise gateway.ApiError."""
        await asyncio.gather(*(reread.an_exception(self._api, self._store, name, need.name) for need in asked))

    async def list_stale(self, name: str, namespace_memory: memory.NamespaceMemory) -> gateway.ApiError | None:
        """List the pods of a namespace if a list is due. Return the error if the pods could not be listed. The error is
        no reason to leave a level or a pod unchanged, so it is returned and not raised.
        """
        if not namespace_memory.stale:
            return None
        try:
            await live.fill_pods(self._api, self._store, name, self._clock)
        except gateway.ApiError as error:
            return error
        finally:
            intake.log_unread(self._store)
        namespace_memory.stale = False
        return None

    def list_is_due(self, namespace_plan: plan.NamespacePlan) -> bool:
        """Return whether the deferrable effects of a plan wait for a list of pods."""
        return any(need.at <= self._clock.now() for need in namespace_plan.asks(needs.ListPods))

    def list_next(self, name: str, namespace_memory: memory.NamespaceMemory) -> None:
        """Have the pods of a namespace listed, and the namespace evaluated with the list."""
        namespace_memory.stale = True
        self._schedule.wake(name)

    async def find(
        self, namespace_plan: plan.NamespacePlan, namespace_memory: memory.NamespaceMemory
    ) -> Exception | None:
        """Find owners and service accounts. Return the error if an owner could not be found."""
        failure = await self._find_owners(namespace_plan, namespace_memory.answers)
        await self._find_accounts(namespace_plan, namespace_memory.answers)
        return failure

    async def _find_owners(self, namespace_plan: plan.NamespacePlan, answers: cluster.Answers) -> Exception | None:
        name = namespace_plan.namespace.name
        for owner in (need.owner for need in namespace_plan.asks(needs.FindOwner)):
            try:
                top = await live.top_of(self._api, owner)
            except gateway.ApiError as error:
                unknown = error.status == 403 or isinstance(error, gateway.UndecodableError)
                if not unknown and error.status != 404:
                    return error
                top = owner if unknown else None  # if unknown, the owner itself is all that can be reported
            except Exception:  # an owner that cannot be understood is no reason to report nothing
                _log.exception("owner-not-understood", extra={"hno_fields": {"namespace": name, "of": owner.name}})
                top = owner
            answers.tops[owner] = top
            self._schedule.wake(name)
        return None

    async def _find_accounts(self, namespace_plan: plan.NamespacePlan, answers: cluster.Answers) -> None:
        account_names = [need.name for need in namespace_plan.asks(needs.FindAccount)]
        if not account_names:
            return
        names_in_exceptions = {standing.exception.spec.service_account for standing in namespace_plan.standings}
        answered = {account: answer for account, answer in answers.accounts.items() if account in names_in_exceptions}
        answers.accounts = answered | await accounts.ask(
            self._api, self._clock, namespace_plan.namespace.name, account_names
        )
        self._schedule.wake(namespace_plan.namespace.name)
