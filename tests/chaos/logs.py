"""Logs: a run that writes fast is killed during an outage, and no line is lost or doubled (protocol §7)."""

from __future__ import annotations

import struct
import time
from random import Random

from tests.chaos.frame import Counts, Row
from tests.chaos.site import MARKING, Agent, Site, until

# How many lines were printed and logged is written down after each by pwrite(2): what a print has returned
# for is known even of a process that was killed.
CHATTY = f"""{MARKING}
import struct
from reeve import get_run_logger

@flow
def main(marks: str, counted: str, lines_a_second: int):
    log = get_run_logger()
    file = os.open(counted, os.O_WRONLY | os.O_CREAT, 0o600)
    mark(marks, "begin")
    began, printed, logged = time.monotonic(), 0, 0
    while True:
        while printed < (time.monotonic() - began) * lines_a_second:
            print("printed", printed)
            printed += 1
            if printed % 20 == 0:
                log.info("logged %d", logged)
                logged += 1
            os.pwrite(file, struct.pack("qq", printed, logged), 0)
        time.sleep(0.001)

@flow
def foreign(marks: str):
    import sys
    mark(marks, "begin")
    sys.stdout.buffer.write(b"caf\\xe9 \\xff\\xfe\\n")
    sys.stdout.buffer.flush()
    print("and after it")
    mark(marks, "end")
"""
WORDS = ("printed", "logged")


def keeps_logs(site: Site, dice: Random, counts: Counts) -> Row:
    """Kill runs that write 10,000 lines a second while the server is away, and count their lines."""
    row = Row()
    site.open()
    chatty, foreign = site.deploy(CHATTY), site.deploy(CHATTY, "foreign")
    site.employ(Agent("agent"))
    rate = counts.scaled(10_000, 2_000)
    for number in range(counts.trials(10, 1)):
        _count_killed(site, dice, row, chatty, rate, number)
    _count_foreign(site, row, foreign)
    return row


def _count_killed(site: Site, dice: Random, row: Row, chatty: str, rate: int, number: int) -> None:
    row.trials += 1
    marks, counted = site.root / f"marks-{number}", site.root / f"counted-{number}"
    (run_id,) = site.run_at_once(chatty, 1, marks=str(marks), counted=str(counted), lines_a_second=rate)
    until("user code", lambda: site.marked(marks=marks))
    time.sleep(dice.uniform(0.2, 1))
    site.kill("server")
    time.sleep(dice.uniform(0.5, 2))
    site.kill_pids([site.marked(marks=marks)[0].pid])
    written = dict(zip(WORDS, struct.unpack("qq", counted.read_bytes()), strict=True))
    site.start_server()
    site.until_final([run_id])
    lines = [message for (message,) in site.rows(f"select message from logs where flow_run_id = '{run_id}'")]
    for word, least in written.items():
        seen = [int(line.split()[1]) for line in lines if line.startswith(f"{word} ")]
        lost = set(range(least)) - set(seen)
        row.expect(not lost, f"{len(lost)} of {least} {word} lines are lost, from {min(lost, default=0)} on")
        row.expect(len(seen) == len(set(seen)), f"{len(seen) - len(set(seen))} {word} lines are doubled")
        row.figures[word] = f"{int(row.figures.get(word, '0')) + least}"
    row.figures["lines a second"] = str(rate)
    row.expect("SIGKILL" in site.outcome(run_id).message, "the run does not say that it was killed")


def _count_foreign(site: Site, row: Row, foreign: str) -> None:
    """Bytes that are no UTF-8 arrive replaced, and the run lives."""
    row.trials += 1
    (run_id,) = site.begin(foreign, 1)
    site.until_final([run_id])
    lines = [message for (message,) in site.rows(f"select message from logs where flow_run_id = '{run_id}'")]
    row.expect(site.outcome(run_id).state == "Completed", "a run that writes no UTF-8 has not completed")
    row.expect({"caf? ??", "and after it"} <= set(lines), f"its lines have come as {lines}")
