"""The rest of what users of Prefect 2.20 do: its commands, pauses, inputs, caches.

scripts/interop runs it. It takes minutes, since each command of Prefect takes seconds to start.
"""

from __future__ import annotations

from typing import Any

from tests.interop.guests import GuestHouse, until

# --- commands ---


def test_the_commands_of_deployments(house: GuestHouse) -> None:
    house.run_program("apply.py", "q")
    name = "applied/q"
    assert "applied" in house.prefect("deployment", "inspect", name)
    house.prefect("deployment", "schedule", "create", name, "--interval", "3600")
    deployment = house.told("GET", f"/deployments/name/{name}")
    [schedule] = deployment["schedules"]
    assert schedule["schedule"]["interval"] == 3600
    house.prefect("deployment", "schedule", "ls", name)
    house.prefect("deployment", "schedule", "pause", name, schedule["id"])
    assert not house.told("GET", f"/deployments/{deployment['id']}")["schedules"][0]["active"]
    house.prefect("deployment", "schedule", "resume", name, schedule["id"])
    house.prefect("deployment", "schedule", "delete", "--accept-yes", name, schedule["id"])
    assert house.told("GET", f"/deployments/{deployment['id']}")["schedules"] == []
    house.prefect("deployment", "set-schedule", name, "--cron", "0 0 * * *", "--timezone", "UTC")
    house.prefect("deployment", "pause-schedule", name)
    assert not house.told("GET", f"/deployments/{deployment['id']}")["schedules"][0]["active"]
    house.prefect("deployment", "resume-schedule", name)
    assert house.told("GET", f"/deployments/{deployment['id']}")["schedules"][0]["active"]
    house.prefect("deployment", "schedule", "clear", "--accept-yes", name)
    assert house.told("GET", f"/deployments/{deployment['id']}")["schedules"] == []
    house.prefect("deployment", "build", "deploy.py:hello", "-n", "built", "-q", "q", "--apply")
    house.prefect("deployment", "apply", "hello-deployment.yaml")
    assert "hello/built" in house.prefect("deployment", "ls")
    house.prefect("deployment", "delete", name)
    assert house.ask("GET", f"/deployments/{deployment['id']}").status_code == 404


def test_the_commands_of_pools(house: GuestHouse) -> None:
    house.prefect("work-pool", "create", "--type", "process", "p")
    house.prefect("work-pool", "set-concurrency-limit", "p", "3")
    house.prefect("work-pool", "pause", "p")
    pool = house.told("GET", "/work_pools/p")
    assert (pool["is_paused"], pool["concurrency_limit"], pool["type"]) == (True, 3, "process")
    house.prefect("work-pool", "resume", "p")
    house.prefect("work-pool", "clear-concurrency-limit", "p")
    pool = house.told("GET", "/work_pools/p")
    assert (pool["is_paused"], pool["concurrency_limit"]) == (False, None)
    assert "process" in house.prefect("work-pool", "ls")
    assert "base_job_template" in house.prefect("work-pool", "inspect", "p")
    house.prefect("work-pool", "update", "p", "--description", "where it runs", "--concurrency-limit", "7")
    pool = house.told("GET", "/work_pools/p")
    assert (pool["description"], pool["concurrency_limit"]) == ("where it runs", 7)
    assert "variables" in house.prefect("work-pool", "get-default-base-job-template", "--type", "process")
    house.prefect("work-pool", "preview", "p")
    house.prefect("work-pool", "delete", "p")
    assert house.ask("GET", "/work_pools/p").status_code == 404


def test_the_commands_of_queues(house: GuestHouse) -> None:
    house.prefect("work-queue", "create", "q", "--limit", "2")
    house.prefect("work-queue", "pause", "q", "--pool", "default-agent-pool")
    queue = house.told("GET", "/work_queues/name/q")
    assert (queue["is_paused"], queue["concurrency_limit"]) == (True, 2)
    house.prefect("work-queue", "resume", "q")
    house.prefect("work-queue", "clear-concurrency-limit", "q")
    house.prefect("work-queue", "set-concurrency-limit", "q", "5")
    queue = house.told("GET", "/work_queues/name/q")
    assert (queue["is_paused"], queue["concurrency_limit"]) == (False, 5)
    assert "q" in house.prefect("work-queue", "ls")
    house.prefect("work-queue", "inspect", "q")
    house.prefect("work-queue", "preview", "q")
    house.prefect("work-queue", "read-runs", "q")
    house.prefect("work-queue", "delete", "q")
    assert house.ask("GET", "/work_queues/name/q").status_code == 404


def test_the_commands_of_flow_runs(house: GuestHouse) -> None:
    house.run_program("direct.py")
    outer, inner = house.runs_of()
    assert "outer" in house.prefect("flow", "ls")
    listed = house.prefect("flow-run", "ls")
    assert outer["name"][:8] in listed
    assert "numbers" in house.prefect("flow-run", "inspect", outer["id"])
    assert "inner says hello" in house.prefect("flow-run", "logs", inner["id"])
    task = house.told("POST", "/task_runs/filter", {"task_runs": {"name": {"any_": ["square-0"]}}})[0]
    assert "square-0" in house.prefect("task-run", "ls")
    assert "square-0" in house.prefect("task-run", "inspect", task["id"])
    assert "square-0" in house.prefect("task-run", "logs", task["id"])
    house.prefect("flow-run", "delete", inner["id"])
    assert [run["id"] for run in house.runs_of()] == [outer["id"]]

    house.run_program("apply.py", "q")
    house.prefect("deployment", "run", "applied/q", "--param", "word=late", "--start-in", "1 hour")
    waiting = next(run for run in house.runs_of() if run["state_name"] == "Scheduled")
    house.prefect("flow-run", "cancel", waiting["id"])
    assert house.told("GET", f"/flow_runs/{waiting['id']}")["state_name"] == "Cancelled"


