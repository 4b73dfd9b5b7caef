"""The committer: from the spool into the lake, each event once, however often it or its rivals are killed."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from ml_models.adapters.dead_letters import DeadLetters, Letter
from ml_models.adapters.tables import lock, primary
from ml_models.core import clock
from ml_models.core.errors import CommitConflict, InvalidEvent
from ml_models.core.event import Event, decode_event
from ml_models.core.lake_schema import frame_of_records, to_frame
from ml_models.core.ports import CommitResult, EventStore, Snapshot, Spool
from ml_models.data_collection import sweep
from ml_models.data_collection.tombstones import Tombstones

__all__ = ["Committer", "ProcessResult", "process_events"]

BATCH_ROWS = 100_000
BATCH_BYTES = 64 << 20
READ_RECORDS = 20_000
SHORT_BYTES = 1 << 20
"""An answer of fewer records and bytes than this was all there was: no spool gives less at once while it has more."""


@dataclass(slots=True)
class ProcessResult:
    """What one run of the committer did."""

    read: int = 0
    """Records taken from the spool."""
    written: int = 0
    """Rows added to the lake."""
    duplicates: int = 0
    """Events the lake had already, such as a browser's second delivery."""
    dead: int = 0
    """Undecodable records, now dead letters."""
    forgotten: int = 0
    """Events of persons who were forgotten, dropped on the way (`data_collection.tombstones`)."""
    commits: int = 0
    conflicts: int = 0
    """Batches thrown away because another committer was faster."""
    seconds: float = 0.0


@dataclass(slots=True)
class _Batch:
    records: int
    frame: pl.DataFrame
    letters: list[Letter]
    start: dict[str, int]
    positions: dict[str, int]
    rest: bool
    """Whether nothing more was waiting when it was read."""
    forgotten: int = 0

    def follows(self, snapshot: Snapshot) -> bool:
        """Whether the batch begins exactly where the snapshot ends."""
        return all(snapshot.position(source) == at for source, at in self.start.items())


