"""Outage: the server is away, and comes back to the same agents, all ends and all lines (protocol §3, §7)."""

from __future__ import annotations

import signal
import time
from collections import Counter
from random import Random
from uuid import UUID

from tests.chaos.frame import Counts, Row
from tests.chaos.site import MARKING, Agent, Site, until

# An attempt that is silent is soon given up, so that whatever is reaped because a server was down shows.
SETTINGS = {"REEVE_LOST_AFTER_SECONDS": "1"}

DISPATCH_SECONDS = 5.0  # after the server's return
HOLE_SECONDS = 30.0  # until a line that swallows everything is noticed
LATER_LEASES = 0.5  # of the one for which a server that starts reaps nothing
AWAKE_LEASES = 0.25  # until it is heard again what the server has slept through
LINES = 100

TALKING = f"""{MARKING}
from reeve import get_run_logger

@flow
def main(marks: str, seconds: float, lines: int):
    mark(marks, "begin")
    for number in range(lines):
        print("printed", number)
        get_run_logger().info("logged %d", number)
        time.sleep(seconds / lines)
    mark(marks, "end")
"""


def keeps_outage(site: Site, dice: Random, counts: Counts) -> Row:
    """Take the server away for minutes while runs end, stop it amid others, then swallow all packets."""
    row = Row()
    site.open()
    deployment = site.deploy(TALKING)
    _count_outage(site, dice, counts, row, deployment)
    if counts.scale:  # the least is half a minute: too long for a short form
        _count_sleep(site, dice, counts, row, deployment)
        _count_hole(site, dice, row, deployment)
    return row


def _count_outage(site: Site, dice: Random, counts: Counts, row: Row, deployment: str) -> None:
    away = counts.scaled(300, round(1.5 * site.lease))
    line = site.line(dice)
    agents = [
        Agent(f"agent-{number}", ("--limit", "4"), url=line.url) for number in range(counts.scaled(5, 2))
    ]
    for agent in agents:
        site.employ(agent)
    if counts.scale:  # or all runs would be the first ones of their agents
        site.warm(agents)
    total = row.trials = counts.trials(20, 6)
    runs = [
        run_id
        for _ in range(total)
        for run_id in site.begin(deployment, 1, seconds=dice.uniform(0.5, 0.9 * away), lines=LINES)
    ]
    until("all runs to begin", lambda: len(site.marked()) == total)
    pids = {agent.name: site.processes[agent.name].pid for agent in agents}
    site.kill("server")
    line.cut()
    time.sleep(away)
    ended = len(site.marked("end"))
    site.start_server()
    time.sleep(LATER_LEASES * site.lease)  # the network comes back after the server
    line.mend()
    back = time.time()
    (after,) = site.begin(deployment, 1, seconds=0.0, lines=LINES)
    row.expect(site.settles(120), "not all runs ended")
    dispatch = site.rows(f"select opened from attempts where flow_run_id = '{after}'")[0][0] / 1e6 - back
    row.expect(dispatch <= DISPATCH_SECONDS, f"dispatch resumed after {dispatch:.1f} s")
    for name, pid in pids.items():
        process = site.processes[name]
        row.expect(process.pid == pid and process.poll() is None, f"{name} has not survived")
    row.expect(site.states() == {"Completed": total + 1}, f"not all runs completed: {site.states()}")
    attempts = site.rows("select count(*) from attempts")[0][0]
    row.expect(attempts == total + 1, f"{attempts} attempts of {total + 1} runs")
    for run_id in (*runs, after):
        _count_lines(site, row, run_id)
    row.figures |= {
        "away": f"{away} s",
        "runs ended meanwhile": str(ended),
        "dispatch resumed": f"after {dispatch:.1f} s",
        "lines": str(2 * LINES * (total + 1)),
    }


def _count_sleep(site: Site, dice: Random, counts: Counts, row: Row, deployment: str) -> None:
    """Stop the server itself while runs go on: it hears nothing, and learns of it afterwards only."""
    asleep = counts.scaled(60, round(2 * site.lease))
    line = site.line(dice)
    site.employ(Agent("watchful", ("--limit", "8"), queues=("asleep",), url=line.url))
    began = len(site.marked())
    lasting = 2.0 * asleep
    runs = [site.begin(deployment, 1, queue="asleep", seconds=lasting, lines=LINES)[0] for _ in range(4)]
    row.trials += len(runs)
    until("all runs to begin", lambda: len(site.marked()) == began + len(runs))
    server = site.processes["server"]
    server.send_signal(signal.SIGSTOP)
    line.cut()
    time.sleep(asleep)
    server.send_signal(signal.SIGCONT)
    time.sleep(AWAKE_LEASES * site.lease)  # nobody is heard at once
    line.mend()
    site.until_final(runs)
    for run_id in runs:
        lives = site.rows(f"select state from attempts where flow_run_id = '{run_id}'")
        row.expect(lives == [("ENDED",)], f"a server that slept for {asleep} s made {lives} of {run_id}")
    row.figures["asleep"] = f"{asleep} s"


def _count_lines(site: Site, row: Row, run_id: UUID) -> None:
    """Count each line of a run in its log, once."""
    seen = Counter(
        message for (message,) in site.rows(f"select message from logs where flow_run_id = '{run_id}'")
    )
    for word in ("printed", "logged"):
        lines = [seen[f"{word} {number}"] for number in range(LINES)]
        row.expect(min(lines) == 1, f"{lines.count(0)} of {LINES} {word} lines of {run_id} are lost")
        row.expect(max(lines) == 1, f"{word} lines of {run_id} are doubled")


def _count_hole(site: Site, dice: Random, row: Row, deployment: str) -> None:
    """Swallow what an idle agent sends; when the line is mended, its old connections stay dead."""
    line = site.line(dice)
    agent = Agent("far", queues=("far",), url=line.url)
    site.employ(agent)
    run_id = site.begin(deployment, 1, queue="far", seconds=0.0, lines=1)[0]
    site.until_final([run_id])
    row.trials += 1
    line.swallow()
    began = time.monotonic()
    until("the hole to be noticed", lambda: "does not answer" in site.log("far"))
    noticed = time.monotonic() - began
    row.expect(noticed <= HOLE_SECONDS, f"a black hole was noticed after {noticed:.1f} s")
    line.mend()
    mended = time.time()
    (run_id,) = site.begin(deployment, 1, queue="far", seconds=0.0, lines=1)
    site.until_final([run_id])
    dispatch = site.rows(f"select opened from attempts where flow_run_id = '{run_id}'")[0][0] / 1e6 - mended
    row.figures["black hole noticed"] = f"after {noticed:.1f} s, dispatch {dispatch:.1f} s after its end"
