"""A namespace under test: the grants in it, and the API server's answers to its pods.

A grant is in force once the API server's own cache has the Namespace, some milliseconds after the write. Therefore
every write of grants adds a grant for an image that nothing else uses, and waits until a dry run with that image
passes.
"""

import dataclasses
import datetime
import hashlib
import itertools
import pathlib
from typing import Any

from hostnetwork_operator.api import grant as grants
from hostnetwork_operator.api import labels
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

IMAGE = "registry.example.com/app:1"
SETLEVEL = "setlevel"
WITNESS = "zz-seen"  # a grant and a service account that no other pod uses, so the grant is never closest
_numbers = itertools.count(1)


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a pod with these containers (default: one plain container) and this spec."""
    name = f"pod-{next(_numbers)}"
    complete = [container(**{"name": f"c{number}", **fields}) for number, fields in enumerate(containers or ({},))]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": complete, **spec}}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "image": IMAGE, **fields}


def grant(**fields: Any) -> grants.Grant:
    """Return a grant for plain host network pods of the default service account; the namespace fills in its uid."""
    defaults = {
        "namespace_uid": "filled-in",
        "type": "Infrastructure",
        "until": grants.ENDLESS,
        "service_account": "default",
        "host_namespaces": frozenset({labels.HostNamespace.NETWORK}),
        "privileged": False,
        "level": labels.Level.BASELINE,
        "capabilities": (),
        "host_paths": (),
        "images": (IMAGE,),
    }
    return grants.Grant(**{**defaults, **fields})


@dataclasses.dataclass(frozen=True)
class Home:
    """A namespace on a governed cluster."""

    cluster: controlplane.Cluster
    name: str

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.name}"

    @property
    def uid(self) -> str:
        return str(self.cluster.admin.get(self.path).expect(200).body["metadata"]["uid"])

    def line(self, grant_fields: grants.Grant) -> str:
        """Return the grant's line for this namespace."""
        return dataclasses.replace(grant_fields, namespace_uid=self.uid).encode()

    def give(self, **granted: grants.Grant | str | None) -> None:
        """Write grants and wait until the API server has them; a string is written as is, None removes a grant."""
        image = f"seen:{next(_numbers)}"
        lines = {**granted, WITNESS: grant(images=(image,), service_account=WITNESS)}
        annotations = {
            labels.GRANT_PREFIX + name.replace("_", "-"): self.line(line_or_grant)
            if isinstance(line_or_grant, grants.Grant)
            else line_or_grant
            for name, line_or_grant in lines.items()
        }
        self.cluster.admin.patch(self.path, {"metadata": {"annotations": annotations}}).expect(200)
        account = {"metadata": {"name": WITNESS}}
        self.cluster.admin.post(f"{self.path}/serviceaccounts", account).expect(201, 409)
        probe = pod({"image": image}, hostNetwork=True, serviceAccountName=WITNESS)
        self.cluster.wait("the grants known to the API server", lambda: self.create(probe).status == 201)

    def create(self, body: dict[str, Any], user: pathlib.Path | None = None, *, dry: bool = True) -> api.Response:
        """Create the pod, by default in a dry run; fail if an expression failed."""
        client = self.cluster.api(user) if user else self.cluster.admin
        answer = client.post(f"{self.path}/pods" + ("?dryRun=All" if dry else ""), body)
        return sound(answer)

    def admits(self, body: dict[str, Any], user: pathlib.Path | None = None) -> None:
        self.create(body, user).expect(201)

    def refuses(self, body: dict[str, Any], *texts: str, user: pathlib.Path | None = None) -> str:
        """Assert that a policy refuses the pod with these texts, and return the message."""
        return refused(self.create(body, user), *texts)

    def put_up(self, body: dict[str, Any]) -> str:
        """Create the pod for real and return its path."""
        self.create(body, dry=False).expect(201)
        return f"{self.path}/pods/{body['metadata']['name']}"


# What the API server answers if an expression fails, exceeds the cost limit or has no message.
FAILURES = (
    "resulted in error",
    "fails to evaluate",
    "failed expression",
    "failed messageExpression",
    "no such key",
    "no such overload",
    "cost limit",
    "cost budget",
    "runtime cost could not be calculated",
    "operation interrupted",
)


def sound(answer: api.Response) -> api.Response:
    """Return the answer; fail if it reports a failed expression."""
    text = answer.message + " ".join(answer.warnings)
    for failure in FAILURES:
        assert failure not in text, text[:2000]
    return answer


def refused(answer: api.Response, *texts: str) -> str:
    """Assert that a policy refused the request with these texts, and return the message."""
    message = sound(answer).message
    assert answer.status == 403, f"{answer.status}: {message}"
    assert "ValidatingAdmissionPolicy" in message, message
    for text in texts:
        assert text in message, message
    return message


def seconds_from_now(cluster: controlplane.Cluster, seconds: int) -> datetime.datetime:
    """Return the time in this number of seconds by the API server's clock, to the second."""
    body = pod()
    created = cluster.admin.post("/api/v1/namespaces/default/pods?dryRun=All", body).expect(201).body
    now = grants.parse_time(created["metadata"]["creationTimestamp"])
    return now + datetime.timedelta(seconds=seconds)


def may(cluster: controlplane.Cluster, name: str, resources: str, *verbs: str, group: str = "") -> pathlib.Path:
    """Create a user with these verbs on these comma-separated resources, cluster-wide.

    The verb setlevel is in the operator's API group.
    """
    user = f"{name}-{hashlib.sha256(' '.join(verbs).encode()).hexdigest()[:8]}"
    base = "/apis/rbac.authorization.k8s.io/v1/clusterrole"
    rules = [{"apiGroups": [group], "resources": resources.split(","), "verbs": [v for v in verbs if v != SETLEVEL]}]
    if SETLEVEL in verbs:
        rules.append({"apiGroups": [labels.GROUP], "resources": ["namespaces"], "verbs": [SETLEVEL]})
    rules = [rule for rule in rules if rule["verbs"]]
    cluster.admin.post(f"{base}s", {"metadata": {"name": user}, "rules": rules}).expect(201, 409)
    rbac = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}],
    }
    cluster.admin.post(f"{base}bindings", binding).expect(201, 409)
    return cluster.user(user, "system:authenticated")


def operator(cluster: controlplane.Cluster) -> pathlib.Path:
    """Return the operator's service account with wide RBAC rights, so that only the policies restrict its writes."""
    path = f"/api/v1/namespaces/{labels.SYSTEM_NAMESPACE}"
    cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": labels.SYSTEM_NAMESPACE}}).expect(201, 409)
    cluster.admin.post(f"{path}/serviceaccounts", {"metadata": {"name": labels.MANAGER}}).expect(201, 409)
    base = "/apis/rbac.authorization.k8s.io/v1/clusterrole"
    rules = [
        {"apiGroups": [""], "resources": ["namespaces", "namespaces/status"], "verbs": ["get", "patch", "update"]},
        {"apiGroups": [labels.GROUP], "resources": ["*"], "verbs": ["get", "patch", "update", "delete", "create"]},
    ]
    cluster.admin.post(f"{base}s", {"metadata": {"name": "test-operator"}, "rules": rules}).expect(201, 409)
    binding = {
        "metadata": {"name": "test-operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test-operator"},
        "subjects": [{"kind": "ServiceAccount", "namespace": labels.SYSTEM_NAMESPACE, "name": labels.MANAGER}],
    }
    cluster.admin.post(f"{base}bindings", binding).expect(201, 409)
    return cluster.service_account(labels.SYSTEM_NAMESPACE, labels.MANAGER)
