"""Recent interactions per visitor: in a table of the shop's database, and a twin in memory for tests."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Q

from ml_models.adapters.apart import read_apart
from ml_models.adapters.compiled import compiled_rows
from ml_models.adapters.tables import primary
from ml_models.core.query import Interaction

__all__ = ["KEEP", "REPEAT", "DatabaseOnlineStore", "MemoryOnlineStore", "merged"]

KEEP = 200
"""Newest interactions kept of one visitor; count."""
REPEAT = timedelta(seconds=30)
"""The same item and event type again within this time is one interaction. The same fact arrives twice by design (page
and server, signal and script), and some shops fire a view signal twice."""


def _distinct(newest_first: Sequence[Interaction], limit: int) -> list[Interaction]:
    """Drop repeats within `REPEAT`, keep the newest `limit`; returns oldest first."""
    last: dict[tuple[str, str], datetime] = {}
    kept: list[Interaction] = []
    for one in newest_first:
        key = (one.item_id, one.event_type)
        later = last.get(key)
        last[key] = one.at
        if later is not None and later - one.at < REPEAT:
            continue
        kept.append(one)
        if len(kept) == limit:
            break
    kept.reverse()
    return kept


def merged(stored: Sequence[Interaction], waiting: Sequence[Interaction], limit: int) -> list[Interaction]:
    """What a store holds of a visitor and what it will hold soon, as one answer of `recent`."""
    limit = min(limit, KEEP)
    together = sorted([*stored, *waiting], key=lambda one: one.at)
    return _distinct(together[::-1], limit) if limit > 0 else []


class DatabaseOnlineStore:
    """The default: one indexed table in the shop's own database; a read is one query, a write one INSERT.

    A visitor's rows beyond `KEEP` are deleted now and then: each inserted row makes a trim of its visitor due with
    probability `1 / trim_every`, so the cost per row is constant and no count is kept anywhere.
    """

    def __init__(self, *, trim_every: int = 200, rng: random.Random | None = None) -> None:
        self._trim_every = trim_every
        self._rng = rng or random.Random()

    def record(self, visitor: str, interactions: Sequence[Interaction]) -> None:
        """Add interactions of a visitor."""
        self.record_many({visitor: interactions})

    def record_many(self, batch: Mapping[str, Sequence[Interaction]]) -> None:
        """Add interactions of several visitors, some hundred with one INSERT."""
        rows = [
            (visitor, one.item_id, one.event_type, one.at)
            for visitor, interactions in batch.items()
            for one in interactions
        ]
        if not rows:
            return
        with self._apart():
            _insert(rows)
            for visitor, interactions in batch.items():
                if self._rng.random() * self._trim_every < len(interactions):
                    self._trim(visitor)

    @staticmethod
    def _apart() -> AbstractContextManager[None]:
        """A savepoint where the caller is inside a transaction: a failure here must not spoil the caller's work."""
        from ml_models.orm import OnlineInteraction

        return transaction.atomic(using=router.db_for_write(OnlineInteraction))

    def recent(self, visitor: str, limit: int = 50) -> list[Interaction]:
        """The newest interactions, oldest first, at most `KEEP`; one query."""
        from ml_models.orm import OnlineInteraction

        limit = min(limit, KEEP)
        if limit < 1:
            return []
        # Twice the limit leaves room for repeats that are dropped here.
        using = OnlineInteraction.objects.db
        with read_apart(using):
            found = compiled_rows(
                ("recent", limit),
                using,
                [visitor],
                lambda: (
                    OnlineInteraction.objects.filter(visitor=visitor)
                    .order_by("-at", "-id")
                    .values_list("item_id", "event_type", "at")[: 2 * limit]
                ),
            )
        return _distinct([Interaction(*row) for row in found], limit)

    def merge(self, source: str, target: str) -> None:
        """Give the history of one visitor key to another; one UPDATE, and a trim where rows moved."""
        from ml_models.orm import OnlineInteraction

        if source == target:
            return
        with self._apart():
            if OnlineInteraction.objects.filter(visitor=source).update(visitor=target):
                self._trim(target)

    def forget(self, visitor: str) -> None:
        """Erase a visitor."""
        from ml_models.orm import OnlineInteraction

        OnlineInteraction.objects.filter(visitor=visitor).delete()

    def scrub(self) -> str:
        """Get the bytes of deleted rows off the disk, as far as the database lets us; says what stays."""
        from ml_models.adapters.database_remains import wipe
        from ml_models.orm import OnlineInteraction

        return wipe(router.db_for_write(OnlineInteraction))

    def expire(self, older_than: datetime) -> int:
        """Delete what happened before a time, of everybody; returns how many rows. For the weekly clean-up."""
        from ml_models.orm import OnlineInteraction

        return OnlineInteraction.objects.filter(at__lt=older_than).delete()[0]

    def _trim(self, visitor: str) -> None:
        from ml_models.orm import OnlineInteraction

        rows = primary(OnlineInteraction).filter(visitor=visitor)  # a replica that lags would hide what is over
        first_over = compiled_rows(
            "first over",
            rows.db,
            [visitor],
            lambda: rows.order_by("-at", "-id").values_list("at", "id")[KEEP : KEEP + 1],
        )
        if first_over:
            at, row_id = first_over[0]
            rows.filter(Q(at__lt=at) | Q(at=at, id__lte=row_id)).delete()


