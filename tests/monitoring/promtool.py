"""The promtool command: from PATH, or from Debian's package `prometheus`, unpacked into the user's cache.

The code unpacks the package without installing it, because an installation would start a server. A build from the Go
module would take eight minutes on 2 cores; the package takes two seconds. So without apt-get only a promtool on PATH
works.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from tests import packages
from tests.controlplane import binary

_REMEDY = "put promtool on PATH; it comes with Prometheus, on Debian and Ubuntu as apt-get install prometheus"


def find_or_fetch() -> pathlib.Path:
    """Return the path of promtool. Raise binary.BuildError with the remedy if there is none."""
    if path := shutil.which("promtool"):
        return pathlib.Path(path)
    cached = binary.cache_directory() / "promtool"
    cached.parent.mkdir(parents=True, exist_ok=True)
    with packages.turn():
        if not cached.exists():
            _fetch(cached)
    return cached


def _fetch(target: pathlib.Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise binary.BuildError(f"no promtool on PATH, and no apt-get to get it with; {_REMEDY}")
    with tempfile.TemporaryDirectory(prefix="hno-promtool-") as directory:
        # A fresh machine has no package lists yet. Fetching the lists needs root, so it may fail where the download
        # does not.
        if _run(directory, "apt-get", "download", "prometheus"):
            _run(directory, "apt-get", "update", "-q")
            if error := _run(directory, "apt-get", "download", "prometheus"):
                raise binary.BuildError(f"no promtool on PATH, and apt-get has none: {error}; {_REMEDY}")
        (package,) = pathlib.Path(directory).glob("prometheus_*.deb")
        if error := _run(directory, "dpkg-deb", "-x", str(package), "."):
            raise binary.BuildError(f"no promtool on PATH, and {package.name} cannot be unpacked: {error}; {_REMEDY}")
        unfinished = target.with_suffix(f".{os.getpid()}")
        shutil.copy(pathlib.Path(directory) / "usr" / "bin" / "promtool", unfinished)
        unfinished.rename(target)


def _run(directory: str, *command: str) -> str:
    """Run a command and return its error text; '' on success."""
    completed = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    return (completed.stderr.strip()[-500:] or f"exit status {completed.returncode}") if completed.returncode else ""
