"""Redis first, files while it is away: an event is accepted wherever it can be stored durably.

Who may go where, so that the events of a session that one process serves reach the lake in order:

1. A process appends to Redis until an append fails. From then on it appends to its slot of the file spool, and requests
   pay nothing more for the dead server: a thread looks whether it is back.
2. When it is, the thread moves the slot's backlog to the end of the stream, then holds appends back for the moment it
   takes to move the rest, and only then does the process append to Redis again. What it had appended before the failure
   stands before the backlog, what it appends now behind it. Each part of the backlog moves together with the slot's
   mark in one script, so a mover that is killed half-way leaves nothing behind and nothing twice.
3. The slot of a process that died belongs to nobody; whoever reads the spool on that host moves it.
4. A reader is given Redis alone. Only where a slot's oldest record has waited for `patience` seconds (Redis is away for
   long, or the slot's owner hangs) is the slot read directly: then events in time are worth more than their order.

An append that timed out may have reached Redis all the same, and is then stored twice; the lake keeps one by its id.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_models.adapters.spool_file import FileSpool
from ml_models.adapters.spool_frames import MAX_RECORD
from ml_models.adapters.spool_redis import RedisSpool
from ml_models.core.errors import SpoolError
from ml_models.core.ports import Scrubbed, SpoolRead
from ml_models.settings import get_settings

__all__ = ["FallbackSpool"]

logger = logging.getLogger("bunoraa.ml.spool")

_CHUNK = 1_000
"""Records moved at once."""
_FIRST, _LONGEST = 0.5, 15.0
"""Seconds between two looks whether Redis is back: at first, and at most."""


class FallbackSpool:
    """The spool of a shop with `REDIS_URL`; the default there."""

    def __init__(
        self,
        folder: Path | str,
        *,
        redis: RedisSpool | None = None,
        files: FileSpool | None = None,
        patience: float | None = None,
        automatic: bool = True,
    ) -> None:
        """Build it over `folder` for the files and the Redis of the settings.

        `patience`: seconds, by default `ML_DATA_COLLECTION["flush_interval"]`. `automatic=False` starts no thread:
        `come_back()` is called by hand (tests).
        """
        self._redis = redis or RedisSpool()
        self._files = files or FileSpool(folder)
        self._patience = get_settings().data_collection.flush_interval if patience is None else patience
        self._automatic = automatic
        self.trouble = ""
        """What went wrong with Redis when the spool was last read, in words; empty where nothing did."""
        self._insisting = False
        self._reset()
        this = weakref.ref(self)

        def after_fork() -> None:
            spool = this()
            if spool is not None:
                spool._reset()

        os.register_at_fork(after_in_child=after_fork)

    def _reset(self) -> None:
        """As a process begins: towards Redis, without a thread or a slot of its own."""
        self._changed = threading.Condition()
        self._moving = threading.Lock()
        self._stop = threading.Event()
        self._away = self._returning = self._begun = False
        self._appending = 0
        self._thread: threading.Thread | None = None

    # -- writing ------------------------------------------------------------------------------------

    @property
    def away(self) -> bool:
        """Whether this process appends to its files."""
        return self._away

    def append(self, records: Sequence[bytes]) -> None:
        """Store the records durably, in Redis or in the files. Raises `SpoolError` where neither takes them."""
        if not records:
            return
        if max(map(len, records)) > MAX_RECORD:
            raise SpoolError(f"A record is larger than {MAX_RECORD} bytes. Send smaller events.")
        if not self._away:
            try:
                self._redis.append(records)
                self._begin()
                return
            except SpoolError as error:
                self._leave(error)
        with self._changed:
            while self._returning:
                self._changed.wait()
            to_files = self._away
            self._appending += to_files
        if not to_files:  # the backlog was moved meanwhile
            self.append(records)
            return
        try:
            self._files.append(records)
        finally:
            with self._changed:
                self._appending -= 1
                self._changed.notify_all()

    def _leave(self, error: SpoolError) -> None:
        with self._changed:
            if self._away:
                return
            self._away = self._begun = True
            logger.warning("Events go to files for now. %s", error)
            self._start()

    def _begin(self) -> None:
        """With its first event a process looks for what dead ones left: on a web host nobody else may ever."""
        if not self._begun:
            with self._changed:
                if not self._begun and self._files.sources():
                    self._start()
                self._begun = True

    def _start(self) -> None:
        if self._automatic and not self._stop.is_set() and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._look, name="ml-redis-back", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        delay = _FIRST
        while not self._stop.wait(delay):
            try:
                self.come_back()
                return
            except SpoolError as error:
                logger.debug("Events still go to files. %s", error)
            except Exception:  # the thread must live on: without it the process never finds back to Redis
                logger.exception("Events in files could not be moved to Redis; this is tried again.")
            delay = min(_LONGEST, 2 * delay)

    def come_back(self) -> int:
        """Move this process's backlog, and that of dead ones, to Redis and append there; returns how many records.

        Raises `SpoolError` while Redis is away; then nothing changes.
        """
        with self._moving:
            moved = self._move_own()
            with self._changed:
                self._returning = True
                while self._appending:
                    self._changed.wait()
            try:
                moved += self._move_own()
                self._away = False
            finally:
                with self._changed:
                    self._returning = False
                    self._changed.notify_all()
            own = self._files.own_source()
            if own is not None:
                self._wipe(own)
            moved += self._adopt()
        logger.info("Redis takes events again; %d were moved there from files.", moved)
        return moved

    def _move_own(self) -> int:
        source = self._files.own_source()
        if source is not None:
            return self._move(source)
        self._redis.sources()  # it must answer before anything is appended to it
        return 0

    def _move(self, source: str) -> int:
        """Move what waits in a slot that nobody else writes to; returns how many records."""
        moved, refused = 0, 0
        while True:
            start = max(self._files.trimmed(source), self._redis.moved(source))
            found = self._files.read(source, start, _CHUNK)
            if not found.records:
                self._files.trim(source, start)
                return moved
            if self._redis.move(source, start, found.records, found.position):
                self._files.trim(source, found.position)
                moved += len(found.records)
            else:
                refused += 1
                if refused > 3:
                    raise SpoolError(f"Redis at {self._redis.where} keeps changing. The events stay in files for now.")

    # -- reading ------------------------------------------------------------------------------------

    def insist(self) -> None:
        """While Redis is away, give what waits in files at once, though Redis may hold older events."""
        self._insisting = True

    def sources(self) -> list[str]:
        """The one of Redis; and slots whose records have waited for too long."""
        refused: SpoolError | None = None
        try:
            self._adopt()
        except SpoolError as error:  # a full server takes nothing, but gives; what it gives makes room
            refused = error
        found = self._of_redis(self._redis.sources, refused)
        patience = 0.0 if self._insisting and self.trouble else self._patience
        return found + [source for source, age in self._files.ages().items() if age >= patience]

    def all_sources(self) -> list[str]:
        """Everything with anything to read, however young, and without moving anything: for searches."""
        return self._of_redis(self._redis.all_sources) + self._files.sources()

    def _of_redis(self, ask: Callable[[], list[str]], refused: SpoolError | None = None) -> list[str]:
        try:
            found = ask()
        except SpoolError as error:
            found, refused = [], error
        if refused is None:
            self.trouble = ""
        else:
            self._note(refused)
        return found

    def _note(self, error: SpoolError) -> None:
        if not self.trouble:
            logger.warning("Events in Redis cannot be read for now. %s", error)
        self.trouble = str(error)

    def _adopt(self) -> int:
        """Move the backlogs of dead processes of this host; returns how many records."""
        moved = 0
        for source in self._files.sources():
            with self._files.hold(source) as free:
                if free:
                    moved += self._move(source)
            if free:
                self._wipe(source)
        return moved

    def _wipe(self, source: str) -> None:
        """Overwrite what was moved: a slot that is not used again would keep its newest segment for ever."""
        try:
            self._files.scrub_slot(source, self._files.trimmed(source))
        except PermissionError as error:
            logger.warning("What was moved to Redis stays in a file as well: %s.", error)

    def read(self, source: str, after: int, max_records: int) -> SpoolRead:
        """Up to `max_records` records after a position; none, and `trouble`, where Redis is away."""
        if source.startswith("redis:"):
            try:
                return self._redis.read(source, after, max_records)
            except SpoolError as error:
                self._note(error)
                return SpoolRead([], after)
        # What was moved is in Redis, though the segment it stood in may still be there.
        found = self._files.read(source, max(after, self._files.trimmed(source)), max_records)
        return found if found.records else SpoolRead([], after)

    def trim(self, source: str, upto: int) -> None:
        """Forget what the lake proves it has; where Redis is away, the next run does."""
        if not source.startswith("redis:"):
            self._files.trim(source, upto)
            return
        try:
            self._redis.trim(source, upto)
        except SpoolError as error:
            self._note(error)

    def scrub(self, position: Callable[[str], int]) -> Scrubbed:
        """Of both; what was moved from a slot to Redis goes from the slot too. Without Redis, of the files."""
        try:
            remark = self._redis.scrub(position).remark
        except SpoolError as error:
            self._note(error)
            remark = str(error)
        done = self.scrub_files(position)
        return Scrubbed(done.overwritten, " ".join(filter(None, (remark, done.remark))))

    def scrub_files(self, position: Callable[[str], int]) -> Scrubbed:
        """Of the files alone, which costs Redis nothing."""
        # What was moved was trimmed as well, see `_move`.
        return self._files.scrub(lambda source: max(position(source), self._files.trimmed(source)))

    def stats(self) -> dict[str, Any]:
        """As every spool: `bytes`, `records`, `oldest_age_s`, `sources`, of both; `in_files`: records there."""
        files = self._files.stats()
        try:
            redis = self._redis.stats()
        except SpoolError as error:
            self._note(error)
            return {**files, "in_files": files["records"]}
        return {
            **files,
            "bytes": files["bytes"] + redis["bytes"],
            "records": files["records"] + redis["records"],
            "oldest_age_s": max(files["oldest_age_s"], redis["oldest_age_s"]),
            "sources": [*redis["sources"], *files["sources"]],
            "in_files": files["records"],
        }

    def close(self) -> None:
        """End the thread, give the slot back, close the connections."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)
        self._files.close()
        self._redis.close()
