"""The operator enforces if that refuses no existing workload; later and excepted workloads do not block it."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs import markdown
from tests.e2e import test_without_host_namespaces as plain
from tests.e2e.conftest import IMAGE, LABEL, OPERATOR, PSA, World

_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
_AGAIN_SECONDS = 90  # the gate checks a Held namespace once per minute
_MANY = 600  # dry runs: a gate check with this number of dry runs takes some seconds
_PRIVILEGED = {"name": "main", "image": IMAGE, "securityContext": {"privileged": True}}


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """The policy with a rule that leaves namespaces labelled `wave: later` in Audit; the rule is removed afterwards."""
    rule = {"selector": {"matchLabels": {"wave": "later"}}, "mode": "Audit"}
    world.admin.patch(_POLICY, {"spec": {"rules": [rule]}}).expect(200)
    yield world
    world.admin.patch(_POLICY, {"spec": {"rules": []}}).expect(200)


def _audited_namespace(world: World) -> str:
    name = world.namespace(deny=False, labels={"wave": "later"})
    world.until("it is audited", lambda: _enforcement(world, name) == "Audit")
    return name


def _adopt(world: World, name: str) -> None:
    world.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"wave": None}}}).expect(200)


def _enforcement(world: World, name: str) -> str | None:
    return world.labels(name).get(f"{LABEL}/enforcement")


def _held_by(world: World, name: str) -> str:
    return str(world.metadata(name).get("annotations", {}).get(f"{LABEL}/held-by", ""))


def _check_again(world: World) -> None:
    """Restart the operator, which checks every Held namespace at its start. Otherwise a test waits for a minute."""
    world.operator.stop()
    world.operator.start()


def _make(world: World, namespace: str, kind: str, name: str, pod: dict[str, Any], **spec: Any) -> str:
    """Create a workload of apps/v1 with that pod, and return its path."""
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    body = {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }
    path = f"/apis/apps/v1/namespaces/{namespace}/{kind}"
    world.admin.post(path, body).expect(201)
    return f"{path}/{name}"


def test_a_template_without_a_pod_holds(world: World) -> None:
    """A Deployment without replicas and a suspended CronJob would be refused later; held-by names both and says why."""
    name = _audited_namespace(world)
    _make(world, name, "deployments", "web", {"containers": [_PRIVILEGED]}, replicas=0)
    pod = {"hostNetwork": True, "restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    jobs = f"/apis/batch/v1/namespaces/{name}/cronjobs"
    world.admin.post(jobs, {"metadata": {"name": "probe"}, "spec": spec}).expect(201)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    holders = _held_by(world, name).split(": ", 1)[1]
    assert holders == (
        "CronJob probe: host namespaces (hostNetwork=true) (level baseline); Deployment web: privileged (container"
        ' "main" must not set securityContext.privileged=true) (level baseline)'
    )


def test_what_an_exception_covers_does_not_hold(world: World) -> None:
    """A namespace with an agent and its exception goes from Audit to enforced and relaxed, and its agent rolls out."""
    name = _audited_namespace(world)
    world.exception(name, type="Application").expect(201)
    world.until("it is in force", lambda: world.ready(name) == "Active")
    port = {"containerPort": 9100, "hostPort": 9100}
    probe = {"httpGet": {"host": "127.0.0.1", "port": 9100}}
    container = {"name": "main", "image": IMAGE, "ports": [port], "livenessProbe": probe}
    path = _make(world, name, "daemonsets", "agent", {"hostNetwork": True, "containers": [container]})
    _make(world, name, "deployments", "web", {"containers": [{"name": "main", "image": IMAGE}]})
    _adopt(world, name)
    world.until("it is enforced", lambda: world.enforced(name))
    labels = world.labels(name)
    assert (labels[PSA], labels[f"{LABEL}/guard"]) == ("privileged", "baseline")
    assert f"{LABEL}/held-by" not in world.metadata(name)["annotations"]
    restart = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    generation = world.admin.patch(path, restart).expect(200).body["metadata"]["generation"]

    def is_rolled_out() -> bool:
        status = world.admin.get(path).body["status"]
        is_observed = status.get("observedGeneration") == generation and status.get("desiredNumberScheduled", 0) > 0
        return is_observed and status.get("updatedNumberScheduled") == status["desiredNumberScheduled"]

    world.until("it has rolled out", is_rolled_out)


def test_an_exception_that_asks_too_little_does_not_let_it_go_on(world: World) -> None:
    """The gate still checks what the exception does not name; held-by has Pod Security Admission's answer to that."""
    name = _audited_namespace(world)
    world.exception(name, type="Application").expect(201)
    world.until("it is in force", lambda: world.ready(name) == "Active")
    pod = {"hostNetwork": True, "securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    _make(world, name, "daemonsets", "agent", {**pod, "containers": [{"name": "main", "image": IMAGE}]})
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    assert "DaemonSet agent: seccompProfile (pod must not set" in _held_by(world, name)
    assert "host namespaces" not in _held_by(world, name)


def test_what_came_later_has_no_veto(world: World) -> None:
    """A workload that violates the level and is created while the namespace is Held does not block enforcement.

    Once the first workload is fixed, the operator enforces the namespace and flags the later pod.
    """
    name = _audited_namespace(world)
    path = _make(world, name, "deployments", "web", {"containers": [_PRIVILEGED]}, replicas=0)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    moment = world.now()
    world.until("the second is over", lambda: world.now() > moment)
    world.pod(name, "veto").expect(201)
    _make(world, name, "deployments", "veto", {"containers": [_PRIVILEGED]}, replicas=0)
    fix = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": IMAGE, "securityContext": None}]}}}}
    world.admin.patch(path, fix).expect(200)
    world.until("it is enforced", lambda: world.enforced(name), _AGAIN_SECONDS)
    assert world.verdict(name, "veto") == "Uncovered"


def _create_owned_pod(world: World, name: str, pod: str) -> None:
    """Create a pod that names an object of the same creator as its owner."""
    base = f"/api/v1/namespaces/{name}"
    answer = world.admin.post(f"{base}/configmaps", {"metadata": {"name": "cluster"}}).expect(201, 409)
    uid = (answer if answer.status == 201 else world.admin.get(f"{base}/configmaps/cluster")).body["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "cluster", "uid": uid, "controller": True}
    metadata = {"name": pod, "ownerReferences": [owner]}
    world.admin.post(f"{base}/pods", {"metadata": metadata, "spec": {"containers": [_PRIVILEGED]}}).expect(201)


def test_a_pod_whose_owner_is_not_read_is_as_old_as_itself(world: World) -> None:
    """A pod that existed before blocks enforcement until it is deleted; a younger pod does not block enforcement."""
    name = _audited_namespace(world)
    _create_owned_pod(world, name, "database-1")
    _adopt(world, name)
    world.until("it is Held", lambda: "Pod database-1: privileged" in _held_by(world, name))
    moment = world.now()
    world.until("the second is over", lambda: world.now() > moment)
    _create_owned_pod(world, name, "database-2")
    world.admin.delete(f"{world.pods(name)}/database-1", {"gracePeriodSeconds": 0}).expect(200)
    _check_again(world)
    world.until("it is enforced", lambda: world.enforced(name))


def test_a_template_that_was_changed_later_has_no_veto(world: World) -> None:
    """A33: An old workload that is changed to violate the level while the namespace is Held does not block it.

    Another old workload makes the namespace Held and is then fixed.
    """
    name = _audited_namespace(world)
    plain_container = {"name": "main", "image": IMAGE, "securityContext": None}
    held_path = _make(world, name, "deployments", "web", {"containers": [_PRIVILEGED]}, replicas=0)
    other_path = _make(world, name, "deployments", "veto", {"containers": [plain_container]}, replicas=0)
    _adopt(world, name)
    world.until("it is Held", lambda: "Deployment web: privileged" in _held_by(world, name))
    key = f"ns.{world.metadata(name)['uid']}"
    world.until("the ledger has by whom", lambda: world.ledger_record(key).get("holding"))
    privileged = {"spec": {"template": {"spec": {"containers": [_PRIVILEGED]}}}}
    world.admin.patch(other_path, privileged).expect(200)
    world.admin.patch(held_path, {"spec": {"template": {"spec": {"containers": [plain_container]}}}}).expect(200)
    _check_again(world)
    world.until("it is enforced", lambda: world.enforced(name))


def test_annotations_without_room_for_the_moment_are_no_veto(world: World) -> None:
    """A33: The ledger records since when a namespace is Held."""
    name = _audited_namespace(world)
    held_path = _make(world, name, "deployments", "web", {"containers": [_PRIVILEGED]}, replicas=0)
    annotations = world.metadata(name).get("annotations", {})
    room = 262_144 - sum(len(key) + len(value) for key, value in annotations.items())
    patch = {"metadata": {"annotations": {"a": "x" * (room - 1)}}}
    world.admin.patch(f"/api/v1/namespaces/{name}", patch).expect(200)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    key = f"ns.{world.metadata(name)['uid']}"
    world.until("the ledger has the moment", lambda: world.ledger_record(key).get("held"))
    assert not _held_by(world, name)
    moment = world.now()
    world.until("the second is over", lambda: world.now() > moment)
    world.pod(name, "veto").expect(201)
    world.admin.delete(held_path).expect(200)
    _check_again(world)
    world.until("it is enforced", lambda: _enforcement(world, name) == "Deny")


def test_a_preview_namespace_that_does_not_warn_is_no_clean_answer(world: World) -> None:
    """Without the label that makes Pod Security Admission warn, nothing is enforced, and held-by says what to do."""
    preview = "/api/v1/namespaces/hostnetwork-preview-baseline"
    label = "pod-security.kubernetes.io/warn"
    name = _audited_namespace(world)
    _make(world, name, "deployments", "web", {"containers": [{"name": "main", "image": IMAGE}]})
    world.admin.patch(preview, {"metadata": {"labels": {label: None}}}).expect(200)
    try:
        _adopt(world, name)
        world.until("it is Held", lambda: _enforcement(world, name) == "Held")
        holders = _held_by(world, name)
        assert "namespace 'hostnetwork-preview-baseline' does not warn at level baseline; run kubectl apply" in holders
    finally:
        world.admin.patch(preview, {"metadata": {"labels": {label: "baseline"}}}).expect(200)
    _check_again(world)
    world.until("it is enforced", lambda: world.enforced(name))


@pytest.fixture
def checked_namespace(world: World) -> Iterator[str]:
    """A namespace whose gate check takes some seconds and has just begun."""
    name = _audited_namespace(world)
    jobs = f"/apis/batch/v1/namespaces/{name}/cronjobs"
    for number in range(_MANY):
        pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": f"{IMAGE}-{number}"}]}
        spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
        world.admin.post(jobs, {"metadata": {"name": f"job-{number}"}, "spec": spec}).expect(201)
    begin = world.cluster.audit_bytes()  # to read the whole log would take longer than the check
    _adopt(world, name)
    world.until("its pods are listed", lambda: _requests(world, name, "list", "pods", begin))
    yield name
    world.admin.delete(jobs).expect(200)


def _requests(world: World, namespace: str, verb: str, resource: str, begin: int = 0) -> list[int]:
    """Return where the audit log has the operator's requests for such objects in a namespace, or for the namespace,
    counted from the byte `begin` on.
    """
    positions = []
    for number, event in enumerate(world.cluster.audit_events(begin)):
        expected = (OPERATOR, verb, resource, namespace)
        reference = event.get("objectRef", {})
        if expected == (
            event["user"]["username"],
            event["verb"],
            reference.get("resource"),
            reference.get("namespace"),
        ):
            positions.append(number)
    return positions


def test_a_new_pod_is_flagged_while_the_gate_looks(world: World, checked_namespace: str) -> None:
    """The flag does not wait for the gate: the pod has its label before the namespace has its own."""
    world.pod(checked_namespace, "stranger").expect(201)
    world.until("it is flagged", lambda: world.verdict(checked_namespace, "stranger") == "Uncovered")
    world.until("it is enforced", lambda: world.enforced(checked_namespace))
    flagged = _requests(world, checked_namespace, "patch", "pods")
    enforced = _requests(world, checked_namespace, "patch", "namespaces")
    assert flagged[-1] < enforced[-1]


def test_a_look_from_before_enforcement_was_taken_back_does_not_count(world: World, checked_namespace: str) -> None:
    """The gate check from before has not seen a pod that was created meanwhile; that pod blocks enforcement."""
    wave = {"metadata": {"labels": {"wave": "later"}}}
    world.admin.patch(f"/api/v1/namespaces/{checked_namespace}", wave).expect(200)
    world.exception(checked_namespace).expect(201)
    world.until("it is in Audit again", lambda: world.ready(checked_namespace) == "Active")
    world.admin.delete(f"{world.exceptions(checked_namespace)}/capture").expect(200)
    world.pod(checked_namespace, "stranger").expect(201)
    world.until("it is flagged", lambda: world.verdict(checked_namespace, "stranger") == "Uncovered")
    _adopt(world, checked_namespace)
    world.until("the gate has said", lambda: _enforcement(world, checked_namespace) != "Audit")
    assert "Pod stranger: host namespaces (hostNetwork=true)" in _held_by(world, checked_namespace)


def test_what_else_is_said_of_a_pod_hides_no_verdict(world: World) -> None:
    """The gate finds the violation although the API server sends many other warnings about the pod.

    The API server warns about each duplicate variable, and sends at most 4,096 characters of warnings in all.
    """
    name = _audited_namespace(world)
    variables = [{"name": "A_VARIABLE_THAT_IS_THERE_SIXTY_TIMES", "value": str(number)} for number in range(60)]
    _make(world, name, "deployments", "web", {"containers": [{**_PRIVILEGED, "env": variables}]})
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    assert "Deployment web: privileged" in _held_by(world, name)


def test_pods_that_differ_in_their_service_account_alone_are_all_looked_at(world: World) -> None:
    """An exception covers the older pod, and the other pod blocks enforcement."""
    name = _audited_namespace(world)
    world.admin.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "agent"}}).expect(201)
    world.exception(name, type="Application", serviceAccountName="agent").expect(201)
    world.until("it is in force", lambda: world.ready(name) == "Active")
    world.pod(name, "covered", serviceAccountName="agent").expect(201)
    world.pod(name, "other", serviceAccountName="default").expect(201)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    assert "Pod other: host namespaces" in _held_by(world, name)


