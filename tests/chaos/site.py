"""A house for chaos: many agents, several servers, lines that fail, and counts that reeve has no hand in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from subprocess import Popen
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID

import asyncpg
from tests.acceptance.conftest import QUICK
from tests.acceptance.house import House, alive, free_port, until
from tests.chaos.proxy import Proxy

from reeve.wire import endpoints

# User code marks its begin and its end: one write each, to a file opened with O_APPEND.
MARKING = """
import os, time, uuid
from pathlib import Path
from reeve import flow

def mark(marks: str, word: str) -> None:
    line = f"{word} {os.environ['REEVE_RUN_ID']} {os.environ['REEVE_ATTEMPT']} {os.getpid()} {time.time()}\\n"
    file = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)
"""

BRIEF = f"""{MARKING}
@flow
def main(marks: str, seconds: float = 0.0):
    mark(marks, "begin")
    time.sleep(seconds)
    mark(marks, "end")
"""

WARMING = """
from reeve import flow

@flow
def warming():
    pass
"""

WAITING = f"""{MARKING}
@flow
def main(marks: str):
    mark(marks, "begin")
    while not Path(marks + ".go").exists():
        time.sleep(0.1)
    mark(marks, "end")
"""


# What PostgreSQL says while it recovers from the death of one of its processes.
_AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)

FINAL = "('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"


KILLS_A_SECOND = 0.5
LONGEST_AWAY = 8.0  # seconds: longer than a lease, so that some leases end


@dataclass(frozen=True)
class Agent:
    """How an agent is started; ``url`` of the API when it is not the house's own server."""

    name: str
    options: tuple[str, ...] = ()
    queues: tuple[str, ...] = ("default",)
    url: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The state of a run, since when (seconds since 1970), why, and the last lines of its last attempt."""

    state: str
    at: float
    message: str
    tail: str


@dataclass(frozen=True)
class Mark:
    """One line that user code has written; ``at`` in seconds since 1970."""

    word: str
    run_id: UUID
    attempt_id: UUID
    pid: int
    at: float


class Site(House):
    """``source``: the folder of another reeve than the installed one, for all processes of this house."""

    def __init__(self, root: Path, database_url: str, source: Path | None = None, **settings: str) -> None:
        path = {} if source is None else {"PYTHONPATH": str(source)}
        # What a user's shell may say of Python's buffers is not what the promises rest on.
        unset = {"PYTHONUNBUFFERED": ""}
        super().__init__(root, database_url, **{**QUICK, **unset, **path, **settings})
        self.database_url = database_url
        self.marks = root / "marks"
        self.proxies: list[Proxy] = []
        self._warming = ""  # the deployment that has templates started
        self.lease = float(self.settings["REEVE_LEASE_SECONDS"])  # seconds
        self.grace = float(self.settings["REEVE_LEASE_GRACE_SECONDS"])
        self.is_postgres = database_url.startswith("postgres")

    def open(self, pool: str = "default") -> None:
        """Start the server and make a pool."""
        self.start_server()
        self.cli("pools", "create", pool)

    def line(self, dice: Random, port: int | None = None) -> Proxy:
        """Give a line to a server that can be made to fail."""
        self.proxies.append(Proxy(self.port if port is None else port, dice))
        return self.proxies[-1]

    def home_of(self, agent: str) -> Path:
        """Return where an agent of this house keeps its journal."""
        (folder,) = self.home.glob(f"agents/*/{agent}")
        return folder

    def start_server_beside(self, name: str, **environ: str) -> int:
        """Start another server on the same database; return its port. ``environ`` is its own."""
        port = free_port()
        process = self.start(name, "server", "start", REEVE_SERVER_PORT=str(port), **environ)
        until(name, lambda: _listens(port) or process.poll() is not None)
        assert process.poll() is None, self.log(name)
        return port

    def registered(self, count: int) -> None:
        """Wait until so many agents were taken on."""
        until(f"{count} agents", lambda: self.rows("select count(*) from agents")[0][0] >= count)

    def employ(self, agent: Agent, **environ: str) -> None:
        """Start an agent; ``environ`` is its own."""
        queues = [word for name in agent.queues for word in ("-q", name)]
        by = {} if agent.url is None else {"REEVE_API_URL": agent.url}
        command = ("agent", "start", "-p", "default", *queues, "--name", agent.name, *agent.options)
        self.start(agent.name, *command, **by, **environ)

    def warm(self, agents: Sequence[Agent]) -> None:
        """Have agents run something until runs of theirs are forked, and leave no trace of it."""
        self._warming = self._warming or self.deploy(WARMING, "warming", file="warming.py")
        cold, runs = {agent.name for agent in agents}, []

        def look() -> bool:
            asked = [
                run_id
                for agent in agents
                for run_id in self.run_at_once(self._warming, 1, queue=agent.queues[0])
            ]
            self.until_final(asked)
            runs.extend(asked)
            for attempt in [one for run_id in asked for one in self.attempts(run_id)]:
                if attempt.handle and attempt.handle["details"]["forked"]:
                    cold.discard(attempt.agent_name or "")
            return not cold

        until("agents to fork", look)
        for run_id in runs:
            self.client.call(endpoints.delete_flow_run, id=run_id)

    def kill_at_random(self, agents: Sequence[Agent], dice: Random, is_done: Callable[[], bool]) -> int:
        """Start agents, kill them at random, start each again after a while; return how many were killed.

        When ``is_done``, all are there again.
        """
        kills, away = 0, dict.fromkeys(agents, 0.0)
        next_kill = time.monotonic() + 1
        while not is_done():
            now = time.monotonic()
            for agent in [one for one, until_ in away.items() if until_ <= now]:
                del away[agent]
                self.employ(agent)
            present = [one for one in agents if one not in away]
            if now >= next_kill and len(present) > 1:
                victim = dice.choice(present)
                self.kill(victim.name)
                kills += 1
                away[victim] = now + dice.uniform(0, LONGEST_AWAY)
                next_kill = now + dice.expovariate(KILLS_A_SECOND)
            time.sleep(0.1)
        for agent in away:
            self.employ(agent)
        return kills

    def process(self, name: str) -> Popen[bytes]:
        """Return a process by its name."""
        return self.processes[name]

    def begin(self, deployment: str, count: int, **parameters: Any) -> list[UUID]:
        """Ask for runs whose user code marks its begin and end."""
        return self.run_at_once(deployment, count, marks=str(self.marks), **parameters)

    def go(self) -> None:
        """Let runs of WAITING end."""
        Path(f"{self.marks}.go").touch()

    def marked(self, word: str = "begin", marks: Path | None = None) -> list[Mark]:
        """Return what user code has written; a line that its process did not live to end is left out."""
        file = marks or self.marks
        lines = file.read_text().split("\n")[:-1] if file.exists() else []
        found = [line.split() for line in lines]
        return [
            Mark(one[0], UUID(one[1]), UUID(one[2]), int(one[3]), float(one[4]))
            for one in found
            if one[0] == word
        ]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database itself, beside reeve. Times are microseconds since 1970."""
        if not self.is_postgres:
            path = self.database_url.removeprefix("sqlite:///")
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()

        def ask() -> tuple[list[tuple[Any, ...]]] | None:
            try:
                return (asyncio.run(self._rows(sql)),)
            except _AWAY:
                return None

        answer = until("the database", ask)
        assert answer is not None
        return answer[0]

    async def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    def outcome(self, run_id: UUID) -> Outcome:
        """Return what became of a run."""
        state, at, message = self.rows(
            "select s.name, s.timestamp, s.message"
            " from flow_runs r join flow_run_states s on s.id = r.state_id"
            f" where r.id = '{run_id}'"
        )[0]
        tails = self.rows(
            f"select output_tail from attempts where flow_run_id = '{run_id}' order by number desc limit 1"
        )
        return Outcome(state, at / 1e6, message or "", (tails[0][0] if tails else None) or "")

    def attempts_of(self, run_id: UUID) -> list[tuple[str, bool]]:
        """Return who has held a run, in order, and whether they launched it."""
        found = self.rows(
            "select a.name, t.launched is not null from attempts t join agents a on a.id = t.agent_id"
            f" where t.flow_run_id = '{run_id}' order by t.number"
        )
        return [(name, bool(launched)) for name, launched in found]

    def story(self, run_id: UUID) -> list[str]:
        """Return what reeve has written down about a run, as lines: for the notes of a row that failed."""
        told = self.rows(
            "select at, kind, cast(payload as text) from events"
            f" where flow_run_id = '{run_id}' union all"
            " select timestamp, name, message from flow_run_states"
            f" where flow_run_id = '{run_id}' order by 1"
        )
        return [f"{at / 1e6:.3f} {kind} {text or ''}" for at, kind, text in told]

    def until_final(self, runs: Sequence[UUID]) -> None:
        """Wait until runs have ended, and all their attempts, as long as one after the other does."""
        ids = ", ".join(f"'{run_id}'" for run_id in runs)
        ended = f"select count(*) from flow_runs where id in ({ids}) and state_type in {FINAL}"
        held = f"select count(*) from attempts where flow_run_id in ({ids}) and closed is null"
        seen = 0
        while seen < len(runs):
            known = seen
            seen = (
                until(
                    f"runs to end, of which {known} have",
                    lambda: max(int(self.rows(f"select ({ended}) - ({held})")[0][0]) - known, 0),  # noqa: B023
                )
                + known
            )

    def open_polls(self) -> int:
        """Return of how many agents the server holds a poll open."""
        key = (self.home / "key").read_text().strip()
        request = Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Authorization": f"Bearer {key}"})
        with urlopen(request, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        (count,) = [line.split()[1] for line in lines if line.startswith("reeve_server_open_polls ")]
        return int(float(count))

    def ended(self) -> int:
        """Count the runs that have ended, however they did: some of a mutant's never begin."""
        count: int = self.rows(f"select count(*) from flow_runs where state_type in {FINAL}")[0][0]
        return count

    def ended_of(self, runs: Sequence[UUID]) -> set[UUID]:
        """Return those of some runs that have ended."""
        ids = ", ".join(f"'{run_id}'" for run_id in runs)
        found = self.rows(f"select id from flow_runs where id in ({ids}) and state_type in {FINAL}")
        return {UUID(str(row[0])) for row in found}

    def forks(self) -> tuple[int, int]:
        """Count the attempts that templates have forked, and all that were launched: shims say so."""
        told = self.rows("select handle from attempts where handle is not null")
        forked = [bool(json.loads(handle)["details"]["forked"]) for (handle,) in told]
        return sum(forked), len(forked)

    def states(self) -> dict[str, int]:
        """Count the runs by the name of their state."""
        found = self.rows("select state_name, count(*) from flow_runs group by state_name")
        return {name: count for name, count in found}  # noqa: C416 - rows are no pairs to mypy

    def settles(self, patience: float) -> bool:
        """Wait until all runs have ended and no attempt is open; say whether they did."""
        going_on = (
            "select (select count(*) from attempts where closed is null)"
            f" + (select count(*) from flow_runs where state_type not in {FINAL})"
        )
        try:
            until("all runs to settle", lambda: self.rows(going_on)[0][0] == 0, patience)
        except AssertionError:
            return False
        return True

    def kill_pids(self, pids: Sequence[int]) -> None:
        """Kill processes that may be gone already."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)  # one that is stopped could not be waited for
        super().close()
        for proxy in self.proxies:
            proxy.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


__all__ = ["BRIEF", "MARKING", "QUICK", "WAITING", "Mark", "Site", "alive", "until"]
