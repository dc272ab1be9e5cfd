"""docs/howto/break-glass.md: each command runs as the stated user, opens and shows what the page says, and closes.

The sections run one after another, each from a closed cluster to a closed cluster.
"""

import datetime
import re
import time
from collections.abc import Iterator

import pytest
import yaml

from hostnetwork_operator.api import labels
from tests.controlplane import cluster, operator
from tests.docs import markdown
from tests.docs import test_readme_commands as readme

DOCUMENT = markdown.ROOT / "docs" / "howto" / "break-glass.md"
BLOCKS = {block.name: block for block in markdown.blocks(DOCUMENT)}
METRICS = markdown.metrics(DOCUMENT)
ON_CALL = "ann"
SHARES = {"hostNetwork": True, "containers": [{"name": "c", "image": "registry.example.com/tool:1"}]}
_run_blocks: set[str] = set()


class Person(readme.Reader):
    """A user who follows the document, as an administrator or with the role that has no binding."""

    def arrange(self) -> None:
        """Install the overlay enforce from the user's directory and start the operator, with two namespaces."""
        (self.checkout / "my-cluster").mkdir()
        kustomization = self.checkout / "my-cluster" / "kustomization.yaml"
        kustomization.write_text(f"resources: [../manifests/overlays/{operator.enforcing()}]\n")
        for name in ("payments", "monitoring"):
            self.api.post("/api/v1/namespaces", {"metadata": {"name": name}}).expect(201)
            account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            self.until("a service account", lambda path=account: self.api.get(path).status == 200)
        self.paste("kubectl apply -k manifests/admission")
        self.paste("kubectl apply --server-side -f crds/ && kubectl wait --for=condition=Established -f crds/")
        self.paste("kubectl apply -k my-cluster")
        readme._installed(self)
        for name in ("payments", "monitoring"):
            self.until("enforcement", lambda name=name: self.has_labels(name, "Deny", "baseline"))

    def follow(self, name: str, *, on_call: bool = False) -> str:
        """Run a block until it shows the document's output, then wait for the metrics shown below it."""
        block = BLOCKS[name]
        _run_blocks.add(name)
        kubeconfig = self.cluster.user(ON_CALL) if on_call else self.cluster.kubeconfig
        script = f"export KUBECONFIG={kubeconfig}\n{block.script}"
        output = self.paste(script)
        is_repeatable = all(
            word not in block.script for word in ("patch", "delete", "scale", "label ns", "apply", "bind")
        )
        deadline = time.monotonic() + cluster.PATIENCE * 60
        while is_repeatable and missing(block.shown, output) and time.monotonic() < deadline:
            time.sleep(0.5)
            output = self.paste(script)
        assert missing(block.shown, output) == set(), output
        for line in METRICS.get(name, []):
            self.until(line, lambda line=line: line in self.operator.metrics().splitlines(), seconds=30)
        return output

    def pod(self, namespace: str, name: str = "emergency", *, dry: bool = False) -> int:
        """Return the HTTP status of creating a pod that uses its node's network."""
        body = {"metadata": {"name": name}, "spec": SHARES}
        query = "?dryRun=All" if dry else ""
        return self.api.post(f"/api/v1/namespaces/{namespace}/pods{query}", body).status

    def close(self) -> None:
        """Follow the document's closing section, and check that the cluster is as before."""
        self.follow("close")
        self.see_closed()

    def see_closed(self) -> None:
        for name in ("closed-bindings", "closed", "closed-pod", "closed-flags"):
            self.follow(name)
        assert self.has_labels("payments", "Deny", "baseline") or self.has_labels(
            "payments", "Deny", "baseline", "baseline"
        )
        self.until("all intact", lambda: not re.search(r"policy_intact{.*} 0", self.operator.metrics()))
        self.until("no host pods", lambda: self.pod("payments", dry=True) == 403)


def missing(shown: str, output: str) -> set[str]:
    """Return the lines that the document shows and the shell did not; an ellipsis stands for any text."""
    output_lines = [readme._normal(" " + line) for line in output.splitlines()]
    patterns = {
        line: ".*".join(re.escape(part.strip()) for part in readme._normal(" " + line).split("…"))
        for line in shown.splitlines()
    }
    return {
        line
        for line, pattern in patterns.items()
        if not any(re.fullmatch(pattern, output_line) for output_line in output_lines)
    }


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    with readme.following(Person) as user:
        yield user


