"""Counts of what did not go the normal way, by reason, so that nothing is lost in silence.

Each process counts in memory; the thread of the background queue and the end of the process write the counts to a small
file of the process, and `ml_status` adds the files up. Counts of the last seven days are shown.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from ml_models.core import clock

__all__ = ["add", "reset", "save", "snapshot", "totals", "unsaved"]

KEEP = timedelta(days=7)
"""Files not written for this long are deleted."""

_counts: Counter[str] = Counter()
_lock = threading.Lock()
_unsaved = False
_started = ""


def add(reason: str, n: int = 1) -> int:
    """Count `n` more under a reason such as `overflow.queue_full`; returns the new total of this process."""
    global _unsaved
    with _lock:
        _unsaved = True
        _counts[reason] += n
        return _counts[reason]


def snapshot() -> dict[str, int]:
    """Counts of the current process by reason."""
    with _lock:
        return dict(_counts)


def reset() -> None:
    """Start again from nothing (tests, and a forked child)."""
    global _lock, _unsaved, _started
    _lock = threading.Lock()  # at a fork another thread may have held it
    _unsaved, _started = False, ""
    _counts.clear()


def unsaved() -> bool:
    """Whether anything was counted since the last `save`."""
    return _unsaved


def save(folder: Path) -> None:
    """Write the current process's counts into the folder, where any changed since the last time. Raises `OSError`."""
    global _unsaved, _started
    with _lock:
        if not _unsaved:
            return
        counts, _unsaved = dict(_counts), False
        _started = _started or f"{clock.now():%Y%m%d%H%M%S%f}"
        name = f"{socket.gethostname()}-{os.getpid()}-{_started}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{name}.partial"
        partial.write_bytes(msgspec.json.encode(counts))
        partial.replace(folder / name)
    except OSError:
        _unsaved = True  # a full disk has room again one day
        raise


def totals(folder: Path) -> dict[str, int]:
    """Counts of all processes by reason, the most frequent first; deletes files that are too old."""
    found: Counter[str] = Counter()
    oldest = clock.now() - KEEP
    for path in folder.glob("*.json"):
        try:
            if datetime.fromtimestamp(path.stat().st_mtime, UTC) < oldest:
                path.unlink()
            else:
                found.update(msgspec.json.decode(path.read_bytes(), type=dict[str, int]))
        except FileNotFoundError:  # another process deleted it
            continue
    return dict(found.most_common())
