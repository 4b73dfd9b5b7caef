"""A value that is read again when it has grown old, by one thread while the others keep the old one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ml_models.core import clock

__all__ = ["Refreshed"]

T = TypeVar("T")


class Refreshed(Generic[T]):
    """Calls `load(previous)` at first use and again when `interval()` seconds have passed.

    There is no thread of its own: the caller that finds the value due loads it, so nothing has to be started after a
    fork, and an idle process asks nothing. `load` decides what an error means; one that it lets through reaches
    the caller, and the next caller tries again.
    """

    def __init__(self, load: Callable[[T | None], T], interval: Callable[[], float]) -> None:
        self._load = load
        self._interval = interval
        self._value: T | None = None
        self._due: float | None = None
        self._clock = clock.current()
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def get(self) -> T:
        """The value, at most `interval()` seconds old unless another thread is loading it right now."""
        now = clock.current()
        # Times of two clocks cannot be compared: with another clock in force the value counts as old.
        if self._due is not None and now is self._clock and now.monotonic() < self._due:
            return self._value  # type: ignore[return-value]  # set together with _due
        if self._pid != os.getpid():
            # In a forked child: the lock may have been held by a thread that does not exist here.
            self._lock, self._pid = threading.Lock(), os.getpid()
        if self._due is None:
            with self._lock:
                if self._due is None:
                    self._read()
        elif self._lock.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._lock.release()
        return self._value  # type: ignore[return-value]

    def _read(self) -> None:
        value = self._load(self._value)
        now = clock.current()
        self._value, self._clock, self._due = value, now, now.monotonic() + self._interval()
