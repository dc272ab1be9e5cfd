"""The control plane's executables: ready-made, or built once from the Go module in this directory.

`KUBERNETES` in the environment chooses one of RELEASES, as `make test KUBERNETES=1.33` does. The default is the newest.

The order of the sources is: the directory that `KUBEBUILDER_ASSETS` names, the cache of an earlier build, executables
on PATH, and a build with the Go toolchain (6 to 12 minutes on 2 cores without a cache). A source of ready-made
executables must have all COMPONENTS. A directory of `KUBEBUILDER_ASSETS` that lacks a component is reported and not
used.
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
    """A version of Kubernetes that is tested, and the file with the requirements of the Go module for that version."""

    version: str
    module_file: str

    @property
    def minor(self) -> str:
        return self.version.rpartition(".")[0]

    def has(self, minor: str) -> bool:
        """Return whether the release is of this minor version or of a newer one."""
        return _ordered(self.minor) >= _ordered(minor)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the files in MODULE from which the binary is built."""
        return self.module_file, self.module_file.removesuffix(".mod") + ".sum", "main.go"


RELEASES = (
    Release("1.37.2", "go.mod"),
    Release("1.36.3", "kubernetes-1.36.mod"),
    Release("1.35.4", "kubernetes-1.35.mod"),
    Release("1.33.13", "kubernetes-1.33.mod"),
)


class BuildError(Exception):
    """The executables could be neither found nor built. The message says what to do."""


@dataclasses.dataclass(frozen=True)
class Executables:
    """The start of each component's command line, before the flags of the component."""

    commands: dict[str, tuple[str, ...]]

    def command(self, component: str) -> list[str]:
        return list(self.commands[component])


def cache_directory() -> pathlib.Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache")
    return pathlib.Path(root) / "hostnetwork-operator"


def release() -> Release:
    """Return the release that the environment asks for. Raise BuildError if there is no such release."""
    minor = os.environ.get("KUBERNETES") or RELEASES[0].minor
    for candidate in RELEASES:
        if minor == candidate.minor:
            return candidate
    raise BuildError(
        f"KUBERNETES={minor}: no such control plane; there are {', '.join(candidate.minor for candidate in RELEASES)}"
    )


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def module_digest() -> str:
    """Return the key of the build cache, which changes with each source of the binary."""
    chosen_release = release()
    digest = hashlib.sha256(chosen_release.version.encode())
    for file_name in chosen_release.sources:
        digest.update((MODULE / file_name).read_bytes())
    return digest.hexdigest()[:16]


def find_or_build() -> Executables:
    """Return the executables of all components. Raise BuildError if they can be neither found nor built."""
    assets_directory = os.environ.get("KUBEBUILDER_ASSETS")
    if assets_directory and (
        executables := _separate(
            lambda name: shutil.which(name, path=assets_directory), f"KUBEBUILDER_ASSETS={assets_directory}"
        )
    ):
        return executables
    cached_binary = cache_directory() / f"controlplane-{module_digest()}"
    if not cached_binary.exists():
        if executables := _separate(shutil.which, "PATH", quiet=True):
            return executables
        _build(cached_binary)
    return _multicall(cached_binary)


def _multicall(binary: pathlib.Path) -> Executables:
    return Executables({name: (str(binary), name) for name in COMPONENTS})


def _separate(find: Callable[[str], str | None], source: str, *, quiet: bool = False) -> Executables | None:
    paths = {name: find(name) for name in COMPONENTS}
    missing = sorted(name for name, path in paths.items() if path is None)
    if missing:
        if not quiet:
            _report(f"{source} lacks {', '.join(missing)}; not used")
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
    chosen_release = release()
    major, minor, _ = chosen_release.version.split(".")
    version = (
        f"-X {package}.gitVersion=v{chosen_release.version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
    command = [go, "build", f"-modfile={chosen_release.module_file}", "-trimpath", "-ldflags", f"-s -w {version}"]
    command += ["-v", "-o", str(unfinished), "."]
    description = f"Kubernetes {chosen_release.version} (etcd, API server, controllers, kubectl, kwok)"
    _report(f"building {description}, once; 6-12 minutes on 2 cores")
    start = time.monotonic()
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
            _report(f"  {time.monotonic() - start:4.0f} s, {len(lines)} packages fetched or compiled")
    reader.join()
    if process.returncode:
        raise BuildError("go build failed:\n" + "".join(lines[-20:]))
    unfinished.rename(target)
    _report(f"built {target} in {time.monotonic() - start:.0f} s")


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
