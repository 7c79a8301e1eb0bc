"""Schedules against an oracle that knows no time zone rules: it steps real time and watches the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from reeve.core.schedules import (
    CronSchedule,
    IntervalSchedule,
    RRuleSchedule,
    Schedule,
    dates_to_schedule,
    occurrences,
    same_until,
    validate,
)
from reeve.core.schedules.dates import HORIZON
from reeve.errors import InvalidInputError

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ZONES = sorted(available_timezones() - {"localtime", "Factory"})


# --- the oracle -----------------------------------------------------------------------------------


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def once_each(
    matches: Callable[[datetime], bool], zone: ZoneInfo, start: datetime, end: datetime
) -> list[datetime]:
    """A wall time has come when the clock first shows it or anything later."""
    fired = []
    moment = start - DAY  # no clock is set back further
    highest = shown(moment, zone)
    while moment < end:
        moment += MINUTE
        clock = shown(moment, zone)
        passed = highest + MINUTE
        due = False
        while passed <= clock:
            due = due or matches(passed)
            passed += MINUTE
        if due and start <= moment <= end:
            fired.append(moment)
        highest = max(highest, clock)
    return fired


def real_time(
    matches: Callable[[datetime], bool], zone: ZoneInfo, start: datetime, end: datetime
) -> list[datetime]:
    minutes = range(int((end - start) / MINUTE) + 1)
    return [start + n * MINUTE for n in minutes if matches(shown(start + n * MINUTE, zone))]


@lru_cache(maxsize=256)
def turning_days(name: str, year: int) -> tuple[date, ...]:
    """The days of UTC in that year in which the zone's clocks are set."""
    zone = ZoneInfo(name)
    midnights = [datetime(year, 1, 1, tzinfo=UTC) + n * DAY for n in range(366)]
    moved = [(m + DAY).astimezone(zone).utcoffset() != m.astimezone(zone).utcoffset() for m in midnights]
    return tuple(m.date() for m, turned in zip(midnights, moved, strict=True) if turned)


# --- what is drawn --------------------------------------------------------------------------------


