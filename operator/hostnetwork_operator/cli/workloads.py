"""The workload that a person names: `ds/node-exporter`, `deployment web`, `pod/tcpdump` or `tcpdump`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from hostnetwork_operator.cli import connect, errors, tables
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import living, parse, preview

PATHS: Final[Mapping[str, str]] = {**preview.TEMPLATES, "Pod": "/api/v1/namespaces/{}/pods"}
# Each name under which kubectl knows a kind.
KINDS: Final = {"po": "Pod"} | {
    name: kind for kind, path in PATHS.items() for name in (kind.lower(), path.rpartition("/")[2], tables.KINDS[kind])
}


@dataclass(frozen=True, slots=True)
class Named:
    """A workload that exists: a reference to it, a pod as its template makes it, and the labels of its pods."""

    subject: snapshot.Reference
    template: snapshot.Living
    labels: dict[str, str]


def words(arguments: tuple[str, ...]) -> tuple[str, str]:
    """Return kind and name of `TYPE/NAME`, `TYPE NAME` or `NAME`. Raise CommandError for an unknown kind."""
    if len(arguments) == 2:
        kind, name = arguments
    else:
        kind, _, name = arguments[0].rpartition("/")
    short = (kind or "pod").lower().partition(".")[0]
    if short not in KINDS or not name:
        known = ", ".join(sorted(tables.KINDS.values()))
        raise errors.CommandError(
            f"error: the server doesn't have a workload type {kind!r}; use one of {known}, such as ds/NAME"
        )
    return KINDS[short], name


async def find(connection: connect.Connection, namespace: str, kind: str, name: str) -> Named:
    """Return the workload of this name. Raise CommandError, in kubectl's words, if there is none."""
    path = f"{PATHS[kind].format(namespace)}/{quote(name, safe='')}"
    body = (await connection.gateway.get(path)).body
    meta = body["metadata"]
    subject = snapshot.Reference(kind, namespace, meta["name"], meta["uid"], body.get("apiVersion", "v1"))
    if kind == "Pod":
        created, question = parse.moment(meta["creationTimestamp"]), living.asked(meta, body["spec"])
        template = snapshot.Living("Pod", meta["name"], meta["uid"], created, parse.pod(body), question)
        return Named(subject, template, dict(meta.get("labels") or {}))
    found = living.read(kind, body)
    job = body["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else body["spec"]
    pod_labels = ((job.get("template") or {}).get("metadata") or {}).get("labels") or {}
    return Named(subject, found.living if isinstance(found, living.Workload) else found, dict(pod_labels))
