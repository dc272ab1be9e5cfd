"""An exception that allows what none of its pods uses."""

from collections.abc import Sequence
from typing import Final

from hostnetwork_operator.api import exception, image
from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide import coverage, snapshot
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.oldest is None:
        return rule.Judgement(Result.SKIP, "the exception covers no pod")
    settled = case.oldest + rule.SETTLED
    if case.now < settled:
        return rule.Judgement(Result.SKIP, "the covered pods are younger than ten minutes", (settled,))
    excess = _excess(case.spec, case.pods)
    if not excess:
        return rule.Judgement(Result.PASS, "the covered pods use everything that the exception allows")
    more = f" and {len(excess) - rule.NAMED} more" if len(excess) > rule.NAMED else ""
    return rule.Judgement(
        Result.WARN, f"the exception allows more than the covered pods use: {', '.join(excess[: rule.NAMED])}{more}"
    )


def _excess(spec: exception.ExceptionSpec, pods: Sequence[snapshot.Pod]) -> list[str]:
    """Return what the exception names and no pod uses. A pod uses a host path if it mounts the path or one below it."""
    excess = []
    if spec.privileged and not any(pod.privileged for pod in pods):
        excess.append("privileged")
    unused_namespaces = set(spec.host_namespaces).difference(*(pod.host_namespaces for pod in pods))
    excess += [f"host namespace {name}" for name in sorted(unused_namespaces)]
    excess += [
        f"capability {name}" for name in sorted(set(spec.capabilities).difference(*(p.capabilities for p in pods)))
    ]
    mounts = {mount for pod in pods for mount in pod.host_paths}
    for path in sorted(spec.host_paths, key=lambda path: path.path):
        below = [mount for mount in mounts if coverage.within(mount.path, path.path)]
        if not below:
            excess.append(f"host path {path.path}")
        elif not path.read_only and all(mount.read_only for mount in below):
            excess.append(f"write access to {path.path}")
    excess += [f"image {name}" for name in image.unused(spec.images or (), (i for pod in pods for i in pod.images))]
    return excess


RULE: Final = rule.Rule(
    "TooWide",
    Severity.MEDIUM,
    "NIST SP 800-53 AC-6, least privilege; severity ours",
    "write a new exception that allows only what the pods use, then delete this exception: kubectl get hne <name>"
    " -n <namespace> -o yaml",
    _judge,
)