@st.composite
def places(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a minute, mostly within two days of its clocks being set."""
    name = draw(st.sampled_from(ZONES))
    year = draw(st.integers(2000, 2040))
    days = turning_days(name, year) or (date(year, 3, 31),)
    day = draw(st.sampled_from(days))
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return name, start + draw(st.integers(-1440, 1440)) * MINUTE


def numbers(low: int, high: int, most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=1, max_size=most, unique=True).map(sorted)


def listed(values: list[int]) -> str:
    return ",".join(map(str, values))


def ascending(dates: list[datetime]) -> bool:
    return all(a < b for a, b in pairwise(dates))


def window(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    validate(schedule)
    dates = list(occurrences(schedule, start, end=end))
    assert ascending(dates)
    assert all(date.tzinfo is UTC for date in dates)
    return dates


# --- cron -----------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(places(), numbers(0, 59, 4), numbers(0, 23, 6), st.booleans())
@example(("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)), [30], [2], False)
@example(("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)), [30], [2], False)
@example(("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)), [30], [1], False)
@example(("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)), [0], [3], False)
@example(("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)), [0, 15, 45], [2, 3], False)
@example(("Antarctica/Troll", datetime(2026, 10, 25, tzinfo=UTC)), [0, 30], [0, 1, 2], False)
def test_cron_with_its_hours_named_runs_once_for_each_wall_time(
    place: tuple[str, datetime], minutes: list[int], hours: list[int], weekdays: bool
) -> None:
    name, start = place
    end = start + 2 * DAY
    cron = f"{listed(minutes)} {listed(hours)} * * {'mon-fri' if weekdays else '*'}"

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour in hours and (not weekdays or wall.weekday() < 5)

    dates = window(CronSchedule(cron=cron, timezone=name), start, end)
    assert dates == once_each(matches, ZoneInfo(name), start, end)


@settings(max_examples=80, deadline=None)
@given(places(), numbers(0, 59, 2), st.integers(1, 12))
@example(("America/New_York", datetime(2026, 11, 1, 3, tzinfo=UTC)), [30], 1)
@example(("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)), [0, 45], 1)
@example(("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)), [0], 12)
def test_cron_with_a_star_in_the_hours_goes_by_real_time(
    place: tuple[str, datetime], minutes: list[int], step: int
) -> None:
    name, start = place
    end = start + 2 * DAY
    cron = f"{listed(minutes)} */{step} * * *"

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour % step == 0

    dates = window(CronSchedule(cron=cron, timezone=name), start, end)
    assert dates == real_time(matches, ZoneInfo(name), start, end)


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    """A field as people write it."""
    number = st.integers(low, high)
    span = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1]).map(lambda p: f"{p[0]}-{p[1]}")
    step = st.integers(1, high)
    term = st.one_of(
        number.map(str),
        span,
        st.builds("{}/{}".format, span, step),
        st.builds("*/{}".format, step),
        st.builds("{}/{}".format, number, step),
    )
    return draw(st.one_of(st.just("*"), st.lists(term, min_size=1, max_size=3).map(",".join)))


@settings(max_examples=120, deadline=None)
@example(("2", "1", "2", "4-7/7", "2"), None, 30755, False)  # three dates in 50 years
@given(
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 7)),
    st.one_of(st.none(), fields(0, 59)),
    st.integers(0, 40 * 366 * 86400),
    st.booleans(),
)
def test_cron_means_what_croniter_means_where_no_clock_is_set(
    parts: tuple[str, ...], seconds: str | None, since: int, day_or: bool
) -> None:
    cron = " ".join([*parts, *([seconds] if seconds else [])])
    start = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=since)
    theirs = croniter(
        cron, start - timedelta(seconds=1), ret_type=datetime, day_or=day_or, max_years_between_matches=50
    )
    # 50 years are looked through in all; croniter looks so far from each date to the next.
    expected = [date for date in islice(theirs.all_next(datetime), 8) if date <= start + HORIZON]
    ours = occurrences(CronSchedule(cron=cron, day_or=day_or), start)
    assert list(islice(ours, 8)) == expected


# --- intervals ------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(places(), st.integers(1, 4 * 1440), st.integers(-400_000, 400_000))
def test_intervals_of_a_day_and_more_count_the_local_clock(
    place: tuple[str, datetime], minutes_more: int, anchor_minutes: int
) -> None:
    name, start = place
    zone = ZoneInfo(name)
    step = DAY + (minutes_more // 720) * timedelta(hours=12)
    anchor = start + anchor_minutes * MINUTE
    origin = shown(anchor, zone)
    end = start + 4 * DAY
    schedule = IntervalSchedule(interval=step.total_seconds(), anchor_date=anchor, timezone=name)
    dates = window(schedule, start, end)
    assert dates == once_each(lambda wall: (wall - origin) % step == timedelta(), zone, start, end)


@settings(max_examples=60, deadline=None)
@given(places(), st.integers(1, 1439), st.integers(-400_000, 400_000))
def test_shorter_intervals_count_real_time(
    place: tuple[str, datetime], minutes: int, anchor_minutes: int
) -> None:
    name, start = place
    anchor = start + anchor_minutes * MINUTE
    schedule = IntervalSchedule(interval=minutes * 60, anchor_date=anchor, timezone=name)
    end = start + DAY
    every = [start + n * MINUTE for n in range(1441)]
    due = [moment for moment in every if int((moment - anchor) / MINUTE) % minutes == 0]
    assert window(schedule, start, end) == due[:1000]


# --- recurrence rules -----------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(places(), numbers(0, 59, 3), numbers(0, 23, 4), numbers(0, 6, 7), st.integers(0, 3000))
def test_rules_of_days_and_weeks_run_once_for_each_wall_time(
    place: tuple[str, datetime], minutes: list[int], hours: list[int], days: list[int], age: int
) -> None:
    name, start = place
    end = start + 2 * DAY
    begun = (start - (age + 30) * DAY).replace(hour=0, minute=0)
    names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
    text = (
        f"DTSTART:{begun:%Y%m%dT%H%M%S}\nRRULE:FREQ=WEEKLY;BYDAY={','.join(names[day] for day in days)}"
        f";BYHOUR={listed(hours)};BYMINUTE={listed(minutes)};BYSECOND=0"
    )

    def matches(wall: datetime) -> bool:
        return wall.weekday() in days and wall.hour in hours and wall.minute in minutes

    dates = window(RRuleSchedule(rrule=text, timezone=name), start, end)
    assert dates == once_each(matches, ZoneInfo(name), start, end)


@settings(max_examples=80, deadline=None)
@given(places(), st.integers(1, 7), st.one_of(st.none(), numbers(0, 23, 12)), st.integers(0, 1000))
@example(("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)), 5, None, 1)
@example(("Europe/Zurich", datetime(2026, 10, 24, tzinfo=UTC)), 1, [2], 1)
def test_rules_of_hours_count_real_time_and_read_their_hours_on_the_clock(
    place: tuple[str, datetime], step: int, hours: list[int] | None, age: int
) -> None:
    name, start = place
    zone = ZoneInfo(name)
    end = start + 3 * DAY
    begun = shown(start - (age + 2) * DAY, zone).replace(hour=12)
    origin = begun.replace(tzinfo=zone).astimezone(UTC)
    assume(shown(origin, zone) == begun)  # Apia had no 30 December 2011
    if hours is not None:
        step = 1  # with a longer one the hours may never be met
    by_hour = "" if hours is None else f";BYHOUR={listed(hours)}"
    text = f"DTSTART:{begun:%Y%m%dT%H%M%S}\nRRULE:FREQ=HOURLY;INTERVAL={step}{by_hour}"

    def due(moment: datetime) -> bool:
        on_grid = (moment - origin) % timedelta(hours=step) == timedelta()
        return on_grid and (hours is None or shown(moment, zone).hour in hours)

    every = [start + n * MINUTE for n in range(int((end - start) / MINUTE) + 1)]
    dates = window(RRuleSchedule(rrule=text, timezone=name), start, end)
    assert dates == [moment for moment in every if due(moment)]


# --- every zone -----------------------------------------------------------------------------------


def test_every_zone_runs_a_nightly_job_once_for_each_wall_time_around_each_kind_of_change() -> None:
    def matches(wall: datetime) -> bool:
        return wall.minute in {0, 30} and wall.hour in {0, 1, 2, 3, 23}

    turned = 0
    for number, name in enumerate(ZONES):
        years = [2000 + (number + 7 * n) % 41 for n in range(4)]
        days = next((days for year in years if (days := turning_days(name, year))), (date(2020, 6, 1),))
        turned += len(days) > 1
        for day in {days[0], days[-1]}:
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            dates = window(CronSchedule(cron="0,30 0-3,23 * * *", timezone=name), start, start + DAY)
            assert dates == once_each(matches, ZoneInfo(name), start, start + DAY), (name, day)
    assert turned > 100


# --- always ---------------------------------------------------------------------------------------


def schedules(name: str) -> st.SearchStrategy[Schedule]:
    crons = [
        "* * * * *",
        "0 3 * * *",
        "30 1,2 * * *",
        "*/7 */3 * * *",
        "0 0 29 2 *",
        "0 9 1 * mon",
        "0 0 l * *",
    ]
    rules = [
        "FREQ=DAILY",
        "FREQ=HOURLY;INTERVAL=5",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=YEARLY",
        "FREQ=MINUTELY",
    ]
    return st.one_of(
        st.builds(CronSchedule, cron=st.sampled_from(crons), timezone=st.just(name)),
        st.builds(RRuleSchedule, rrule=st.sampled_from(rules), timezone=st.just(name)),
        st.builds(IntervalSchedule, interval=st.floats(0.001, 1e8), timezone=st.just(name)),
    )


CRON_LETTERS = st.text("0123456789*/-,#LWRHmonfri?@ ", max_size=24)
CRON_FIELD = st.one_of(fields(0, 60), st.text("0123456789*/-,#LWlwrh?", min_size=1, max_size=5))
RULE_PART = st.one_of(
    st.sampled_from(["FREQ=YEARLY", "FREQ=WEEKLY", "FREQ=DAILY", "FREQ=HOURLY", "FREQ=MINUTELY", "FREQ"]),
    st.builds("INTERVAL={}".format, st.integers(-1, 2000)),
    st.builds("COUNT={}".format, st.integers(-1, 2000)),
    st.builds("UNTIL={}".format, st.sampled_from(["20260101", "20300101T000000Z", "x", "0"])),
    st.builds("BYDAY={}".format, st.sampled_from(["MO", "2TU", "-1FR,SA", "", "+", "MO("])),
    st.builds("BYSETPOS={}".format, st.integers(-3, 3)),
    *(
        st.builds(f"{name}={{}}".format, numbers(low, high, 3).map(listed))
        for name, low, high in [
            ("BYMONTH", 1, 13),
            ("BYMONTHDAY", -32, 32),
            ("BYYEARDAY", -367, 367),
            ("BYWEEKNO", -54, 54),
            ("BYHOUR", 0, 24),
            ("BYMINUTE", 0, 60),
            ("BYSECOND", 0, 60),
            ("BYEASTER", -5, 60),
        ]
    ),
)
RULE_HEAD = st.sampled_from(
    [
        "",
        "RRULE:",
        "DTSTART:20251026T013000\nRRULE:",
        "DTSTART;TZID=Europe/Paris:20200101\nRRULE:",
        "RDATE:20270101\n",
    ]
)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.builds(CronSchedule, cron=CRON_LETTERS, day_or=st.booleans()),
        st.builds(CronSchedule, cron=st.lists(CRON_FIELD, min_size=5, max_size=6).map(" ".join)),
        st.builds(RRuleSchedule, rrule=st.text("FREQ=DAILY;:0123456789TZ\n", max_size=40)),
        st.builds(
            RRuleSchedule,
            rrule=st.builds(
                "{}{}".format, RULE_HEAD, st.lists(RULE_PART, max_size=4, unique=True).map(";".join)
            ),
            timezone=st.just("America/New_York"),
        ),
        st.builds(IntervalSchedule, interval=st.floats(), timezone=st.text(max_size=8)),
    )
)
def test_what_is_not_refused_can_be_followed(schedule: Schedule) -> None:
    try:
        validate(schedule)
    except InvalidInputError:
        return
    dates = list(islice(occurrences(schedule, datetime(2026, 10, 31, tzinfo=UTC)), 20))
    assert ascending(dates)


@settings(max_examples=100, deadline=None)
@given(places().flatmap(lambda place: st.tuples(schedules(place[0]), st.just(place[1]))))
def test_dates_ascend_come_once_and_do_not_depend_on_where_one_begins(
    drawn: tuple[Schedule, datetime],
) -> None:
    schedule, start = drawn
    end = start + 40 * 366 * DAY
    dates = list(islice(occurrences(schedule, start, end=end), 60))
    assert ascending(dates)
    assert dates[0] >= start
    half = len(dates) // 2
    assert list(islice(occurrences(schedule, dates[half], end=end), len(dates) - half)) == dates[half:]


@settings(max_examples=100, deadline=None)
@given(places().flatmap(lambda place: st.tuples(schedules(place[0]), st.just(place[1]))))
def test_what_is_scheduled_covers_three_runs_and_an_hour_and_no_more(
    drawn: tuple[Schedule, datetime],
) -> None:
    schedule, now = drawn
    dates = dates_to_schedule(schedule, now)
    assert dates == list(islice(occurrences(schedule, now), len(dates)))
    assert all(date <= now + timedelta(days=100) for date in dates)

    def enough(some: list[datetime]) -> bool:
        return len(some) >= 3 and some[-1] >= now + timedelta(hours=1)

    assert not enough(dates[:-1])
    following: Iterator[datetime] = islice(occurrences(schedule, now), len(dates), None)
    after = next(following, None)
    assert enough(dates) or len(dates) == 100 or after is None or after > now + timedelta(days=100)


@settings(max_examples=200, deadline=None)
@given(
    places().flatmap(lambda place: st.tuples(schedules(place[0]), st.just(place[1]))),
    st.floats(0, 1),
)
def test_until_the_time_that_is_told_no_further_date_is_scheduled(
    drawn: tuple[Schedule, datetime], share: float
) -> None:
    schedule, now = drawn
    dates = dates_to_schedule(schedule, now)
    end = same_until(dates, now)
    if end is None:
        assert len(dates) < 3 or dates[-1] < now + timedelta(hours=1)
        return
    assert end >= now
    later = dates_to_schedule(schedule, now + (end - now) * share)
    assert set(later) <= set(dates)
