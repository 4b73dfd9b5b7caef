"""Recent items of visitors, written behind: a track request does not wait for the online store.

What a request brings is kept in memory and written by one background thread a process, at most 0.1 s later and for all
visitors at once: one statement for some hundred interactions instead of one a request. A read in the same process sees
what still waits; other processes see it after the write. A killed process loses what waited here, but no event: those
are in the spool before anything comes here. Where the store fails or is too slow, what it cannot take is counted by
reason and dropped, for the same reason.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Mapping, Sequence

from django.db import close_old_connections

from ml_models.adapters.build import get_online_store
from ml_models.adapters.online_store import merged
from ml_models.core import clock
from ml_models.core.query import Interaction
from ml_models.data_collection import counters
from ml_models.data_collection.queue import save_counts

__all__ = ["RecentItems", "recent"]

logger = logging.getLogger("bunoraa.ml")

SAVE_EVERY = 1.0
"""How often counts are written at most; seconds."""

Waiting = dict[str, list[Interaction]]


class RecentItems:
    """The online store, with what waits to be written on top of it."""

    def __init__(self, *, most: int = 20_000, linger: float = 0.05, automatic: bool = True) -> None:
        """Build with nothing waiting.

        `most`: interactions that may wait; `linger`: seconds the thread gathers before it writes. `automatic=False`
        never starts a thread and writes at once (tests, simulations).
        """
        self.automatic = automatic
        self._most, self._linger = most, linger
        self._waiting: Waiting = {}
        self._size = 0
        self._flying: Waiting = {}
        self._late_merges: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, batch: Mapping[str, Sequence[Interaction]]) -> None:
        """Take interactions by visitor key; never waits for the store and never raises."""
        number = sum(map(len, batch.values()))
        if not number:
            return
        with self._lock:
            full = self._size + number > self._most
            if not full:
                self._size += number
                for visitor, interactions in batch.items():
                    self._waiting.setdefault(visitor, []).extend(interactions)
        if full:
            if counters.add("overflow.recent_items", number) % 10_000 < number:
                logger.warning("Recent items are written too slowly: some are dropped (overflow.recent_items).")
        elif not self.automatic or self._stop.is_set():
            self.flush()
        else:
            self.wake()

    def wake(self) -> None:
        """Let the thread work; it writes the process's counts too, which a process that only refuses needs."""
        if not self.automatic:
            return
        if self._thread is None or not self._thread.is_alive():
            self._start()
        if not self._wake.is_set():
            self._wake.set()

    def read(self, visitor: str, limit: int = 50) -> list[Interaction]:
        """The newest interactions, oldest first, those that wait in this process included. Raises as the store does."""
        with self._lock:  # before the store is asked: what is written in between comes twice, and counts once
            waiting = [*self._flying.get(visitor, ()), *self._waiting.get(visitor, ())]
        stored = get_online_store().recent(visitor, limit)
        return merged(stored, waiting, limit) if waiting else stored

    def merge(self, source: str, target: str) -> None:
        """Give the history of one visitor key to another, what waits included. Raises as the store does."""
        with self._lock:
            moved = self._waiting.pop(source, None)
            if moved:
                self._waiting.setdefault(target, []).extend(moved)
            if source in self._flying:
                # Not waited for: a login may hold locks of the database that the write under way needs.
                self._late_merges.append((source, target))
        get_online_store().merge(source, target)

    def flush(self) -> None:
        """Write what waits, in the calling thread. A failure is counted and logged, and drops what it concerns."""
        with self._writing:
            with self._lock:
                if not self._waiting:
                    return
                self._flying, self._waiting, self._size = self._waiting, {}, 0
            try:
                get_online_store().record_many(self._flying)
            except Exception:  # the store is any database or server; the events themselves are safe in the spool
                if counters.add("online.failed") % 1000 == 1:
                    logger.exception("Recent items could not be recorded; the events are safe. Counted from here.")
            finally:
                with self._lock:
                    self._flying = {}
                    merges, self._late_merges = self._late_merges, []
            for source, target in merges:
                self._merge_late(source, target)

    @staticmethod
    def _merge_late(source: str, target: str) -> None:
        try:
            get_online_store().merge(source, target)
        except Exception:  # as above; the lake's identity_link row joins the two histories in any case
            counters.add("online.failed")
            logger.exception("A guest's recent items could not be given to the user.")

    def close(self, deadline: float = 2.0) -> None:
        """Write what waits and end the thread, within `deadline` seconds."""
        self._stop.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(deadline)

    def reset(self) -> None:
        """Forget what waits, and the thread: in a forked child they are the parent's."""
        self.__init__(most=self._most, linger=self._linger, automatic=self.automatic)  # type: ignore[misc]

    def _start(self) -> None:
        with self._lock:
            alive = self._thread is not None and self._thread.is_alive()
            if not alive and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="ml-recent", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        saved = float("-inf")
        while not self._stop.is_set():
            self._wake.wait(SAVE_EVERY if counters.unsaved() else None)
            self._stop.wait(self._linger)
            self._wake.clear()
            self.flush()
            close_old_connections()
            now = clock.current().monotonic()
            if now - saved >= SAVE_EVERY:
                save_counts()
                saved = now
        self.flush()  # what came during the last write
        save_counts()


recent = RecentItems()
"""The process's recent items."""

os.register_at_fork(after_in_child=recent.reset)
atexit.register(recent.close)
