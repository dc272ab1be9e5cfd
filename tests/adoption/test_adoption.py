"""docs/howto/adopt.md, followed on a cluster with all samples and many generated namespaces, and taken off again.

Every workload is restarted, scaled or triggered after the last wave, and no pod is refused that would have started
before. HNO_NAMESPACES=300 is the long run, and prints the table that bench/README.md keeps.
"""

import collections
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.cli import tables
from tests.adoption import tenants
from tests.adoption.tenants import Need, Tenant, Workload
from tests.cli.conftest import COMMAND
from tests.cli.test_draft import filled_in
from tests.controlplane import cluster
from tests.docs import markdown
from tests.docs import test_readme_commands as readme
from tests.e2e import agents

DOCUMENT = markdown.ROOT / "docs" / "howto" / "adopt.md"
BLOCKS = {block.name: block for block in markdown.blocks(DOCUMENT)}
README = {block.name: block for block in markdown.blocks(markdown.README)}
UNINSTALL = {block.name: block for block in markdown.blocks(markdown.ROOT / "docs" / "howto" / "uninstall.md")}
NAMESPACES = int(os.environ.get("HNO_NAMESPACES", "40"))
_SEED = 20261130
_RESTARTED = "example.com/restarted"
_COMPLIANT = {"containers": [{"name": "main", "image": "registry.example.com/fixed:1"}]}


def _later() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))


class Adopter(readme.Reader):
    """An administrator who follows the page, and the cluster as it was before."""

    def __init__(self, control_plane: cluster.Cluster, checkout: pathlib.Path) -> None:
        super().__init__(control_plane, checkout)
        (checkout / ".bin" / COMMAND.name).symlink_to(COMMAND)
        self.followed: set[str] = set()
        self.seconds: dict[str, float] = {}
        self.samples = agents.read(_later())
        generated = tenants.generate(NAMESPACES, _SEED)
        self.tenants = (*tenants.of_samples(self.samples.items(), len(control_plane.nodes)), *generated)
        self.before: dict[str, Any] = {}

    def arrange(self) -> None:
        """Create the namespaces and their workloads, and wait until every pod exists."""
        spaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant.name, "labels": tenant.labels}}
            for tenant in self.tenants
        ]
        self._create(spaces)
        for tenant in self.tenants:
            account = f"/api/v1/namespaces/{tenant.name}/serviceaccounts/default"
            self.until("a service account", lambda path=account: self.api.get(path).status == 200)
        self._create([body for tenant in self.tenants for body in tenant.objects])
        expected = {tenant.name: sum(workload.pods for workload in tenant.workloads) for tenant in self.tenants}
        self.until("every pod", lambda: collections.Counter(expected) == self._pod_counts())
        self.before = self.metadata()

    def _create(self, bodies: list[dict[str, Any]]) -> None:
        applied = self.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(bodies))
        assert applied.returncode == 0, applied.stderr

    def _pod_counts(self) -> collections.Counter[str]:
        names = {tenant.name for tenant in self.tenants}
        pods = (pod["metadata"]["namespace"] for pod in self.api.items("/api/v1/pods"))
        return collections.Counter(namespace for namespace in pods if namespace in names)

    def follow(self, name: str) -> str:
        """Run a block of the page."""
        self.followed.add(name)
        started = time.monotonic()
        output = self.paste(BLOCKS[name].script)
        self.seconds[name] = time.monotonic() - started
        return output

    def metadata(self) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
        """Return the labels and annotations of the tenants' namespaces."""
        names = {tenant.name for tenant in self.tenants}
        return {
            body["metadata"]["name"]: (body["metadata"]["labels"], body["metadata"].get("annotations", {}))
            for body in self.api.items("/api/v1/namespaces")
            if body["metadata"]["name"] in names
        }

    def enforcements(self) -> dict[str, str]:
        return {name: present.get(labels.ENFORCEMENT, "") for name, (present, _) in self.metadata().items()}

    def refusals(self) -> list[str]:
        """Return what controllers say about pods that the API server refused."""
        events = self.api.items("/api/v1/events?fieldSelector=reason%3DFailedCreate")
        return [event["message"] for event in events if "forbidden" in event["message"]]


@pytest.fixture(scope="module")
def adopter() -> Iterator[Adopter]:
    with readme.following(Adopter) as user:
        yield user


