"""label-at-birth: the API server labels a namespace in the request that creates it, without the operator."""

import itertools
import json
import pathlib
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels, policy
from tests.admission import workbench
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

pytestmark = pytest.mark.since("1.36", "MutatingAdmissionPolicy")
MANIFESTS = pathlib.Path(__file__).parent.parent.parent / "manifests"
COMPONENTS = sorted(file for file in (MANIFESTS / "components").rglob("*.yaml") if file.stem == file.parent.name)
NAMESPACES = "/api/v1/namespaces"
BIRTH = {
    labels.ENFORCEMENT: "Deny",
    labels.PSA_ENFORCE: "baseline",
    labels.PSA_AUDIT: "restricted",
    labels.PSA_WARN: "restricted",
    **dict.fromkeys(labels.PSA_VERSIONS, "latest"),
}
MODES = tuple(label.removeprefix(labels.PSA_PREFIX) for label in BIRTH if label.startswith(labels.PSA_PREFIX))
IN_ORDER = "enforce,enforce-version,audit,audit-version,warn,warn-version"
_numbers = itertools.count(1)


def namespace_body(values: dict[str, str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": f"born-{next(_numbers)}"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata if values is None else {**metadata, "labels": values},
    }


def creator(cluster: controlplane.Cluster) -> api.Api:
    """Return a client that may create namespaces and change them, but not setlevel."""
    return cluster.api(workbench.may(cluster, "creator", "namespaces", "create", "get", "patch", "update"))


def labels_of(body: dict[str, Any]) -> dict[str, str]:
    """Return the labels of a Namespace without kubernetes.io/metadata.name."""
    return {key: value for key, value in body["metadata"]["labels"].items() if key != "kubernetes.io/metadata.name"}


def ready_namespace(cluster: controlplane.Cluster, name: str) -> workbench.Home:
    """Return the namespace of this name, ready for pods."""
    namespace = workbench.Home(cluster, name)
    cluster.admin.post(f"{namespace.path}/serviceaccounts", {"metadata": {"name": "default"}}).expect(201, 409)
    return namespace


# -- labels at creation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, {}, {"team": "net"}], ids=["none", "empty", "other"])
def test_every_namespace_is_born_with_all_labels(
    full_cluster: controlplane.Cluster, given: dict[str, str] | None
) -> None:
    """The answer to the creation request contains the labels, with or without labels from the creator."""
    answer = creator(full_cluster).post(NAMESPACES, namespace_body(given)).expect(201)
    assert labels_of(answer.body) == {**BIRTH, **(given or {})}
    assert answer.warnings == ()


def test_the_first_host_namespace_pod_is_refused(full_cluster: controlplane.Cluster) -> None:
    """Pod Security refuses the first host-namespace pod immediately, and an ordinary pod is admitted.

    If a holder of setlevel set privileged, host-namespaces refuses the pod.
    """
    privileged, tenant = {labels.PSA_ENFORCE: "privileged"}, creator(full_cluster)
    cases = (
        (tenant, {}, "violates PodS"),
        (tenant, privileged, "violates PodS"),
        (full_cluster.admin, privileged, "host-namespaces"),
    )
    for client, given, refusal in cases:
        name = client.post(NAMESPACES, namespace_body(given)).expect(201).body["metadata"]["name"]
        namespace = ready_namespace(full_cluster, name)
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            answer = namespace.create(workbench.pod(**{field: True}), dry=False)
            assert answer.status == 403
            assert refusal in answer.message
        namespace.put_up(workbench.pod())


def test_by_every_path(full_cluster: controlplane.Cluster) -> None:
    """Every method gives the labels: create, replace --force, apply, server-side apply, generateName.

    A dry run only shows the labels.
    """
    body, applied_body = namespace_body(), namespace_body()
    name = body["metadata"]["name"]
    dry_run = full_cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(body))
    assert labels_of(json.loads(dry_run.stdout)) == BIRTH
    full_cluster.admin.get(f"{NAMESPACES}/{name}").expect(404)
    for arguments, given in ((["create"], body), (["replace", "--force"], body), (["apply"], applied_body)):
        completed = full_cluster.kubectl(*arguments, "-f", "-", stdin=json.dumps(given))
        assert completed.returncode == 0, completed.stderr
        assert labels_of(full_cluster.admin.get(f"{NAMESPACES}/{given['metadata']['name']}").expect(200).body) == BIRTH
    body = namespace_body({"team": "net"})
    answer = creator(full_cluster).apply(f"{NAMESPACES}/{body['metadata']['name']}", body, "helm").expect(201)
    assert labels_of(answer.body) == {**BIRTH, "team": "net"}
    second_answer = creator(full_cluster).apply(f"{NAMESPACES}/{body['metadata']['name']}", body, "helm").expect(200)
    assert labels_of(second_answer.body) == {**BIRTH, "team": "net"}
    generated_body = {"metadata": {"generateName": "hostnetwork-preview-"}}
    assert labels_of(creator(full_cluster).post(NAMESPACES, generated_body).expect(201).body) == BIRTH


