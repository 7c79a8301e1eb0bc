"""Secret parameters in a flow's hands: read, described, refused and passed on without being shown."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pydantic
import pytest
from tests.sdk.real import POOL, Real, real, shared

from reeve import ParameterError, Secret, flow, run_deployment
from reeve.core.sealing import HIDDEN, secret_names
from reeve.sdk.deploy import DeploymentSpec, compare, deploy
from reeve.wire import endpoints, filters, queries

__all__ = ["real", "shared"]  # fixtures

TEXT = "open sesame 4711"


@dataclass
class Login:
    user: str
    password: Secret


class Account(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr
    others: list[pydantic.SecretStr] = []


@flow
def load(
    url: str,
    password: Secret,
    login: Login | None = None,
    either: Secret | int = 0,
    optional: Secret | None = None,
    fixed: Secret = Secret(TEXT),  # noqa: B008  # it never changes
    account: Account | None = None,
    texts: Sequence[pydantic.SecretStr] = (),
    raw: pydantic.SecretBytes = pydantic.SecretBytes(b"raw"),  # noqa: B008  # as above
) -> Any:
    return password, login, account, texts, raw


def test_the_schema_says_which_are_secret_and_no_default() -> None:
    schema = load.parameter_schema()
    assert schema["properties"]["password"] == {
        "title": "password",
        "position": 1,
        "type": "string",
        "writeOnly": True,
        "format": "password",
    }
    assert secret_names(schema) == {*load.parameters.types} - {"url"}
    assert TEXT not in str(schema)


def test_a_text_becomes_a_secret_and_a_secret_stays_one() -> None:
    password, login, *_ = load("u", TEXT, {"user": "me", "password": TEXT})  # type: ignore[arg-type]  # as from JSON
    assert (password, login) == (Secret(TEXT), Login("me", Secret(TEXT)))
    assert load("u", Secret(TEXT))[0].get_secret_value() == TEXT
    assert TEXT not in f"{password} {password!r} {login}"


def test_those_of_pydantic_are_secrets_too() -> None:
    given: Any = {"account": {"user": "me", "password": TEXT}, "texts": [TEXT], "raw": TEXT}  # as from JSON
    _, _, account, texts, raw = load("u", Secret(TEXT), **given)
    assert account == Account(user="me", password=pydantic.SecretStr(TEXT))
    assert (texts, raw) == ([pydantic.SecretStr(TEXT)], pydantic.SecretBytes(TEXT.encode()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": [TEXT]},
        {"password": TEXT, "login": {"user": TEXT}},
        {"password": 4711},
        {"password": TEXT, "account": {"user": TEXT}},
        {"password": TEXT, "texts": [4711]},
    ],
)
def test_a_refusal_does_not_say_what_was_given(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=r"'(password|login|account|texts)' must be") as refusal:
        load("u", **wrong)
    assert "4711" not in str(refusal.value)


def test_a_run_of_a_deployment_is_given_it_and_its_subflow_is_shown_with_stars(real: Real) -> None:
    child = f"child-{uuid4().hex[:8]}"
    real.deployment(child, parameter_openapi_schema=load.parameter_schema())
    inner = flow(name=f"inner-{child}")(load.fn)

    @flow(name=f"parent-{child}")
    def parent(password: Secret) -> None:
        inner("u", password, Login("me", password))
        secret = pydantic.SecretStr(TEXT)
        account = Account(user="me", password=secret, others=[secret])
        more = {"account": account, "texts": [secret], "raw": pydantic.SecretBytes(TEXT.encode())}
        run_deployment(f"{child}/d", {"url": "u", "password": password, **more}, timeout=0)

    real.execute(parent, password=TEXT)
    of = filters.FlowFilter(name=filters.Name(any_=[child, inner.name]))
    found = real.client.call(endpoints.filter_flow_runs, queries.FlowRunQuery(flows=of))
    by_deployment = {run.deployment_id is not None: run for run in found}
    hidden = dict.fromkeys(["password", "account", "texts", "raw"], HIDDEN)
    assert by_deployment[True].parameters == {"url": "u", **hidden}
    assert by_deployment[False].parameters["login"] == {"user": "me", "password": HIDDEN}
    assert TEXT not in str([run.parameters for run in found])
    account = {"user": "me", "password": TEXT, "others": [TEXT]}
    more = {"account": account, "texts": [TEXT], "raw": TEXT}
    assert real.grant().run.parameters == {"url": "u", "password": TEXT, **more}


def test_a_deployments_own_is_given_anew_and_not_told(real: Real, tmp_path: Path) -> None:
    named = flow(name=f"load-{uuid4().hex[:8]}")(load.fn)
    spec = DeploymentSpec(
        name="d",
        flow=named,
        entrypoint="a.py:load",
        path=tmp_path,
        pool=POOL,
        parameters={"url": "u", "password": Secret(TEXT)},
    )
    made, _ = deploy(real.client, spec)
    assert made.parameters == {"url": "u", "password": HIDDEN}
    change = compare(real.client, spec)
    assert list(change.fields) == ["parameters"]
    assert TEXT not in str(change)
    deploy(real.client, spec)
    run_deployment(made.id, timeout=0)
    assert real.grant().run.parameters == {"url": "u", "password": TEXT}


def test_a_log_has_stars(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("reeve.test").warning("with %s and %r", Secret(TEXT), Secret(TEXT))
    assert TEXT not in caplog.text
