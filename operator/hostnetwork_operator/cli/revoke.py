"""`revoke`: ends an exception now, and leaves it as the record."""

import datetime
import shlex
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import asking, flags, tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostnetwork_operator.cli import changing

_EXAMPLES: Final = """\b
Examples:
  # End a diagnosis early: the operator deletes its pods
  kubectl hostnetwork revoke tcpdump-inc4711 -n payments
\b
  # Without a question, and with the reason in the record
  kubectl hostnetwork revoke vrrp -n legacy --yes --reason "replaced by the load balancer"
\b
  # Which pods would be deleted or flagged?
  kubectl hostnetwork revoke node-exporter -n monitoring --dry-run"""
# The operator deletes pods that were created before the second of the expiry. A pod may be created until the API server
# has stored the expiry, and the API server's time is known to within a second, so the expiry is a moment ahead.
_AHEAD: Final = datetime.timedelta(seconds=3)


@click.command(name="revoke", epilog=_EXAMPLES, short_help="End an exception now")
@click.argument("name", type=flags.EXCEPTION, metavar="NAME")
@flags.namespace
@click.option("--reason", metavar="TEXT", help="Why, which is added to the reason of the exception.")
@flags.write
@flags.cluster
def command(
    *,
    target: flags.Target,
    form: flags.Format,
    name: str,
    namespace: str | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """End an exception now, by an expiry three seconds from now.

    The operator deletes the pods of a Diagnostic exception, unless its onExpiry is Report, and flags other pods. The
    API server admits no more pods under the exception. The exception stays as the record. The end cannot be taken back:
    create another exception.

    If you delete an exception instead, its pods run on, and the record is lost. You need the verb approve. Without it,
    stdout has the command for a user who has it.
    """
    from hostnetwork_operator.cli import changing

    def intend(present: changing.Present) -> changing.Intent | None:
        return _intent(present, reason)

    return changing.run(target, namespace, name, intend, form, "revoked", dry_run=dry_run, yes=yes)


def _intent(present: "changing.Present", reason: str | None) -> "changing.Intent | None":
    from hostnetwork_operator.cli import changing, writing

    if present.ended:
        tables.say(
            f"Exception {present.name} has ended already, at {present.spec.get('expiry')}. {asking.NOTHING_WRITTEN}"
        )
        return None
    added = {"reason": f"{present.spec.get('reason')}; revoked: {reason}"} if reason else {}

    def spec(now: datetime.datetime) -> "Mapping[str, str]":
        return {"expiry": tables.moment(now + _AHEAD) or "", **added}

    changes = spec(present.now)
    lines = [changing.head(present), *(changing.moved(word, present.spec.get(word), changes[word]) for word in changes)]
    command = ["kubectl", "hostnetwork", "revoke", present.name, "-n", present.namespace]
    return changing.Intent(
        spec,
        [*lines, *_pods(present), "The end cannot be taken back."],
        "Revoke the exception?",
        shlex.join([*command, *(["--reason", reason] if reason else [])]),
        gives=False,
        done=writing.ended,
    )


def _pods(present: "changing.Present") -> list[str]:
    """Return what happens to the pods of the exception, a line for each thing."""
    from hostnetwork_operator.decide import consequences

    if present.plan is None:
        deletes = present.spec.get("type") == "Diagnostic" and present.spec.get("onExpiry") != "Report"
        does = "deletes" if deletes else "flags, and does not delete,"
        return [f"The operator {does} its {tables.count(present.pods, 'pod')}, unless another exception covers them."]
    ending = consequences.ended(present.plan, present.name, present.now + _AHEAD)
    found = [
        ("The operator deletes {}: {}.", ending.deleted),
        ("The operator flags {} as expired, and deletes none of them: {}.", ending.flagged),
        ("Other exceptions still cover {}: {}.", ending.kept),
        ("Without host namespaces, and not deleted: {}: {}.", ending.plain),
    ]
    lines = [text.format(tables.count(len(pods), "pod"), tables.few(pods)) for text, pods in found if pods]
    if ending.flagged or ending.plain:
        lines.append("The API server refuses the next pods of these workloads.")
    return lines or ["The exception covers no pod."]