def test_an_agent_that_mounts_for_others_is_enforced_under_its_exception(world: World) -> None:
    """The gate asks about the agent without what the exception covers, and the API server finds the rest valid.

    The API allows Bidirectional only in a privileged container, and beside hostNetwork only a hostPort that equals the
    containerPort.
    """
    name = _audited_namespace(world)
    path = "/var/lib/kubelet/pods"
    paths = [{"path": path, "readOnly": False}]
    world.exception(name, type="Application", privileged=True, hostPaths=paths).expect(201)
    world.until("it is in force", lambda: world.ready(name) == "Active")
    mount = {"name": "pods", "mountPath": "/pods", "mountPropagation": "Bidirectional"}
    ports = [{"containerPort": 9808, "hostPort": 9808, "hostIP": "127.0.0.1"}]
    container = {**_PRIVILEGED, "volumeMounts": [mount], "ports": ports}
    volumes = [{"name": "pods", "hostPath": {"path": path}}]
    _make(world, name, "daemonsets", "mounter", {"hostNetwork": True, "containers": [container], "volumes": volumes})
    world.until("its pods are covered", lambda: world.status(name).get("coveredPods") == 2)
    _adopt(world, name)
    world.until("it is enforced", lambda: world.enforced(name))
    labels = world.labels(name)
    assert (labels[PSA], labels[f"{LABEL}/guard"]) == ("privileged", "baseline")


