"""A base image for the Dockerfile if no registry is reachable: a small copy of this machine's Debian or Ubuntu.

`HNO_BASE` names another base image, in buildah's syntax (`docker.io/library/python:3.13-slim`, `oci-archive:/path`).
Otherwise debootstrap builds a base image once (about 2 minutes) from apt's configured package source. The image stays
in the user's cache, and its key is a hash of its inputs. The code names no host, so it uses only what the machine is
allowed to use.
"""

import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

from tests import packages as apt
from tests.controlplane import binary

TOOLS = ("buildah", "debootstrap")
# The packages that a Python base image has and Debian's smallest lacks: `python` with venv, and certificates.
_PACKAGES = "ca-certificates,python-is-python3,python3,python3-venv"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARGIN_MIB = 3072  # a base, a build stage and the image, each a complete copy with the driver vfs


class ImageError(Exception):
    """No image can be built on this machine; the message has the remedy."""


class Buildah:
    """buildah with its own storage in `directory`, without features that a machine may lack."""

    def __init__(self, directory: pathlib.Path) -> None:
        storage = ["--storage-driver", "vfs", "--root", str(directory / "storage"), "--runroot", str(directory / "run")]
        self._command = ["buildah", *storage]

    def __call__(self, *arguments: str) -> str:
        """Run buildah and return its output. Raise ImageError with the last lines of output on failure."""
        return run([*self._command, *arguments], "BUILDAH_ISOLATION=chroot")


def run(command: list[str], *settings: str) -> str:
    environment = {**os.environ, **dict(setting.split("=", 1) for setting in settings)}
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if completed.returncode:
        tail = "\n".join((completed.stdout + completed.stderr).splitlines()[-20:])
        raise ImageError(f"{' '.join(command)} ended with {completed.returncode}:\n{tail}")
    return completed.stdout.strip()


def install_tools() -> None:
    """Install buildah and debootstrap by apt if they are missing. Raise ImageError on failure."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    free = shutil.disk_usage(tempfile.gettempdir()).free >> 20
    if free < _MARGIN_MIB:
        raise ImageError(f"{tempfile.gettempdir()} has {free} MiB free, {_MARGIN_MIB} are needed; set TMPDIR")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ImageError(
            f"{' and '.join(missing)} missing, and no apt-get to install them; install them and set HNO_BASE"
        )
    _say(f"installing {' and '.join(missing)}")
    try:
        install(*missing)
    except ImageError as error:
        raise ImageError(f"{error}\ninstall {' and '.join(missing)} by hand") from error


def install(*packages: str) -> None:
    """Install packages by apt. Raise ImageError on failure."""
    with apt.turn():
        run(["apt-get", "update", "--quiet"])
        command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
        run(command, "DEBIAN_FRONTEND=noninteractive")


def find_or_make() -> str:
    """Return a base image in buildah's syntax. Raise ImageError if there is none."""
    if base_image := os.environ.get("HNO_BASE"):
        return base_image
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    key = hashlib.sha256(f"{suite} {_PACKAGES} {_PATH} {platform.machine()}".encode()).hexdigest()[:16]
    archive = binary.cache_directory() / f"base-{suite}-{key}.tar"
    if not archive.exists():
        _make(suite, archive)
    return f"oci-archive:{archive}"


def _make(suite: str, archive: pathlib.Path) -> None:
    mirror = _mirror(suite)
    _say(f"making a base image of {suite}, once; about 2 minutes")
    archive.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_suffix(f".{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="hno-base-") as directory:
        root = pathlib.Path(directory) / "root"
        # A private mount namespace ends debootstrap's mounts in any case, before the directory is removed.
        unshare = ["unshare", "--mount", "--propagation", "private"]
        run([*unshare, "debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, str(root), mirror])
        for leftover in (*root.glob("var/cache/apt/archives/*.deb"), *root.glob("var/lib/apt/lists/*_*")):
            leftover.unlink()
        buildah = Buildah(pathlib.Path(directory))
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, str(root), "/")
        buildah("config", "--env", f"PATH={_PATH}", container)
        buildah("commit", "--quiet", container, f"oci-archive:{unfinished}")
    unfinished.rename(archive)


def _mirror(suite: str) -> str:
    """Return the source from which this machine's apt gets the suite."""
    arguments = ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)"]
    for line in run(arguments).splitlines() if shutil.which("apt-get") else []:
        if line.split()[:3] == ["Packages", suite, "main"]:
            return line.split()[3]
    raise ImageError(
        f"apt has no source for main of {suite!r}; configure one, or set HNO_BASE to a Python >= 3.11 image"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
