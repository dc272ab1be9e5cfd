"""Why an exception covers nothing: the condition InUse says so within a minute."""

import datetime
import json

from tests.e2e.conftest import IMAGE, World

MINUTE = 60


def _reason(world: World, namespace: str, name: str = "capture") -> str:
    return str(world.condition(namespace, name, kind="InUse").get("reason", ""))


def _account(world: World, namespace: str, name: str) -> None:
    world.admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}}).expect(201)


def test_a_service_account_that_does_not_exist_is_named(world: World) -> None:
    """The account name has a typo; once the account exists, its pods are missing, and then they are covered."""
    name = world.namespace()
    world.exception(name, serviceAccountName="netdebug").expect(201)
    world.exception(name, "ordinary").expect(201)
    world.until("it says so", lambda: _reason(world, name) == "ServiceAccountMissing", deadline_seconds=MINUTE)
    message = world.condition(name, kind="InUse")["message"]
    assert message.startswith(f"service account 'netdebug' does not exist in namespace '{name}'; create the account (")
    world.until("an account", lambda: _reason(world, name, "ordinary") == "NoHostPods", deadline_seconds=MINUTE)
    state_before = world.metadata(name)["resourceVersion"], world.status(name)
    world.holds_until(
        world.now() + datetime.timedelta(seconds=3),
        "nothing is written again",
        lambda: (world.metadata(name)["resourceVersion"], world.status(name)) == state_before,
    )
    _account(world, name, "netdebug")
    world.until("its pods are missing", lambda: _reason(world, name) == "NoHostPods", deadline_seconds=2 * MINUTE)
    world.pod(name, serviceAccountName="netdebug").expect(201)
    world.until("they are covered", lambda: _reason(world, name) == "PodsCovered")


def test_images_that_no_pod_has_are_named(unattended: World) -> None:
    """The pod existed before enforcement, and the exception was written for this pod."""
    unattended.operator.stop()
    name = unattended.namespace(deny=False, old=True)
    other = "registry.example.com/netshoot:v0.13"
    unattended.pod(name, containers=[{"name": "main", "image": other}]).expect(201)
    unattended.exception(name).expect(201)
    unattended.operator.start()
    unattended.until("it says so", lambda: _reason(unattended, name) == "ImagesDiffer", deadline_seconds=MINUTE)
    message = unattended.condition(name, kind="InUse")["message"]
    assert f"images that the exception does not list: {other}, and the exception lists {IMAGE}; write a new" in message


def test_without_the_right_to_get_accounts_none_is_said_to_be_missing(unattended: World) -> None:
    """An account that the operator cannot read is unknown, not missing; the condition says what is known."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostnetwork-operator"
    role = json.loads(unattended.cluster.kubectl("get", "clusterrole", "hostnetwork-operator", "-o", "json").stdout)
    del role["metadata"]["resourceVersion"]
    weaker_role = {**role, "rules": [rule for rule in role["rules"] if rule["resources"] != ["serviceaccounts"]]}
    assert len(weaker_role["rules"]) == len(role["rules"]) - 1
    unattended.admin.put(path, weaker_role).expect(200)
    try:
        name = unattended.namespace()
        unattended.exception(name, serviceAccountName="netdebug").expect(201)
        unattended.until("it says so", lambda: _reason(unattended, name) == "NoHostPods", deadline_seconds=MINUTE)
    finally:
        unattended.admin.put(path, role).expect(200)
    reason = "ServiceAccountMissing"
    unattended.until("it can tell", lambda: _reason(unattended, name) == reason, deadline_seconds=2 * MINUTE)


def test_a_pod_with_host_pid_alone_is_found_in_the_first_minutes(world: World) -> None:
    """No watch reports such a pod, and the next list of all pods may be an hour away."""
    name = world.namespace()
    world.exception(name, hostNamespaces=["PID"]).expect(201)
    world.until("it says so", lambda: _reason(world, name) == "NoHostPods", deadline_seconds=MINUTE)
    assert "in the last list of all pods" in world.condition(name, kind="InUse")["message"]
    world.until("it is admitted", lambda: world.pod(name, hostNetwork=False, hostPID=True).status in {201, 409})
    world.until("it is covered", lambda: _reason(world, name) == "PodsCovered", deadline_seconds=2 * MINUTE)