@pytest.fixture
def rewritten_image(world: World) -> Iterator[tuple[str, str]]:
    """An audited namespace where an admission policy replaces the image of every pod, and that image."""
    name = _audited_namespace(world)
    image = "mirror.example.com/netshoot@sha256:" + "0" * 64
    patch = f'[JSONPatch{{op: "replace", path: "/spec/containers/0/image", value: "{image}"}}]'
    resource = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    constraints = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "resourceRules": [resource],
    }
    policy = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": constraints,
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
    }
    base = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolic"
    world.admin.post(f"{base}ies", {"metadata": {"name": "mirror"}, "spec": policy}).expect(201)
    binding = {"metadata": {"name": "mirror"}, "spec": {"policyName": "mirror"}}
    world.admin.post(f"{base}ybindings", binding).expect(201)

    def is_rewritten() -> bool:
        answer = world.pod(name, dry_run=True)
        return answer.status == 201 and answer.body["spec"]["containers"][0]["image"] == image

    world.until("images are rewritten", is_rewritten)
    yield name, image
    world.admin.delete(f"{base}ybindings/mirror").expect(200)
    world.admin.delete(f"{base}ies/mirror").expect(200)


@pytest.mark.since("1.36", "a mutating admission policy")
def test_where_admission_rewrites_images_both_forms_are_asked_for(
    world: World, rewritten_image: tuple[str, str]
) -> None:
    """The pods are covered, but their template blocks enforcement, and held-by says why.

    Once an exception lists both forms of the image, the operator enforces the namespace.
    """
    name, image = rewritten_image
    world.exception(name, "digest", type="Application", images=[image]).expect(201)
    world.until("it is in force", lambda: world.ready(name, "digest") == "Active")
    _make(world, name, "daemonsets", "agent", {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]})
    world.until("its pods are covered", lambda: world.status(name, "digest").get("coveredPods") == 2)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    assert _held_by(world, name).split(": ", 1)[1] == (
        "DaemonSet agent: host namespaces (hostNetwork=true) (level baseline), and no exception covers the pod."
        f" Closest: 'digest' (the pod uses images that the exception does not list: {IMAGE}). The pod template and the"
        " running pods have different images, for example because admission rewrites images; write an exception that"
        f" lists all of these images: {image}, {IMAGE}"
    )
    world.exception(name, "both", type="Application", images=[image, IMAGE]).expect(201)
    world.until("it is enforced", lambda: world.enforced(name))
    assert world.labels(name)[PSA] == "privileged"


