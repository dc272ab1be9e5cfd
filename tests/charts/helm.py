"""The helm command: from PATH, or built once from the Go module in go/ into the user's cache.

The test control plane already contains most of helm's modules in the same version, built the same way. So the build
compiles little.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess

from tests.controlplane import binary, golang

MODULE = pathlib.Path(__file__).parent / "go"


def find_or_build() -> pathlib.Path:
    """Return the path of helm. Raise binary.BuildError if helm cannot be built."""
    if helm_on_path := shutil.which("helm"):
        return pathlib.Path(helm_on_path)
    sources = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    cached_binary = binary.cache_directory() / f"helm-{hashlib.sha256(sources).hexdigest()[:16]}"
    if not cached_binary.exists():
        _build(cached_binary)
    return cached_binary


def _build(target: pathlib.Path) -> None:
    try:
        go = golang.find_or_install()
    except golang.GoError as error:
        raise binary.BuildError(f"no helm on PATH, and no Go toolchain to build it: {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    command = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), "helm.sh/helm/v3/cmd/helm"]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    completed = subprocess.run(command, cwd=MODULE, env=environment, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise binary.BuildError(f"go build of helm failed:\n{completed.stderr[-2000:]}")
    unfinished.rename(target)
