"""What a 2.20 server was seen to answer, and reeve once did not (tests/interop)."""

from __future__ import annotations

import re

from tests.server.outside import Outside, made


async def test_a_run_without_deployment_has_no_job_variables(api: Outside) -> None:
    flow = await api.flow()
    run = made(await api.post("/flow_runs/", {"flow_id": flow["id"]}))
    assert run["job_variables"] == {}
    assert (await api.get(f"/flow_runs/{run['id']}")).json()["job_variables"] == {}


async def test_a_task_run_without_a_name_gets_two_words(api: Outside) -> None:
    task = made(await api.post("/task_runs/", {"task_key": "t", "dynamic_key": "0"}))
    assert re.fullmatch("[a-z]+-[a-z]+", task["name"])


async def test_the_default_queue_of_a_pool_says_what_it_is(api: Outside) -> None:
    made(await api.post("/work_pools/", {"name": "p"}))
    [queue] = (await api.post("/work_pools/p/queues/filter", {})).json()
    assert queue["description"] == "The work pool's default queue."


async def test_a_worker_beats_with_a_number_that_has_a_fraction(api: Outside) -> None:
    """2.20's ``worker start`` sends 30.0 (its setting is a float)."""
    made(await api.post("/work_pools/", {"name": "p"}))
    beat = {"name": "w", "heartbeat_interval_seconds": 30.0}
    assert (await api.post("/work_pools/p/workers/heartbeat", beat)).status_code == 204
    [worker] = (await api.post("/work_pools/p/workers/filter", {})).json()
    assert worker["heartbeat_interval_seconds"] == 30


async def test_what_a_paused_run_waits_for_lies_under_its_response_key(api: Outside) -> None:
    """2.20's ``pause_flow_run(wait_for_input=…)`` reads the whole input there."""
    flow = await api.flow()
    details = {"run_input_keyset": {"response": "paused-1-response", "schema": "paused-1-schema"}}
    body = {"flow_id": flow["id"], "state": {"type": "PAUSED", "state_details": details}}
    path = f"/flow_runs/{made(await api.post('/flow_runs/', body))['id']}"
    resumed = await api.post(f"{path}/resume", {"run_input": {"name": "Ada"}})
    assert resumed.json()["status"] == "ACCEPT"
    assert (await api.get(f"{path}/input/paused-1-response")).json() == {"name": "Ada"}


async def test_what_2_20_refuses_is_refused(api: Outside) -> None:
    for path, body, loc in (
        ("/artifacts/", {"key": "Not Allowed"}, ["body", "key"]),
        ("/v2/concurrency_limits/", {"name": "a/b", "limit": 1}, ["body", "name"]),
        (
            "/task_runs/",
            {"task_key": "t", "dynamic_key": "0", "cache_key": "c" * 2001},
            ["body", "cache_key"],
        ),
        (
            "/task_runs/",
            {"task_key": "t", "dynamic_key": "0", "empirical_policy": {"retry_delay": [1] * 51}},
            ["body", "empirical_policy", "retry_delay"],
        ),
        (
            "/task_runs/",
            {"task_key": "t", "dynamic_key": "0", "empirical_policy": {"retry_jitter_factor": -1}},
            ["body", "empirical_policy", "retry_jitter_factor"],
        ),
    ):
        refused = await api.post(path, body)
        assert refused.status_code == 422, (path, refused.text)
        assert [fault["loc"] for fault in refused.json()["exception_detail"]] == [loc]


async def test_a_deployment_whose_parameters_contradict_its_own_schema_is_a_faulty_body(api: Outside) -> None:
    flow = await api.flow()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n", "m"]}
    body = {
        "name": "d",
        "flow_id": flow["id"],
        "parameters": {"n": "x"},
        "parameter_openapi_schema": schema,
        "enforce_parameter_schema": True,
    }
    refused = await api.post("/deployments/", body)
    assert refused.status_code == 422
    assert refused.json()["exception_detail"][0]["loc"] == ["body", "parameters"]
    made(await api.post("/deployments/", {**body, "enforce_parameter_schema": False}))


async def test_an_empty_version_is_none(api: Outside) -> None:
    assert (await api.get("/hello", headers={"X-PREFECT-API-VERSION": ""})).status_code == 200


async def test_a_run_of_a_deployment_has_no_job_variables(api: Outside) -> None:
    run = await api.run_of(await api.deployment())
    assert run["job_variables"] == {}
