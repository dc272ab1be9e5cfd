"""Renders the installation packages from crds/ and manifests/: a kubectl file per overlay, and the Helm chart.

The chart's templates are the files of manifests/ word for word, with values in the places listed here. The other files
of the chart (Chart.yaml, values) are written by hand.

    make generate    charts/hostnetwork-operator/{crds,templates} and manifests/monitoring/prometheusrule.yaml, which
                     are committed (generate/steps.py calls this module)
    make install-yaml [IMAGE=registry/name:tag]    dist/admission.yaml, dist/install-<overlay>.yaml and
                     dist/monitoring.yaml, which are not committed
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

import yaml
from tests.controlplane import binary

ROOT = pathlib.Path(__file__).parent.parent
MANIFESTS = ROOT / "manifests"
MONITORING = MANIFESTS / "monitoring"
METRICS_AUTH = MANIFESTS / "components" / "metrics-auth"
EVIDENCE = MANIFESTS / "components" / "evidence"
STANDBY = MANIFESTS / "components" / "standby"
CHART = ROOT / "charts" / "hostnetwork-operator"
OVERLAYS = ("audit", "enforce", "enforce-before-1.36")
BY_HAND = "checks.yaml"  # the template that renders nothing and refuses what cannot work
_HEADER = "# Generated from {} by `make generate`; do not edit.\n"

_IMAGE = re.compile(r"(?<=image: )hostnetwork-operator:\S+")
_RESOURCES = re.compile(r"(?<=resources:)(\n {12}\S.*)+")
_IMAGE_VALUES = (
    '"{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}'
    '{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}"'
)
_LABELS_VALUES = "  labels: {{{{- toYaml (merge (dict {}) .Values.monitoring.labels) | nindent 4 }}}}\n"
_IF_METRICS_AUTH = "{{- if .Values.metricsAuth.enabled }}"
_IF_EVIDENCE = "{{- if .Values.evidence.enabled }}"
_IF_STANDBY = "{{- if .Values.standby.enabled }}"
_RESOURCES_VALUES = "{{- toYaml .Values.resources | nindent 12 }}"


def chart_files() -> dict[pathlib.Path, str | None]:
    """Return each file of the chart that is not written by hand; None for a file that must not exist there."""
    present = [path for name in ("crds", "templates") for path in (CHART / name).iterdir() if path.name != BY_HAND]
    return dict.fromkeys(present) | {CHART / name: text for name, text in _chart_texts().items()}


def _chart_texts() -> dict[str, str]:
    """Return path inside the chart to text."""
    texts = {f"crds/{path.name}": _HEADER.format(f"crds/{path.name}") + path.read_text() for path in _definitions()}
    for path in _objects():
        texts[f"templates/{path.name}"] = _template(path)
    for name, text in _monitoring().items():
        texts[f"templates/{name}"] = _monitoring_template(name, text)
    audit, enforce = (MANIFESTS / "overlays" / name / "policy.yaml" for name in ("audit", "enforce"))
    texts["templates/policy.yaml"] = (
        _HEADER.format("manifests/overlays")
        + f'{{{{- if eq .Values.mode "Enforce" }}}}\n{_plain(enforce)}{{{{- else }}}}\n{_plain(audit)}{{{{- end }}}}\n'
    )
    return texts


def prometheus_rule_file() -> dict[pathlib.Path, str]:
    """Return the PrometheusRule, which is committed beside the rules."""
    return {MONITORING / "prometheusrule.yaml": _prometheus_rule()}


def _prometheus_rule() -> str:
    """Return rules.yaml as a PrometheusRule object, whose spec has the same form as the file."""
    _, start, groups = (MONITORING / "rules.yaml").read_text().partition("\ngroups:\n")
    spec = re.sub(r"(?m)^(?=.)", "  ", start.lstrip() + groups)
    return f"""{_HEADER.format("manifests/monitoring/rules.yaml")}apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: hostnetwork-operator
  namespace: hostnetwork-system
  labels: {{app.kubernetes.io/name: hostnetwork-operator}}
