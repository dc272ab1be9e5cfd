"""`kubectl hostnetwork`: how long a person waits, and how much memory the command needs."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from bench import figures
from bench.world import OFFENDERS, World, host_pod, say

_RUNS = 7
_HOST_PODS = 200
_DOCUMENTS = 1000
_BIN = pathlib.Path(sys.executable).parent
_COMMAND, _COMPLETION = str(_BIN / "kubectl-hostnetwork"), str(_BIN / "kubectl_complete-hostnetwork")
_MANIFEST = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent-{number}, namespace: team-{team}}}
spec:
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata: {{labels: {{app: agent}}}}
    spec:
      hostNetwork: true
      containers: [{{name: main, image: "registry.example.com/agent:1"}}]
"""


def measure(world: World) -> list[figures.Row]:
    say(f"the command, {_RUNS} times each, with {_HOST_PODS} host-namespace pods")
    world.create_pods(("kube-system", host_pod(f"agent-{number}")) for number in range(_HOST_PODS - OFFENDERS))
    kubeconfig = str(world.cluster.kubeconfig)
    rows = [
        *_timed("status", [_COMMAND, "status", "-o", "json"], kubeconfig, at_most=2.0),
        *_timed("status --all", [_COMMAND, "status", "--all", "-o", "json"], kubeconfig),
        *_timed("exceptions", [_COMMAND, "exceptions", "-o", "json"], kubeconfig),
        *_timed("report", [_COMMAND, "report", "--out", "/dev/null"], kubeconfig, at_most=5.0),
        *_timed("--help", [_COMMAND, "--help"], kubeconfig, at_most=0.3),
        *_timed("completion of a flag", [_COMPLETION, "status", "--n"], kubeconfig, at_most=0.3),
        *_timed("completion of a namespace", [_COMPLETION, "status", "-n", "team"], kubeconfig, at_most=1.5),
    ]
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "manifests.yaml"
        texts = (_MANIFEST.format(number=number, team=number % 20) for number in range(_DOCUMENTS))
        path.write_text("---\n".join(texts))
        check = [_COMMAND, "check", "-f", str(path), "--fail-on", "nothing"]
        return [*rows, *_timed(f"check of {_DOCUMENTS} documents", check, kubeconfig, at_most=2.0)]


def _timed(what: str, command: Sequence[str], kubeconfig: str, at_most: float | None = None) -> list[figures.Row]:
    """Run a command several times. Return its wall time and the largest memory of a run."""
    seconds, megabytes = [], []
    for _ in range(_RUNS):
        began = time.monotonic()
        process = subprocess.Popen(
            command, env={**os.environ, "KUBECONFIG": kubeconfig}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.monotonic() - began)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, errors
        megabytes.append(usage.ru_maxrss * 1024 / 1e6)
    goal = None if at_most is None else figures.Goal("p50", at_most)
    return [
        figures.Row(f"command: {what}", "s", tuple(seconds), goal),
        figures.single(f"command: {what}: memory", max(megabytes), "MB", at_most=150),
    ]
