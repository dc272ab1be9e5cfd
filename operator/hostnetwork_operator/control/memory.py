"""What the operator remembers of a namespace from one reconcile to the next, because no object says it.

All of it may be lost: after a restart each namespace is looked at as on the first day.
"""

from dataclasses import dataclass, field

from hostnetwork_operator.decide import effects, snapshot


@dataclass(slots=True)
class Memory:
    """Of one namespace. `tops` is who is at the top of an owner, None where that owner is gone."""

    gate: snapshot.GateAnswer | None = None
    looking: str = ""  # uid of the namespace that the gate looks at, while what it finds will count
    doubted: bool = False  # its pods are to be listed
    tops: dict[snapshot.Reference, snapshot.Reference | None] = field(default_factory=dict)
    accounts: dict[str, snapshot.Account] = field(default_factory=dict)  # of exceptions that cover nothing
    untold: list[effects.EmitEvent] = field(default_factory=list)  # Events that gave way to what pressed
    _uid: str = ""
    _record: snapshot.Record = field(default_factory=snapshot.Record)

    def forget_gate(self) -> None:
        """Nor does what a look finds count that goes on."""
        self.gate, self.looking = None, ""

    def record(self, uid: str) -> snapshot.Record:
        """What was written on this incarnation of the namespace; an empty one where that was another."""
        return self._record if self._uid == uid else snapshot.Record()

    def keep(self, uid: str, record: snapshot.Record) -> None:
        self._uid, self._record = uid, record

    def take_untold(self) -> list[effects.EmitEvent]:
        """What is to be told, which is remembered no longer."""
        taken, self.untold = self.untold, []
        return taken
