"""What a namespace should have: how it is governed, whether enforcement is on, and its labels.

The operator writes the level that the policy wants, and never a looser level than somebody else has set. If somebody
else has set the level, the operator relaxes nothing. `ownership` decides who has set a label.
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hostnetwork_operator.api import grant, labels, plaintext, policy
from hostnetwork_operator.decide import ownership, snapshot

# How often a Held namespace is checked again (docs/explanation/architecture.md#the-gate).
GATE_AGAIN: Final = datetime.timedelta(seconds=60)
_HELD_BY_LIMIT: Final = 1000  # characters; people read the annotation in a terminal (kubectl describe namespace)
_HELD_SINCE_BYTES: Final = len("since 2026-11-22T16:00:00Z: ")  # the annotation begins with that
_VERSION: Final = re.compile(r"v1[.](0|[1-9][0-9]{0,3})")
_OURS: Final = (labels.ENFORCEMENT, labels.GUARD, labels.GUARD_VERSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the policy wants one namespace. If no policy is known, `pod_security` is None and existing labels stay."""

    exempt: bool = field(kw_only=True)
    mode: policy.Mode | None = None
    target: labels.Level = labels.Level.PRIVILEGED
    pod_security: policy.PodSecurity | None = None
    rollout: policy.Rollout = policy.Rollout.GATED


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether enforcement is on. `ask` is the level whose dry run the operator must ask for before that is decided.

    If enforcement is Held, `held_by` says by what, `since` says since when, and `again` is when to check again.
    """

    enforcement: labels.Enforcement | None
    ask: labels.Level | None = None
    held_by: str = ""
    since: datetime.datetime | None = None
    again: datetime.datetime | None = None


def settings_for(namespace: snapshot.Namespace, state: snapshot.PolicyState) -> Settings:
    """Return the settings of a namespace. The first rule that selects it overrides the policy's own values."""
    if namespace.name in labels.PREVIEW_NAMESPACES:  # a level there would also decide the gate's dry runs
        return Settings(exempt=True)
    if state.spec is None:
        # The namespaces of the system are exempt by default; without a policy nothing else is known about exemptions.
        exempt = namespace.name in policy.EXEMPT_BY_DEFAULT and labels.ENFORCEMENT not in namespace.labels
        return Settings(exempt=exempt, target=_standing_target(namespace))
    spec = state.spec
    if spec.mode is policy.Mode.RELEASE or namespace.name in spec.exempt_namespaces:
        return Settings(exempt=True, rollout=spec.rollout)
    rule = next((rule for rule in spec.rules if rule.selector.matches(dict(namespace.labels))), None)
    return Settings(
        exempt=False,
        mode=(rule and rule.mode) or spec.mode,
        target=(rule and rule.enforce) or spec.pod_security.enforce,
        pod_security=spec.pod_security,
        rollout=(rule and rule.rollout) or spec.rollout,
    )


def decide(
    state: snapshot.NamespaceSnapshot, settings: Settings, excepted: frozenset[str], now: datetime.datetime
) -> Decision:
    """Return whether enforcement is on. Once on, it stays on: nothing new that violates the level turns it off.

    `excepted` are the exceptions that would be in force if enforcement were on. The gate's answer is used only if it
    counted the same exceptions, because other exceptions may change the answer.
    """
    namespace = state.namespace
    if settings.exempt:
        return Decision(None)
    if settings.mode is None:
        return Decision(labels.Enforcement.DENY if _once_on(state) else namespace.enforcement)
    if settings.mode is policy.Mode.AUDIT:
        return Decision(labels.Enforcement.AUDIT)
    if _once_on(state) or settings.rollout is policy.Rollout.IMMEDIATE:
        return Decision(labels.Enforcement.DENY)
    if (until := _restored_until(state, now)) is not None:
        why = (
            "the namespace was created with enforcement Held, as a restored backup is; the operator checks the"
            f" namespace from {grant.format_time(until)}"
        )
        return Decision(labels.Enforcement.HELD, held_by=why, again=until)
    answer = state.gate
    if answer is None or (answer.level, answer.excepted) != (settings.target, excepted):
        return Decision(namespace.enforcement, ask=settings.target)
    if now >= answer.asked + GATE_AGAIN:
        return Decision(namespace.enforcement, ask=settings.target)
    if answer.clean:
        return Decision(labels.Enforcement.DENY)
    return _held(state, answer, now)


