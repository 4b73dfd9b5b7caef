"""Products ranked by what the shop's own statistics say: the lists that need no model."""

from __future__ import annotations

import logging

from django.db import Error as DatabaseError

from ml_models.adapters.apart import read_apart
from ml_models.data_collection import counters
from ml_models.orm import ProductStats
from ml_models.serving.refresh import Refreshed

__all__ = ["ProductRanking"]

log = logging.getLogger("bunoraa.ml.serving")

KEEP = 1000
"""Products of a ranking that a process keeps; count."""
REFRESH_SECONDS = 30.0
"""How often they are read again (`ml.process_training_data` writes them every five minutes at most); seconds."""
ORDERS: dict[str, tuple[str, ...]] = {
    "trend": ("-trend", "item_id"),
    "purchases_30d": ("-purchases_30d", "-carts_30d", "-views_30d", "item_id"),
}


class ProductRanking:
    """The products with the largest value of one column of `ProductStats`; ties by the columns beside it."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._top = Refreshed(self._read_top, lambda: REFRESH_SECONDS)

    def top(self, k: int) -> list[tuple[str, float]]:
        """The first `k` as (external id, value), best first; products without any value are not listed.

        No query while what the process keeps is fresh and deep enough, else one.
        """
        kept = self._top.get()
        if k <= len(kept) or len(kept) < KEEP:
            return kept[:k]
        return self._read(k)

    def _read(self, k: int) -> list[tuple[str, float]]:
        rows = ProductStats.objects.order_by(*ORDERS[self.column])
        if self.column == "trend":
            rows = rows.filter(trend__gt=0)
        else:
            rows = rows.exclude(purchases_30d=0, carts_30d=0, views_30d=0)
        with read_apart(rows.db):
            return [(item, float(value)) for item, value in rows.values_list("item_id", self.column)[:k]]

    def _read_top(self, previous: list[tuple[str, float]] | None) -> list[tuple[str, float]]:
        try:
            return self._read(KEEP)
        except DatabaseError as error:
            counters.add("serving.statistics_unread")
            log.error("The product statistics cannot be read (%s). Run: python manage.py migrate", error)
            return previous or []
