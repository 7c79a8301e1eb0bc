"""What a shim imports while it does its work: a list that can only shrink."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.drivers.conftest import Home, order, script
from tests.imports import Trace, over_budget

import reeve.drivers.process
from reeve.drivers.process import start


async def test_a_shim_imports_what_its_list_says(home: Home, tmp_path: Path) -> None:
    trace = Trace(tmp_path / "trace")
    directory = home.path / "shim" / start.environment_key()
    directory.mkdir(parents=True)
    program = Path(reeve.drivers.process.__path__[0]) / "__main__.py"
    command = [*trace.isolated(program), str(directory), "0.5"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    assert told.stdout == "ready\n", told.stderr
    agent = home.agent()
    assert (await agent.run(order("/bin/true"))).code == 0
    handle = await agent.driver.launch(script("sleep 600"))
    await agent.driver.stop(handle, 5)
    assert (await agent.exit(handle)).stopped_by == "agent"
    problems = over_budget("shim", trace.of(str(directory)))
    assert not problems, "\n".join(problems)
