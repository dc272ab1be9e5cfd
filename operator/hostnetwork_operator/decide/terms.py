"""The terms of an exception: its grant line, its record in the ledger, and the exception rebuilt from that record.

Nothing in this module decides whether the terms apply.
"""

import contextlib
from dataclasses import replace

from hostnetwork_operator.api import exception, grant, ledger, meta
from hostnetwork_operator.decide import snapshot

# The model requires an owner and a reason. The ledger and a grant keep neither.
_UNREADABLE = "the operator cannot read the exception object, and uses the terms in the ledger"
_GRANTED = "the terms of the exception are read from its grant"


def line_of(subject: exception.HostNetworkException, namespace: snapshot.Namespace) -> str:
    """Return the grant line of an exception in this incarnation of its namespace. Raise grant.GrantError."""
    spec = subject.spec
    return grant.Grant(
        namespace_uid=namespace.uid,
        type=spec.type.value,
        until=spec.until,
        service_account=spec.service_account,
        host_namespaces=frozenset(spec.host_namespaces),
        privileged=spec.privileged,
        level=spec.pod_security_level,
        capabilities=tuple(spec.capabilities),
        host_paths=tuple(grant.HostPathAccess(path.path, read_only=path.read_only) for path in spec.host_paths),
        images=spec.images,
        host_ports=spec.host_ports,
    ).encode()


def is_granted(subject: exception.HostNetworkException, namespace: snapshot.Namespace) -> bool:
    """Return whether the grant under the name of the exception has the terms of the exception, whatever its end."""
    present = decoded(namespace.grants.get(subject.metadata.name))
    wanted = decoded(_line_or_nothing(subject, namespace))
    return present is not None and wanted is not None and replace(present, until=wanted.until) == wanted


def shorter(old: str | None, new: str | None) -> bool:
    """Return whether the new line allows no more than the old line: the same terms, with the same or an earlier end."""
    before, after = decoded(old), decoded(new)
    if before is None or after is None:
        return False
    return after.until <= before.until and replace(after, until=before.until) == before


def decoded(line: str | None) -> grant.Grant | None:
    """Return the grant in a line; None if the text is not a grant line."""
    try:
        return grant.Grant.decode(line) if line is not None else None
    except grant.GrantError:
        return None


def record_of(
    subject: exception.HostNetworkException, namespace: snapshot.Namespace, *, approved: bool, under: str
) -> ledger.ExceptionRecord:
    """Return the record of this generation. The record has the terms only if the generation is approved."""
    base = ledger.ExceptionRecord(
        name=subject.metadata.name,
        namespace_uid=namespace.uid,
        created=subject.metadata.creation_timestamp,
        generation=subject.metadata.generation,
        approved=approved,
        under=under,
    )
    return with_terms(base, subject, namespace) if approved else base


def with_terms(
    record: ledger.ExceptionRecord, subject: exception.HostNetworkException, namespace: snapshot.Namespace
) -> ledger.ExceptionRecord:
    """Return the record with the terms that the operator needs to end the exception if the object cannot be read."""
    spec = subject.spec
    return record.model_copy(
        update={
            "grant": _line_or_nothing(subject, namespace),
            "deletes": spec.deletes,
            "grace_period_seconds": spec.grace_period_seconds,
        }
    )


def recalled(
    unreadable: snapshot.UnreadableException, record: ledger.ExceptionRecord | None, namespace: snapshot.Namespace
) -> exception.HostNetworkException | None:
    """Return an exception that cannot be read, as the ledger has it; None if the ledger does not prove its terms.

    A record of another generation proves nothing: an approver may have changed the terms since.
    """
    if record is None or not (record.approved or record.kept) or record.namespace_uid != namespace.uid:
        return None
    if unreadable.generation not in {0, record.generation}:
        return None
    line = decoded(record.grant)
    if line is None:
        return None
    metadata = meta.ObjectMeta(
        name=unreadable.name,
        namespace=unreadable.namespace,
        uid=unreadable.uid,
        generation=record.generation,
        creation_timestamp=record.created,
    )
    spec = _spec(line, _UNREADABLE, deletes=record.deletes, grace_period_seconds=record.grace_period_seconds)
    return exception.HostNetworkException(metadata=metadata, spec=spec)


def granted(namespace: snapshot.Namespace) -> tuple[exception.HostNetworkException, ...]:
    """Return the exceptions that are granted on a namespace, in the order of their names.

    A grant has only what decides which pods the exception covers. A line that is not a grant of this incarnation of the
    namespace is left out, as the admission policies ignore such a line.
    """
    subjects = []
    for name, text in sorted(namespace.grants.items()):
        line = decoded(text)
        if line is None or line.namespace_uid != namespace.uid:
            continue
        with contextlib.suppress(ValueError):  # the operator writes no grant that an exception cannot have
            metadata = meta.ObjectMeta(
                name=name, namespace=namespace.name, uid=name, generation=1, creation_timestamp=namespace.created
            )
            spec = _spec(line, _GRANTED, deletes=False, grace_period_seconds=0)
            subjects.append(exception.HostNetworkException(metadata=metadata, spec=spec))
    return tuple(subjects)


def _spec(
    line: grant.Grant, reason: str, *, deletes: bool, grace_period_seconds: int | None
) -> exception.ExceptionSpec:
    kind = exception.ExceptionType(line.type)
    return exception.ExceptionSpec(
        type=kind,
        owner="unknown",
        reason=reason,
        expiry=None if line.until == grant.ENDLESS else line.until,
        service_account_name=line.service_account,
        host_namespaces=tuple(sorted(line.host_namespaces)),
        images=line.images,
        capabilities=line.capabilities,
        privileged=line.privileged,
        host_paths=tuple(exception.HostPath(path=p.path, read_only=p.read_only) for p in line.host_paths),
        host_ports=line.host_ports,
        pod_security_level=line.level,
        on_expiry=_on_expiry(kind, deletes=deletes),
        grace_period_seconds=grace_period_seconds,
    )


def _on_expiry(kind: exception.ExceptionType, *, deletes: bool) -> exception.OnExpiry | None:
    if kind is not exception.ExceptionType.DIAGNOSTIC or deletes:
        return None
    return exception.OnExpiry.REPORT


def _line_or_nothing(subject: exception.HostNetworkException, namespace: snapshot.Namespace) -> str:
    try:
        return line_of(subject, namespace)
    except grant.GrantError:  # such an exception is Invalid and never granted
        return ""
