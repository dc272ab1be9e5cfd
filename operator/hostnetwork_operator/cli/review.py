"""`review`: shows an exception and what it covers, then records that a person has checked it."""

import shlex
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import errors, flags, tables

if TYPE_CHECKING:
    from hostnetwork_operator.cli import changing

_EXAMPLES: Final = """\b
Examples:
  # Read what an exception allows and covers, then record the review
  kubectl hostnetwork review node-exporter -n monitoring
\b
  # Only read
  kubectl hostnetwork review node-exporter -n monitoring --dry-run
\b
  # Which exceptions are due?
  kubectl hostnetwork exceptions --review-due"""


@click.command(name="review", epilog=_EXAMPLES, short_help="Record that an exception was reviewed")
@click.argument("name", type=flags.EXCEPTION, metavar="NAME")
@flags.namespace
@flags.write
@flags.cluster
def command(
    *, target: flags.Target, form: flags.Format, name: str, namespace: str | None, dry_run: bool, yes: bool
) -> int:
    """Record that you have checked that an exception is still needed.

    Shows the exception, the pods that it covers, and the findings about it. What the exception allows cannot have
    changed since its creation. The record is spec.review: the API server's time and version of Kubernetes. Who has
    reviewed is in the audit log of the API server. If the exception is not approved, the review approves it.

    Nothing is written if somebody else has changed the spec of the exception since it was shown. You need the verb
    approve. Without it, stdout has the command for a user who has it.
    """
    from hostnetwork_operator.cli import changing

    return changing.run(target, namespace, name, _intent, form, "reviewed", dry_run=dry_run, yes=yes)


def _intent(present: "changing.Present") -> "changing.Intent":
    from hostnetwork_operator.cli import changing

    if present.ended:
        raise errors.CommandError(
            f"error: exception {present.name} ended at {present.spec.get('expiry')}, so there is nothing to review"
        )
    reviewed = {"time": tables.moment(present.now) or ""}
    if present.kubernetes:
        reviewed["kubernetesVersion"] = present.kubernetes
    before = present.spec.get("review") or {}
    created = present.body["metadata"]["creationTimestamp"]
    lines = [
        changing.head(present),
        f"created at {created}",
        changing.moved("reviewed at", before.get("time"), reviewed["time"]),
        changing.moved("reviewed for Kubernetes", before.get("kubernetesVersion"), present.kubernetes or "unknown"),
        *_found(present),
        *changing.approves(present),
    ]
    return changing.Intent(
        lambda _: {"review": reviewed},
        lines,
        "Is the exception still needed as it is, and do you record the review?",
        shlex.join(["kubectl", "hostnetwork", "review", present.name, "-n", present.namespace]),
        gives=True,
        shown=changing.as_yaml(present),
    )


def _found(present: "changing.Present") -> list[str]:
    """Return the pods that the exception covers, and the findings about it, without the one that the review ends."""
    from hostnetwork_operator.decide import consequences, rules

    if present.entry is None or present.plan is None:
        return ["Findings about the exception are not known."]
    pods = consequences.covered(present.plan, present.name)
    findings = [finding for finding in present.entry.warnings if finding.rule is not rules.REVIEW_DUE]
    lines = [f"its pods: {tables.few(pods)}"] if pods else []
    return [*lines, *(f"{finding.rule.id}: {finding.sentence}" for finding in findings)]
