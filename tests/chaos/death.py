"""Death: each process of an installation is killed, alone and in pairs, and words are found for it.

A dead run whose shim lives is told within 2 s, silence within 30 s of the last sign, by the default lease of
20 s; a server or a database that was away is nobody's death.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from uuid import UUID

from tests import memory
from tests.chaos.frame import Counts, Row
from tests.chaos.site import MARKING, Agent, Mark, Site, alive, until

TOLD_SECONDS = 2.0
LITTLE = 256 << 20  # bytes: an agent, its shim and two runs, one of which does not eat
SILENT_LEASES = 1.5  # 30 s of 20

DYING = f'''{MARKING}
@flow
def main(marks: str, code: int = -1):
    print("the last words")
    mark(marks, "begin")
    if code >= 0:
        os._exit(code)
    while not Path(marks + ".go").exists():
        time.sleep(0.1)
    mark(marks, "end")

@flow
def eats(marks: str):
    print("the last words")
    mark(marks, "begin")
    eaten = []
    while True:
        eaten.append(b"x" * (1 << 20))

@flow
def holds_the_lock(marks: str, seconds: int):
    """Call a function of C that keeps the interpreter's lock: no thread of this process moves."""
    import ctypes
    mark(marks, "begin")
    ctypes.PyDLL(None).sleep(seconds)
    mark(marks, "end")

@flow
def sleeps_in_c(marks: str, seconds: int):
    import ctypes
    mark(marks, "begin")
    ctypes.CDLL(None).sleep(seconds)
    mark(marks, "end")
