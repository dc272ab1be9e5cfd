"""Manifests are read document by document: each pod has its line, and what cannot be read hides nothing else."""

import pytest

from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import manifests
from tests.unit.builders import NOW

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: capture, namespace: debug}
spec:
  # A comment.
  hostNetwork: true
  containers: [{name: main, image: "tools:1"}]
"""


def read(*texts: str, **options: object) -> manifests.Manifests:
    sources = [(f"{number}.yaml", text) for number, text in enumerate(texts)]
    return manifests.read(sources, "default", NOW, **options)  # type: ignore[arg-type]


def places(found: manifests.Manifests) -> list[tuple[str, str, int]]:
    return [(each.name, each.place.file, each.place.line) for each in found.templates]


@pytest.mark.parametrize(
    ("kind", "version", "path"),
    [
        ("Deployment", "apps/v1", "spec.template"),
        ("DaemonSet", "apps/v1", "spec.template"),
        ("StatefulSet", "apps/v1", "spec.template"),
        ("ReplicaSet", "apps/v1", "spec.template"),
        ("ReplicationController", "v1", "spec.template"),
        ("Job", "batch/v1", "spec.template"),
        ("CronJob", "batch/v1", "spec.jobTemplate.spec.template"),
        ("PodTemplate", "v1", "template"),
        ("Pod", "v1", ""),
    ],
)
def test_every_kind_with_a_pod_template_is_read(kind: str, version: str, path: str) -> None:
    lines = [f"apiVersion: {version}", f"kind: {kind}", "metadata: {name: agent}"]
    keys = [*filter(None, path.split(".")), "spec"]
    lines += [f"{'  ' * depth}{key}:" for depth, key in enumerate(keys)]
    lines += [f"{'  ' * len(keys)}containers: [{{name: a, image: x}}]", f"{'  ' * len(keys)}hostPID: true"]
    found = read("\n".join(lines))
    assert places(found) == [("agent", "0.yaml", len(lines))]
    assert (found.templates[0].pod.namespace, found.templates[0].pod.host_namespaces) == ("default", {"PID"})


def test_a_kind_of_another_group_is_read_only_at_a_path_that_is_given() -> None:
    head = "apiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: r}\n"
    text = head + "spec: {work: {template: {spec: {hostIPC: true, containers: []}}}}"
    assert read(text).templates == ()
    assert places(read(text, paths=[("spec", "work", "template")])) == [("r", "0.yaml", 4)]


ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      hostNetwork: true
      containers: [{name: main, image: "web:1"}]
"""


def unknown(found: manifests.Manifests) -> list[tuple[int, str, bool]]:
    return [(each.place.line, ".".join(each.path), each.shares) for each in found.unknown]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ROLLOUT, (7, "spec.template", True)),
        (ROLLOUT.replace("true", "false"), (1, "spec.template", False)),
        (ROLLOUT.replace("template:", "jobTemplate:"), (7, "spec.jobTemplate", True)),
        (
            ROLLOUT.replace("argoproj.io/v1alpha1", "extensions/v1beta1").replace("hostNetwork: true", "hostPID: no"),
            (1, "spec.template", False),
        ),
        (
            ROLLOUT.replace("  template:\n", "  tasks:\n  - {}\n  -\n   template:\n"),
            (10, "spec.tasks.template", True),
        ),
    ],
)
def test_a_pod_template_of_another_kind_is_named_until_a_path_is_given(
    text: str, expected: tuple[int, str, bool]
) -> None:
    found = read(text)
    assert (found.templates, unknown(found)) == ((), [expected])
    given = read(text, paths=[tuple(expected[1].split("."))])
    assert ([each.place.line for each in given.templates], given.unknown, given.unused) == ([expected[0]], (), ())


@pytest.mark.parametrize(
    "text",
    [
        POD,
        ROLLOUT.replace("template", "pattern"),  # of a policy about pods
        ROLLOUT.replace("containers: [", "containers: {type: array}, x: ["),  # the schema of a CustomResourceDefinition
        "kind: ConfigMap\nmetadata: {name: a}\ndata: {template: 'spec: {containers: [{}]}'}",
    ],
)
def test_what_makes_no_pod_is_no_pod_template(text: str) -> None:
    assert read(text).unknown == ()


def test_a_path_at_which_no_object_has_a_pod_template_is_unused() -> None:
    paths = [("spec", "template"), ("spec", "tmplate")]
    assert read(ROLLOUT, paths=paths).unused == (("spec", "tmplate"),)
    assert read(POD, paths=paths).unused == tuple(paths)


