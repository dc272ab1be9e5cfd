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
    """Start a control plane; print the export line alone on stdout, and progress on stderr."""
    if _STATE.exists():
        print(f"it is up already: {DIRECTORY}", file=sys.stderr)
    else:
        print("starting a control plane", file=sys.stderr)
        control_plane = cluster.Cluster(DIRECTORY, detached=True).start()
        remember(control_plane)
    print(export_line())
    return 0


def down() -> int:
    """End the processes that `up` started, by pid. A pid that another process has now is left alone."""
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
    """Run the operator in the foreground, with a token of its service account, on the current kubeconfig's cluster."""
    kubectl = [*binary.find_or_build().command("kubectl")]
    arguments = ["create", "token", operator.ACCOUNT, "-n", operator.NAMESPACE, "--duration=24h"]
    token = subprocess.run([*kubectl, *arguments], capture_output=True, text=True, check=False)
    if token.returncode:
        print(f"{token.stderr.strip()}\nis it installed? kubectl apply -k manifests/overlays/audit", file=sys.stderr)
        return 1
    view_command = [*kubectl, "config", "view", "--minify", "--flatten", "-o", "yaml"]
    config = yaml.safe_load(subprocess.run(view_command, capture_output=True, text=True, check=True).stdout)
    config["users"][0]["user"] = {"token": token.stdout.strip()}
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        environment = {"HOSTNETWORK_ADDRESS": "127.0.0.1", **os.environ, "KUBECONFIG": str(path)}
        process = subprocess.Popen([sys.executable, "-m", "hostnetwork_operator"], env=environment)
        # Whatever signal ends this process, the operator ends too, and its kubeconfig is removed.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: process.terminate())
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the terminal has sent the signal to the operator too
                return process.wait()


def build() -> int:
    """Build the executables into the cache, where later commands find them."""
    binary.find_or_build()
    return 0


def remember(control_plane: cluster.Cluster, **others: int) -> None:
    """Write the pids to a file for `down`."""
    pids = {name: component.pid for name, component in control_plane.components.items()}
    _STATE.write_text(json.dumps({**pids, **others}))


def export_line() -> str:
    return f"export KUBECONFIG={cluster.admin_kubeconfig(DIRECTORY)}"


def _is_ours(pid: int) -> bool:
    # The kernel may have given the pid to another process since then.
    try:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return str(DIRECTORY).encode() in command + environment


def main(arguments: list[str]) -> int:
    verbs = {"up": up, "down": down, "run": run, "binary": build}
    if len(arguments) != 1 or arguments[0] not in verbs:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return verbs[arguments[0]]()
    except (binary.BuildError, cluster.NotReadyError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
