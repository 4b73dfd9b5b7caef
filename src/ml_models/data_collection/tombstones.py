"""Tombstones of erasures: what of a forgotten person is still on the way is dropped when it reaches the lake.

Events may come after the erasure that were made before it: in the spool of another host, in a browser that was
offline, in a dead letter that is replayed, in an import or in an order that `ml_sync` reads again. A tombstone holds a
keyed hash of the user's or visitor's key, the moment of the erasure and what becomes of orders; it names nobody.
Everything that writes to the lake asks the tombstones between its snapshot and its commit; with the fence that an
erasure puts into the lake after writing them (`EventStore.fence`), no commit slips through.

A tombstone is kept `KEEP`: longer than a browser keeps trying (three days), a dead letter lies (thirty days) or a host
stays away. What the shop's own tables still say of a forgotten person comes again after that.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, ProgrammingError

from ml_models.adapters.tables import primary
from ml_models.core import clock
from ml_models.core.errors import StoreError
from ml_models.core.keyed_ids import ORDER_TYPES, key_rows

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KEEP", "ORDERS", "Tombstones", "finish", "latest", "subjects", "unfinished", "write"]

KEEP = timedelta(days=180)
"""How long a tombstone is in force."""
ORDERS = ("keep", "key", "delete")
"""What may become of purchases and refunds, the mildest first."""

_CONTEXT = b"ml_models.tombstone.1:"


def _hash(visitor: str, key: bytes) -> str:
    return hmac.digest(key, _CONTEXT + visitor.encode(), "sha256").hex()


def subjects(visitors: Iterable[str], key: bytes) -> dict[str, str]:
    """Visitor key (`u:...`, `a:...`) -> the keyed hash its tombstone is found by. `key`: 32 secret bytes."""
    return {visitor: _hash(visitor, key) for visitor in visitors}


def write(visitors: Iterable[str], *, at: datetime, orders: str, plan: Mapping[str, Any]) -> None:
    """Put tombstones up, or renew them; those that have expired go.

    `plan`: what a run that goes on after a kill has to know, among it ids that the lake may no longer tell; each
    tombstone holds it until `finish`.
    """
    from ml_models.adapters.lake_keys import lake_keys
    from ml_models.orm import Erasure

    values = {"at": at, "expires_at": at + KEEP, "orders": orders, "done_at": None, "data": dict(plan)}
    for subject in subjects(visitors, lake_keys()[0]).values():
        Erasure.objects.update_or_create(pk=subject, defaults=values)
    Erasure.objects.filter(expires_at__lt=clock.now()).delete()


def unfinished(visitors: Iterable[str]) -> list[dict[str, Any]]:
    """Plans of erasures of these visitors that were begun and not finished."""
    return [
        plan for rows in _rows(visitors) for plan in rows.filter(done_at=None).values_list("data", flat=True) if plan
    ]


def latest(visitors: Iterable[str]) -> datetime | None:
    """When any of these visitors was last forgotten; None where no tombstone is in force."""
    return max((at for rows in _rows(visitors) for at in rows.values_list("at", flat=True)), default=None)


def finish(visitors: Iterable[str], at: datetime) -> None:
    """Note that the erasure of a moment is complete, and drop its plan."""
    for rows in _rows(visitors):
        rows.filter(at=at).update(done_at=clock.now(), data={})


def _rows(visitors: Iterable[str]) -> Iterator[Any]:
    from ml_models.adapters.lake_keys import lake_keys
    from ml_models.orm import Erasure

    names = list(visitors)
    found = [one for key in lake_keys() for one in subjects(names, key).values()]
    for start in range(0, len(found), 500):
        yield primary(Erasure).filter(pk__in=found[start : start + 500])


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The tombstones in force, as rows on their way to the lake are held against them."""

    rows: Mapping[str, tuple[datetime, str]]
    """Subject -> moment of the erasure, what becomes of orders."""
    keys: tuple[bytes, ...] = ()
    """Keys that subjects may have been hashed with, the present one first."""

    @classmethod
    def load(cls) -> Tombstones:
        """Those of the database; one query. Between the snapshot and the commit, see the top of this module."""
        from ml_models.adapters.lake_keys import lake_keys
        from ml_models.orm import Erasure

        found = primary(Erasure).filter(expires_at__gte=clock.now()).values_list("subject", "at", "orders")
        try:
            rows = {subject: (at, orders) for subject, at, orders in found}
        except (OperationalError, ProgrammingError) as error:
            raise StoreError(
                f"Who is forgotten cannot be read from the database: {error}. Run python manage.py migrate."
            ) from error
        return cls(rows, tuple(lake_keys()) if rows else ())

    @property
    def fingerprint(self) -> str:
        """The same for the same tombstones; changes with every erasure."""
        text = "\n".join(sorted(f"{subject} {at:%Y%m%d%H%M%S%f}" for subject, (at, _) in self.rows.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:32] if text else ""

    def since(self, moment: datetime) -> Tombstones:
        """Those of erasures at or after a moment."""
        return Tombstones({subject: row for subject, row in self.rows.items() if row[0] >= moment}, self.keys)

    def name(self, names: Iterable[str]) -> bool:
        """Whether any of the names is the id of a forgotten user or visitor."""
        return any(
            _hash(f"{kind}:{name}", key) in self.rows for name in names for kind in ("u", "a") for key in self.keys
        )

    def apply(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows less those of forgotten persons that happened or came before the erasure, and those.

        Purchases and refunds stay, lose their ids or go, as the erasure said. Rows that are newer than every
        tombstone, in daily use all of them, cost one comparison each.
        """
        import polars as pl

        if not self.rows or rows.is_empty():
            return rows, rows.clear()
        earliest = pl.min_horizontal("event_time", "received_at")
        old = rows.filter(earliest <= max(at for at, _ in self.rows.values()))
        if old.is_empty():
            return rows, rows.clear()
        users = self._of(old.get_column("user_id"), "u")
        visitors = self._of(old.get_column("anonymous_id"), "a")
        if not users and not visitors:
            return rows, rows.clear()
        rule = pl.max_horizontal(_rule("user_id", users, earliest), _rule("anonymous_id", visitors, earliest))
        is_order = pl.col("event_type").is_in(list(ORDER_TYPES))
        judged = rows.with_columns(_rule=rule)
        stays = pl.col("_rule").is_null() | (is_order & (pl.col("_rule") < ORDERS.index("delete")))
        kept, dropped = judged.filter(stays), judged.filter(~stays).drop("_rule")
        keyed = kept.select(pl.col("_rule").eq(ORDERS.index("key")).fill_null(False)).to_series()
        kept = kept.drop("_rule")
        if keyed.any():
            kept = pl.concat([kept.filter(~keyed), key_rows(kept.filter(keyed), self.keys[0])])
        return kept, dropped

    def _of(self, ids: pl.Series, kind: str) -> dict[str, tuple[datetime, int]]:
        """Of the ids those with a tombstone: moment and place in `ORDERS`."""
        found = {}
        for name in ids.drop_nulls().unique().to_list():
            for key in self.keys:
                entry = self.rows.get(_hash(f"{kind}:{name}", key))
                if entry is not None:
                    found[name] = (entry[0], ORDERS.index(entry[1]))
        return found


def _rule(column: str, found: Mapping[str, tuple[datetime, int]], earliest: pl.Expr) -> pl.Expr:
    """Place in `ORDERS` of the erasure that a row falls under, null without one."""
    import polars as pl

    if not found:
        return pl.lit(None, dtype=pl.Int64)
    names = list(found)
    at = pl.col(column).replace_strict(
        names, [found[name][0] for name in names], default=None, return_dtype=pl.Datetime("us", "UTC")
    )
    rule = pl.col(column).replace_strict(names, [found[name][1] for name in names], default=None, return_dtype=pl.Int64)
    return pl.when(earliest <= at).then(rule)
