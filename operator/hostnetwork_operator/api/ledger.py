"""The ledger: what the operator itself approved and wrote, kept where no tenant can write.

A tenant may write his exceptions and his Namespace: labels, annotations, status, managedFields. So none of these says
who approved an exception or who set a level. The ledger does: ConfigMaps in hostnetwork-system, one data key a record
(docs/adr/0026-believe-what-nobody-else-writes.md).

    hne.<exception uid>     ExceptionRecord
    ns.<namespace uid>      NamespaceRecord
    guard.<policy name>     GuardRecord
    ledger                  Index, in the first ConfigMap only
"""

import datetime
import enum
from collections.abc import Mapping
from typing import Final

from pydantic import Field, field_serializer, field_validator

from hostnetwork_operator.api import fields, labels

FORMAT: Final = 1
EXCEPTION: Final = "hne."
NAMESPACE: Final = "ns."
GUARD: Final = "guard."
INDEX: Final = "ledger"
# An object holds 1 MiB. A write stores the whole object anew, so objects stay well below that.
SHARD_BYTES: Final = 256 * 1024
SHARDS: Final = tuple(f"hostnetwork-ledger-{number}" for number in range(1, 33))  # named in rbac/ledger-role.yaml


class GuardRecord(fields.Model):
    """An admission policy of ours with its binding. `identity` is of both, `since` is from when they are in place."""

    identity: str
    since: datetime.datetime


class ExceptionRecord(fields.Model):
    """What is known of one generation of an exception in one namespace.

    `approved`: a holder of the verb `approve` stands behind this generation. `kept`: nobody is known to, and its grant
    stays because the ledger was lost. `doubted`: nobody knows, because the ledger was lost. `under` is the identity of
    exception-writers (GuardRecord) under which this generation was last read: while that is the same, nobody but an
    approver can have changed the spec since.

    `grant` is the grant line of the approved spec. With `deletes` and `grace_period_seconds` it is enough to end the
    exception although the object itself cannot be read.
    """

    name: str
    namespace_uid: str
    created: datetime.datetime
    generation: int
    approved: bool = False
    kept: bool = False
    doubted: bool = False
    under: str = ""
    grant: str = ""
    deletes: bool = False
    grace_period_seconds: int = 0


class NamespaceRecord(fields.Model):
    """What the operator wrote on one incarnation of a namespace.

    `enforced`: enforcement has been switched on. `before` is the enforce label as it stood before that, '' for none and
    None where nobody knows; `version_before` is the same of its version. `ours` has by Pod Security label the values
    that stand there by the operator's hand, or by label-at-birth's; a label with another value, or one that is not in
    here, was set by somebody else.

    `held` is since when enforcement is wanted there and held, and `holding` by whom it was then, as digests. What is
    not among them holds nothing later: it came since, or was changed. That is so as long as `basis` is what is judged
    by: the level, the version, the exceptions.

    `chosen` are the labels under our prefix that rules may select by, as a holder of setlevel left them; `under` is the
    identity of namespace-labels (GuardRecord) under which they were last read: while it is the same, nobody else can
    have changed them since.
    """

    enforced: bool = False
    before: str | None = None
    version_before: str | None = None
    ours: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    held: datetime.datetime | None = None
    holding: tuple[str, ...] = ()
    basis: str = ""
    chosen: Mapping[str, str] = Field(default_factory=dict)
    under: str = ""

    @field_validator("ours", mode="after")
    @classmethod
    def _prefixed(cls, value: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {labels.PSA_PREFIX + key.removeprefix(labels.PSA_PREFIX): texts for key, texts in value.items()}

    @field_serializer("ours")
    def _without_prefix(self, value: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {key.removeprefix(labels.PSA_PREFIX): texts for key, texts in value.items()}


class State(enum.StrEnum):
    """How the ledger stands."""

    INTACT = "Intact"
    SEEDING = "Seeding"  # there was none: the first start of this release
    LOST = "Lost"  # there was one, and it or a part of it is gone
    UNREADABLE = "Unreadable"


class Index(fields.Model):
    """Of the whole ledger. `shards` is how many ConfigMaps it has; a missing one is a loss."""

    id: str
    format: int
    shards: int = 1
    state: State | None = None  # one that outlives a restart


Record = GuardRecord | ExceptionRecord | NamespaceRecord | Index


def encode(record: Record) -> str:
    """The value of a data key: compact JSON, sorted, without what is as by default."""
    return record.model_dump_json(by_alias=True, exclude_defaults=True)


def decode(key: str, text: str) -> Record:
    """The record of a data key. Raises ValueError (pydantic.ValidationError is one) for anything else."""
    for prefix, model in _MODELS.items():
        if key.startswith(prefix):
            return model.model_validate_json(text)
    raise ValueError(f"{key!r} is no key of the ledger")


_MODELS: Final[Mapping[str, type[Record]]] = {
    EXCEPTION: ExceptionRecord,
    NAMESPACE: NamespaceRecord,
    GUARD: GuardRecord,
    INDEX: Index,
}