'''

# Who dies, and what the message must say; nothing: the run completes.
DEATHS: dict[tuple[str, ...], str] = {
    ("run",): "SIGKILL",
    ("exit",): "status code 3",
    ("shim",): "shim",
    ("agent",): "",
    ("agent", "run"): "SIGKILL",
    ("agent", "shim"): "shim",
    ("shim", "run"): "shim",
}
MEMORY = ("memory",)
OUT_OF_MEMORY = "killed out of memory"
OF_SERVERS: tuple[tuple[str, ...], ...] = (("none",), ("run",), ("agent",), ("shim",), ("agent", "shim"))


@dataclass
class Victim:
    """One run on an agent of its own, how it dies, and when."""

    agent: Agent
    deaths: tuple[str, ...]
    mark: Mark
    at: float = 0.0

    def die(self, site: Site) -> None:
        """Kill who is to die. The shim is the run's parent."""
        shim = parent(self.mark.pid) if "shim" in self.deaths else 0
        self.at = self.mark.at if "exit" in self.deaths else time.time()
        if "agent" in self.deaths:
            site.kill(self.agent.name)
        if "shim" in self.deaths:
            site.kill_pids([shim])
        if "run" in self.deaths:
            site.kill_pids([self.mark.pid])

    @property
    def says(self) -> str:
        """What the run's message must say; nothing: it completes."""
        return OUT_OF_MEMORY if self.deaths == MEMORY else DEATHS.get(self.deaths, "")


class Tally:
    """The row, and the seconds from each death to the word about it."""

    def __init__(self) -> None:
        self.row = Row()
        self.seconds: dict[str, list[float]] = {}

    def note(self, what: str, seconds: float, limit: float) -> None:
        """Count a failure when a word took longer than promised."""
        self.seconds.setdefault(what, []).append(seconds)
        self.row.expect(seconds <= limit, f"{what} told after {seconds:.1f} s")

    def finish(self) -> Row:
        """Return the row with its figures."""
        for what, all_ in self.seconds.items():
            middle = sorted(all_)[len(all_) // 2]
            self.row.figures[what] = f"told after {middle:.1f} s, at most {max(all_):.1f}"
        return self.row


def keeps_death(site: Site, dice: Random, counts: Counts) -> Row:
    """Kill everything, each alone and in pairs, many agents side by side."""
    tally = Tally()
    site.open()
    dying = site.deploy(DYING)
    seconds = counts.scaled(60, round(1.5 * site.lease))
    held = _begin_held(site, seconds, counts.scaled(4, 1))
    alone = list(DEATHS) * counts.trials(100, 0) or [("run",), ("agent", "shim")]
    below = list(OF_SERVERS) * counts.trials(40, 0) or [("none",), ("run",)]
    dice.shuffle(alone)
    dice.shuffle(below)
    width = min(len(alone), len(DEATHS))
    for number in range(width):
        site.employ(_agent(number))
    for number, deaths in enumerate(_groups(alone, width)):
        _round(site, dice, tally, dying, deaths, f"a{number}")
    for number, deaths in enumerate(_groups(below, width)):
        kill_above = _kill_database if number % 2 and site.is_postgres else _kill_server
        _round(site, dice, tally, dying, deaths, f"b{number}", kill_above)
    try:
        with memory.little(LITTLE) as group:
            _count_memory(site, tally, dying, counts.trials(100, 1), group)
    except memory.Unavailable as why:
        tally.row.notes.append(
            f"out of memory is left out, for no group with little memory can be made: {why}"
        )
    tally.row.expect(site.settles(120 + seconds), "not all runs ended")
    _judge_held(site, tally.row, held)
    return tally.finish()


def _agent(number: int) -> Agent:
    """Return the agent that serves a queue of its own name, so that its runs are known before they begin."""
    return Agent(f"agent-{number}", queues=(f"agent-{number}",))


def _groups(all_: list[tuple[str, ...]], size: int) -> list[list[tuple[str, ...]]]:
    return [all_[first : first + size] for first in range(0, len(all_), size)]


def _begin_held(site: Site, seconds: int, each: int) -> list[UUID]:
    """Begin runs that do not move for a long while."""
    flows = [site.deploy(DYING, flow) for flow in ("holds_the_lock", "sleeps_in_c")]
    site.start_agent("patient")
    return [run_id for flow in flows for run_id in site.begin(flow, each, seconds=seconds)]


def _round(
    site: Site,
    dice: Random,
    tally: Tally,
    dying: str,
    deaths: list[tuple[str, ...]],
    name: str,
    kill_above: Callable[[Site, Random], None] | None = None,
) -> None:
    """Have one agent for each of some deaths; ``kill_above``: whose death comes on top, before or after."""
    tally.row.trials += len(deaths)
    marks = site.root / name
    victims = _victims(site, dying, deaths, marks)
    above_first = dice.random() < 0.5
    if kill_above and above_first:
        kill_above(site, dice)
    for victim in victims:
        victim.die(site)
    if kill_above and not above_first:
        kill_above(site, dice)
    for victim in victims:
        if "agent" in victim.deaths and "shim" in victim.deaths and kill_above is None:
            until("silence to be noticed", partial(_is_unreachable, site, victim))
            tally.note("silent machine", time.time() - victim.at, SILENT_LEASES * site.lease)
    for victim in victims:
        if "agent" in victim.deaths:
            site.employ(victim.agent)
    site.until_final([one.mark.run_id for one in victims if one.says])
    Path(f"{marks}.go").touch()
    site.until_final([one.mark.run_id for one in victims])
    for victim in victims:
        _judge(site, tally, victim, marks, timed=kill_above is None)


def _victims(site: Site, dying: str, deaths: list[tuple[str, ...]], marks: Path) -> list[Victim]:
    """Begin a run on each agent, and wait until user code runs in all of them."""
    runs = {}
    for number, death in enumerate(deaths):
        agent = _agent(number)
        more = {"code": 3} if death == ("exit",) else {}
        (run_id,) = site.run_at_once(dying, 1, queue=agent.name, marks=str(marks), **more)
        runs[run_id] = (agent, death)
    until("all runs to begin", lambda: len(site.marked(marks=marks)) == len(runs))
    return [Victim(*runs[mark.run_id], mark) for mark in site.marked(marks=marks)]


def _count_memory(site: Site, tally: Tally, dying: str, trials: int, group: Path) -> None:
    """Have runs end for lack of memory beside one of the same agent, while one of another agent is killed."""
    hungry, neighbour = Agent("hungry", queues=("hungry",)), _agent(0)
    site.employ(hungry)
    memory.join(group, site.process(hungry.name).pid)
    eating = site.deploy(DYING, "eats")
    for number in range(1, trials + 1):
        marks = site.root / f"m{number}"
        (patient,) = site.run_at_once(dying, 1, queue=hungry.name, marks=str(marks))
        (killed,) = site.run_at_once(dying, 1, queue=neighbour.name, marks=str(marks))
        until("runs that do not eat", lambda: len(site.marked(marks=marks)) == 2)  # noqa: B023 - asked at once
        (eater,) = site.run_at_once(eating, 1, queue=hungry.name, marks=str(marks))
        until("the kernel", lambda: memory.kills(group) == number)  # noqa: B023 - asked at once
        begun = {mark.run_id: mark for mark in site.marked(marks=marks)}
        victims = [Victim(neighbour, ("run",), begun[killed]), Victim(hungry, MEMORY, begun[eater])]
        for victim in victims:
            victim.die(site)
        site.until_final([eater, killed])
        Path(f"{marks}.go").touch()
        site.until_final([patient])
        for victim in (*victims, Victim(hungry, ("none",), begun[patient])):
            tally.row.trials += 1
            _judge(site, tally, victim, marks, timed=True)
    tally.row.expect(memory.kills(group) == trials, f"the kernel ended {memory.kills(group)} of {trials}")
    tally.row.expect(site.stop(hungry.name) == 0, "the agent with little memory has not stopped in order")


def _judge(site: Site, tally: Tally, victim: Victim, marks: Path, *, timed: bool) -> None:
    outcome = site.outcome(victim.mark.run_id)
    who = " and ".join(victim.deaths)
    begun = [one for one in site.marked(marks=marks) if one.run_id == victim.mark.run_id]
    tally.row.expect(len(begun) == 1, f"{who}: begun {len(begun)} times")
    if not victim.says:
        tally.row.expect(outcome.state == "Completed", f"{who}: {outcome.state}: {outcome.message}")
        return
    tally.row.expect(
        outcome.state == "Crashed" and victim.says in outcome.message,
        f"{who}: {outcome.state} without the word {victim.says!r}: {outcome.message}",
    )
    accused = OUT_OF_MEMORY in outcome.message
    tally.row.expect(accused == (victim.deaths == MEMORY), f"{who}: the kernel is blamed: {outcome.message}")
    tally.row.expect(
        "the last words" in outcome.tail, f"{who}: last lines are not attached: {outcome.tail!r}"
    )
    tally.row.expect(not alive(victim.mark.pid), f"{who}: the process lives")
    if timed and "agent" not in victim.deaths:
        tally.note(who, outcome.at - victim.at, TOLD_SECONDS if "shim" not in victim.deaths else 30)


def _judge_held(site: Site, row: Row, held: list[UUID]) -> None:
    """A run that does not move is not dead."""
    row.trials += len(held)
    for run_id in held:
        outcome = site.outcome(run_id)
        states = [
            name
            for (name,) in site.rows(
                f"select name from flow_run_states where flow_run_id = '{run_id}' order by cursor"
            )
        ]
        row.expect(outcome.state == "Completed", f"held: {outcome.state}: {outcome.message}")
        row.expect(states.count("Pending") == 1, f"held: {' → '.join(states)}")


def _is_unreachable(site: Site, victim: Victim) -> bool:
    (found,) = site.rows(f"select unreachable from attempts where id = '{victim.mark.attempt_id}'")
    return bool(found[0])


def _kill_server(site: Site, dice: Random) -> None:
    """Have the server be away, perhaps for longer than a lease."""
    site.kill("server")
    time.sleep(dice.uniform(0, 1.5 * site.lease))
    site.start_server()


def _kill_database(site: Site, _: Random) -> None:
    """Kill a process of PostgreSQL that serves ours: the others then end, and the database recovers."""
    ((pid,),) = site.rows(
        "select pid from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid() limit 1"
    )
    os.kill(pid, signal.SIGKILL)


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
