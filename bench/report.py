"""The JSON file beside the table: the measurements and their circumstances."""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Iterable
from typing import Any

from tests.controlplane import binary, operator

from bench import figures

DIRECTORY = operator.ROOT / "bench" / "results"
_PACKAGES = ("kopf", "kubernetes", "aiohttp", "pydantic", "prometheus-client", "urllib3")


def default_path() -> pathlib.Path:
    return DIRECTORY / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"


def circumstances() -> dict[str, Any]:
    """Return the machine, the versions, the commit, and the machine's load before the start."""
    return {
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6,
        "load": os.getloadavg(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kubernetes": binary.release().version,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "changed": _git("status", "--porcelain", "--", "operator", "manifests", "crds", "bench").splitlines(),
    }


def write(path: pathlib.Path, details: dict[str, Any], rows: Iterable[figures.Row], failed: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {**details, "load_after": os.getloadavg(), "failed": failed, "rows": [row.as_json() for row in rows]}
    path.write_text(json.dumps(body, indent=1) + "\n")


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(operator.ROOT), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