@pytest.fixture
def labelling(world: World) -> Iterator[None]:
    """A policy of another owner that requires a label on every pod."""
    base = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    resource = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    expression = "has(object.metadata.labels) && 'team' in object.metadata.labels"
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [resource]},
        "validations": [{"expression": expression, "message": "every pod needs the label team"}],
    }
    world.admin.post(f"{base}ies", {"metadata": {"name": "require-team-label"}, "spec": policy}).expect(201)
    binding = {"policyName": "require-team-label", "validationActions": ["Deny"]}
    world.admin.post(f"{base}ybindings", {"metadata": {"name": "require-team-label"}, "spec": binding}).expect(201)
    preview = "/api/v1/namespaces/hostnetwork-preview-baseline/pods?dryRun=All"
    pod = {"metadata": {"name": "gate"}, "spec": {"containers": [{"name": "main", "image": IMAGE}]}}
    world.until("it refuses", lambda: world.admin.post(preview, pod).status == 422)
    yield
    world.admin.delete(f"{base}ybindings/require-team-label").expect(200)
    world.admin.delete(f"{base}ies/require-team-label").expect(200)
    world.until("it is gone", lambda: world.admin.post(preview, pod).status == 201)


@pytest.mark.usefixtures("labelling")
def test_another_policy_about_pods_is_named_with_the_remedy(world: World) -> None:
    """The policy refuses every dry run until it excepts the preview namespaces.

    With the exception that docs/howto/install.md shows, the operator enforces the namespace.
    """
    name = _audited_namespace(world)
    labels = {"metadata": {"labels": {"team": "web", "app": "web"}}}
    path = _make(world, name, "deployments", "web", {"containers": [{"name": "main", "image": IMAGE}]})
    world.admin.patch(path, {"spec": {"template": labels}}).expect(200)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    holders = _held_by(world, name)
    refusal = "a dry run in namespace 'hostnetwork-preview-baseline': ValidatingAdmissionPolicy 'require-team-label'"
    assert f"the API server refused {refusal}" in holders
    namespaces = "hostnetwork-preview-baseline and hostnetwork-preview-restricted"
    assert f"exclude the namespaces {namespaces} from that policy; got: " in holders
    assert "every pod needs the label team" in holders
    manifest = markdown.files(markdown.ROOT / "docs" / "howto" / "install.md")["require-team-label.yaml"]
    binding = yaml.safe_load(manifest)
    bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    world.admin.patch(f"{bindings}/{binding['metadata']['name']}", {"spec": binding["spec"]}).expect(200)
    _check_again(world)
    world.until("it is enforced", lambda: world.enforced(name))


