"""`kubectl hostnetwork grant` on a governed cluster: with and without the right to approve, and at a terminal."""

import pathlib
from typing import Any

import pytest
import yaml

from tests.cli import terminal
from tests.cli.conftest import hostnetwork
from tests.cli.test_status import daemon_set
from tests.controlplane import cluster
from tests.e2e.conftest import IMAGE, World

CREATED = "hostnetworkexception.hostnetwork-operator.github.io/{} created\n"
HOSTILE = "yes\": # \\ {x: y} 'z' ü \U0001f98a"


@pytest.fixture(scope="module")
def refused(module_world: World) -> str:
    """A namespace in which the pods of a DaemonSet are refused, because no exception covers them."""
    world = module_world
    namespace = world.namespace()
    world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", daemon_set("agent", IMAGE)).expect(201)
    return namespace


def arguments(namespace: str, name: str = "agent", **words: str) -> tuple[str, ...]:
    said = {"owner": "team-sre", "reason": "The agent reads packets of its node", "ticket": "INC-1", **words}
    flags = (part for word, text in said.items() for part in (f"--{word}", text))
    end = () if "until" in said else ("--for", "7d")
    return ("grant", "-n", namespace, "ds/agent", "--type", "Application", "--name", name, *flags, *end)


def exists(world: World, namespace: str, name: str) -> bool:
    return world.admin.get(f"{world.exceptions(namespace)}/{name}").status == 200


def test_an_approver_grants_what_the_dry_run_showed(world: World, refused: str) -> None:
    """The operator puts the exception into force, and the command says until when, and how to get the pods now."""
    shown = hostnetwork(world.cluster, *arguments(refused), "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "Nothing was written." in shown.stderr
    assert not exists(world, refused, "agent")
    granted = hostnetwork(world.cluster, *arguments(refused), "--yes")
    assert (granted.returncode, granted.stdout) == (0, CREATED.format("agent")), granted.stderr
    assert "Active: the exception is in force until " in granted.stderr
    assert f"kubectl rollout restart -n {refused} ds/agent" in granted.stderr
    body = world.admin.get(f"{world.exceptions(refused)}/agent").expect(200).body
    spec = body["spec"]
    drafted = {**yaml.safe_load(shown.stdout)["spec"], "expiry": spec["expiry"]}
    assert drafted == {name: spec[name] for name in drafted}
    (own,) = [each for each in body["metadata"]["managedFields"] if "subresource" not in each]
    assert own["manager"] == "kubectl-hostnetwork"
    again = hostnetwork(world.cluster, *arguments(refused), "--yes")
    assert again.returncode == 1
    assert f"kubectl hostnetwork renew agent -n {refused} --for DURATION" in again.stderr


@pytest.fixture
def auditor(world: World, refused: str) -> pathlib.Path:
    """A tenant who may also read RBAC, and a group that may approve."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "platform-security"}
    user = {**group, "kind": "User", "name": f"auditor-{refused}"}
    rule = {"apiGroups": [group["apiGroup"]], "resources": ["*"], "verbs": ["get", "list"]}
    world.admin.post(f"{rbac}/clusterroles", {"metadata": {"name": "reads-rbac"}, "rules": [rule]}).expect(201, 409)
    for role, subject in (("reads-rbac", user), ("hostnetwork-exception-approver", group)):
        reference = {"apiGroup": group["apiGroup"], "kind": "ClusterRole", "name": role}
        binding = {"metadata": {"name": f"grants-{role}"}, "roleRef": reference, "subjects": [subject]}
        world.admin.post(f"{rbac}/clusterrolebindings", binding).expect(201, 409)
    kubeconfig = world.cluster.tenant(refused, "auditor")
    attributes = {"group": group["apiGroup"], "resource": "clusterroles", "verb": "list"}
    world.cluster.wait_for_right(kubeconfig, attributes)
    return kubeconfig


def test_who_may_not_approve_gets_a_file_for_somebody_who_may(
    world: World, refused: str, auditor: pathlib.Path
) -> None:
    """The approver applies it as it is, also if its words are hostile. RBAC says who that can be."""
    asked = hostnetwork(world.cluster, *arguments(refused, "asked", owner=HOSTILE), "--yes", user=auditor)
    assert asked.returncode == 1
    assert "You may not create the exception. Nothing was written." in asked.stderr
    assert "- Group platform-security by hostnetwork-exception-approver\n" in asked.stderr
    assert asked.stdout.isascii()
    assert not exists(world, refused, "asked")
    created = world.admin.post(world.exceptions(refused), yaml.safe_load(asked.stdout)).expect(201).body
    assert created["spec"]["owner"] == HOSTILE


def test_a_guess_grants_nothing(world: World, refused: str) -> None:
    """Nothing in the catalogue fits the workload, and a type Infrastructure would have no end."""
    words = ("--owner", "team-sre", "--reason", "The agent reads packets of its node")
    shown = hostnetwork(world.cluster, "grant", "-n", refused, "ds/agent", *words, "--name", "guess", "--yes")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "--type is missing: say what ds/agent is" in shown.stderr
    assert not exists(world, refused, "guess")


def test_an_error_of_the_api_server_is_no_missing_right(world: World, refused: str) -> None:
    """An end that is too late is refused with the status of a missing right, and is shown as the API server says it."""
    late = hostnetwork(world.cluster, *arguments(refused, "late", until="2999-01-01T00:00:00Z"), "--yes")
    assert (late.returncode, late.stdout) == (1, "")
    assert late.stderr.startswith("Error from server (Forbidden): ")
    assert "spec.expiry must be within 2160h of creation" in late.stderr


@pytest.mark.parametrize("answer", ["y\n", "\x03"])
def test_a_person_is_asked_at_a_terminal(world: World, refused: str, answer: str) -> None:
    """For what no flag says, and before anything is written. Ctrl-C writes nothing."""
    name = {"y\n": "yes", "\x03": "interrupted"}[answer]
    words = arguments(refused, name)
    without_owner = words[: words.index("--owner")] + words[words.index("--owner") + 2 :]
    status, text = terminal.converse(world.cluster, without_owner, [("(--owner): ", "team-web\n"), ("[y/N] ", answer)])
    assert status == {"yes": 0, "interrupted": 130}[name], text
    assert exists(world, refused, name) is (name == "yes")
    assert ("Nothing was written." in text) is (name != "yes")


def test_the_result_alone_is_on_stdout(world: World, refused: str) -> None:
    """With what the operator has reported. For people there is stderr."""
    shown = hostnetwork(world.cluster, *arguments(refused, "as-yaml"), "--yes", "-o", "yaml")
    assert shown.returncode == 0, shown.stderr
    body: dict[str, Any] = yaml.safe_load(shown.stdout)
    assert (body["metadata"]["name"], body["status"]["conditions"][-1]["reason"]) == ("as-yaml", "Active")
    assert "managedFields" not in body["metadata"]


def test_where_nothing_is_installed_there_is_nothing_to_grant(bare: cluster.Cluster) -> None:
    namespace = "grants"
    bare.admin.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).expect(201)
    bare.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", daemon_set("agent", IMAGE)).expect(201)
    shown = hostnetwork(bare, *arguments(namespace), "--yes")
    renewed = hostnetwork(bare, "renew", "agent", "-n", namespace, "--for", "1h", "--yes")
    for each in (shown, renewed):
        assert (each.returncode, each.stdout) == (1, "")
        assert "the API server does not serve HostNetworkExceptions" in each.stderr
