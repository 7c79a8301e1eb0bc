"""What a user does wrong is named with its remedy; nothing of it is stored, nothing shows a traceback."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from tests.acceptance.house import House, free_port, until

GOOD = """
from datetime import date
from reeve import flow

@flow
def main(day: date, n: int = 1):
    pass
"""

# What is typed, and what the answer must hold.
MISTAKES: list[tuple[str, list[str], list[str]]] = [
    ("no such file", ["deploy", "nowhere.py:main", "-n", "x"], ["nowhere.py"]),
    ("no such function", ["deploy", "flows.py:mian", "-n", "x"], ["mian", "main"]),
    ("no function named", ["deploy", "flows.py", "-n", "x"], ["FILE.py:FLOW"]),
    ("import fails", ["deploy", "broken.py:main", "-n", "x"], ["broken.py", "nonsense"]),
    ("bad cron", ["deploy", "flows.py:main", "-n", "x", "--cron", "0 25 * * *"], ["--cron", "0 25 * * *"]),
    (
        "bad time zone",
        ["deploy", "flows.py:main", "-n", "x", "--cron", "0 3 * * *", "--timezone", "Europe/Zurig"],
        ["Europe/Zurig", "Europe/Zurich"],
    ),
    ("bad interval", ["deploy", "flows.py:main", "-n", "x", "--interval", "often"], ["often"]),
    (
        "unknown pool",
        ["deploy", "flows.py:main", "-n", "x", "-p", "nope"],
        ["nope", "reeve pools create nope"],
    ),
    ("forbidden character", ["deploy", "flows.py:main", "-n", "a/b"], ["/"]),
    ("missing parameter", ["run", "main/t"], ["day"]),
    ("wrong type", ["run", "main/t", "-P", "day=yesterday"], ["day", "2026-01-31", "yesterday"]),
    ("wrong type of number", ["run", "main/t", "-P", "day=2026-01-31", "-P", "n=many"], ["n", "many"]),
    ("unknown parameter", ["run", "main/t", "-P", "day=2026-01-31", "-P", "dya=1"], ["dya", "day"]),
    ("unknown deployment", ["run", "main/x"], ["main/x", "main/t"]),
    ("unknown run", ["runs", "show", "00000000-0000-0000-0000-000000000000"], ["00000000"]),
    ("no id", ["runs", "logs", "zz"], ["zz"]),
    ("unknown queue", ["queues", "pause", "nope", "-p", "default"], ["nope"]),
    ("pool exists", ["pools", "create", "default"], ["already exists"]),
    ("forbidden pool name", ["pools", "create", "a%b"], ["%"]),
    ("bad limit", ["pools", "set-limit", "default", "many"], ["many"]),
]


def test_mistakes_are_named_with_their_remedy(house: House) -> None:
    house.deploy(GOOD)
    (house.flows / "broken.py").write_text("import nonsense_that_is_not_there\n")
    wrong = []
    for name, command, said in MISTAKES:
        answer = house.cli(*command, code=None)
        missing = [word for word in said if word not in answer]
        if missing or len(answer.strip().splitlines()) > 12:
            wrong.append(f"{name}: {missing} not in {answer!r}")
    assert not wrong, "\n".join(wrong)
    assert "main/t" in house.cli("deployments", "ls")
    assert "main/x" not in house.cli("deployments", "ls")
    assert house.cli("runs", "ls", "--json").strip() == "[]"


@pytest.mark.parametrize(
    ("source", "state", "said"),
    [
        ("import nonsense_that_is_not_there\n", "Failed", "nonsense_that_is_not_there"),
        ("x = 1\n", "Failed", "main"),
        ("from reeve import flow\n@flow\ndef main(day: int): pass\n", "Failed", "day"),
    ],
    ids=["import fails", "flow is gone", "parameter of another type"],
)
def test_code_that_broke_after_it_was_deployed_fails_the_run_in_words(
    house: House, source: str, state: str, said: str
) -> None:
    house.deploy(GOOD)
    (house.flows / "flows.py").write_text(source)
    house.start_agent()
    run = house.ends(house.run("main/t", "-P", "day=2026-01-31"))
    assert run.state_name == state
    assert run.state is not None
    assert said in (run.state.message or "")


def test_a_paused_queue_is_explained_and_resumed(house: House) -> None:
    house.deploy(GOOD)
    house.start_agent()
    house.cli("queues", "pause", "default", "-p", "default")
    run_id = house.run("main/t", "-P", "day=2026-01-31")
    said = house.cli("runs", "explain", str(run_id))
    assert "is paused" in said
    assert "reeve queues resume default -p default" in said
    house.cli("queues", "resume", "default", "-p", "default")
    assert house.ends(run_id).state_name == "Completed"


def test_an_unknown_pool_ends_the_agent_with_a_sentence(house: House) -> None:
    agent = house.start("agent", "agent", "start", "-p", "nope", "-q", "default")
    assert agent.wait(60) == 1
    said = house.log("agent")
    assert 'Work pool "nope" not found' in said
    assert "reeve pools create nope" in said
    assert "Traceback" not in said


def test_a_port_in_use_is_named(make_house: Callable[..., House]) -> None:
    house = make_house()
    with socket.create_server(("127.0.0.1", house.port)):
        said = house.cli("server", "start", code=1)
    assert f"port {house.port}" in said
    assert "--port" in said


def test_a_second_server_on_the_same_sqlite_file_is_refused(house: House) -> None:
    if not house.settings["REEVE_DATABASE_URL"].startswith("sqlite"):
        house.start("second", "server", "start", "--port", str(free_port()))
        until("two servers on one PostgreSQL", lambda: "serving" in house.log("second"))
        return
    said = house.cli("server", "start", "--port", str(free_port()), code=1)
    assert "Another reeve server (pid " in said
    assert "PostgreSQL" in said


def test_without_a_server_every_command_says_how_to_start_one(make_house: Callable[..., House]) -> None:
    house = make_house()
    (house.flows / "flows.py").write_text(GOOD)
    for command in (["runs", "ls"], ["pools", "ls"], ["run", "a/b"], ["deploy", "flows.py:main", "-n", "x"]):
        said = house.cli(*command, code=1)
        assert "reeve up" in said
