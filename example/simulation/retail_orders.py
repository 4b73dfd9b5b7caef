"""Orders and cancellations of the wholesaler's invoices. Knows nothing of Django."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl

__all__ = ["RetailLine", "RetailOrder", "group", "read", "take_back"]


@dataclass
class RetailLine:
    code: str
    quantity: int
    price: Decimal
    cancelled: int = 0
    """Pieces taken back later."""


@dataclass
class RetailOrder:
    number: str
    customer: int
    when: datetime
    lines: list[RetailLine] = field(default_factory=list)


def read(source: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Clean purchase lines and cancellation lines of known customers, oldest first."""
    frame = (
        pl.scan_parquet(source / "invoices.parquet")
        .with_columns(
            code=pl.col("StockCode").str.to_uppercase().str.strip_chars(),
            customer=pl.col("CustomerID").cast(pl.Int64),
        )
        .filter(pl.col("code").str.contains(r"^\d{5}[A-Z]{0,2}$"), pl.col("customer").is_not_null())
    )
    keys = ["InvoiceNo", "customer", "code"]
    bought = (
        frame.filter(~pl.col("InvoiceNo").str.starts_with("C"), pl.col("Quantity") > 0, pl.col("UnitPrice") > 0)
        .group_by(keys)
        .agg(
            pl.col("Quantity").sum(),
            # Equal products on several lines of one invoice become one line at their mean price.
            price=((pl.col("UnitPrice") * pl.col("Quantity")).sum() / pl.col("Quantity").sum()).round(2),
            when=pl.col("InvoiceDate").min(),
            description=pl.col("Description").drop_nulls().first(),
        )
        .filter(pl.col("price") >= 0.01)
        .sort("when", "InvoiceNo", "code")
    )
    taken = (
        frame.filter(pl.col("InvoiceNo").str.starts_with("C"), pl.col("Quantity") < 0)
        .select("customer", "code", quantity=-pl.col("Quantity"), when="InvoiceDate")
        .sort("when", "customer", "code")
    )
    return bought.collect(), taken.collect()


def take_back(orders: list[RetailOrder], cancellations: Iterable[tuple[int, str, int, datetime]]) -> int:
    """Apply cancellations `(customer, code, quantity, when)`, oldest first; returns how many found their purchase."""
    bought: dict[tuple[int, str], list[tuple[datetime, RetailLine]]] = {}
    for order in orders:
        for line in order.lines:
            bought.setdefault((order.customer, line.code), []).append((order.when, line))
    matched = 0
    for customer, code, quantity, when in cancellations:
        found = False
        for moment, line in reversed(bought.get((customer, code), [])):
            left = line.quantity - line.cancelled
            if moment > when or not left:
                continue
            line.cancelled += min(left, quantity)
            quantity -= min(left, quantity)
            found = True
            if not quantity:
                break
        matched += found
    return matched


def group(bought: pl.DataFrame) -> list[RetailOrder]:
    """The purchase lines of `read` as orders, oldest first."""
    orders: dict[str, RetailOrder] = {}
    columns = bought.select("InvoiceNo", "customer", "when", "code", "Quantity", "price")
    for number, customer, when, code, quantity, price in columns.iter_rows():
        order = orders.get(number)
        if order is None:
            order = orders[number] = RetailOrder(number, customer, when.replace(tzinfo=UTC))
        order.lines.append(RetailLine(code, quantity, Decimal(str(price))))
    return list(orders.values())
