"""`python -m tests.controlplane up|down|run|binary`: what `make cluster`, `cluster-down` and `run` do."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import yaml

from tests.controlplane import binary, cluster, operator, processes

DIRECTORY = operator.ROOT / ".cluster"
_STATE = DIRECTORY / "pids.json"


def up() -> int:
    """Prints the export line alone on stdout; progress goes to stderr."""
    if _STATE.exists():
        print(f"it is up already: {DIRECTORY}", file=sys.stderr)
    else:
        print("starting a control plane", file=sys.stderr)
        started = cluster.Cluster(DIRECTORY, detached=True).start()
        remember(started)
    print(export_line())
    return 0


def down() -> int:
    """Ends by pid what `up` started, if it still is that."""
    if not _STATE.exists():
        print(f"nothing is up: no {_STATE}", file=sys.stderr)
        return 0
    pids = json.loads(_STATE.read_text())
    for name in ("operator", "kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
        if name in pids and _is_ours(pids[name]):
            processes.end(pids[name])
    shutil.rmtree(DIRECTORY)
    return 0


def run() -> int:
    """The operator in the foreground, with a token of its service account from the current kubeconfig."""
    kubectl = [*binary.find_or_build().command("kubectl")]
    words = ["create", "token", operator.ACCOUNT, "-n", operator.NAMESPACE, "--duration=24h"]
    token = subprocess.run([*kubectl, *words], capture_output=True, text=True, check=False)
    if token.returncode:
        print(f"{token.stderr.strip()}\nis it installed? kubectl apply -k manifests/overlays/audit", file=sys.stderr)
        return 1
    view = [*kubectl, "config", "view", "--minify", "--flatten", "-o", "yaml"]
    config = yaml.safe_load(subprocess.run(view, capture_output=True, text=True, check=True).stdout)
    config["users"][0]["user"] = {"token": token.stdout.strip()}
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        environment = {"HOSTNETWORK_ADDRESS": "127.0.0.1", **os.environ, "KUBECONFIG": str(path)}
        running = subprocess.Popen([sys.executable, "-m", "hostnetwork_operator"], env=environment)
        # The operator ends with this process, however that is told to end, and its kubeconfig with it.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: running.terminate())
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the terminal has told the operator too
                return running.wait()


def build() -> int:
    """The executables in the cache, so that what follows finds them there."""
    binary.find_or_build()
    return 0


def remember(started: cluster.Cluster, **others: int) -> None:
    """Writes down the pids for `down`."""
    pids = {name: component.pid for name, component in started.components.items()}
    _STATE.write_text(json.dumps({**pids, **others}))


def export_line() -> str:
    return f"export KUBECONFIG={cluster.admin_kubeconfig(DIRECTORY)}"


def _is_ours(pid: int) -> bool:
    # A pid may have been given to another process since.
    try:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return str(DIRECTORY).encode() in command + environment


def main(words: list[str]) -> int:
    verbs = {"up": up, "down": down, "run": run, "binary": build}
    if len(words) != 1 or words[0] not in verbs:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return verbs[words[0]]()
    except (binary.BuildError, cluster.NotReadyError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
