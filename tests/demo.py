"""`make demo`: demonstrate the main job on a real control plane and print each step as it is observed.

The demo observes each claim through the API before it prints the claim. The exit status is 0 only if it observed all.
"""

import argparse
import datetime
import pathlib
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

import yaml

from tests.controlplane import __main__ as keeping
from tests.controlplane import binary, cluster, operator

SAMPLES = operator.ROOT / "tests" / "samples"
LABEL = "hostnetwork-operator.github.io"
PSA = "pod-security.kubernetes.io/enforce"
_PATIENCE_SECONDS = 30.0
_SETTLE_SECONDS = 6.0  # an exception counts only if it was written when its admission policy was 5 s old


class ClaimError(Exception):
    """An expected state was not observed."""


class Demo:
    """The demonstration on one cluster."""

    def __init__(self, control_plane: cluster.Cluster, process: operator.OperatorProcess) -> None:
        self.cluster = control_plane
        self.operator = process
        self.api = control_plane.admin

    def run(self) -> None:
        self.samples()
        self.findings()
        self.levels()
        self.exception_and_pod()
        self.node_debug()
        self.diagnostic_ends()
        self.operator_dead()

    # -- the steps ------------------------------------------------------------------------------------------------

    def samples(self) -> None:
        title("A cluster with a history: agents, applications, and one that shares the node's network by mistake")
        for namespace in ("monitoring", "shop", "legacy", "payments", "observability", "debug"):
            self.api.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).expect(201)
        for file, namespace in (
            ("cni-agent", "kube-system"),
            ("kube-proxy", "kube-system"),
            ("node-exporter", "monitoring"),
            ("web", "shop"),
            ("by-mistake", "legacy"),
        ):
            self.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / f"{file}.yaml"))
        self.until("all sample pods run", lambda: self.running_pods() >= 9)
        say(f"{self.running_pods()} pods run, {len(self.host_pods())} of them with hostNetwork")
        overlay = f"manifests/overlays/{operator.enforcing()}"
        title(f"The operator comes: crds/, {overlay}, and its process with only its own token")
        operator.install(self.cluster)
        install_time = time.monotonic()
        start_time = time.monotonic()
        self.operator.start()
        say(f"everything listed and judged {time.monotonic() - start_time:.1f} s after the process was started")
        remaining = _SETTLE_SECONDS - (time.monotonic() - install_time)
        wait_until(time.monotonic() + max(0.0, remaining))

    def findings(self) -> None:
        title("What it found")
        pods = self.api.items(f"/api/v1/pods?labelSelector={LABEL}/verdict")
        for pod in pods:
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            verdict = pod["metadata"]["labels"][f"{LABEL}/verdict"]
            events = [e for e in self.events(namespace) if e["involvedObject"]["uid"] == pod["metadata"]["uid"]]
            claim(any(e["reason"] == f"HostNamespaces{verdict}" for e in events), f"no Event on pod {namespace}/{name}")
            say(f"{verdict:<10} {namespace}/{name}")
        claim(
            {p["metadata"]["namespace"] for p in pods} == {"monitoring", "legacy"}, "not exactly the offenders flagged"
        )
        exempt_pods = [p for p in self.host_pods() if p["metadata"]["namespace"] == "kube-system"]
        metric = f'hostnetwork_pods{{namespace="kube-system",verdict="Exempt"}} {float(len(exempt_pods))}'
        claim(metric in self.operator.metrics(), "the pods of kube-system are not counted as Exempt")
        say(f"Exempt     kube-system: {len(exempt_pods)} pods judged and counted, nothing written into it")

    def levels(self) -> None:
        title("Which namespace got which level")
        for body in self.api.items("/api/v1/namespaces"):
            labels, name = body["metadata"]["labels"], body["metadata"]["name"]
            held_by = body["metadata"].get("annotations", {}).get(f"{LABEL}/held-by", "")
            enforcement = labels.get(f"{LABEL}/enforcement", "exempt")
            say(f"{name:<20} {enforcement:<8} enforce={labels.get(PSA, '-'):<12}{held_by[:70]}")
        for name, expected in (("shop", "Deny"), ("payments", "Deny"), ("legacy", "Held"), ("monitoring", "Held")):
            claim(self.labels(name).get(f"{LABEL}/enforcement") == expected, f"namespace {name} is not {expected}")
        claim(not any(LABEL in key for key in self.labels("kube-system")), "kube-system was written into")

    def exception_and_pod(self) -> None:
        title("Infrastructure with an exception: node-exporter in a clean namespace")
        # The exporter in monitoring uses port 9100, and two pods cannot listen on the same port of a node.
        manifest = (SAMPLES / "node-exporter.yaml").read_text().replace("9100", "9101")
        self.kubectl("apply", "-n", "observability", "-f", "-", stdin=manifest)
        self.until("the DaemonSet's pods are refused", lambda: self.failed_create("observability"))
        say("without one: " + self.failed_create("observability")[:150])
        text = (SAMPLES / "exceptions" / "node-exporter.yaml").read_text().replace("monitoring", "observability")
        apply_time = time.monotonic()
        say("$ kubectl apply -f node-exporter.yaml: " + self.kubectl("apply", "-f", "-", stdin=text).strip())
        self.until("the namespace is relaxed", lambda: self.labels("observability").get(PSA) == "privileged")
        say(f"level lifted to privileged after {time.monotonic() - apply_time:.2f} s, everybody else held to baseline")
        self.kubectl("rollout", "restart", "daemonset/node-exporter", "-n", "observability")
        self.until("node-exporter runs on both nodes", lambda: self.running_pods("observability") == 2)
        say("its pods are admitted and run on both nodes")
        pod = {"hostNetwork": True, "containers": [{"name": "sniffer", "image": "registry.example.com/other:1"}]}
        answer = self.create("observability", "sniffer", pod)
        claim(by_policy(answer), f"a pod that the exception does not cover got {answer.status}: {answer.message}")
        say("another host pod there: " + short(answer.message))

    def node_debug(self) -> None:
        title("kubectl debug node/… under an exception, for a while")
        self.apply_exception("node-debug", seconds=120)
        arguments = [
            "debug",
            "node/node-1",
            "-n",
            "debug",
            "--image=registry.example.com/busybox:1.37",
            "--profile=general",
        ]
        self.until("kubectl debug is admitted", lambda: self.cluster.kubectl(*arguments).returncode == 0)
        self.until("the debug pod is covered", lambda: self.covered("debug", "node-debug-inc4712") == 1)
        say("$ kubectl " + " ".join(arguments[:2]) + ": admitted, and covered by node-debug-inc4712")

    def diagnostic_ends(self) -> None:
        title("A diagnostic runs out")
        expiry = self.apply_exception("tcpdump", seconds=12)
        self.until("tcpdump is admitted", lambda: self.create_file("payments", "tcpdump"))
        self.until("tcpdump is covered", lambda: self.covered("payments", "tcpdump-inc4711") == 1)
        print(indent(self.kubectl("get", "hne", "-A")))
        say(f"waiting for {expiry:%H:%M:%S}Z")
        self.until("the tcpdump pod is deleted", lambda: self.is_deleted("payments", "tcpdump"), until=expiry)
        say(f"its pod was deleted, seen {self.seconds_after(expiry):.1f} s after the expiry")
        self.until("payments is restored", lambda: self.labels("payments").get(PSA) == "baseline")
        say("its namespace is back at enforce=baseline")
        answer = self.api.post("/api/v1/namespaces/payments/pods", load("tcpdump"))
        claim(answer.status == 403, f"a new pod got {answer.status}")
        say("a new one: " + short(answer.message))
        self.until("the record says so", lambda: "Expired" in self.kubectl("get", "hne", "-n", "payments"))
        print(indent(self.kubectl("get", "hne", "-A")))

    def operator_dead(self) -> None:
        title("The operator is killed while a grant is in force")
        expiry = self.apply_exception("tcpdump", seconds=10, name="tcpdump-inc4713")
        self.until("admitted under it", lambda: self.dry_run("payments", "tcpdump").status == 201)
        self.operator.kill()
        claim(self.operator.probe("/healthz") == 0, "the operator still answers")
        say("kill -9: it is gone, the grant stands")
        answer = self.dry_run("payments", "tcpdump")
        claim(answer.status == 201, f"the grant does not admit: {answer.message}")
        last_admitted, first_refused = "", ""
        while not first_refused:
            answer = self.dry_run("payments", "tcpdump")
            if answer.status == 201:
                last_admitted = answer.body["metadata"]["creationTimestamp"]
            else:
                claim(by_policy(answer), f"refused otherwise: {answer.message}")
                first_refused = server_second(self.api)
            claim(
                first_refused or self.seconds_after(expiry) < _PATIENCE_SECONDS, "still admitted long after the expiry"
            )
            time.sleep(0.05)
        end = f"{expiry:%Y-%m-%dT%H:%M:%SZ}"
        claim(
            last_admitted < end <= first_refused,
            f"last admitted {last_admitted}, expiry {end}, first refused {first_refused}",
        )
        say(f"last pod admitted at {last_admitted}, expiry {end}, refused from {first_refused}")
        say("by the API server: " + short(answer.message))
        self.operator.start()
        self.until("payments is restored", lambda: self.labels("payments").get(PSA) == "baseline")
        say("started again: the namespace is restored")

    # -- helpers --------------------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        completed = self.cluster.kubectl(*arguments, stdin=stdin)
        claim(completed.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {completed.stderr.strip()}")
        return completed.stdout

    def apply_exception(self, file: str, seconds: int, name: str | None = None) -> datetime.datetime:
        expiry = server_time(self.api) + datetime.timedelta(seconds=seconds)
        text = (SAMPLES / "exceptions" / f"{file}.yaml").read_text().replace("$EXPIRY", f"{expiry:%Y-%m-%dT%H:%M:%SZ}")
        if name:
            text = text.replace("tcpdump-inc4711", name)
        say(f"$ kubectl apply -f {file}.yaml: " + self.kubectl("apply", "-f", "-", stdin=text).strip())
        return expiry

    def until(self, what: str, probe: Callable[[], Any], until: datetime.datetime | None = None) -> None:
        deadline = time.monotonic() + cluster.PATIENCE * _PATIENCE_SECONDS
        if until is not None:
            deadline -= self.seconds_after(until)
        while not probe():
            claim(time.monotonic() < deadline, f"never seen: {what}")
            time.sleep(0.05)

    def seconds_after(self, moment: datetime.datetime) -> float:
        return (server_time(self.api) - moment).total_seconds()

    def labels(self, namespace: str) -> dict[str, str]:
        labels: dict[str, str] = self.api.get(f"/api/v1/namespaces/{namespace}").expect(200).body["metadata"]["labels"]
        return labels

    def events(self, namespace: str) -> list[dict[str, Any]]:
        return self.api.items(f"/api/v1/namespaces/{namespace}/events")

    def failed_create(self, namespace: str) -> str:
        return next((e["message"] for e in self.events(namespace) if e["reason"] == "FailedCreate"), "")

    def running_pods(self, namespace: str | None = None) -> int:
        scope = f"/namespaces/{namespace}" if namespace else ""
        return len(self.api.items(f"/api/v1{scope}/pods?fieldSelector=status.phase%3DRunning"))

    def host_pods(self) -> list[dict[str, Any]]:
        return self.api.items("/api/v1/pods?fieldSelector=spec.hostNetwork%3Dtrue")

    def covered(self, namespace: str, name: str) -> int:
        path = f"/apis/{LABEL}/v1alpha1/namespaces/{namespace}/hostnetworkexceptions/{name}"
        return int(self.api.get(path).body.get("status", {}).get("coveredPods", 0))

    def is_deleted(self, namespace: str, pod: str) -> bool:
        return self.api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}").status == 404

    def create(self, namespace: str, name: str, spec: dict[str, Any]) -> Any:
        return self.api.post(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": spec})

    def create_file(self, namespace: str, file: str) -> bool:
        return bool(self.api.post(f"/api/v1/namespaces/{namespace}/pods", load(file)).status == 201)

    def dry_run(self, namespace: str, file: str) -> Any:
        return self.api.post(f"/api/v1/namespaces/{namespace}/pods?dryRun=All", load(file))


def load(file: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((SAMPLES / f"{file}.yaml").read_text())
    return body


def server_time(api: Any) -> datetime.datetime:
    """Return the API server's time to the second, from an object that the API server would create now."""
    return datetime.datetime.fromisoformat(server_second(api))


def server_second(api: Any) -> str:
    answer = api.post("/api/v1/namespaces/default/configmaps?dryRun=All", {"metadata": {"name": "what-time-is-it"}})
    return str(answer.expect(201).body["metadata"]["creationTimestamp"])


def claim(holds: object, otherwise: str) -> None:
    if not holds:
        raise ClaimError(otherwise)


def by_policy(answer: Any) -> bool:
    """Return whether an admission policy refused, and not Pod Security Admission, which answers 403 too."""
    return answer.status == 403 and "ValidatingAdmissionPolicy" in answer.message


def short(message: str) -> str:
    return message if len(message) < 320 else message[:317] + "…"


def title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def say(text: str) -> None:
    print(f"  ✓ {text}", flush=True)


def indent(text: str) -> str:
    return "\n".join("    " + line for line in text.rstrip().splitlines())


def wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything up and print the export line")
    keep = parser.parse_args().keep
    directory: pathlib.Path | None = keeping.DIRECTORY if keep else None
    if keep and directory is not None and directory.exists():
        print("something is up already; make cluster-down first", file=sys.stderr)
        return 1
    try:
        print("starting a control plane: etcd, API server, controllers, two simulated nodes", flush=True)
        control_plane = cluster.Cluster(directory, detached=keep).start()
    except (binary.BuildError, cluster.NotReadyError) as error:
        print(f"no control plane: {error}", file=sys.stderr)
        return 1
    process = operator.OperatorProcess(control_plane, detached=keep)
    failed = True
    try:
        Demo(control_plane, process).run()
        failed = False
    except (ClaimError, AssertionError, cluster.NotReadyError) as error:
        print(f"  ✗ {error}", file=sys.stderr)
        print(f"the operator's last lines:\n{process.tail()}", file=sys.stderr)
    finally:
        if keep and not failed:
            keeping.remember(control_plane, operator=process.pid)
        else:
            process.stop()
            control_plane.stop()
            if keep:
                shutil.rmtree(keeping.DIRECTORY, ignore_errors=True)
    if failed:
        return 1
    print("\nall of it was observed.")
    if keep:
        print(f"it stays up until make cluster-down:\n{keeping.export_line()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
