"""The general conventions of the dialect (api-contract §1), seen on the wire."""

from __future__ import annotations

import gzip
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from tests.server.outside import Outside, made, serving

from reeve.server.http.api import LONGEST_BODY
from reeve.server.http.routes import ROUTES
from reeve.wire.endpoints import ENDPOINTS

VERSION = "X-PREFECT-API-VERSION"


def test_every_endpoint_has_one_handler() -> None:
    served = Counter(route.endpoint.name for route in ROUTES)
    served["relay_calls"] += 1  # which the API serves by itself, since it leads to all others
    assert served == Counter(endpoint.name for endpoint in ENDPOINTS)
    assert set(served.values()) == {1}


async def test_a_missing_or_added_slash_redirects(sqlite_api: Outside) -> None:
    missing = await sqlite_api.post("/flows?a=b", {"name": "f"})
    assert (missing.status_code, missing.headers["location"]) == (307, "/api/flows/?a=b")
    added = await sqlite_api.post("/flows/filter/", {})
    assert (added.status_code, added.headers["location"]) == (307, "/api/flows/filter")
    assert made(await sqlite_api.post("/flows", {"name": "f"}, follow_redirects=True))["name"] == "f"


async def test_unknown_paths_and_methods(sqlite_api: Outside) -> None:
    unknown = await sqlite_api.get("/nothing/here")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
    outside_api = await sqlite_api.http.get("/flows/")
    assert outside_api.status_code == 404
    wrong = await sqlite_api.put("/flows/", {})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_named_segments_come_before_parameters_of_the_same_method_only(sqlite_api: Outside) -> None:
    await sqlite_api.pool("filter")
    assert made(await sqlite_api.get("/work_pools/filter"))["name"] == "filter"
    assert (await sqlite_api.post("/work_pools/filter")).json()[0]["name"] == "filter"


@pytest.mark.parametrize("path", ["/flows/{}", "/deployments/{}", "/work_queues/{}", "/flow_runs/{}"])
async def test_ids_are_uuids(sqlite_api: Outside, path: str) -> None:
    answer = await sqlite_api.get(path.format("x"))
    assert answer.status_code == 422
    assert answer.json() == {
        "exception_message": "Invalid request received.",
        "exception_detail": [
            {"loc": ["path", "id"], "msg": "value is not a valid uuid", "type": "type_error.uuid"}
        ],
        "request_body": None,
    }


@pytest.mark.parametrize("version", ["0.8.0", "0.8.4", "0.9.0", "10.0.0"])
async def test_versions_that_are_served(sqlite_api: Outside, version: str) -> None:
    assert (await sqlite_api.post("/flows/filter", headers={VERSION: version})).status_code == 200


async def test_versions_that_are_not(sqlite_api: Outside) -> None:
    old = await sqlite_api.post("/flows/filter", headers={VERSION: "0.7.0"})
    assert old.status_code == 400
    assert old.json() == {
        "detail": "The request specified API version 0.7.0 but this server requires version 0.8.0 or higher."
    }
    odd = await sqlite_api.post("/flows/filter", headers={VERSION: "abc"})
    assert odd.status_code == 400
    assert odd.json() == {
        "detail": "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' "
        "but received abc"
    }
    for path in ("/health", "/version"):
        assert (await sqlite_api.get(path, headers={VERSION: "abc"})).status_code == 200


async def test_an_invalid_body_names_place_and_kind_and_is_echoed(sqlite_api: Outside) -> None:
    answer = await sqlite_api.post("/flow_runs/", {"flow_id": str(uuid4()), "state": {"name": "x"}})
    assert answer.status_code == 422
    body = answer.json()
    assert body["exception_message"] == "Invalid request received."
    assert body["exception_detail"] == [
        {"loc": ["body", "state", "type"], "msg": "field required", "type": "value_error.missing"}
    ]
    assert body["request_body"]["state"] == {"name": "x"}


