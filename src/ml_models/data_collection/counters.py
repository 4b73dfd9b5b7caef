"""Counts of what did not go the normal way, by reason, so that nothing is lost in silence."""

import threading
from collections import Counter

__all__ = ["add", "reset", "snapshot"]

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def add(reason: str, n: int = 1) -> int:
    """Count `n` more under a reason such as `overflow.queue_full`; returns the new total of this process."""
    with _lock:
        _counts[reason] += n
        return _counts[reason]


def snapshot() -> dict[str, int]:
    """Counts of the current process by reason."""
    with _lock:
        return dict(_counts)


def reset() -> None:
    """Start again from nothing (tests, and a forked child)."""
    with _lock:
        _counts.clear()
