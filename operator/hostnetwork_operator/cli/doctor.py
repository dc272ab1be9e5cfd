"""`doctor`: whether the installation works, whether the cluster can have one, and who may open it."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from hostnetwork_operator.cli import errors, flags, progress, tables

if TYPE_CHECKING:
    from hostnetwork_operator.cli import connect, reading
    from hostnetwork_operator.decide import snapshot

_EXAMPLES: Final = """\b
Examples:
  # Does the installation work, and who may approve exceptions?
  kubectl hostnetwork doctor
\b
  # Before the installation: versions, and the rights to install
  kubectl hostnetwork doctor --pre
\b
  # Fail a job if something does not work
  kubectl hostnetwork doctor --fail-on failed"""
_COLUMNS: Final = ("STATE", "CHECK", "MESSAGE")
_ADMISSION: Final = "admissionregistration.k8s.io"
_DEPLOYMENT: Final = "/apis/apps/v1/namespaces/hostnetwork-system/deployments/hostnetwork-operator"
_LEASE_VARIABLE: Final = "HOSTNETWORK_LEASE"
_RENEWED: Final = datetime.timedelta(seconds=30)  # the leader renews every 2 s, and a standby takes over within 15 s
_NEVER: Final = "1970-01-01T00:00:00Z"
_UNKNOWN: Final = "not known: RBAC could not be read"
_NOBODY: Final = "nobody but the members of the group system:masters"
# What a person needs to install the operator: group, resource.
_INSTALLING: Final = (
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    (_ADMISSION, "validatingadmissionpolicies"),
    (_ADMISSION, "validatingadmissionpolicybindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("", "namespaces"),
)


@click.command(name="doctor", epilog=_EXAMPLES, short_help="Check the installation, and who may open it")
@click.option("--pre", is_flag=True, help="Before the installation: only versions, and your rights to install.")
@click.option("--fail-on", type=click.Choice(["failed", "warning"]), help="Exit 3 if a check failed, or warns.")
@flags.output
@flags.cluster
def command(*, target: flags.Target, form: flags.Format, headers: bool, pre: bool, fail_on: str | None) -> int:
    """Check versions, CRDs, admission policies, the operator and the clocks.

    Also names the users and groups who may approve exceptions, set Pod Security levels, or change the admission
    policies, as RBAC grants it. Two kinds of users are not named: members of the group system:masters, who may do all
    of that, and users who can get such a right, by the verbs bind, escalate or impersonate, by writing RBAC, or by
    using the service account of somebody who has the right.
    """
    import asyncio

    result = asyncio.run(look(target, pre=pre))
    _print(result, form, headers=headers)
    states = {check.state for check in result.checks}
    if "unknown" in states or None in result.holders.values():
        return errors.Exit.FAILED
    found = "failed" in states or (fail_on == "warning" and "warning" in states)
    return errors.Exit.FINDINGS if fail_on and found else errors.Exit.FINE


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its state (ok, warning, failed, or unknown if it could not be made), the message and the remedy."""

    name: str
    state: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """What the command found, for every form. `holders` has who holds each right; None if that is not known."""

    checks: tuple[Check, ...]
    holders: Mapping[str, Sequence[str] | None]


async def look(target: flags.Target, *, pre: bool) -> DoctorResult:
    """Make the checks."""
    from hostnetwork_operator.cli import connect, rbac, reading

    async with connect.connect(target) as connection:
        with progress.shown("looking"):
            checks = [await _version(connection), _clock(connection)]
            if pre:
                return DoctorResult((*checks, *[await _may(connection, *each) for each in _INSTALLING]), {})
            read = await reading.read(connection)
            checks += [await _crds(connection, installed=read.installed), *_policies(read), *_policy(read)]
            roles = await rbac.read(connection)
            checks += [_rights(await rbac.lacking(connection, roles))] if read.installed else []
            checks += [await _operator(connection), *map(_unread, read.not_looked_at)]
            return DoctorResult(tuple(checks), rbac.holders(roles))


