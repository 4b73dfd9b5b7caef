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

Entry = Callable[[], "Event | None"]
"""Builds an event away from the request; None where there is nothing to record. Raises `InvalidEvent`."""


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
        if self.automatic and (self._thread is None or not self._thread.is_alive()):
            self._start()
        if not self._wake.is_set():
            self._wake.set()
        return True

    def flush(self) -> int:
        """Store what waits, in the calling thread; returns how many events.

        Raises `SpoolError`; then they still wait.
        """
        stored = 0
        with self._flushing:
            while self._entries:
                batch = self._batch or get_settings().data_collection.batch_size
                stored += self._store(min(batch, len(self._entries)))
        return stored

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

    def _start(self) -> None:
        with self._lock:
            alive = self._thread is not None and self._thread.is_alive()
            if not alive and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="ml-events", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._stop.wait(self._linger)
            self._wake.clear()
            try:
                self.flush()
            except SpoolError:
                if counters.add("queue.spool_failed") % 60 == 1:
                    logger.exception("Events cannot be stored; they wait in memory, at most %d.", self._size)
                self._wake.set()
                if self._stop.wait(self._retry):
                    return
            except Exception:  # the thread must live on: without it every later event of this process is lost
                counters.add("queue.failed")
                logger.exception("Events could not be recorded; the next ones are tried again.")
            finally:
                close_old_connections()
                save_counts()
            if self._stop.is_set() and not self._entries:
                return

    def _store(self, number: int) -> int:
        # Imported here: the collector and its stores are not needed to take entries.
        from ml_models.data_collection import collector

        entries = [self._entries[index] for index in range(number)]
        events: list[Event] = []
        for entry in entries:
            try:
                event = entry()
            except InvalidEvent as error:
                counters.add(f"rejected.{error.reason}")
                logger.warning("An event of the shop's own code was refused: %s", error)
            except Exception:  # one entry's fault (a product whose id cannot be read) must not cost the others
                counters.add("queue.entry_failed")
                logger.exception("An event could not be built.")
            else:
                if event is not None:
                    events.append(event)
        if events:
            collector.store(events)
        # Only now: where the spool refuses, the entries wait for the next try. Their thread alone removes entries.
        for _ in range(number):
            self._entries.popleft()
        return len(events)


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