def test_nobody_owns_what_birth_wrote(full_cluster: controlplane.Cluster) -> None:
    """After create and apply no manager owns the labels in managedFields; the creator's labels stay the creator's."""
    for number, given in enumerate(({}, {labels.PSA_ENFORCE: "baseline"})):
        body = namespace_body(given)
        path = f"{NAMESPACES}/{body['metadata']['name']}"
        created = creator(full_cluster).post(NAMESPACES, body).expect(201)
        applied_body = namespace_body({**given, "team": "net"})
        applied = (
            creator(full_cluster)
            .apply(f"{NAMESPACES}/{applied_body['metadata']['name']}", applied_body, "helm")
            .expect(201)
        )
        patched = creator(full_cluster).patch(path, {"metadata": {"labels": {"team": "net"}}}).expect(200)
        for answer in (created, applied, patched):
            managed_fields = json.dumps(answer.body["metadata"].get("managedFields"))
            assert [label for label in BIRTH if f'f:{label}"' in managed_fields] == [labels.PSA_ENFORCE] * number


# -- the annotation born-with -----------------------------------------------------------------------------------------


def born_with(body: dict[str, Any]) -> str | None:
    """Return the value of born-with: the Pod Security labels that the policy wrote at creation."""
    note: str | None = body["metadata"].get("annotations", {}).get(labels.BORN_WITH)
    return note


@pytest.mark.parametrize("given_names", [(), ("enforce",), ("warn", "audit-version"), MODES], ids=",".join)
def test_birth_says_which_levels_it_wrote(full_cluster: controlplane.Cluster, given_names: tuple[str, ...]) -> None:
    """born-with lists, in fixed order, those of the six labels that the policy added or replaced."""
    replaced = {"enforce-version"} & set(given_names)
    marks = {name: f"{name}!" if name in replaced else name for name in IN_ORDER.split(",")}
    written = ",".join(mark for name, mark in marks.items() if name in replaced or name not in given_names)
    values = {labels.PSA_PREFIX + name: "v1.30" if name.endswith("version") else "restricted" for name in given_names}
    kept_labels = {key: value for key, value in values.items() if key.removeprefix(labels.PSA_PREFIX) not in replaced}
    body = namespace_body(values)
    for answer in (
        creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", namespace_body(values)),
        creator(full_cluster).post(
            f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": "born-", "labels": values}}
        ),
        creator(full_cluster).request(
            "PATCH", f"{NAMESPACES}/{body['metadata']['name']}?dryRun=All&fieldManager=helm", body, api.APPLY
        ),
    ):
        assert born_with(workbench.sound(answer).expect(201).body) == written
        assert labels_of(answer.body) == BIRTH | kept_labels