async def _version(connection: "connect.Connection") -> Check:
    from hostnetwork_operator.act import versions
    from hostnetwork_operator.decide import snapshot

    try:
        version = await versions.ask(connection.gateway)
    except versions.VersionError as error:
        return Check("Kubernetes", "failed", str(error))
    if version.minor < versions.OLDEST:
        return Check("Kubernetes", "failed", f"{version.text} is older than {versions.OLDEST}", "upgrade the cluster")
    if not version.minor.tested:
        tested = f"{snapshot.OLDEST_TESTED} to {snapshot.NEWEST_TESTED}"
        return Check("Kubernetes", "warning", f"{version.text}; this release is tested with {tested}")
    return Check("Kubernetes", "ok", version.text)


def _clock(connection: "connect.Connection") -> Check:
    from hostnetwork_operator import clock

    seconds = connection.clock.skew_seconds()
    if abs(seconds) > clock.TOLERANCE_SECONDS:
        text = f"this machine is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the API server"
        return Check("Clock", "warning", text, "set the clock of this machine before you write an expiry")
    return Check("Clock", "ok", f"this machine and the API server agree to within {clock.TOLERANCE_SECONDS:.0f} s")


async def _may(connection: "connect.Connection", group: str, resource: str) -> Check:
    """Ask whether the person may create objects of a resource."""
    from hostnetwork_operator.act import gateway
    from hostnetwork_operator.cli import rbac

    name = f"create {resource}"
    try:
        allowed = await rbac.may(connection, "create", group, resource)
    except gateway.ApiError as error:
        return Check(name, "unknown", error.message or error.reason)
    if allowed:
        return Check(name, "ok", "allowed")
    return Check(name, "failed", "you may not", "ask a cluster administrator to install the operator")


async def _crds(connection: "connect.Connection", *, installed: bool) -> Check:
    import hostnetwork_operator
    from hostnetwork_operator.act import definitions

    if not installed:
        return Check("CRDs", "failed", "the API server does not serve HostNetworkExceptions", "install the operator")
    trouble = await definitions.trouble(connection.gateway)
    if trouble:
        return Check("CRDs", "failed", trouble)
    return Check("CRDs", "ok", f"as in release {hostnetwork_operator.__version__}")


def _policies(read: "reading.Reading") -> list[Check]:
    """Return a check of the admission policies: one if all are in place, else one for each that is not."""
    guards = read.cluster.store.guards()
    missing = [guard for _, guard in sorted(guards.items()) if guard.since is None]
    if not missing:
        return [Check("Admission policies", "ok", f"{len(guards)} are in place, as shipped and bound to deny")]
    unlisted = any("validatingadmission" in each.what for each in read.not_looked_at)
    state = "unknown" if unlisted else "failed"
    remedy = "kubectl apply --server-side -k manifests/admission"
    return [Check("Admission policies", state, guard.why_not, "" if unlisted else remedy) for guard in missing]


def _policy(read: "reading.Reading") -> list[Check]:
    """Return what the operator says of the policy, and whether that is about the present object."""
    from hostnetwork_operator.observe import store

    found: snapshot.PolicyObject | None = read.cluster.store.policy_object()
    if found is None:
        unread = any(each.what == store.Kind.POLICY.value for each in read.not_looked_at)
        if unread or not read.installed:
            return []
        text = "no HostNetworkExceptionPolicy is named default, so nothing is governed"
        return [Check("Policy", "warning", text, "apply your overlay")]
    checks = []
    if found.status.observed_generation != found.generation:
        text = "the operator has not seen the present HostNetworkExceptionPolicy"
        checks.append(Check("Policy", "failed", text, "see whether the operator runs"))
    for condition in found.status.conditions:
        good = condition.status == ("False" if condition.type == "Contested" else "True")
        state = "ok" if good else "warning"
        checks.append(Check(f"Policy {condition.type}", state, f"{condition.reason}: {condition.message}"))
    return checks


