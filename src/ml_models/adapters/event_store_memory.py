"""A lake in memory, for tests and simulations: the behaviour of the Delta lake without the files."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from ml_models.core.errors import CommitConflict, StoreError
from ml_models.core.keyed_ids import ID_COLUMNS, ORDER_TYPES, key_rows, stale
from ml_models.core.lake_schema import KEY, LAKE_SCHEMA, PARTITION, empty_frame
from ml_models.core.ports import CommitResult, ErasedRows, PurgedFiles, Snapshot
from ml_models.core.traces import Traces

__all__ = ["MemoryEventStore"]


class _Snapshot:
    def __init__(self, version: int, positions: dict[str, int]) -> None:
        self.version = version
        self._positions = positions

    def position(self, source: str) -> int:
        return self._positions.get(source, 0)


class MemoryEventStore:
    """One frame and a version counter."""

    def __init__(self, uri: object = None, storage_options: Mapping[str, str] | None = None) -> None:
        self._frame = empty_frame()
        self._positions: dict[str, int] = {}
        self._version = 0
        self._lock = threading.Lock()

    def snapshot(self) -> _Snapshot:
        """A fresh snapshot."""
        with self._lock:
            return _Snapshot(self._version, dict(self._positions))

    def commit(self, snapshot: Snapshot, positions: Mapping[str, int], rows: pl.DataFrame) -> CommitResult:
        """Append new rows and move the positions. Raises `CommitConflict` when the snapshot is not the newest."""
        if not isinstance(snapshot, _Snapshot):
            raise StoreError("A commit needs the snapshot that this store gave out.")
        if rows.schema != LAKE_SCHEMA:
            raise StoreError("The rows are not in the lake's schema. Use to_frame().")
        with self._lock:
            if snapshot.version != self._version:
                raise CommitConflict("Another committer was faster. Start over from a new snapshot.")
            back = [source for source, at in positions.items() if at < snapshot.position(source)]
            if back:
                raise StoreError(f"The position of {back[0]} would go back.")
            new = rows.unique(KEY, keep="first", maintain_order=True).join(
                self._frame.select(KEY), on=KEY, how="anti", maintain_order="left"
            )
            moved = any(at != snapshot.position(source) for source, at in positions.items())
            if new.height or moved:
                self._frame = pl.concat([self._frame, new])
                self._positions.update(positions)
                self._version += 1
            return CommitResult(new.height, rows.height - new.height, self._version)

    def scan(
        self,
        *,
        columns: Sequence[str] | None = None,
        event_types: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        every_revision: bool = False,
    ) -> pl.LazyFrame:
        """Latest (or every) revision of every event with `start <= event_time < end`."""
        frame = self._frame.lazy()
        if not every_revision:
            frame = frame.filter(pl.col("revision") == pl.col("revision").max().over("event_id"))
        if start is not None:
            frame = frame.filter(pl.col("event_time") >= start)
        if end is not None:
            frame = frame.filter(pl.col("event_time") < end)
        if event_types is not None:
            frame = frame.filter(pl.col("event_type").is_in(list(event_types)))
        return frame if columns is None else frame.select(columns)

    def days(self) -> dict[date, str]:
        """Day -> row count and a hash over what of its rows may change."""
        counts = self._frame.group_by(PARTITION).agg(
            pl.len(), pl.struct(*KEY, *ID_COLUMNS, "data").hash(seed=0).sum().alias("hash")
        )
        return {day: f"{rows}-{total:x}" for day, rows, total in counts.rows()}

    def stats(self) -> dict[str, Any]:
        """What the lake holds."""
        counted = {name: self._frame.group_by(name).len().sort(name) for name in ("event_type", "source", PARTITION)}
        row_bytes = self._frame.estimated_size() // max(1, self._frame.height)
        return {
            "rows": self._frame.height,
            "bytes": int(self._frame.estimated_size()),
            "files": 0,
            "version": self._version,
            "first": self._frame.get_column("event_time").min(),
            "last": self._frame.get_column("event_time").max(),
            "by_type": dict(counted["event_type"].rows()),
            "by_source": dict(counted["source"].rows()),
            "day_bytes": {day: rows * row_bytes for day, rows in counted[PARTITION].rows()},
        }

    def delete(
        self,
        *,
        older_than: datetime | None = None,
        keep_types: Sequence[str] = (),
        keep_sources: Sequence[str] = (),
    ) -> int:
        """Drop rows received before a time, except kept types and sources; returns how many."""
        kept = pl.col("event_type").is_in(list(keep_types)) | pl.col("source").is_in(list(keep_sources))
        if older_than is not None:
            kept |= pl.col("received_at") >= older_than
        with self._lock:
            before = self._frame.height
            self._frame = self._frame.filter(kept)
            return before - self._frame.height

    def key_ids(
        self, *, key: bytes, older_than: datetime, types: Sequence[str], keep_sources: Sequence[str] = ()
    ) -> int:
        """Put keyed ids into rows of these types received before a time; returns how many changed."""
        due = (pl.col("received_at") < older_than) & pl.col("event_type").is_in(list(types))
        due &= ~pl.col("source").is_in(list(keep_sources)) & stale(list(LAKE_SCHEMA))
        with self._lock:
            rows = self._frame.filter(due)
            self._frame = pl.concat([self._frame.filter(~due), key_rows(rows, key)])
            return rows.height

    def compact(self) -> dict[str, Any]:
        """Nothing to do."""
        return {"days": 0, "files_before": 0, "files_after": 0, "vacuumed": 0}

    def find(self, traces: Traces, *, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Every row of a person, all revisions of it."""
        found = self._frame.lazy().filter(traces.rows())
        return found if columns is None else found.select(columns)

    def fence(self) -> None:
        """When this returns, no commit through an older snapshot can succeed any more."""
        with self._lock:
            self._version += 1

    def erase(self, traces: Traces, *, orders: str, before: datetime, key: bytes) -> ErasedRows:
        """Take a person's rows that happened or came before a moment out."""
        due = traces.due(orders, before, list(LAKE_SCHEMA))
        with self._lock:
            rows = self._frame.filter(due)
            kept = rows.filter(pl.col("event_type").is_in(list(ORDER_TYPES) if orders == "key" else []))
            self._frame = pl.concat([self._frame.filter(~due), key_rows(kept, key)])
            self._version += 1
            return ErasedRows(rows.height - kept.height, kept.height)

    def purge(self, traces: Traces, *, orders: str, before: datetime, dry_run: bool = False) -> PurgedFiles:
        """There are no files."""
        return PurgedFiles(0, 0)
