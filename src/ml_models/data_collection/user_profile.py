"""What the lake says about each visitor, in bulk, into `UserProfile`; incremental by what was received since.

Segment, from the orders alone (recency, frequency, monetary value), with days since the last order:

===========  ==================================================================================
`visitor`    no order
`champion`   at least 2 orders, the last at most 60 days ago, value in the top tenth of customers
`loyal`      at least 2 orders, the last at most 60 days ago
`new`        1 order, at most 60 days ago
`at_risk`    at least 2 orders, the last 61 to 180 days ago
`one_time`   1 order, 61 to 180 days ago
`lost`       the last order more than 180 days ago
===========  ==================================================================================

Beside it the scores `rfm_recency`, `rfm_frequency` and `rfm_value`: the fifth of the shop's customers a visitor is in,
5 the best, equal customers in the same one (the lowest that fits), 0 without an order.

Time alone moves a visitor to another segment, so every run sets segments and scores of all visitors anew, in one
statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Case, Q, QuerySet, Value, When
from django.utils.timezone import get_default_timezone

from ml_models.adapters.lake_keys import lake_keys
from ml_models.adapters.tables import primary, upsert
from ml_models.core import clock
from ml_models.core.event import INTERACTION_TYPES
from ml_models.core.ids import MAX_VISITOR
from ml_models.core.keyed_ids import PREFIX, is_keyed, keyed_id
from ml_models.orm import SyncState, UserProfile
from ml_models.settings import get_settings

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ProfileResult", "collect_profiles", "get_profile", "known_products"]

STATE = "profiles"
OVERLAP = timedelta(days=1)
"""How far before the watermark a run looks: an event may reach the lake this long after it was received."""
RECENT = timedelta(days=60)
LAPSED = timedelta(days=180)
TOP_SHARE = 0.1
HALF_LIFE_DAYS = 90
"""Age at which an interaction counts half in the affinities, from the visitor's newest one."""
CATEGORIES = 5
"""Strongest categories kept."""
HOURS = 3
"""Most frequent hours of the day kept."""
FEW = 5_000
"""Visitors up to which their stored profiles are asked for by key; beyond it the table is read through."""
BULK = 1_000
"""Rows of one statement."""


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """What one run did."""

    visitors: int
    """Profiles written."""
    removed: int
    """Profiles of visitors who have no event of their own any more (a guest who logged in, or retention)."""
    watermark: datetime | None
    full: bool
    too_long: int = 0
    """Visitors left out because their id has more than 255 characters."""

    def __str__(self) -> str:
        """A sentence for people."""
        text = f"{self.visitors:,} visitor profiles written ({'all' if self.full else 'those with new events'})."
        if self.removed:
            text += f" {self.removed:,} without events of their own removed."
        return f"{text} {self.too_long:,} with an id of more than 255 characters left out." if self.too_long else text


def get_profile(visitor: str) -> UserProfile | None:
    """Profile of a visitor key (`u:...` or `a:...`), under its keyed id where only old orders are left; one query."""
    found = {
        profile.visitor: profile
        for profile in UserProfile.objects.filter(pk__in=[visitor, *_twins(visitor, lake_keys())])
    }
    return found.get(visitor) or next(iter(found.values()), None)


def _twins(visitor: str, keys: Sequence[bytes]) -> list[str]:
    """The visitor's keys with keyed ids; none for one whose id is keyed itself."""
    kind, _, name = visitor.partition(":")
    return [] if is_keyed(name) else [f"{kind}:{keyed_id(name, key)}" for key in keys]


