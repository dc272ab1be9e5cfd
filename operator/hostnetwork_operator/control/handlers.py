"""What is watched, and which namespaces are to be judged again for it. Handlers store and enqueue, nothing else.

Only `on.event`, returning None: every other kind of handler makes kopf write finalizers or annotations on objects of
other people. Failures in a handler are swallowed by kopf, so there is nothing in one that could fail.
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
    """Handlers of every kind, on a registry of their own."""
    made = kopf.OperatorRegistry()
    for kind, (group, version, plural) in _RESOURCES.items():
        _watch(made, taking, kind, group, version, plural)
    _watch_refusals(made, taking)
    return made


def _watch_refusals(made: kopf.OperatorRegistry, taking: intake.Intake) -> None:
    @kopf.on.event("", "v1", refused.Watched.EVENTS.value, id="watch-events", registry=made)
    async def emitted(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] != "DELETED":
            taking.claimed(event["object"])


def _watch(
    made: kopf.OperatorRegistry, taking: intake.Intake, kind: store.Kind, group: str, version: str, plural: str
) -> None:
    @kopf.on.event(group, version, plural, id=f"watch-{plural}", registry=made)
    async def changed(event: kopf.RawEvent, **_: Any) -> None:
        taking.changed(kind, event["type"], event["object"])


class _NoDiffs(kopf.DiffBaseStorage):
    """kopf makes a copy of every object at every event to find differences for handlers of a kind we have none of."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


def settings() -> kopf.OperatorSettings:
    """kopf's settings: what is watched is selected by the API server, and no fault ends a watch for good."""
    made = kopf.OperatorSettings()
    made.watching.field_selectors["v1", "pods"] = "spec.hostNetwork=true"
    made.watching.field_selectors["v1", refused.Watched.EVENTS.value] = f"reason={refused.REASON}"
    made.watching.chunk_size = None  # control/session asks for one object of each list
    made.watching.server_timeout = 600
    made.watching.connect_timeout = 10
    made.watching.inactivity_timeout = 150  # the API server sends a bookmark each minute, so the connection is dead
    made.networking.connect_timeout = 10
    made.networking.request_timeout = 60
    # Without end: kopf's own (54 s) would end the watch in a longer outage. And short, so that watching goes on soon
    # after an outage.
    made.networking.error_backoffs = [1, 1, 2, 3, *[5] * 100_000]
    # A task an object waits this long for its next event; ours keep nothing, so they need not wait.
    made.queueing.idle_timeout = 0.5
    made.queueing.exit_timeout = 0.5
    made.scanning.disabled = True
    made.persistence.diffbase_storage = _NoDiffs()
    # kopf wants to remove its finalizer from every object, also one that a tenant has put there. Nobody guesses this
    # name, so no object has it.
    made.persistence.finalizer = f"{labels.GROUP}/{secrets.token_hex(16)}"
    # After a failed write kopf would leave the events of the object alone for seconds, in the end for ten minutes.
    made.queueing.error_delays = []
    # It would kill the process so long after kopf has ended, also where it has been begun anew (seen: SIGKILL, 30 s).
    made.process.ultimate_exiting_timeout = None
    return made
