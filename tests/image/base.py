"""A base image for the Dockerfile where no registry can be reached: this machine's own Debian or Ubuntu, in small.

`HNO_BASE` names another, as buildah does (`docker.io/library/python:3.13-slim`, `oci-archive:/path`). Else one is made
by debootstrap from the package source that apt is configured with, once (about 2 minutes), and kept in the user's
cache, keyed by what goes into it. No host is named here: whatever this machine may use is what is used.
"""

import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

from tests.controlplane import binary

TOOLS = ("buildah", "debootstrap")
# What a Python base image has and Debian's smallest has not: python with venv under that name, and certificates.
_PACKAGES = "ca-certificates,python-is-python3,python3,python3-venv"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARGIN_MIB = 3072  # a base, a stage of the build and the image, each a whole copy with the driver vfs


class ImageError(Exception):
    """No image can be built here; the message says what to do."""


class Buildah:
    """buildah with a storage of its own in `directory`, without anything that a machine may lack."""

    def __init__(self, directory: pathlib.Path) -> None:
        storage = ["--storage-driver", "vfs", "--root", str(directory / "storage"), "--runroot", str(directory / "run")]
        self._command = ["buildah", *storage]

    def __call__(self, *words: str) -> str:
        """What it printed. Raises ImageError with its last lines."""
        return run([*self._command, *words], "BUILDAH_ISOLATION=chroot")


def run(command: list[str], *settings: str) -> str:
    environment = {**os.environ, **dict(setting.split("=", 1) for setting in settings)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ImageError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
    return done.stdout.strip()


def install_tools() -> None:
    """buildah and debootstrap, by apt where they are missing. Raises ImageError."""
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
        run(["apt-get", "update", "--quiet"])
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
        run(install, "DEBIAN_FRONTEND=noninteractive")
    except ImageError as error:
        raise ImageError(f"{error}\ninstall {' and '.join(missing)} by hand") from error


def find_or_make() -> str:
    """A base in buildah's words. Raises ImageError."""
    if given := os.environ.get("HNO_BASE"):
        return given
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
        # What debootstrap mounts must be gone whatever becomes of it, before the directory is removed.
        alone = ["unshare", "--mount", "--propagation", "private"]
        run([*alone, "debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, str(root), mirror])
        for kept in (*root.glob("var/cache/apt/archives/*.deb"), *root.glob("var/lib/apt/lists/*_*")):
            kept.unlink()
        buildah = Buildah(pathlib.Path(directory))
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, str(root), "/")
        buildah("config", "--env", f"PATH={_PATH}", container)
        buildah("commit", "--quiet", container, f"oci-archive:{unfinished}")
    unfinished.rename(archive)


def _mirror(suite: str) -> str:
    """Where apt gets the suite from on this machine."""
    words = ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)"]
    for line in run(words).splitlines() if shutil.which("apt-get") else []:
        if line.split()[:3] == ["Packages", suite, "main"]:
            return line.split()[3]
    raise ImageError(
        f"apt has no source for main of {suite!r}; configure one, or set HNO_BASE to a Python >= 3.11 image"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