STATES = [
    *("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED"),
    "CANCELLING",
]


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        (
            "/flows/",
            {"name": None},
            (["name"], "none is not an allowed value", "type_error.none.not_allowed"),
        ),
        ("/flows/", {"name": []}, (["name"], "str type expected", "type_error.str")),
        ("/flows/", {"name": "x", "tags": 3}, (["tags"], "value is not a valid list", "type_error.list")),
        ("/flows/filter", {"flows": 3}, (["flows"], "value is not a valid dict", "type_error.dict")),
        ("/flows/filter", {"limit": "x"}, (["limit"], "value is not a valid integer", "type_error.integer")),
        (
            "/flows/filter",
            {"flows": {"id": {"any_": ["x"]}}},
            (["flows", "id", "any_", 0], "value is not a valid uuid", "type_error.uuid"),
        ),
        (
            "/flow_runs/filter",
            {"flow_runs": {"start_time": {"before_": "x"}}},
            (["flow_runs", "start_time", "before_"], "Unable to parse string [x]", "value_error.parser"),
        ),
        (
            "/flow_runs/filter",
            {"flow_runs": {"state": {"type": {"any_": ["X"]}}}},
            (
                ["flow_runs", "state", "type", "any_", 0],
                f"value is not a valid enumeration member; permitted: {', '.join(map(repr, STATES))}",
                "type_error.enum",
                {"enum_values": STATES},
            ),
        ),
        (
            "/flows/filter",
            {"offset": -1},
            (
                ["offset"],
                "ensure this value is greater than or equal to 0",
                "value_error.number.not_ge",
                {"limit_value": 0},
            ),
        ),
        (
            "/variables/",
            {"name": "a", "value": "x" * 5001},
            (
                ["value"],
                "ensure this value has at most 5000 characters",
                "value_error.any_str.max_length",
                {"limit_value": 5000},
            ),
        ),
    ],
)
async def test_a_fault_is_told_in_the_words_of_2_20(
    sqlite_api: Outside, path: str, body: Any, fault: tuple[Any, ...]
) -> None:
    loc, *words = fault
    told = dict(zip(("msg", "type", "ctx"), words, strict=False))
    answer = await sqlite_api.post(path, body)
    assert answer.json()["exception_detail"] == [{"loc": ["body", *loc], **told}]


async def test_malformed_json_is_told_by_its_letter(sqlite_api: Outside) -> None:
    answer = await sqlite_api.http.post("/api/flows/", content=b"{")
    sentence = "Expecting property name enclosed in double quotes"
    assert answer.json()["exception_detail"] == [
        {
            "loc": ["body", 1],
            "msg": f"{sentence}: line 1 column 2 (char 1)",
            "type": "value_error.jsondecode",
            "ctx": {"msg": sentence, "doc": "{", "pos": 1, "lineno": 1, "colno": 2},
        }
    ]


async def test_a_list_names_the_place_of_the_fault(sqlite_api: Outside) -> None:
    line = {"name": "n", "level": 20, "message": "m", "timestamp": "2026-11-22T19:05:01Z"}
    answer = await sqlite_api.post("/logs/", [line, {**line, "level": "high"}])
    assert answer.json()["exception_detail"][0]["loc"] == ["body", 1, "level"]


async def test_unknown_fields_are_refused_in_models_and_ignored_in_composite_bodies(
    sqlite_api: Outside,
) -> None:
    refused = await sqlite_api.post("/flows/", {"name": "f", "colour": "red"})
    assert refused.json()["exception_detail"] == [
        {"loc": ["body", "colour"], "msg": "extra fields not permitted", "type": "value_error.extra"}
    ]
    assert (await sqlite_api.post("/flows/filter", {"colour": "red"})).status_code == 200
    inside = await sqlite_api.post("/flows/filter", {"flows": {"colour": "red"}})
    assert inside.json()["exception_detail"][0]["loc"] == ["body", "flows", "colour"]


@pytest.mark.parametrize("body", [b"{", b"", b"null", b"[]", b'"x"', b'{"name": "\xff"}', b"\x00"])
async def test_what_is_no_body_is_told_so(sqlite_api: Outside, body: bytes) -> None:
    answer = await sqlite_api.http.post("/api/flows/", content=body)
    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize("body", [b"", b" ", b"null", b"{}"])
