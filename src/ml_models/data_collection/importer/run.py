"""Import history files into the lake: read, judge, put aside by day, commit; exactly once, whatever happens.

Two guards make it exactly once. Each commit moves a position that belongs to this import (its files, its mapping), in
the same transaction as the rows, so an import that was killed goes on where it was. And every row has an id made from
its content, so that even rows that come by another file are in the lake once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from ml_models.adapters.build import get_catalogue, get_dead_letters, get_event_store
from ml_models.adapters.dead_letters import Letter
from ml_models.core import clock
from ml_models.core.errors import MLError
from ml_models.core.lake_schema import LAKE_SCHEMA, PARTITION
from ml_models.core.ports import Snapshot
from ml_models.data_collection.importer.commit import commit_rows
from ml_models.data_collection.importer.ids import event_ids
from ml_models.data_collection.importer.mapping import ColumnMap
from ml_models.data_collection.importer.readers import BadRow, digest, read_batches
from ml_models.data_collection.importer.spill import PILES, Spill
from ml_models.settings import get_settings

__all__ = ["ImportFile", "ImportResult", "import_files", "lake_rows", "remove_leftovers"]

FORMAT_VERSION = 1
"""Counts up whenever the same files would be cut into commits in another way."""
MAX_PAYLOAD = 4096
"""Bytes of a bad row that its dead letter keeps."""

Progress = Callable[[str, int, int], None]
"""Told (stage, done, total): `check` and `read` in bytes, `write` in rows."""


@dataclass(frozen=True, kw_only=True)
class ImportFile:
    """One file and how to take it apart."""

    path: Path
    format: str
    delimiter: str = ""
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()


@dataclass(kw_only=True)
class ImportResult:
    """What an import did."""

    source: str
    rows: int = 0
    """Rows read from the files."""
    events: int = 0
    """Rows that are events."""
    written: int = 0
    """Events added to the lake by this run."""
    present: int = 0
    """Events that the lake had already."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Rows left out by a cleaning rule, by rule."""
    bad: dict[str, int] = field(default_factory=dict)
    """Rows sent to the dead letters, by reason."""
    first: datetime | None = None
    last: datetime | None = None
    seconds: float = 0.0
    resumed: bool = False
    """Whether an earlier, interrupted run had already written a part."""
    done_before: bool = False
    """Whether the same files with the same mapping were imported before, so that nothing was read."""
    dry_run: bool = False
    sample: list[dict[str, Any]] = field(default_factory=list)
    """First events, for a dry run."""