def test_the_role_is_bound_to_nobody_and_then_to_one(person: Person) -> None:
    """As shipped, the role has no binding. Once bound, its holder may open, but not write exceptions or policies."""
    bindings = person.api.items("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings")
    assert [binding for binding in bindings if binding["roleRef"]["name"] == "hostnetwork-break-glass"] == []
    person.follow("bind")
    ann = person.cluster.api(person.cluster.user(ON_CALL))
    person.until("her right", lambda: ann.get("/api/v1/namespaces").status == 200)
    exceptions = f"/apis/{labels.API_VERSION}/namespaces/payments/hostnetworkexceptions"
    ann.post(exceptions, {"metadata": {"name": "x"}}).expect(403)
    admission = "/apis/admissionregistration.k8s.io/v1"
    policies = f"{admission}/validatingadmissionpolicies/{labels.POLICY_HOST_NAMESPACES}"
    ann.patch(policies, {"spec": {"failurePolicy": "Ignore"}}).expect(403)
    other_binding = {"metadata": {"name": "other"}, "spec": {"policyName": "other", "validationActions": ["Deny"]}}
    person.api.post(f"{admission}/validatingadmissionpolicybindings", other_binding).expect(201)
    ann.delete(f"{admission}/validatingadmissionpolicybindings/other").expect(403)
    person.api.delete(f"{admission}/validatingadmissionpolicybindings/other").expect(200)


def test_the_role_names_every_binding_that_denies() -> None:
    """This includes policies that are added later."""
    path = markdown.ROOT / "manifests" / "rbac" / "break-glass-clusterrole.yaml"
    rules = [rule for rule in yaml.safe_load(path.read_text())["rules"] if "resourceNames" in rule]
    binding_names = {
        name
        for rule in rules
        for name in rule["resourceNames"]
        if "validatingadmissionpolicybindings" in rule["resources"]
    }
    bodies = [
        body
        for file in (markdown.ROOT / "manifests" / "admission").glob("*.yaml")
        for body in yaml.safe_load_all(file.read_text())
        if body["kind"] == "ValidatingAdmissionPolicyBinding" and "Deny" in body["spec"]["validationActions"]
    ]
    assert {body["metadata"]["name"] for body in bodies} == binding_names
    loop = BLOCKS["unbound"].script.replace("\\\n", " ").split(";")[0]
    assert {f"{name}-deny.{labels.GROUP}" for name in loop.split(" in ")[1].split()} == binding_names


def test_one_namespace(person: Person) -> None:
    """Only the exempt namespace admits what it admitted before adoption; the repository closes it."""
    person.see_closed()
    person.follow("exempt", on_call=True)
    person.until("a host network pod", lambda: person.pod("payments") == 201)
    person.follow("exempt-look")
    assert person.pod("monitoring", dry=True) == 403
    person.close()


def test_a_pod_that_stays_holds_its_namespace(person: Person) -> None:
    """A namespace closed while the admitted pod runs is Held, and enforced automatically after the pod's removal."""
    person.follow("exempt", on_call=True)
    person.until("a host network pod", lambda: person.pod("payments") == 201)
    person.paste("kubectl apply -k my-cluster")
    person.until("it is held", lambda: person.label("payments", labels.ENFORCEMENT) == "Held")
    annotations = person.api.get("/api/v1/namespaces/payments").expect(200).body["metadata"]["annotations"]
    assert "emergency" in annotations[labels.HELD_BY]
    person.close()


def test_the_whole_cluster(person: Person) -> None:
    """In Audit a host network pod is admitted anywhere, with a warning and a flag; the repository closes it."""
    person.follow("audit", on_call=True)
    person.follow("audit-look")
    output = person.follow("audit-pod")
    assert f"would be refused by {labels.POLICY_HOST_NAMESPACES}" in output or "host-namespaces" in output
    assert person.pod("monitoring", dry=True) == 201
    person.close()


