"""The lake: one Delta Lake table of events, with the spool's positions inside its commits.

Exactly once. A commit appends rows and, in the same log entry, sets an app transaction `(source, position)` for every
source that moved and `("committer", n + 1)`. Delta refuses an entry when another one since the snapshot touched the
same app id, so of two committers with the same snapshot one wins and the other gets `CommitConflict`. This holds only
through the handle the positions were read from; a repeated (app id, version) is not skipped by itself.

Duplicates. The same event may be accepted twice (a browser retries a batch whose answer was lost). Rows whose
(event_id, revision) the table holds are left out. Where to look: an event's time is corrected by the clock skew of
its request, so a retry may carry it over midnight: the day before and after count as touched too. A browser's event
whose time the server had to set (none given, or clamped) moves with the retry: three days each way, the time a
browser keeps trying. Imported rows take their time from the file and never move. Only files whose range of event
ids meets the batch's are opened, and they are joined with the batch's keys as a stream, so memory follows the batch
and not the day.

Durable before trimmed. The object store under Delta does not fsync local files. `snapshot()` does, for every log
entry it has not seen on disk yet and the files these added, before anyone can trim a spool by its positions.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import polars as pl
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from ml_models.adapters import lake_erase
from ml_models.adapters.lake_lock import confirm, rewriting
from ml_models.adapters.lake_sync import LakeSync
from ml_models.core.errors import CommitConflict, StoreError
from ml_models.core.keyed_ids import key_rows, stale
from ml_models.core.lake_schema import KEY, LAKE_SCHEMA, PARTITION, STATISTICS, empty_frame
from ml_models.core.ports import CommitResult, ErasedRows, PurgedFiles, Snapshot
from ml_models.core.traces import Traces

__all__ = ["DeltaEventStore", "DeltaSnapshot"]

P = ParamSpec("P")
R = TypeVar("R")

_COMMITTER = "committer"
_REVISED = "revised"
"""App transaction that counts commits with a revision > 0: while it is unset, readers need no look for newer ones."""
_SPREAD = pl.when(pl.col("source") == "import").then(0).when(pl.col("source") == "js").then(3).otherwise(1)
"""Days by which another copy of a row may lie apart: a browser sends again for 72 hours, by a clock that may jump."""
_CONFIGURATION = {
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS),
    "delta.checkpointInterval": "50",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.logRetentionDuration": "interval 7 days",
}
_WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    column_properties={"event_id": ColumnProperties(dictionary_enabled=False)},  # each value comes once
)
_SMALL_FILE = 32 << 20
_ATTEMPTS = 30


def _alone(method: Callable[Concatenate[DeltaEventStore, P], R]) -> Callable[Concatenate[DeltaEventStore, P], R]:
    """Let the method rewrite the lake while nobody else does; see `lake_lock`."""

    def run(self: DeltaEventStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with rewriting(self.uri):
            return method(self, *args, **kwargs)

    functools.update_wrapper(run, method)
    return run


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _list(values: Iterable[object]) -> str:
    return "(" + ", ".join(map(_literal, values)) + ")"


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.isoformat()}'"


class DeltaSnapshot:
    """One version of the table, through which a commit is made."""

    def __init__(self, table: DeltaTable) -> None:
        self.table = table

    @property
    def version(self) -> int:
        """Version of the table."""
        return int(self.table.version())

    def position(self, source: str) -> int:
        """Last committed position of a source, 0 when it has none."""
        return self.table.transaction_version(source) or 0


class DeltaEventStore:
    """A Delta table at `uri`: a folder or an object store's URI with its storage options."""

    writer = _WRITER

    def __init__(self, uri: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        self.uri = str(uri)
        self._options = {key: str(value) for key, value in (storage_options or {}).items()}
        self.folder = None if "://" in self.uri else Path(self.uri)
        """The lake's folder; None in an object store."""
        self._sync = None if self.folder is None else LakeSync(self.folder)
        self._revised: tuple[int, pl.DataFrame] | None = None

    # -- the table ----------------------------------------------------------------------------------

    def _table(self) -> DeltaTable | None:
        """The newest version, None while there is no table."""
        try:
            return DeltaTable(self.uri, storage_options=self._options or None)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            if self._sync is not None and self._sync.repair():
                return self._table()
            raise StoreError(f"The lake at {self.uri} cannot be read: {error}. Check ML_STORAGE.") from error

    def _table_or_new(self) -> DeltaTable:
        for _ in range(_ATTEMPTS):
            table = self._table()
            if table is not None:
                # A lake of an earlier version lacks what has been declared since. A rival may add it first: look again.
                with contextlib.suppress(CommitFailedError):
                    self._widen(table)
                    return table
                continue
            # Two processes may create at once; the one that fails finds the other's table.
            with contextlib.suppress(CommitFailedError):
                try:
                    return DeltaTable.create(
                        self.uri,
                        LAKE_SCHEMA,
                        mode="error",
                        partition_by=[PARTITION],
                        configuration=_CONFIGURATION,
                        storage_options=self._options or None,
                    )
                except (DeltaError, OSError) as error:
                    if self._table() is None:
                        raise StoreError(
                            f"The lake at {self.uri} cannot be created: {error}. Check ML_STORAGE."
                        ) from error
        raise StoreError(f"The lake at {self.uri} cannot be created. Check ML_STORAGE.")

    @staticmethod
    def _widen(table: DeltaTable) -> None:
        """Add the columns that the lake's schema has and the table lacks; readers see null in older rows."""
        known = {field.name for field in table.schema().fields}
        missing = [name for name in LAKE_SCHEMA if name not in known]
        if missing:
            fields = {field.name: field for field in DeltaSchema.from_arrow(LAKE_SCHEMA).fields}
            table.alter.add_columns([fields[name] for name in missing])

    def _files(self, table: DeltaTable, predicate: str | None = None) -> list[str]:
        return list(table.file_uris(file_pruning_predicate=predicate))

    def _scan_files(self, files: Sequence[str]) -> pl.LazyFrame:
        if not files:
            return empty_frame().lazy()
        return pl.scan_parquet(
            list(files),
            schema=LAKE_SCHEMA,
            hive_partitioning=True,
            hive_schema={PARTITION: pl.Date},
            missing_columns="insert",
            storage_options=self._options or None,
        )

    # -- writing ------------------------------------------------------------------------------------

    def snapshot(self) -> DeltaSnapshot:
        """A fresh snapshot, on disk in every part that its positions vouch for."""
        table = self._table_or_new()
        while self._sync is not None and not self._sync.upto(table.version()):
            table = self._table_or_new()
        return DeltaSnapshot(table)

    def commit(self, snapshot: Snapshot, positions: Mapping[str, int], rows: pl.DataFrame) -> CommitResult:
        """Append the rows the lake does not hold yet and move the positions, all or nothing.

        Raises `CommitConflict` when another committer was faster, `StoreError` when the store fails.
        """
        if not isinstance(snapshot, DeltaSnapshot):
            raise StoreError("A commit needs the snapshot that this store gave out.")
        if rows.schema != LAKE_SCHEMA:
            raise StoreError(f"The rows are not in the lake's schema: {_difference(rows.schema)}. Use to_frame().")
        table = snapshot.table
        moved = {source: at for source, at in positions.items() if at != snapshot.position(source)}
        for source, at in moved.items():
            if at < snapshot.position(source):
                raise StoreError(f"The position of {source} would go back from {snapshot.position(source)} to {at}.")
        new = self._unknown(table, rows)
        duplicates = rows.height - new.height
        if new.is_empty() and not moved:
            return CommitResult(0, duplicates, snapshot.version)
        transactions = [Transaction(source, at) for source, at in moved.items()]
        transactions.append(Transaction(_COMMITTER, snapshot.position(_COMMITTER) + 1))
        if new.get_column("revision").max():
            transactions.append(Transaction(_REVISED, snapshot.position(_REVISED) + 1))
        try:
            write_deltalake(
                table,
                new,
                mode="append",
                writer_properties=_WRITER,
                commit_properties=CommitProperties(app_transactions=transactions),
            )
        except CommitFailedError as error:
            raise CommitConflict(f"Another committer was faster: {error}. Start over from a new snapshot.") from error
        except (DeltaError, OSError) as error:
            raise StoreError(
                f"The lake at {self.uri} could not be written: {error}. Check space and access."
            ) from error
        return CommitResult(new.height, duplicates, table.version())

    def _unknown(self, table: DeltaTable, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows less repeats among themselves and less what the table holds."""
        if rows.is_empty():
            return rows
        if not rows.select(KEY).is_unique().all():  # a sixth of the cost of dropping what is not there
            rows = rows.unique(KEY, keep="first", maintain_order=True)
        # Ids that are made of the time lie close together and need few files, however many days are looked through;
        # those that are digests are strewn over all of them. Asked together, each would cost what the other does.
        groups = rows.group_by(_SPREAD.alias("spread"), pl.col("event_id").str.slice(14, 1) == "7").agg(
            pl.col(PARTITION).unique(), least=pl.col("event_id").min(), most=pl.col("event_id").max()
        )
        files: dict[str, None] = {}
        for spread, _, days, least, most in groups.rows():
            touched = {day + timedelta(days=n) for day in days for n in range(-spread, spread + 1)}
            within = f"event_id >= {_literal(least)} AND event_id <= {_literal(most)}"
            files |= dict.fromkeys(self._files(table, f"{PARTITION} IN {_list(sorted(touched))} AND {within}"))
        if not files:
            return rows
        keys = rows.lazy().select(KEY)
        known = self._scan_files(list(files)).select(KEY).join(keys, on=KEY, how="semi").collect(engine="streaming")
        return rows.join(known, on=KEY, how="anti", maintain_order="left") if known.height else rows

    # -- reading ------------------------------------------------------------------------------------

    def scan(
        self,
        *,
        columns: Sequence[str] | None = None,
        event_types: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        every_revision: bool = False,
    ) -> pl.LazyFrame:
        """Latest (or every) revision of every event with `start <= event_time < end`.

        Opens only files that may hold some.
        """
        table = self._table()
        wanted = list(LAKE_SCHEMA) if columns is None else list(columns)
        if table is None:
            return empty_frame().lazy().select(wanted)
        prune, keep = [], []
        if start is not None:
            prune.append(f"{PARTITION} >= {_literal(_day(start))}")
            keep.append(pl.col("event_time") >= start)
        if end is not None:
            prune.append(f"{PARTITION} <= {_literal(_day(end))}")
            keep.append(pl.col("event_time") < end)
        if event_types is not None:
            if not event_types:
                return empty_frame().lazy().select(wanted)
            prune.append(f"event_type IN {_list(event_types)}")
            keep.append(pl.col("event_type").is_in(list(event_types)))
        frame = self._scan_files(self._files(table, " AND ".join(prune) or None))
        if keep:
            frame = frame.filter(*keep)
        if not every_revision and (newest := self._newest_revisions(table)).height:
            frame = frame.join(newest.lazy(), on="event_id", how="left").filter(
                pl.col("newest").is_null() | (pl.col("revision") >= pl.col("newest"))
            )
        return frame.select(wanted)

    def _newest_revisions(self, table: DeltaTable) -> pl.DataFrame:
        """`event_id` and highest revision of every event with a revision > 0, of the whole table.

        Of the whole table because a revision may move an event's time. Row groups without a revision are skipped by
        their own statistics, and a table that never had one is not read at all.
        """
        if not table.transaction_version(_REVISED):
            return pl.DataFrame(schema={"event_id": pl.String, "newest": pl.Int64})
        version = table.version()
        if self._revised is None or self._revised[0] != version:
            newest = (
                self._scan_files(self._files(table))
                .filter(pl.col("revision") > 0)
                .group_by("event_id")
                .agg(pl.col("revision").max().alias("newest"))
                .collect(engine="streaming")
            )
            self._revised = (version, newest)
        return self._revised[1]

    def days(self) -> dict[date, str]:
        """Day -> fingerprint of its files, which changes whenever the day's rows may have."""
        table = self._table()
        if table is None:
            return {}
        paths = _actions(table).select(PARTITION, "path").sort(PARTITION, "path")
        folded = paths.group_by(PARTITION, maintain_order=True).agg(pl.col("path").str.join("\n"))
        return {day: hashlib.sha256(text.encode()).hexdigest()[:32] for day, text in folded.rows()}

    def stats(self) -> dict[str, Any]:
        """`rows`, `bytes`, `files`, `version`, `first`, `last` event time, `by_type`, `by_source`, `day_bytes`."""
        table = self._table()
        if table is None:
            empty: dict[str, Any] = {"by_type": {}, "by_source": {}, "day_bytes": {}}
            return {"rows": 0, "bytes": 0, "files": 0, "version": -1, "first": None, "last": None, **empty}
        frame = self._scan_files(self._files(table))
        kinds = frame.group_by("event_type", "source").agg(
            pl.len(), pl.col("event_time").min(), last=pl.col("event_time").max()
        )
        counted = kinds.sort("event_type", "source").collect(engine="streaming")
        actions = _actions(table)
        return {
            "rows": int(counted.get_column("len").sum()),
            "bytes": int(actions.get_column("size_bytes").sum()),
            "files": actions.height,
            "version": table.version(),
            "first": counted.get_column("event_time").min(),
            "last": counted.get_column("last").max(),
            "by_type": _sums(counted, "event_type"),
            "by_source": _sums(counted, "source"),
            "day_bytes": dict(actions.group_by(PARTITION).agg(pl.col("size_bytes").sum()).sort(PARTITION).rows()),
        }

    # -- upkeep -------------------------------------------------------------------------------------

    @_alone
    def delete(
        self,
        *,
        older_than: datetime | None = None,
        keep_types: Sequence[str] = (),
        keep_sources: Sequence[str] = (),
    ) -> int:
        """Drop rows received before a time (all without one), except kept types and sources; returns how many.

        A deletion sees only the files of its handle and leaves rows that came later without an error, so it is
        repeated from a fresh table until nothing is left to delete. Days without a kept row go as whole files.
        """
        condition = ["TRUE"]
        doomed = pl.lit(True)
        if older_than is not None:
            condition.append(f"received_at < {_timestamp(older_than)}")
            doomed &= pl.col("received_at") < older_than
        for column, kept in (("event_type", keep_types), ("source", keep_sources)):
            if kept:
                condition.append(f"{column} NOT IN {_list(kept)}")
                doomed &= ~pl.col(column).is_in(list(kept))
        deleted = 0
        for _ in range(_ATTEMPTS):
            table = self._table()
            if table is None:
                return deleted
            days = (
                self._scan_files(self._files(table))
                .group_by(PARTITION)
                .agg(total=pl.len(), doomed=doomed.sum())
                .filter(pl.col("doomed") > 0)
                .collect(engine="streaming")
            )
            if days.is_empty():
                return deleted
            whole = days.filter(pl.col("doomed") == pl.col("total"))
            partial = days.filter(pl.col("doomed") < pl.col("total"))
            with contextlib.suppress(CommitFailedError):  # someone wrote meanwhile: look again
                if whole.height:
                    confirm()
                    table.delete(f"{PARTITION} IN {_list(whole.get_column(PARTITION))}")
                    deleted += int(whole.get_column("doomed").sum())
                if partial.height:
                    confirm()
                    table.delete(" AND ".join([f"{PARTITION} IN {_list(partial.get_column(PARTITION))}", *condition]))
                    deleted += int(partial.get_column("doomed").sum())
        raise StoreError("Rows could not be deleted because the lake is being written all the time. Run it again.")

    @_alone
    def key_ids(
        self, *, key: bytes, older_than: datetime, types: Sequence[str], keep_sources: Sequence[str] = ()
    ) -> int:
        """Put keyed ids into rows of these types received before a time; returns how many rows changed.

        One commit a day of events: it takes the day's rows out of their files and puts the keyed ones in, so a reader
        sees each row once, plain or keyed. Delta refuses it where anyone wrote to that day since its snapshot; the day
        is then read anew, and all days are looked through until none holds a row that is due. Memory follows the
        orders of one day. The old files leave the disk with `compact`.
        """
        due = (pl.col("received_at") < older_than) & pl.col("event_type").is_in(list(types))
        condition = [f"received_at < {_timestamp(older_than)}", f"event_type IN {_list(types)}"]
        if keep_sources:
            due &= ~pl.col("source").is_in(list(keep_sources))
            condition.append(f"source NOT IN {_list(keep_sources)}")
        changed = 0
        for _ in range(_ATTEMPTS):
            table = self._table()
            if table is None or not types:
                return changed
            found = self._due(table, due & stale(list(LAKE_SCHEMA)), types)
            if not found:
                return changed
            for day in found:
                changed += self._key_day(day, due, condition, key)
        raise StoreError("Ids could not be keyed because the lake is being written all the time. Run it again.")

    def _due(self, table: DeltaTable, due: pl.Expr, types: Sequence[str]) -> list[date]:
        frame = self._scan_files(self._files(table, f"event_type IN {_list(types)}")).filter(due)
        return frame.select(pl.col(PARTITION).unique().sort()).collect(engine="streaming").to_series().to_list()

    def _key_day(self, day: date, due: pl.Expr, condition: Sequence[str], key: bytes) -> int:
        """Key what is due of one day; returns how many rows changed, 0 where someone wrote to the day meanwhile."""
        table = self._table_or_new()
        where = f"{PARTITION} = {_literal(day)}"
        # What is keyed already goes along: the condition, which the rows replaced are found by, knows nothing of it.
        rows = self._scan_files(self._files(table, where)).filter(due).collect(engine="streaming")
        changed = rows.filter(stale(list(LAKE_SCHEMA))).height
        if not changed:
            return 0
        confirm()
        try:
            write_deltalake(
                table,
                key_rows(rows, key),
                mode="overwrite",
                predicate=" AND ".join([where, *condition]),
                writer_properties=_WRITER,
            )
        except CommitFailedError:
            return 0
        except (DeltaError, OSError) as error:
            raise StoreError(
                f"The lake at {self.uri} could not be written: {error}. Check space and access."
            ) from error
        if self._sync is not None:
            self._sync.upto(table.version())
        return changed

    @_alone
    def compact(self, *, min_files: int = 8) -> dict[str, Any]:
        """Merge the small files of busy days, write a checkpoint, drop files and log entries nobody needs.

        Files stay for a day after they leave the table, so running readers keep theirs.
        """
        table = self._table()
        if table is None:
            return {"days": 0, "files_before": 0, "files_after": 0, "vacuumed": 0}
        actions = _actions(table)
        small = actions.filter(pl.col("size_bytes") < _SMALL_FILE).group_by(PARTITION).len()
        days = sorted(small.filter(pl.col("len") >= min_files).get_column(PARTITION))
        merged = 0
        for day in days:
            confirm()
            try:
                table.optimize.compact(
                    partition_filters=[(PARTITION, "=", str(day))], max_concurrent_tasks=1, writer_properties=_WRITER
                )
                merged += 1
            except CommitFailedError:  # a deletion was faster; the next run merges this day
                table = self._table() or table
        table = self.snapshot().table  # on disk before anything it replaces leaves
        confirm()
        vacuumed = table.vacuum(retention_hours=24, dry_run=False, full=True)
        table.create_checkpoint()
        if self._sync is not None:
            self._sync.sync_checkpoint(table.version())
        table.cleanup_metadata()
        return {
            "days": merged,
            "files_before": actions.height,
            "files_after": _actions(table).height,
            "vacuumed": len(vacuumed),
        }

    # -- erasure, see `lake_erase` --------------------------------------------------------------------

    def find(self, traces: Traces, *, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Every row of a person, all revisions of it."""
        table = self._table()
        frame = empty_frame().lazy() if table is None else self.scan_table(table)
        found = frame.filter(traces.rows())
        return found if columns is None else found.select(columns)

    def fence(self) -> None:
        """When this returns, no commit through an older snapshot can succeed any more."""
        lake_erase.fence(self, _COMMITTER)

    @_alone
    def erase(self, traces: Traces, *, orders: str, before: datetime, key: bytes) -> ErasedRows:
        """Take a person's rows that happened or came before a moment out of the table, until none is left.

        Memory follows the person's rows and the data files of their days, half a GiB of files at a time.
        """
        return lake_erase.erase_rows(self, traces, orders=orders, before=before, key=key, committer=_COMMITTER)

    @_alone
    def purge(self, traces: Traces, *, orders: str, before: datetime, dry_run: bool = False) -> PurgedFiles:
        """Delete files that left the table and hold such rows. In an object store: all files that left the table."""
        return lake_erase.purge_files(self, traces, orders=orders, before=before, dry_run=dry_run)

    def table(self) -> DeltaTable | None:
        """The newest version of the table for this package's own modules; None while there is none."""
        return self._table()

    def scan_table(self, table: DeltaTable) -> pl.LazyFrame:
        """All rows of one version, every revision."""
        return self._scan_files(self._files(table))

    def make_durable(self, table: DeltaTable) -> None:
        """Bring a version to disk in every part."""
        if self._sync is not None:
            self._sync.upto(table.version())


def _sums(counted: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(counted.group_by(column).agg(pl.col("len").sum()).sort(column).rows())


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _actions(table: DeltaTable) -> pl.DataFrame:
    """One row per data file: `path`, `size_bytes`, `event_date`."""
    frame = pl.DataFrame(table.get_add_actions(flatten=True))
    if frame.is_empty():
        return pl.DataFrame(schema={"path": pl.String, "size_bytes": pl.Int64, PARTITION: pl.Date})
    return frame.select("path", "size_bytes", pl.col(f"partition.{PARTITION}").alias(PARTITION))


def _difference(schema: pl.Schema) -> str:
    missing = [name for name in LAKE_SCHEMA if name not in schema]
    wrong = [
        f"{name} is {schema[name]}" for name in LAKE_SCHEMA if name in schema and schema[name] != LAKE_SCHEMA[name]
    ]
    unknown = [name for name in schema if name not in LAKE_SCHEMA]
    parts = (("missing", missing), ("of another type", wrong), ("unknown", unknown))
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names) or "columns in another order"