def collect_profiles(progress: Callable[[int, int], None] | None = None, *, full: bool = False) -> ProfileResult:
    """Bring `UserProfile` up to date. `progress` is told the profiles (done, total); `full` starts from nothing."""
    import polars as pl

    from ml_models.adapters.build import get_event_store
    from ml_models.data_collection.facts import COLUMNS, read, shop_currency

    tell = progress or (lambda done, total: None)
    now = clock.now()
    state = primary(SyncState).filter(pk=STATE).first()
    watermark = None if full or state is None else state.watermark
    store = get_event_store()
    scan = store.scan(columns=COLUMNS)
    newest = scan.select(pl.col("received_at").max()).collect().item()
    if newest is None:  # nothing is left of anybody
        return ProfileResult(0, UserProfile.objects.all().delete()[0], watermark, watermark is None)
    bots = not get_settings().tracking.exclude_bots
    facts = read(scan, lake_keys(), bots=bots)
    events = facts.events
    currency = shop_currency(facts.purchases, str(get_settings().catalog.get("currency") or ""))
    if state is not None and state.data.get("currency") != currency:
        watermark = None  # every profile's money is in another one
    visitors = None  # everybody
    if watermark is not None:
        since = watermark - OVERLAP
        orders = store.scan(columns=COLUMNS, event_types=["purchase"], every_revision=True)
        met = facts.rows if bots else facts.rows.filter(~pl.col("is_bot").fill_null(False))
        visitors = _concerned(scan, met, orders, since)
    found = _counts(events, visitors)
    # One key that no column takes would undo the whole run.
    fits = found["visitor"].str.len_chars() <= MAX_VISITOR
    changed, gone = _changed(found.filter(fits), full=watermark is None)
    written = 0
    if changed.height:
        mine = events.join(changed.lazy(), on="visitor", how="semi")
        table = _table(mine, facts.of(mine), currency)
        written = _store(_profiles(table, now, currency), table.height, tell)
    removed = 0
    for start in range(0, len(gone), BULK):
        removed += UserProfile.objects.filter(pk__in=gone[start : start + BULK]).delete()[0]
    _set_segments(now)
    SyncState.objects.update_or_create(
        pk=STATE, defaults={"watermark": newest, "updated_at": now, "data": {"currency": currency}}
    )
    return ProfileResult(written, removed, newest, watermark is None, too_long=int((~fits).sum()))


def _concerned(scan: pl.LazyFrame, rows: pl.LazyFrame, orders: pl.LazyFrame, since: datetime) -> pl.LazyFrame:
    """Column `visitor`: everybody whose events may be others than before.

    Those of every row received since, whatever it means: an order that is cancelled, or a copy that takes a row's
    place, leaves its visitor with less. Those whom an order named before it changed (`orders`: purchases, every
    revision). And all whom a link received since concerns: it moves the whole past of an anonymous id, perhaps back
    from an earlier user.
    """
    import polars as pl

    fresh = pl.col("received_at") > since
    links = (
        scan.filter(pl.col("event_type") == "identity_link")
        .select("anonymous_id", "user_id", "received_at")
        .drop_nulls()
    )
    linked = links.join(links.filter(fresh).select("anonymous_id").unique(), on="anonymous_id", how="semi")
    revised = scan.filter(fresh, pl.col("event_type") == "purchase", pl.col("revision") > 0).select("event_id")
    named = orders.join(revised, on="event_id", how="semi").select("anonymous_id", "user_id")
    owners = links.join(named.select("anonymous_id").drop_nulls().unique(), on="anonymous_id", how="semi")
    keys = [
        rows.filter(fresh).select("visitor"),
        *(part.select(pl.format("u:{}", "user_id").alias("visitor")) for part in (linked, named, owners)),
        *(part.select(pl.format("a:{}", "anonymous_id").alias("visitor")) for part in (linked, named)),
    ]
    return pl.concat(keys).drop_nulls().unique()


def _counts(events: pl.LazyFrame, visitors: pl.LazyFrame | None) -> pl.DataFrame:
    """`visitor`, `events` (how many, 0 for none left) and `received` (the newest, microseconds).

    Of these visitors, without them of all who have events.
    """
    import polars as pl

    counts = events.group_by("visitor").agg(events=pl.len(), received=pl.col("received_at").max().dt.epoch("us"))
    if visitors is not None:
        counts = visitors.join(counts, on="visitor", how="left").with_columns(pl.col("events").fill_null(0))
    return counts.drop_nulls("visitor").sort("visitor").collect(engine="streaming")


def _changed(candidates: pl.DataFrame, *, full: bool) -> tuple[pl.DataFrame, list[str]]:
    """Of the candidates: those whose profile is not of these very events, and those who have no event any more."""
    import polars as pl

    gone = candidates.filter(pl.col("events") == 0)["visitor"].to_list()
    alive = candidates.filter(pl.col("events") > 0)
    if full:
        kept = set(alive["visitor"])
        stored_keys = primary(UserProfile).values_list("visitor", flat=True).iterator(chunk_size=10_000)
        return alive.select("visitor"), [key for key in stored_keys if key not in kept]
    if alive.is_empty():
        return alive.select("visitor"), gone
    stored = primary(UserProfile).values_list("visitor", "events", "data__received")
    if alive.height <= FEW:
        keys = alive["visitor"].to_list()
        rows = [row for at in range(0, len(keys), BULK) for row in stored.filter(pk__in=keys[at : at + BULK])]
    else:
        rows = list(stored.iterator(chunk_size=10_000))
    known = pl.DataFrame(
        rows, schema={"visitor": pl.String, "events": pl.Int64, "received": pl.Int64}, orient="row", strict=False
    )
    same = alive.with_columns(pl.col("events").cast(pl.Int64)).join(
        known, on=["visitor", "events", "received"], how="anti"
    )
    # Who comes back is known again, with the old orders that had a profile under a keyed id.
    keyed = Q(visitor__startswith=f"u:{PREFIX}") | Q(visitor__startswith=f"a:{PREFIX}")
    if primary(UserProfile).filter(keyed).exists():
        keys = lake_keys()
        gone += [twin for visitor in same["visitor"].drop_nulls() for twin in _twins(visitor, keys)]
    return same.select("visitor"), gone