async def _operator(connection: "connect.Connection") -> Check:
    from hostnetwork_operator.act import gateway

    try:
        body = (await connection.gateway.get(_DEPLOYMENT)).body
    except gateway.ApiError as error:
        if error.status == 404:
            text = "there is no Deployment hostnetwork-operator in namespace hostnetwork-system"
            return Check("Operator", "failed", text, "install the operator; what is enforced stays enforced")
        return Check("Operator", "unknown", error.message or error.reason)
    available = (body.get("status") or {}).get("availableReplicas") or 0
    if available and (lease := _lease(body)):
        return await _leader(connection, lease, available, (body.get("spec") or {}).get("replicas") or 0)
    if available:
        # /readyz is 200 only while the operator has listed everything and can watch every kind.
        text = f"{tables.count(available, 'replica')} available: the operator has listed the cluster, and watches it"
        return Check("Operator", "ok", text)
    remedy = "kubectl logs -n hostnetwork-system deploy/hostnetwork-operator"
    return Check("Operator", "failed", "no replica is available; what is enforced stays enforced", remedy)


def _lease(body: Mapping[str, Any]) -> str:
    """Return the Lease that the Deployment of the operator names (docs/howto/standby.md), '' for none."""
    containers = (((body.get("spec") or {}).get("template") or {}).get("spec") or {}).get("containers") or ()
    variables = (variable for container in containers for variable in container.get("env") or ())
    return next((str(each.get("value") or "") for each in variables if each.get("name") == _LEASE_VARIABLE), "")


async def _leader(connection: "connect.Connection", lease: str, available: int, replicas: int) -> Check:
    """Return whether one of the replicas works. A standby is available too, so their number does not tell."""
    from hostnetwork_operator.act import gateway

    namespace, _, name = lease.partition("/")
    remedy = "apply your overlay again, with the component standby"
    try:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
        spec = (await connection.gateway.get(path)).body.get("spec") or {}
    except gateway.ApiError as error:
        if error.status == 404:
            return Check("Operator", "failed", f"there is no Lease {lease}, so no replica works", remedy)
        return Check("Operator", "unknown", error.message or error.reason)
    remedy = "kubectl logs -n hostnetwork-system -l app.kubernetes.io/name=hostnetwork-operator"
    holder = spec.get("holderIdentity")
    if not holder:
        return Check("Operator", "failed", f"no replica holds Lease {lease}, so none works", remedy)
    age = connection.clock.now() - datetime.datetime.fromisoformat(spec.get("renewTime") or _NEVER)
    if age > _RENEWED:
        text = f"{holder} has not renewed Lease {lease} for {age.total_seconds():.0f} s, so no replica works"
        return Check("Operator", "failed", text, remedy)
    text = f"{available} of {tables.count(replicas, 'replica')} available; {holder} holds the Lease and works"
    if available < replicas:
        return Check("Operator", "warning", f"{text}, and there may be no standby", remedy)
    return Check("Operator", "ok", text)


def _unread(each: "reading.NotLookedAt") -> Check:
    return Check(f"Reading {each.what}", "unknown", f"{each.why}; {each.consequence}")


def _rights(lacking: Sequence[str] | None) -> Check:
    """Return whether the operator has every right that it needs; None means that this is not known."""
    name = "Rights of the operator"
    if lacking is None:
        return Check(name, "unknown", "roles and their bindings could not be read")
    if not lacking:
        return Check(name, "ok", "has every right that it needs")
    return Check(name, "failed", f"lacks {', '.join(lacking)}", "apply your overlay again")


def _print(result: DoctorResult, form: flags.Format, *, headers: bool) -> None:
    rows = [
        (check.state, check.name, f"{check.message}{f' → {check.remedy}' if check.remedy else ''}")
        for check in result.checks
    ]
    names = (check.name for check in result.checks)
    table = tables.Table(_COLUMNS, tuple(rows), prose=True)
    tables.show(form, lambda: document(result), table, names, headers=headers)
    if form.for_people:
        for right, holders in result.holders.items():
            click.echo(f"\nWho may {right}:", err=True)
            for holder in [_UNKNOWN] if holders is None else holders or [_NOBODY]:
                tables.say(f"- {holder}", "  ")


def document(result: DoctorResult) -> dict[str, Any]:
    """Return the result as it is written with -o json and -o yaml."""
    return {
        "apiVersion": tables.API_VERSION,
        "kind": "HostNetworkDoctor",
        "checks": [
            {"name": check.name, "state": check.state, "message": check.message, "remedy": check.remedy or None}
            for check in result.checks
        ],
        "holders": {right: None if names is None else list(names) for right, names in result.holders.items()},
    }
