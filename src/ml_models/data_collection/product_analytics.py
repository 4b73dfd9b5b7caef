"""Statistics of each product over the last 1, 7 and 30 days, and its trend, from the lake into `ProductStats`.

Days are the shop's: calendar days of `TIME_ZONE`, today included. The trend compares the last 7 days with the 21 days
before them. With x = interactions of the last 7 days and e = those of the 21 days before / 3,

    trend = (x - e) / sqrt(x + e + 4)

the difference of two counts in units of its own (Poisson) spread, with 4 pseudo-counts that keep small counts small:
one view after silence is 0.45, ten are 2.7, from 50 to 100 is 4.0, and a product nobody meets has 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from ml_models.adapters.tables import primary, upsert
from ml_models.core import clock
from ml_models.core.ids import MAX_ID
from ml_models.orm import ProductStats
from ml_models.settings import get_settings

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ProductResult", "collect_products", "get_stats", "trend"]

WINDOWS = (1, 7, 30)
RECENT_DAYS, BEFORE_DAYS = 7, 21
PSEUDO_COUNTS = 4
BULK = 1_000
"""Rows of one statement."""


@dataclass(frozen=True, slots=True)
class ProductResult:
    """What one run did."""

    products: int
    """Products with an interaction in the last 30 days."""
    zeroed: int
    """Products that had some before and have none now."""
    currency: str
    """Currency of the revenue; empty where no purchase names one."""
    other_currencies: int
    """Purchase lines in other currencies, not counted in the revenue."""

    def __str__(self) -> str:
        """A sentence for people."""
        text = f"{self.products:,} products with activity in 30 days, {self.zeroed:,} set to zero."
        if self.other_currencies:
            text += f" {self.other_currencies:,} purchase lines in other currencies than {self.currency} left out."
        return text


def trend(recent: float, before: float) -> float:
    """Trend of a product with `recent` interactions in 7 days and `before` in the 21 days before them."""
    expected = before * RECENT_DAYS / BEFORE_DAYS
    return float((recent - expected) / (recent + expected + PSEUDO_COUNTS) ** 0.5)


def get_stats(ids: Sequence[str]) -> dict[str, ProductStats]:
    """Statistics by product id, for those that have any; one query."""
    return {row.item_id: row for row in ProductStats.objects.filter(item_id__in=list(ids))}


def collect_products(progress: Callable[[int, int], None] | None = None) -> ProductResult:
    """Bring `ProductStats` up to date. `progress` is told the products (done, total)."""
    import polars as pl

    from ml_models.adapters.build import get_event_store
    from ml_models.data_collection.facts import COLUMNS, read, shop_currency

    tell = progress or (lambda done, total: None)
    now = clock.now()
    zone = timezone.get_default_timezone()
    today = now.astimezone(zone).date()
    longest = max(*WINDOWS, RECENT_DAYS + BEFORE_DAYS)
    start = _midnight(today - timedelta(days=longest - 1), zone)
    scan = get_event_store().scan(columns=COLUMNS, start=start, end=now + timedelta(days=1))
    facts = read(scan, bots=not get_settings().tracking.exclude_bots)
    rows = facts.of(facts.events).filter(pl.col("item").str.len_chars() <= MAX_ID).collect().lazy()
    currency = shop_currency(facts.purchases, str(get_settings().catalog.get("currency") or ""))
    elsewhere = (pl.col("type") == "purchase") & pl.col("amount").is_not_null() & (pl.col("currency") != currency)
    other = rows.filter(elsewhere).select(pl.len()).collect().item() if currency else 0
    table = _aggregate(rows, today, str(zone), currency).collect()
    return ProductResult(*_store(table, now, currency, tell), currency, int(other))


def _midnight(day: date, zone: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _aggregate(rows: pl.LazyFrame, today: date, zone: str, currency: str) -> pl.LazyFrame:
    """One row a product: `views_1d`, `carts_7d`, `purchases_30d`, `quantity_30d`, `revenue_30d`, ..., `trend`."""
    import polars as pl

    age = (pl.lit(today) - pl.col("time").dt.convert_time_zone(zone).dt.date()).dt.total_days()
    rows = rows.with_columns(age=age)
    counts = []
    for days in WINDOWS:
        inside = pl.col("age") < days
        for name, kind in (("views", "product_view"), ("carts", "cart_add")):
            counts.append((inside & (pl.col("type") == kind)).sum().alias(f"{name}_{days}d"))
        bought = inside & (pl.col("type") == "purchase")
        # Orders and not lines: an invoice that came line by line may name a product several times.
        counts.append(pl.col("order").filter(bought).n_unique().alias(f"purchases_{days}d"))
        counts.append(pl.col("quantity").filter(bought).sum().alias(f"quantity_{days}d"))
        # Where no purchase names a currency, all amounts are of the one the shop does not name.
        same = bought & ((pl.col("currency") == currency) | pl.col("currency").is_null())
        counts.append(pl.col("amount").filter(same).sum().alias(f"revenue_{days}d"))
    recent = (pl.col("age") < RECENT_DAYS).sum().cast(pl.Float64)
    before = ((pl.col("age") >= RECENT_DAYS) & (pl.col("age") < RECENT_DAYS + BEFORE_DAYS)).sum().cast(pl.Float64)
    return (
        rows.group_by("item")
        .agg(*counts, recent=recent, before=before)
        .with_columns(expected=pl.col("before") * RECENT_DAYS / BEFORE_DAYS)
        .with_columns(
            trend=(pl.col("recent") - pl.col("expected"))
            / (pl.col("recent") + pl.col("expected") + PSEUDO_COUNTS).sqrt()
        )
        .sort("item")
    )


def _store(table: pl.DataFrame, now: datetime, currency: str, tell: Callable[[int, int], None]) -> tuple[int, int]:
    fields = ["updated_at", "views_30d", "carts_30d", "purchases_30d", "revenue_30d_minor", "trend", "data"]
    batch: list[ProductStats] = []
    stored = primary(ProductStats)
    with transaction.atomic(using=stored.db):
        silent = stored.filter(updated_at__lt=now).exclude(views_30d=0, carts_30d=0, purchases_30d=0, trend=0.0)
        for number, row in enumerate(table.iter_rows(named=True), 1):
            batch.append(_row(row, now, currency))
            if len(batch) == BULK or number == table.height:
                upsert(stored, batch, "item_id", fields)
                batch.clear()
                tell(number, table.height)
        empty = {"views": 0, "carts": 0, "purchases": 0, "quantity": 0, "revenue_minor": 0, "conversion": None}
        zeroed = silent.update(
            updated_at=now,
            views_30d=0,
            carts_30d=0,
            purchases_30d=0,
            revenue_30d_minor=0,
            trend=0.0,
            data={**{f"{days}d": empty for days in WINDOWS}, "currency": currency},
        )
    return table.height, zeroed


def _row(row: dict[str, Any], now: datetime, currency: str) -> ProductStats:
    data: dict[str, Any] = {"currency": currency}
    for days in WINDOWS:
        views, purchases = row[f"views_{days}d"], row[f"purchases_{days}d"]
        data[f"{days}d"] = {
            "views": views,
            "carts": row[f"carts_{days}d"],
            "purchases": purchases,
            "quantity": row[f"quantity_{days}d"],
            "revenue_minor": row[f"revenue_{days}d"],
            # Purchases a view; None where nobody looked, and more than 1 where most buy without looking.
            "conversion": round(purchases / views, 4) if views else None,
        }
    return ProductStats(
        item_id=row["item"],
        updated_at=now,
        views_30d=row["views_30d"],
        carts_30d=row["carts_30d"],
        purchases_30d=row["purchases_30d"],
        revenue_30d_minor=row["revenue_30d"],
        trend=row["trend"],
        data=data,
    )
