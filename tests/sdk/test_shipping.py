"""Lines on their way to the server: in batches, in order, and never in the way."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from reeve.agent.output import PART_BYTES
from reeve.errors import ForbiddenError, UnavailableError
from reeve.sdk import shipping
from reeve.sdk.shipping import LogShipper, RecordFile
from reeve.wire import codec
from reeve.wire.requests import LogCreate


class Receiver:
    """A server for logs, as the shipper sees it: one function."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.batches: list[int] = []
        self.faults: list[Exception] = []
        self.heard = threading.Condition()

    def __call__(self, lines: list[LogCreate]) -> None:
        with self.heard:
            if self.faults:
                self.heard.notify_all()
                raise self.faults.pop(0)
            self.batches.append(len(lines))
            self.lines.extend(line.message for line in lines)
            self.heard.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.heard:
            assert self.heard.wait_for(condition, 20)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def log(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """A logger whose lines are shipped."""
    monkeypatch.setattr(shipping, "_RETRY_SECONDS", 0.01)
    logger = logging.Logger("reeve.flow_runs")  # noqa: LOG001  # not the one of the process
    logger.addHandler(LogShipper(receiver))
    yield logger
    shipper(logger).finish(0.1)


def shipper(log: logging.Logger) -> LogShipper:
    handler = log.handlers[0]
    assert isinstance(handler, LogShipper)
    return handler


def test_lines_arrive_without_being_asked_for(log: logging.Logger, receiver: Receiver) -> None:
    log.info("one %s", "line")
    receiver.wait_for(lambda: receiver.lines == ["one line"])


def test_the_end_waits_for_nothing_but_the_lines(log: logging.Logger, receiver: Receiver) -> None:
    for number in range(1200):
        log.info("%d", number)
    shipper(log).finish(20)
    assert receiver.lines == [str(number) for number in range(1200)]
    assert max(receiver.batches) == 500


def test_an_outage_keeps_lines_and_order(log: logging.Logger, receiver: Receiver) -> None:
    receiver.faults = [UnavailableError(), UnavailableError()]
    log.info("first")
    receiver.wait_for(lambda: len(receiver.faults) < 2)
    log.info("second")
    receiver.wait_for(lambda: receiver.lines == ["first", "second"])


def test_what_is_left_goes_to_standard_error(
    log: logging.Logger, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.faults = [UnavailableError() for _ in range(10_000)]
    log.info("a")
    log.info("b")
    shipper(log).finish(0.05)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "reeve: 2 log lines did not reach the server"
    assert [line.split()[-1] for line in told[1:]] == ["a", "b"]


def test_what_the_server_refuses_is_not_sent_again(
    log: logging.Logger, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.faults = [ForbiddenError("no logs from you")]
    log.info("a")
    receiver.wait_for(lambda: not receiver.faults)
    log.info("b")
    shipper(log).finish(20)
    assert receiver.lines == ["b"]
    assert "refused 1 log lines: no logs from you" in capsys.readouterr().err


def test_the_buffer_is_bounded(
    log: logging.Logger,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shipping, "_BUFFER_CHARACTERS", 10)
    receiver.faults = [UnavailableError() for _ in range(10_000)]
    for letter in "abcde":
        log.info(letter * 4)
    shipper(log).finish(0.05)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "reeve: 5 log lines did not reach the server"
    assert [line.split()[-1] for line in told[1:]][-1] == "eeee"
    assert len(told) <= 4


def test_a_long_line_is_cut_and_says_so(log: logging.Logger, receiver: Receiver) -> None:
    log.info("x" * 100_007)
    shipper(log).finish(20)
    assert receiver.lines[0].endswith("xxx… (7 characters cut)")


def test_a_line_carries_its_run_and_its_traceback(log: logging.Logger) -> None:
    sent: list[LogCreate] = []
    handler = LogShipper(sent.extend)
    log.addHandler(handler)
    try:
        raise ValueError("broken")  # noqa: TRY301  # for its traceback
    except ValueError:
        log.exception("it happened", extra={"flow_run_id": UUID(int=1), "task_run_id": UUID(int=2)})
    handler.finish(20)
    (line,) = sent
    assert (line.level, line.name) == (logging.ERROR, "reeve.flow_runs")
    assert (line.flow_run_id, line.task_run_id) == (UUID(int=1), UUID(int=2))
    assert line.message.splitlines()[0] == "it happened"
    assert line.message.splitlines()[-1] == "ValueError: broken"


def test_arguments_that_do_not_fit_harm_nobody(
    log: logging.Logger, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("%d", "no number")
    log.info("fine")
    shipper(log).finish(20)
    assert receiver.lines == ["fine"]
    assert "--- Logging error ---" in capsys.readouterr().err


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records"


def recording(records: Path, **options: int) -> tuple[logging.Logger, RecordFile]:
    handler = RecordFile(str(records), **options)
    logger = logging.Logger("reeve.flow_runs")  # noqa: LOG001  # as above
    logger.addHandler(handler)
    return logger, handler


def written(records: Path) -> list[str]:
    lines = filter(None, records.read_bytes().split(b"\n"))
    return [codec.decode(line, LogCreate).message for line in lines]


def test_a_line_is_in_the_file_before_the_call_returns(records: Path) -> None:
    logger, _ = recording(records)
    logger.info("one\u2028line\n%s", "and more")
    assert written(records) == ["one\u2028line\nand more"]


def test_a_run_that_logs_nothing_makes_no_file(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, handler = recording(records)
    handler.finish(1)
    assert not records.exists()
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_made_harms_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / "spool" / "records"
    logger, handler = recording(records)
    logger.info("gone")
    records.parent.mkdir()
    logger.info("kept")
    assert "kept" in written(records)
    records.unlink()
    handler.finish(1)
    assert capsys.readouterr().err == ""
    assert logger.handlers == [handler]


def test_a_line_of_any_length_fits_what_the_agent_sends_at_once(records: Path) -> None:
    logger, _ = recording(records)
    logger.info("\x01" * 200_000)
    assert records.stat().st_size < PART_BYTES
    assert "characters cut" in written(records)[0]


def test_records_beyond_the_quota_are_cut_with_a_line_that_says_so(records: Path) -> None:
    logger, _ = recording(records, quota=1000)
    for number in range(100):
        logger.info("%d", number)
    assert written(records)[-1] == "The log of this run was cut here: it has reached its quota."
    assert records.stat().st_size < 1500


FULL_DISK = """
import logging, resource, sys
from reeve.sdk.shipping import RecordFile

handler = RecordFile(sys.argv[1])
logger = logging.Logger("reeve.flow_runs")
logger.addHandler(handler)
logger.info("before")
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
for number in range(10):
    logger.info("lost %d", number)
if sys.argv[2] == "room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    logger.info("after")
handler.finish(0)
"""


@pytest.mark.parametrize("then", ["room", "no room"])
def test_a_full_disk_costs_lines_and_says_how_many(records: Path, then: str) -> None:
    program = [sys.executable, "-c", FULL_DISK, str(records), then]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    whole = [line for line in records.read_text().split("\n") if line.endswith("}")]
    told = [codec.decode(line.encode(), LogCreate).message for line in whole]
    assert told[0] == "before"
    if then == "room":
        assert told[1:] == ["10 log lines were lost here: the agent's disk was full.", "after"]
    else:
        assert "10 log lines were lost: the agent's disk was full." in done.stderr
