"""Flags pods, and deletes those whose diagnostic exceptions have ended."""

import enum
from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import effects, plan, snapshot
from hostnetwork_operator.observe import live


class Deletion(enum.StrEnum):
    """Outcomes: the `outcome` label of hostnetwork_deleted_pods_total."""

    DELETED = "deleted"
    GONE = "gone"
    SPARED = "spared"  # the second look said otherwise


async def write_verdict(api: gateway.Gateway, effect: effects.WriteVerdict) -> Mapping[str, Any] | None:
    """The pod as it is then; None if it is gone. The operator has no right to patch pods, so through pods/status."""
    pod = effect.pod
    body = {"metadata": {"uid": pod.uid, "labels": {labels.VERDICT: effect.verdict.value if effect.verdict else None}}}
    try:
        answer: Mapping[str, Any] = (
            await api.patch(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/status", body)
        ).body
    except gateway.ApiError as error:
        if error.status in {404, 409}:  # 409: another pod of that name
            return None
        raise
    return answer


async def delete(
    api: gateway.Gateway, effect: effects.DeletePod, seen: snapshot.NamespaceSnapshot, clock: live.Clock
) -> Deletion:
    """Reads pod and exceptions again, judges again, and deletes that very version of that very pod.

    The store may be old: an exception extended a moment ago, a pod made anew under the same name. Raises
    gateway.ApiError; 409 means that the pod changed in between and is to be judged again.
    """
    pod = effect.pod
    try:
        now_seen = await live.again(api, seen, pod)
    except gateway.ApiError as error:
        if error.status == 404:
            return Deletion.GONE
        raise
    if not [found for found in now_seen.pods if found.uid == pod.uid]:
        return Deletion.GONE
    made = plan.plan_namespace(now_seen, clock.now())
    if not any(isinstance(e, effects.DeletePod) and e.pod.uid == pod.uid for e in made.effects):
        return Deletion.SPARED
    preconditions = {"uid": pod.uid, "resourceVersion": now_seen.pods[0].resource_version}
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": effect.grace_seconds,
        "preconditions": preconditions,
    }
    try:
        await api.delete(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", options)
    except gateway.ApiError as error:
        if error.status == 404:
            return Deletion.GONE
        raise
    return Deletion.DELETED
