"""Where the control plane's executables come from: found, or built once from the Go module beside this file.

`KUBERNETES` in the environment (what `make test KUBERNETES=1.33` sets) chooses among RELEASES, the newest if absent.

Looked for in this order: the directory `KUBEBUILDER_ASSETS` names, the cache of an earlier build, executables on
PATH, a build with the Go toolchain (6 to 12 minutes on 2 cores when nothing is cached). Ready-made executables count
only if etcd, kube-apiserver and kubectl are among them; controller manager, scheduler and kwok are needed too, so a
directory with fewer is passed over and said so.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from tests.controlplane import golang

MODULE = pathlib.Path(__file__).parent
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")


@dataclasses.dataclass(frozen=True)
class Release:
    """A version of Kubernetes that is tested, and the file that says what the module needs for it."""

    version: str
    module_file: str

    @property
    def minor(self) -> str:
        return self.version.rpartition(".")[0]

    def has(self, minor: str) -> bool:
        """Whether it is that minor version or a newer one."""
        return _ordered(self.minor) >= _ordered(minor)

    @property
    def sources(self) -> tuple[str, ...]:
        """What goes into the binary, as names in MODULE."""
        return self.module_file, self.module_file.removesuffix(".mod") + ".sum", "main.go"


RELEASES = (
    Release("1.37.2", "go.mod"),
    Release("1.36.3", "kubernetes-1.36.mod"),
    Release("1.35.4", "kubernetes-1.35.mod"),
    Release("1.33.13", "kubernetes-1.33.mod"),
)


class BuildError(Exception):
    """The executables could be neither found nor built; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Executables:
    """How to start each component: the words of the command line before its own flags."""

    commands: dict[str, tuple[str, ...]]

    def command(self, component: str) -> list[str]:
        return list(self.commands[component])


def cache_directory() -> pathlib.Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache")
    return pathlib.Path(root) / "hostnetwork-operator"


def release() -> Release:
    """The one that the environment asks for. Raises BuildError."""
    asked = os.environ.get("KUBERNETES") or RELEASES[0].minor
    for one in RELEASES:
        if asked == one.minor:
            return one
    raise BuildError(f"KUBERNETES={asked}: no such control plane; there are {', '.join(one.minor for one in RELEASES)}")


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def module_digest() -> str:
    """The key of the build cache: changes when anything that goes into the binary does."""
    chosen = release()
    digest = hashlib.sha256(chosen.version.encode())
    for name in chosen.sources:
        digest.update((MODULE / name).read_bytes())
    return digest.hexdigest()[:16]


def find_or_build() -> Executables:
    """Executables of all components. Raises BuildError."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (found := _separate(lambda name: shutil.which(name, path=assets), f"KUBEBUILDER_ASSETS={assets}")):
        return found
    built = cache_directory() / f"controlplane-{module_digest()}"
    if not built.exists():
        if found := _separate(shutil.which, "PATH", quiet=True):
            return found
        _build(built)
    return _multicall(built)


def _multicall(binary: pathlib.Path) -> Executables:
    return Executables({name: (str(binary), name) for name in COMPONENTS})


def _separate(which: Callable[[str], str | None], where: str, *, quiet: bool = False) -> Executables | None:
    paths = {name: which(name) for name in COMPONENTS}
    missing = sorted(name for name, path in paths.items() if path is None)
    if missing:
        if not quiet:
            _say(f"{where} lacks {', '.join(missing)}; not used")
        return None
    return Executables({name: (str(path),) for name, path in paths.items()})


def _build(target: pathlib.Path) -> None:
    try:
        go = golang.find_or_install()
    except golang.GoError as error:
        raise BuildError(
            "no control plane: neither KUBEBUILDER_ASSETS nor PATH has etcd, kube-apiserver, kube-controller-manager,"
            f" kube-scheduler, kubectl and kwok, and there is no Go toolchain to build them: {error}"
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    package = "k8s.io/component-base/version"
    chosen = release()
    major, minor, _ = chosen.version.split(".")
    version = f"-X {package}.gitVersion=v{chosen.version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    command = [go, "build", f"-modfile={chosen.module_file}", "-trimpath", "-ldflags", f"-s -w {version}"]
    command += ["-v", "-o", str(unfinished), "."]
    what = f"Kubernetes {chosen.version} (etcd, API server, controllers, kubectl, kwok)"
    _say(f"building {what}, once; 6-12 minutes on 2 cores")
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0"}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)  # type: ignore[arg-type]
    reader.start()
    while process.poll() is None:
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            _say(f"  {time.monotonic() - started:4.0f} s, {len(lines)} packages fetched or compiled")
    reader.join()
    if process.returncode:
        raise BuildError("go build failed:\n" + "".join(lines[-20:]))
    unfinished.rename(target)
    _say(f"built {target} in {time.monotonic() - started:.0f} s")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