def test_with_nothing_installed_everything_is_seen(adopter: Adopter) -> None:
    """Day 1: status lists each workload with host namespaces. The commands store nothing."""
    output = adopter.follow("see")
    for tenant in adopter.tenants:
        for workload in tenant.workloads:
            if workload.pods and {"hostNetwork", "hostPID", "hostIPC"} & set(_pod_spec(workload.body)):
                assert f"{tables.kind(workload.kind)}/{workload.name} " in _lines(output, tenant.name)
    assert adopter.metadata() == adopter.before


def test_audit_refuses_and_changes_nothing(adopter: Adopter) -> None:
    """Day 2: whatif names each workload that would be refused, also without a pod; no level changes."""
    for name in ("image", "policies", "audit"):
        adopter.paste(README[name].script)
    readme._installed(adopter)
    adopter.until("all are audited", lambda: set(adopter.enforcements().values()) == {"Audit"})
    output = adopter.follow("audited")
    for tenant in adopter.tenants:
        for workload in tenant.workloads:
            shown = f"{tables.kind(workload.kind)}/{workload.name} " in _lines(output, tenant.name)
            assert shown is (workload.need is not Need.NOTHING), (tenant.name, workload, _lines(output, tenant.name))
    levels = {name: present.get(labels.PSA_ENFORCE) for name, (present, _) in adopter.metadata().items()}
    assert levels == {name: present.get(labels.PSA_ENFORCE) for name, (present, _) in adopter.before.items()}


def _lines(output: str, namespace: str) -> str:
    return "\n".join(" ".join(line.split()) for line in output.splitlines() if line.startswith(f"{namespace} "))


def test_what_needs_an_exception_gets_a_draft(adopter: Adopter) -> None:
    """Day 3: nothing else gets a draft, and the API server accepts no draft that nobody has filled in."""
    adopter.follow("draft")
    drafts = {(path.parent.name, path.stem): path.read_text() for path in _drafts(adopter)}
    assert _needing(adopter, Need.EXCEPTION) <= set(drafts)
    assert not _needing(adopter, Need.NOTHING) & set(drafts)
    for text in list(drafts.values())[:5]:
        refused = adopter.cluster.kubectl("apply", "-f", "-", stdin=text)
        assert refused.returncode == 1
        assert "spec.owner" in refused.stderr


def test_the_draft_of_a_sample_is_as_small_as_its_exception(adopter: Adopter) -> None:
    """tests/e2e/test_agents.py shows that with less of one field of these exceptions the pods are refused."""
    for name, sample in adopter.samples.items():
        workload = sample.workload["metadata"]["name"]
        text = (adopter.checkout / "exceptions" / f"agent-{name}" / f"{workload}.yaml").read_text()
        draft = yaml.safe_load(filled_in(text, sample.exception["spec"].get("expiry", "")))
        assert _allowed(draft) == _allowed(sample.exception), name


def _allowed(body: dict[str, Any]) -> dict[str, Any]:
    """Return what an exception allows, without an order."""
    spec = exception.ExceptionSpec.model_validate(body["spec"])
    return {
        "service account": spec.service_account,
        "host namespaces": set(spec.host_namespaces),
        "images": set(spec.images or ()),
        "capabilities": set(spec.capabilities),
        "privileged": spec.privileged,
        "host paths": {(path.path, path.read_only) for path in spec.host_paths},
        "host ports": spec.host_ports,
        "level": spec.pod_security_level,
    }


def _drafts(adopter: Adopter) -> list[pathlib.Path]:
    return sorted((adopter.checkout / "exceptions").rglob("*.yaml"))


def _needing(adopter: Adopter, need: Need) -> set[tuple[str, str]]:
    return {(t.name, workload.name) for t in adopter.tenants for workload in t.workloads if workload.need is need}


