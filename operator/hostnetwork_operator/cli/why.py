"""`why`: what decides about one workload or pod, and the command that puts it right."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from hostnetwork_operator.cli import errors, flags, progress, tables

if TYPE_CHECKING:
    from hostnetwork_operator.cli import connect, reading, workloads
    from hostnetwork_operator.decide import explain, inventory

_EXAMPLES: Final = """\b
Examples:
  # Why is this DaemonSet not covered, and what puts it right?
  kubectl hostnetwork why -n monitoring ds/node-exporter
\b
  # The same for one pod
  kubectl hostnetwork why -n debug tcpdump-7
\b
  # A workload whose pods are refused, or that is scaled to zero
  kubectl hostnetwork why -n legacy deploy/proxy"""


@click.command(name="why", epilog=_EXAMPLES, short_help="Explain the verdict on a workload or pod")
@click.argument("workload", type=flags.WORKLOAD, nargs=-1, required=True, metavar="[TYPE/]NAME")
@flags.namespace
@flags.output_of_one
@flags.cluster
def command(*, target: flags.Target, form: flags.Format, workload: tuple[str, ...], namespace: str | None) -> int:
    """Explain the verdict on the pods of a workload, or on one pod.

    Shows each exception of the namespace with the first condition that is not met, how the namespace is governed, which
    NetworkPolicies select the pods without effect, and the command that puts it right. If there is no pod, the
    explanation is about the next pod of the template.
    """
    if len(workload) > 2:
        raise click.UsageError("name one workload, such as ds/node-exporter")
    import asyncio

    result = asyncio.run(look(target, namespace, workload))
    _print(result, form)
    unread = result.reading.not_looked_at or result.policies is None
    return errors.Exit.FAILED if unread else errors.Exit.FINE


@dataclass(frozen=True, slots=True)
class WhyResult:
    """What the command found. `explanation` is None if the workload shares no host namespace.

    `policies` are the NetworkPolicies that select the pods; None if they could not be read.
    """

    named: "workloads.Named"
    explanation: "explain.Explanation | None"
    policies: tuple[str, ...] | None
    reading: "reading.Reading"


async def look(target: flags.Target, namespace: str | None, arguments: tuple[str, ...]) -> WhyResult:
    """Read the workload and its namespace, and return why its pods have their verdict."""
    from hostnetwork_operator.cli import connect, reading, workloads
    from hostnetwork_operator.decide import explain, snapshot
    from hostnetwork_operator.observe import live

    kind, name = workloads.words(arguments)
    async with connect.connect(target) as connection:
        where = namespace or connection.namespace
        with progress.shown(f"reading namespace {where}"):
            named = await workloads.find(connection, where, kind, name)
            read = await reading.read(connection, live.Scope(where), pods=reading.WhichPods.ALL)
            policies = await _network_policies(connection, where, named.labels)
    state = read.cluster.snapshot(where)
    if state is None:
        reasons = "; ".join(each.why for each in read.not_looked_at)
        raise errors.CommandError(f"error: namespace {where} cannot be read, so no verdict is known: {reasons}")
    template = named.template.pod
    if isinstance(template, snapshot.UnreadablePod):
        raise errors.CommandError(f"error: {name} cannot be read, so no verdict is known: {template.why}")
    (plan,) = (plan for state, plan in read.plans() if state.namespace.name == where)
    explanation = explain.explain(
        state, plan, named.subject, template, read.now, exceptions=read.exceptions, approvals=read.approvals
    )
    return WhyResult(named, explanation, policies, read)


async def _network_policies(
    connection: "connect.Connection", namespace: str, pod_labels: dict[str, str]
) -> tuple[str, ...] | None:
    """Return the NetworkPolicies that select pods with these labels; None if they cannot be read."""
    import pydantic

    from hostnetwork_operator.act import gateway
    from hostnetwork_operator.api import policy
    from hostnetwork_operator.observe import live

    names = []
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    try:
        async for page in live.pages(connection.gateway, path):
            for body in page.items:
                selector = policy.LabelSelector.model_validate(body["spec"].get("podSelector") or {})
                if selector.matches(pod_labels):
                    names.append(body["metadata"]["name"])
    except (gateway.ApiError, pydantic.ValidationError):  # a selector may be larger than those of our policy
        return None
    return tuple(sorted(names))


def _print(result: WhyResult, form: flags.Format) -> None:
    if form is flags.Format.JSON:
        click.echo(tables.as_json(document(result)))
    elif form is flags.Format.YAML:
        click.echo(tables.as_yaml(document(result)))
    else:
        for line in _lines(result):
            click.echo(line)
    tables.say_not_looked_at(result.reading.not_looked_at)
    if result.policies is None:
        tables.say("not looked at: networkpolicies; which of them select the pods is not known")


def _lines(result: WhyResult) -> list[str]:
    """Return the tree."""
    subject = result.named.subject
    name = tables.cell(f"{tables.kind(subject.kind)}/{subject.name}")
    found = result.explanation
    if found is None:
        return [f"{name} in namespace {subject.namespace}: shares no host namespace, so no exception is needed"]
    workload = found.workload
    shares = f"shares {', '.join(workload.host_namespaces)}"
    pods = tables.count(workload.pods, "pod")
    head = f"{name} in namespace {subject.namespace}: {workload.verdict} ({pods}, {shares})"
    if found.from_template:
        head = f"{name} in namespace {subject.namespace}: has no pod; the next would be {workload.verdict} ({shares})"
    branches: list[tuple[str, list[str]]] = [(workload.why, [])]
    seen = workload.classification
    if seen is not None:
        looks = seen.agent or f"{seen.type}, by its kind"
        branches.append((f"looks like {looks} ({seen.confidence})", list(seen.reasons)))
    considered = [
        f"{each.name}: covers the pods" if each.covers else f"{each.name}: {each.why}" for each in found.considered
    ]
    branches.append((f"exceptions in the namespace: {len(considered) or 'none'}", considered))
    branches.append((_governed(found.namespace), [f"Held {found.held_by}"] if found.held_by else []))
    if result.policies and "Network" in workload.host_namespaces:
        branches.append((f"not restricted by these NetworkPolicies, which select it: {', '.join(result.policies)}", []))
    if found.remedy:
        branches.append((f"to put it right: {found.remedy}", _commands(result)))
    width = tables.width_of(sys.stdout)
    return [*tables.wrapped(head, width, "│  "), *tables.tree(branches, width)]


def _governed(namespace: "inventory.GovernedNamespace") -> str:
    if namespace.exempt:
        return "the namespace is exempt"
    if namespace.enforcement is None:
        return f"the namespace is not governed; its level is {namespace.level or 'not set'}"
    relaxed = ", lifted for a grant" if namespace.relaxed else ""
    return f"enforcement of the namespace: {namespace.enforcement}, level {namespace.level or 'not set'}{relaxed}"


def _commands(result: WhyResult) -> list[str]:
    """Return the commands of the remedy."""
    found = result.explanation
    if found is None:
        return []
    subject = result.named.subject
    draft = f"kubectl hostnetwork draft -n {subject.namespace} {tables.kind(subject.kind)}/{subject.name}"
    return [*found.commands, *([draft] if found.drafts else [])]


def document(result: WhyResult) -> dict[str, Any]:
    """Return the result as it is written with -o json and -o yaml."""
    found, subject = result.explanation, result.named.subject
    return {
        "apiVersion": tables.API_VERSION,
        "kind": "HostNetworkExplanation",
        "time": tables.moment(result.reading.now),
        "installed": result.reading.installed,
        "workload": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
        },
        "hostNamespaces": [] if found is None else [name.value for name in found.workload.host_namespaces],
        "verdict": found and found.workload.verdict.value,
        "why": found and found.workload.why,
        "pods": 0 if found is None else found.workload.pods,
        "fromTemplate": found and found.from_template,
        "class": tables.classification(found.workload.classification) if found else None,
        "exceptions": []
        if found is None
        else [
            {
                "name": each.name,
                "state": each.state.value,
                "covers": each.covers,
                "failed": each.failed or None,
                "why": each.why,
            }
            for each in found.considered
        ],
        "namespace": found
        and {
            "enforcement": found.namespace.enforcement,
            "level": found.namespace.level or None,
            "relaxed": found.namespace.relaxed,
            "exempt": found.namespace.exempt,
            "heldBy": found.held_by or None,
        },
        "networkPolicies": None if result.policies is None else list(result.policies),
        "remedy": (found and found.remedy) or None,
        "commands": _commands(result),
        "notLookedAt": tables.not_looked_at(result.reading.not_looked_at),
    }
