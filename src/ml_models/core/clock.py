"""The present, from one place: `now()`; a simulation sets another clock with `use()`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from ml_models.core.ports import Clock

__all__ = ["ManualClock", "SystemClock", "current", "now", "use"]


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told, for tests and simulations."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The simulated present, aware UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Advance instead of waiting."""
        self.advance(seconds=seconds)

    def set(self, moment: datetime) -> None:
        """Jump to a moment."""
        self._elapsed += max(0.0, (moment - self._now).total_seconds())
        self._now = moment.astimezone(UTC)

    def advance(self, **delta: float) -> None:
        """Move on by a `timedelta(**delta)`."""
        self.set(self._now + timedelta(**delta))


_clock: Clock = SystemClock()


def current() -> Clock:
    """The clock in force."""
    return _clock


def now() -> datetime:
    """The present by the clock in force, aware UTC."""
    return _clock.now()


@contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Put another clock in force for the whole process while the block runs."""
    global _clock
    previous, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = previous
