"""The question that remains about a pod that an exception covers: everything that the exception does not spare the pod.

If the pod is valid, the question must be valid too. The API allows some fields only beside others. So when a field is
removed, the fields that depend on that field are removed too if no level judges them; if a level does, the field stays
(tests/conformance/test_questions.py has the API's rules). This module must not know which exception covers the pod, nor
what a level requires.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

_CONTAINERS: Final = ("initContainers", "containers")
# In these fields a level judges only host ports and the hosts of handlers. The fields are removed as a whole: ports
# that differ in those values alone would be duplicates, and the API server warns about duplicates.
_PORTS: Final = ("ports",)
_OF_THE_NETWORK: Final = (*_PORTS, "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
# The API requires hostNetwork beside hostProcess. So hostNetwork stays in the question and is removed from the answer:
# every level that is asked about forbids hostProcess, which comes after hostNetwork in the answer.
_KEPT: Final = "host namespaces (hostNetwork=true), "


def rest(body: Mapping[str, Any], *, network: bool, ports: bool = False) -> Mapping[str, Any]:
    """Return the same pod without host namespaces, host paths, privileged and added capabilities. With `network`, also
    remove host ports and the hosts of probes and lifecycle hooks; with `ports`, also remove host ports.
    """
    remaining = copy.deepcopy(dict(body))
    spec = remaining["spec"]
    for field in ("hostPID", "hostIPC", *(() if _host_process(spec) else ("hostNetwork",))):
        spec.pop(field, None)
    spec["volumes"] = [volume for volume in spec.get("volumes") or () if not volume.get("hostPath")]
    for container in _containers(spec):
        # A mount may be of a removed volume, or be Bidirectional, which needs privileged.
        container.pop("volumeMounts", None)
        context = container.get("securityContext") or {}
        context.pop("privileged", None)
        (context.get("capabilities") or {}).pop("add", None)
        for field in _OF_THE_NETWORK if network else _PORTS if ports else ():
            container.pop(field, None)
    return remaining


def answer(reason: str) -> str:
    """Return the answer about the rest of a pod, without the host namespace that the exception spares the pod."""
    return reason.replace(_KEPT, "", 1)


def _host_process(spec: Mapping[str, Any]) -> bool:
    contexts = (holder.get("securityContext") or {} for holder in (spec, *_containers(spec)))
    return any((context.get("windowsOptions") or {}).get("hostProcess") for context in contexts)


def _containers(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [container for kind in _CONTAINERS for container in spec.get(kind) or ()]
