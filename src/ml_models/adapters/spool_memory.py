"""A spool in memory, for tests and simulations: the same behaviour without the durability."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ml_models.core import clock
from ml_models.core.ports import Scrubbed, SpoolRead

__all__ = ["MemorySpool"]

_numbers = itertools.count()


class MemorySpool:
    """One source per object; a position is the number of a record, from 1."""

    def __init__(self, folder: object = None) -> None:
        self._name = f"memory:{next(_numbers):08x}:000"
        self._records: list[tuple[float, bytes]] = []
        self._trimmed = 0
        self._lock = threading.Lock()

    def append(self, records: Sequence[bytes]) -> None:
        """Keep the records."""
        time = clock.now().timestamp()
        with self._lock:
            self._records += [(time, bytes(record)) for record in records]

    def sources(self) -> list[str]:
        """The one source, when something waits."""
        return [self._name] if self._records else []

    def read(self, source: str, after: int, max_records: int) -> SpoolRead:
        """Up to `max_records` records after a position."""
        with self._lock:
            if source != self._name:
                return SpoolRead([], after)
            start = max(0, after - self._trimmed)
            records = [record for _, record in self._records[start : start + max_records]]
            return SpoolRead(records, self._trimmed + start + len(records) if records else after)

    def trim(self, source: str, upto: int) -> None:
        """Forget records up to a position."""
        with self._lock:
            if source == self._name and upto > self._trimmed:
                del self._records[: upto - self._trimmed]
                self._trimmed = upto

    def scrub(self, position: Callable[[str], int]) -> Scrubbed:
        """Forget records up to a position; nothing is left to overwrite."""
        self.trim(self._name, position(self._name))
        return Scrubbed(0)

    def stats(self) -> dict[str, Any]:
        """What waits."""
        with self._lock:
            return {
                "bytes": sum(len(record) for _, record in self._records),
                "records": len(self._records),
                "oldest_age_s": max(0.0, clock.now().timestamp() - self._records[0][0]) if self._records else 0.0,
                "sources": [self._name] if self._records else [],
            }
