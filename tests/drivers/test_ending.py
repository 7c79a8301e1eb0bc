"""The order in which a tree hears its end."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

from reeve.drivers.process.ending import MAIN_ALONE, Ending
from reeve.drivers.process.tree import Process


def process(pid: int, start_time: int = 1) -> Process:
    return Process(pid, parent=1, session=1, start_time=start_time, state="S")


def due(ending: Ending, now: float, main: int | None, *pids: int) -> list[tuple[int, int]]:
    return [(one.pid, number) for one, number in ending.due(now, main, [process(pid) for pid in pids])]


def test_the_main_process_is_asked_first_and_once() -> None:
    ending = Ending(100.0, 30, "agent")
    assert due(ending, 100.0, 10, 10, 11) == [(10, SIGTERM)]
    assert due(ending, 101.0, 10, 10, 11) == []


def test_the_rest_is_asked_when_it_has_had_its_time() -> None:
    ending = Ending(100.0, 30, "agent")
    due(ending, 100.0, 10, 10, 11)
    assert due(ending, 100.0 + MAIN_ALONE, 10, 10, 11, 12) == [(11, SIGTERM), (12, SIGTERM)]
    assert due(ending, 110.0, 10, 10, 11, 12, 13) == [(13, SIGTERM)]


def test_the_rest_is_asked_at_once_when_it_is_gone() -> None:
    ending = Ending(100.0, 30, "agent")
    due(ending, 100.0, 10, 10, 11)
    assert due(ending, 100.1, None, 11) == [(11, SIGTERM)]


def test_a_new_process_with_an_old_pid_is_asked_too() -> None:
    ending = Ending(100.0, 30, None)
    assert due(ending, 100.0, None, 11) == [(11, SIGTERM)]
    again = ending.due(100.1, None, [process(11, start_time=2)])
    assert [number for _, number in again] == [SIGTERM]


def test_after_the_grace_period_all_are_killed_again_and_again() -> None:
    ending = Ending(100.0, 1, "agent")
    for now in (101.0, 101.1):
        assert due(ending, now, 10, 10, 11) == [(10, SIGKILL), (11, SIGKILL)]


def test_the_grace_period_can_be_shortened_only() -> None:
    ending = Ending(100.0, 30, "agent")
    ending.hurry(101.0, 60)
    assert ending.deadline == 130.0
    ending.hurry(102.0, 3)
    assert ending.deadline == 105.0
