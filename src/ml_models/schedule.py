"""The guide's table of tasks, as plain crontab fields in the shop's time zone: for Celery beat and for `ml_worker`.

Knows neither Celery nor Django, so that a settings file may import it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

__all__ = ["Times", "schedule"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK = 8
"""Days to look through for a time: a week, and one for the day that has begun."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a task runs."""

    minute: int | str = "*"
    """0 to 59, `*`, or `*/n` for every n minutes of an hour."""
    hour: int | str = "*"
    """0 to 23, or `*`."""
    day_of_week: str = "*"
    """One of `DAYS`, or `*`."""

    @property
    def often(self) -> bool:
        """Whether it runs every hour or oftener."""
        return self.hour == "*"

    def latest(self, now: datetime, zone: tzinfo) -> datetime:
        """The last time at or before `now`; aware UTC."""
        today = now.astimezone(zone).date()
        for back in range(_LOOK):
            instants = _instants(self, today - timedelta(days=back), zone)
            place = bisect_right(instants, now)
            if place:
                return instants[place - 1]
        raise ValueError(f"{self} names no time.")

    def next(self, now: datetime, zone: tzinfo) -> datetime:
        """The first time after `now`; aware UTC."""
        today = now.astimezone(zone).date()
        for ahead in range(_LOOK):
            instants = _instants(self, today + timedelta(days=ahead), zone)
            place = bisect_right(instants, now)
            if place < len(instants):
                return instants[place]
        raise ValueError(f"{self} names no time.")


@lru_cache(maxsize=256)
def _instants(times: Times, day: date, zone: tzinfo) -> tuple[datetime, ...]:
    """The times of one local day, ascending, in UTC.

    A time that the clocks skip in spring comes as much later as they skip. One that they repeat in autumn comes once,
    unless the task runs every hour.
    """
    if times.day_of_week not in ("*", DAYS[day.weekday()]):
        return ()
    every = str(times.minute).partition("/")[2]
    minutes = range(0, 60, int(every)) if every else range(60) if times.minute == "*" else (int(times.minute),)
    hours = range(24) if times.often else (int(times.hour),)
    found = {
        datetime(day.year, day.month, day.day, hour, minute, fold=fold, tzinfo=zone).astimezone(UTC)
        for hour in hours
        for minute in minutes
        for fold in ((0, 1) if times.often else (0,))
    }
    return tuple(sorted(found))


def schedule(flush_interval: int = 300) -> dict[str, Times]:
    """Name of a task, without its `ml.`, -> when it runs.

    `flush_interval`: seconds an event may wait for the lake; below 300 the spool is read oftener, in whole minutes.
    """
    minutes = max(1, min(5, flush_interval // 60))
    return {
        "process_training_data": Times(minute=f"*/{minutes}"),
        "auto_training_check": Times(minute=0),
        "check_drift": Times(hour=1, minute=0),
        "evaluate_models": Times(hour=2, minute=0),
        "export_training_data": Times(hour=3, minute=0),
        "generate_report": Times(hour=6, minute=0),
        "cleanup_old_data": Times(hour=4, minute=0, day_of_week="sun"),
        "scheduled_training": Times(hour=2, minute=0, day_of_week="sat"),
    }
