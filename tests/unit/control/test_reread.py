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


def cache_with_exception() -> store.Store:
    cache, subject = store.Store(), hne("capture")
    metadata = subject.metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
    spec = subject.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    cache.put(store.Kind.EXCEPTION, {"metadata": metadata, "spec": spec})
    return cache


async def test_an_object_that_is_gone_is_forgotten() -> None:
    """The reason in the API server's Status is NotFound."""
    cache = cache_with_exception()
    assert await reread.an_exception(cast("Any", Server("NotFound")), cache, NAMESPACE, "capture") is None
    assert cache.uids(store.Kind.EXCEPTION) == []


async def test_an_exception_whose_kind_is_not_served_is_not_forgotten() -> None:
    """The page for a path that is not served is no Status. A forgotten exception would never count again."""
    cache = cache_with_exception()
    with pytest.raises(gateway.ApiError):
        await reread.an_exception(cast("Any", Server("")), cache, NAMESPACE, "capture")
    assert len(cache.uids(store.Kind.EXCEPTION)) == 1
