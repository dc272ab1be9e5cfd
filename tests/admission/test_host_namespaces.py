"""host-namespaces: a host-namespace pod needs a grant that covers the whole pod."""

import datetime
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import grant as grants
from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.admission.workbench import IMAGE, Home, container, grant, pod
from tests.controlplane import api

Network, PID, IPC = labels.HostNamespace
ALL_HOSTS = frozenset(labels.HostNamespace)
MIRROR = {labels.MIRROR: "a-hash"}


def ro(path: str) -> grants.HostPathAccess:
    return grants.HostPathAccess(path, read_only=True)


def rw(path: str) -> grants.HostPathAccess:
    return grants.HostPathAccess(path, read_only=False)


def host_pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return pod(*containers, **{"hostNetwork": True, **spec})


# -- nothing without a grant ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "word"), [("hostNetwork", "Network"), ("hostPID", "PID"), ("hostIPC", "IPC")])
def test_each_host_namespace_needs_a_grant(deny: Home, field: str, word: str) -> None:
    """With enforcement on and no grant, a pod with any one host namespace is refused, and the message says why."""
    body = pod(**{field: True})
    text = f"shares host {word}, and no exception in force in its namespace covers the pod"
    message = deny.refuses(body, f'host-namespaces: pod "{body["metadata"]["name"]}" {text}')
    assert "(the namespace has none)" in message
    for text in ("HostNetworkException", "kubectl explain hne.spec", "serviceAccountName: default", IMAGE, f"[{word}]"):
        assert text in message


def test_a_pod_whose_name_the_api_server_makes_is_named(deny: Home) -> None:
    """For a pod with generateName, the refusal contains the complete name.

    The API server sets the name before it evaluates the policy.
    """
    body = host_pod()
    body["metadata"] = {"generateName": "made-"}
    assert re.search(r'host-namespaces: pod "made-[a-z0-9]+" shares host Network, and', deny.refuses(body))


def test_administrators_are_no_exception(deny: Home) -> None:
    """Not even a cluster administrator or a controller creates an uncovered host-namespace pod."""
    deny.refuses(host_pod())  # system:masters
    template = {"metadata": {"labels": {"a": "b"}}, "spec": host_pod()["spec"]}
    body = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    path = f"/apis/apps/v1/namespaces/{deny.name}/replicasets"
    deny.cluster.admin.post(path, body).expect(201)

    def refused() -> bool:
        conditions = deny.cluster.admin.get(f"{path}/web").body["status"].get("conditions", [])
        return any("host-namespaces" in condition["message"] for condition in conditions)

    deny.cluster.wait("the refusal on the ReplicaSet", refused)


@pytest.mark.parametrize("enforcement", ["Deny", "Audit", "Held"])
def test_ordinary_pods_are_never_refused(make_namespace: Callable[..., Home], enforcement: str) -> None:
    """In every governed namespace an ordinary pod passes without a warning, whatever else its spec contains."""
    namespace = make_namespace(enforcement=enforcement)
    annotations = {labels.GRANT_PREFIX + "broken": "|||", labels.GRANT_PREFIX + "empty": ""}
    namespace.cluster.admin.patch(namespace.path, {"metadata": {"annotations": annotations}}).expect(200)
    for spec in ({}, {"hostNetwork": False, "hostPID": False, "hostIPC": False}, {"hostUsers": False}):
        assert namespace.create(pod(**spec)).expect(201).warnings == ()
    node_pod = pod(nodeName=namespace.cluster.nodes[0])
    node_pod["metadata"]["annotations"] = MIRROR
    assert namespace.create(node_pod).expect(201).warnings == ()


@pytest.mark.parametrize("enforcement", ["Audit", "Held"])
def test_audit_and_held_warn_and_record_and_refuse_nothing(
    make_namespace: Callable[..., Home], enforcement: str
) -> None:
    """In Audit and Held namespaces an uncovered pod is admitted.

    The user sees the warning that would otherwise be the refusal, and the audit log records it.
    """
    namespace = make_namespace(enforcement=enforcement)
    body = host_pod()
    answer = namespace.create(body).expect(201)
    assert any("no exception in force in its namespace covers the pod" in text for text in answer.warnings), (
        answer.warnings
    )

    def audited() -> bool:
        key = "validation.policy.admission.k8s.io/validation_failure"
        return any(
            "host-namespaces" in event.get("annotations", {}).get(key, "")
            for event in namespace.cluster.audit_events()
            if event.get("objectRef", {}).get("namespace") == namespace.name
        )

    namespace.cluster.wait("the audit annotation", audited)


def test_namespaces_without_the_label_are_left_alone(make_namespace: Callable[..., Home]) -> None:
    """In a namespace without the enforcement label, host-namespace pods pass without a warning."""
    assert make_namespace().create(host_pod()).expect(201).warnings == ()


