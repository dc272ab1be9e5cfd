"""The part of Kubernetes' object metadata that decisions read."""

import datetime
import re
from typing import Any, Final

from pydantic import Field, field_validator

from hostnetwork_operator.api import fields

# RFC 1123 subdomain: what the API server takes for the name of most objects.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LIMIT: Final = 253


def is_name(text: str) -> bool:
    """Whether an object can have this name. Whoever makes a pod writes what he likes as its owner: also a path."""
    return len(text) <= _NAME_LIMIT and _NAME.fullmatch(text) is not None


class ManagedFields(fields.Model):
    """Who last wrote which fields when, as the API server keeps it."""

    manager: str = ""
    time: datetime.datetime | None = None
    fields_v1: dict[str, Any] = Field(default_factory=dict, alias="fieldsV1")


class ObjectMeta(fields.Model):
    """Only read from the API server, so its own formats are taken as they are."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime.datetime
    deletion_timestamp: datetime.datetime | None = None
    managed_fields: tuple[ManagedFields, ...] = Field(())

    @field_validator("managed_fields", mode="before")
    @classmethod
    def _none_is_empty(cls, value: object) -> object:
        return () if value is None else value

    @property
    def written(self) -> datetime.datetime:
        """When the spec was last written, as far as the API server says.

        The first generation is as old as the object: later label edits must not make it look newer.
        """
        if self.generation <= 1:
            return self.creation_timestamp
        times = [entry.time for entry in self.managed_fields if entry.time and "f:spec" in entry.fields_v1]
        return max([self.creation_timestamp, *times])
