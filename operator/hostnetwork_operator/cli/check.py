"""`check`: manifests before they are applied: which pods would be refused, and where they are written."""

import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import checked, errors, flags, forms, tables

if TYPE_CHECKING:
    import datetime

    from hostnetwork_operator.observe import manifests

_EXAMPLES: Final = """\b
Examples:
  # Fail a pipeline if a pod shares a host namespace without an exception
  kubectl hostnetwork check -f deploy/
\b
  # Rendered manifests, with the exceptions beside them
  kustomize build . | kubectl hostnetwork check -f - -f exceptions/
\b
  # Also what Pod Security would refuse in this cluster
  kubectl hostnetwork check -f deploy/ --server --context staging
\b
  # For code scanning
  kubectl hostnetwork check -f deploy/ -o sarif > hostnetwork.sarif
\b
  # A kind of your own that has a pod template
  kubectl hostnetwork check -f rollout.yaml --pod-template spec.workload.template"""
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_DEFAULT_NAMESPACE: Final = "default"


@click.command(name="check", epilog=_EXAMPLES, short_help="Check manifests before they are applied")
@click.option("-f", "--filename", "filenames", multiple=True, required=True, metavar="FILE|DIR|-",
              type=click.Path(path_type=str), help="Manifests: files, directories, or - for stdin.")  # fmt: skip
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    help="The namespace of objects that name none. Default: default, with --server that of the context.",
)
@click.option("--pod-template", "paths", multiple=True, metavar="PATH",
              help="Where objects of other kinds have a pod template: spec.workload.template.")  # fmt: skip
@click.option(
    "--exempt",
    multiple=True,
    metavar="NAME",
    help="An exempt namespace. Default: kube-system, kube-public and kube-node-lease, with --server those of the"
    " policy.",
)
@click.option("--server", is_flag=True, help="Also ask Pod Security about every pod, by dry run in a cluster.")
@click.option("-o", "--output", "form", type=click.Choice(list(forms.RENDER)), default="text",
              help="The form of the output.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(["refused", "nothing"]), default="refused",
              help="Exit 3 if a pod or an exception would be refused, which is the default.")  # fmt: skip
@flags.cluster
def command(
    *,
    target: flags.Target,
    filenames: tuple[str, ...],
    namespace: str | None,
    paths: tuple[str, ...],
    exempt: tuple[str, ...],
    server: bool,
    form: str,
    fail_on: str,
) -> int:
    """Check which pods of manifests share a host namespace that no exception covers.

    Exceptions are read from the same files, and count as approved. Without --server nothing is asked of a cluster: host
    namespaces and coverage are judged as the operator does, and other rules of Pod Security are not. A document that
    cannot be read is named with its line, hides no other, and makes the exit status 1. So does a pod template of
    another kind that shares a host namespace and that no --pod-template names, or a --pod-template where no object has
    a pod template.

    With --server, Pod Security is asked about every pod, at the level that its namespace would enforce: that of the
    namespace where enforcement is on, otherwise that of the policy or, if stricter, of the namespace. A namespace that
    does not exist gets the labels that the files have for it; of a namespace that exists, a stricter level in the files
    counts. Exceptions that are granted in the cluster count too. An exception from the files replaces the granted
    exception of the same name. If the file changes an approved field, the API server would refuse the file, so the
    granted exception counts, and the exit status is 3. You need the rights to get the namespaces and the policy, and to
    create pods in the preview namespaces of the operator; the requests are dry runs. If Pod Security could not be asked
    about a pod, the exit status is 1.
    """
    if not server and target != flags.Target():
        raise click.UsageError("--kubeconfig, --context, --as, --as-group and --request-timeout need --server")
    sources = _sources(filenames)
    parts = [tuple(path.split(".")) for path in paths]
    look_at = functools.partial(look_with_server, target) if server else look
    result = look_at(sources, namespace, parts, exempt)
    click.echo(forms.RENDER[form](result), nl=False)
    if form != "text":
        for gap in result.gaps:
            tables.say(forms.inert(gap.line), "  ")
    if result.manifests.unused and not result.manifests.unreadable:  # else the object may be in what cannot be read
        path = ".".join(result.manifests.unused[0])
        raise errors.CommandError(f"error: --pod-template {path}: no object has a pod template there; correct the path")
    if result.gaps:
        return errors.Exit.FAILED
    return errors.Exit.FINDINGS if result.refusals and fail_on == "refused" else errors.Exit.FINE


def look(
    sources: Sequence[tuple[str, str]], namespace: str | None, paths: Sequence[tuple[str, ...]], exempt: Sequence[str]
) -> checked.CheckResult:
    """Return the verdicts on the pods of these texts, each with the name of its file. Nothing is asked of a cluster."""
    from hostnetwork_operator import clock
    from hostnetwork_operator.api import policy
    from hostnetwork_operator.decide import checking, snapshot
    from hostnetwork_operator.observe import manifests

    now = clock.of_this_machine()
    found = manifests.read(sources, namespace or _DEFAULT_NAMESPACE, now, paths)
    exempt_names = frozenset(exempt or policy.EXEMPT_BY_DEFAULT)
    exceptions = [each.exception for each in found.exceptions]
    standings = {
        name: checking.standings(snapshot.Namespace(name, "", now), exceptions, None, now)
        for name in {template.pod.namespace for template in found.templates}
    }
    pods = []
    for template in found.templates:
        name = template.pod.namespace
        verdict = checking.judge(template.pod, standings[name], exempt=name in exempt_names)
        if verdict is not None:
            pods.append(checked.Checked(template, verdict))
    return checked.result(found, pods)


def look_with_server(
    target: flags.Target,
    sources: Sequence[tuple[str, str]],
    namespace: str | None,
    paths: Sequence[tuple[str, ...]],
    exempt: Sequence[str],
) -> checked.CheckResult:
    """Return the same, and what Pod Security says of every pod."""
    import asyncio

    from hostnetwork_operator.cli import pod_security
    from hostnetwork_operator.observe import manifests

    def read(context_namespace: str, now: "datetime.datetime") -> "manifests.Manifests":
        return manifests.read(sources, namespace or context_namespace, now, paths)

    return asyncio.run(pod_security.look(target, read, exempt))


def _sources(filenames: Sequence[str]) -> list[tuple[str, str]]:
    """Return each text with the name of its file. Raise CommandError for a file that cannot be read."""
    found = []
    for name in filenames:
        if name == "-":
            found.append(("stdin", sys.stdin.read()))
            continue
        path = pathlib.Path(name)
        files = [path]
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
            if not files:
                raise errors.CommandError(forms.inert(f"error: the directory {name} has no .yaml, .yml or .json file"))
        for file in files:
            try:
                found.append((str(file), file.read_text(encoding="utf-8")))
            except FileNotFoundError as error:
                raise errors.CommandError(forms.inert(f"error: the path {str(file)!r} does not exist")) from error
            except (OSError, UnicodeDecodeError) as error:
                raise errors.CommandError(
                    forms.inert(f"error: the file {str(file)!r} cannot be read: {error}")
                ) from error
    return found