# -- covers -----------------------------------------------------------------------------------------------------------


def test_a_grant_admits_the_pod_that_it_covers(deny: Home) -> None:
    """A pod that one grant covers is admitted."""
    deny.give(web=grant())
    deny.admits(host_pod())
    deny.admits(host_pod({}, {"name": "second"}, initContainers=[container(name="i")]))


@pytest.mark.parametrize(
    "host_namespaces", [{"hostNetwork": True}, {"hostPID": True}, {"hostPID": True, "hostIPC": True}]
)
def test_a_pod_may_use_fewer_host_namespaces_than_granted(deny: Home, host_namespaces: dict[str, bool]) -> None:
    """The pod's host namespaces may be a subset of the granted host namespaces."""
    deny.give(web=grant(host_namespaces=ALL_HOSTS))
    deny.admits(pod(**host_namespaces))


DIFFERENT: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("host namespaces", {}, pod(hostNetwork=True, hostPID=True), '"web" allows only host Network'),
    ("image", {}, host_pod({"image": "other:1"}), '"web" does not list image other:1'),
    ("one image of two", {}, host_pod({}, {"image": "other:1"}), '"web" does not list image other:1'),
    ("init image", {}, host_pod(initContainers=[container(name="i", image="o:1")]), "does not list image o:1"),
    ("image prefix", {}, host_pod({"image": IMAGE + "0"}), f"does not list image {IMAGE}0"),
    ("image - of an empty list", {"images": ()}, host_pod({"image": "-"}), "does not list image -"),
    (
        "capability",
        {},
        host_pod({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}),
        '"web" does not list capability',
    ),
    (
        "capability in init",
        {},
        host_pod(initContainers=[container(name="i", securityContext={"capabilities": {"add": ["NET_RAW"]}})]),
        '"web" does not list capability',
    ),
    (
        "capability ALL",
        {},
        host_pod({"securityContext": {"capabilities": {"add": ["ALL"]}}}),
        '"web" does not list capability',
    ),
    (
        "capability -",
        {},
        host_pod({"securityContext": {"capabilities": {"add": ["-"]}}}),
        '"web" does not list capability',
    ),
    (
        "CAP_ is part of the name",
        {"capabilities": ("NET_ADMIN",)},
        host_pod({"securityContext": {"capabilities": {"add": ["CAP_NET_ADMIN"]}}}),
        '"web" does not list capability',
    ),
    (
        "CAP_ of a default one",
        {},
        host_pod({"securityContext": {"capabilities": {"add": ["CAP_CHOWN"]}}}),
        '"web" does not list capability',
    ),
    (
        "baseline capability under restricted",
        {"level": labels.Level.RESTRICTED},
        host_pod({"securityContext": {"capabilities": {"add": ["CHOWN"]}}}),
        '"web" does not list capability',
    ),
    (
        "privileged level names no capability",
        {"level": labels.Level.PRIVILEGED},
        host_pod({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
        '"web" does not list capability',
    ),
    (
        "capability of a container that is not privileged beside one that is",
        {"privileged": True},
        host_pod(
            {"securityContext": {"privileged": True}}, {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}
        ),
        '"web" does not list capability SYS_ADMIN',
    ),
    ("privileged", {}, host_pod({"securityContext": {"privileged": True}}), "does not allow privileged containers"),
    (
        "privileged init",
        {},
        host_pod(initContainers=[container(name="i", securityContext={"privileged": True})]),
        "does not allow privileged containers",
    ),
    (
        "privileged with every capability named",
        {"capabilities": ("NET_ADMIN",), "level": labels.Level.PRIVILEGED},
        host_pod({"securityContext": {"privileged": True}}),
        "does not allow privileged containers",
    ),
    (
        "host path",
        {},
        host_pod(volumes=[{"name": "v", "hostPath": {"path": "/etc"}}]),
        "does not allow host path /etc/",
    ),
    ("the past", {"until": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)}, host_pod(), "expired at 2020-01-01T00"),
]


