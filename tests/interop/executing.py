"""Deployments of every kind, and all of Prefect's programs that execute them: agents, workers, serve.

scripts/interop runs it.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
from tests.interop.guests import GuestHouse, until

# --- agents ---


def test_an_agent_serves_queues_by_name(house: GuestHouse) -> None:
    one, two, other = (asked_for(house, queue) for queue in ("one", "two", "other"))

    house.prefect("agent", "start", "-q", "one", "-q", "two", "--run-once")

    assert [state(house, run) for run in (one, two, other)] == ["COMPLETED", "COMPLETED", "SCHEDULED"]


def test_an_agent_serves_queues_by_prefix(house: GuestHouse) -> None:
    first, second, other = (asked_for(house, queue) for queue in ("team-a", "team-b", "others"))

    house.prefect("agent", "start", "-m", "team-", "--run-once")

    assert [state(house, run) for run in (first, second, other)] == ["COMPLETED", "COMPLETED", "SCHEDULED"]


def test_an_agent_serves_a_pool(house: GuestHouse) -> None:
    house.prefect("work-pool", "create", "--type", "prefect-agent", "pool")
    inside, outside = asked_for(house, "q", "--pool", "pool"), asked_for(house, "q2")

    house.prefect("agent", "start", "--pool", "pool", "--run-once")

    assert [state(house, run) for run in (inside, outside)] == ["COMPLETED", "SCHEDULED"]
    assert house.told("GET", f"/flow_runs/{inside}")["work_pool_name"] == "pool"


# --- deployments and workers ---


def test_deploy_by_yaml_and_run_by_a_worker(house: GuestHouse) -> None:
    house.prefect("work-pool", "create", "--type", "process", "here")
    house.prefect("--no-prompt", "deploy", "--all")
    assert "hello/by-yaml" in house.prefect("deployment", "ls")
    house.prefect("deployment", "run", "hello/by-yaml", "--param", "name=yaml")

    house.prefect("worker", "start", "--pool", "here", "--type", "process", "--run-once")

    [run] = house.runs_of()
    assert (run["state_name"], run["tags"]) == ("Completed", ["from-yaml"])
    assert "hello yaml" in house.log_lines(run["id"])


def test_deploy_several_with_schedules_by_yaml(house: GuestHouse) -> None:
    house.prefect("work-pool", "create", "--type", "process", "here")
    for _ in range(2):  # the second changes nothing
        house.prefect("--no-prompt", "deploy", "--all", "--prefect-file", "several.yaml")

    found = {each["name"]: each for each in house.told("POST", "/deployments/filter", {"sort": "NAME_ASC"})}
    kept = {
        name: sorted(schedule_of(each) for each in deployment["schedules"])
        for name, deployment in found.items()
    }
    assert kept == {
        "by-cron": [("0 10 * * 6", "UTC", False), ("0 6 * * 1-5", "Europe/Berlin", True)],
        "by-interval": [("3600.0", "UTC", True)],
        "by-rule": [("FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1", "Asia/Tokyo", True)],
    }
    rule = found["by-rule"]
    assert (rule["work_queue_name"], rule["infra_overrides"]) == ("rules", {"env": {"COLOUR": "blue"}})
    for name, deployment in found.items():
        of = {"any_": [deployment["id"]]}
        until(f"runs of {name}", functools.partial(house.runs_of, deployment_id=of))


def test_a_worker_runs_all_that_a_flow_asks_for(house: GuestHouse) -> None:
    """Tasks, retries, maps, subflows, caches, artifacts, variables, blocks, a pause, a suspension."""
    house.prefect("work-pool", "create", "--type", "process", "here")
    house.run_program("features.py", "deploy", "here", str(house.flows))
    house.start_prefect("worker", "worker", "start", "--pool", "here", "--type", "process")
    house.start_guest("driving", "features.py", "driving")
    [driving] = until("the flow that asks", lambda: house.runs_of(deployment_id={"is_null_": True}))

    asking = run_in(house, "Paused")
    house.run_program("resume.py", asking["id"], "name=Ada")
    suspended = run_in(house, "Suspended")
    house.run_program("resume.py", suspended["id"])

    assert house.state_is(driving["id"], "Completed", "Failed")["state_name"] == "Completed"
    runs = house.runs_of(deployment_id={"is_null_": False})
    assert {run["state_name"] for run in runs} == {"Completed"}
    alone = [run["id"] for run in runs if not run["parent_task_run_id"]]
    assert alone == [suspended["id"]], "the others are children of the flow that asked"
    [inner] = house.runs_of(parent_task_run_id={"is_null_": False}, deployment_id={"is_null_": True})
    house.is_logged(inner["id"], "inner says hello")
    house.is_logged(asking["id"], "hello Ada")


# --- tasks without a flow ---


def test_a_task_is_delayed_and_run_by_who_serves_it(house: GuestHouse) -> None:
    house.run_program("delayed.py", "ask", "before")
    house.start_guest("tasks", "delayed.py", "serve")
    house.run_program("delayed.py", "ask", "after")

    def completed() -> list[Any]:
        found = house.told("POST", "/task_runs/filter", {"task_runs": {"flow_run_id": {"is_null_": True}}})
        return found if [run["state_name"] for run in found] == ["Completed", "Completed"] else []

    runs = until("both to be completed", completed)
    of = {"task_run_id": {"any_": [run["id"] for run in runs]}}

    def said() -> bool:  # logs come in batches, later than states
        lines = house.told("POST", "/logs/filter", {"logs": of})
        return {"BEFORE!", "AFTER!"} <= {line["message"] for line in lines}

    until("what both have said", said)


# --- cancelling ---


@pytest.mark.parametrize("holder", ["agent", "worker", "serve"])
def test_a_run_is_cancelled_by_command(house: GuestHouse, holder: str) -> None:
    deployment = held_by(house, holder)
    house.prefect("deployment", "run", deployment, "--param", "seconds=600")
    [run] = house.runs_of()
    house.state_is(run["id"], "Running")
    assert house.members(run["id"]), "the process of the run is to be found by the run's id"

    house.prefect("flow-run", "cancel", run["id"])

    house.state_is(run["id"], "Cancelled")
    until("the process of the run to end", lambda: not house.members(run["id"]))


def held_by(house: GuestHouse, holder: str) -> str:
    """Deploy a flow that one of Prefect's programs executes, start that program, and name the deployment."""
    if holder == "agent":
        house.run_program("apply.py", "q")
        house.start_prefect("agent", "agent", "start", "-q", "q")
        return "applied/q"
    if holder == "worker":
        house.prefect("work-pool", "create", "--type", "process", "here")
        house.run_program("deploy.py", "here", str(house.flows))
        house.start_prefect("worker", "worker", "start", "--pool", "here", "--type", "process")
        return "hello/by-code"
    house.start_guest("serve", "serve.py")
    house.until_deployed("served/here")
    return "served/here"


# --- what they look at ---


def asked_for(house: GuestHouse, queue: str, *options: str) -> str:
    """Deploy a flow to a queue, ask for a run of it, and return the run's id."""
    house.run_program("apply.py", queue, *options)
    deployment = house.until_deployed(f"applied/{queue}")
    return str(house.told("POST", f"/deployments/{deployment}/create_flow_run", {})["id"])


def state(house: GuestHouse, run: str) -> str:
    """Return the type of a run's state; a scheduled one is soon named Late."""
    return str(house.told("GET", f"/flow_runs/{run}")["state_type"])


def run_in(house: GuestHouse, name: str) -> Any:
    """Wait for a run in a state of this name, and return it."""
    return until(
        f"a run to be {name}", lambda: next(iter(house.runs_of(state={"name": {"any_": [name]}})), None)
    )


def schedule_of(held: Any) -> tuple[str, str, bool]:
    """Return when a deployment's schedule is due, in which zone, and whether it is active."""
    schedule = held["schedule"]
    when = schedule.get("cron") or schedule.get("rrule") or str(schedule.get("interval"))
    return when, schedule["timezone"] or "UTC", held["active"]