def test_the_note_has_no_owner_and_leaves_other_annotations(full_cluster: controlplane.Cluster) -> None:
    """The creator's annotations stay beside born-with, and managedFields do not name born-with."""
    body = namespace_body()
    body["metadata"]["annotations"] = {"team": "net"}
    answer = creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", body).expect(201)
    assert answer.body["metadata"]["annotations"] == {"team": "net", labels.BORN_WITH: IN_ORDER}
    assert labels.BORN_WITH not in json.dumps(answer.body["metadata"]["managedFields"])


def test_a_namespace_that_is_governed_otherwise_says_nothing(full_cluster: controlplane.Cluster) -> None:
    """If the policy writes no label, it writes no annotation: for a restored backup and for the preview namespaces."""
    for body in (namespace_body({labels.ENFORCEMENT: "Held"}), {"metadata": {"name": "hostnetwork-preview-baseline"}}):
        answer = full_cluster.admin.post(f"{NAMESPACES}?dryRun=All", body).expect(201)
        assert born_with(answer.body) is None


@pytest.mark.parametrize("size", [261_000, 262_000, labels.ANNOTATION_BYTES])
def test_a_note_without_room_is_left_out(full_cluster: controlplane.Cluster, size: int) -> None:
    """A namespace with annotations of the maximum size gets all labels, but no born-with annotation."""
    body = namespace_body()
    body["metadata"]["annotations"] = {"a": "x" * (size - 1)}
    answer = workbench.sound(creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", body)).expect(201)
    assert labels_of(answer.body) == BIRTH
    assert born_with(answer.body) == (IN_ORDER if size < 262_000 else None)


@pytest.mark.parametrize("value", ["", "enforce", "warn-version", "enforce,audit,warn", IN_ORDER])
def test_a_creator_may_write_the_note_himself(full_cluster: controlplane.Cluster, value: str) -> None:
    """A born-with annotation from the creator stays, as in a second pass of the policy.

    In a valid form it passes, because the policy adds enforcement=Deny.
    """
    body = namespace_body()
    body["metadata"]["annotations"] = {labels.BORN_WITH: value}
    answer = workbench.sound(creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", body)).expect(201)
    assert (born_with(answer.body), labels_of(answer.body)) == (value, BIRTH)


@pytest.mark.parametrize(
    "value",
    [",", "enforce,", ",warn", "warn,enforce", "warn,warn", "enforce, warn", "Enforce", "guard", f"{IN_ORDER}\n"],
)
def test_a_note_in_another_form_is_refused(full_cluster: controlplane.Cluster, value: str) -> None:
    """The policy never writes a list that is out of order, has a repeated word or has another word."""
    body = namespace_body()
    body["metadata"]["annotations"] = {labels.BORN_WITH: value}
    answer = creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", body)
    workbench.refused(answer, f"only the operator may write annotation {labels.BORN_WITH} of")


def test_after_birth_the_note_is_the_operators(full_cluster: controlplane.Cluster) -> None:
    """The creator can neither change nor remove the annotation; the operator can remove it."""
    name = creator(full_cluster).post(NAMESPACES, namespace_body()).expect(201).body["metadata"]["name"]
    path = f"{NAMESPACES}/{name}"
    for value in ("", "enforce", None):
        answer = creator(full_cluster).patch(path, {"metadata": {"annotations": {labels.BORN_WITH: value}}})
        workbench.refused(answer, f"only the operator may write annotation {labels.BORN_WITH} of")
    operator = full_cluster.api(workbench.operator(full_cluster))
    for allowed_value in ("enforce", None):
        workbench.sound(operator.patch(path, {"metadata": {"annotations": {labels.BORN_WITH: allowed_value}}})).expect(
            200
        )
    assert born_with(full_cluster.admin.get(path).body) is None


# -- labels from the creator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["privileged", "baseline", "restricted"])
def test_a_label_of_the_creator_stays(full_cluster: controlplane.Cluster, level: str) -> None:
    """Each Pod Security label from the creator stays, except a looser enforce level; the policy adds the rest."""
    for label in (labels.PSA_ENFORCE, labels.PSA_AUDIT, labels.PSA_WARN):
        if (label, level) != (labels.PSA_ENFORCE, "privileged"):
            answer = creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", namespace_body({label: level})).expect(201)
            assert (labels_of(answer.body), answer.warnings) == ({**BIRTH, label: level}, ())
    versions = dict.fromkeys(labels.PSA_VERSIONS[1:], "v1.30")
    assert (
        labels_of(creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", namespace_body(versions)).expect(201).body)
        == BIRTH | versions
    )


LOOSER: list[tuple[dict[str, str], str]] = [
    ({"enforce": "privileged"}, "enforce"),
    ({"enforce-version": "v1.0"}, "enforce-version"),
    ({"enforce-version": "v1.9999"}, "enforce-version"),
    ({"enforce": "privileged", "enforce-version": "v1.0"}, "enforce enforce-version"),
    ({"enforce": "restricted", "enforce-version": "v1.0"}, "enforce-version"),
    ({"enforce": "privileged", "enforce-version": "latest"}, "enforce"),
]


@pytest.mark.parametrize(("given_labels", "replaced"), LOOSER, ids=str)
def test_what_is_looser_is_replaced(
    full_cluster: controlplane.Cluster, given_labels: dict[str, str], replaced: str
) -> None:
    """By every method the creator gets the policy's value, and a warning that names the label and the page."""
    values = {labels.PSA_PREFIX + name: value for name, value in given_labels.items()}
    names = [labels.PSA_PREFIX + name for name in replaced.split()]
    kept_labels = {key: value for key, value in values.items() if key not in names}
    body = namespace_body(values)
    for answer in (
        creator(full_cluster).post(f"{NAMESPACES}?dryRun=All", namespace_body(values)),
        creator(full_cluster).post(
            f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": "born-", "labels": values}}
        ),
        creator(full_cluster).apply(f"{NAMESPACES}/{body['metadata']['name']}", body, "helm"),
    ):
        assert labels_of(workbench.sound(answer).expect(201).body) == BIRTH | kept_labels
        (warning,) = answer.warnings
        changes = " and label ".join(f'{name} was set to "{BIRTH[name]}"' for name in names)
        assert (
            "overridden-at-birth: a looser value than the policy of the cluster needs the cluster-wide verb" in warning
        )
        assert f'" label {changes}; write the new value' in warning
        assert "write the new value into the manifest, or the next apply of the manifest is refused" in warning
        assert (labels_page := "docs/howto/levels-in-manifests.md") in warning
        assert (MANIFESTS.parent / labels_page).exists()


@pytest.mark.parametrize(("given_labels", "replaced"), LOOSER, ids=str)
def test_who_has_setlevel_is_obeyed(
    full_cluster: controlplane.Cluster, given_labels: dict[str, str], replaced: str
) -> None:
    """A holder of setlevel may set a looser level at creation too, not only later."""
    values = {labels.PSA_PREFIX + name: value for name, value in given_labels.items()}
    holder = full_cluster.api(workbench.may(full_cluster, "birth-setlevel", "namespaces", "create", "setlevel"))
    full_cluster.wait("the right", lambda: holder.post(f"{NAMESPACES}?dryRun=All", namespace_body()).status == 201)
    for client in (holder, full_cluster.admin):
        answer = workbench.sound(client.post(f"{NAMESPACES}?dryRun=All", namespace_body(values))).expect(201)
        assert (labels_of(answer.body), answer.warnings) == (BIRTH | values, ())
        assert "!" not in (born_with(answer.body) or "")


def test_a_second_apply_names_the_line(full_cluster: controlplane.Cluster) -> None:
    """A manifest with a looser level creates a namespace once; the refusal of the next apply says what to write."""
    body = namespace_body({labels.PSA_ENFORCE: "privileged"})
    text, user = (
        json.dumps(body),
        workbench.may(full_cluster, "creator", "namespaces", "create", "get", "patch", "update"),
    )
    completed = full_cluster.kubectl("apply", "-f", "-", stdin=text, user=user)
    assert (completed.returncode, "overridden-at-birth" in completed.stderr) == (0, True), completed.stderr
    second_apply = full_cluster.kubectl("apply", "-f", "-", stdin=text, user=user)
    assert second_apply.returncode == 1
    assert "to loosen or remove a Pod Security level" in second_apply.stderr
    assert f'label {labels.PSA_ENFORCE} from "baseline" to "privileged"; write the current value' in second_apply.stderr
    assert "write the current value into the manifest, or a stricter one" in second_apply.stderr
    assert "(docs/howto/levels-in-manifests.md)" in second_apply.stderr
    body["metadata"]["labels"][labels.PSA_ENFORCE] = "baseline"
    corrected = full_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body), user=user)
    assert corrected.returncode == 0, corrected.stderr
    del body["metadata"]["labels"][labels.PSA_ENFORCE]  # kubectl would remove the label
    without_label = full_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body), user=user)
    assert f'label {labels.PSA_ENFORCE} from "baseline" to none' in without_label.stderr
    set_last_applied = full_cluster.kubectl("apply", "set-last-applied", "-f", "-", stdin=json.dumps(body), user=user)
    assert set_last_applied.returncode == 0, set_last_applied.stderr
    completed = full_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body), user=user)
    assert completed.returncode == 0, completed.stderr


