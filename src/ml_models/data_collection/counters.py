"""Counts of what did not go the normal way, by reason, so that nothing is lost in silence.

Each process counts in memory, by UTC day; the thread of the background queue and the end of the process write the
counts to a small file of the process, and `ml_status` adds the files up. Counts of the last seven days are kept.
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

DAYS = 7
"""Days that are counted, today among them."""

_counts: Counter[str] = Counter()
"""Of the process's whole life."""
_days: dict[str, Counter[str]] = {}
"""ISO day -> counts."""
_today = ""
_until = float("-inf")
"""Monotonic time up to which `_today` is today: to ask the calendar at every count would cost more than to count."""
_LOOK = 1.0
"""Seconds."""
_lock = threading.Lock()
_unsaved = False
_started = _pruned = ""


def add(reason: str, n: int = 1) -> int:
    """Count `n` more under a reason such as `overflow.queue_full`; returns the new total of this process."""
    global _unsaved
    with _lock:
        _unsaved = True
        _day()[reason] += n
        _counts[reason] += n
        return _counts[reason]


def _day() -> Counter[str]:
    global _today, _until
    monotonic = clock.current().monotonic()
    if not _until - _LOOK <= monotonic < _until:
        _today, _until = clock.now().date().isoformat(), monotonic + _LOOK
        for day in [day for day in _days if day < _first()]:
            del _days[day]
    counts = _days.get(_today)
    if counts is None:
        counts = _days[_today] = Counter()
    return counts


def _first() -> str:
    """The first day that is counted."""
    return (clock.now().date() - timedelta(days=DAYS - 1)).isoformat()


def snapshot() -> dict[str, int]:
    """Counts of the current process by reason, of its whole life."""
    with _lock:
        return dict(_counts)


def reset() -> None:
    """Start again from nothing (tests, and a forked child)."""
    global _lock, _unsaved, _started, _pruned, _until
    _lock = threading.Lock()  # at a fork another thread may have held it
    _unsaved, _until = False, float("-inf")
    _started = _pruned = ""
    _counts.clear()
    _days.clear()


def unsaved() -> bool:
    """Whether anything was counted since the last `save`."""
    return _unsaved


def save(folder: Path) -> None:
    """Write the current process's counts into the folder, where any changed since the last time. Raises `OSError`.

    Files of processes that have counted nothing for so long go, half-written ones too.
    """
    global _unsaved, _started, _pruned
    with _lock:
        if not _unsaved:
            return
        days = {day: dict(counts) for day, counts in _days.items() if day >= _first()}
        _unsaved = False
        _started = _started or f"{clock.now():%Y%m%d%H%M%S%f}"
        name = f"{socket.gethostname()}-{os.getpid()}-{_started}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _pruned != (today := clock.now().date().isoformat()):
            _prune(folder)
            _pruned = today
        partial = folder / f"{name}.partial"
        partial.write_bytes(msgspec.json.encode(days))
        partial.replace(folder / name)
    except OSError:
        _unsaved = True  # a full disk has room again one day
        raise


def totals(folder: Path) -> dict[str, int]:
    """Counts of all processes in the last seven days by reason, the most frequent first; changes nothing."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.json"):
        try:
            days = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, int] | int])
        except FileNotFoundError:  # another process deleted it
            continue
        for day, counts in days.items():
            # A number is what an earlier version wrote: counts of a process's whole life, without their day.
            if isinstance(counts, dict) and day >= _first():
                found.update(counts)
    return dict(found.most_common())


def _prune(folder: Path) -> None:
    oldest = clock.now() - timedelta(days=DAYS)
    for path in (*folder.glob("*.json"), *folder.glob("*.partial")):
        try:
            if datetime.fromtimestamp(path.stat().st_mtime, UTC) < oldest:
                path.unlink()
        except FileNotFoundError:  # another process was faster
            continue