@contextmanager
def _without_gc() -> Iterator[None]:
    # A batch is a hundred thousand short-lived objects without cycles; collecting among them doubles the time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Committer:
    """The loop: snapshot, read what lies after its positions, commit rows and positions as one, trim what is proven.

    Any number may run at once on one lake: whoever commits second throws everything away and starts from a new
    snapshot. Memory is bounded by two batches.
    """

    def __init__(
        self,
        spool: Spool,
        store: EventStore,
        dead_letters: DeadLetters,
        *,
        batch_rows: int = BATCH_ROWS,
        tombstones: Callable[[], Tombstones] | None = None,
        note: Callable[[Collection[str]], None] | None = None,
        at_once: bool = False,
    ) -> None:
        """`tombstones` reads those in force, for every commit anew; without it nobody is forgotten.

        `note` is given the visitor keys of the events a commit is about to drop. `at_once`: take what a spool would
        leave for a while in the hope of a better order, such as files while Redis is away.
        """
        self._spool = spool
        self._store = store
        self._dead_letters = dead_letters
        self._batch_rows = batch_rows
        self._tombstones = tombstones
        self._note = note
        self._sources: Callable[[], list[str]] = (
            getattr(spool, "all_sources", spool.sources) if at_once else spool.sources
        )
        self._kept: set[str] = set()
        self._offered: set[str] = set()
        """Sources that this run was offered."""

    def run(
        self,
        *,
        limit: int | None = None,
        seconds: float | None = None,
        progress: Callable[[ProcessResult], None] | None = None,
    ) -> ProcessResult:
        """Take what waits, or `limit` records of it, or what `seconds` allow. Raises `StoreError`, `SpoolError`.

        What comes in while the last of it is being committed is left to the next run: under steady traffic this one
        would never end, and write a file a batch. While one batch is being committed the next is read, on the
        supposition that the commit succeeds; where it does not, both are thrown away.
        """
        result = ProcessResult()
        started = clock.current().monotonic()
        snapshot = self._store.snapshot()
        flying: Future[tuple[CommitResult, Snapshot]] | None = None
        last: _Batch | None = None
        lost_in_a_row = 0
        self._offered.clear()
        with ThreadPoolExecutor(1, "ml-committer") as pool:
            while True:
                ahead = last.positions if last else {}
                taken = result.read + (last.records if last else 0)
                left = self._batch_rows if limit is None else min(self._batch_rows, limit - taken)
                batch = None
                late = seconds is not None and clock.current().monotonic() - started >= seconds
                if not (late or (last is not None and last.rest)):
                    with _without_gc():
                        batch = self._take(snapshot, ahead, left)
                lost = moved = False
                if flying is not None and last is not None:
                    try:
                        done, snapshot = flying.result()
                    except CommitConflict:
                        lost = True
                    else:
                        lost_in_a_row, moved = 0, True
                        self._account(result, last, done)
                        if progress is not None:
                            progress(result)
                    flying = last = None
                if lost or (batch and not batch.follows(snapshot)):
                    result.conflicts += 1
                    lost_in_a_row += 1
                    clock.current().sleep(random.uniform(0, min(2.0, 0.01 * 2**lost_in_a_row)))
                    snapshot = self._store.snapshot()
                    continue
                self._trim(snapshot)
                if batch is None:
                    # A source that had to wait for what was trimmed just now may have come forward.
                    if moved and not late and not self._offered.issuperset(self._sources()):
                        continue
                    break
                # Between the snapshot and the commit, and in this thread, which has the database connection.
                if self._tombstones is not None:
                    batch.frame, dropped = self._tombstones().apply(batch.frame)
                    batch.forgotten = dropped.height
                    # Before the commit as well: after it nothing tells any more whose they were.
                    if self._note is not None and batch.forgotten:
                        self._note(_visitors(dropped))
                # Before the commit, or a kill between the two would lose them; a second copy does no harm.
                self._keep(batch.letters)
                flying, last = pool.submit(self._commit, snapshot, batch), batch
        result.seconds = clock.current().monotonic() - started
        return result

    def _commit(self, snapshot: Snapshot, batch: _Batch) -> tuple[CommitResult, Snapshot]:
        done = self._store.commit(snapshot, batch.positions, batch.frame)
        return done, self._store.snapshot()

    @staticmethod
    def _account(result: ProcessResult, batch: _Batch, done: CommitResult) -> None:
        result.read += batch.records
        result.dead += len(batch.letters)
        result.forgotten += batch.forgotten
        result.written += done.written
        result.duplicates += done.duplicates
        result.commits += 1

    def _trim(self, snapshot: Snapshot) -> None:
        """Let the spool forget what the table proves."""
        for source in self._sources():
            proven = snapshot.position(source)
            if proven:
                self._spool.trim(source, proven)

    def _take(self, snapshot: Snapshot, ahead: Mapping[str, int], rows: int) -> _Batch | None:
        """Up to `rows` records after the snapshot's positions, or after those `ahead` of it; None without any."""
        waiting = self._sources()
        self._offered.update(waiting)
        random.shuffle(waiting)  # so that no source waits behind a busy one for ever
        start = {source: ahead.get(source) or snapshot.position(source) for source in waiting}
        positions = dict(start)
        frames: list[pl.DataFrame] = []
        letters: list[Letter] = []
        records = size = 0
        while waiting and records < rows and size < BATCH_BYTES:
            for source in list(waiting):
                want = min(READ_RECORDS, rows - records)
                found = self._spool.read(source, positions[source], want) if want > 0 else None
                if found is None or not found.records:
                    waiting.remove(source)
                    continue
                positions[source] = found.position
                records += len(found.records)
                taken = sum(map(len, found.records))
                size += taken
                if len(found.records) < want and taken < SHORT_BYTES:
                    # What came in while it was read is the next batch's: under steady traffic this one would never end.
                    waiting.remove(source)
                frame, refused = self._rows(found.records, source)
                frames.append(frame)
                letters += refused
        moved = {source: at for source, at in positions.items() if at != start[source]}
        if not moved:
            return None
        begin = {source: start[source] for source in moved}
        return _Batch(records, pl.concat(frames), letters, begin, moved, rest=not waiting)

    def _rows(self, records: list[bytes], source: str) -> tuple[pl.DataFrame, list[Letter]]:
        """The records as rows; one that is wrong must not hold the others up."""
        frame = frame_of_records(records)
        if frame is not None:
            return frame, []
        # One of them is wrong, or of an earlier version: one by one, to say which and why.
        events: list[Event] = []
        good: list[bytes] = []
        letters: list[Letter] = []
        for record in records:
            try:
                events.append(decode_event(record))
                good.append(record)
            except InvalidEvent as error:
                letters.append(self._letter(error, record, source))
        try:
            return to_frame(events), letters
        except InvalidEvent:
            fit: list[Event] = []
            for event, record in zip(events, good, strict=True):
                try:
                    to_frame([event])
                    fit.append(event)
                except InvalidEvent as error:
                    letters.append(self._letter(error, record, source))
            return to_frame(fit), letters

    @staticmethod
    def _letter(error: InvalidEvent, record: bytes, source: str) -> Letter:
        return DeadLetters.letter(
            error.reason, error.path, record, kind="record", detail=str(error), context={"source": source}
        )

    def _keep(self, letters: list[Letter]) -> None:
        new = {letter.key: letter for letter in letters if letter.key not in self._kept}
        self._dead_letters.write_all(new.values(), durable=True)
        self._kept.update(new)


