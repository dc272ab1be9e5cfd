"""Field types that both kinds share: bounded text, times and durations, and how the API server checks each type.

If a value breaks a `pattern` of a CRD, the API server answers with a regular expression. If it breaks a CEL rule, the
API server answers with a sentence. So every check that a user can fail is a CEL rule, and its message says the rule,
the given value and the remedy.
"""

import datetime
import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from hostnetwork_operator.api import grant

# Control and format characters (direction marks, zero width), line and paragraph separators. With them, a terminal, a
# log or an Event shows a text as something other than it is.
_INVISIBLE: Final = r"[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]"
_UNITS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"  # GEP-2257
_LEAP_YEAR: Final = "(2[0-9](0[48]|[2468][048]|[13579][26])|2[048]00)"
_DATE: Final = (
    "(2[0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP_YEAR}-02-29)"
)
_TIME: Final = f"^{_DATE}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"


def rule(
    expression: str, message: str, *, got: str = "", path: str = "", reason: str = "FieldValueInvalid"
) -> dict[str, Any]:
    """Return one entry of x-kubernetes-validations.

    `message` says the rule, and after "; " the remedy. `got` is a CEL expression for a string. The API server inserts
    its value before the remedy.
    """
    entry = {"rule": expression, "message": message, "reason": reason}
    if path:
        entry["fieldPath"] = path
    if got:
        # If the value has a line break, the API server falls back to `message`.
        broken, separator, remedy = message.partition("; ")
        entry["messageExpression"] = f"'{broken}, got \"' + {got} + '\"{separator}{remedy}'"
    return entry


def rules(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(entries)}


def visible(subject: str) -> dict[str, Any]:
    """Return the rule that a text has no control characters, direction marks or line separators."""
    return rule(
        f"!self.matches('{_INVISIBLE}')",
        f"{subject} must not contain control characters, line breaks or direction marks; write one plain line",
    )


def form(pattern: str, subject: str) -> dict[str, Any]:
    """Return the rule that the text matches `pattern`. `subject` says what the text must be, and the remedy."""
    return rule(f"self.matches('{pattern}')", subject, got="self")


def parse_duration(text: object) -> datetime.timedelta:
    """Return the duration that a GEP-2257 text such as `24h` or `1h30m` means. Raise ValueError for any other text."""
    if isinstance(text, datetime.timedelta):
        return text
    if not isinstance(text, str) or not re.fullmatch(_DURATION, text):
        raise ValueError(f"duration must be like 24h or 1h30m (GEP-2257), got {text!r}")
    parts = re.findall(r"([0-9]+)(ms|h|m|s)", text)
    return datetime.timedelta(milliseconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def format_duration(duration: datetime.timedelta) -> str:
    """Return the shortest GEP-2257 text of a duration: `1h30m`, or `0s` for a duration of zero."""
    remaining = round(duration.total_seconds() * 1000)
    text = ""
    for unit, size in _UNITS.items():
        count, remaining = divmod(remaining, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _parse_time(value: object) -> object:
    return grant.parse_time(value) if isinstance(value, str) else value


Time = Annotated[
    datetime.datetime,
    BeforeValidator(_parse_time),
    PlainSerializer(grant.format_time, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 64,
            **rules(form(_TIME, "must be a time in UTC to the second, such as 2026-11-22T16:00:00Z (date -u +%FT%TZ)")),
        }
    ),
]
Duration = Annotated[
    datetime.timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 32,
            **rules(
                form(_DURATION, "must be a duration in hours, minutes and seconds, such as 24h or 1h30m (GEP-2257)")
            ),
        }
    ),
]


def duration(default: str, *, description: str, alias: str | None = None) -> Any:
    """Return a field of type Duration. The CRD shows its default as a user would write it."""
    return Field(parse_duration(default), alias=alias, description=description, json_schema_extra={"default": default})


PlainLine = Annotated[str, Field(json_schema_extra=rules(visible("text")))]


class Model(BaseModel):
    """The base of all models: names are camel-cased in Kubernetes, and objects are immutable in Python.

    An unknown field, such as a field of a newer CRD, is ignored. It is not an error.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)