def test_a_value_that_is_no_level_is_refused(full_cluster: controlplane.Cluster) -> None:
    """Pod Security refuses the value after the mutation and names it, so a mistake in the policy file would show."""
    answer = (
        creator(full_cluster)
        .post(f"{NAMESPACES}?dryRun=All", namespace_body({labels.PSA_ENFORCE: "Baseline"}))
        .expect(422)
    )
    assert f'{labels.PSA_ENFORCE}]: Invalid value: "Baseline"' in answer.message


def test_a_creator_may_say_deny_and_nothing_else(full_cluster: controlplane.Cluster) -> None:
    """A creator may set the enforcement label to Deny, which the policy would write anyway.

    Held, Audit and any other value are refused, and so are grants, the guard and notes.
    """
    path = f"{NAMESPACES}?dryRun=All"
    body = namespace_body({labels.ENFORCEMENT: "Deny"})
    assert labels_of(workbench.sound(creator(full_cluster).post(path, body)).expect(201).body) == BIRTH
    for value in ("Held", "Audit", "deny", "Off", ""):
        answer = creator(full_cluster).post(path, namespace_body({labels.ENFORCEMENT: value}))
        workbench.refused(answer, f"only the operator may write label {labels.ENFORCEMENT} of")
    for label in (labels.GUARD, f"{labels.GROUP}/other"):
        answer = creator(full_cluster).post(path, namespace_body({label: "baseline"}))
        workbench.refused(answer, f"only the operator may write label {label} of")
    for key in (labels.LEVEL_BEFORE, labels.HELD_BY, labels.GRANT_PREFIX + "mine"):
        body = namespace_body()
        body["metadata"]["annotations"] = {key: "privileged"}
        workbench.refused(creator(full_cluster).post(path, body), f"only the operator may write annotation {key} of")