def test_the_commands_of_variables(house: GuestHouse) -> None:
    house.told("POST", "/variables/", {"name": "colour", "value": "blue"})
    assert "colour" in house.prefect("variable", "ls")
    assert "blue" in house.prefect("variable", "inspect", "colour")
    house.prefect("variable", "delete", "colour")
    assert house.ask("GET", "/variables/name/colour").status_code == 404


def test_the_commands_of_limits(house: GuestHouse) -> None:
    house.prefect("concurrency-limit", "create", "db", "2")
    assert "db" in house.prefect("concurrency-limit", "ls")
    house.prefect("concurrency-limit", "inspect", "db")
    house.prefect("concurrency-limit", "reset", "db")
    house.prefect("concurrency-limit", "delete", "db")
    house.prefect("gcl", "create", "g", "--limit", "3")
    house.prefect("gcl", "update", "g", "--limit", "4")
    assert house.told("GET", "/v2/concurrency_limits/g")["limit"] == 4
    house.prefect("gcl", "inspect", "g")
    assert "g" in house.prefect("gcl", "ls")
    house.prefect("gcl", "disable", "g")
    assert not house.told("GET", "/v2/concurrency_limits/g")["active"]
    house.prefect("gcl", "enable", "g")
    assert house.told("GET", "/v2/concurrency_limits/g")["active"]
    house.prefect("gcl", "delete", "g", answer="y\n")
    assert house.ask("GET", "/v2/concurrency_limits/g").status_code == 404


def test_the_commands_of_blocks(house: GuestHouse) -> None:
    house.run_program("blocks.py")
    assert "secret/password" in house.prefect("block", "ls")
    assert "hunter2" not in house.prefect("block", "inspect", "secret/password")
    assert "local-file-system" in house.prefect("block", "type", "ls")
    assert "secret" in house.prefect("block", "type", "inspect", "secret")
    house.prefect("block", "register", "--file", "nested_blocks.py")
    house.prefect("block", "create", "inner")
    house.prefect("block", "type", "delete", "inner")
    assert house.ask("GET", "/block_types/slug/inner").status_code == 404
    house.prefect("block", "delete", "secret/password")
    assert house.ask("GET", "/block_types/slug/secret/block_documents/name/password").status_code == 404


# --- flows ---


def test_a_flow_is_retried(house: GuestHouse) -> None:
    house.run_program("features.py", "retried")
    [run] = house.runs_of()
    states = house.told("GET", f"/flow_run_states/?flow_run_id={run['id']}")
    assert [state["name"] for state in states] == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Running",
        "Completed",
    ]
    assert run["run_count"] == 2


def test_a_cached_task_runs_once(house: GuestHouse) -> None:
    house.run_program("features.py", "cached")
    tasks = house.told("POST", "/task_runs/filter", {"sort": "EXPECTED_START_TIME_ASC"})
    assert [task["state_name"] for task in tasks] == ["Completed", "Cached"]


def test_artifacts_are_kept(house: GuestHouse) -> None:
    house.run_program("features.py", "artifacts")
    assert "the-report" in house.prefect("artifact", "ls")
    latest = house.told("GET", "/artifacts/the-report/latest")
    assert (latest["type"], latest["data"]) == ("markdown", "# second")
    house.prefect("artifact", "inspect", "the-report")
    house.prefect("artifact", "delete", "the-report", answer="y\n")
    assert house.ask("GET", "/artifacts/the-report/latest").status_code == 404


def test_limits_hold_in_a_flow(house: GuestHouse) -> None:
    house.prefect("gcl", "create", "narrow", "--limit", "1")
    house.run_program("features.py", "limited")
    assert house.told("GET", "/v2/concurrency_limits/narrow")["active_slots"] == 0


def test_variables_and_secrets_are_read_in_a_flow(house: GuestHouse) -> None:
    house.run_program("features.py", "configured")
    [run] = house.runs_of()
    assert run["state_name"] == "Completed"


def test_a_flow_pauses_for_input(house: GuestHouse) -> None:
    house.start_guest("paused", "features.py", "asking")
    run = until("the pause", lambda: paused(house))
    [keyset] = [run["state"]["state_details"]["run_input_keyset"]]
    schema = f"/flow_runs/{run['id']}/input/{keyset['schema']}"
    until("the schema, which 2.20 leaves after the pause", lambda: house.ask("GET", schema).is_success)
    assert house.told("GET", schema)["properties"]
    house.run_program("resume.py", run["id"], "name=Ada")
    house.state_is(run["id"], "Completed")
    house.is_logged(run["id"], "hello Ada")


def test_a_flow_is_suspended_and_comes_back(house: GuestHouse) -> None:
    house.start_guest("serve", "features.py", "serve-suspended")
    served = house.until_deployed("suspended/s")
    run = house.told("POST", f"/deployments/{served}/create_flow_run", {})
    house.state_is(run["id"], "Suspended")
    until("the process to end", lambda: not house.members(run["id"]))
    house.run_program("resume.py", run["id"])
    assert house.state_is(run["id"], "Completed")["run_count"] == 1
    house.is_logged(run["id"], "back again")


def paused(house: GuestHouse) -> Any:
    """Return the run that is paused, None while there is none."""
    return next((run for run in house.runs_of() if run["state_name"] == "Paused"), None)