def test_each_workload_gets_the_exception_that_it_needs(adopter: Adopter) -> None:
    """Day 3: every draft, filled in, is approved. The drafts of what its team will change are thrown away."""
    needed = _needing(adopter, Need.EXCEPTION)
    for path in _drafts(adopter):
        if (path.parent.name, path.stem) in needed:
            path.write_text(filled_in(path.read_text(), _later()))
        else:
            path.unlink()
    output = adopter.follow("exceptions")
    assert output.count("condition met") == len(needed)
    left = adopter.paste("kubectl hostnetwork whatif -o name").split()
    assert set(left) == {f"namespace/{tenant.name}" for tenant in adopter.tenants if not tenant.can_be_enforced}
    files = {path: path.read_text() for path in _drafts(adopter)}
    adopter.paste(BLOCKS["draft"].script)
    assert {path: path.read_text() for path in _drafts(adopter) if path in files} == files
    assert {(path.parent.name, path.stem) for path in _drafts(adopter)} - needed <= _needing(adopter, Need.CHANGE)


def test_three_waves_enforce_every_namespace_that_can_be(adopter: Adopter) -> None:
    """Days 4 to 6: first ten namespaces, then all in which nothing is refused, then the rest and new namespaces."""
    for path, text in markdown.files(DOCUMENT).items():
        (adopter.checkout / path).write_text(text)
    adopter.follow("rule")
    adopter.follow("first")
    adopter.until("the first wave", lambda: collections.Counter(adopter.enforcements().values())["Deny"] == 10)
    assert adopter.follow("enforced").count("Deny") == 10
    adopter.follow("second")
    enforceable = {tenant.name for tenant in adopter.tenants if tenant.can_be_enforced}
    adopter.until("the second wave", lambda: _with(adopter, "Deny") == enforceable)
    adopter.follow("third")
    others = {tenant.name for tenant in adopter.tenants} - enforceable
    adopter.until("the last wave", lambda: _with(adopter, "Held") == others)
    assert _with(adopter, "Deny") == enforceable
    assert {line.split()[0] for line in adopter.follow("held").splitlines()[1:]} == others
    adopter.follow("waves-off")


def _with(adopter: Adopter, enforcement: str) -> set[str]:
    return {name for name, found in adopter.enforcements().items() if found == enforcement}


# -- everything starts again ------------------------------------------------------------------------------------------


def test_every_workload_is_restarted_scaled_and_triggered(adopter: Adopter) -> None:
    """No pod is refused that would have started before: each workload has all its new pods, and nothing says no."""
    expected = {
        (tenant.name, f"{workload.kind}/{workload.name}"): _start_again(adopter, tenant, workload)
        for tenant in adopter.tenants
        for workload in tenant.workloads
    }

    def missing() -> list[tuple[str, str]]:
        pods = adopter.api.items("/api/v1/pods")
        marks = collections.Counter(
            (pod["metadata"]["namespace"], pod["metadata"].get("annotations", {}).get(_RESTARTED)) for pod in pods
        )
        return [key for key, count in expected.items() if marks[key] < count]

    adopter.until("all new pods, or a refusal", lambda: adopter.refusals() or not missing(), 120)
    assert adopter.refusals() == []
    assert adopter.follow("refused").strip() == "0"


def _pod_spec(body: dict[str, Any]) -> dict[str, Any]:
    return dict(body["spec"] if body["kind"] == "Pod" else _template(body)["spec"])


def _template(body: dict[str, Any]) -> dict[str, Any]:
    spec = body["spec"]["jobTemplate"]["spec"] if body["kind"] == "CronJob" else body["spec"]
    return dict(spec["template"])


def _path(namespace: str, body: dict[str, Any]) -> str:
    version = body["apiVersion"]
    return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{namespace}/{body['kind'].lower()}s"


