"""The shop made from a gift wholesaler's real invoices ("Online Retail II", UCI, CC BY 4.0), read by path.

All times are moved by whole days so that the last day is yesterday. Lines without a customer, postage, manual
corrections and the like are left out. A cancellation takes back the newest earlier line of the same customer and
product: the quantity shrinks, a line that shrinks to nothing goes, and an order of which nothing is left is cancelled.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from shop.models import Category, Product

from .catalogue import slugify
from .fill import DEMO_PASSWORD, put_superuser
from .retail_categories import DEPARTMENTS, categorise, picture_of, shop_name
from .retail_orders import RetailOrder, group, read, take_back

__all__ = ["fill"]

SHOWN_DAYS = 200
"""A product that nobody bought for so many days is sold out."""


def _products(bought: pl.DataFrame, shift: timedelta, today: date) -> int:
    last = bought["when"].max()
    rows = (
        bought.group_by("code")
        .agg(
            description=pl.col("description").drop_nulls().mode().sort().first(),
            usual=pl.col("price").median(),
            lately=pl.col("price").filter(pl.col("when") > last - timedelta(days=60)).median(),
            first=pl.col("when").min(),
            newest=pl.col("when").max(),
        )
        .filter(pl.col("description").is_not_null())
        .sort("code")
    )
    categories: dict[str, Category] = {}
    for position, (department, held) in enumerate(DEPARTMENTS):
        above = Category.objects.create(
            name=department,
            slug=slugify(department) + "-all",
            position=position,
            picture=picture_of(department, held[0][1], position * 977 + 5),
        )
        for place, (name, shape) in enumerate(held):
            picture = picture_of(name, shape, zlib.crc32(name.encode()))
            categories[name] = Category.objects.create(
                name=name, slug=slugify(name), parent=above, position=place, picture=picture
            )
    made = []
    for code, description, usual, lately, first, newest in rows.iter_rows():
        category, shape = categorise(description)
        seed = zlib.crc32(code.encode())
        price = Decimal(str(round(lately or usual, 2)))
        before = Decimal(str(round(usual, 2)))
        # Only a clear reduction is one; small differences are prices by quantity.
        list_price = before if lately and price <= before * Decimal("0.9") else price
        name = shop_name(description)
        made.append(
            Product(
                name=name,
                slug=slugify(f"{name}-{code}"),
                category=categories[category],
                description=f"{name}. Article {code} of the wholesaler's catalogue.",
                price=price,
                list_price=list_price,
                currency="GBP",
                stock=40 if (last - newest).days < SHOWN_DAYS else 0,
                tags=[category],
                attributes={"article": code},
                picture=picture_of(description, shape, seed),
                created_at=first.replace(tzinfo=UTC) + shift - timedelta(hours=1),
            )
        )
    Product.objects.bulk_create(made, batch_size=500)
    used = set(Product.objects.values_list("category_id", flat=True))
    Category.objects.filter(parent__isnull=False).exclude(pk__in=used).delete()
    return len(categories)


def _put_orders(orders: list[RetailOrder], users: dict[int, int], ids: dict[str, int], shift: timedelta) -> int:
    """Insert orders and lines row by row through the cursor: 800,000 model objects would take minutes."""
    moment = connection.ops.adapt_datetimefield_value
    order_rows: list[tuple[Any, ...]] = []
    line_rows: list[tuple[Any, ...]] = []
    for key, order in enumerate(orders, start=1):
        kept = [line for line in order.lines if line.quantity > line.cancelled]
        status = "shipped" if kept else "cancelled"
        total = Decimal(0)
        for line in kept or order.lines:
            quantity = line.quantity - (line.cancelled if kept else 0)
            total += quantity * line.price
            line_rows.append((key, ids[line.code], quantity, str(line.price)))
        when = moment(order.when + shift)
        email = f"customer-{order.customer}@bunoraa.example"
        name = f"Customer {order.customer}"
        order_rows.append(
            (key, order.number, users[order.customer], email, name, "", "", "", status, "GBP", str(total), when, when)
        )
    marks = ", ".join(["%s"] * 13)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO shop_order (id, number, user_id, email, name, address, city, postcode, status, currency,"
            f" total, created_at, updated_at) VALUES ({marks})",
            order_rows,
        )
        cursor.executemany(
            "INSERT INTO shop_orderline (order_id, product_id, quantity, unit_price) VALUES (%s, %s, %s, %s)", line_rows
        )
    return len(line_rows)


def _put_customers(orders: list[RetailOrder]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for order in orders:
        counts[order.customer] = counts.get(order.customer, 0) + 1
    known = sorted(counts, key=lambda customer: (-counts[customer], customer))[:10]
    password = make_password(DEMO_PASSWORD)
    rows = User.objects.bulk_create(
        [
            User(
                username=f"customer-{customer}@bunoraa.example",
                email=f"customer-{customer}@bunoraa.example",
                first_name=f"Customer {customer}",
                last_name=f"{counts[customer]} orders" if customer in known else "",
                password=password if customer in known else make_password(None),
            )
            for customer in counts
        ],
        batch_size=500,
    )
    users = dict(zip(counts, (row.pk for row in rows), strict=True))
    Group.objects.create(name="Demo shoppers").user_set.add(*(users[customer] for customer in known))
    return users


@transaction.atomic
def fill(source: Path, today: date, report: Callable[[float, str], None]) -> dict[str, int]:
    """Fill empty tables from the invoices; returns how many rows of what."""
    report(0.05, "reading invoices")
    bought, taken = read(source)
    shift = timedelta(days=(today - timedelta(days=1) - bought["when"].max().date()).days)
    report(0.25, "products")
    put_superuser()
    categories = _products(bought, shift, today)
    ids = {attributes["article"]: pk for attributes, pk in Product.objects.values_list("attributes", "pk")}
    report(0.4, "orders and cancellations")
    orders = group(bought.filter(pl.col("code").is_in(list(ids))))
    cancellations = ((c, code, q, when.replace(tzinfo=UTC)) for c, code, q, when in taken.iter_rows())
    matched = take_back(orders, cancellations)
    report(0.6, "customers")
    users = _put_customers(orders)
    report(0.7, "writing orders")
    lines = _put_orders(orders, users, ids, shift)
    return {
        "categories": categories,
        "products": len(ids),
        "customers": len(users),
        "orders": len(orders),
        "lines": lines,
        "cancelled": sum(all(line.quantity == line.cancelled for line in order.lines) for order in orders),
        "cancellations": matched,
    }