def import_files(
    files: Sequence[ImportFile],
    columns: ColumnMap,
    *,
    source: str = "import",
    again: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportResult:
    """Import the files as one export: equal rows are counted over all of them.

    `source` names where the rows come from; rows of two sources are never the same event. With `again` files that were
    imported completely are read once more. Raises `ImportFileError`, `ConfigError`, `StoreError`.
    """
    tell = progress or (lambda stage, done, total: None)
    started = clock.current().monotonic()
    result = ImportResult(source=source, dry_run=dry_run)
    key = _identity(files, columns, source, tell)
    with _workspace(key) as folder:
        store = None
        if not dry_run:
            store = get_event_store()
            before = store.snapshot()
            if before.position(f"import:{key}:done") and not again:
                result.done_before = True
                return result
        spill = Spill(folder)
        with (folder / "bad.jsonl").open("w", encoding="utf-8") as bad_file:
            _read(files, columns, spill, bad_file, result, tell)
        if store is not None:
            _dead_letters(key, folder / "bad.jsonl", result)
            _write(key, spill, result, tell, again)
    result.seconds = clock.current().monotonic() - started
    return result


def lake_rows(rows: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    """Imported rows in the lake's schema."""
    now, site = clock.now(), get_settings().site
    rows = _canonical(rows).with_columns(
        ids.alias("event_id"),
        pl.lit(now).cast(LAKE_SCHEMA["received_at"]).alias("received_at"),
        pl.lit("import").alias("source"),
        pl.lit(site).alias("site"),
        pl.lit(0, dtype=pl.Int64).alias("revision"),
        pl.lit(False).alias("is_bot"),
        pl.col("event_time").dt.date().alias(PARTITION),
    )
    present = set(rows.columns)
    return rows.select(
        (pl.col(name) if name in present else pl.lit(None)).cast(kind).alias(name) for name, kind in LAKE_SCHEMA.items()
    )


def _canonical(rows: pl.DataFrame) -> pl.DataFrame:
    """Variant ids -> parent product and variant, where the shop's mapping knows variants."""
    catalog = get_settings().catalog
    if not ((catalog.get("product") or {}).get("variants") or catalog.get("preset")):  # a preset may map variants
        return rows
    found = get_catalogue().canonical(rows["product_id"].drop_nulls().unique().to_list())
    parents = {variant: parent for variant, parent in found.items() if variant != parent}
    if not parents:
        return rows
    is_variant = pl.col("product_id").is_in(list(parents))
    return rows.with_columns(
        pl.when(is_variant).then(pl.coalesce("variant_id", "product_id")).otherwise("variant_id").alias("variant_id"),
        pl.col("product_id").replace(parents),
    )


def _identity(files: Sequence[ImportFile], columns: ColumnMap, source: str, tell: Progress) -> str:
    """What this import is, whichever process runs it: files by content, mapping, source."""
    total, done = sum(file.path.stat().st_size for file in files if file.path.is_file()), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        tell("check", done, total)

    parts: list[Any] = [FORMAT_VERSION, pl.__version__, PILES, source, columns.describe()]
    for file in files:
        if file.path.is_file():  # a missing file is reported, with its name, when it is read
            parts.append((digest(file.path, advance), file.format, file.delimiter, file.encoding, file.header))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def remove_leftovers(but: str = "") -> int:
    """Remove the folders that killed imports left behind, `but` for one; returns how many went."""
    base = get_settings().storage.data / "import"
    removed = 0
    for other in base.glob("*.lock"):
        if other.stem != but:
            with other.open("w") as file, suppress(BlockingIOError):  # locked: that import is running
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(base / other.stem, ignore_errors=True)
                other.unlink(missing_ok=True)
                removed += 1
    return removed


@contextmanager
def _workspace(key: str) -> Iterator[Path]:
    """A folder of this import's own under the data folder; what killed imports left behind is removed."""
    base = get_settings().storage.data / "import"
    base.mkdir(parents=True, exist_ok=True)
    remove_leftovers(key)
    lock = base / f"{key}.lock"
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between open and flock another import may have ended and taken this very file away.
            current = lock.exists() and lock.stat().st_ino == os.fstat(file.fileno()).st_ino
        except BlockingIOError:
            current = False
        if not current:
            raise MLError("The same import is running already. Wait for it to end, or stop it first.")
        folder = base / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _read(
    files: Sequence[ImportFile],
    columns: ColumnMap,
    spill: Spill,
    bad_file: IO[str],
    result: ImportResult,
    tell: Progress,
) -> None:
    total, done = sum(file.path.stat().st_size for file in files if file.path.is_file()), 0
    skipped: Counter[str] = Counter()
    bad: Counter[str] = Counter()

    def advance(count: int) -> None:
        nonlocal done
        done += count
        tell("read", done, total)

    for file in files:
        for batch in read_batches(
            file.path,
            columns.needed,
            format=file.format,
            delimiter=file.delimiter,
            encoding=file.encoding,
            header=file.header,
            advance=advance,
        ):
            mapped = columns.apply(batch.frame)
            wrong = list(batch.bad)
            for index, reason, detail in mapped.bad.iter_rows():
                wrong.append(BadRow(batch.lines[index], reason, detail or "", batch.raw(index)))
            for row in wrong:
                bad[row.reason] += 1
                bad_file.write(
                    json.dumps(_letter(file.path, row, columns.needed), default=str, ensure_ascii=False) + "\n"
                )
            skipped.update(mapped.skipped)
            result.rows += batch.frame.height + len(batch.bad)
            result.events += mapped.events.height
            if mapped.events.height:
                times = mapped.events["event_time"]
                result.first = min(filter(None, (result.first, cast("datetime", times.min()))))
                result.last = max(filter(None, (result.last, cast("datetime", times.max()))))
                if len(result.sample) < 5:
                    result.sample += mapped.events.head(5 - len(result.sample)).to_dicts()
                if not result.dry_run:
                    spill.add(mapped.events)
    result.skipped, result.bad = dict(skipped.most_common()), dict(bad.most_common())


def _letter(path: Path, row: BadRow, needed: Sequence[str]) -> dict[str, Any]:
    """A bad row with the mapped columns only: what nobody asked for (an e-mail, a phone number) is not kept.

    A line that cannot be taken apart is not kept at all; file and number say where it is.
    """
    wanted = {name.split(".")[0] for name in needed} | set(needed)
    raw = {name: row.raw[name] for name in row.raw if name in wanted} if isinstance(row.raw, dict) else None
    return {"file": path.name, "line": row.line, "reason": row.reason, "detail": row.detail, "raw": raw}


def _dead_letters(key: str, bad: Path, result: ImportResult) -> None:
    """Hand the bad rows over before the last commit says that all is done; a run that starts over adds none twice."""
    if not result.bad:
        return
    letters = get_dead_letters()
    known = {letter.key for letter in letters if letter.context.get("import") == key}
    batch: list[Letter] = []
    with bad.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            letter = letters.letter(
                row["reason"],
                f"{row['file']}:{row['line']}",
                json.dumps(row["raw"], ensure_ascii=False).encode("utf-8", "replace")[:MAX_PAYLOAD],
                kind="row",
                detail=row["detail"],
                context={"import": key, "source": result.source},
            )
            if letter.key not in known:
                batch.append(letter)
            if len(batch) >= 5_000:
                letters.write_all(batch)
                batch.clear()
    letters.write_all(batch, durable=True)


def _write(key: str, spill: Spill, result: ImportResult, tell: Progress, again: bool) -> None:
    store = get_event_store()
    app = f"import:{key}"
    total_units = sum(spill.unit_sizes())
    reached = 0 if again else store.snapshot().position(app)
    result.resumed = reached > 0
    rows_done = spill.rows_before(reached)
    for number, rows in enumerate(spill.units(skip=reached), reached + 1):
        last = number == total_units

        def positions(snapshot: Snapshot, number: int = number, last: bool = last) -> dict[str, int] | None:
            ahead = snapshot.position(app) < number
            if not ahead and not again:
                return None
            moved = {app: number} if ahead else {}
            return moved | {f"{app}:done": 1} if last else moved

        done = commit_rows(store, lake_rows(rows, event_ids(rows, result.source)), positions)
        result.written += done.written if done else 0
        rows_done += rows.height
        tell("write", rows_done, result.events)
    result.present = result.events - result.written