def _start_again(adopter: Adopter, tenant: Tenant, workload: Workload) -> int:
    """Make the workload start new pods, one more than before if it can be scaled. Return how many to wait for.

    The annotation of the new pods has the kind and the name of the workload.
    """
    body, name = workload.body, workload.name
    path = _path(tenant.name, body)
    mark = {"annotations": {_RESTARTED: f"{workload.kind}/{name}"}}
    match workload.kind:
        case "Pod":
            if not tenant.can_be_enforced:  # in a Held namespace nobody creates the pod again in the same moment
                return 0
            adopter.api.delete(f"{path}/{name}").expect(200)
            metadata = {**body["metadata"], **mark}
            adopter.until("it is gone", lambda: adopter.api.get(f"{path}/{name}").status == 404)
            adopter.api.post(path, {**body, "metadata": metadata}).expect(201)
            return 0  # it is admitted; kwok deletes pods by name, and may delete this pod for the one before
        case "Job":
            # The template of a Job cannot be changed once its pods have started.
            adopter.api.patch(f"{path}/{name}", {"spec": {"template": {"metadata": mark}}}).expect(200)
            adopter.api.patch(f"{path}/{name}", {"spec": {"suspend": False}}).expect(200)
            return 1
        case "CronJob":
            template = _template(body)
            marked = {**template, "metadata": {**template.get("metadata", {}), **mark}}
            job = {"metadata": {"name": f"{name}-now"}, "spec": {"template": marked}}
            adopter.api.post(path.replace("cronjobs", "jobs"), job).expect(201)
            return 1
        case kind:
            replicas = {} if kind == "DaemonSet" else {"replicas": workload.pods + 1}
            patch = {"spec": {**replicas, "template": {"metadata": mark}}}
            adopter.api.patch(f"{path}/{name}", patch).expect(200)
            if kind in {"ReplicaSet", "ReplicationController"}:  # these replace no pod by themselves
                selector = f"app%3D{name}"
                adopter.api.delete(f"/api/v1/namespaces/{tenant.name}/pods?labelSelector={selector}").expect(200)
            return workload.pods + len(replicas)


# -- what is left -----------------------------------------------------------------------------------------------------


def test_once_its_workload_is_changed_a_namespace_is_enforced(adopter: Adopter) -> None:
    """A Held namespace is enforced by itself when its teams have changed what held it."""
    for tenant in adopter.tenants:
        for workload in tenant.workloads:
            if workload.need is Need.CHANGE:
                path = _path(tenant.name, workload.body)
                adopter.api.delete(f"{path}/{workload.name}?propagationPolicy=Background").expect(200)
                adopter.until("it is gone", lambda p=f"{path}/{workload.name}": adopter.api.get(p).status == 404)
                adopter.api.post(path, _fixed(workload.body)).expect(201)
    adopter.until("no namespace is Held", lambda: set(adopter.enforcements().values()) == {"Deny"}, 120)
    assert adopter.refusals() == []


def _fixed(body: dict[str, Any]) -> dict[str, Any]:
    """Return the same object with a pod that Baseline allows."""
    if body["kind"] == "Pod":
        return {**body, "spec": _COMPLIANT}
    once = {"restartPolicy": "Never"} if body["kind"] in {"Job", "CronJob"} else {}
    template = {**_template(body), "spec": {**_COMPLIANT, **once}}
    if body["kind"] == "CronJob":
        return {**body, "spec": {**body["spec"], "jobTemplate": {"spec": {"template": template}}}}
    return {**body, "spec": {**body["spec"], "template": template}}


def test_taken_off_again_every_namespace_is_as_before(adopter: Adopter) -> None:
    """docs/howto/uninstall.md restores the labels and annotations, and touches no pod."""
    pods = _pods(adopter)
    for name in ("keep", "birth", "release"):
        adopter.paste(UNINSTALL[name].script)
    adopter.until("nothing is left", lambda: adopter.paste(UNINSTALL["released"].script) == UNINSTALL["released"].shown)
    assert adopter.operator.stop() == 0
    adopter.paste(UNINSTALL["delete"].script)
    assert adopter.metadata() == adopter.before
    assert _pods(adopter) >= pods


def _pods(adopter: Adopter) -> set[str]:
    """Return the uids of the tenants' pods."""
    names = {tenant.name for tenant in adopter.tenants}
    pods = (pod["metadata"] for pod in adopter.api.items("/api/v1/pods"))
    return {metadata["uid"] for metadata in pods if metadata["namespace"] in names}


def test_the_whole_page_was_followed(adopter: Adopter, capsys: pytest.CaptureFixture[str]) -> None:
    """The last test. It prints how long each block took."""
    assert adopter.followed == set(BLOCKS)
    workloads = [workload for tenant in adopter.tenants for workload in tenant.workloads]
    needs = collections.Counter(workload.need.name.lower() for workload in workloads)
    with capsys.disabled():
        print(f"\n{len(adopter.tenants)} namespaces, {len(workloads)} workloads: {dict(needs)}")
        for name, seconds in adopter.seconds.items():
            print(f"{name}: {seconds:.1f} s")
