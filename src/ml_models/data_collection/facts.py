"""The lake's rows as facts about visitors and products: who, what, when, how many, for how much.

One row a product of an event. The same rules as for training (`core.data_loader`): bots are left out, a fact that
came twice counts once (`core.authority`), cancelled, refunded and unpaid orders count nothing, an anonymous visitor
that logged in as exactly one user is that user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from ml_models.adapters.build import get_catalogue
from ml_models.core.authority import COLUMNS as AUTHORITY
from ml_models.core.authority import drop_shadowed
from ml_models.core.data_loader import _stitch as stitch
from ml_models.core.event import INTERACTION_TYPES, NOT_BOUGHT
from ml_models.core.keyed_ids import restore_ids
from ml_models.settings import get_settings

__all__ = ["COLUMNS", "events_of_visitors", "facts", "shop_currency", "variants"]

COLUMNS = (
    *AUTHORITY,
    "received_at",
    "unit_price",
    "currency",
    "items",
    "order_id",
    "device_type",
    "browser",
    "country",
    "is_bot",
    "data",
)
"""Columns of the lake that are read."""


def variants(scan: pl.LazyFrame) -> dict[str, str]:
    """Ids of variants among the products of these events -> their products, where `ML_CATALOG` maps products."""
    catalog = get_settings().catalog
    if not (catalog.get("product") or catalog.get("preset")):
        return {}
    inside = pl.col("items").list.eval(pl.element().struct.field("product_id"))
    ids = pl.concat(
        [scan.select(id="product_id").unique(), scan.select(id=inside).explode("id").unique()], how="vertical"
    ).drop_nulls()
    names = ids.unique().collect(engine="streaming").to_series().to_list()
    return {one: product for one, product in get_catalogue().canonical(names).items() if one != product}


def events_of_visitors(
    scan: pl.LazyFrame,
    keys: Sequence[bytes] = (),
    *,
    bots: bool = False,
    canonical: Mapping[str, str] | None = None,
) -> pl.LazyFrame:
    """The lake's events that count, one row an event, with `visitor` (`u:...`, `a:...` or null).

    With `keys` (`adapters.lake_keys`) old orders whose ids are keyed belong to their visitor where `scan` knows the
    plain id. Who does not ask for visitors needs none. With `bots` flagged events count too.
    `canonical` (`variants`) says which two rows name one product, and puts the product in place of a variant.
    """
    scan = restore_ids(scan.select(COLUMNS), keys)
    links = (
        scan.filter(pl.col("event_type") == "identity_link")
        .select("anonymous_id", link_user="user_id", link_time="event_time")
        .drop_nulls()
    )
    bought = pl.col("event_type") == "purchase"
    counted = drop_shadowed(
        scan.filter(pl.col("event_type") != "identity_link")
        .with_columns(meaning=pl.when(bought).then(pl.col("data").str.json_path_match("$.meaning")))
        .filter(~bought | ~pl.col("meaning").fill_null("").is_in(NOT_BOUGHT))
        .drop("meaning"),
        canonical,
    ).filter(pl.lit(bots) | ~pl.col("is_bot").fill_null(False))  # last: of a robot's two copies one may be flagged
    if canonical:
        counted = counted.with_columns(pl.col("product_id").replace(dict(canonical)))
    return stitch(counted, links, None)


def facts(events: pl.LazyFrame) -> pl.LazyFrame:
    """Interactions of `events_of_visitors`: visitor, type, time, order, item, quantity, amount, currency.

    One row a product of an event; `item` is null for an order known only as a whole. `amount` (minor units) is null
    where no price is known; the line total of an imported purchase (`data.total`, minor units) goes before quantity
    times price. A `total` in the data of any other event is the shop's own word for something else.
    """
    imported = (pl.col("source") == "import") & (pl.col("event_type") == "purchase")
    rows = events.filter(pl.col("event_type").is_in(sorted(INTERACTION_TYPES))).select(
        "visitor",
        "currency",
        "product_id",
        "quantity",
        "unit_price",
        "items",
        type="event_type",
        time="event_time",
        # Lines of one invoice that came as events of their own are one order; without a number, one event is one.
        order=pl.coalesce("order_id", "event_id"),
        total=pl.when(imported).then(pl.col("data").str.json_path_match("$.total").cast(pl.Int64, strict=False)),
    )
    several = pl.col("items").list.len().fill_null(0) > 0
    inside = pl.col("items").struct
    kept = ("visitor", "type", "time", "order", "currency")
    single = rows.filter(~several).select(*kept, "quantity", "unit_price", "total", item="product_id")
    lines = (
        rows.filter(several)
        .explode("items")
        .select(
            *kept,
            quantity=inside.field("quantity"),
            unit_price=inside.field("unit_price"),
            total=pl.lit(None, dtype=pl.Int64),
            item=inside.field("product_id"),
        )
    )
    pieces = pl.col("quantity").fill_null(1)
    return pl.concat([single, lines]).select(
        *kept, "item", quantity=pieces, amount=pl.coalesce("total", pl.col("unit_price") * pieces)
    )


def shop_currency(purchases: pl.LazyFrame, base: str = "") -> str:
    """The currency that money is added up in: the base currency of the settings, else the one of most purchases."""
    if base:
        return base
    found = (
        purchases.filter((pl.col("type") == "purchase") & pl.col("currency").is_not_null())
        .group_by("currency")
        .len()
        .sort("len", "currency", descending=[True, False])
        .head(1)
        .collect()
    )
    return str(found["currency"][0]) if found.height else ""