@pytest.mark.parametrize(("fields", "body", "text"), [row[1:] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_one_difference_is_enough_to_refuse(
    deny: Home, fields: dict[str, Any], body: dict[str, Any], text: str
) -> None:
    """A pod that differs from its grant in one respect is refused; the message names the grant and the difference."""
    deny.give(web=grant(**fields))
    deny.refuses(body, '"web" ', text)


ALIKE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "any image",
        {"images": None},
        host_pod({"image": "whatever:1"}, initContainers=[container(name="i", image="o:2")]),
    ),
    ("two images", {"images": (IMAGE, "other:1")}, host_pod({}, {"image": "other:1"})),
    (
        "capabilities",
        {"capabilities": ("NET_ADMIN", "NET_RAW")},
        host_pod({"securityContext": {"capabilities": {"add": ["NET_RAW", "CHOWN"], "drop": ["ALL"]}}}),
    ),
    (
        "every Baseline capability",
        {},
        host_pod(
            {
                "securityContext": {
                    "capabilities": {
                        "add": (
                            "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID "
                            "SETPCAP SETUID SYS_CHROOT"
                        ).split()
                    }
                }
            }
        ),
    ),
    (
        "the one Restricted capability",
        {"level": labels.Level.RESTRICTED},
        host_pod({"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}),
    ),
    ("empty and absent", {}, host_pod({"securityContext": {"capabilities": {"add": []}}}, {"securityContext": {}})),
    ("privileged", {"privileged": True}, host_pod({"securityContext": {"privileged": True}})),
    (
        "what a privileged container adds",
        {"privileged": True},
        host_pod({"securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}}),
    ),
    (
        "a capability with its prefix",
        {"capabilities": ("CAP_SYS_BOOT",)},
        host_pod({"securityContext": {"capabilities": {"add": ["CAP_SYS_BOOT"]}}}),
    ),
    ("privileged not used", {"privileged": True}, host_pod({"securityContext": {"privileged": False}})),
    ("no host path", {"host_paths": (ro("/proc"),)}, host_pod(volumes=[{"name": "v", "emptyDir": {}}])),
]


@pytest.mark.parametrize(("fields", "body"), [row[1:] for row in ALIKE], ids=[row[0] for row in ALIKE])
def test_what_a_grant_names_is_admitted(deny: Home, fields: dict[str, Any], body: dict[str, Any]) -> None:
    """A pod that stays within its grant is admitted."""
    deny.give(web=grant(**fields))
    deny.admits(body)


DIGEST = "@sha256:" + "0" * 64
REPOSITORIES: list[tuple[str, str, bool]] = [
    ("r.example.com/agent:*", "r.example.com/agent:1", True),
    ("r.example.com/agent:*", "r.example.com/agent:" + "a" * 128, True),
    ("r.example.com/agent:*", "r.example.com/agent:" + "a" * 129, False),
    ("r.example.com/agent:*", "r.example.com/agent", False),
    ("r.example.com/agent:*", "r.example.com/agent:*", False),
    ("r.example.com/agent:*", "r.example.com/agent" + DIGEST, False),
    ("r.example.com/agent:*", "r.example.com/agent:1" + DIGEST, False),
    ("r.example.com/agent:*", "r.example.com/agent/x:1", False),
    ("r.example.com/agent:*", "r.example.com/agent-x:1", False),
    ("r.example.com/agent:*", "R.example.com/agent:1", False),
    ("agent:*", "docker.io/library/agent:1", False),
    ("host:*", "host:5000/x", False),
    ("host:*", "host:5000/x:1", False),
    ("host:5000/x:*", "host:5000/x:1", True),
    ("r.example.com/agent@*", "r.example.com/agent" + DIGEST, True),
    ("r.example.com/agent@*", "r.example.com/agent:1" + DIGEST, True),
    ("r.example.com/agent@*", "r.example.com/agent:1", False),
    ("r.example.com/agent@*", "r.example.com/agent" + DIGEST[:-1], False),
    ("r.example.com/agent@*", "r.example.com/agent" + DIGEST + "0", False),
    ("r.example.com/agent@*", "r.example.com/agent@*", False),
    ("host@*", "host:5000/x" + DIGEST, False),
    # The policy looks for the image in the text of a line before it reads the line, and for no more than 60 characters.
    (f"r.example.com/{'a' * 80}/agent:1", f"r.example.com/{'a' * 80}/agent:1", True),
    (f"r.example.com/{'a' * 80}/agent:1", f"s.example.com/{'a' * 80}/agent:1", False),
    (f"r.example.com/{'a' * 80}/agent:1", f"r.example.com/{'a' * 80}/agent:2", False),
    (f"r.example.com/{'a' * 80}/agent:*", f"r.example.com/{'a' * 80}/agent:1", True),
    (f"r.example.com/{'a' * 80}/agent:*", f"s.example.com/{'a' * 80}/agent:1", False),
    (f"r.example.com/{'a' * 80}/agent@*", f"r.example.com/{'a' * 80}/agent:1{DIGEST}", True),
    (f"r.example.com/{'a' * 80}/agent:1{DIGEST}", f"r.example.com/{'a' * 80}/agent:1{DIGEST}", True),
    ("agent", "agent", True),
    ("agent" + DIGEST, "agent" + DIGEST, True),
    ("r.example.com/agent:1", "agent:1", False),
    ("r.example.com/agent:1", "example.com/agent:1", False),
]


@pytest.mark.parametrize(("entry", "image", "listed"), REPOSITORIES)
def test_what_is_no_image_of_the_repository_is_refused(deny: Home, entry: str, image: str, listed: bool) -> None:
    """An entry for a repository matches any tag, or any digest, of exactly that repository and nothing else."""
    deny.give(web=grant(images=(entry,)))
    assert (deny.create(host_pod({"image": image})).status == 201) is listed


PATHS: list[tuple[grants.HostPathAccess, str, bool]] = [
    (rw("/var/lib"), "/var/lib", True),
    (rw("/var/lib"), "/var/lib/", True),
    (rw("/var/lib"), "/var/lib/kubelet", True),
    (rw("/var/lib"), "/var/library", False),
    (rw("/var/lib"), "/var", False),
    (rw("/var/lib"), "/", False),
    (rw("/var/lib/"), "/var/lib", True),
    (rw("/var/lib/"), "/var/lib/", True),
    (rw("/var/lib/"), "/var/lib/kubelet", True),
    (rw("/var/lib/"), "/var/library", False),
    (rw("/var/lib//"), "/var/lib", False),  # the policy does not normalize an unusual path
    (rw("/var/lib"), "/var//lib", False),
    (rw("/var/lib"), "/var/./lib", False),
    (rw("/"), "/", True),
    (rw("/"), "/etc/kubernetes", True),
    (rw("/"), "etc", False),  # only a container runtime knows what a relative path means
]


@pytest.mark.parametrize(("granted", "path", "within"), PATHS)
def test_host_paths_are_prefixes_by_segment(
    deny: Home, granted: grants.HostPathAccess, path: str, within: bool
) -> None:
    """A granted path covers hostPath volumes by whole path segments, and / covers every absolute path."""
    deny.give(web=grant(host_paths=(granted,)))
    body = host_pod(volumes=[{"name": "v", "hostPath": {"path": path}}])
    assert (deny.create(body).status == 201) is within


def mount(volume: str, **fields: Any) -> dict[str, Any]:
    return {"name": volume, "mountPath": f"/mnt/{volume}", **fields}


MOUNTS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], bool]] = [
    ("read-only", [mount("v", readOnly=True)], [], True),
    ("not said", [mount("v")], [], False),
    ("said false", [mount("v", readOnly=False)], [], False),
    ("not mounted", [], [], True),
    ("writable in the init container", [mount("v", readOnly=True)], [mount("v")], False),
    ("read-only twice", [mount("v", readOnly=True)], [mount("v", readOnly=True)], True),
    ("once of two", [mount("v", readOnly=True), mount("v", mountPath="/2")], [], False),
    ("another volume writable", [mount("v", readOnly=True), mount("w")], [], True),
]


@pytest.mark.parametrize(("first", "init", "within"), [row[1:] for row in MOUNTS], ids=[row[0] for row in MOUNTS])
def test_a_read_only_host_path_is_read_only_everywhere(
    deny: Home, first: list[dict[str, Any]], init: list[dict[str, Any]], within: bool
) -> None:
    """A `ro:` path covers a volume only if every mount of the volume in every container sets readOnly: true."""
    deny.give(web=grant(host_paths=(ro("/proc"),)))
    volumes = [{"name": "v", "hostPath": {"path": "/proc"}}, {"name": "w", "emptyDir": {}}]
    body = host_pod({"volumeMounts": first}, initContainers=[container(name="i", volumeMounts=init)], volumes=volumes)
    if within:
        deny.admits(body)
    else:
        deny.refuses(body, '"web" does not allow host path /proc/ (writable)')


@pytest.mark.parametrize("kind", ["DirectoryOrCreate", "FileOrCreate", "Socket"])
@pytest.mark.parametrize("mounts", [[mount("v", readOnly=True)], []])
def test_a_type_that_writes_is_writable(deny: Home, kind: str, mounts: list[dict[str, Any]]) -> None:
    """A read-only path does not cover these types.

    The kubelet creates missing directories and files, and a process can write to a socket through a read-only mount.
    """
    deny.give(web=grant(host_paths=(ro("/"),)))
    socket = "/run/containerd/containerd.sock"
    body = host_pod({"volumeMounts": mounts}, volumes=[{"name": "v", "hostPath": {"path": socket, "type": kind}}])
    deny.refuses(body, f'"web" does not allow host path {socket}/ (writable)')
    deny.give(web=grant(host_paths=(rw("/run/containerd"),)))
    deny.admits(body)


@pytest.mark.parametrize("kind", ["", "Directory", "File", "CharDevice", "BlockDevice"])
def test_a_type_that_writes_nothing_is_as_its_mounts_say(deny: Home, kind: str) -> None:
    """For a type that creates nothing on the node, only the mounts decide whether the volume is writable."""
    deny.give(web=grant(host_paths=(ro("/"),)))
    volumes = [{"name": "v", "hostPath": {"path": "/proc", "type": kind}}]
    deny.admits(host_pod({"volumeMounts": [mount("v", readOnly=True)]}, volumes=volumes))
    deny.refuses(host_pod({"volumeMounts": [mount("v")]}, volumes=volumes), "/proc/ (writable)")


def test_the_widest_of_several_host_paths_counts(deny: Home) -> None:
    """A volume needs one granted path that covers it, and each volume may use a different granted path."""
    deny.give(web=grant(host_paths=(ro("/"), rw("/var/log"))))
    volumes = [{"name": "a", "hostPath": {"path": "/var/log"}}, {"name": "b", "hostPath": {"path": "/etc"}}]
    deny.admits(host_pod({"volumeMounts": [mount("a"), mount("b", readOnly=True)]}, volumes=volumes))
    deny.refuses(host_pod({"volumeMounts": [mount("a"), mount("b")]}, volumes=volumes), "/etc/ (writable)")


def test_two_grants_never_add_up(deny: Home) -> None:
    """If one grant fits a pod's network and another fits its image, neither grant covers the pod."""
    deny.give(a=grant(images=("other:1",)), b=grant(host_namespaces=frozenset({PID}), images=None))
    body = host_pod({"image": "third:1"})
    deny.refuses(body, 'closest exception of 3: "a" does not list image third:1')
    deny.give(c=grant(images=("third:1",)))
    deny.admits(body)


def test_a_grant_is_for_one_service_account(deny: Home) -> None:
    """The service account must be equal.

    A pod without a service account uses `default`, and the deprecated field counts too.
    """
    accounts = f"{deny.path}/serviceaccounts"
    deny.cluster.admin.post(accounts, {"metadata": {"name": "agent"}}).expect(201)
    deny.give(web=grant(service_account="agent"))
    deny.admits(host_pod(serviceAccountName="agent"))
    deny.admits(host_pod(serviceAccount="agent"))
    deny.refuses(host_pod(), '"web" is for service account agent', "serviceAccountName: default")
    deny.refuses(host_pod(serviceAccountName="default"), '"web" is for service account agent')
    # If both fields are set, the API server and the policy use serviceAccountName.
    deny.refuses(host_pod(serviceAccountName="default", serviceAccount="agent"), '"web" is for service account agent')
    deny.give(web=grant())
    deny.refuses(host_pod(serviceAccountName="agent"), '"web" is for service account default')


# The policy looks for the name in the text of a line before it reads the line, and for no more than 60 characters.
LONG = "a" * 62
ACCOUNTS = [
    ("agent", "agent-2"),
    ("agent-2", "agent"),
    ("my-agent", "agent"),
    ("agent", "my-agent"),
    ("agent.1", "agent-1"),
    ("agent-1", "agent.1"),
    (LONG[:59], LONG[:60]),
    (LONG[:60], LONG[:59]),
    (LONG[:60], LONG[:61]),
    (LONG[:61], LONG[:60]),
    (f"{LONG}.b", f"{LONG}.c"),
    ("default", "baseline"),  # the name is the text of another field of the line
    ("default", "false"),
    ("baseline", "default"),
]


@pytest.mark.parametrize(("granted", "used"), ACCOUNTS)
def test_an_account_with_a_similar_name_gets_no_grant(deny: Home, granted: str, used: str) -> None:
    """A name that begins, ends or continues the granted name, or occurs elsewhere in the line, is another name."""
    for name in {granted, used} - {"default"}:
        deny.cluster.admin.post(f"{deny.path}/serviceaccounts", {"metadata": {"name": name}}).expect(201)
    deny.give(web=grant(service_account=granted))
    deny.admits(host_pod(serviceAccountName=granted))
    deny.refuses(host_pod(serviceAccountName=used), f'"web" is for service account {granted}')


def test_a_grant_is_worthless_in_another_namespace_of_the_same_name(deny: Home) -> None:
    """A grant line with the uid of an earlier namespace grants nothing, and the refusal does not name it."""
    line = grant(namespace_uid="00000000-0000-0000-0000-000000000000").encode()
    deny.give(old=line)
    assert "old " not in deny.refuses(host_pod(), '(closest exception of 1: "zz-seen" is for')


def test_a_refusal_names_what_would_have_fitted(deny: Home) -> None:
    """The refusal counts the live grants, and an ended grant only if it would cover the pod: that is the closest."""
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    deny.give(
        elsewhere=grant(service_account="other"),
        fits_but_ended=grant(until=past),
        other_and_ended=grant(until=past, images=("other:1",)),
    )
    deny.refuses(host_pod(), '(closest exception of 3: "fits-but-ended" expired at 2020-01-01T00:00:00Z)')


def test_a_grant_ends_by_itself_in_its_second(deny: Home) -> None:
    """A grant that ends in 5 s admits pods until that second, and no pod created in that second or later."""
    expiry = workbench.seconds_from_now(deny.cluster, 5)
    deny.give(short=grant(until=expiry))
    body = host_pod()
    last_admitted = first_refused = None
    deadline = time.monotonic() + 30
    while first_refused is None and time.monotonic() < deadline:
        created = deny.create(pod()).expect(201).body["metadata"]["creationTimestamp"]
        answer = deny.create(body)
        if answer.status == 201:
            last_admitted = answer.body["metadata"]["creationTimestamp"]
            assert last_admitted < grants.format_time(expiry)
        else:
            first_refused = created
            workbench.refused(answer, f'"short" expired at {grants.format_time(expiry)}')
    assert last_admitted is not None, "it never admitted anything"
    assert first_refused is not None, "it never ended"
    # The test creates the plain pod first, so the refusal came in that second or the next.
    assert grants.parse_time(first_refused) >= expiry - datetime.timedelta(seconds=1)


# -- hostile lines ----------------------------------------------------------------------------------------------------

GOOD = f"UID|Diagnostic|9999-12-31T23:59:59Z|default|Network|false|baseline|-|-|{IMAGE}"
MALFORMED = {
    "empty": "",
    "one field": "*",
    "pipes": "|||||||||",
    "more pipes": "|" * 5000,
    "nine fields": GOOD.rsplit("|", 1)[0],
    "eleven fields": GOOD + "|*",
    "both formats": GOOD + "|v2|true",
    "no host namespaces in the first format": GOOD.replace("|Network|", "|-|"),
    "no host namespaces in the second format": GOOD.replace("|Network|", "|-|") + "|v2|true",
    "eleven fields, last empty": GOOD + "|",
    "no type": GOOD.replace("Diagnostic", ""),
    "unknown type": GOOD.replace("Diagnostic", "Anything"),
    "no time": GOOD.replace("9999-12-31T23:59:59Z", "-"),
    "time that sorts last": GOOD.replace("9999-12-31T23:59:59Z", "zzzz"),
    "time with an offset": GOOD.replace("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
    "time and a line": GOOD.replace("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z\n"),
    "no account": GOOD.replace("|default|", "||"),
    "any account": GOOD.replace("|default|", "|*|"),
    "unknown host namespace": GOOD.replace("|Network|", "|Network UTS|"),
    "any host namespace": GOOD.replace("|Network|", "|*|"),
    "two spaces": GOOD.replace("|Network|", "|Network  PID|"),
    "trailing space": GOOD.replace("|Network|", "|Network |"),
    "privileged yes": GOOD.replace("|false|", "|yes|"),
    "privileged nothing": GOOD.replace("|false|", "||"),
    "unknown level": GOOD.replace("|baseline|", "|none|"),
    "no capabilities field": GOOD.replace("|baseline|-|", "|baseline||"),
    "host path without mode": GOOD.replace("|-|-|", "|-|/etc|"),
    "relative host path": GOOD.replace("|-|-|", "|-|rw:etc|"),
    "empty images": GOOD.rsplit("|", 1)[0] + "|",
    "images with a leading space": GOOD.rsplit("|", 1)[0] + f"| {IMAGE}",
    "images on two lines": GOOD.rsplit("|", 1)[0] + f"|{IMAGE}\n{IMAGE}",
    "control characters": GOOD.replace("Diagnostic", "Diag\x00nostic"),
    "another namespace": GOOD.replace("UID", "00000000-0000-0000-0000-000000000000"),
    "no uid": GOOD.replace("UID", ""),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_grants_nothing_and_spoils_no_other(deny: Home, text: str) -> None:
    """A line that is not a grant admits nothing, causes no error, and leaves the other lines in force."""
    deny.give(aa_bad=text.replace("UID", deny.uid), mm_good=grant(images=("good:1",)))
    deny.refuses(host_pod(), '"mm-good" does not list')
    deny.admits(host_pod({"image": "good:1"}))
    deny.admits(pod())


def test_the_line_that_the_malformed_ones_are_made_from_is_a_grant(deny: Home) -> None:
    """The text behind the malformed lines is a valid grant, so each malformed line fails because of its one fault."""
    deny.give(good=GOOD.replace("UID", deny.uid))
    deny.admits(host_pod())


# -- changes ----------------------------------------------------------------------------------------------------------


def test_images_of_a_host_namespace_pod_are_frozen(deny: Home) -> None:
    """kubectl set image on a covered pod is refused, for containers and init containers, even for a granted image."""
    deny.give(web=grant(images=(IMAGE, "other:1")))
    body = host_pod(initContainers=[container(name="i")])
    path = deny.put_up(body)
    name = body["metadata"]["name"]
    for container_name in ("c0", "i"):
        completed = deny.cluster.kubectl("-n", deny.name, "set", "image", f"pod/{name}", f"{container_name}=other:1")
        assert completed.returncode != 0
        assert "the images of a pod that shares host namespaces cannot change after its creation" in completed.stderr
    deny.cluster.admin.get(path).expect(200)


def test_other_changes_of_a_host_namespace_pod_pass(deny: Home) -> None:
    """Metadata, tolerations and status can change and the pod can be deleted, with or without a grant."""
    deny.give(web=grant())
    path = deny.put_up(host_pod({}, {}, initContainers=[container(name="i")]))
    deny.give(web=None)
    patches: list[dict[str, Any]] = [
        {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["example.com/f"]}},
        {"spec": {"activeDeadlineSeconds": 600}},
        {"metadata": {"finalizers": None}},
    ]
    for patch in patches:
        workbench.sound(deny.cluster.admin.patch(path, patch)).expect(200)
    status = {"status": {"conditions": [{"type": "Said", "status": "True"}]}}
    deny.cluster.admin.patch(f"{path}/status", status, api.STRATEGIC).expect(200)
    deny.cluster.admin.delete(path).expect(200, 202)


def debug(namespace: Home, path: str, **fields: Any) -> api.Response:
    patch = {"spec": {"ephemeralContainers": [container(name="debugger", **fields)]}}
    return namespace.cluster.admin.patch(f"{path}/ephemeralcontainers", patch, api.STRATEGIC)


def test_a_host_namespace_pod_takes_no_ephemeral_container(deny: Home) -> None:
    """An ephemeral container is refused in a covered pod, even with a granted image, and allowed in an ordinary pod."""
    deny.give(web=grant())
    workbench.refused(
        debug(deny, deny.put_up(host_pod())),
        "ephemeral containers are not allowed in a pod that shares host namespaces",
        "type Diagnostic",
    )
    workbench.sound(debug(deny, deny.put_up(pod()))).expect(200)


def test_a_namespace_that_is_going_opens_nothing_and_goes(deny: Home) -> None:
    """In a terminating namespace images stay frozen, labels and finalizers can change, and the deletion completes."""
    deny.give(web=grant())
    body = host_pod()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    path = deny.put_up(body)
    config_map = {"metadata": {"name": "hold", "finalizers": ["example.com/hold"]}}
    deny.cluster.admin.post(f"{deny.path}/configmaps", config_map).expect(201)
    deny.cluster.admin.delete(deny.path).expect(200)

    def going() -> bool:
        # The API server's cache of namespaces must show the deletion; from then on the API server refuses new pods.
        return "being terminated" in deny.create(pod()).message

    deny.cluster.wait("it to be going", going, 10)
    image = {"spec": {"containers": [{"name": "c0", "image": "other:1"}]}}
    workbench.refused(deny.cluster.admin.patch(path, image, api.STRATEGIC), "cannot change after its creation")
    workbench.refused(debug(deny, path), "ephemeral containers are not allowed in a pod that shares host namespaces")
    workbench.sound(deny.cluster.admin.patch(path, {"metadata": {"labels": {"a": "b"}}})).expect(200)
    for held_path in (path, f"{deny.path}/configmaps/hold"):
        workbench.sound(deny.cluster.admin.patch(held_path, {"metadata": {"finalizers": None}})).expect(200)
    deny.cluster.wait("the namespace gone", lambda: deny.cluster.admin.get(deny.path).status == 404)


# -- mirror pods ------------------------------------------------------------------------------------------------------


def mirror_pod(namespace: Home, node: str) -> dict[str, Any]:
    uid = namespace.cluster.admin.get(f"/api/v1/nodes/{node}").expect(200).body["metadata"]["uid"]
    body = host_pod(nodeName=node)
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": True}
    body["metadata"] |= {"annotations": MIRROR, "ownerReferences": [owner]}
    return body


def test_a_kubelet_shows_its_static_pods(deny: Home) -> None:
    """A kubelet can create a mirror pod with host namespaces for its own node without a grant."""
    node = deny.cluster.nodes[0]
    deny.admits(mirror_pod(deny, node), deny.cluster.node_user(node))


def test_a_forged_mirror_pod_is_refused(deny: Home) -> None:
    """A mirror annotation from any other user is refused, even if a grant would cover the pod."""
    deny.give(web=grant())
    tenant = deny.cluster.tenant(deny.name)
    for user in (tenant, None):
        body = mirror_pod(deny, deny.cluster.nodes[0])
        deny.refuses(
            body, "only a kubelet may set the annotation kubernetes.io/config.mirror, for its static pods", user=user
        )


# -- the strongest tenant ---------------------------------------------------------------------------------------------


def test_a_tenant_cannot_forge_a_grant(deny: Home) -> None:
    """A tenant with every verb in the namespace can neither write nor extend a grant nor use the host network."""
    tenant = deny.cluster.api(deny.cluster.tenant(deny.name))
    deny.give(ended=grant(until=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)))
    for name in ("mine", "ended"):
        patch = {"metadata": {"annotations": {labels.GRANT_PREFIX + name: deny.line(grant())}}}
        for path in (deny.path, f"{deny.path}/status", f"{deny.path}/finalize"):
            answer = tenant.patch(path, patch)
            if not path.endswith("finalize"):
                workbench.refused(answer, f"only the operator may write annotation {labels.GRANT_PREFIX}{name} of")
            assert answer.status in (403, 405)  # /finalize does not support patches
    deny.refuses(host_pod(), "expired at 2020", user=deny.cluster.tenant(deny.name))


# -- cost limits ------------------------------------------------------------------------------------------------------


def long_image(number: int, length: int = 112) -> str:
    return f"registry.example.com/{number:04}/".ljust(length - 2, "x") + ":1"


def test_the_largest_namespace_and_pod_are_within_the_cost_limit(deny: Home) -> None:
    """64 grants of 16 images in 128 KiB and a pod of 50 containers fit the limit, with the pod covered or uncovered."""
    lines = {
        f"g{number:02}": grant(images=tuple(long_image(number * 16 + n) for n in range(16))) for number in range(63)
    }
    size = sum(len(labels.GRANT_PREFIX + name) + len(deny.line(line_grant)) for name, line_grant in lines.items())
    assert 120 * 1024 < size <= grants.MAX_BYTES
    deny.give(**lines)  # 64 with the grant that `give` adds
    containers = [{"image": long_image(62 * 16 + number % 16)} for number in range(50)]
    deny.admits(host_pod(*containers))
    message = deny.refuses(
        host_pod(*containers[:-1], {"image": "other:1"}), "(closest exception of 64: ", "does not list image"
    )
    assert len(message.encode()) < 1024 + 200
    deny.admits(pod())


def test_long_images_are_within_the_cost_limit(deny: Home) -> None:
    """32 grants with 16 images of 256 characters, 128 KiB in all, and a pod of 50 containers fit the limit."""
    many_grants = {f"g{number:02}": grant(images=tuple(long_image(n, 250) for n in range(16))) for number in range(31)}
    deny.give(**many_grants)
    deny.admits(host_pod(*({"image": long_image(n % 16, 250)} for n in range(50))))
    deny.refuses(host_pod(*({"image": long_image(n % 16 + 1, 250)} for n in range(50))), "does not list image")


def test_a_greedy_pod_is_within_the_cost_limit(deny: Home) -> None:
    """64 grants with 8 capabilities and 8 paths each, and a pod whose 50 containers use all of them, fit the limit."""
    capabilities = tuple(f"CAPABILITY_{n}" for n in range(8))
    paths = tuple(rw(f"/path-{n}") for n in range(8))
    fields: dict[str, Any] = {"images": None, "host_paths": paths}
    lines = {f"g{n:02}": grant(capabilities=capabilities[:7], **fields) for n in range(62)}
    deny.give(**lines, last=grant(capabilities=capabilities, **fields))
    context = {"capabilities": {"add": list(capabilities)}}
    mounts = [{"name": f"v{n}", "mountPath": f"/mnt/{n}"} for n in range(8)]
    volumes = [{"name": f"v{n}", "hostPath": {"path": f"/path-{n}/sub"}} for n in range(8)]
    containers = [{"securityContext": context, "volumeMounts": mounts} for _ in range(50)]
    deny.admits(host_pod(*containers, volumes=volumes))
    deny.refuses(host_pod(*containers, volumes=volumes, hostPID=True), "allows only host Network")


def test_annotations_of_others_cost_no_pod_its_grant(deny: Home) -> None:
    """20,000 annotations beside the grants, and 20,000 on a pod, do not change the verdicts."""
    annotations = {f"a{number}": "" for number in range(20000)}
    deny.give(web=grant())
    deny.cluster.admin.patch(deny.path, {"metadata": {"annotations": annotations}}).expect(200)
    deny.give(web=grant())
    body = host_pod()
    body["metadata"]["annotations"] = annotations
    deny.admits(body)
    deny.refuses(host_pod(hostPID=True), '"web" allows only host Network')
    deny.admits(pod())


@pytest.mark.parametrize("image", ["x" * 2000, "é" * 1000, "a\nb", 'a"b', "|", "*", "-"])
def test_a_refusal_is_one_short_line(deny: Home, image: str) -> None:
    """The refusal is one line under 1 KB, whatever image names the pod has."""
    deny.give(web=grant(), **{f"g{n}": grant() for n in range(30)})
    answer = deny.create(host_pod({"image": image}, hostPID=True, hostIPC=True))
    message = workbench.refused(answer).partition("denied request: ")[2]
    assert message.startswith("host-namespaces: ")
    assert "\n" not in message
    assert len(message.encode()) < 1024
