"""-w survives an API server that does not answer for a while, and no other error."""

import asyncio

import pytest

from hostnetwork_operator.act import gateway
from hostnetwork_operator.cli import flags, tables, watching


async def _watched(*answers: str | gateway.ApiError) -> list[str]:
    """Return what is shown for these answers. The last one is an error that ends the command."""
    shown: list[str] = []
    left = list(answers)

    async def look() -> str:
        answer = left.pop(0)
        if isinstance(answer, gateway.ApiError):
            raise answer
        return answer

    with pytest.raises(gateway.ApiError):
        await watching.watch(
            look, lambda text: tables.Table(("NAME",), ((text,),)), shown.append, flags.Format.TABLE, headers=True
        )
    assert not left
    return shown


def _error(status: int) -> gateway.ApiError:
    return gateway.ApiError("GET", "/", status, "Reason", "scripted")


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_an_api_server_that_is_busy_is_asked_again(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has not changed is shown once."""
    monkeypatch.setattr(watching, "_SECONDS", 0)
    shown = asyncio.run(_watched("a", _error(status), "a", "b", _error(403)))
    assert shown == ["a", "b"]
    assert capsys.readouterr().err == "error: scripted; trying again\n"


def test_the_first_answer_must_come() -> None:
    """A wrong address is an error, not a wait without end."""
    assert asyncio.run(_watched(_error(0))) == []