@pytest.mark.parametrize("value", ["Held", "Audit"])
def test_who_has_setlevel_may_restore_a_namespace_as_it_was(full_cluster: controlplane.Cluster, value: str) -> None:
    """With another value of the enforcement label the policy writes nothing, so a restore keeps the backup's labels."""
    answer = full_cluster.admin.post(f"{NAMESPACES}?dryRun=All", namespace_body({labels.ENFORCEMENT: value})).expect(
        201
    )
    assert labels_of(answer.body) == {labels.ENFORCEMENT: value}


def test_nobody_takes_off_what_birth_wrote(full_cluster: controlplane.Cluster) -> None:
    """The creator, who may write the Namespace, can neither remove nor loosen the labels later."""
    client = creator(full_cluster)
    name = client.post(NAMESPACES, namespace_body()).expect(201).body["metadata"]["name"]
    for label, value in ((labels.ENFORCEMENT, None), (labels.ENFORCEMENT, "Audit"), (labels.PSA_ENFORCE, "privileged")):
        workbench.refused(client.patch(f"{NAMESPACES}/{name}", {"metadata": {"labels": {label: value}}}))
    assert labels_of(full_cluster.admin.get(f"{NAMESPACES}/{name}").body) == BIRTH


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_the_preview_namespaces_are_left_alone(full_cluster: controlplane.Cluster, level: str) -> None:
    """The policy does not label the preview namespaces, because a level would refuse pods in the dry runs there."""
    body = {"metadata": {"name": f"hostnetwork-preview-{level}"}}
    assert labels_of(full_cluster.admin.post(f"{NAMESPACES}?dryRun=All", body).expect(201).body) == {}


