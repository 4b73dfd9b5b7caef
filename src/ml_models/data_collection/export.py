"""Export of the lake as plain Parquet, one folder a day, for tools that read no Delta table."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_models.core.errors import StoreError

if TYPE_CHECKING:
    from ml_models.core.ports import EventStore

__all__ = ["ExportResult", "export_training_data", "remove_file"]

_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What one export did."""

    folder: Path
    days: int
    """Days written by this run."""
    unchanged: int
    """Days whose file was up to date."""
    removed: int
    """Days that are no longer in the lake."""
    rows: int
    """Rows written by this run."""


def export_training_data(
    folder: Path | None = None, *, progress: Callable[[int, int], None] | None = None
) -> ExportResult:
    """Write `<folder>/event_date=YYYY-MM-DD/events.parquet` for every day that changed since the last export.

    A manifest holds each finished day with a fingerprint of the lake's files, written after the day's file is
    complete: a killed export is finished by the next one, which redoes no finished day. Days that retention or an
    erasure took from the lake are removed here too. `progress(done, total)` counts days.
    """
    from ml_models.adapters.build import get_event_store
    from ml_models.settings import get_settings

    store = get_event_store()
    folder = folder or get_settings().storage.data / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        return _export(store, folder, progress)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: a second export waits, and then finds the days done. A killed holder lets go by itself."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _export(store: EventStore, folder: Path, progress: Callable[[int, int], None] | None) -> ExportResult:
    manifest = _Manifest(folder / _MANIFEST)
    lake = store.days()
    gone = [day for day in manifest.days if day not in lake]
    for day in gone:
        _remove(_file(folder, day))
        manifest.remove(day)
    due = [day for day in sorted(lake) if not manifest.has(day, lake[day]) or not _file(folder, day).is_file()]
    rows = 0
    for number, day in enumerate(due, 1):
        start = datetime.combine(day, time(), UTC)
        written = _write(store.scan(start=start, end=start + timedelta(days=1)), _file(folder, day))
        manifest.add(day, lake[day], written)
        rows += written
        if progress is not None:
            progress(number, len(due))
    return ExportResult(folder, len(due), len(lake) - len(due), len(gone), rows)


def remove_file(folder: Path, path: Path) -> None:
    """Take one file out of an export; the next one writes its day anew. For erasures."""
    manifest = _Manifest(folder / _MANIFEST)
    day = date.fromisoformat(path.parent.name.partition("=")[2])
    if path.suffix == ".parquet" and day in manifest.days:
        manifest.remove(day)
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another file of the day is still there
        path.parent.rmdir()


def _file(folder: Path, day: date) -> Path:
    return folder / f"event_date={day.isoformat()}" / "events.parquet"


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(".partial").unlink(missing_ok=True)  # of a killed export
    with contextlib.suppress(FileNotFoundError):
        path.parent.rmdir()


def _write(frame: Any, path: Path) -> int:
    """Stream the rows into a file that appears only when it is whole; returns how many."""
    import polars as pl

    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        frame.drop("event_date").sink_parquet(partial, compression="zstd")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"The export of {path.parent.name} failed: {error}. Run the export again.") from error
    partial.replace(path)
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


class _Manifest:
    """Which days are finished: day -> fingerprint and rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            found = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):  # ValueError: cut short by a power cut; the days are written again
            found = {}
        self.days: dict[date, dict[str, Any]] = {date.fromisoformat(day): entry for day, entry in found.items()}

    def has(self, day: date, fingerprint: str) -> bool:
        return self.days.get(day, {}).get("fingerprint") == fingerprint

    def add(self, day: date, fingerprint: str, rows: int) -> None:
        self.days[day] = {"fingerprint": fingerprint, "rows": rows}
        self._save()

    def remove(self, day: date) -> None:
        del self.days[day]
        self._save()

    def _save(self) -> None:
        partial = self._path.with_suffix(".partial")
        entries = {day.isoformat(): entry for day, entry in sorted(self.days.items())}
        partial.write_text(json.dumps(entries, indent=1))
        partial.replace(self._path)
