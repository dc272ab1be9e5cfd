"""A 404 for a kind that is not served says nothing about the objects of the kind."""

from typing import Any, cast

import pytest

from hostnetwork_operator import bodies
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import reread
from hostnetwork_operator.observe import store
from tests.unit.builders import NAMESPACE, hne


class Server:
    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def get(self, path: str) -> bodies.Answer:
        raise gateway.ApiError("GET", path, 404, self.reason, "")


def kept() -> store.Store:
    made, subject = store.Store(), hne("capture")
    metadata = subject.metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
    spec = subject.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    made.put(store.Kind.EXCEPTION, {"metadata": metadata, "spec": spec})
    return made


async def test_an_object_that_is_gone_is_forgotten() -> None:
    """The reason in the API server's Status is NotFound."""
    there = kept()
    assert await reread.an_exception(cast("Any", Server("NotFound")), there, NAMESPACE, "capture") is None
    assert there.uids(store.Kind.EXCEPTION) == []


async def test_an_exception_whose_kind_is_not_served_is_not_forgotten() -> None:
    """The page for a path that is not served is no Status. A forgotten exception would never count again."""
    there = kept()
    with pytest.raises(gateway.ApiError):
        await reread.an_exception(cast("Any", Server("")), there, NAMESPACE, "capture")
    assert len(there.uids(store.Kind.EXCEPTION)) == 1
