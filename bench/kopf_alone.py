"""kopf with an empty handler, on the pods that the operator watches: what watching costs before anybody decides.

    KUBECONFIG=FILE python bench/kopf_alone.py [as-the-operator]

Its CPU time, divided by the number of pods that it lists or of events that it gets, is what kopf itself needs. With
`as-the-operator` kopf has the settings of the operator. Otherwise it has its defaults, and only the pods are chosen.
"""

import asyncio
import sys
from typing import Any

import kopf

from hostnetwork_operator.control import handlers


@kopf.on.login()
def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.event("", "v1", "pods")
async def changed(**_: object) -> None:
    return None


if __name__ == "__main__":
    settings = handlers.settings() if sys.argv[1:] == ["as-the-operator"] else kopf.OperatorSettings()
    settings.watching.field_selectors["v1", "pods"] = "spec.hostNetwork=true"
    settings.scanning.disabled = True
    asyncio.run(kopf.operator(settings=settings, clusterwide=True, standalone=True))
