"""Erasing a person from a Delta Lake: out of the table, out of the log, off the disk.

Out of the table by MERGE: one commit drops rows and puts keyed ids into others. A DELETE would write its predicate, and
with it the person's ids, into the log, which outlives the rows; of a MERGE the log keeps the names of the columns.

Every commit here also moves the committer's own app transaction. So whoever prepared rows from an older snapshot gets a
`CommitConflict`, starts over, and meets the tombstones (`data_collection.tombstones`) that were written before.

Off the disk: files that left the table keep its rows for a day, for running readers. Those that hold the person's go at
once. A file that no commit names yet may be one that is being written, and a commit of a missing file would break the
table: such a file goes only when it is old enough to be the leftover of a killed writer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from ml_models.adapters.lake_lock import confirm
from ml_models.core import clock
from ml_models.core.errors import StoreError
from ml_models.core.keyed_ids import KEPT_COLUMNS, ORDER_TYPES, key_rows
from ml_models.core.lake_schema import LAKE_SCHEMA, PARTITION, empty_frame
from ml_models.core.ports import ErasedRows, PurgedFiles

if TYPE_CHECKING:
    from ml_models.adapters.event_store import DeltaEventStore
    from ml_models.core.traces import Traces

__all__ = ["erase_rows", "fence", "purge_files"]

_ATTEMPTS = 30
_CHANGED = [name for name in LAKE_SCHEMA if name not in KEPT_COLUMNS]
_BUDGET = 512 << 20
"""Bytes of data files that one MERGE looks through: its memory follows them."""
_ABANDONED_AFTER = timedelta(hours=1)
"""Age at which a file that no commit ever named is the leftover of a killed writer and not one being written."""
_BUSY = "The lake is being written all the time, so {} did not get its turn. Run ml_forget again."


def _next(table: DeltaTable, committer: str) -> CommitProperties:
    return CommitProperties(app_transactions=[Transaction(committer, (table.transaction_version(committer) or 0) + 1)])


def fence(store: DeltaEventStore, committer: str) -> None:
    """Make every commit that was prepared from a snapshot older than this call fail."""
    for _ in range(_ATTEMPTS):
        table = store.table()
        if table is None:
            return
        try:
            write_deltalake(table, empty_frame(), mode="append", commit_properties=_next(table, committer))
            return
        except CommitFailedError:
            continue
    raise StoreError(_BUSY.format("the erasure"))


def erase_rows(
    store: DeltaEventStore, traces: Traces, *, orders: str, before: datetime, key: bytes, committer: str
) -> ErasedRows:
    """Take what is due out of the table, looking again from a fresh table until nothing is; see `EventStore.erase`."""
    dropped = keyed = 0
    for _ in range(_ATTEMPTS):
        table = store.table()
        if table is None:
            return ErasedRows(dropped, keyed)
        rows = store.scan_table(table).filter(traces.due(orders, before, list(LAKE_SCHEMA))).collect(engine="streaming")
        if rows.is_empty():
            return ErasedRows(dropped, keyed)
        change = key_rows(rows, key).select(
            *("event_id", "revision", PARTITION), *_CHANGED, drop=_dropped(rows, orders)
        )
        try:
            for days in _groups(table, set(rows.get_column(PARTITION))):
                part = change.filter(pl.col(PARTITION).is_in(days))
                confirm()
                done = _merge(table, part, store.writer, _next(table, committer))
                dropped += int(done["num_target_rows_deleted"])
                keyed += int(done["num_target_rows_updated"])
                store.make_durable(table)
        except CommitFailedError:  # someone wrote meanwhile: look again
            continue
        except (DeltaError, OSError) as error:
            raise StoreError(
                f"The lake at {store.uri} could not be written: {error}. Check space and access."
            ) from error
    raise StoreError(_BUSY.format("the erasure"))


def _dropped(rows: pl.DataFrame, orders: str) -> pl.Series:
    kept = list(ORDER_TYPES) if orders == "key" else []
    return ~rows.get_column("event_type").is_in(kept)


def _merge(
    table: DeltaTable, change: pl.DataFrame, writer: WriterProperties, commit: CommitProperties
) -> dict[str, Any]:
    return (
        table.merge(
            change,
            f"t.{PARTITION} = s.{PARTITION} AND t.event_id = s.event_id AND t.revision = s.revision",
            source_alias="s",
            target_alias="t",
            writer_properties=writer,
            commit_properties=commit,
        )
        .when_matched_delete(predicate="s.drop")
        .when_matched_update({name: f"s.{name}" for name in _CHANGED}, predicate="NOT s.drop")
        .execute()
    )


def _groups(table: DeltaTable, days: set[Any]) -> list[list[Any]]:
    """The days in groups whose files together stay within the budget; at least one day each."""
    sizes: dict[Any, int] = {}
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    for day, size in actions.select(f"partition.{PARTITION}", "size_bytes").rows():
        sizes[day] = sizes.get(day, 0) + size
    groups: list[list[Any]] = []
    room = 0
    for day in sorted(days):
        if not groups or sizes.get(day, 0) > room:
            groups.append([])
            room = _BUDGET
        groups[-1].append(day)
        room -= sizes.get(day, 0)
    return groups


# -- off the disk -----------------------------------------------------------------------------------


def purge_files(store: DeltaEventStore, traces: Traces, *, orders: str, before: datetime, dry_run: bool) -> PurgedFiles:
    """Delete the data files outside the table that hold rows which are due; see `EventStore.purge`."""
    table = store.table()
    if table is None:
        return PurgedFiles(0, 0)
    if store.folder is None:
        # An object store tells no content cheaply: what has left the table at any time goes, in-flight files do not.
        gone = table.vacuum(retention_hours=0, dry_run=dry_run, enforce_retention_duration=False)
        return PurgedFiles(len(gone), 0)
    # In this order: a file that is committed between the two is in one of them at least.
    found = sorted(store.folder.glob(f"{PARTITION}=*/*.parquet*"))
    left = _left_the_table(store.folder)
    current = {_name(uri) for uri in table.file_uris()}
    removed = waiting = 0
    for path in found:
        if _name(path) in current:
            continue
        try:
            old = clock.now() - datetime.fromtimestamp(path.stat().st_mtime, UTC) > _ABANDONED_AFTER
            held = _holds(path, lambda columns: traces.due(orders, before, columns))
        except FileNotFoundError:  # an upkeep run was faster
            continue
        if held is False:
            continue
        if old or _name(path) in left:
            removed += 1
            if not dry_run:
                path.unlink(missing_ok=True)
        else:
            waiting += 1
    return PurgedFiles(removed, waiting)


def _name(uri: str | Path) -> str:
    """Folder and file of a data file, the same for a path, a URI and an entry of the log."""
    return "/".join(unquote(str(uri)).split("/")[-2:])


def _left_the_table(folder: Path) -> set[str]:
    """Files that a commit took out of the table, as far as the log reaches back. None of them is being written."""
    names = set()
    for entry in (folder / "_delta_log").glob("*.json"):
        for line in entry.read_text().splitlines():
            removed = json.loads(line).get("remove") if line else None
            if removed:
                names.add(_name(removed["path"]))
    return names


def _holds(path: Path, due: Callable[[list[str]], pl.Expr]) -> bool | None:
    """Whether a file holds such rows; None where it is half a file, of a killed writer or a running one."""
    try:
        frame = pl.scan_parquet(path.read_bytes() if "#" in path.name else path, hive_partitioning=False)
        return bool(frame.filter(due(frame.collect_schema().names())).select(pl.len()).collect().item())
    except pl.exceptions.PolarsError:
        return None