def _visitors(rows: pl.DataFrame) -> set[str]:
    """Visitor keys of the rows."""
    pairs = (("u", "user_id"), ("a", "anonymous_id"))
    return {f"{kind}:{name}" for kind, column in pairs for name in rows.get_column(column).drop_nulls().unique()}


def process_events(
    *,
    limit: int | None = None,
    seconds: float | None = None,
    progress: Callable[[ProcessResult], None] | None = None,
    at_once: bool = False,
    sweeping: bool = True,
) -> ProcessResult:
    """Bring what waits in the spool into the lake, with the adapters of the settings; counts what it did.

    `limit`: at most this many records. `seconds`: begin no further batch after that long. `progress`: called after
    every commit with the figures so far. `at_once`: see `Committer`. Afterwards what forgotten persons left on the way
    is removed (`sweep`), unless the caller does that (`sweeping=False`). Raises `StoreError`, `SpoolError`.
    """
    from ml_models.adapters.build import get_dead_letters, get_event_store, get_spool

    committer = Committer(
        get_spool(),
        get_event_store(),
        get_dead_letters(),
        tombstones=Tombstones.load,
        note=sweep.note,
        at_once=at_once,
    )
    try:
        result = committer.run(limit=limit, seconds=seconds, progress=progress)
    finally:
        if sweeping:
            sweep.sweep()  # of earlier runs too, and where this one fails: the next may fail like it
    _count(result)
    return result


def _count(result: ProcessResult) -> None:
    """Add the run to the totals that `ml_status` shows (row `committer` of the sync states)."""
    from django.db import router, transaction

    from ml_models.orm import SyncState

    figures: Mapping[str, int] = {
        name: getattr(result, name)
        for name in ("read", "written", "duplicates", "dead", "forgotten", "commits", "conflicts")
    }
    with transaction.atomic(using=router.db_for_write(SyncState)):
        states = primary(SyncState)
        lock(states.filter(pk="committer"), "updated_at")
        state, _ = states.select_for_update().get_or_create(name="committer", defaults={"updated_at": clock.now()})
        totals = dict(state.data.get("totals", {}))
        for name, value in figures.items():
            totals[name] = totals.get(name, 0) + value
        state.data = {"totals": totals, "last": {**figures, "seconds": round(result.seconds, 3)}}
        state.watermark = state.updated_at = clock.now()
        state.save()
