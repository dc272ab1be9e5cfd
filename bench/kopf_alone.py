"""kopf with an empty handler, on the pods that the operator watches: what watching costs before anybody decides.

    KUBECONFIG=FILE python bench/kopf_alone.py

Its CPU time, divided by the number of pods that it lists or of events that it gets, is what kopf itself needs.
"""

from typing import Any

import kopf


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: object) -> None:
    settings.watching.field_selectors["v1", "pods"] = "spec.hostNetwork=true"
    settings.queueing.idle_timeout = 0.5
    settings.scanning.disabled = True
    settings.posting.enabled = False


@kopf.on.login()
def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.event("", "v1", "pods")
async def changed(**_: object) -> None:
    return None


if __name__ == "__main__":
    kopf.run(clusterwide=True, standalone=True)