def known_products(items: list[str]) -> pl.DataFrame:
    """Category, price (minor units) and its currency of products, where the shop maps any."""
    import polars as pl

    from ml_models.adapters.build import get_catalogue
    from ml_models.core.money import to_minor

    rows = []
    catalog = get_settings().catalog
    if catalog.get("product") or catalog.get("preset"):
        for start in range(0, len(items), BULK):
            for key, product in get_catalogue().get(items[start : start + BULK]).items():
                price = None if product.price is None else to_minor(product.price, product.currency or None)
                rows.append((key, product.category or None, price, product.currency.upper() or None))
    text = pl.String
    schema = {"item": text, "category": text, "price": pl.Int64, "currency": text}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _of_one_currency(products: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Products without the prices that do not compare with the others: those in another currency than the shop's.

    Where no order names one, the shop's currency is that of most products. A price without one is in it.
    """
    import polars as pl

    if not currency and (named := products["currency"].drop_nulls()).len():
        currency = str(named.mode().sort()[0])
    return products.select(
        "item", "category", price=pl.when(pl.col("currency").fill_null(currency) == currency).then("price")
    )


def _table(events: pl.LazyFrame, rows: pl.LazyFrame, currency: str) -> pl.DataFrame:
    """One row a visitor of `events`."""
    import polars as pl

    seen = events.group_by("visitor").agg(
        first=pl.col("event_time").min(),
        last=pl.col("event_time").max(),
        events=pl.len(),
        devices=pl.col("device_type").drop_nulls().value_counts(),
        browsers=pl.col("browser").drop_nulls().value_counts(),
        hours=pl.col("event_time").dt.convert_time_zone(str(get_default_timezone())).dt.hour().value_counts(),
        types=pl.col("event_type").value_counts(),
        country=pl.col("country").drop_nulls().mode().sort().first(),
        received=pl.col("received_at").max().dt.epoch("us"),
    )
    bought = rows.filter(pl.col("type") == "purchase")
    # Amounts in other currencies are kept apart: they do not add up. Without any currency, all are of one unnamed.
    same = (pl.col("currency") == currency) | pl.col("currency").is_null()
    orders = bought.group_by("visitor").agg(
        orders=pl.col("order").n_unique(),
        last_order=pl.col("time").max(),
        first_order=pl.col("time").min(),
        value=pl.col("amount").filter(same).sum(),
        valued=pl.col("order").filter(same & pl.col("amount").is_not_null()).n_unique(),
        pieces=pl.col("quantity").sum(),
    )
    table = seen.join(orders, on="visitor", how="left").collect(engine="streaming")
    items = rows.select("item").drop_nulls().unique().collect(engine="streaming")["item"].to_list()
    for affinity in _affinities(rows, _of_one_currency(known_products(items), currency)):
        table = table.join(affinity, on="visitor", how="left")
    return table


def _profiles(table: pl.DataFrame, now: datetime, currency: str) -> Iterator[UserProfile]:
    for row in table.iter_rows(named=True):
        count = row["orders"] or 0
        data: dict[str, Any] = {
            "types": {one["event_type"]: one["count"] for one in row["types"]},
            "devices": {one["device_type"]: one["count"] for one in row["devices"]},
            "browsers": {one["browser"]: one["count"] for one in row["browsers"]},
            # Of the shop's TIME_ZONE, the most frequent first.
            "hours": [
                one["event_time"]
                for one in sorted(row["hours"], key=lambda one: (-one["count"], one["event_time"]))[:HOURS]
            ],
            "currency": currency,
            "received": row["received"],
        }
        if row["country"]:
            data["country"] = row["country"]
        if count:
            data["pieces"] = row["pieces"]
            if row["valued"]:  # orders in other currencies are in neither number
                data["average_order_minor"] = round(row["value"] / row["valued"])
            if count > 1:
                span = (row["last_order"] - row["first_order"]) / timedelta(days=1)
                data["days_between_orders"] = round(span / (count - 1), 2)
        if row["categories"]:
            # A list, strongest first: PostgreSQL keeps no order of an object's keys.
            data["categories"] = [
                {"category": one["category"], "share": round(one["share"], 4)} for one in row["categories"]
            ]
        if row["price_mid"] is not None:
            data["price"] = {"low": row["price_low"], "middle": row["price_mid"], "high": row["price_high"]}
        yield UserProfile(
            visitor=row["visitor"],
            updated_at=now,
            first_seen=row["first"],
            last_seen=row["last"],
            last_order=row["last_order"],
            events=row["events"],
            orders=count,
            value_minor=row["value"] or 0,
            data=data,
        )


def _affinities(rows: pl.LazyFrame, products: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Share of each visitor's interest by category (`categories`), and quartiles of the prices met (`price_*`).

    Weight of an interaction: that of its type (`INTERACTION_TYPES`), halved every `HALF_LIFE_DAYS`. Prices are the
    catalogue's, in minor units; there each interaction counts once.
    """
    import polars as pl

    met = rows.drop_nulls("item").join(products.lazy(), on="item", how="inner")
    age = (pl.col("time").max().over("visitor") - pl.col("time")).dt.total_seconds() / 86_400
    weight = pl.col("type").replace_strict(INTERACTION_TYPES, return_dtype=pl.Float64)
    interest = (
        met.drop_nulls("category")
        .with_columns(weight=weight * 0.5 ** (age / HALF_LIFE_DAYS))
        .group_by("visitor", "category")
        .agg(pl.col("weight").sum())
        .with_columns(share=pl.col("weight") / pl.col("weight").sum().over("visitor"))
        .sort(["visitor", "share", "category"], descending=[False, True, False])
        .group_by("visitor", maintain_order=True)
        .agg(categories=pl.struct("category", "share").head(CATEGORIES))
    )
    prices = (
        met.drop_nulls("price")
        .group_by("visitor")
        .agg(
            price_low=pl.col("price").quantile(0.25, "nearest").cast(pl.Int64),
            price_mid=pl.col("price").quantile(0.5, "nearest").cast(pl.Int64),
            price_high=pl.col("price").quantile(0.75, "nearest").cast(pl.Int64),
        )
    )
    return interest.collect(engine="streaming"), prices.collect(engine="streaming")


def _store(profiles: Iterator[UserProfile], total: int, tell: Callable[[int, int], None]) -> int:
    fields = ["updated_at", "first_seen", "last_seen", "last_order", "events", "orders", "value_minor", "data"]
    written = 0
    stored = primary(UserProfile)
    with transaction.atomic(using=stored.db):
        while batch := list(islice(profiles, BULK)):
            upsert(stored, batch, "visitor", fields)
            written += len(batch)
            tell(written, total)
    return written


def _set_segments(now: datetime) -> None:
    """Set every visitor's segment, by the table at the top of this module."""
    customers = primary(UserProfile).filter(orders__gt=0)
    place = int(customers.count() * (1 - TOP_SHARE))
    top = customers.order_by("value_minor").values_list("value_minor", flat=True)[place : place + 1]
    scores = {
        f"rfm_{name}": _fifths(customers, column)
        for name, column in (("recency", "last_order"), ("frequency", "orders"), ("value", "value_minor"))
    }
    recent, lapsing = Q(last_order__gte=now - RECENT), Q(last_order__gte=now - LAPSED)
    again = Q(orders__gte=2)
    UserProfile.objects.update(
        segment=Case(
            When(orders=0, then=Value("visitor")),
            When(recent & again & Q(value_minor__gte=next(iter(top), 0)), then=Value("champion")),
            When(recent & again, then=Value("loyal")),
            When(recent, then=Value("new")),
            When(lapsing & again, then=Value("at_risk")),
            When(lapsing, then=Value("one_time")),
            default=Value("lost"),
        ),
        **scores,
    )


def _fifths(customers: QuerySet[UserProfile], column: str) -> Case:
    """The fifth of the customers that a row is in by one column, as an expression; 0 without an order."""
    count, values = customers.count(), customers.order_by(column).values_list(column, flat=True)
    borders = [values[-(-count * part // 5) - 1] for part in (4, 3, 2, 1)] if count else []
    above = [When(**{f"{column}__gt": border}, then=Value(5 - place)) for place, border in enumerate(borders)]
    return Case(When(orders=0, then=Value(0)), *above, default=Value(1))