async def test_filters_take_no_body(sqlite_api: Outside, body: bytes) -> None:
    assert (await sqlite_api.http.post("/api/flow_runs/filter", content=body)).json() == []


async def test_null_means_the_default(sqlite_api: Outside) -> None:
    await sqlite_api.flow()
    nulls = dict.fromkeys(("limit", "offset", "sort", "flows", "flow_runs", "task_runs", "deployments"))
    assert len((await sqlite_api.post("/flows/filter", nulls)).json()) == 1


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (201, "Invalid limit: must be less than or equal to 200."),
        (10**30, "Invalid limit: must be less than or equal to 200."),
        (-1, "Invalid limit: must be greater than or equal to 0."),
    ],
)
@pytest.mark.parametrize("path", ["/flows/filter", "/work_pools/p/get_scheduled_flow_runs"])
async def test_bounds_of_pages(sqlite_api: Outside, path: str, limit: int, message: str) -> None:
    await sqlite_api.pool("p")
    answer = await sqlite_api.post(path, {"limit": limit})
    assert answer.status_code == 422
    if limit < 10**30:
        assert answer.json() == {"detail": message}


async def test_an_offset_is_not_negative(sqlite_api: Outside) -> None:
    answer = await sqlite_api.post("/flows/filter", {"offset": -1})
    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", "offset"]


