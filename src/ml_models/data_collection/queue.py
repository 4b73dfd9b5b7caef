"""The bounded queue between a page and the spool: what the middleware and `emit_*` record without waiting.

A page appends to it in about a microsecond and goes on; one background thread a process builds the events, stores them
durably and records recent items. The thread starts with the first entry, so never before a server forks its workers; a
forked child starts empty. What cannot be taken is counted by reason. A killed process loses what it has not yet flushed
(normally under 0.2 s of middleware and signal rows): what must not be lost goes through the track endpoint, which
waits for the disk, or comes from the orders table.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections

from ml_models.core.errors import InvalidEvent, MLError, SpoolError
from ml_models.data_collection import counters
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from ml_models.core.event import Event

__all__ = ["BackgroundQueue", "queue"]

logger = logging.getLogger("bunoraa.ml")

SLICE = 2
"""Entries the thread builds in one go: a page that comes then waits for the interpreter some 50 us at most."""
PAUSE = 0.00005
"""Pause after a slice, in which a page gets the interpreter; seconds."""
GENTLE = 64
"""Entries stored at once as long as there are gaps between pages."""
CROWDED = 0.002
"""A pause that took this long says that pages run without a gap: the thread got the interpreter only because Python
takes it from the page after its switch interval (5 ms). Many short slices would then hold up many pages; the thread
takes few long ones instead. Seconds."""

Entry = Callable[[], "Event | list[Event] | None"]
"""Builds an event, or several, away from the request; None where there is nothing to record. Raises `InvalidEvent`."""


class BackgroundQueue:
    """A bounded queue of entries and the thread that empties it."""

    def __init__(
        self,
        *,
        size: int = 10_000,
        batch: int | None = None,
        linger: float = 0.1,
        retry: float = 1.0,
        automatic: bool = True,
    ) -> None:
        """Build an empty queue; `automatic=False` never starts a thread (tests call `flush()`).

        `size`: entries held at most; `batch`: entries stored at once (None: `ML_DATA_COLLECTION["batch_size"]`);
        `linger`: seconds the thread gathers before it stores; `retry`: seconds it waits after the spool refused.
        """
        self.automatic = automatic
        self._size, self._batch, self._linger, self._retry = size, batch, linger, retry
        self._entries: deque[Entry] = deque()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._asleep = True

    def __len__(self) -> int:
        """Entries that wait."""
        return len(self._entries)

    def put(self, entry: Entry) -> bool:
        """Take an entry; never waits. False where the queue is full: the entry is dropped and counted."""
        if len(self._entries) >= self._size:
            if counters.add("overflow.queue_full") % 10_000 == 1:
                logger.warning("The event queue is full: entries are dropped and counted (overflow.queue_full).")
            return False
        self._entries.append(entry)
        # Set by the thread before it looks whether anything waits, so that no entry is overlooked.
        if self._asleep:
            self._rouse()
        return True

    def flush(self) -> int:
        """Store what waits, in the calling thread; returns how many events.

        Raises `SpoolError`; then they still wait.
        """
        stored = 0
        with self._flushing:
            while self._entries:
                stored += self._store(self._next())
        return stored

    def _next(self, most: int | None = None) -> int:
        batch = self._batch or get_settings().data_collection.batch_size
        return min(batch, len(self._entries), most or batch)

    def _flush_gently(self) -> None:
        """The same, leaving the interpreter to the pages in between."""
        breath = _Breath()
        while self._entries and not self._stop.is_set():
            with self._flushing:
                self._store(self._next(None if breath.crowded else GENTLE), breath)
        self.flush()

    def close(self, deadline: float = 2.0) -> None:
        """Store what waits and end the thread, within `deadline` seconds; what is left is counted as lost."""
        self._stop.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(deadline)
        if self._entries:
            counters.add("overflow.lost_at_exit", len(self._entries))
            logger.error("%d events could not be stored before the process ended.", len(self._entries))
        save_counts()

    def reset(self) -> None:
        """Forget entries and thread: in a forked child they are the parent's."""
        # Own lifetime starts over; a lock another thread held at the fork would never be released.
        self.__init__(  # type: ignore[misc]
            size=self._size, batch=self._batch, linger=self._linger, retry=self._retry, automatic=self.automatic
        )

    def _rouse(self) -> None:
        if not self.automatic:
            return
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                alive = self._thread is not None and self._thread.is_alive()
                if not alive and not self._stop.is_set():
                    self._thread = threading.Thread(target=self._run, name="ml-events", daemon=True)
                    self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        try:
            while True:
                self._asleep = True
                if not self._entries:
                    self._wake.wait()
                self._asleep = False
                self._stop.wait(self._linger)
                self._wake.clear()
                stored = self._work()
                if self._stop.is_set() and (not stored or not self._entries):
                    return
                if not stored:
                    self._stop.wait(self._retry)
        finally:
            self._asleep = True  # whatever ended the thread: the next entry starts another

    def _work(self) -> bool:
        """Store what waits; False where it has to be tried again."""
        try:
            self._flush_gently()
            return True
        except SpoolError:
            if counters.add("queue.spool_failed") % 60 == 1:
                logger.exception("Events cannot be stored; they wait in memory, at most %d.", self._size)
        except Exception:  # the thread must live on: without it every later event of this process is lost
            if counters.add("queue.failed") % 60 == 1:
                logger.exception("Events could not be recorded; they are tried again.")
        finally:
            close_old_connections()
            save_counts()
        return False

    def _store(self, number: int, breath: _Breath | None = None) -> int:
        # Imported here: the collector and its stores are not needed to take entries.
        from ml_models.data_collection import collector

        entries = [self._entries[index] for index in range(number)]
        events: list[Event] = []
        for place, entry in enumerate(entries, 1):
            try:
                built = entry()
            except InvalidEvent as error:
                counters.add(f"rejected.{error.reason}")
                logger.warning("An event of the shop's own code was refused: %s", error)
            except Exception:  # one entry's fault (a product whose id cannot be read) must not cost the others
                counters.add("queue.entry_failed")
                logger.exception("An event could not be built.")
            else:
                if built is not None:
                    events += built if isinstance(built, list) else [built]
            if breath is not None:
                breath.after(place)
        if events:
            collector.store(events)
        # Only now: where the spool refuses, the entries wait for the next try. Their thread alone removes entries.
        for _ in range(number):
            self._entries.popleft()
        return len(events)


class _Breath:
    """Pauses between slices of the thread's work, as long as there are gaps between pages."""

    def __init__(self) -> None:
        self.crowded = False

    def after(self, place: int) -> None:
        """Pause where a slice ends; `place`: entries built so far."""
        if not self.crowded and place % SLICE == 0:
            began = time.perf_counter()
            time.sleep(PAUSE)
            self.crowded = time.perf_counter() - began > CROWDED


def save_counts() -> None:
    """Write the process's counts where `ml_status` finds them."""
    if not counters.unsaved():
        return
    try:
        counters.save(get_settings().storage.data / "counters")
    except (OSError, MLError, ImproperlyConfigured) as error:  # a full disk, wrong settings, or none
        logger.warning("Counts of this process could not be written: %s", error)


queue = BackgroundQueue()
"""The process's queue."""


def _after_fork() -> None:
    queue.reset()
    counters.reset()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(queue.close)
