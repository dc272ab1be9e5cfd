"""The part of Kubernetes' object metadata that decisions read."""

import datetime
import re
from typing import Final

from hostnetwork_operator.api import fields

# RFC 1123 subdomain: what the API server accepts as the name of most objects.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LIMIT: Final = 253


def is_name(text: str) -> bool:
    """Return whether an object can have this name.

    A user who creates a pod can write any text as the name of its owner, also a path.
    """
    return len(text) <= _NAME_LIMIT and _NAME.fullmatch(text) is not None


class ObjectMeta(fields.Model):
    """The metadata that the API server itself sets.

    Labels, annotations and managedFields are a tenant's claims, and are not read.
    """

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime.datetime
    deletion_timestamp: datetime.datetime | None = None
