"""What the process loads at its start.

The half of kubernetes that it never uses is not loaded, and works nevertheless.
"""

import json
import subprocess
import sys

_STARTED = """
import json, sys
from hostnetwork_operator import imports
imports.defer()
from hostnetwork_operator.control import startup
loaded = sorted({name.partition(".")[0] for name in sys.modules})
import kubernetes
second_client = [kubernetes.config.load_kube_config.__name__, kubernetes.aio.watch.Watch.__name__]
print(json.dumps([loaded, second_client]))
"""


def test_the_second_client_is_loaded_at_its_first_use() -> None:
    """A start does not load requests and websocket. Code that asks for the second client gets it."""
    completed = subprocess.run([sys.executable, "-c", _STARTED], capture_output=True, text=True, check=True)
    loaded, second_client = json.loads(completed.stdout)
    assert {"kopf", "kubernetes"} <= set(loaded)
    assert set() == {"oauthlib", "requests", "websocket"} & set(loaded)
    assert second_client == ["load_kube_config", "Watch"]
