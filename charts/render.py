"""What people install, made from crds/ and manifests/: a file for `kubectl apply` per overlay, and Helm's chart.

manifests/ is the only place where an object is written down. The chart's templates are its files word for word, with
values in the four places named here; the chart's other files (Chart.yaml, values) are written by hand.

    python -m charts.render chart        charts/hostnetwork-operator/{crds,templates}, which are committed
    python -m charts.render install-yaml [IMAGE]    dist/install-<overlay>.yaml, which are not
"""

import pathlib
import re
import subprocess
import sys

import yaml
from tests.controlplane import binary

ROOT = pathlib.Path(__file__).parent.parent
MANIFESTS = ROOT / "manifests"
CHART = ROOT / "charts" / "hostnetwork-operator"
OVERLAYS = ("audit", "enforce", "enforce-before-1.36")
BY_HAND = "checks.yaml"  # the template that renders nothing, and refuses what cannot work
_HEADER = "# Made from {} by `make chart`; do not edit.\n"

_IMAGE = re.compile(r"(?<=image: )hostnetwork-operator:\S+")
_RESOURCES = re.compile(r"(?<=resources:)(\n {12}\S.*)+")
_IMAGE_VALUES = (
    '"{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}'
    '{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}"'
)
_RESOURCES_VALUES = "{{- toYaml .Values.resources | nindent 12 }}"


def chart_files() -> dict[str, str]:
    """Path inside the chart to text, for everything in it that is not written by hand."""
    made = {f"crds/{path.name}": _HEADER.format(f"crds/{path.name}") + path.read_text() for path in _definitions()}
    for path in _objects():
        made[f"templates/{path.name}"] = _template(path)
    audit, enforce = (MANIFESTS / "overlays" / name / "policy.yaml" for name in ("audit", "enforce"))
    made["templates/policy.yaml"] = (
        _HEADER.format("manifests/overlays")
        + f'{{{{- if eq .Values.mode "Enforce" }}}}\n{_plain(enforce)}{{{{- else }}}}\n{_plain(audit)}{{{{- end }}}}\n'
    )
    return made


def write_chart() -> None:
    """The chart's files as they should be, and no others where they are."""
    made = chart_files()
    for path in [*(CHART / "crds").glob("*"), *(CHART / "templates").glob("*")]:
        if str(path.relative_to(CHART)) not in made and path.name != BY_HAND:
            path.unlink()
    for name, text in made.items():
        (CHART / name).write_text(text)


def install_yaml(overlay: str, image: str = "") -> str:
    """The CRDs and then an overlay, as one text; with `image` in place of the one that manifests/ names."""
    directory = ROOT / "dist" / "kustomization"
    directory.mkdir(parents=True, exist_ok=True)
    body: dict[str, object] = {"resources": [f"../../manifests/overlays/{overlay}"]}
    if image:
        body["images"] = [{"name": "hostnetwork-operator", **_new_image(image)}]
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(body))
    command = [*binary.find_or_build().command("kubectl"), "kustomize", str(directory)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "---\n".join([*(path.read_text() for path in _definitions()), rendered])


def _new_image(image: str) -> dict[str, str]:
    name, at, digest = image.partition("@")
    if at:
        return {"newName": name, "digest": digest}
    name, _, tag = image.rpartition(":")
    if not name or "/" in tag:  # the colon, if there is one, is that of a port
        raise SystemExit(f"image {image!r}: it must have a tag or a digest")
    return {"newName": name, "newTag": tag}


def _definitions() -> list[pathlib.Path]:
    return sorted((ROOT / "crds").glob("*.yaml"))


def _objects() -> list[pathlib.Path]:
    """Every file of manifests/ that holds objects, overlays apart: those are the policy, made from two files."""
    found = [path for path in MANIFESTS.rglob("*.yaml") if path.name != "kustomization.yaml"]
    found = sorted(path for path in found if MANIFESTS / "overlays" not in path.parents)
    assert len({path.name for path in found}) == len(found), "two files of one name"
    return found


def _plain(path: pathlib.Path) -> str:
    """The text of a file in which a template language finds nothing."""
    text = path.read_text()
    assert "{{" not in text, f"{path}: Helm would take {{{{ for a template"
    return text


def _template(path: pathlib.Path) -> str:
    text = _plain(path)
    if path.name == "deployment.yaml":
        text, images = _IMAGE.subn(_IMAGE_VALUES, text)
        text, resources = _RESOURCES.subn(" " + _RESOURCES_VALUES, text)
        assert (images, resources) == (1, 1), f"{path}: image and resources are not where they were"
    if path.name == "namespace.yaml":
        # Helm keeps its record of the release in this namespace, and would delete it from under itself.
        text, names = re.subn(
            r"(?m)^  name: hostnetwork-system\n", r"\g<0>  annotations: {helm.sh/resource-policy: keep}\n", text
        )
        assert names == 1, f"{path}: metadata.name is not where it was"
    if MANIFESTS / "components" in path.parents:
        text = f'{{{{- if and (eq .Values.mode "Enforce") .Values.components }}}}\n{text}{{{{- end }}}}\n'
    return _HEADER.format(path.relative_to(ROOT)) + text


def main(words: list[str]) -> int:
    match words:
        case ["chart"]:
            write_chart()
        case ["install-yaml", *image] if len(image) <= 1:
            (ROOT / "dist").mkdir(exist_ok=True)
            for overlay in OVERLAYS:
                path = ROOT / "dist" / f"install-{overlay}.yaml"
                path.write_text(install_yaml(overlay, *image))
                print(path.relative_to(ROOT))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
