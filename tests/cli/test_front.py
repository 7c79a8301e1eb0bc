"""What every command has: help that fits a screen, an example, and errors that help."""

from __future__ import annotations

import json
import re
import socket
import time

import click
import pytest
from click.testing import CliRunner
from tests.cli.conftest import Result, Shell

from reeve.cli.main import COMMANDS
from reeve.cli.main import reeve as front
from reeve.client.calls import VERSION


def every_command(command: click.Command = front, *path: str) -> list[tuple[str, ...]]:
    """Walk the tree of commands: the path of each."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    below = ((name, command.get_command(context, name)) for name in command.list_commands(context))
    return [
        path,
        *(each for name, sub in below if sub is not None for each in every_command(sub, *path, name)),
    ]


ALL = every_command()
READS = {"ls", "show", "logs", "explain", "version", "run"}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_fits_a_screen_and_has_an_example(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(front, [*path, "-h"], prog_name="reeve", terminal_width=80)
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    # The list of all commands grows with them; who reads it has a window, not a terminal of 1978.
    assert len(lines) <= (24 if path else 32), shown.output
    assert max(map(len, lines)) <= 80
    example = re.search(r"Example: reeve (.*)", shown.output)
    assert example is not None
    assert example[1].startswith(" ".join(path))


def test_rare_options_are_shown_when_asked_for() -> None:
    short, long, again = (
        CliRunner().invoke(front, ["deploy", asked]).output for asked in ("-h", "--help-all", "-h")
    )
    assert again == short
    assert "--help-all" in short
    assert "--must-start-by" not in short
    assert "--must-start-by" in long


@pytest.mark.parametrize("path", [path for path in ALL if path and path[-1] in READS], ids=" ".join)
def test_what_reads_can_print_json(path: tuple[str, ...]) -> None:
    assert "--json" in CliRunner().invoke(front, [*path, "-h"]).output


def test_the_list_of_commands_says_what_each_says() -> None:
    context = click.Context(front)
    for name, (_, says) in COMMANDS.items():
        command = front.get_command(context, name)
        assert command is not None
        assert (command.help or "").startswith(says.removesuffix(".")), name


def test_version(reeve: Shell) -> None:
    assert reeve("version") == Result(0, f"reeve {VERSION}\n", "")
    assert json.loads(reeve("version", "--json").out) == {"name": "reeve", "version": VERSION}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["verson"], "Did you mean 'version'?"),
        (["run", "nightly/prod", "-P", "day"], "'day' has no name and value. Write name=value."),
        (
            ["run", "nightly/prod", "--in", "soon"],
            "'soon' is no length of time. Write 30s, 5m, 1h, 1d or 1h30m.",
        ),
        (["run", "nightly/prod", "--in", "0s"], "'0s' is no length of time."),
        (["run", "nightly/prod", "--at", "noon"], "'noon' is no moment. Write it like 2026-01-31T03:00"),
        (["deploy", "f.py:f", "-n", "x", "--interval", "daily"], "'daily' is no length of time."),
        (["deploy", "f.py:f", "-n", "x", "--max-run", "1h:stop"], "Write 1h:fail, 1h:cancel or 1h:retry."),
        (["deploy", "f.py:f", "-n", "x", "--max-run", "4000d"], "'4000d' is too long. Write at most 3650d."),
        (["deploy", "f.py:f", "-n", "x", "--concurrency-limit", "-1"], "Write a number from 0 on"),
        (["pools", "set-limit", "p", "many"], "'many' is no limit. Write a number from 0 on, or \"none\"."),
        (["queues", "set-priority", "q", "0"], "0 is not in the range x>=1."),
    ],
    ids=" ".join,
)
def test_misuse_says_how_it_is_meant(reeve: Shell, typed: list[str], said: str) -> None:
    done = reeve(*typed)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["run", "nightly"], "name it as FLOW/DEPLOYMENT"),
        (["run", "a/b", "--in", "1h", "--at", "2030-01-01"], "Give one of them"),
        (["runs", "show", "abc"], "'abc' is no run's id"),
        (["runs", "explain", "hopeful-heron"], "See: reeve runs ls"),
        (["deploy", "flows.py", "-n", "x"], "Write FILE.py:FLOW"),
        (["deploy", "f.py:f", "-n", "x", "--timezone", "UTC"], "--timezone needs a --cron"),
        (["deploy", "f.py:f", "-n", "x", "--cron", "* * * * *", "--anchor", "2030-01-01"], "--anchor needs"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_a_sentence(reeve: Shell, typed: list[str], said: str) -> None:
    done = reeve(*typed)
    assert done.code == 1
    assert done.err.startswith("Error: ")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


@pytest.fixture
def nobody() -> str:
    """The address of a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/api"


@pytest.mark.parametrize(
    "typed", [["runs", "ls"], ["run", "a/b"], ["pools", "ls"], ["deployments", "show", "a/b"]], ids=" ".join
)
def test_without_a_server_it_says_how_to_start_one(reeve: Shell, nobody: str, typed: list[str]) -> None:
    began = time.monotonic()
    done = reeve(*typed, REEVE_API_URL=nobody)
    assert done.code == 1
    assert (
        done.err
        == f"Error: No reeve server answers at {nobody} (Connection refused). Start one with: reeve up\n"
    )
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "typed", [["--traceback", "runs", "ls"], ["runs", "ls", "--traceback"]], ids=" ".join
)
def test_a_traceback_is_there_for_who_asks(reeve: Shell, nobody: str, typed: list[str]) -> None:
    done = reeve(*typed, REEVE_API_URL=nobody)
    assert done.code == 1
    assert "Traceback" in done.err
    assert "ServerUnreachableError" in done.err


def test_a_traceback_can_be_asked_for_once_and_for_all(reeve: Shell, nobody: str) -> None:
    assert "Traceback" in reeve("runs", "ls", REEVE_API_URL=nobody, REEVE_TRACEBACK="1").err
    assert "Traceback" not in reeve("runs", "ls", REEVE_API_URL=nobody, REEVE_TRACEBACK="0").err


def test_config_shows_origins_and_no_secret(reeve: Shell) -> None:
    done = reeve("config", "show", REEVE_API_KEY="s3cret", REEVE_DATABASE_URL="postgresql://u:pw@h/d")
    assert done.code == 0
    assert "s3cret" not in done.out
    assert "pw" not in done.out
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert "environment: REEVE_API_KEY" in rows["api_key"]
    assert "postgresql://u:***@h/d" in rows["database_url"]
    assert rows["server_port"].split() == ["server_port", "4200", "default"]


def test_config_as_json_and_with_reasons(reeve: Shell) -> None:
    values = json.loads(reeve("config", "show", "--json", REEVE_SERVER_PORT="4300").out)
    assert values["server_port"] == {
        "value": "4300",
        "origin": {"source": "environment", "place": "REEVE_SERVER_PORT"},
    }
    assert "Port the server listens on." in reeve("config", "show", "--explain").out


def test_a_bad_setting_is_told_by_every_command(reeve: Shell) -> None:
    done = reeve("runs", "ls", REEVE_SERVER_PORT="x")
    assert (done.code, done.err) == (1, "Error: REEVE_SERVER_PORT must be a port from 1 to 65535, not 'x'\n")
