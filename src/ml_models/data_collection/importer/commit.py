"""One commit into the lake beside other writers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import polars as pl

from ml_models.core import clock
from ml_models.core.errors import CommitConflict
from ml_models.core.ports import CommitResult, EventStore, Snapshot
from ml_models.data_collection.tombstones import Tombstones

__all__ = ["commit_rows"]

MAX_CONFLICTS = 200
"""Lost races in a row before giving up."""


def commit_rows(
    store: EventStore,
    rows: pl.DataFrame,
    positions: Callable[[Snapshot], Mapping[str, int] | None] | None = None,
) -> CommitResult | None:
    """Append the rows, from a fresh snapshot after each lost race.

    `positions` says for a snapshot which positions to move; None means the commit is not wanted any more (another
    process made it), and the answer is None. Rows of forgotten persons are left out. Raises `CommitConflict` after
    `MAX_CONFLICTS` lost races.
    """
    for attempt in range(1, MAX_CONFLICTS + 1):
        snapshot = store.snapshot()
        moved = positions(snapshot) if positions is not None else {}
        if moved is None:
            return None
        kept, _ = Tombstones.load().apply(rows)  # after the snapshot, see there
        try:
            return store.commit(snapshot, moved, kept)
        except CommitConflict:
            if attempt == MAX_CONFLICTS:
                raise
            clock.current().sleep(random.uniform(0, min(1.0, 0.02 * attempt)))
    raise AssertionError("unreachable")
