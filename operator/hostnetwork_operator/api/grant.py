"""The grant line: an exception in force as one annotation value on its Namespace, and its codec.

The fields have fixed positions and are separated by `|`, the items of a list by a space. `-` is the empty list, and `*`
in the field of images means any image:

    namespace uid|type|until|service account|host namespaces|privileged|level|capabilities|host paths|images
    namespace uid|type|until|service account|-|privileged|level|capabilities|host paths|images|v2|host ports

The first form has ten fields. The second form has twelve, and is for pods without host namespaces. The admission
policies of the release before do not understand a line of the second form, and ignore it. Every release writes a grant
in the first form if that form can express it. So a pod keeps its grant in whatever order the policies and the operator
are upgraded (ADR 0036).

`until` is RFC 3339 in UTC to the second, always 20 characters, so that comparing two of them as text compares the
times. An exception without expiry ends in the year 9999. A host path is `ro:` or `rw:` followed by the path.

The admission policies read exactly this text with CEL (manifests/admission): a change here needs the same change there.
A grant begins with the uid of its namespace. So it is worthless in a namespace that was deleted and created anew under
the same name.
"""

import datetime
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from hostnetwork_operator.api import labels

FIELDS: Final = 10
FIELDS_OF_V2: Final = 12
ENDLESS: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
MAX_GRANTS: Final = 64  # with MAX_IMAGES: as much as the policies can evaluate within CEL's cost limit
MAX_IMAGES: Final = 16
MAX_BYTES: Final = 128 * 1024  # of 256 KiB that Kubernetes allows for all annotations of one object
# The Unicode general categories of characters that could end a field, a list item or a line, or could make a text look
# like something other than it is: spaces, line ends, control and format characters.
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_V2: Final = "v2"
_TRUTHS: Final = {"true": True, "false": False}
_UNTIL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class GrantError(ValueError):
    """A value cannot be written in a grant line, or a line is no grant. The message names the field and the value."""


@dataclass(frozen=True, slots=True)
class HostPathAccess:
    """Access to a prefix of host paths, by path segment: `/var/lib` allows `/var/lib/x`, not `/var/library`."""

    path: str
    read_only: bool = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one exception allows, to which pods, and until when. Lists are sorted. `images` None means any image.

    A grant without host namespaces is for pods that share none. Only such a grant can allow host ports.
    """

    namespace_uid: str
    type: str
    until: datetime.datetime
    service_account: str
    host_namespaces: frozenset[labels.HostNamespace]
    privileged: bool = field(kw_only=True)
    level: labels.Level
    capabilities: tuple[str, ...]
    host_paths: tuple[HostPathAccess, ...]
    images: tuple[str, ...] | None
    host_ports: bool = field(default=False, kw_only=True)

    def encode(self) -> str:
        """Return the grant line. Raise GrantError if a value has a separator, a control or a direction character."""
        if self.host_ports and self.host_namespaces:
            raise GrantError(
                "hostPorts: a grant with host namespaces cannot have hostPorts; Network includes all ports of the node"
            )
        paths = [_absolute(("ro:" if path.read_only else "rw:") + path.path) for path in self.host_paths]
        return "|".join(
            (
                _word("namespace uid", self.namespace_uid),
                _word("type", self.type),
                format_time(self.until),
                _word("serviceAccountName", self.service_account),
                _words("hostNamespaces", [name.value for name in self.host_namespaces]),
                _truth(self.privileged),
                self.level.value,
                _words("capabilities", self.capabilities),
                _words("hostPaths", paths),
                "*" if self.images is None else _words("images", self.images),
                *(() if self.host_namespaces else (_V2, _truth(self.host_ports))),
            )
        )

    @classmethod
    def decode(cls, line: str) -> Self:
        """Return the grant of a line that `encode` wrote. Raise GrantError for every other text."""
        fields = line.split("|")
        if len(fields) not in {FIELDS, FIELDS_OF_V2}:
            raise GrantError(f"a grant has {FIELDS} or {FIELDS_OF_V2} fields, got {len(fields)}")
        uid, kind, until, account, namespaces, privileged, level, capabilities, paths, images = fields[:FIELDS]
        try:
            grant = cls(
                namespace_uid=uid,
                type=kind,
                until=parse_time(until),
                service_account=account,
                host_namespaces=frozenset(labels.HostNamespace(word) for word in _list(namespaces)),
                privileged=_TRUTHS[privileged],
                level=labels.Level(level),
                capabilities=_list(capabilities),
                host_paths=tuple(_host_path(word) for word in _list(paths)),
                images=None if images == "*" else _list(images),
                host_ports=_TRUTHS[fields[-1]] if len(fields) == FIELDS_OF_V2 else False,
            )
        except (KeyError, ValueError) as error:
            raise GrantError(f"not a grant: {error}") from error
        if grant.encode() != line:  # each grant has one text only, or two readers could disagree about a line
            raise GrantError("not a grant: not in canonical form")
        return grant


def format_time(moment: datetime.datetime) -> str:
    """Return the time as RFC 3339 in UTC to the second: 20 characters."""
    return moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_time(text: str) -> datetime.datetime:
    """Return the time of a text that `format_time` wrote. Raise GrantError for every other text."""
    if not _UNTIL.fullmatch(text):
        raise GrantError(f"time must be like 2026-11-22T16:00:00Z, got {text!r}")
    try:
        return datetime.datetime.strptime(text, TIME_FORMAT).replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise GrantError(f"time must exist in the calendar, got {text!r}") from error


def _truth(value: bool) -> str:  # noqa: FBT001 - what it converts
    return "true" if value else "false"


def _word(field: str, value: str) -> str:
    hostile = any(character == "|" or unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in value)
    if not value or value in {"-", "*"} or hostile:
        raise GrantError(f"{field}: {value!r} is empty or contains a separator, a space or a control character")
    return value


def _words(field: str, values: Iterable[str]) -> str:
    words = sorted({_word(field, value) for value in values})
    return " ".join(words) or "-"


def _list(field: str) -> tuple[str, ...]:
    return () if field == "-" else tuple(field.split(" "))


def _host_path(word: str) -> HostPathAccess:
    mode, _, path = _absolute(word).partition(":")
    return HostPathAccess(path, read_only={"ro": True, "rw": False}[mode])


def _absolute(word: str) -> str:
    if not word[3:].startswith("/"):
        raise GrantError(f"host path must be absolute, got {word!r}")
    return word
