"""How much of the disk is used, how fast it fills, and when the limit is reached.

The limit is `ML_LIMITS["storage_bytes"]`, else what the disk of `ML_STORAGE["data"]` has room for. What fills it is the
lake: the mean size of its last `MEASURED` whole days (UTC) is what a day adds. Behaviour older than `retention_days` is
dropped, so a lake stops growing at about that many days; where that fits below the limit, it is never reached.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path

from ml_models.core import clock
from ml_models.settings import get_settings

__all__ = ["NEAR_DAYS", "SOON_DAYS", "Storage", "folder_bytes", "look", "size"]

MEASURED = 7
"""Whole days that the growth is taken from."""
NEAR_DAYS = 7
"""Days to the limit from which it is a problem."""
SOON_DAYS = 30
"""Days to the limit from which it is said."""
FULL = 0.95
"""Share of the limit from which it is a problem however slowly it is reached."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The disk under the data folder."""

    used: int
    """Bytes below `ML_STORAGE["data"]`."""
    limit: int
    """Bytes it may have."""
    own_limit: bool
    """Whether `storage_bytes` sets the limit, not the disk."""
    growth: int | None
    """Bytes a day that the lake adds here; None while no whole day is known, 0 where the lake is elsewhere."""
    days_left: int | None
    """Days until the limit; None where it is not in sight."""
    capped: bool
    """Whether retention holds it below the limit."""
    retention_days: int

    def __str__(self) -> str:
        """In words."""
        if self.used >= self.limit:
            return "the limit is reached"
        if self.growth is None:
            return "no whole day is known yet"
        if not self.growth:
            return "nothing is added here"
        pace = f"at {size(self.growth)} a day "
        if self.capped:
            return f"{pace}never: behaviour older than {self.retention_days:,} days is dropped"
        return f"{pace}the limit is reached in {self.days_left:,} {'day' if self.days_left == 1 else 'days'}"

    @property
    def near(self) -> bool:
        """Whether something must be done now."""
        soon = self.days_left is not None and self.days_left < NEAR_DAYS
        return soon or self.used >= FULL * self.limit


def size(count: int) -> str:
    """Bytes for people: `120 MB`, `9.5 GB`."""
    amount = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:,.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:,.1f} {unit}"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none. Files that vanish meanwhile do not count."""
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


def look(days: Mapping[date, int]) -> Storage:
    """The state now; `days`: bytes of the lake's files by day of events (UTC). Raises `OSError`."""
    settings = get_settings()
    data, own, retention = settings.storage.data, settings.limits.storage_bytes, settings.data_collection.retention_days
    used = folder_bytes(data)
    limit = own or used + _free(data)
    growth, capped, left = _growth(days) if _inside(settings.storage.lake, data) else 0, False, None
    if growth and used < limit:
        oldest = clock.now().astimezone(UTC).date() - timedelta(days=retention)
        behaviour = sum(count for day, count in days.items() if day >= oldest)
        capped = used - behaviour + growth * retention <= limit
        left = None if capped else (limit - used) // growth
    return Storage(used, limit, bool(own), growth, 0 if used >= limit else left, capped, retention)


def _growth(days: Mapping[date, int]) -> int | None:
    today = clock.now().astimezone(UTC).date()
    first = min(days, default=today)
    measured = min(MEASURED, (today - first).days)
    if measured < 1:
        return None
    return sum(days.get(today - timedelta(days=back), 0) for back in range(1, measured + 1)) // measured


def _inside(lake: str, data: Path) -> bool:
    return "://" not in lake and Path(lake).resolve().is_relative_to(data.resolve())


def _free(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
