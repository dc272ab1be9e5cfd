"""Writes and deletes reports. Their kinds belong to other projects, and may be removed at any time."""

from typing import Final

from hostnetwork_operator import bodies
from hostnetwork_operator.act import gateway
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.decide import effects
from hostnetwork_operator.observe import store

_KINDS: Final = {written: kind for kind, written in store.REPORTS.items()}


async def write(api: gateway.Gateway, effect: effects.WriteReport, cache: store.Store) -> Outcome:
    """Write a report. An existing report of that name without the operator's label is overwritten. Raise
    gateway.ApiError.
    """
    kind, subject = _KINDS[effect.kind], effect.report
    path, body = effect.kind.path(subject.namespace), subject.body(effect.kind)
    try:
        answer = await _store(api, path, body, effect.uid)
    except gateway.ApiError as error:
        meta = {"name": subject.name, "namespace": subject.namespace, "uid": effect.uid}
        return _missing(error, cache, kind, meta)
    cache.put(kind, answer.body)
    return Outcome.DONE


async def delete(api: gateway.Gateway, effect: effects.DeleteReport, cache: store.Store) -> Outcome:
    """Delete a report. Raise gateway.ApiError."""
    subject, kind = effect.subject, _KINDS[effect.kind]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": subject.uid}}
    meta = {"name": subject.name, "namespace": subject.namespace, "uid": subject.uid}
    try:
        await api.delete(f"{effect.kind.path(subject.namespace)}/{subject.name}", options)
    except gateway.ApiError as error:
        return _missing(error, cache, kind, meta)
    cache.remove(kind, {"metadata": meta})
    return Outcome.DONE


async def _store(api: gateway.Gateway, path: str, body: gateway.Body, uid: str) -> bodies.Answer:
    metadata = body["metadata"]
    if not uid:
        try:
            return await api.create(path, body)
        except gateway.ApiError as error:
            if error.reason != "AlreadyExists":
                raise
    # The uid, so that the write changes only the report that the operator has read.
    precondition = {"uid": uid} if uid else {}
    return await api.patch(f"{path}/{metadata['name']}", {**body, "metadata": {**metadata, **precondition}})


def _missing(error: gateway.ApiError, cache: store.Store, kind: store.Kind, meta: dict[str, str]) -> Outcome:
    """Return which is missing, the report or its kind, if the error says so. Otherwise raise the error."""
    # The CRD is being deleted: 405 before Kubernetes 1.36, since then 403.
    kind_terminating = error.status == 405 or (error.status == 403 and "definition is terminating" in error.message)
    if kind_terminating or (error.status == 404 and not error.reason):  # no such path
        cache.serves_not(kind)
        return Outcome.UNSERVED
    if error.status in {404, 409} or error.namespace_ends:
        cache.remove(kind, {"metadata": meta})
        return Outcome.GONE
    raise error
