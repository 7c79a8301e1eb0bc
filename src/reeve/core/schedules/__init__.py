"""Schedules: when runs of a deployment are due. Pure: what the time is comes in as an argument.

Clocks that are set forward and back, one rule for all kinds:

- A schedule that names wall times (cron with its hours named, intervals and rules of a day and coarser)
  runs once for each: one that was skipped at the first valid instant after, one that is shown twice at
  the first.
- A schedule that counts time (cron with ``*`` in the hour field, shorter intervals, rules of hours and
  finer) goes by real time: in both passes of a repeated hour, not in a skipped one.
"""

from reeve.core.schedules.dates import (
    MAX_CANDIDATES,
    dates_to_schedule,
    occurrences,
    own_parameters_key,
    same_until,
    scheduled_idempotency_key,
    validate,
)
from reeve.core.schedules.kinds import (
    CronSchedule,
    IntervalSchedule,
    RRuleSchedule,
    Schedule,
    schedule_from_json,
    schedule_to_json,
)

__all__ = [
    "MAX_CANDIDATES",
    "CronSchedule",
    "IntervalSchedule",
    "RRuleSchedule",
    "Schedule",
    "dates_to_schedule",
    "occurrences",
    "own_parameters_key",
    "same_until",
    "schedule_from_json",
    "schedule_to_json",
    "scheduled_idempotency_key",
    "validate",
]
