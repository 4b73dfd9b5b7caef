"""The lake's rows as facts about visitors and products: who, what, when, how many, for how much.

One row a product of an event. The same rules as for training (`core.data_loader`): bots are left out, a fact that
came twice counts once (`core.authority`), cancelled, refunded and unpaid orders count nothing, an anonymous visitor
that logged in as exactly one user is that user. Beyond them, what was given back of an order (`refund`) counts as not
bought: its pieces and money leave the day of the purchase, not that of the refund.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ml_models.adapters.build import get_catalogue
from ml_models.core.authority import COLUMNS as AUTHORITY
from ml_models.core.authority import drop_shadowed
from ml_models.core.data_loader import _stitch as stitch
from ml_models.core.event import INTERACTION_TYPES, NOT_BOUGHT
from ml_models.core.keyed_ids import restore_ids
from ml_models.settings import get_settings

__all__ = ["COLUMNS", "Facts", "read", "shop_currency", "variants"]

COLUMNS = (
    *AUTHORITY,
    "site",
    "received_at",
    "unit_price",
    "currency",
    "items",
    "order_id",
    "revision",
    "device_type",
    "browser",
    "country",
    "is_bot",
    "data",
)
"""Columns of the lake that are read."""

_ORDER = ["site", "order_id"]
_LINE = ["event_id", "item"]
_NOTHING = pl.DataFrame(schema={"event_id": pl.String, "item": pl.String, "taken": pl.Int64, "refunded": pl.Int64})
_NUMBERS = r"^\[(-?\d{1,18}|null)(, ?(-?\d{1,18}|null))*\]$"
"""A list as `order_events` writes it; one value of another kind would fail the whole column."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """A part of the lake, read."""

    rows: pl.LazyFrame
    """Every row but links, whatever it means, with its `visitor` (`u:...`, `a:...` or null)."""
    events: pl.LazyFrame
    """Those that count, one row an event, with `visitor`; `product_id` is the product where the row names a variant."""
    canonical: Mapping[str, str]
    """Variant -> its product."""
    back: pl.DataFrame
    """What came back: `event_id` of the purchase and `item` -> `taken` (pieces), `refunded` (minor units or null)."""

    @property
    def purchases(self) -> pl.LazyFrame:
        """The purchases that count."""
        return self.rows.filter(pl.col("event_type") == "purchase", _counts())

    def of(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """Interactions of some of the `events`: visitor, type, time, order, currency, item, quantity, amount.

        One row a product of an event. Of a purchase less what came back of it; a line of which all pieces came back is
        no row. `item` is null for an order known only as a whole. `amount` (minor units) is null where no price is
        known. The exact total of a line goes before quantity times price: that of an imported purchase (`data.total`)
        and those of the shop's own table (`data.totals`). A `total` in the data of any other event is the shop's own
        word for something else.
        """
        lines = _lines(events.filter(pl.col("event_type").is_in(sorted(INTERACTION_TYPES))), self.canonical)
        if self.back.height:
            taken = pl.col("taken").fill_null(0)
            lines = (
                lines.join(self.back.lazy(), on=_LINE, how="left")
                .filter((taken == 0) | (taken < pl.col("quantity")))
                .with_columns(
                    quantity=pl.col("quantity") - taken,
                    amount=(pl.col("amount") - pl.col("refunded").fill_null(0)).clip(lower_bound=0),
                )
            )
        return lines.select("visitor", "type", "time", "order", "currency", "item", "quantity", "amount")


def read(scan: pl.LazyFrame, keys: Sequence[bytes] = (), *, bots: bool = False) -> Facts:
    """The facts of a part of the lake, `scan`, with at least `COLUMNS`.

    With `keys` (`adapters.lake_keys`) old orders whose ids are keyed belong to their visitor where `scan` knows the
    plain id. Who does not ask for visitors needs none. With `bots` flagged events count too. A refund is its order's:
    who told of it, such as a clerk in the admin, is not the customer.
    """
    scan = restore_ids(scan.select(COLUMNS), keys)
    canonical = variants(scan)
    links = (
        scan.filter(pl.col("event_type") == "identity_link")
        .select("anonymous_id", link_user="user_id", link_time="event_time")
        .drop_nulls()
    )
    facts = scan.filter(pl.col("event_type") != "identity_link")
    refund = pl.col("event_type") == "refund"
    # Few, and read by themselves: as a part of each plan below they would be read again with every one of them.
    refunds = facts.filter(refund & pl.col("order_id").is_not_null()).collect(engine="streaming")
    orders = facts.filter(pl.col("event_type") == "purchase").join(refunds.lazy(), on=_ORDER, how="semi")
    refunded = stitch(orders, links, None).collect(engine="streaming") if refunds.height else None

    def with_visitors(rows: pl.LazyFrame) -> pl.LazyFrame:
        rows = stitch(rows, links, None)
        if refunded is None:
            return rows
        buyers = refunded.lazy().group_by(_ORDER).agg(buyer=pl.col("visitor").min())
        buyer = pl.when(refund).then(pl.coalesce("buyer", "visitor")).otherwise("visitor")
        return rows.join(buyers, on=_ORDER, how="left", maintain_order="left").with_columns(visitor=buyer).drop("buyer")

    counted = drop_shadowed(facts.filter(_counts()), canonical)
    # Last: of a robot's two copies one may be flagged. What came back is no behaviour.
    counted = counted.filter(pl.lit(bots) | refund | ~pl.col("is_bot").fill_null(False))
    if canonical:
        counted = counted.with_columns(pl.col("product_id").replace(dict(canonical)))
    back = _NOTHING if refunded is None else _back(refunds, refunded.filter(_counts()), canonical)
    return Facts(with_visitors(facts), with_visitors(counted), canonical, back)


def _counts() -> pl.Expr:
    """Whether a row is no order that was undone or is not paid yet."""
    meaning = pl.col("data").str.json_path_match("$.meaning").fill_null("")
    return (pl.col("event_type") != "purchase") | ~meaning.is_in(NOT_BOUGHT)


def _lines(events: pl.LazyFrame, canonical: Mapping[str, str]) -> pl.LazyFrame:
    """One row a product of an event: `event_id` and what `Facts.of` gives."""
    bought, data = pl.col("event_type") == "purchase", pl.col("data").str
    totals = pl.when(bought & (pl.col("source") == "sync")).then(data.json_path_match("$.totals"))
    rows = events.select(
        "visitor",
        "currency",
        "event_id",
        "product_id",
        "quantity",
        "unit_price",
        "items",
        type="event_type",
        time="event_time",
        # Lines of one invoice that came as events of their own are one order; without a number, one event is one.
        order=pl.coalesce(pl.concat_str(_ORDER, separator=" "), "event_id"),
        total=pl.when(bought & (pl.col("source") == "import")).then(
            data.json_path_match("$.total").cast(pl.Int64, strict=False)
        ),
        totals=pl.when(totals.str.contains(_NUMBERS)).then(totals).str.json_decode(pl.List(pl.Int64)),
    )
    several = pl.col("items").list.len().fill_null(0) > 0
    inside = pl.col("items").struct
    kept = ["visitor", "type", "time", "order", "currency", "event_id"]
    single = rows.filter(~several).select(*kept, "quantity", "unit_price", "total", item="product_id")
    inner = (
        rows.filter(several)
        .with_columns(place=pl.int_ranges(0, pl.col("items").list.len().cast(pl.Int64)))
        .explode("items", "place")
        .select(
            *kept,
            quantity=inside.field("quantity"),
            unit_price=inside.field("unit_price"),
            total=pl.col("totals").list.get(pl.col("place"), null_on_oob=True),
            item=inside.field("product_id"),
        )
    )
    columns = [*kept, "item", "quantity", "amount"]

    def worth(lines: pl.LazyFrame) -> pl.LazyFrame:
        product = pl.col("item").replace(dict(canonical)) if canonical else pl.col("item")
        pieces = pl.col("quantity").fill_null(1)
        amount = pl.coalesce("total", pl.col("unit_price") * pieces)
        return lines.with_columns(item=product, quantity=pieces, amount=amount).select(columns)

    # Two variants of a product are two lines of an order and one product of it.
    together = (
        worth(inner)
        .group_by(_LINE)
        .agg(
            *[pl.col(name).first() for name in kept if name not in _LINE],
            pl.col("quantity").sum(),
            amount=pl.when(pl.col("amount").is_not_null().any()).then(pl.col("amount").sum()),
        )
    )
    return pl.concat([worth(single), together.select(columns)])


def _back(refunds: pl.DataFrame, purchases: pl.DataFrame, canonical: Mapping[str, str]) -> pl.DataFrame:
    """What the refunds take from the purchases of their orders, as `Facts.back` has it.

    For the pieces that came back the price that the refund names, else their share of the line. A price in another
    currency than the order's is not believed; the pieces are.
    """
    undone = pl.col("data").str.json_path_match("$.meaning").fill_null("refunded") != "refunded"  # it was taken back
    key = ["order", "item"]
    gone = (
        _lines(refunds.lazy().filter(~undone).with_columns(visitor=pl.lit(None, dtype=pl.String)), canonical)
        .filter(pl.col("quantity") > 0)
        .group_by(key)
        .agg(
            gone=pl.col("quantity").sum(),
            blind=pl.col("quantity").filter(pl.col("amount").is_null()).sum(),
            known=pl.col("amount").sum(),
            gone_currency=pl.col("currency").drop_nulls().first(),
        )
    )
    agree = (pl.col("gone_currency") == pl.col("currency")).fill_null(True)
    blind, known = pl.when(agree).then("blind").otherwise("gone"), pl.when(agree).then("known").otherwise(0)
    # Lines of one product in several events of an order are used up one after the other.
    before = pl.col("quantity").cum_sum().over(key, order_by=["time", "event_id"]) - pl.col("quantity")
    price = (known + pl.col("amount") * blind / pl.col("quantity")) / pl.col("gone")
    return (
        _lines(purchases.lazy(), canonical)
        .filter(pl.col("quantity") > 0)
        .join(gone, on=key, how="inner")
        .with_columns(taken=(pl.col("gone") - before).clip(0, pl.col("quantity")))
        .filter(pl.col("taken") > 0)
        .select(*_LINE, "taken", refunded=(price * pl.col("taken")).round().cast(pl.Int64))
        .collect()
    )


def shop_currency(purchases: pl.LazyFrame, base: str = "") -> str:
    """The currency that money is added up in: the base currency of the settings, else the one of most purchases."""
    if base:
        return base
    found = (
        purchases.filter(pl.col("currency").is_not_null())
        .group_by("currency")
        .len()
        .sort("len", "currency", descending=[True, False])
        .head(1)
        .collect()
    )
    return str(found["currency"][0]) if found.height else ""
