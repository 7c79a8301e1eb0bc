"""Policies of schedules against plain models: what is missed, and what would overlap."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeve.core.missed_dates import missed_dates
from reeve.core.schedule_policies import (
    PROMPT,
    Begun,
    Catchup,
    Overlap,
    SchedulePolicy,
    Waiting,
    settle,
)
from reeve.core.schedules import CronSchedule, IntervalSchedule, dates_to_schedule, occurrences

LEFT = datetime(2026, 3, 1, 12, tzinfo=UTC)
BACK = LEFT + timedelta(days=25)
DAILY = CronSchedule(cron="0 3 * * *", timezone="UTC")
NIGHTS = 25

Schedule = CronSchedule | IntervalSchedule
Away = Callable[[SchedulePolicy, Schedule, datetime, datetime], list[datetime]]


def waiting(dates: list[datetime], *, held: bool = False) -> list[Waiting]:
    return [Waiting(id=UUID(int=place), due=date, held=held) for place, date in enumerate(dates, start=1)]


def started(policy: SchedulePolicy, dates: list[datetime], now: datetime) -> list[datetime]:
    """Return the dates of the due runs that are left to start."""
    runs = waiting(sorted(set(dates)))
    skipped = {run_id for run_id, _ in settle(policy, runs, [], now).skip}
    return [run.due for run in runs if run.due <= now and run.id not in skipped]


def without_agents(
    policy: SchedulePolicy, schedule: Schedule, left: datetime, back: datetime
) -> list[datetime]:
    """The server was there: each date has its run."""
    return started(policy, [*occurrences(schedule, left, end=back)], back)


def without_server(
    policy: SchedulePolicy, schedule: Schedule, left: datetime, back: datetime
) -> list[datetime]:
    """The server was away too: it had made the next runs, and makes up for the others."""
    ahead = dates_to_schedule(schedule, left)
    return started(policy, [*ahead, *missed_dates(schedule, policy, max([left, *ahead]), back)], back)


@pytest.mark.parametrize("away", [without_agents, without_server])
@pytest.mark.parametrize(
    ("policy", "count"),
    [
        (SchedulePolicy(catchup=Catchup.NONE), 0),
        (SchedulePolicy(catchup=Catchup.LAST), 1),
        (SchedulePolicy(catchup=Catchup.ALL), NIGHTS),
        (SchedulePolicy(catchup=Catchup.ALL, max_late=3 * 86400), 3),
        (SchedulePolicy(catchup=Catchup.NONE, max_late=12 * 3600), 1),
        (SchedulePolicy(catchup=Catchup.LAST, max_late=3600), 0),
        (SchedulePolicy(catchup=Catchup.ALL, overlap=Overlap.SKIP), 1),
        (SchedulePolicy(catchup=Catchup.ALL, overlap=Overlap.QUEUE), NIGHTS),
        (SchedulePolicy(catchup=Catchup.ALL, overlap=Overlap.CANCEL_RUNNING), 1),
    ],
)
def test_after_25_days_off_each_policy_gives_its_count(
    away: Away, policy: SchedulePolicy, count: int
) -> None:
    found = away(policy, DAILY, LEFT, BACK)
    assert len(found) == count
    if policy.catchup is Catchup.LAST and found:
        assert found == [datetime(2026, 3, 26, 3, tzinfo=UTC)]


def test_without_a_policy_it_is_as_in_2_20() -> None:
    assert len(without_agents(SchedulePolicy(), DAILY, LEFT, BACK)) == NIGHTS
    assert len(without_server(SchedulePolicy(), DAILY, LEFT, BACK)) == 3


def test_the_newest_date_of_months_of_minutes_is_found() -> None:
    minutes = CronSchedule(cron="* * * * *")
    policy = SchedulePolicy(catchup=Catchup.LAST)
    assert missed_dates(minutes, policy, LEFT, LEFT + timedelta(days=90)) == [LEFT + timedelta(days=90)]
    once = CronSchedule(cron="0 0 1 * *")
    assert missed_dates(once, policy, LEFT, BACK) == []


schedules = st.builds(
    lambda minutes: IntervalSchedule(interval=60.0 * minutes, anchor_date=LEFT),
    st.integers(7, 3 * 24 * 60),
)
catchups = st.sampled_from([Catchup.NONE, Catchup.LAST, Catchup.ALL])
lateness = st.none() | st.integers(1, 40 * 86400).map(float)


@given(schedules, catchups, lateness, st.integers(1, 4 * 24 * 60))
def test_who_was_away_makes_no_difference(
    schedule: IntervalSchedule, catchup: Catchup, max_late: float | None, minutes: int
) -> None:
    left, back = LEFT + timedelta(seconds=1), LEFT + timedelta(seconds=1, minutes=minutes)
    policy = SchedulePolicy(catchup=catchup, max_late=max_late)
    passed = [*occurrences(schedule, left, end=back)]
    longest = timedelta(seconds=max_late) if max_late else PROMPT if catchup is Catchup.NONE else None
    expected = [date for date in passed if longest is None or back - date <= longest]
    if catchup is Catchup.LAST:
        expected = expected[-1:]
    assert without_agents(policy, schedule, left, back) == expected
    assert without_server(policy, schedule, left, back) == expected


class Line:
    """One schedule in a plain model of the world: a run begins as soon as it may, and ends when told."""

    def __init__(self, policy: SchedulePolicy, count: int) -> None:
        self.policy = policy
        self.now = LEFT
        self.waiting = {
            run.id: run for run in waiting([LEFT + timedelta(hours=n + 1) for n in range(count)], held=True)
        }
        self.running: dict[UUID, bool] = {}  # and whether it was told to end
        self.began: list[UUID] = []
        self.skipped: list[UUID] = []
        self.settle()

    def settle(self) -> None:
        begun = [Begun(id=run_id, name="one", ending=told) for run_id, told in self.running.items()]
        todo = settle(self.policy, list(self.waiting.values()), begun, self.now)
        for run_id, _ in todo.skip:
            del self.waiting[run_id]
            self.skipped.append(run_id)
        for run_id in todo.cancel:
            self.running[run_id] = True
        for run_id in todo.release:
            run = self.waiting[run_id]
            self.waiting[run_id] = Waiting(id=run.id, due=run.due, held=False)

    def begin(self) -> None:
        for run in sorted(self.waiting.values(), key=lambda run: run.due):
            if run.due <= self.now and not run.held:
                del self.waiting[run.id]
                self.running[run.id] = False
                self.began.append(run.id)

    def step(self, hours: float) -> None:
        self.now += timedelta(hours=hours)
        self.settle()
        self.begin()
        self.settle()

    def end(self) -> None:
        self.running.clear()
        self.settle()
        self.begin()
        self.settle()


events = st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.5, None]), max_size=30)


@given(st.sampled_from([Overlap.SKIP, Overlap.QUEUE, Overlap.CANCEL_RUNNING]), events)
def test_runs_never_overlap_and_none_is_forgotten(overlap: Overlap, happens: list[float | None]) -> None:
    line = Line(SchedulePolicy(overlap=overlap), 12)
    for hours in happens:
        line.end() if hours is None else line.step(hours)
        assert len(line.running) <= 1
        assert line.began == sorted(line.began)
        overdue = [run for run in line.waiting.values() if run.due <= line.now]
        if overlap is Overlap.SKIP:
            assert not overdue
        if overlap is Overlap.CANCEL_RUNNING:
            assert len(overdue) <= 1
            assert all(line.running.values()) or not overdue
        assert bool(line.running) or not overdue
    if overlap is Overlap.QUEUE:
        assert not line.skipped
    assert len(line.began) + len(line.skipped) + len(line.waiting) == 12


@given(events)
def test_skip_runs_just_what_finds_the_way_free(happens: list[float | None]) -> None:
    line = Line(SchedulePolicy(overlap=Overlap.SKIP), 12)
    for hours in happens:
        before, busy = {run.id: run for run in line.waiting.values()}, bool(line.running)
        if hours is None:
            line.end()
            continue
        line.step(hours)
        came = sorted((run for run in before.values() if run.due <= line.now), key=lambda run: run.due)
        began = [run.id for run in came if run.id in line.began]
        assert began == ([] if busy else [run.id for run in came[:1]])


def test_what_is_skipped_says_why() -> None:
    first, second = waiting([LEFT - timedelta(hours=2), LEFT - timedelta(hours=1)], held=True)
    busy = [Begun(id=uuid4(), name="busy-reeve", ending=False)]
    skip = settle(SchedulePolicy(overlap=Overlap.SKIP), [first], busy, LEFT).skip
    assert skip == [(first.id, "An earlier run of its schedule, busy-reeve, has not ended.")]
    late = settle(SchedulePolicy(max_late=5400), [first, second], [], LEFT)
    assert late.skip == [(first.id, "It did not start within 1 h 30 min of its date.")]
    replaced = settle(SchedulePolicy(overlap=Overlap.CANCEL_RUNNING), [first, second], busy, LEFT)
    assert replaced.skip == [(first.id, "A newer run of its schedule is due.")]
    assert replaced.cancel == [busy[0].id]
    assert not replaced.release