def _restored_until(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> datetime.datetime | None:
    """Return until when the operator leaves a namespace alone that was created with the label Held; None if it was not
    created so, or if that time is over.

    If the operator itself has set Held, the ledger has that. Only a holder of setlevel can create a Namespace with that
    label.
    """
    namespace, recorded, spec = state.namespace, state.ledger.namespace, state.policy.spec
    if spec is None or namespace.enforcement is not labels.Enforcement.HELD:
        return None
    if recorded is not None and (recorded.held is not None or recorded.enforced):
        return None
    until = namespace.created + spec.restore_grace
    return until if now < until else None


def _once_on(state: snapshot.NamespaceSnapshot) -> bool:
    """Return whether enforcement has been on. Here a claim counts too, because a claim can only make things stricter.

    If this process has just turned enforcement off, the ledger does not have that yet: its record changes next.
    """
    namespace, wrote = state.namespace, state.record.wrote
    taken_off = labels.ENFORCEMENT in wrote and wrote[labels.ENFORCEMENT] != labels.Enforcement.DENY
    return (
        namespace.enforcement is labels.Enforcement.DENY
        or labels.LEVEL_BEFORE in namespace.annotations
        or (state.ledger.namespace is not None and state.ledger.namespace.enforced and not taken_off)
        or state.record.enforced
    )


def lifting_is_barred(namespace: snapshot.Namespace, owned: ownership.Owned) -> bool:
    """Return whether somebody else has set the enforce label to a value that privileged would loosen.

    Pod Security Admission treats a value that is not a level as restricted.
    """
    set_by_other = labels.PSA_ENFORCE in namespace.labels and labels.PSA_ENFORCE not in owned.labels
    return set_by_other and level_of(namespace) is not labels.Level.PRIVILEGED


def _stays(namespace: snapshot.Namespace, owned: ownership.Owned, target: labels.Level) -> bool:
    """Return whether somebody else has set the target or a stricter level. Only that writer may lower the level."""
    current = level_of(namespace)
    strict_enough = current is not None and current.strictness >= target.strictness
    return strict_enough and labels.PSA_ENFORCE not in owned.labels and current is not labels.Level.PRIVILEGED


def level_of(namespace: snapshot.Namespace) -> labels.Level | None:
    """Return the level in the enforce label of a namespace; None without the label, or if its value is not a level."""
    value = namespace.labels.get(labels.PSA_ENFORCE)
    return labels.Level(value) if value in set(labels.Level) else None


def strictness(value: str | None, *, absent: labels.Level) -> int:
    """Return how strict an enforce label is. Pod Security Admission treats a value that is not a level as
    restricted.
    """
    if value is None:
        return absent.strictness
    return labels.Level(value).strictness if value in set(labels.Level) else labels.Level.RESTRICTED.strictness


def older(version: str | None, than: str) -> bool:
    """Return whether a version label names an older version. None and latest are the newest. No namespace has a text
    that is not a version, because the API server refuses such a label.
    """
    version_match, than_match = (_VERSION.fullmatch(text or "") for text in (version, than))
    return version_match is not None and (than_match is None or int(version_match[1]) < int(than_match[1]))


class Changes(NamedTuple):
    """The labels and the annotations of a namespace to change; the value None removes a key."""

    labels: dict[str, str | None]
    annotations: dict[str, str | None]


def changes(
    namespace: snapshot.Namespace,
    owned: ownership.Owned,
    settings: Settings,
    decision: Decision,
    *,
    relaxed: bool,
    kubernetes: snapshot.MinorVersion | None = None,
    grants: Mapping[str, str | None] | None = None,
) -> Changes:
    """Return what to change, without grants. Labels and annotations are empty if nothing needs to change. `kubernetes`
    is the version of the oldest API server. `grants` are the grants that the same write changes, by annotation key.
    """
    if decision.enforcement is None:
        wanted, notes = _released(namespace, owned) if settings.exempt else Changes({}, {})
    elif decision.enforcement is labels.Enforcement.DENY:
        wanted, notes = _denying(namespace, owned, settings, relaxed=relaxed)
    else:
        wanted, notes = _not_denying(namespace, owned, settings, decision.enforcement, decision.held_by)
    wanted |= _guard_version(namespace, wanted, kubernetes)
    notes = _fitting(namespace, notes, grants or {})
    return Changes(_difference(namespace.labels, wanted), _difference(namespace.annotations, notes))


def _fitting(
    namespace: snapshot.Namespace, notes: Mapping[str, str | None], grants: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return the annotations that fit beside the grants and the annotations of others. `held-by` is cut; any other
    annotation without room stays as it is.

    A tenant may fill the annotations of his Namespace to the last byte, and the API server refuses the whole patch
    then. Enforcement must not fail for want of room for an annotation.
    """
    room = namespace.room(*notes, *grants) - _bytes(grants)
    fitting: dict[str, str | None] = {}
    for key, text in sorted(notes.items(), key=lambda note: note[0] == labels.HELD_BY):  # held-by gets what is left
        if text is not None and key == labels.HELD_BY:
            fitting[key] = _cut(text, room - len(key))
        else:
            fits = text is None or _bytes({key: text}) <= room
            fitting[key] = text if fits else namespace.annotations.get(key)
        room -= _bytes({key: fitting[key]})
    return fitting


def _bytes(annotations: Mapping[str, str | None]) -> int:
    return sum(len(key.encode()) + len(text.encode()) for key, text in annotations.items() if text is not None)


def _cut(text: str, size: int) -> str | None:
    """Return as much of a text as fits into `size` bytes; None if less than the moment at its beginning fits."""
    encoded = text.encode()
    if len(encoded) <= size:
        return text
    return encoded[:size].decode(errors="ignore") if size >= _HELD_SINCE_BYTES else None


def _denying(namespace: snapshot.Namespace, owned: ownership.Owned, settings: Settings, *, relaxed: bool) -> Changes:
    target = settings.target
    wanted: dict[str, str | None] = {labels.ENFORCEMENT: labels.Enforcement.DENY.value}
    notes: dict[str, str | None] = {labels.HELD_BY: None}
    if relaxed:
        wanted[labels.PSA_ENFORCE] = labels.Level.PRIVILEGED.value
        wanted[labels.GUARD] = target.value
    else:
        if not _stays(namespace, owned, target):
            wanted[labels.PSA_ENFORCE] = target.value
        if target is labels.Level.PRIVILEGED:
            wanted[labels.GUARD] = None
        elif labels.GUARD in namespace.labels:
            # The guard stays for good: PSA may have judged a request in flight at level privileged already.
            wanted[labels.GUARD] = target.value
    if settings.pod_security is not None:
        wanted |= _audit_and_warn(namespace, owned, settings.pod_security, target if relaxed else None)
        version = settings.pod_security.version
        if older(namespace.labels.get(labels.PSA_VERSIONS[0]), version):
            wanted[labels.PSA_VERSIONS[0]] = version  # an older version of a level allows more
        elif labels.PSA_ENFORCE in wanted:
            wanted |= _unless_theirs(namespace, owned, labels.PSA_VERSIONS[0], version)
        before = owned.record.before if owned.record.enforced else namespace.labels.get(labels.PSA_ENFORCE, "")
        if owned.stored:
            notes[labels.BORN_WITH] = None  # the ledger has the same
        if before is not None:
            notes[labels.LEVEL_BEFORE] = before  # for people to read; only the ledger's record counts
    return Changes(wanted, notes)


def _guard_version(
    namespace: snapshot.Namespace, wanted: Mapping[str, str | None], kubernetes: snapshot.MinorVersion | None
) -> dict[str, str | None]:
    """Return the label guard-version: the version by which Pod Security Admission would evaluate the namespace if its
    level were not lifted. Without a guard the label is removed. While the version of the API servers is not known, the
    label stays as it is.

    A namespace keeps its guard after the level is restored. Then Pod Security Admission and the guard evaluate the same
    pods, and a guard of another version would refuse what Pod Security Admission admits. During an upgrade of the API
    servers the oldest counts: the guard admits nothing that an API server would not admit at the restored level.
    """
    present = {**namespace.labels, **wanted}
    if present.get(labels.GUARD) is None:
        return {labels.GUARD_VERSION: None}
    if kubernetes is None:
        return {}
    latest = f"v{kubernetes}"
    pinned = present.get(labels.PSA_VERSIONS[0])
    return {labels.GUARD_VERSION: pinned if pinned is not None and older(pinned, latest) else latest}


def _not_denying(
    namespace: snapshot.Namespace,
    owned: ownership.Owned,
    settings: Settings,
    enforcement: labels.Enforcement,
    held_by: str,
) -> Changes:
    if settings.pod_security is None:
        return Changes({labels.ENFORCEMENT: enforcement.value}, {})
    wanted: dict[str, str | None] = {labels.ENFORCEMENT: enforcement.value, labels.GUARD: None}
    wanted |= _audit_and_warn(namespace, owned, settings.pod_security)
    wanted |= _level_before(namespace, owned) | _version_before(owned)
    removed_notes = dict.fromkeys((labels.LEVEL_BEFORE, labels.BORN_WITH))
    return Changes(wanted, {labels.HELD_BY: held_by or None, **removed_notes})


def _released(namespace: snapshot.Namespace, owned: ownership.Owned) -> Changes:
    if not any(key in namespace.labels for key in _OURS):
        return Changes({}, {})
    psa_labels = (labels.PSA_AUDIT, labels.PSA_WARN, *labels.PSA_VERSIONS)
    wanted: dict[str, str | None] = {key: None for key in psa_labels if key in owned.labels}
    wanted |= dict.fromkeys(_OURS) | _level_before(namespace, owned) | _version_before(owned)
    return Changes(wanted, dict.fromkeys((labels.HELD_BY, labels.LEVEL_BEFORE, labels.BORN_WITH)))


def _level_before(namespace: snapshot.Namespace, owned: ownership.Owned) -> dict[str, str | None]:
    """Return the enforce label as it was before enforcement was turned on, unless somebody else has set it since.

    If the level before is not known, the namespace keeps the level that its guard had for ordinary pods.
    """
    if not owned.record.enforced:
        return {}
    is_privileged = level_of(namespace) is labels.Level.PRIVILEGED
    if labels.PSA_ENFORCE in namespace.labels and labels.PSA_ENFORCE not in owned.labels and not is_privileged:
        return {}
    before = owned.record.before
    if before is None:
        guard = namespace.labels.get(labels.GUARD)
        return {labels.PSA_ENFORCE: guard} if is_privileged and guard in set(labels.Level) else {}
    restored: dict[str, str | None] = {labels.PSA_ENFORCE: before or None}
    if owned.record.version_before is None and labels.PSA_VERSIONS[0] in owned.labels and not before:
        restored[labels.PSA_VERSIONS[0]] = None
    return restored


def _version_before(owned: ownership.Owned) -> dict[str, str | None]:
    """Return the version of the enforce level as it was before enforcement was turned on, unless somebody else has set
    the version since.
    """
    before = owned.record.version_before
    if not owned.record.enforced or before is None or labels.PSA_VERSIONS[0] not in owned.labels:
        return {}
    return {labels.PSA_VERSIONS[0]: before or None}


def _audit_and_warn(
    namespace: snapshot.Namespace,
    owned: ownership.Owned,
    pod_security: policy.PodSecurity,
    guard: labels.Level | None = None,
) -> dict[str, str | None]:
    """Return the labels of the modes audit and warn. In a relaxed namespace the warn level is that of the guard, so
    that Pod Security warns of what the guard refuses.

    With a stricter warn level, each apply of a covered agent would print warnings about what nobody asks of the agent.
    Nobody reads the audit annotations at an apply, so the audit level stays as the policy wants it.
    """
    wanted_labels: dict[str, str | None] = {}
    for label, level in ((labels.PSA_AUDIT, pod_security.audit), (labels.PSA_WARN, guard or pod_security.warn)):
        wanted_labels |= _unless_theirs(namespace, owned, label, level.value)
        wanted_labels |= _unless_theirs(namespace, owned, label + "-version", pod_security.version)
    return wanted_labels


def _unless_theirs(
    namespace: snapshot.Namespace, owned: ownership.Owned, label: str, value: str
) -> dict[str, str | None]:
    """Return the label, or nothing if somebody else has set it: a label that enforces nothing is left to that
    writer.
    """
    return {label: value} if label in owned.labels or label not in namespace.labels else {}


def _difference(present: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in sorted(wanted.items()) if present.get(key) != value}


def _standing_target(namespace: snapshot.Namespace) -> labels.Level:
    """Return the target of a namespace whose policy is not known: the level of its guard label, else its enforce
    level.
    """
    guard = namespace.labels.get(labels.GUARD)
    if guard in set(labels.Level):
        return labels.Level(guard)
    return level_of(namespace) or labels.Level.PRIVILEGED


def held_since(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> datetime.datetime:
    """Return when enforcement was first wanted and Held. What was created later does not block enforcement: a tenant
    has no veto.

    The ledger has this moment. Before the ledger has it, the annotation counts. A tenant may have written the
    annotation, so a moment in the future counts as now.
    """
    recorded = state.ledger.namespace
    if recorded is not None and recorded.held is not None:
        return recorded.held
    annotated = _noted(state.namespace)
    # A moment before the creation of this namespace comes from a backup of another namespace.
    return min(annotated, now) if annotated is not None and annotated >= state.namespace.created else now


def _noted(namespace: snapshot.Namespace) -> datetime.datetime | None:
    text = namespace.annotations.get(labels.HELD_BY, "").removeprefix("since ")[:20]
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return None


def _held(state: snapshot.NamespaceSnapshot, answer: snapshot.GateAnswer, now: datetime.datetime) -> Decision:
    """Return the decision Held: by what, and since when. A later decision keeps that moment."""
    since = held_since(state, now).replace(microsecond=0)
    holders = answer.holders
    if answer.failed:
        holders = (f"the operator does not know what level {answer.level} would refuse: {answer.failed}",)
    text = plaintext.of(f"since {grant.format_time(since)}: " + "; ".join(holders))
    again = answer.asked + GATE_AGAIN
    return Decision(labels.Enforcement.HELD, held_by=text[:_HELD_BY_LIMIT], again=again, since=since)
