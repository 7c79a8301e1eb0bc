"""Identity: one agent of a name, one poll of an agent, one machine to a home, one clock (protocol §3, §6)."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from random import Random
from uuid import UUID

from tests.chaos.frame import Counts, Row
from tests.chaos.site import BRIEF, WAITING, Agent, Site, alive, until

from reeve.client.sync import Client
from reeve.wire import endpoints
from reeve.wire.requests import Poll

# Found by every Python that has its folder in PYTHONPATH: a machine whose clock is ten minutes off. What it
# moves is all that reeve and asyncio's users read of the wall clock; leases count on other clocks.
OTHER_CLOCK = """
import time
from datetime import timedelta
import reeve.clock

real_time, real_now = time.time, reeve.clock.now
time.time = lambda: real_time() + {seconds}
reeve.clock.now = lambda: real_now() + timedelta(seconds={seconds})
"""
OFF = 600.0  # seconds
AT_ONCE = 1.0  # second until an overtaken poll is answered
BY_ITSELF = 20.0  # seconds until it would be without that
HOLD = 1.0  # second for which the other polls wait
SLOTS = 2


def keeps_identity(site: Site, dice: Random, counts: Counts) -> Row:
    """Start agents that may not be, beside a living one; poll twice at once; have clocks disagree."""
    row = Row()
    site.open()
    for number in range(counts.trials(20, 1)):
        _second_agents(site, row, f"only-{number}")
    _two_polls(site, row, dice, counts.trials(200, 8))
    if site.is_postgres:
        _two_clocks(site, row, dice, counts)
    return row


def _second_agents(site: Site, row: Row, name: str) -> None:
    """Whoever comes second is refused in a sentence; the first one and its run notice nothing."""
    site.employ(Agent(name, queues=(name,)))
    deployment = site.deploy(WAITING)
    (run_id,) = site.begin(deployment, 1, queue=name)
    until("its run", lambda: any(mark.run_id == run_id for mark in site.marked()))
    (mark,) = [mark for mark in site.marked() if mark.run_id == run_id]
    _refused(site, row, name, "runs already from this home", home=site.home)
    other = site.root / f"{name}-home"
    other.mkdir()
    _refused(site, row, name, "is alive on", home=other)
    stranger = site.root / f"{name}-strange"
    (stranger / "agents").mkdir(parents=True)
    (stranger / "agents" / "machine").write_text("0" * 32)
    if Path("/etc/machine-id").exists():
        _refused(site, row, "another", "belongs to the agents of another machine", home=stranger)
    row.expect(alive(mark.pid), f"{name}: its run has gone")
    # The same id again, while the first process is alive and its lock is lost: the older one gives way.
    first = site.processes.pop(name)
    (site.home_of(name) / "lock").unlink()
    site.employ(Agent(name, queues=(name,)))
    until("the older one to give way", lambda: first.poll() is not None)
    row.trials += 1
    row.expect(alive(mark.pid), f"{name}: the older process has touched its run")
    site.go()
    site.until_final([run_id])
    outcome = site.outcome(run_id)
    row.expect(outcome.state == "Completed", f"{name}: {outcome.state}: {outcome.message}")
    row.expect(sum(one.run_id == run_id for one in site.marked()) == 1, f"{name}: its run was started again")
    Path(f"{site.marks}.go").unlink()
    site.stop(name)


class Impostor:
    """Polls in an agent's name, beside it and twice at once, and throws every answer away."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        ((agent_id, self._epoch),) = site.rows(f"select id, epoch from agents where name = '{name}'")
        self._agent_id = UUID(str(agent_id))
        self._seq = count(1_000_000)  # newer than any of the agent's own
        self._key = (site.home / "key").read_text().strip()
        self.granted: set[UUID] = set()

    def poll(self, free: int, hold_seconds: float) -> float:
        """Poll, and return how long the answer took."""
        body = Poll(
            epoch=self._epoch,
            seq=next(self._seq),
            free=free,
            held=[],
            acked_grant=0,
            hold_seconds=hold_seconds,
        )
        client = Client(f"http://127.0.0.1:{self._site.port}/api", self._key, timeout=60, patience=None)
        began = time.monotonic()
        try:
            work = client.call(endpoints.poll_agent, body, id=self._agent_id)
        finally:
            client.close()
        self.granted |= {grant.run.id for grant in work.grants}
        return time.monotonic() - began