def test_aliases_do_not_make_the_search_for_pod_templates_endless() -> None:
    """Written out, the object has 2^60 nodes. One node has itself as its item."""
    levels = "".join(f"  l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n" for n in range(1, 61))
    text = f"apiVersion: a/v1\nkind: Bomb\nmetadata: {{name: b}}\nspec:\n  l0: &l0 [x]\n{levels}  self: &s [*s]\n"
    assert read(text, ROLLOUT).unknown[0].subject == "Rollout web (argoproj.io/v1alpha1)"


def test_a_key_that_is_written_twice_hides_nothing() -> None:
    """The last counts, as for Kubernetes, and the line may be that of the object."""
    item = "{template: {spec: {hostPID: true, containers: [{}]}}}"
    text = f"apiVersion: a/v1\nkind: Job\nmetadata: {{name: b}}\nspec: {{tasks: [], tasks: [{item}]}}"
    assert unknown(read(text)) == [(1, "spec.tasks.template", True)]


def test_a_broken_document_hides_no_other() -> None:
    broken = "kind: [\n---\n"
    found = read(POD + "---\n" + broken + POD, "- a: b: c")
    assert [name for name, _, _ in places(found)] == ["capture", "capture"]
    assert [line for _, _, line in places(found)] == [6, 16]
    assert [(each.place.file, each.place.line) for each in found.unreadable] == [("0.yaml", 10), ("1.yaml", 1)]
    assert found.documents == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "---\n---\n",
        "# only a comment",
        "just a text",
        "[1, 2]",
        "replicas: 3\nimage: x",
        "kind: ConfigMap\nmetadata: {name: a}",
    ],
)
def test_what_is_no_object_is_passed_over(text: str) -> None:
    found = read(text)
    assert (found.templates, found.exceptions, found.unreadable) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"%YAML 1.1\n---\n{POD}", 8),
        (f"--- # the first\n{POD}", 7),
        (POD.replace("\n", "\r\n"), 6),
        (f"# --- in a comment\n{POD}", 7),
    ],
)
def test_what_stands_around_a_document_changes_no_line(text: str, line: int) -> None:
    found = read(text)
    assert (places(found), found.unreadable) == ([("capture", "0.yaml", line)], ())


def test_an_end_of_a_line_that_only_yaml_sees_hides_nothing() -> None:
    found = read(POD.replace("\n", "\u2028") + "\u2028---\u2028" + POD.replace("\n", "\u2028"))
    assert (found.templates, len(found.unreadable)) == ((), 1)


def test_items_of_lists_are_read_with_their_lines() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        f"{'- ' if not n else '  '}{line}\n" for n, line in enumerate(POD.splitlines())
    )
    assert places(read(text)) == [("capture", "0.yaml", 9)]


def test_an_exception_of_a_file_counts_in_its_namespace() -> None:
    text = """\
apiVersion: hostnetwork-operator.github.io/v1alpha1
kind: HostNetworkException
metadata: {name: net, namespace: debug}
spec: {type: Infrastructure, owner: sre, reason: Node metrics need it, serviceAccountName: agent}
"""
    (found,) = read(text).exceptions
    subject = found.exception
    assert (subject.metadata.name, subject.metadata.namespace, subject.spec.service_account) == (
        "net",
        "debug",
        "agent",
    )
    assert found.place == manifests.Position("0.yaml", 1)
    wrong = read(text.replace("Infrastructure", "Infra"))
    assert wrong.exceptions == ()
    assert wrong.unreadable[0].why.startswith("HostNetworkException net: spec.type: ")


@pytest.mark.parametrize(
    "spec",
    [
        "{containers: 3}",
        "{containers: [{image: 3}]}",
        "{containers: [{image: x, ports: [1]}]}",
        "{volumes: [x], containers: []}",
    ],
)
def test_a_pod_that_cannot_be_read_is_said(spec: str) -> None:
    found = read(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: odd}}\nspec: {spec}")
    assert found.templates == ()
    assert found.unreadable[0].why.startswith("Pod odd: ")


def test_a_document_of_many_levels_ends() -> None:
    """Nested lists, and aliases that grow without bound when they are written out."""
    deep = "[" * 5000
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    found = read(deep, bomb, POD)
    assert len(found.templates) == 1
    assert isinstance(found.templates[0].pod, snapshot.Pod)


def test_the_labels_of_a_namespace_are_read() -> None:
    """A value that is not a text is no label; the API server refuses it."""
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: debug, labels: {tier: open, bad: 1}}\n"
    assert read(text).namespaces == (manifests.WrittenNamespace("debug", {"tier": "open"}),)
    assert read(text.replace("{tier: open, bad: 1}", "no")).namespaces == (manifests.WrittenNamespace("debug", {}),)
    assert read(text.replace("v1", "example.com/v1")).namespaces == ()
