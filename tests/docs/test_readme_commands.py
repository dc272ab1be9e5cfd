"""The commands of the README and of the two pages it leads to, in order, on one cluster with a history.

A reader pastes each block into a shell, in a checkout, as a cluster administrator, while the real operator runs. The
README installs and writes a first exception, docs/howto/exceptions.md continues from there, and
docs/howto/held-namespaces.md follows. Each block does what its page says.
"""

import contextlib
import datetime
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import yaml

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.decide import messages
from tests.controlplane import binary, cluster, operator
from tests.docs import markdown

SAMPLES = markdown.ROOT / "tests" / "samples"
PAGES = (markdown.README, markdown.EXCEPTIONS, markdown.HELD)
BLOCKS = [block for page in PAGES for block in markdown.blocks(page)]
EXCEPTIONS = f"/apis/{labels.API_VERSION}"
_PATIENCE_SECONDS = 90.0  # the operator repeats the gate check of a Held namespace every 60 s
_HASH = "[bcdfghjklmnpqrstvwxz2456789]"  # the characters of generated names in Kubernetes

Person = TypeVar("Person", bound="Reader")


class Reader:
    """A user who follows the README: a checkout, a shell, and a cluster with running workloads."""

    def __init__(self, control_plane: cluster.Cluster, checkout: pathlib.Path) -> None:
        self.cluster = control_plane
        self.api = control_plane.admin
        self.checkout = checkout
        self.operator = operator.OperatorProcess(control_plane)
        self.failed = ""
        self.levels_before: dict[str, str | None] = {}
        for name in ("crds", "manifests"):
            shutil.copytree(markdown.ROOT / name, checkout / name)
        path = checkout / ".bin" / "kubectl"
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\nexec {" ".join(control_plane.executables.command("kubectl"))} "$@"\n')
        path.chmod(0o755)

    def arrange(self) -> None:
        """Create agents in kube-system, an exporter, and two applications, one with the node's network by mistake."""
        for namespace in ("monitoring", "shop", "legacy", "payments", "debug"):
            # One namespace has its own level, looser than the target.
            level_label = {labels.PSA_ENFORCE: "privileged"} if namespace == "shop" else {}
            self.api.post("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": level_label}}).expect(201)
            account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
            self.until("a service account", lambda path=account: self.api.get(path).status == 200)
        for file, namespace in (
            ("cni-agent", "kube-system"),
            ("kube-proxy", "kube-system"),
            ("node-exporter", "monitoring"),
            ("web", "shop"),
            ("by-mistake", "legacy"),
        ):
            operator.apply(self.cluster, "-n", namespace, "-f", str(SAMPLES / f"{file}.yaml"))
        running_pods = "/api/v1/pods?fieldSelector=status.phase%3DRunning"
        self.until("all sample pods run", lambda: len(self.api.items(running_pods)) >= 9)
        self.levels_before = {name: self.label(name, labels.PSA_ENFORCE) for name in self.namespaces()}

    def paste(self, script: str) -> str:
        """Run a script and return its output. Raise AssertionError with all output if a command fails."""
        if not binary.release().has("1.36"):
            script = before_1_36(script)
        environment = {
            **os.environ,
            "PATH": f"{self.checkout / '.bin'}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "KUBECACHEDIR": str(self.cluster.directory / "kubectl-cache"),
        }
        completed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert completed.returncode == 0, f"{script}\n{completed.stdout}\n{completed.stderr}"
        return completed.stdout

    def until(self, what: str, probe: Callable[[], object], seconds: float = _PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + cluster.PATIENCE * seconds
        while not (last := probe()):
            assert time.monotonic() < deadline, f"never seen: {what}; last: {last!r}\n{self.operator.tail()}"
            time.sleep(0.1)

    def namespaces(self) -> list[str]:
        return [body["metadata"]["name"] for body in self.api.items("/api/v1/namespaces")]

    def label(self, namespace: str, key: str) -> str | None:
        body = self.api.get(f"/api/v1/namespaces/{namespace}").expect(200).body
        value: str | None = body["metadata"]["labels"].get(key)
        return value

    def has_labels(self, namespace: str, enforcement: str, level: str | None, guard: str | None = None) -> bool:
        keys = (labels.ENFORCEMENT, labels.PSA_ENFORCE, labels.GUARD)
        return [self.label(namespace, key) for key in keys] == [enforcement, level, guard]

    def exception(self, namespace: str, name: str) -> tuple[str, int]:
        """Return the reason of Ready and the number of covered pods."""
        path = f"{EXCEPTIONS}/namespaces/{namespace}/hostnetworkexceptions/{name}"
        status = self.api.get(path).expect(200).body.get("status", {})
        ready = [c["reason"] for c in status.get("conditions", []) if c["type"] == "Ready"]
        return (ready or [""])[0], status.get("coveredPods", 0)

    def flagged(self, namespace: str) -> list[str]:
        pods = self.api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={labels.VERDICT}")
        return [pod["metadata"]["name"] for pod in pods]


def before_1_36(script: str) -> str:
    """Return the script for an older Kubernetes, as the documents ask: another overlay, and no components."""
    script = re.sub(r"(overlays|s/audit)/enforce\b(?!-)", rf"\1/{operator.enforcing()}", script)
    commands = re.split(r"\n(?! )", script)
    return "\n".join(command for command in commands if "mutatingadmissionpolicy" not in command)


@contextlib.contextmanager
def following(make_user: Callable[[cluster.Cluster, pathlib.Path], Person]) -> Iterator[Person]:
    """Run an arranged cluster with a checkout for this reader."""
    checkout = pathlib.Path(tempfile.mkdtemp(prefix="hno-reader-"))
    try:
        with cluster.Cluster() as control_plane:
            user = make_user(control_plane, checkout)
            user.arrange()
            try:
                yield user
            finally:
                user.operator.stop()
    finally:
        shutil.rmtree(checkout)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with following(Reader) as user:
        yield user


# -- checks after a block ---------------------------------------------------------------------------------------------


def _installed(reader: Reader) -> None:
    reader.operator.start()
    bodies = reader.api.items("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies")
    newest = max(datetime.datetime.fromisoformat(body["metadata"]["creationTimestamp"]) for body in bodies)
    settled = newest + datetime.timedelta(seconds=6)
    reader.until("policies that count", lambda: datetime.datetime.now(datetime.UTC) > settled)  # noqa: TID251


def _nothing_is_refused(reader: Reader) -> None:
    for namespace, level in reader.levels_before.items():
        assert reader.label(namespace, labels.PSA_ENFORCE) == level
    pod = yaml.safe_load((SAMPLES / "tcpdump.yaml").read_text())
    reader.api.post("/api/v1/namespaces/payments/pods?dryRun=All", pod).expect(201)


def _only_with_an_exception(reader: Reader) -> None:
    reader.until("a looser level is tightened", lambda: reader.has_labels("shop", "Deny", "baseline"))
    pod = yaml.safe_load((SAMPLES / "tcpdump.yaml").read_text())
    reader.api.post("/api/v1/namespaces/payments/pods?dryRun=All", pod).expect(403)
    reader.api.post("/api/v1/namespaces/legacy/pods?dryRun=All", pod).expect(201)
    system = reader.api.get("/api/v1/namespaces/kube-system").expect(200).body["metadata"]
    assert set(system["labels"]) == {"kubernetes.io/metadata.name"}
    assert "annotations" not in system
    pods = reader.api.items("/api/v1/namespaces/kube-system/pods")
    assert not any(labels.VERDICT in pod["metadata"]["labels"] for pod in pods)


def _approvers_may_and_tenants_may_not(reader: Reader) -> None:
    sample = (SAMPLES / "exceptions" / "node-exporter.yaml").read_text()
    text = sample.replace("metadata: {name: node-exporter,", "metadata: {name: another,")
    assert text != sample
    arguments = ("create", "--dry-run=server", "-f", "-")
    approver = reader.cluster.user("ann", "platform-security")
    allowed = reader.cluster.kubectl(*arguments, user=approver, stdin=text)
    assert allowed.returncode == 0, allowed.stderr
    refused = reader.cluster.kubectl(*arguments, user=reader.cluster.tenant("monitoring"), stdin=text)
    assert "needs the cluster-wide verb approve on hostnetworkexceptions" in refused.stderr


def _exporter_covered(reader: Reader) -> None:
    reader.until("both covered", lambda: reader.exception("monitoring", "node-exporter") == ("Active", 2))
    reader.until("none flagged", lambda: not reader.flagged("monitoring"))


def _tcpdump_covered(reader: Reader) -> None:
    reader.until("it is covered", lambda: reader.exception("payments", "tcpdump-inc4711") == ("Active", 1))
    assert reader.has_labels("payments", "Deny", "privileged", "baseline")
    assert reader.flagged("payments") == []


def _debug_pod_covered(reader: Reader) -> None:
    reader.until("it is covered", lambda: reader.exception("debug", "node-debug-inc4712") == ("Active", 1))
    pods = reader.api.items("/api/v1/namespaces/debug/pods")
    assert [pod["spec"]["hostPID"] for pod in pods] == [True]


def _extended(reader: Reader) -> None:
    pod = reader.api.get("/api/v1/namespaces/payments/pods/tcpdump").expect(200).body
    assert "deletionTimestamp" not in pod["metadata"]
    assert reader.exception("payments", "tcpdump-inc4711") == ("Active", 1)


def _revoked(reader: Reader) -> None:
    reader.until("the record says so", lambda: reader.exception("payments", "tcpdump-inc4711") == ("Expired", 0))
    reader.until("the level is back", lambda: reader.has_labels("payments", "Deny", "baseline", "baseline"))


def _fixed(reader: Reader) -> None:
    reader.until("legacy is enforced", lambda: reader.has_labels("legacy", "Deny", "baseline"))


def _kept_and_relaxed(reader: Reader) -> None:
    reader.until("it is relaxed", lambda: reader.has_labels("monitoring", "Deny", "privileged", "baseline"))
    reader.paste("kubectl rollout restart -n monitoring ds/node-exporter")
    reader.paste("kubectl rollout status -n monitoring ds/node-exporter --timeout=60s")
    pod = yaml.safe_load((SAMPLES / "tcpdump.yaml").read_text())
    refused = reader.api.post("/api/v1/namespaces/monitoring/pods?dryRun=All", pod).expect(403)
    assert "ValidatingAdmissionPolicy" in refused.message
    _metrics_are_those_of_the_table(reader)
    _events_have_documented_reasons(reader)


def _metrics_are_those_of_the_table(reader: Reader) -> None:
    text = reader.operator.metrics()
    documented = {markdown.codes(row[0])[0]: set(markdown.codes(row[1])) for row in markdown.table("metrics")}
    types = re.findall(r"^# TYPE (hostnetwork_\w+)", text, re.MULTILINE)
    # The client library adds a creation time to each counter and histogram.
    assert {name for name in types if not name.endswith("_created")} == set(documented)
    # No EndpointSlice may have the loopback address of this API server (tests/e2e/test_api_servers.py has another).
    for name, expected in documented.items():
        if name.startswith("hostnetwork_api_server_"):
            continue
        sample = re.search(rf"^{name}(?:_bucket|_count)?(?:{{(.*)}})? ", text, re.MULTILINE)
        assert sample, f"{name} has no sample after all this"
        assert set(re.findall(r'(\w+)="', sample[1] or "")) - {"le"} == expected, name


def _events_have_documented_reasons(reader: Reader) -> None:
    bodies = reader.api.items("/api/v1/events?fieldSelector=source%3Dhostnetwork-operator")
    reasons = {body["reason"] for body in bodies}
    assert reasons <= set(markdown.column("events"))
    assert {
        messages.Reason.UNCOVERED,
        messages.Reason.COVERED,
        messages.Reason.AUDITED,
        messages.Reason.ENFORCED,
        messages.Reason.HELD,
        messages.Reason.RELAXED,
        messages.Reason.RESTORED,
        messages.Reason.DELETED,
        conditions.Ready.ACTIVE,
        conditions.Ready.EXPIRED,
        messages.PolicyReason.ACCEPTED,
    } <= reasons


AFTER = {
    "audit": _installed,
    "audit-look": _nothing_is_refused,
    "enforce-look": _only_with_an_exception,
    "approvers": _approvers_may_and_tenants_may_not,
    "node-exporter": _exporter_covered,
    "tcpdump-pod": _tcpdump_covered,
    "node-debug": _debug_pod_covered,
    "extend": _extended,
    "revoke": _revoked,
    "fix": _fixed,
    "covered": _kept_and_relaxed,
}


def _normal(line: str) -> str:
    """Return an output line without what differs between runs: ages, times, generated names, widths."""
    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>", line)
    line = re.sub(r"(?<=\s)(\d+[hms])+(?=\s|$)", "<age>", line)
    line = re.sub(rf"{_HASH}{{8,10}}|(?<=-){_HASH}{{5}}\b", "<generated>", line)
    return " ".join(line.split())


def _missing(shown: str, output: str) -> set[str]:
    """Return the lines that the page shows and the shell did not, except lines shortened with an ellipsis."""
    return {_normal(line) for line in shown.splitlines() if "…" not in line} - {
        _normal(line) for line in output.splitlines()
    }


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_commands_of_the_readme(reader: Reader, block: markdown.Block) -> None:
    """The block runs unchanged, shows the page's output, and does what its page says."""
    if reader.failed:
        pytest.skip(f"the commands before it failed: {reader.failed}")
    reader.failed = block.name
    output = reader.paste(block.script)
    if block.script.startswith("kubectl get") and block.shown:
        deadline = time.monotonic() + cluster.PATIENCE * 30  # a reader looks a moment later
        while _missing(block.shown, output) and time.monotonic() < deadline:
            time.sleep(0.5)
            output = reader.paste(block.script)
    assert _missing(block.shown, output) == set(), output
    AFTER.get(block.name, lambda _: None)(reader)
    reader.failed = ""


def test_every_claim_belongs_to_a_block() -> None:
    """The checks after blocks name existing blocks, and no two blocks have the same name."""
    names = [block.name for block in BLOCKS]
    assert len(names) == len(set(names))
    assert set(AFTER) <= set(names)


def test_every_command_for_a_cluster_is_run() -> None:
    """On each page every block with kubectl is marked for running."""
    scripts = {block.script for block in BLOCKS}
    for page in PAGES:
        page_scripts = re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
        assert [script for script in page_scripts if "kubectl" in script and script not in scripts] == [], page.name
