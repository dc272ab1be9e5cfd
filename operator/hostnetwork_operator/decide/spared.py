"""What is left of the question about a pod that an exception covers: all that the exception does not spare it.

The question must be valid wherever the pod is. The API allows some fields only beside others, so what depends on a
field that is taken out goes too, if no level judges it; else the field stays (tests/conformance/test_questions.py has
the API's rules). This module must not know which exception it is, nor what a level asks for.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

_CONTAINERS: Final = ("initContainers", "containers")
# Of these only a host port and the host of a handler are judged. Ports that differ in both alone would be the same one
# twice, of which the API server warns.
_PORTS: Final = ("ports",)
_OF_THE_NETWORK: Final = (*_PORTS, "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
# The API wants hostNetwork beside hostProcess. So it stays, and is taken out of the answer: every level that is asked
# about forbids hostProcess, which comes after it there.
_KEPT: Final = "host namespaces (hostNetwork=true), "


def rest(body: Mapping[str, Any], *, network: bool, ports: bool = False) -> Mapping[str, Any]:
    """Return the same pod without host namespaces, host paths, privileged and added capabilities; with `network` also
    without host ports and the hosts of probes and lifecycle hooks, with `ports` also without host ports.
    """
    made = copy.deepcopy(dict(body))
    spec = made["spec"]
    for field in ("hostPID", "hostIPC", *(() if _host_process(spec) else ("hostNetwork",))):
        spec.pop(field, None)
    spec["volumes"] = [volume for volume in spec.get("volumes") or () if not volume.get("hostPath")]
    for container in _containers(spec):
        container.pop("volumeMounts", None)  # of a volume that is not there, or Bidirectional without privileged
        context = container.get("securityContext") or {}
        context.pop("privileged", None)
        (context.get("capabilities") or {}).pop("add", None)
        for field in _OF_THE_NETWORK if network else _PORTS if ports else ():
            container.pop(field, None)
    return made


def answer(reason: str) -> str:
    """Return what is said against the rest of a pod, without what the exception spares it."""
    return reason.replace(_KEPT, "", 1)


def _host_process(spec: Mapping[str, Any]) -> bool:
    contexts = (one.get("securityContext") or {} for one in (spec, *_containers(spec)))
    return any((context.get("windowsOptions") or {}).get("hostProcess") for context in contexts)


def _containers(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for kind in _CONTAINERS for one in spec.get(kind) or ()]
