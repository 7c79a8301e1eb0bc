"""Schedules: the edges of clocks that are set, what is refused and how, the JSON of 2.20."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from uuid import UUID

import pytest

from reeve.core.schedules import (
    CronSchedule,
    IntervalSchedule,
    RRuleSchedule,
    Schedule,
    dates_to_schedule,
    occurrences,
    schedule_from_json,
    schedule_to_json,
    scheduled_idempotency_key,
    validate,
)
from reeve.errors import InvalidInputError

NEW_YORK, ZURICH, LORD_HOWE = "America/New_York", "Europe/Zurich", "Australia/Lord_Howe"
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(schedule: Schedule, start: str, count: int) -> list[datetime]:
    return list(islice(occurrences(schedule, utc(start)), count))


def cron(text: str, timezone: str | None = None, *, day_or: bool = True) -> CronSchedule:
    return CronSchedule(cron=text, timezone=timezone, day_or=day_or)


def rrule(text: str, timezone: str | None = None) -> RRuleSchedule:
    return RRuleSchedule(rrule=text, timezone=timezone)


def daily(at: str, timezone: str) -> IntervalSchedule:
    """Every day at the time that the clock shows at that instant."""
    return IntervalSchedule(interval=86400, anchor_date=utc(at), timezone=timezone)


@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        # set forward: the first valid instant after, once
        (cron("30 2 * * *", NEW_YORK), "2026-03-08T05:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        (cron("0,30 2 * * *", NEW_YORK), "2026-03-08T05:00", ["2026-03-08T07:00", "2026-03-09T06:00"]),
        (cron("30 2,3 * * *", NEW_YORK), "2026-03-08T07:00", ["2026-03-08T07:00", "2026-03-08T07:30"]),
        (cron("30 2 * * *", NEW_YORK), "2026-03-08T07:00:01", ["2026-03-09T06:30"]),
        (cron("30 2 * * *", ZURICH), "2026-03-29T00:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        (cron("15 2 * * *", LORD_HOWE), "2026-10-03T12:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
        (cron("@daily", "America/Santiago"), "2026-09-06T00:00", ["2026-09-06T04:00", "2026-09-07T03:00"]),
        (
            cron("30 2 * * *", "Africa/Casablanca"),
            "2026-03-22T00:00",
            ["2026-03-22T02:00", "2026-03-23T01:30"],
        ),
        (cron("30 2 * * *", "Africa/El_Aaiun"), "2026-03-22T00:00", ["2026-03-22T02:00", "2026-03-23T01:30"]),
        # a whole day left out: 30 December 2011
        (cron("0 3 * * *", "Pacific/Apia"), "2011-12-29T14:00", ["2011-12-30T10:00", "2011-12-30T13:00"]),
        # set back: the first of both
        (cron("30 1 * * *", NEW_YORK), "2026-11-01T00:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        (cron("*/30 1 * * *", NEW_YORK), "2026-11-01T05:15", ["2026-11-01T05:30", "2026-11-02T06:00"]),
        (cron("30 1 * * *", NEW_YORK), "2026-11-01T05:31", ["2026-11-02T06:30"]),
        (cron("30 2 * * *", ZURICH), "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        (cron("45 1 * * *", LORD_HOWE), "2026-04-04T12:00", ["2026-04-04T14:45", "2026-04-05T15:15"]),
        (
            cron("30 2 * * *", "Africa/Casablanca"),
            "2026-02-15T00:00",
            ["2026-02-15T01:30", "2026-02-16T02:30"],
        ),
        (cron("0 1 * * *", "Antarctica/Troll"), "2026-10-24T23:00", ["2026-10-24T23:00", "2026-10-26T01:00"]),
        # a star in the hours: real time
        (cron("0 * * * *", NEW_YORK), "2026-03-08T06:00", ["2026-03-08T06:00", "2026-03-08T07:00"]),
        (cron("30 */2 * * *", NEW_YORK), "2026-03-08T05:30", ["2026-03-08T05:30", "2026-03-08T08:30"]),
        (cron("30 * * * *", NEW_YORK), "2026-11-01T05:30", ["2026-11-01T05:30", "2026-11-01T06:30"]),
        (cron("45 * * * *", LORD_HOWE), "2026-04-04T14:45", ["2026-04-04T14:45", "2026-04-04T15:15"]),
        # set back at the last midnight of 2009
        (cron("0 */5 * * *", "Asia/Dhaka"), "2009-12-31T13:00", ["2009-12-31T13:00", "2009-12-31T18:00"]),
        # the same rules for what croniter reads
        (cron("30 2 8 3 sun", NEW_YORK, day_or=False), "2026-01-01T00:00", ["2026-03-08T07:00"]),
        (
            cron("30 1 1 11 sun", NEW_YORK, day_or=False),
            "2026-11-01T00:00",
            ["2026-11-01T05:30", "2037-11-01T05:30"],
        ),
        (cron("30 2 8W 3 *", NEW_YORK), "2026-01-01T00:00", ["2026-03-09T06:30", "2027-03-08T07:30"]),
        # intervals of a day and more count the local clock
        (daily("2026-03-01T07:30", NEW_YORK), "2026-03-07T12:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        (daily("2026-10-25T05:30", NEW_YORK), "2026-11-01T00:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        (daily("2026-01-01T08:00", ZURICH), "2026-03-28T00:00", ["2026-03-28T08:00", "2026-03-29T07:00"]),
        # shorter ones real time
        (
            IntervalSchedule(interval=12 * 3600, anchor_date=utc("2026-01-01T08:00"), timezone=ZURICH),
            "2026-03-28T20:00",
            ["2026-03-28T20:00", "2026-03-29T08:00"],
        ),
        # rules of a day and coarser name wall times
        (rrule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", NEW_YORK), "2026-03-08T00:00", ["2026-03-08T07:00"]),
        (
            rrule("FREQ=WEEKLY;BYDAY=SU;BYHOUR=1", NEW_YORK),
            "2026-11-01T00:00",
            ["2026-11-01T05:00", "2026-11-08T06:00"],
        ),
        # finer ones count real time, their BY parts on the clock
        (rrule("FREQ=HOURLY", NEW_YORK), "2026-03-08T06:00", ["2026-03-08T06:00", "2026-03-08T07:00"]),
        (
            rrule("FREQ=HOURLY;BYHOUR=1", NEW_YORK),
            "2026-11-01T00:00",
            ["2026-11-01T05:00", "2026-11-01T06:00"],
        ),
        (rrule("FREQ=HOURLY;BYHOUR=2", NEW_YORK), "2026-03-08T00:00", ["2026-03-09T06:00"]),
        (
            rrule("FREQ=HOURLY;INTERVAL=2;BYHOUR=2,3", ZURICH),
            "2026-03-28T12:00",
            ["2026-03-29T01:00", "2026-03-30T01:00"],
        ),
    ],
)
def test_clocks_that_are_set(schedule: Schedule, start: str, expected: list[str]) -> None:
    assert first(schedule, start, len(expected)) == [utc(date) for date in expected]


@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        (cron("0 9 * * mon-fri"), "2026-11-20T10:00", ["2026-11-23T09:00", "2026-11-24T09:00"]),
        (cron("0 0 1 jan,JUL *"), "2026-02-01T00:00", ["2026-07-01T00:00", "2027-01-01T00:00"]),
        (cron("0 0 13 * fri"), "2026-11-01T00:00", ["2026-11-06T00:00", "2026-11-13T00:00"]),
        (cron("0 0 13 * fri", day_or=False), "2026-01-01T00:00", ["2026-02-13T00:00", "2026-03-13T00:00"]),
        # a step is a restriction like any other: "or", as 2.20 has it (Debian's cron says "and")
        (cron("0 0 */20 * mon"), "2026-11-01T00:00", ["2026-11-01T00:00", "2026-11-02T00:00"]),
        (cron("0 0 29 2 *"), "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        # six fields: the seconds stand last
        (cron("5 4 * * * 30"), "2026-01-01T00:00", ["2026-01-01T04:05:30", "2026-01-02T04:05:30"]),
        (cron("@hourly"), "2026-01-01T00:30", ["2026-01-01T01:00", "2026-01-01T02:00"]),
        (cron("@WEEKLY"), "2026-01-01T00:30", ["2026-01-04T00:00", "2026-01-11T00:00"]),
        (cron("0 0 l * *"), "2026-02-01T00:00", ["2026-02-28T00:00", "2026-03-31T00:00"]),
        (cron("0 0 * * fri#2"), "2026-02-01T00:00", ["2026-02-13T00:00", "2026-03-13T00:00"]),
        (cron("0 22-2/2 * * *"), "2026-02-01T03:00", ["2026-02-01T22:00", "2026-02-02T00:00"]),
        # both directions from the anchor; without one from midnight of 1 January 2020 on the local clock
        (
            IntervalSchedule(interval=7, anchor_date=utc("2030-01-01T00:00:01")),
            "2030-01-01",
            ["2030-01-01T00:00:01"],
        ),
        (
            IntervalSchedule(interval=7, anchor_date=utc("2030-01-01T00:00:01")),
            "2029-12-31T23:59:50",
            ["2029-12-31T23:59:54"],
        ),
        (IntervalSchedule(interval=86400, timezone=NEW_YORK), "2026-07-01", ["2026-07-01T04:00"]),
        (IntervalSchedule(interval=3600, timezone="Asia/Kolkata"), "2026-07-01", ["2026-07-01T00:30"]),
        (
            IntervalSchedule(interval=0.5),
            "2026-07-01T00:00:00.250",
            ["2026-07-01T00:00:00.500", "2026-07-01T00:00:01"],
        ),
        (rrule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17"), "2026-01-01", ["2026-01-30T17:00", "2026-02-27T17:00"]),
        (rrule("FREQ=DAILY;INTERVAL=3"), "2026-01-01", ["2026-01-02", "2026-01-05"]),
        (
            rrule("DTSTART:20260105T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH"),
            "2026-03-03",
            ["2026-03-05T09:00", "2026-03-16T09:00"],
        ),
        (rrule("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"), "2026-01-01", ["2028-02-29", "2032-02-29"]),
        (rrule("FREQ=YEARLY;BYEASTER=0"), "2028-01-01", ["2028-04-16", "2029-04-01"]),
        (rrule("FREQ=MINUTELY;INTERVAL=25"), "2026-01-01T00:00", ["2026-01-01T00:20", "2026-01-01T00:45"]),
        # without a time zone the one in the text counts; with one, its clock is what the text means (2.20)
        (
            rrule("DTSTART;TZID=Europe/Zurich:20260701T090000\nRRULE:FREQ=DAILY"),
            "2026-07-01",
            ["2026-07-01T07:00"],
        ),
        (rrule("DTSTART:20260701T090000Z\nRRULE:FREQ=DAILY", NEW_YORK), "2026-07-01", ["2026-07-01T13:00"]),
    ],
)
def test_what_schedules_mean(schedule: Schedule, start: str, expected: list[str]) -> None:
    validate(schedule)
    assert first(schedule, start, len(expected)) == [utc(date) for date in expected]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # the second of Monday, Thursday and Friday, though the rule begins on a Thursday
        (
            "DTSTART:20260101T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,TH,FR;BYSETPOS=2",
            "2026-01-15T15:00",
            ["2026-01-22T14:00", "2026-01-29T14:00"],
        ),
        # 24 hours on, clocks set forward show 13:00: nothing until they are set back
        (
            "DTSTART:20260101T120000\nRRULE:FREQ=HOURLY;INTERVAL=24;BYHOUR=12",
            "2026-03-06T18:00",
            ["2026-03-07T17:00", "2026-11-01T17:00"],
        ),
        # an end that is shown twice is meant the second time
        (
            "FREQ=MINUTELY;INTERVAL=15;UNTIL=20261101T011500",
            "2026-11-01T05:30",
            ["2026-11-01T05:30", "2026-11-01T05:45", "2026-11-01T06:00", "2026-11-01T06:15"],
        ),
    ],
)
def test_rules_with_a_catch(text: str, start: str, expected: list[str]) -> None:
    schedule = rrule(text, NEW_YORK)
    validate(schedule)
    assert first(schedule, start, 5)[: len(expected)] == [utc(date) for date in expected]
    if "UNTIL" in text:
        assert len(first(schedule, start, 5)) == len(expected)


def test_rules_are_joined_and_exceptions_taken_out() -> None:
    text = (
        "DTSTART:20260301T023000\nRRULE:FREQ=DAILY;UNTIL=20260310T023000\nRRULE:FREQ=DAILY;INTERVAL=2\n"
        "RDATE:20260302T120000,20260303T023000\nEXRULE:FREQ=WEEKLY;BYDAY=TU\nEXDATE:20260308T023000"
    )
    dates = list(occurrences(rrule(text, NEW_YORK), utc("2026-03-01"), end=utc("2026-03-15")))
    walls = [date.astimezone(timezone(timedelta(hours=-5))).strftime("%d %H:%M") for date in dates[:7]]
    # the 8th, whose 02:30 was skipped, is taken out all the same
    assert walls == ["01 02:30", "02 02:30", "02 12:00", "04 02:30", "05 02:30", "06 02:30", "07 02:30"]
    assert [date.day for date in dates[7:]] == [9, 11, 13]


def test_an_exception_takes_out_both_passes_of_a_repeated_hour() -> None:
    text = "RRULE:FREQ=HOURLY\nEXDATE:20261101T010000"
    assert first(rrule(text, NEW_YORK), "2026-11-01T04:00", 3) == [
        utc("2026-11-01T04:00"),
        utc("2026-11-01T07:00"),
        utc("2026-11-01T08:00"),
    ]


@pytest.mark.parametrize("freq", ["DAILY", "HOURLY"])
def test_count_is_counted_from_the_start_of_the_rule(freq: str) -> None:
    schedule = rrule(f"DTSTART:20260101T000000\nRRULE:FREQ={freq};COUNT=30")
    step = DAY if freq == "DAILY" else timedelta(hours=1)
    every = [utc("2026-01-01") + n * step for n in range(30)]
    assert list(occurrences(schedule, utc("2025-01-01"))) == every
    assert list(occurrences(schedule, every[20])) == every[20:]
    assert list(occurrences(schedule, every[29] + step)) == []


@pytest.mark.parametrize("freq", ["WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"])
def test_until_is_included_and_ends_the_rule(freq: str) -> None:
    schedule = rrule(f"DTSTART:20260104T000000\nRRULE:FREQ={freq};UNTIL=20260301T000000", ZURICH)
    dates = list(occurrences(schedule, utc("2026-02-28T22:59:59"), end=utc("2026-04-01")))
    assert dates[-1] == utc("2026-02-28T23:00")


def test_both_ends_are_included_and_a_thousand_dates_are_the_most() -> None:
    every_hour = IntervalSchedule(interval=3600)
    start = utc("2026-01-01")
    assert list(occurrences(every_hour, start, end=start + DAY)) == [start + n * DAY / 24 for n in range(25)]
    assert len(list(occurrences(every_hour, start))) == 1000


def test_start_and_end_may_be_in_any_zone() -> None:
    local = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert next(occurrences(cron("0 * * * *"), local)).isoformat() == "2026-01-01T07:00:00+00:00"


def test_a_naive_anchor_is_utc(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(time.tzset)  # runs after the variable is restored
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    anchor = datetime(2026, 1, 1, 0, 10)  # noqa: DTZ001 - naive is what is tested
    schedule = IntervalSchedule(interval=3600, anchor_date=anchor, timezone="Asia/Kolkata")
    assert first(schedule, "2026-07-01T00:00", 1) == [utc("2026-07-01T00:10")]
    assert schedule_to_json(schedule)["anchor_date"] == "2026-01-01T00:10:00+00:00"


def test_a_rule_that_begins_in_centuries_has_no_dates_yet() -> None:
    schedule = rrule("DTSTART:26000101T000000\nRRULE:FREQ=DAILY")
    validate(schedule)
    assert list(occurrences(schedule, utc("2026-01-01"))) == []


def test_old_rules_are_not_walked_from_their_start() -> None:
    """A rule of seconds from 1970 would take minutes; the test would not end."""
    schedule = rrule("DTSTART:19700101T000000\nRRULE:FREQ=SECONDLY;INTERVAL=7", NEW_YORK)
    assert first(schedule, "2026-01-01", 2)[1] - first(schedule, "2026-01-01", 1)[0] == timedelta(seconds=7)


# --- what becomes runs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "count", "last"),
    [
        (IntervalSchedule(interval=900), 5, "2026-11-22T13:15"),  # observed of 2.20
        (IntervalSchedule(interval=3600), 3, "2026-11-22T15:00"),
        (IntervalSchedule(interval=60), 61, "2026-11-22T13:01"),
        (IntervalSchedule(interval=1), 100, "2026-11-22T12:02:39"),  # max_runs
        (cron("0 0 1 * *"), 3, "2027-02-01"),
        (cron("0 0 25 12 *"), 1, "2026-12-25"),  # max_time
        (cron("0 0 1 6 *"), 0, None),
    ],
)
def test_how_many_dates_become_runs(schedule: Schedule, count: int, last: str | None) -> None:
    dates = dates_to_schedule(schedule, utc("2026-11-22T12:01"))
    assert len(dates) == count
    assert dates[-1:] == ([utc(last)] if last else [])


def test_the_numbers_can_be_others() -> None:
    dates = dates_to_schedule(
        IntervalSchedule(interval=60), utc("2026-01-01"), min_runs=2, min_time=timedelta(), max_runs=50
    )
    assert len(dates) == 2
    dates = dates_to_schedule(
        IntervalSchedule(interval=60),
        utc("2026-01-01"),
        min_runs=9,
        max_runs=50,
        max_time=timedelta(minutes=4),
    )
    assert len(dates) == 5


@pytest.mark.parametrize(
    ("timezone", "date"),
    [
        (None, "2026-11-22T19:30:00+00:00"),
        ("UTC", "2026-11-22T19:30:00+00:00"),
        (NEW_YORK, "2026-11-22T14:30:00-05:00"),
    ],
)
def test_the_key_of_a_scheduled_run(timezone: str | None, date: str) -> None:
    key = scheduled_idempotency_key(UUID(int=7), utc("2026-11-22T19:30"), timezone)
    assert key == f"scheduled 00000000-0000-0000-0000-000000000007 {date}"


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "obj",
    [
        {"interval": 3600.0, "anchor_date": "2026-11-22T19:05:01.757852+00:00", "timezone": "UTC"},
        {"interval": 0.5, "anchor_date": None, "timezone": None},
        {"cron": "0 3 * * *", "timezone": "Europe/Zurich", "day_or": False},
        {"rrule": "FREQ=DAILY", "timezone": None},
    ],
)
def test_json_comes_back_as_it_went(obj: dict[str, object]) -> None:
    assert schedule_to_json(schedule_from_json(obj)) == obj


def test_what_json_leaves_out_is_filled() -> None:
    assert schedule_to_json(schedule_from_json({"cron": "@daily"})) == {
        "cron": "@daily",
        "timezone": None,
        "day_or": True,
    }
    anchored = schedule_from_json({"interval": 60, "anchor_date": "2026-11-22 20:00:00+01:00"})
    assert anchored == IntervalSchedule(interval=60, anchor_date=utc("2026-11-22T19:00"))


@pytest.mark.parametrize(
    ("obj", "field", "words"),
    [
        ({}, "schedule", "exactly one"),
        ({"timezone": "UTC"}, "schedule", "exactly one"),
        ({"cron": "@daily", "interval": 60}, "schedule", "exactly one"),
        ({"cron": "@daily", "interval_seconds": 60}, "schedule", "interval_seconds"),
        ({"cron": "@daily", "anchor_date": None}, "schedule", "anchor_date"),
        ({"interval": "an hour"}, "interval", "float"),
        ({"interval": 60, "anchor_date": "today"}, "anchor_date", "datetime"),
        ({"rrule": None}, "rrule", "str"),
    ],
)
def test_json_of_another_shape_is_refused(obj: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as raised:
        schedule_from_json(obj)
    assert raised.value.field == field


# --- what cannot be followed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "field", "words"),
    [
        (
            cron("0 25 * * *"),
            "cron",
            r'^"0 25 \* \* \*" is not a cron expression: hour "25" .*0-23; example: "0 3 ',
        ),
        (cron("60 0 * * *"), "cron", r'minute "60"'),
        (cron("0 0 0 * *"), "cron", r'day of month "0"'),
        (cron("0 0 * foo *"), "cron", r'month "foo"'),
        (cron("0 0 * * 8"), "cron", r'day of week "8"'),
        (cron("0 0 * * * 61"), "cron", r'second "61"'),
        (cron("*/0 0 * * *"), "cron", r'minute "\*/0"'),
        (cron("- 0 * * *"), "cron", r'minute "-"'),
        (cron(""), "cron", "5 fields"),
        (cron("@reboot"), "cron", "5 fields"),
        (cron("0 0 * * * 0 2026"), "cron", "5 fields .*not 7"),
        (cron("0 0 30 2 *"), "cron", "no such date"),
        (cron("0 0 30 2 mon", day_or=False), "cron", "no such date"),
        (cron("0 0 * * mon,fri#2"), "cron", 'day of week "mon,fri#2"'),
        (cron("R 0 * * *"), "cron", 'minute "r"'),  # random: each server would have its own dates
        (cron("H 0 * * *"), "cron", 'minute "h"'),
        (cron("0 3 * * *", "Europe/Zürich"), "timezone", "did you mean Europe/Zurich"),
        (cron("0 3 * * *", "new york"), "timezone", "did you mean America/New_York"),
        (cron("0 3 * * *", "europe"), "timezone", '"europe" is not a time zone'),
        (cron("0 3 * * *", "Europe"), "timezone", '"Europe" is not a time zone'),
        (cron("0 3 * * *", "../../etc/passwd"), "timezone", "IANA name"),
        (cron("0 3 * * *", "+02:00"), "timezone", "IANA name"),
        (IntervalSchedule(interval=0), "interval", "more than 0 .*not 0; example: 3600"),
        (IntervalSchedule(interval=-60), "interval", "not -60"),
        (IntervalSchedule(interval=1e-9), "interval", "more than 0"),
        (IntervalSchedule(interval=float("nan")), "interval", "nan"),
        (IntervalSchedule(interval=float("inf")), "interval", "inf"),
        (IntervalSchedule(interval=1e12), "interval", "century"),
        (IntervalSchedule(interval=60, timezone="Mars"), "timezone", "Mars"),
        (rrule("FREQ=DAILY;" + "X" * 6500), "rrule", "6511 characters, 6500 are allowed"),
        (rrule(""), "rrule", "neither RRULE nor RDATE"),
        (rrule("EXDATE:20260101"), "rrule", "neither RRULE nor RDATE"),
        (rrule("every day"), "rrule", "example: FREQ=WEEKLY"),
        (rrule("FREQ=DAYLY"), "rrule", "FREQ is one of YEARLY, MONTHLY"),
        (rrule("INTERVAL=2"), "rrule", "FREQ is one of"),
        (rrule("SUMMARY:x"), "rrule", '"SUMMARY" is not one of DTSTART'),
        (rrule("FREQ=DAILY;BYHOUR=25"), "rrule", "hour must be in"),
        (rrule("FREQ=DAILY;BYDAY=XX"), "rrule", "BYDAY"),
        (rrule("FREQ=DAILY;CLOWNS=2"), "rrule", "CLOWNS"),
        (rrule("FREQ=DAILY;INTERVAL=0"), "rrule", "INTERVAL=0"),  # dateutil would not return
        (rrule("FREQ=DAILY;COUNT=0"), "rrule", "COUNT=0"),
        (rrule("FREQ=DAILY;COUNT=1000000"), "rrule", "COUNT=1000000 .*UNTIL"),
        (rrule("FREQ=DAILY;UNTIL=20191231"), "rrule", "never occurs"),
        (rrule("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"), "rrule", "never occurs"),
        (rrule("FREQ=MINUTELY;INTERVAL=1440;BYHOUR=3"), "rrule", "resulting in empty rule"),
        (rrule("DTSTART:0900\nRRULE:FREQ=DAILY"), "rrule", "0900"),  # dateutil would take today's date
        (rrule("DTSTART:99990101\nRRULE:FREQ=DAILY"), "rrule", "example"),
        (rrule("DTSTART:18990101\nRRULE:FREQ=DAILY"), "rrule", "before 1900"),
        (rrule("FREQ=DAILY", "Mars"), "timezone", "Mars"),
        (rrule("DTSTART;TZID=Mars:20260101\nRRULE:FREQ=DAILY"), "timezone", "Mars"),
    ],
)
def test_what_cannot_be_followed_is_refused(schedule: Schedule, field: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as raised:
        validate(schedule)
    assert raised.value.field == field


@pytest.mark.parametrize(
    "schedule",
    [cron("0 25 * * *"), rrule("FREQ=DAYLY"), IntervalSchedule(interval=0), cron("@daily", "Mars")],
)
def test_dates_of_what_was_not_validated_are_refused_too(schedule: Schedule) -> None:
    with pytest.raises(InvalidInputError):
        next(occurrences(schedule, utc("2026-01-01")))