def test_the_names_that_are_left_out_are_those_of_the_policy() -> None:
    """The policy leaves out the names that are exempt by default and the preview namespaces."""
    (names,) = [
        condition["expression"]
        for condition in policy_object()["spec"]["matchConditions"]
        if condition["name"] == "not-exempt-by-name"
    ]
    preview = {f"hostnetwork-preview-{level}" for level in ("baseline", "restricted")}
    assert {word for word in names.split("'") if "-" in word and " " not in word} == {
        *policy.EXEMPT_BY_DEFAULT,
        *preview,
    }


# -- no form of a Namespace escapes -----------------------------------------------------------------------------------


def test_no_form_of_a_namespace_escapes(full_cluster: controlplane.Cluster) -> None:
    """Tens of thousands of labels, lists with a repeated element and strange keys do not prevent the labels."""
    many_labels = {f"l{number}": "" for number in range(40_000)}
    finalizers = ["example.com/a", "example.com/a"]
    for metadata, spec in (
        ({"labels": many_labels}, {}),
        ({"annotations": {f"a{number}": "" for number in range(20_000)}}, {}),
        ({"finalizers": finalizers}, {"finalizers": ["kubernetes", "kubernetes"]}),
        ({"labels": {"pod-security.kubernetes.io/enforced": "x", f"not.{labels.ENFORCEMENT}": "Audit"}}, {}),
        ({"labels": None, "managedFields": [{}]}, {}),
    ):
        body = namespace_body()
        body["metadata"] |= metadata
        answer = full_cluster.admin.post(f"{NAMESPACES}?dryRun=All", {**body, "spec": spec}).expect(201)
        assert labels_of(answer.body).items() >= BIRTH.items()


def test_another_policy_takes_nothing_off(full_cluster: controlplane.Cluster) -> None:
    """If a mutating policy removes the labels, label-at-birth adds them again, whichever policy runs first."""
    base = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolic"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces"]}
    remove = "[JSONPatch{op: 'remove', path: '/metadata/labels'}]"
    spec = {
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "own", "expression": "object.metadata.name.startsWith('stripped')"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": remove}}],
    }
    full_cluster.admin.post(f"{base}ies", {"metadata": {"name": "zz-strip"}, "spec": spec}).expect(201)
    binding = {"metadata": {"name": "zz-strip"}, "spec": {"policyName": "zz-strip"}}
    full_cluster.admin.post(f"{base}ybindings", binding).expect(201)
    path = f"{NAMESPACES}?dryRun=All"
    try:
        body = {"metadata": {"name": "stripped", "labels": {"team": "net", labels.PSA_WARN: "baseline"}}}
        full_cluster.wait(
            "the other policy in force",
            lambda: "team" not in full_cluster.admin.post(path, body).expect(201).body["metadata"]["labels"],
        )
        answer = full_cluster.admin.post(path, body).expect(201)
        assert labels_of(answer.body) == BIRTH
        # The other policy removed the creator's warn level. If label-at-birth ran first, it saw that level and recorded
        # it.
        assert born_with(answer.body) in (IN_ORDER, ",".join(name for name in IN_ORDER.split(",") if name != "warn"))
    finally:
        full_cluster.admin.delete(f"{base}ybindings/zz-strip").expect(200)
        full_cluster.admin.delete(f"{base}ies/zz-strip").expect(200)