spec:
{spec}"""


def admission_yaml() -> str:
    """Return manifests/admission as one text, which must be applied five seconds before everything else.

    The text is word for word as in the chart, because kustomize adds blank lines to folded text. A different text of
    the same expression is a change of the policy, and the five seconds count from the last change.
    """
    return "---\n".join(path.read_text() for path in _policies())


def install_yaml(overlay: str, image: str = "") -> str:
    """Return an overlay as one text: the policies of `admission_yaml`, the CRDs, and the rest of the overlay.

    `image` replaces the image in manifests/.
    """
    body: dict[str, object] = {"resources": [f"../../manifests/overlays/{overlay}"]}
    if image:
        body["images"] = [{"name": "hostnetwork-operator", **_new_image(image)}]
    policies = _identities(admission_yaml())
    documents = _kustomized(body).split("\n---\n")
    rest = [text for text in documents if not policies & _identities(text)]
    assert len(documents) == len(rest) + len(policies), f"{overlay} has not every policy of manifests/admission"
    definitions = "---\n".join(path.read_text() for path in _definitions())
    return "---\n".join([admission_yaml(), definitions, "\n---\n".join(rest)])


def monitoring_yaml() -> str:
    """Return manifests/monitoring alone."""
    return _kustomized({"components": ["../../manifests/monitoring"]})


def _kustomized(body: dict[str, object]) -> str:
    (ROOT / "dist").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "dist") as directory:
        (pathlib.Path(directory) / "kustomization.yaml").write_text(yaml.safe_dump(body))
        command = [*binary.find_or_build().command("kubectl"), "kustomize", directory]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _new_image(image: str) -> dict[str, str]:
    name, at, digest = image.partition("@")
    if at:
        return {"newName": name, "digest": digest}
    name, _, tag = image.rpartition(":")
    if not name or "/" in tag:  # a colon may belong to a port
        raise SystemExit(f"image {image!r}: it must have a tag or a digest")
    return {"newName": name, "newTag": tag}


def _identities(text: str) -> set[tuple[str, str]]:
    """Return kind and name of each object in a text. The callers pass only objects without a namespace."""
    return {(body["kind"], body["metadata"]["name"]) for body in yaml.safe_load_all(text) if body}


def _policies() -> list[pathlib.Path]:
    return [path for path in sorted((MANIFESTS / "admission").glob("*.yaml")) if path.name != "kustomization.yaml"]


def _definitions() -> list[pathlib.Path]:
    return sorted((ROOT / "crds").glob("*.yaml"))


def _objects() -> list[pathlib.Path]:
    """Return the files of manifests/ with objects, except overlays (two files make the policy), monitoring, and static
    (the API server reads these files from its own disk).
    """
    paths = [path for path in MANIFESTS.rglob("*.yaml") if path.name != "kustomization.yaml"]
    others = {MANIFESTS / "overlays", MANIFESTS / "static", MONITORING}
    paths = sorted(path for path in paths if not others & set(path.parents))
    assert len({path.name for path in paths}) == len(paths), "two files of one name"
    return paths


def _plain(path: pathlib.Path) -> str:
    """Return the text of a file that has nothing for a template language."""
    text = path.read_text()
    assert "{{" not in text, f"{path}: Helm would take {{{{ for a template"
    return text


def _template(path: pathlib.Path) -> str:
    text = _plain(path)
    if path.name == "deployment.yaml":
        text, images = _IMAGE.subn(_IMAGE_VALUES, text)
        text, resources = _RESOURCES.subn(" " + _RESOURCES_VALUES, text)
        assert (images, resources) == (1, 1), f"{path}: image and resources are not where they were"
        text = _with_components(text)
    if path.name == "namespace.yaml":
        # Helm keeps its release record in this namespace, and would delete its own record with the namespace.
        text, names = re.subn(
            r"(?m)^  name: hostnetwork-system\n", r"\g<0>  annotations: {helm.sh/resource-policy: keep}\n", text
        )
        assert names == 1, f"{path}: metadata.name is not where it was"
    if path.name == "evidence-pvc.yaml":
        # An archive outlives the release.
        text, names = re.subn(
            r"(?m)^  namespace: hostnetwork-system\n", r"\g<0>  annotations: {helm.sh/resource-policy: keep}\n", text
        )
        assert names == 1, f"{path}: metadata.namespace is not where it was"
    if EVIDENCE in path.parents:
        text = f"{_IF_EVIDENCE}\n{_IMAGE.sub(_IMAGE_VALUES, text)}{{{{- end }}}}\n"
    elif METRICS_AUTH in path.parents:
        text = f"{_IF_METRICS_AUTH}\n{text}{{{{- end }}}}\n"
    elif STANDBY in path.parents:
        text = f"{_IF_STANDBY}\n{text}{{{{- end }}}}\n"
    elif MANIFESTS / "components" in path.parents:
        text = f'{{{{- if and (eq .Values.mode "Enforce") .Values.components }}}}\n{text}{{{{- end }}}}\n'
    return _HEADER.format(path.relative_to(ROOT)) + text


def _with_components(text: str) -> str:
    """Return the text of the Deployment with what metrics-auth and the standby change there.

    Each patch of a component gives a field another value, adds an item to the list that is open at the end of the text,
    or adds a field to the innermost mapping that is open there, or to a mapping around it.
    """
    conditions = {_IF_METRICS_AUTH: _patch(METRICS_AUTH, "Deployment"), _IF_STANDBY: _patch(STANDBY, "Deployment")}
    for condition, steps in conditions.items():
        for step in steps:
            if step["op"] == "replace":
                text = _replaced(text, step, condition)
    for items in (True, False):
        for condition, steps in conditions.items():
            text += _added([step for step in steps if step["path"].endswith("/-") == items], condition)
    return text


def _metrics_auth(kind: str) -> str:
    """Return what the component metrics-auth adds to an object of this kind, as the end of the object's text."""
    return _added(_patch(METRICS_AUTH, kind), _IF_METRICS_AUTH)