async def test_long_answers_are_packed_for_those_who_take_it(sqlite_api: Outside) -> None:
    for number in range(8):
        await sqlite_api.flow(f"flow-{number}")
    async with sqlite_api.http.stream(
        "POST", "/api/flows/filter", json={}, headers={"Accept-Encoding": "gzip"}
    ) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        raw = b"".join([part async for part in packed.aiter_raw()])
    plain = await sqlite_api.post("/flows/filter", {}, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    short = await sqlite_api.get("/health", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in short.headers


async def test_a_body_without_end_is_cut(sqlite_api: Outside) -> None:
    answer = await sqlite_api.http.post("/api/flows/", content=b" " * (LONGEST_BODY + 1))
    assert answer.status_code == 413


async def test_instants_in_any_iso_form(api: Outside) -> None:
    forms = {
        "2026-11-22T19:05:01.757852+00:00": "2026-11-22T19:05:01.757852+00:00",
        "2026-11-22T19:05:02Z": "2026-11-22T19:05:02+00:00",
        "2026-11-22T21:05:03+02:00": "2026-11-22T19:05:03+00:00",
        "2026-11-22 19:05:04": "2026-11-22T19:05:04+00:00",
        "2026-11-22T19:05:05.5": "2026-11-22T19:05:05.500000+00:00",
        "2026-11-22T19:06": "2026-11-22T19:06:00+00:00",
        "20261122T190700Z": "2026-11-22T19:07:00+00:00",
        "2026-11-23": "2026-11-23T00:00:00+00:00",
    }
    lines = [{"name": "n", "level": 20, "message": "m", "timestamp": given} for given in forms]
    assert (await api.post("/logs/", lines)).status_code == 201
    stored = [line["timestamp"] for line in (await api.post("/logs/filter")).json()]
    assert stored == list(forms.values())


async def test_naive_instants_inside_states_are_utc(api: Outside) -> None:
    details = {"scheduled_time": "2030-01-01T00:00:00"}
    run = await api.run(state={"type": "SCHEDULED", "state_details": details})
    assert run["next_scheduled_start_time"] == "2030-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "given", ["soon", "2026-13-01T00:00:00Z", 5, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
async def test_what_is_no_instant(sqlite_api: Outside, given: object) -> None:
    answer = await sqlite_api.post("/logs/", [{"name": "n", "level": 20, "message": "m", "timestamp": given}])
    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", 0, "timestamp"]


async def test_numbers_too_large_to_store_are_refused(api: Outside) -> None:
    answer = await api.post("/work_pools/", {"name": "p", "concurrency_limit": 2**63})
    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", "concurrency_limit"]
    # What is only passed through is not looked at.
    run = await api.run(parameters={"big": 2**70})
    assert run["parameters"] == {"big": 2**70}


async def test_characters_that_no_database_keeps_are_replaced(api: Outside) -> None:
    run = await api.run(name="a\x00b", parameters={"k\x00": ["v\x00", "\\u0000"]}, tags=["\x00"])
    assert (run["name"], run["parameters"], run["tags"]) == (
        "a\x1ab",
        {"k\x1a": ["v\x1a", "\\u0000"]},
        ["\x1a"],
    )
    lone = b'[{"name":"n","level":20,"message":"half \\ud83d of it","timestamp":"2026-11-22T00:00:00Z"}]'
    assert (await api.http.post("/api/logs/", content=lone)).status_code == 201
    assert (await api.post("/logs/filter")).json()[0]["message"] == "half ? of it"
    assert (await api.get("/flows/name/a%00b")).status_code == 404


async def test_text_in_paths_is_percent_decoded(api: Outside) -> None:
    flow = await api.flow("a b?ü#")
    assert made(await api.get("/flows/name/a%20b%3F%C3%BC%23"))["id"] == flow["id"]


async def test_a_bug_is_told_without_its_inside(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(postgres_url) as api:
        await api.ctx.store.write(lambda tx: tx.execute("drop table variables"))
        answer = await api.get("/variables/name/v")
    assert (answer.status_code, answer.json()) == (500, {"exception_message": "Internal Server Error"})
    assert answer.headers["connection"] == "close"
    assert "Traceback" in caplog.text


async def test_a_database_that_is_gone_asks_for_a_repetition(sqlite_api: Outside) -> None:
    await sqlite_api.ctx.store.close()
    answer = await sqlite_api.post("/flows/", {"name": "f"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["exception_message"] == "Service Unavailable"
    not_ready = await sqlite_api.get("/ready")
    assert not_ready.status_code == 503
    assert (await sqlite_api.get("/health")).json() is True


async def test_versions_and_greetings(sqlite_api: Outside) -> None:
    assert (await sqlite_api.get("/version")).json() == "0.8.4"
    assert (await sqlite_api.get("/admin/version")).json() == "2.20.26"
    assert (await sqlite_api.get("/hello")).status_code == 200
    assert (await sqlite_api.get("/ready")).json() == {"message": "OK"}
    info = (await sqlite_api.get("/reeve")).json()
    assert (info["name"], info["api_version"], info["database"]) == ("reeve", "0.8.4", "sqlite")


async def test_csrf_protection_says_that_it_is_off(sqlite_api: Outside) -> None:
    answer = await sqlite_api.get("/csrf-token", params={"client": str(uuid4())})
    assert (answer.status_code, answer.json()) == (422, {"detail": "CSRF protection is disabled."})


async def test_the_database_is_emptied_only_where_that_is_allowed(database_url: str) -> None:
    async with serving(database_url) as api:
        assert (await api.post("/admin/database/clear", {"confirm": True})).status_code == 403
    async with serving(database_url, allow_reset=True) as api:
        await api.run_of(await api.deployment(work_queue_name="q"))
        assert (await api.post("/admin/database/clear")).status_code == 400
        assert (await api.post("/flows/filter")).json()
        cleared = await api.post("/admin/database/clear", {"confirm": True})
        assert (cleared.status_code, cleared.content) == (204, b"")
        for nouns in ("flows", "deployments", "flow_runs", "work_pools", "work_queues", "task_runs", "logs"):
            assert (await api.post(f"/{nouns}/filter")).json() == []


async def test_problems_of_reeves_own_paths_have_a_code(sqlite_api: Outside) -> None:
    missing = await sqlite_api.get(f"/flow_runs/{uuid4()}/explain")
    assert missing.status_code == 404
    assert missing.json() == {"detail": "Flow run not found", "code": "not_found", "field": None}
    wrong = await sqlite_api.put(f"/deployments/{uuid4()}/options", {"crash_retries": -1})
    assert wrong.status_code == 422
    assert (wrong.json()["code"], wrong.json()["field"]) == ("invalid_input", "crash_retries")
