"""What a forked run of a flow can never see: its agent's key, and what an earlier run did to its modules."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.house import House, until

HELPER = """
count = 0

def use():
    global count
    count += 1
    return count
"""

# The key is told in halves, the second one backwards: so it is whole in no memory but one that had it before.
FLOW = """
import json, logging, os, random, re, sys
from pathlib import Path
import helper
from reeve import flow

uses = []

def is_in_memory(half, backwards):
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            start, end = (int(one, 16) for one in span.split("-"))
            if "r" not in rights or "[v" in line:
                continue
            memory.seek(start)
            read = memory.read(end - start)
            for found in re.finditer(half.encode(), read):
                if read[found.end() : found.end() + len(backwards)][::-1] == backwards.encode():
                    return True
    return False

@flow
def main(says: str, half: str, backwards: str):
    uses.append("once")
    own = os.environ["REEVE_API_KEY"]
    seen = {
        "forked": "reeve.drivers.process.template" in sys.orig_argv,
        "agent's key": is_in_memory(half, backwards),
        "own key": is_in_memory(own[:9], own[:8:-1]),
        "uses": uses,
        "helper": helper.use(),
        "handlers": [len(one.handlers) for one in (logging.root, logging.getLogger("reeve"))],
        "files": len(os.listdir("/proc/self/fd")),
        "chance": random.random(),
        "names": sorted(name for name in os.environ if name.endswith("KEY")),
    }
    logging.root.addHandler(logging.NullHandler())
    random.seed(1)
    Path(says).write_text(json.dumps(seen))
"""


def test_runs_of_a_flow_see_nothing_of_one_another_nor_the_key_of_their_agent(
    tmp_path: Path, sqlite_url: str
) -> None:
    house = House(tmp_path / "house", sqlite_url)
    try:
        house.start_server()
        house.cli("pools", "create", "default")
        (house.flows / "helper.py").write_text(HELPER)
        deployment = house.deploy(FLOW)
        house.start_agent()
        until("a run that is forked", lambda: _seen(house, deployment)["forked"])
        first, second = (_seen(house, deployment) for _ in range(2))
    finally:
        house.close()
    assert first["forked"]
    assert first["own key"], "a key in memory would not be found"
    assert not first["agent's key"]
    assert (first["uses"], first["helper"]) == (["once"], 1)
    assert first.pop("chance") != second.pop("chance")
    assert first == second


def _seen(house: House, deployment: str) -> dict[str, object]:
    """Return what a run has seen."""
    key = (house.home / "key").read_text().strip()
    says = house.root / "says"
    (run_id,) = house.run_at_once(deployment, 1, says=str(says), half=key[:9], backwards=key[:8:-1])
    run = house.ends(run_id)
    assert run.state_name == "Completed", run
    seen: dict[str, object] = json.loads(says.read_text())
    return seen