def _replaced(text: str, step: dict[str, Any], condition: str) -> str:
    """Return the text with another value of one field, if the condition holds."""
    name, value = step["path"].rsplit("/", 1)[1], json.dumps(step["value"])
    either = rf"{condition.replace('{{-', '{{')}{value}{{{{ else }}}}\g<0>{{{{ end }}}}"
    text, count = re.subn(rf"(?m)(?<=^  {name}: ).*$", either, text)
    assert count == 1, f"{name} is not where it was"
    return text


def _added(steps: list[dict[str, Any]], condition: str) -> str:
    """Return the lines that add fields to mappings, and items to a list, if the condition holds."""
    lines = []
    for step in steps:
        *parents, name = step["path"].strip("/").split("/")
        if step["op"] == "add":
            lines.append(f"{'  ' * len(parents)}{'-' if name == '-' else f'{name}:'} {json.dumps(step['value'])}\n")
    return f"{condition}\n{''.join(lines)}{{{{- end }}}}\n"


def _patch(component: pathlib.Path, kind: str) -> list[dict[str, Any]]:
    """Return the steps of the JSON patch by which a component changes the object of this kind."""
    body = yaml.safe_load((component / "kustomization.yaml").read_text())
    (patch,) = (entry["patch"] for entry in body["patches"] if entry["target"]["kind"] == kind)
    steps: list[dict[str, Any]] = yaml.safe_load(patch)
    return steps


def _monitoring() -> dict[str, str]:
    """Return file name to text of the objects of manifests/monitoring; the ConfigMap is as kustomize generates it."""
    (generated,) = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())["configMapGenerator"]
    (file,) = generated["files"]
    labels = ", ".join(f"{key}: {json.dumps(value)}" for key, value in generated["options"]["labels"].items())
    content = re.sub(r"(?m)^(?=.)", "    ", (MONITORING / file).read_text())
    dashboard = f"""apiVersion: v1
kind: ConfigMap
metadata:
  name: {generated["name"]}
  namespace: {generated["namespace"]}
  labels: {{{labels}}}
data:
  {file}: |
{content}"""
    objects = {name: (MONITORING / name).read_text() for name in ("podmonitor.yaml", "prometheusrule.yaml")}
    return {**objects, "dashboard.yaml": dashboard}


def _monitoring_template(name: str, text: str) -> str:
    # Alerts and legends have their own templates, which Helm must not expand.
    text = text.replace("{{", '{{ "{{" }}')

    def with_values(match: re.Match[str]) -> str:
        label_values = yaml.safe_load(match[1])
        return _LABELS_VALUES.format(" ".join(json.dumps(word) for pair in label_values.items() for word in pair))

    text, labels = re.subn(r"(?m)^  labels: (\{.*\})\n", with_values, text, count=1)
    assert labels == 1, f"{name}: metadata.labels are not where they were"
    if name == "podmonitor.yaml":
        text += _metrics_auth("PodMonitor")
    header = _HEADER.format("manifests/monitoring")
    return f"{header}{{{{- if .Values.monitoring.enabled }}}}\n{text}{{{{- end }}}}\n"


def main(words: list[str]) -> int:
    match words:
        case ["install-yaml", *image] if len(image) <= 1:
            (ROOT / "dist").mkdir(exist_ok=True)
            texts = {f"install-{overlay}.yaml": install_yaml(overlay, *image) for overlay in OVERLAYS}
            texts |= {"admission.yaml": admission_yaml(), "monitoring.yaml": monitoring_yaml()}
            for name, text in texts.items():
                (ROOT / "dist" / name).write_text(text)
                print(f"dist/{name}")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
