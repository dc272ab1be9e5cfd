"""What is watched, and which namespaces are re-evaluated for a change. Handlers store and enqueue, nothing else.

All handlers are `on.event` and return None: for every other type of handler, kopf writes finalizers or annotations on
objects that the operator does not own. kopf swallows failures in a handler, so a handler does nothing that could fail.
"""

import secrets
from typing import Any, Final

import kopf

from hostnetwork_operator.api import exception, labels, policy
from hostnetwork_operator.control import intake
from hostnetwork_operator.observe import refused, store

_RESOURCES: Final = {
    store.Kind.POD: ("", "v1", "pods"),
    store.Kind.NAMESPACE: ("", "v1", "namespaces"),
    store.Kind.EXCEPTION: (labels.GROUP, labels.VERSION, exception.PLURAL),
    store.Kind.POLICY: (labels.GROUP, labels.VERSION, policy.PLURAL),
    store.Kind.ADMISSION_POLICY: ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"),
    store.Kind.ADMISSION_BINDING: ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings"),
}
WATCHED: Final = frozenset(_RESOURCES)


def registry(taking: intake.Intake) -> kopf.OperatorRegistry:
    """Return a new registry with the handlers of every kind."""
    handler_registry = kopf.OperatorRegistry()
    for kind, (group, version, plural) in _RESOURCES.items():
        _watch(handler_registry, taking, kind, group, version, plural)
    _watch_refusals(handler_registry, taking)
    return handler_registry


def _watch_refusals(registry: kopf.OperatorRegistry, taking: intake.Intake) -> None:
    @kopf.on.event("", "v1", refused.Watched.EVENTS.value, id="watch-events", registry=registry)
    async def emitted(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] != "DELETED":
            taking.claimed(event["object"])


def _watch(
    registry: kopf.OperatorRegistry, taking: intake.Intake, kind: store.Kind, group: str, version: str, plural: str
) -> None:
    @kopf.on.event(group, version, plural, id=f"watch-{plural}", registry=registry)
    async def changed(event: kopf.RawEvent, **_: Any) -> None:
        taking.changed(kind, event["type"], event["object"])


class _NoDiffs(kopf.DiffBaseStorage):
    """Stores no copies of objects. For every event kopf would copy the object, to find differences for a type of
    handler that the operator does not have.
    """

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: the API server selects what is watched, and no fault ends a watch for good."""
    kopf_settings = kopf.OperatorSettings()
    kopf_settings.watching.field_selectors["v1", "pods"] = "spec.hostNetwork=true"
    kopf_settings.watching.field_selectors["v1", refused.Watched.EVENTS.value] = f"reason={refused.REASON}"
    kopf_settings.watching.chunk_size = None  # control/session asks for one object per list
    kopf_settings.watching.server_timeout = 600
    kopf_settings.watching.connect_timeout = 10
    # The API server sends a bookmark each minute, so after this silence the connection is dead.
    kopf_settings.watching.inactivity_timeout = 150
    kopf_settings.networking.connect_timeout = 10
    kopf_settings.networking.request_timeout = 60
    # The list has practically no end: kopf's own list (54 s) would end the watch in a longer outage. The pauses are
    # short, so that watching continues soon after an outage.
    kopf_settings.networking.error_backoffs = [1, 1, 2, 3, *[5] * 100_000]
    # kopf has a task per object, which waits this long for the next event. The operator's handlers keep nothing, so the
    # tasks need not wait.
    kopf_settings.queueing.idle_timeout = 0.5
    kopf_settings.queueing.exit_timeout = 0.5
    kopf_settings.scanning.disabled = True
    kopf_settings.persistence.diffbase_storage = _NoDiffs()
    # kopf wants to remove its finalizer from every object, even if a tenant has put that finalizer there. Nobody can
    # guess this name, so no object has it.
    kopf_settings.persistence.finalizer = f"{labels.GROUP}/{secrets.token_hex(16)}"
    # After a failed write, kopf would ignore the events of the object for seconds, and in the end for ten minutes.
    kopf_settings.queueing.error_delays = []
    # With this timeout, kopf would kill the process that long after kopf has ended, even if kopf has been started again
    # (observed: SIGKILL, 30 s).
    kopf_settings.process.ultimate_exiting_timeout = None
    return kopf_settings
