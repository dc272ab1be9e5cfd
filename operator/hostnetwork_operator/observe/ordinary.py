"""Where ordinary pods live: one answer a namespace, from the last list that had all pods of it. Never which pods.

No watch tells of ordinary pods, so an answer is as old as that list.
"""


class OrdinaryPods:
    """By name and uid of the namespace, so that what was known of one never counts for the next of that name."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int, bool]] = {}  # name to uid, the list's resource version, and the answer

    def live_in(self, name: str, uid: str) -> bool | None:
        """Whether there were any; None: it has not been listed since it was made."""
        found = self._found.get(name)
        return found[2] if found and found[0] == uid else None

    def listed(self, name: str, uid: str, version: int, *, some: bool) -> bool:
        """Takes the answer of a complete list; whether it is another one than before. An older one is left aside."""
        before = self.live_in(name, uid)
        if before is not None and self._found[name][1] > version:
            return False
        self._found[name] = (uid, version, some)
        return before is not some

    def forget(self, name: str) -> None:
        """The namespace is gone."""
        self._found.pop(name, None)
