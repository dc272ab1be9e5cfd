"""The ledger: which exceptions were approved and what the operator wrote, kept where no tenant can write.

A tenant may write his exceptions and his Namespace: labels, annotations, status, managedFields. So none of these proves
who approved an exception or who set a level. The ledger proves it: ConfigMaps in hostnetwork-system, with one data key
per record (docs/adr/0026-believe-what-nobody-else-writes.md).

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
# A ConfigMap can have 1 MiB. A write stores the whole object anew, so the operator keeps each ConfigMap far below that.
SHARD_BYTES: Final = 256 * 1024
SHARDS: Final = tuple(f"hostnetwork-ledger-{number}" for number in range(1, 33))  # named in rbac/ledger-role.yaml


class GuardRecord(fields.Model):
    """An admission policy of the operator with its binding.

    `identity` identifies both of them, and `since` is the time since which both are in place.
    """

    identity: str
    since: datetime.datetime


class ExceptionRecord(fields.Model):
    """What the operator knows about one generation of an exception in one namespace.

    `approved`: a holder of the verb `approve` stands behind this generation. `kept`: the ledger was lost, no approval
    is proved, and the grant stays. `doubted`: the ledger was lost, and it is not known whether the generation was
    approved. `under` is the identity of exception-writers (GuardRecord) at the time when this generation was last read.
    While that identity is the same, only an approver can have changed the spec since.

    `grant` is the grant line of the approved spec. Together with `deletes` and `grace_period_seconds`, the operator can
    end the exception with it even if the object itself cannot be read.
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

    `enforced`: enforcement has been switched on. `before` is the value that the enforce label had before that, '' for
    no label, and None if the value is not known. `version_before` is the same for the label of its version. `ours` has,
    by Pod Security label, the values that the operator or label-at-birth has set. A label with another value, or a
    label that is absent from `ours`, was set by another client.

    `held` is the time since which the namespace is Held. `holding` are the objects that blocked enforcement at that
    time, as digests. Any other object blocks nothing later, because it was created or changed since. That is true as
    long as `basis` is the same. `basis` is what the objects were evaluated by: the level, the version, the exceptions.

    `chosen` are the labels under the operator's prefix that rules may select by, as a holder of setlevel left them.
    `under` is the identity of namespace-labels (GuardRecord) at the time when these labels were last read. While that
    identity is the same, only a holder of setlevel can have changed them since.
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
    """The state of the ledger."""

    INTACT = "Intact"
    SEEDING = "Seeding"  # no ledger existed: the first start of this release
    LOST = "Lost"  # a ledger existed, and all of it or a part of it no longer exists
    UNREADABLE = "Unreadable"


class Index(fields.Model):
    """The facts about the whole ledger. `shards` is the number of its ConfigMaps; a missing ConfigMap is a loss."""

    id: str
    format: int
    shards: int = 1
    state: State | None = None  # a state that must survive a restart


Record = GuardRecord | ExceptionRecord | NamespaceRecord | Index


def encode(record: Record) -> str:
    """Return the text to store under a data key: compact JSON without the fields that have their default value."""
    return record.model_dump_json(by_alias=True, exclude_defaults=True)


def decode(key: str, text: str) -> Record:
    """Return the record that is stored under a data key.

    Raise ValueError if the key or the text is not of the ledger (pydantic.ValidationError is a ValueError).
    """
    for prefix, model in _MODELS.items():
        if key.startswith(prefix):
            return model.model_validate_json(text)
    raise ValueError(f"{key!r} is not a key of the ledger")


_MODELS: Final[Mapping[str, type[Record]]] = {
    EXCEPTION: ExceptionRecord,
    NAMESPACE: NamespaceRecord,
    GUARD: GuardRecord,
    INDEX: Index,
}
