"""Moving house: what a real 2.20 server holds is imported, and its flows run on reeve (scripts/interop)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.interop.abroad import Abroad, abroad
from tests.interop.guests import GuestHouse

EXAMPLES = Path(__file__).parents[2] / "examples" / "ported"
DAY = "2026-01-31"
# Of each kind: where it is listed, how it is called, and what may be different on another server.
KINDS = {
    "variables": ("name", {"value", "tags"}),
    "work_pools": ("name", {"type", "description", "is_paused", "concurrency_limit", "base_job_template"}),
    "work_queues": ("name", {"work_pool_name", "is_paused", "concurrency_limit", "priority", "filter"}),
    "concurrency_limits": ("tag", {"concurrency_limit"}),
    "v2/concurrency_limits": ("name", {"limit", "active", "slot_decay_per_second"}),
    "flow_run_notification_policies": ("state_names", {"is_active", "tags", "message_template"}),
    "block_documents": ("name", {"data", "block_type_name", "is_anonymous"}),
    "deployments": (
        "name",
        {
            *("description", "version", "tags", "parameters", "infra_overrides", "paused", "path"),
            *("pull_steps", "entrypoint", "work_pool_name", "work_queue_name"),
            *("parameter_openapi_schema", "enforce_parameter_schema"),
        },
    ),
}


@dataclass
class Move:
    """A server of 2.20 that is left, and one of reeve's that is moved to."""

    there: Abroad
    here: GuestHouse

    def imported(self, *options: str, code: int = 0) -> dict[str, Any]:
        """Import; return the report."""
        printed = self.here.cli(
            "import", "prefect", "--from", self.there.api_url, "--json", *options, code=code
        )
        told: dict[str, Any] = json.loads(printed)
        return told


@contextmanager
def moving(root: Path) -> Iterator[Move]:
    with abroad(root / "there") as there:
        here = GuestHouse(root / "here", f"sqlite:///{root / 'here.db'}", open_door=False)
        try:
            here.start_server()
            yield Move(there, here)
        finally:
            here.close()


@pytest.fixture(scope="module")
def move(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Move]:
    """Give a filled server of 2.20, and one of reeve's to which all of it was imported."""
    with moving(tmp_path_factory.mktemp("moving")) as made:
        made.there.run_program("fill.py", str(made.there.flows))
        ahead = made.imported("--dry-run", "--python", made.there.python)
        told = made.imported("--python", made.there.python)
        assert ahead["objects"] == told["objects"]
        assert {one["outcome"] for one in told["objects"]} == {"created", "same"}
        yield made


def listed(house: GuestHouse, kind: str) -> dict[str, Any]:
    """Return what there is of a kind by name, without what is another's on another server."""
    name, fields = KINDS[kind]
    secrets = {"include_secrets": True} if kind == "block_documents" else {}
    found = house.told("POST", f"/{kind}/filter", secrets)
    return {str(one[name]): {field: one[field] for field in fields} for one in found}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_there_is_here(move: Move, kind: str) -> None:
    there, here = listed(move.there, kind), listed(move.here, kind)
    assert there
    if kind == "deployments":
        command = f"{move.there.python} -m prefect.engine"
        for one in there.values():
            one["infra_overrides"]["command"] = command
    if kind == "work_queues":  # queues of every pool have this name; the next test looks at each
        there.pop("default"), here.pop("default")
    assert here == there


def test_queues_and_schedules_are_the_same(move: Move) -> None:
    def queues(house: GuestHouse) -> dict[str, Any]:
        found = house.told("POST", "/work_pools/here/queues/filter", {})
        return {one["name"]: one["priority"] for one in found}

    def schedules(house: GuestHouse) -> dict[str, Any]:
        found = house.told("POST", "/deployments/filter", {})
        return {
            one["name"]: [
                (each["schedule"], each["active"])
                for each in sorted(one["schedules"], key=lambda each: each["created"])
            ]
            for one in found
        }

    assert queues(move.here) == queues(move.there)
    assert schedules(move.here) == schedules(move.there)


def test_a_second_time_nothing_is_left_to_do(move: Move) -> None:
    told = move.imported("--python", move.there.python)
    assert {one["outcome"] for one in told["objects"]} == {"same"}


@pytest.mark.parametrize(
    ("name", "pool", "word"),
    [
        ("by-agent", "default-agent-pool", "agent, blue"),
        ("by-storage", "here", "storage, green"),
        ("by-source", "here", "source, red"),
    ],
)
def test_an_imported_flow_runs(move: Move, name: str, pool: str, word: str) -> None:
    """Its infrastructure is a block, its code is in a storage block, or is fetched by a pull step."""
    if pool not in move.here.processes:
        move.here.start(pool, "agent", "start", "-p", pool, "--name", pool)
    run = json.loads(move.here.cli("run", f"filled/{name}", "--json"))["id"]
    ended = move.here.state_is(run, "Completed", "Failed", "Crashed")
    assert ended["state_name"] == "Completed", (move.here.log_lines(run), ended["state"])
    move.here.is_logged(run, f"the word is {word}")


def test_the_program_that_is_ported_runs_with_prefect(move: Move) -> None:
    """examples/ported/with_prefect.py, imported from a prefect.yaml."""
    here = move.here
    inbox = here.root / "inbox"
    inbox.mkdir()
    for region in ("north", "south", "west"):
        (inbox / f"{region}-{DAY}.csv").write_text("amount,currency\n10,CHF\n10,EUR\n")
    (here.flows / "with_prefect.py").write_text((EXAMPLES / "with_prefect.py").read_text())
    (here.flows / "ported.yaml").write_text(
        "deployments:\n  - {name: ported, entrypoint: with_prefect.py:sales, work_pool: {name: ported}}\n"
    )
    here.cli("import", "prefect", "ported.yaml", "--python", here.python)
    here.start("ported", "agent", "start", "-p", "ported", "--name", "ported")
    run = json.loads(here.cli("run", "sales/ported", "-P", f"inbox={inbox}", "-P", f"day={DAY}", "--json"))[
        "id"
    ]
    ended = here.state_is(run, "Completed", "Failed", "Crashed")
    assert ended["state_name"] == "Completed", (here.log_lines(run), ended["state"])
    assert (inbox / f"report-{DAY}.csv").read_text().splitlines() == ["north,19.5", "south,19.5", "west,19.5"]