def _two_polls(site: Site, row: Row, dice: Random, total: int) -> None:
    """Have polls overtake one another while runs fall due: each is granted to somebody, and launched once."""
    agent = Agent("doubled", ("--limit", str(SLOTS)), queues=("doubled",))
    site.employ(agent)
    until("its poll", lambda: site.open_polls() == 1)
    impostor = Impostor(site, agent.name)
    deployment = site.deploy(BRIEF)
    with ThreadPoolExecutor(2) as pool:
        older = pool.submit(impostor.poll, 0, BY_ITSELF)
        until("it to begin", older.running)
        newer = time.monotonic()
        impostor.poll(0, 0.5)
        older.result()
        longest = time.monotonic() - newer
        row.expect(longest <= 0.5 + AT_ONCE, f"two polls: the older one was answered after {longest:.1f} s")
        runs: list[UUID] = []
        while len(runs) < total:
            polls = [pool.submit(impostor.poll, SLOTS, HOLD) for _ in range(2)]
            wait(polls, return_when=FIRST_COMPLETED)  # the older one
            time.sleep(dice.choice((0.0, dice.uniform(0, HOLD))))
            runs += site.begin(deployment, 1, queue=agent.name, seconds=dice.uniform(0, 0.2))
            for poll in polls:
                poll.result()
    site.until_final(runs)
    row.trials += total
    row.expect(impostor.granted, "two polls: no answer with a grant was lost, so nothing was counted")
    row.figures["granted to lost answers"] = f"{len(impostor.granted)} of {total}"
    starts = Counter(mark.run_id for mark in site.marked())
    for run_id in runs:
        outcome, story = site.outcome(run_id), site.attempts_of(run_id)
        row.expect(outcome.state == "Completed", f"two polls: {outcome.state}: {outcome.message}")
        row.expect(starts[run_id] == 1, f"two polls: {run_id} was started {starts[run_id]} times")
        row.expect(story == [(agent.name, True)], f"two polls: {run_id} was held by {story}")
    site.stop(agent.name)


def _refused(site: Site, row: Row, name: str, sentence: str, *, home: Path) -> None:
    key = (site.home / "key").read_text().strip()
    said = site.cli(
        "agent",
        "start",
        "-p",
        "default",
        "--name",
        name,
        code=1,
        REEVE_HOME=str(home),
        REEVE_API_KEY=key,
    )
    row.trials += 1
    row.expect(sentence in said, f"{name}: {said!r}")


def _two_clocks(site: Site, row: Row, dice: Random, counts: Counts) -> None:
    """Two servers ten minutes apart, the agents of both at work: nothing is reaped, nothing runs twice."""
    folder = site.root / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(OTHER_CLOCK.format(seconds=dice.choice((OFF, -OFF))))
    paths = [str(folder), *filter(None, [site.settings.get("PYTHONPATH"), site.environ().get("PYTHONPATH")])]
    port = site.start_server_beside("other-clock", PYTHONPATH=":".join(paths))
    url = f"http://127.0.0.1:{port}/api"
    for agent in (Agent("here", ("--limit", "2")), Agent("there", ("--limit", "2"), url=url)):
        site.employ(agent)
    total = counts.trials(100, 6)
    runs = site.begin(site.deploy(BRIEF), total, seconds=1.0)
    (long,) = site.begin(site.deploy(BRIEF), 1, seconds=2 * site.lease)
    row.expect(site.settles(60 + total), "clocks: not all runs ended")
    starts = Counter(mark.run_id for mark in site.marked())
    for run_id in (*runs, long):
        row.trials += 1
        outcome = site.outcome(run_id)
        row.expect(outcome.state == "Completed", f"clocks: {outcome.state}: {outcome.message}")
        row.expect(starts[run_id] == 1, f"clocks: {run_id} was started {starts[run_id]} times")
    late = site.rows("select count(*) from attempts where closed < opened or started < opened")[0][0]
    row.expect(late == 0, f"clocks: {late} attempts end before they begin")