@pytest.fixture
def webhook(world: World) -> Iterator[str]:
    """The path of a webhook configuration for the pods of one preview namespace; no server answers at the webhook."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    webhook_body = {
        "name": "pods.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hostnetwork-preview-baseline"}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    world.admin.post(path, {"metadata": {"name": "pods"}, "webhooks": [webhook_body]}).expect(201)
    preview = "/api/v1/namespaces/hostnetwork-preview-baseline/pods?dryRun=All"
    pod = {"metadata": {"name": "gate"}, "spec": {"containers": [{"name": "main", "image": IMAGE}]}}
    world.until("it is asked", lambda: world.admin.post(preview, pod).status == 500)
    yield f"{path}/pods"
    world.admin.delete(f"{path}/pods").expect(200, 404)
    world.until("it is gone", lambda: world.admin.post(preview, pod).status == 201)


def test_a_webhook_that_does_not_answer_is_named_with_the_remedy(world: World, webhook: str) -> None:
    """The webhook fails every dry run; once its configuration is deleted, the operator enforces the namespace."""
    name = _audited_namespace(world)
    _make(world, name, "deployments", "web", {"containers": [{"name": "main", "image": IMAGE}]})
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    namespaces = "hostnetwork-preview-baseline and hostnetwork-preview-restricted"
    remedy = (
        f'webhook "pods.example.com" refuses the dry run; exclude the namespaces {namespaces} from that policy; got: '
    )
    assert remedy in _held_by(world, name)
    world.admin.delete(webhook).expect(200)
    _check_again(world)
    world.until("it is enforced", lambda: world.enforced(name))


def test_what_an_exception_without_host_namespaces_covers_does_not_hold(world: World) -> None:
    """An agent without host namespaces blocks enforcement until an exception covers the whole pod.

    held-by says what the closest exception lacks.
    """
    name = _audited_namespace(world)
    plain.workload(world, name)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    world.exception(name, "sensor", **{**plain.AGENT, "hostPorts": False}).expect(201)
    difference = "Closest: 'sensor' (the pod uses host ports, and the exception does not allow host ports)"
    world.until("it says what is lacking", lambda: difference in _held_by(world, name), _AGAIN_SECONDS)
    world.exception(name, "complete", **plain.AGENT).expect(201)
    world.until("it goes on", lambda: _enforcement(world, name) == "Deny", _AGAIN_SECONDS)
    world.until("it is relaxed", lambda: world.labels(name)[PSA] == "privileged")
    assert world.pod(name, "probe", dry_run=True, **plain.pod()).status == 201


def test_a_covered_pod_hides_no_other_that_looks_alike(world: World) -> None:
    """Two pods differ only in their service account; an exception covers the older, the other blocks enforcement."""
    name = _audited_namespace(world)
    for account in ("sensor", "other"):
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        world.admin.post(path, {"metadata": {"name": account}}).expect(201)
        spec = {key: value for key, value in plain.pod(account).items() if key != "hostNetwork"}
        spec["containers"][0].pop("ports")
        world.admin.post(world.pods(name), {"metadata": {"name": f"of-{account}"}, "spec": spec}).expect(201)
    world.exception(name, "sensor", **{**plain.AGENT, "hostPorts": False}).expect(201)
    _adopt(world, name)
    world.until("it is Held", lambda: _enforcement(world, name) == "Held")
    assert "Pod of-other" in _held_by(world, name)
    assert "Pod of-sensor" not in _held_by(world, name)
