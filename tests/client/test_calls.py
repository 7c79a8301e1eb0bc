"""A call as values: what is sent, and what an answer means."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeve import errors
from reeve.client import calls
from reeve.client.calls import ApiError, Reply
from reeve.wire import codec, endpoints, requests, responses

HERE = calls.address("http://127.0.0.1:4200/api")
A_FLOW = responses.Flow(
    id=UUID(int=7),
    created="2026-01-31T03:00:00+00:00",
    updated="2026-01-31T03:00:00+00:00",
    name="f",
    tags=[],
)


def prepare(
    endpoint: endpoints.E,
    body: Any = None,
    *,
    query: dict[str, object] | None = None,
    key: str | None = None,
    **path: object,
) -> calls.Request:
    return calls.prepare(endpoint, body, path=path, query=query, address=HERE, key=key, timeout=60)


def meaning(reply: Reply, endpoint: endpoints.E = endpoints.create_flow, key: str | None = None) -> Any:
    return calls.interpret(endpoint, prepare(endpoints.create_flow, key=key), reply)


def test_the_version_is_the_packages() -> None:
    assert version("reeve") == calls.VERSION


def test_a_request_says_who_asks_and_in_which_dialect() -> None:
    request = prepare(endpoints.create_flow, requests.FlowCreate(name="f"), key="k")
    assert (request.method, request.target) == ("POST", "/api/flows/")
    assert request.headers["X-PREFECT-API-VERSION"] == "0.8.4"
    assert request.headers["Authorization"] == "Bearer k"
    assert request.headers["User-Agent"] == f"reeve/{calls.VERSION}"
    assert codec.decode(request.body or b"", requests.FlowCreate) == requests.FlowCreate(name="f")


def test_without_key_and_body_none_is_sent() -> None:
    request = prepare(endpoints.server_info)
    assert request.body is None
    assert "Authorization" not in request.headers
    assert "Content-Type" not in request.headers


def test_what_was_not_set_is_not_sent() -> None:
    body = requests.WorkPoolUpdate(is_paused=True)
    assert prepare(endpoints.update_work_pool, body, name="p").body == b'{"is_paused":true}'


@given(st.text(min_size=1))
def test_any_name_is_one_step_of_the_path(name: str) -> None:
    target = prepare(endpoints.read_work_pool, name=name).target
    assert target.isascii()
    head, _, last = target.rpartition("/")
    assert head == "/api/work_pools"
    assert unquote(last) == name


def test_a_query_leaves_out_what_is_none() -> None:
    assert prepare(endpoints.flow_run_states, query={"flow_run_id": UUID(int=1)}).target.endswith(
        "/flow_run_states/?flow_run_id=00000000-0000-0000-0000-000000000001"
    )
    assert prepare(endpoints.flow_run_states, query={"flow_run_id": None}).target.endswith("?")


@pytest.mark.parametrize(
    ("url", "origin", "prefix"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200", "/api"),
        ("https://reeve.example/api/", "https://reeve.example:443", "/api"),
        ("http://[::1]:4200/team/api", "http://[::1]:4200", "/team/api"),
        ("http://host", "http://host:80", ""),
    ],
)
def test_an_address_is_taken_apart(url: str, origin: str, prefix: str) -> None:
    address = calls.address(url)
    assert (address.origin, address.prefix) == (origin, prefix)


@given(st.from_regex(r"https?://[a-z0-9.-]{1,9}(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]{0,9})?", fullmatch=True))
def test_a_plain_address_is_what_urllib_takes_it_for(url: str) -> None:
    with suppress(errors.InvalidInputError):
        assert calls.address(url) == calls._taken_apart(url)


@pytest.mark.parametrize("url", ["", "127.0.0.1:4200", "ftp://host/api", "http://host:port/api", "http://"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(errors.InvalidInputError) as caught:
        calls.address(url)
    assert caught.value.field == "api_url"
    assert repr(url) in caught.value.message


def test_an_answer_is_decoded() -> None:
    assert meaning(Reply(201, codec.encode(A_FLOW))) == A_FLOW
    assert meaning(Reply(200, codec.encode(A_FLOW))) == A_FLOW, "200 and 201 both stand for create-or-return"


def test_fields_of_a_later_server_are_ignored() -> None:
    later = codec.encode(A_FLOW).replace(b'{"id"', b'{"labels":{},"id"')
    assert meaning(Reply(201, later)) == A_FLOW


def test_an_operation_without_answer_ignores_the_body() -> None:
    assert meaning(Reply(201, b"null"), endpoints.create_logs) is None
    assert meaning(Reply(204, b""), endpoints.delete_deployment) is None


def test_an_input_is_plain_text() -> None:
    assert meaning(Reply(200, b"not json"), endpoints.read_input) == b"not json"


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"\xff\xfe", b'{"id": 1}'])
def test_a_foreign_answer_is_an_error_that_doubts_the_address(body: bytes) -> None:
    with pytest.raises(ApiError, match="Is this the API's address") as caught:
        meaning(Reply(200, body))
    assert "http://127.0.0.1:4200/api" in caught.value.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidInputError),
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (422, errors.InvalidInputError),
        (408, errors.UnavailableError),
        (429, errors.UnavailableError),
        (502, errors.UnavailableError),
        (503, errors.UnavailableError),
        (423, ApiError),
        (500, ApiError),
        (307, ApiError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[errors.ReeveError]) -> None:
    with pytest.raises(errors.ReeveError) as caught:
        meaning(Reply(status, b'{"detail":"Because."}'))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"detail":"Flow not found"}', "Flow not found"),
        (b'{"exception_message":"Flow run with id 1 not found"}', "Flow run with id 1 not found"),
        (
            b"""{"exception_message":"Invalid request received.","exception_detail":
            [{"loc":["body","name"],"msg":"field required","type":"missing"},{"loc":[],"msg":"odd"}],
            "request_body":{}}""",
            "name: field required; odd",
        ),
        (b"<h1>Bad</h1>", "http://127.0.0.1:4200/api answered 422 Unprocessable Entity to POST /api/flows/"),
        (b'{"detail":[]}', "http://127.0.0.1:4200/api answered 422 Unprocessable Entity to POST /api/flows/"),
    ],
)
def test_an_error_speaks_in_the_servers_words(body: bytes, sentence: str) -> None:
    with pytest.raises(errors.InvalidInputError) as caught:
        meaning(Reply(422, body))
    assert caught.value.message.replace("Content", "Entity") == sentence  # 3.13 renamed the phrase


def test_code_and_field_of_the_server_are_kept() -> None:
    with pytest.raises(errors.InvalidInputError) as caught:
        meaning(Reply(422, b'{"detail":"Bad cron.","code":"bad_cron","field":"cron"}'))
    assert (caught.value.code, caught.value.field) == ("bad_cron", "cron")
    assert errors.InvalidInputError.code == "invalid_input", "the class keeps its own"


def test_the_one_field_of_a_2_20_refusal_is_kept() -> None:
    body = b'{"exception_message":"Invalid.","exception_detail":[{"loc":["body","a","cron"],"msg":"odd"}]}'
    with pytest.raises(errors.InvalidInputError) as caught:
        meaning(Reply(422, body))
    assert (caught.value.message, caught.value.field) == ("a.cron: odd", "a.cron")


def test_a_superseded_attempt_is_told_apart() -> None:
    with pytest.raises(errors.AttemptSupersededError):
        meaning(Reply(403, b'{"detail":"Over.","code":"attempt_superseded"}'))


@pytest.mark.parametrize(("key", "fault"), [(None, "wants a key"), ("k", "does not know this key")])
def test_no_entry_names_the_remedy(key: str | None, fault: str) -> None:
    with pytest.raises(errors.UnauthorizedError, match="Set REEVE_API_KEY") as caught:
        meaning(Reply(401, b'{"detail":"Unauthorized"}'), key=key)
    assert fault in caught.value.message


def test_a_full_limit_keeps_the_servers_pace() -> None:
    with pytest.raises(ApiError) as caught:
        meaning(Reply(423, b"{}", retry_after="2.5"))
    assert (caught.value.status, caught.value.retry_after) == (423, 2.5)


def test_a_redirect_names_where_to() -> None:
    with pytest.raises(ApiError, match="https://elsewhere/"):
        meaning(Reply(307, b"", location="https://elsewhere/"))


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), (None, None), ("Wed, 21 Oct 2026", None)]
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    assert calls.retry_after(Reply(503, b"", retry_after=header)) == seconds


@given(st.integers(300, 599), st.binary(), st.none() | st.text())
def test_any_error_reply_becomes_one_sentence(status: int, body: bytes, header: str | None) -> None:
    request = prepare(endpoints.create_flow)
    error = calls.problem(request, Reply(status, body, retry_after=header))
    assert error.message.strip()