def test_the_operator_is_down(person: Person) -> None:
    """While the operator is down, labels set by hand open a namespace; the operator restores them when it is up.

    While the operator is up, it restores the labels immediately.
    """
    script = BLOCKS["label"].script.split("kubectl get")[0]
    person.paste(f"export KUBECONFIG={person.cluster.user(ON_CALL)}\n{script}")
    person.until("put back", lambda: person.label("payments", labels.ENFORCEMENT) == "Deny")
    person.until("put back", lambda: person.label("payments", labels.PSA_ENFORCE) == "baseline")
    person.follow("down")
    assert person.operator.stop() == 0
    assert person.pod("payments", dry=True) == 403
    person.follow("label", on_call=True)
    person.until("a host network pod", lambda: person.pod("payments", dry=True) == 201)
    person.operator.start()
    person.follow("up")
    person.see_closed()


def test_a_policy_is_broken(person: Person) -> None:
    """A policy whose binding only warns or is missing refuses nothing.

    The levels stay, Diagnostic exceptions end, and other exceptions stay.
    """
    for name, namespace, kind in (("capture", "payments", "Diagnostic"), ("agent", "monitoring", "Infrastructure")):
        _create_exception(person, name, namespace, kind)
    person.follow("warn", on_call=True)
    line = f'hostnetwork_admission_policy_intact{{policy="{labels.POLICY_HOST_NAMESPACES}"}} 0.0'
    person.until("it shows", lambda: line in person.operator.metrics())
    person.follow("unbound", on_call=True)
    person.follow("unbound-look")
    person.until("Diagnostic is over", lambda: person.label("payments", labels.PSA_ENFORCE) == "baseline")
    assert person.pod("payments", dry=True) == 403
    person.until("everything goes where the level is lifted", lambda: person.pod("monitoring", dry=True) == 201)
    assert person.exception("monitoring", "agent")[0] == "Active"
    expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)  # noqa: TID251
    _post(person, "late", "payments", "Diagnostic", f"{expiry:%Y-%m-%dT%H:%M:%SZ}")
    person.until("not approved", lambda: person.exception("payments", "late")[0] == "NotApproved")
    person.paste("kubectl delete hne capture -n payments")
    person.close()
    assert person.exception("payments", "late")[0] == "NotApproved"
    person.until("closed there too", lambda: person.pod("monitoring", dry=True) == 403)
    person.paste("kubectl delete hne --all -A")


def _create_exception(person: Person, name: str, namespace: str, kind: str) -> None:
    expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)  # noqa: TID251
    _post(person, name, namespace, kind, f"{expiry:%Y-%m-%dT%H:%M:%SZ}" if kind == "Diagnostic" else None)
    person.until("in force", lambda: person.exception(namespace, name)[0] == "Active")


def _post(person: Person, name: str, namespace: str, kind: str, expiry: str | None) -> None:
    spec = {
        "type": kind,
        "owner": "team-sre",
        "reason": "Capture SYN retries on a node",
        "serviceAccountName": "netdebug",
        **({"ticket": "INC-4711", "expiry": expiry, "images": ["registry.example.com/netshoot:1"]} if expiry else {}),
    }
    body = {"apiVersion": labels.API_VERSION, "kind": "HostNetworkException", "metadata": {"name": name}, "spec": spec}
    path = f"/apis/{labels.API_VERSION}/namespaces/{namespace}/hostnetworkexceptions"
    person.api.post(path, body).expect(201)


def test_the_role_is_taken_away(person: Person) -> None:
    """After that the user can open nothing."""
    person.follow("unbind")
    ann = person.cluster.api(person.cluster.user(ON_CALL))
    person.until("her right is gone", lambda: ann.get("/api/v1/namespaces").status == 403)
    ann.patch(f"/apis/{labels.API_VERSION}/hostnetworkexceptionpolicies/default", {"spec": {}}).expect(403)


def test_every_command_of_the_document_was_run(person: Person) -> None:
    """The tests ran every block."""
    assert set(BLOCKS) == _run_blocks
    assert set(METRICS) <= set(BLOCKS)
    text = DOCUMENT.read_text()
    assert len(re.findall(r"```bash\n[^`]*kubectl", text)) == len(BLOCKS)
