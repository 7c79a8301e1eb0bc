"""Logs: no line is lost or doubled when a run is killed amid an outage; what is too much is cut, and counted.

Protocol §7. The run goes on in any case.
"""

from __future__ import annotations

import resource
import struct
import time
from pathlib import Path
from random import Random
from uuid import UUID

from tests.chaos.death import parent
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

@flow
def verbose(marks: str, lines: int, waits: bool):
    log = get_run_logger()
    mark(marks, "begin")
    while waits and not Path(marks + ".go").exists():
        time.sleep(0.05)
    for number in range(lines):
        print("printed", number)
        log.info("logged %d", number)
    mark(marks, "end")

@flow
def loud(marks: str, lines: int, width: int):
    mark(marks, "begin")
    while not Path(marks + ".go").exists():
        time.sleep(0.05)
    for number in range(lines):
        print("loud {{}} ".format(number).ljust(width - 1, "."))
    mark(marks, "end")
"""
WORDS = ("printed", "logged")
QUOTA = 20_000  # bytes
ROOM = 10_000  # bytes in a file of a spool that is full
LINES = 2_000  # of each kind: more than either holds
SPOOL = 1024 * 1024  # bytes of disk that the output of all runs of an agent may take
WIDTH = 1_000  # bytes of a line of which so many are more than it holds
BLOCKS = 3 * 4096  # of the files of one run: the bound is one of bytes, the disk counts in blocks


def keeps_logs(site: Site, dice: Random, counts: Counts) -> Row:
    """Kill runs that write 10,000 lines a second while the server is away, and count their lines."""
    row = Row()
    site.open()
    flows = ("main", "foreign", "verbose", "loud")
    chatty, foreign, verbose, loud = (site.deploy(CHATTY, flow) for flow in flows)
    site.employ(Agent("agent"))
    site.employ(Agent("frugal", queues=("frugal",)), REEVE_OUTPUT_QUOTA=str(QUOTA))
    site.employ(Agent("narrow", queues=("narrow",)), REEVE_SPOOL_LIMIT=str(SPOOL))
    rate = counts.scaled(10_000, 2_000)
    for number in range(counts.trials(10, 1)):
        _count_killed(site, dice, row, chatty, rate, number)
        _count_full(site, row, verbose, loud, number)
        _count_quota(site, row, verbose)
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
    lines = _lines(site, run_id)
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
    lines = _lines(site, run_id)
    row.expect(site.outcome(run_id).state == "Completed", "a run that writes no UTF-8 has not completed")
    row.expect({"caf? ??", "and after it"} <= set(lines), f"its lines have come as {lines}")


def _count_quota(site: Site, row: Row, verbose: str) -> None:
    """A run that writes more than it may lives, and one line of each kind says where the rest was cut."""
    row.trials += 1
    (run_id,) = site.begin(verbose, 1, queue="frugal", lines=LINES, waits=False)
    site.until_final([run_id])
    outcome, lines = site.outcome(run_id), _lines(site, run_id)
    row.expect(outcome.state == "Completed", f"quota: {outcome.state}: {outcome.message}")
    row.expect(any(mark.run_id == run_id for mark in site.marked("end")), "quota: the run was not let finish")
    printed = [line for line in lines if line.startswith("print")]
    row.expect(set(printed) == set(_printed()[:QUOTA].splitlines()), f"quota: {len(printed)} lines came")
    logged = [int(line.split()[1]) for line in lines if line.startswith("logged ")]
    row.expect(sorted(logged) == [*range(len(logged))], "quota: logged lines are lost before the cut")
    row.expect(0 < len(logged) < LINES, f"quota: {len(logged)} of {LINES} logged lines came")
    for sentence in (f"[reeve] output beyond {QUOTA} bytes was cut here", "The log of this run was cut here"):
        told = sum(sentence in line for line in lines)
        row.expect(told == 1, f"quota: {told} lines say: {sentence}")
    row.expect(not [line for line in lines if " lost" in line], "quota: what was cut is called lost")


def _count_full(site: Site, row: Row, verbose: str, loud: str, number: int) -> None:
    """A spool that is full amid an outage stops no run, be it the disk that is full or the spool's own limit.

    What finds no room is counted to the byte.
    """
    row.trials += 2
    by_disk, by_limit = (site.root / f"full-{number}-by-{what}" for what in ("disk", "limit"))
    (on_disk,) = site.run_at_once(verbose, 1, marks=str(by_disk), lines=LINES, waits=True)
    (in_spool,) = site.run_at_once(
        loud, 1, queue="narrow", marks=str(by_limit), lines=2 * SPOOL // WIDTH, width=WIDTH
    )
    until("user code", lambda: site.marked(marks=by_disk) and site.marked(marks=by_limit))
    run = site.marked(marks=by_disk)[0].pid
    shim = parent(run)
    site.kill("server")
    for pid in (run, shim):  # who writes records, and who writes output
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
    for marks in (by_disk, by_limit):
        Path(f"{marks}.go").touch()
    until(
        "the runs to go on without room",
        lambda: site.marked("end", by_disk) and site.marked("end", by_limit),
    )
    taken = _taken(site.home_of("narrow") / "spool")
    row.expect(taken <= SPOOL + BLOCKS, f"full: the spool takes {taken} bytes of {SPOOL}")
    site.start_server()
    site.until_final([on_disk, in_spool])
    resource.prlimit(shim, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    _expect_full_disk(site, row, on_disk)
    _expect_full_spool(site, row, in_spool)


def _expect_full_disk(site: Site, row: Row, run_id: UUID) -> None:
    outcome, lines = site.outcome(run_id), _lines(site, run_id)
    row.expect(outcome.state == "Completed", f"full: {outcome.state}: {outcome.message}")
    printed = {line for line in lines if line.startswith("print")}
    row.expect(printed == set(_printed()[:ROOM].splitlines()), f"full: {len(printed)} printed lines came")
    told = f"{len(_printed()) - ROOM} bytes of this run's output were lost"
    row.expect(any(told in line for line in lines), f"full: no line says: {told}")
    logged = [int(line.split()[1]) for line in lines if line.startswith("logged ")]
    row.expect(sorted(logged) == [*range(len(logged))], "full: logged lines are lost that had room")
    told = f"{LINES - len(logged)} log lines were lost"
    row.expect(any(told in line for line in lines), f"full: no line says: {told}")


def _expect_full_spool(site: Site, row: Row, run_id: UUID) -> None:
    """Expect that what came and what is called lost are the whole, and that each gap says how long it is."""
    outcome, lines, text = site.outcome(run_id), _lines(site, run_id), _shouted()
    row.expect(outcome.state == "Completed", f"full: {outcome.state}: {outcome.message}")
    lost = sum(int(line.split()[0]) for line in lines if "bytes of this run's output were lost" in line)
    gaps = _gaps(lines)
    row.expect(sum(gaps) == lost, f"full: {lost} bytes are lost, {gaps} where they were")
    gaps = _gaps(_lines(site, run_id, "reeve.stdout"))  # standard error may have some too
    came = sum(len(line) + 1 for line in lines if line and line in text)
    rest = abs(came + sum(gaps) - len(text))  # a line that a gap cuts has no end of its own
    row.expect(gaps and rest <= len(gaps), f"full: {came} bytes came of {len(text)}, and {gaps} are lost")


def _gaps(lines: list[str]) -> list[int]:
    """Return how many bytes were lost at each place that says so."""
    return [int(line.split()[1]) for line in lines if "bytes of output were lost here" in line]


def _taken(folder: Path) -> int:
    """Return the bytes of the disk that the output under a folder takes."""
    files = (file for name in ("stdout", "stderr", "records") for file in folder.rglob(name))
    return sum(file.stat().st_blocks * 512 for file in files)


def _printed() -> str:
    return "".join(f"printed {number}\n" for number in range(LINES))


def _shouted() -> str:
    return "".join(f"loud {number} ".ljust(WIDTH - 1, ".") + "\n" for number in range(2 * SPOOL // WIDTH))


def _lines(site: Site, run_id: UUID, logger: str = "%") -> list[str]:
    found = site.rows(f"select message from logs where flow_run_id = '{run_id}' and name like '{logger}'")
    return [message for (message,) in found]
