"""The promtool command: taken from PATH, or from Debian's package `prometheus`, unpacked into the user's cache.

The package is only unpacked, not installed: it would start a server. To build promtool from its Go module takes eight
minutes on 2 cores, and the package two seconds, so without apt-get there is nothing but what is on PATH.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

from tests.controlplane import binary

_REMEDY = "put promtool on PATH; it comes with Prometheus, on Debian and Ubuntu as apt-get install prometheus"


def find_or_fetch() -> pathlib.Path:
    """Where promtool is. Raises binary.BuildError with what to do."""
    if found := shutil.which("promtool"):
        return pathlib.Path(found)
    cached = binary.cache_directory() / "promtool"
    cached.parent.mkdir(parents=True, exist_ok=True)
    with cached.with_suffix(".lock").open("w") as lock:  # two runs of apt-get update at once refuse each other
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.exists():
            _fetch(cached)
    return cached


def _fetch(target: pathlib.Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise binary.BuildError(f"no promtool on PATH, and no apt-get to get it with; {_REMEDY}")
    with tempfile.TemporaryDirectory(prefix="hno-promtool-") as directory:
        # A fresh machine has no lists of packages yet; fetching them needs root, and so may fail where this does not.
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
    """What it complained of; '' if it went well."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    return (done.stderr.strip()[-500:] or f"exit status {done.returncode}") if done.returncode else ""