def test_the_first_namespace_after_a_restart_is_labelled(full_cluster: controlplane.Cluster) -> None:
    """After a kill and a restart, the API server's first answer to a creation is a labelled namespace."""
    full_cluster.kill_apiserver()
    full_cluster.components["kube-apiserver"].start()

    def first() -> api.Response | None:
        try:
            answer = full_cluster.admin.post(f"{NAMESPACES}?dryRun=All", namespace_body())
        except api.ConnectionFailedError:
            return None
        return answer if answer.status == 201 else None

    answers: list[api.Response] = []
    full_cluster.wait("a first answer", lambda: answers.extend(filter(None, [first()])) or answers)
    assert labels_of(answers[0].body) == BIRTH
    full_cluster.wait_for_apiserver()


# -- the files --------------------------------------------------------------------------------------------------------


def policy_object() -> dict[str, Any]:
    body: dict[str, Any]
    body, _ = yaml.safe_load_all((MANIFESTS / "components/label-at-birth/label-at-birth.yaml").read_text())
    return body


def test_the_levels_are_those_of_the_overlay() -> None:
    """The policy writes the labels that the operator would write under overlays/enforce/policy.yaml."""
    spec = yaml.safe_load((MANIFESTS / "overlays/enforce/policy.yaml").read_text())["spec"]["podSecurity"]
    modes = {"enforce": spec["enforce"], "audit": spec["audit"], "warn": spec["warn"]}
    expected = {labels.PSA_PREFIX + mode: level for mode, level in modes.items()}
    assert {labels.ENFORCEMENT: "Deny", **expected, **dict.fromkeys(labels.PSA_VERSIONS, spec["version"])} == BIRTH


@pytest.mark.parametrize("file", COMPONENTS, ids=lambda file: file.stem)
def test_a_component_is_one_mutating_policy_that_fails_closed(file: pathlib.Path) -> None:
    """The policy has the name of its file, has bindings and no parameters, and runs again after other mutations."""
    mutating_policy, *bindings = yaml.safe_load_all(file.read_text())
    assert (mutating_policy["kind"], mutating_policy["metadata"]["name"]) == (
        "MutatingAdmissionPolicy",
        f"{file.stem}.{labels.GROUP}",
    )
    assert (mutating_policy["spec"]["failurePolicy"], mutating_policy["spec"]["reinvocationPolicy"]) == (
        "Fail",
        "IfNeeded",
    )
    assert "paramKind" not in mutating_policy["spec"]
    assert bindings
    for binding in bindings:
        assert binding["kind"] == "MutatingAdmissionPolicyBinding"
        assert binding["spec"]["policyName"] == mutating_policy["metadata"]["name"]
        assert binding["metadata"]["name"].startswith(file.stem + "-")
        assert "paramRef" not in binding["spec"]


@pytest.mark.parametrize("file", COMPONENTS, ids=lambda file: file.stem)
def test_a_component_says_what_it_enforces_against_whom_and_what_not(file: pathlib.Path) -> None:
    """The file starts with these three paragraphs in this order."""
    header = file.read_text().split("\napiVersion:")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    paragraphs = [text.strip("# \n") for text in header.split("\n#\n")]
    openings = [text.split(":")[0] for text in paragraphs]
    expected = ["What it enforces", "Against whom", "What it cannot enforce"]
    assert [text for text in openings if text in expected] == expected
