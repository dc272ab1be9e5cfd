"""The steps in the order of their dependencies: a later step reads what an earlier step wrote."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Final

from charts import render
from generate import admission_page, cli_page, findings_index, policies, seal
from hostnetwork_operator.api import crd, fingerprint

ROOT: Final = pathlib.Path(__file__).parent.parent
# The text of each file; None for a file that must not exist.
Files = Mapping[pathlib.Path, str | None]


def _crds() -> Files:
    directory = ROOT / "crds"
    return dict.fromkeys(directory.iterdir()) | {directory / name: text for name, text in crd.files().items()}


def _fingerprints() -> Files:
    shipped = ROOT / "operator" / "hostnetwork_operator" / "api" / "shipped.py"
    return {shipped: fingerprint.generated(ROOT / "manifests" / "admission", ROOT / "manifests" / "static")}


STEPS: Final[Mapping[str, Callable[[], Files]]] = {
    "policies": policies.files,
    "seal": seal.files,
    "crds": _crds,
    "fingerprints": _fingerprints,
    "prometheus rule": render.prometheus_rule_file,
    "chart": render.chart_files,
    "admission page": admission_page.files,
    "findings index": findings_index.files,
    "command page": cli_page.files,
}


def stale(step: str) -> list[pathlib.Path]:
    """Return the files of a step that differ from what its inputs produce."""
    return sorted(path for path, text in STEPS[step]().items() if text != _present(path))


def write() -> list[pathlib.Path]:
    """Write the stale files, step by step, and return the files that changed."""
    changed = []
    for step, files in STEPS.items():
        for path in stale(step):
            text = files()[path]
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
            changed.append(path)
    return changed


def _present(path: pathlib.Path) -> str | None:
    return path.read_text() if path.exists() else None
