"""Variables: shared by all flows of a server."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from tests.cli.conftest import free_port
from tests.sdk.real import Real, real, shared

from reeve import Variable, flow
from reeve.client.calls import ServerUnreachableError
from reeve.errors import ConflictError, InvalidInputError, NotFoundError
from reeve.wire import endpoints

__all__ = ["real", "shared"]  # fixtures


@pytest.fixture
def name() -> str:
    return f"v_{uuid4().hex}"


def test_a_run_reads_and_writes_them(real: Real, name: str) -> None:
    @flow(name="variables")
    def advances() -> list[Any]:
        before = Variable.get(name, default=None)
        Variable.set(name, "2026-01-31", tags=["mark"])
        return [before, Variable.get(name)]

    _, state = real.execute(advances)
    assert state.result() == [None, "2026-01-31"]
    assert real.client.call(endpoints.read_variable, name=name).tags == ["mark"]


def test_async_flows_await_them_by_either_name(real: Real, name: str) -> None:
    @flow(name="async-variables")
    async def advances() -> list[Any]:
        await Variable.aset(name, "1")
        await Variable.set(name, "2", overwrite=True)  # type: ignore[misc]  # as in 2.20
        return [await Variable.aget(name), await Variable.get(name)]  # type: ignore[misc]  # as above

    assert real.execute(advances)[1].result() == ["2", "2"]


def test_plain_code_asks_the_server_of_the_settings(real: Real, name: str) -> None:
    Variable.set(name, "1")
    Variable.set(name, "1")  # the same again changes nothing
    with pytest.raises(ConflictError, match="overwrite=True replaces it"):
        Variable.set(name, "2")
    assert Variable.get(name) == "1"
    Variable.set(name, "2", overwrite=True)
    assert Variable.get(name, default="x") == "2"


def test_a_name_that_cannot_be_one_is_refused_in_words(real: Real) -> None:
    with pytest.raises(InvalidInputError, match="'last-top' must only contain lowercase letters, numbers,"):
        Variable.set("last-top", "5")


def test_what_is_not_there_says_how_to_make_it(real: Real, name: str) -> None:
    assert Variable.get(name, default=7) == 7
    with pytest.raises(NotFoundError, match=f"reeve variables set {name} VALUE"):
        Variable.get(name)


def test_what_cannot_be_one_is_refused(real: Real, name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Variable.set(name, 3)  # type: ignore[arg-type]  # the fault
    assert refused.value.field == "value"
    with pytest.raises(InvalidInputError):
        Variable.set("No Good", "x")


def test_plain_code_without_a_server_takes_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("reeve.sdk.home.PATIENCE_SECONDS", 0)
    monkeypatch.setenv("REEVE_HOME", str(tmp_path))
    monkeypatch.setenv("REEVE_API_URL", f"http://127.0.0.1:{free_port()}/api")

    @flow
    def plain() -> str:
        return Variable.get("region", default="here")

    assert plain() == "here"
    assert "Variable 'region' is its default: No reeve server answers" in caplog.text
    with pytest.raises(ServerUnreachableError):
        Variable.get("region")