_ROWS = 200
"""Rows of one INSERT: four parameters each, and every database takes 800."""


def _insert(rows: Sequence[tuple[str, str, str, datetime]]) -> None:
    """Insert (visitor, item, event type, time). `bulk_create` costs five times as much."""
    from ml_models.orm import OnlineInteraction

    meta = OnlineInteraction._meta
    connection = connections[router.db_for_write(OnlineInteraction)]
    fields: list[Any] = [meta.get_field(name) for name in ("visitor", "item_id", "event_type", "at")]
    quote, at = connection.ops.quote_name, fields[-1]
    into = f"INSERT INTO {quote(meta.db_table)} ({', '.join(quote(field.column) for field in fields)}) "
    with connection.cursor() as cursor:
        for start in range(0, len(rows), _ROWS):
            chunk = rows[start : start + _ROWS]
            placeholders: Any = [["%s"] * len(fields)] * len(chunk)
            values = connection.ops.bulk_insert_sql(fields, placeholders)
            parameters: list[Any] = []
            for visitor, item_id, event_type, moment in chunk:
                parameters += (visitor, item_id, event_type, at.get_db_prep_value(moment, connection, prepared=True))
            cursor.execute(into + values, parameters)


class MemoryOnlineStore:
    """The same in one process's memory, for tests and simulations."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Interaction]] = {}
        self._lock = threading.Lock()

    def record(self, visitor: str, interactions: Sequence[Interaction]) -> None:
        """Add interactions of a visitor."""
        self.record_many({visitor: interactions})

    def record_many(self, batch: Mapping[str, Sequence[Interaction]]) -> None:
        """Add interactions of several visitors."""
        with self._lock:
            for visitor, interactions in batch.items():
                if interactions:
                    self._put(visitor, [*self._rows.get(visitor, []), *interactions])

    def recent(self, visitor: str, limit: int = 50) -> list[Interaction]:
        """The newest interactions, oldest first, at most `KEEP`."""
        limit = min(limit, KEEP)
        return _distinct(self._rows.get(visitor, [])[::-1][: 2 * limit], limit) if limit > 0 else []

    def merge(self, source: str, target: str) -> None:
        """Give the history of one visitor key to another."""
        if source == target:
            return
        with self._lock:
            moved = self._rows.pop(source, [])
            if moved:
                self._put(target, [*self._rows.get(target, []), *moved])

    def forget(self, visitor: str) -> None:
        """Erase a visitor."""
        with self._lock:
            self._rows.pop(visitor, None)

    def scrub(self) -> str:
        """There is no disk."""
        return ""

    def expire(self, older_than: datetime) -> int:
        """Drop what happened before a time; returns how many."""
        with self._lock:
            before = sum(map(len, self._rows.values()))
            kept = {visitor: [one for one in rows if one.at >= older_than] for visitor, rows in self._rows.items()}
            self._rows = {visitor: rows for visitor, rows in kept.items() if rows}
            return before - sum(map(len, self._rows.values()))

    def _put(self, visitor: str, rows: list[Interaction]) -> None:
        self._rows[visitor] = sorted(rows, key=lambda one: one.at)[-KEEP:]
