"""Which of two copies of a fact counts: rules for reading, nothing is deleted from the lake.

A page view, a product view and a change of the cart may each arrive twice by design: from the tracker in the page
(source `js`) and from the server (the middleware, `emit_*`, a shop's signals). Which copy comes first, and whether the
other comes at all, is not known when one is written, so the lake keeps both and every reader asks here.

===========================  ==================================  =====================================================
fact                         what counts                         how the copy is found
===========================  ==================================  =====================================================
page view, product view      the tracker's row: a person's       the same `page_view_id` (`Server-Timing` brings it);
                             browser ran; without it the         where a proxy took that away, one row for one by
                             server's                            visitor, page or product, and time
cart add, remove, update     the server's row, where the shop    one row for one by visitor, product, quantity and
                             has wired it: the cart did change;  time; the tracker's copy is an `intent`
                             else the tracker's
===========================  ==================================  =====================================================

One row stands for one: two genuine views of a page within a second stay two, and a shop that has wired removals alone
keeps the tracker's additions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    import polars as pl

__all__ = ["COLUMNS", "drop_shadowed", "tag_copies"]

COLUMNS = (
    "event_id",
    "event_type",
    "event_time",
    "source",
    "anonymous_id",
    "user_id",
    "page_view_id",
    "page_url",
    "product_id",
    "quantity",
    "ip_prefix",
)
"""Columns that the rules need."""

_VIEWS = ("page_view", "product_view")
_CARTS = ("cart_add", "cart_remove", "cart_update")
_COPIES = ("middleware", "server")
_SECOND = 1_000_000
_LOADING = 10 * _SECOND
"""How long after the server's row the tracker's may come: a page loads, a form is sent; microseconds."""
_NEAR = 2 * _SECOND
"""Pairs this near are made first, by whichever rule: a page that is opened twice is two pairs; microseconds."""
_CLOCKS = 1 * _SECOND
"""How far before the server's row the tracker's may seem to lie, by clocks that differ; microseconds."""


def drop_shadowed(events: pl.LazyFrame, canonical: Mapping[str, str] | None = None) -> pl.LazyFrame:
    """Rows of `events` without the copies that another row stands for, in their order; needs `COLUMNS`.

    `canonical` maps the ids of variants to products: a page may name the one and the server the other.
    """
    import polars as pl

    return tag_copies(events, canonical).filter(pl.col("authority") == "fact").drop("authority")


def tag_copies(events: pl.LazyFrame, canonical: Mapping[str, str] | None = None) -> pl.LazyFrame:
    """`events` with a column `authority`: `fact`, `copy` (of a view) or `intent` (of a change of the cart)."""
    import polars as pl

    known = events.with_columns(
        _id=pl.col("event_id").hash(),
        _product=pl.col("product_id").replace(dict(canonical)) if canonical else pl.col("product_id"),
    )
    js = pl.col("source") == "js"
    views = known.filter(pl.col("event_type").is_in(_VIEWS))
    same = ["page_view_id", "event_type", "_product"]
    by_script = views.filter(js & pl.col("page_view_id").is_not_null())
    by_server = views.filter(pl.col("source").is_in(_COPIES))
    seen = by_server.join(by_script.select(same).unique(), on=same, how="semi", nulls_equal=True)
    alone = by_server.join(seen.select("_id"), on="_id", how="anti")
    unheard = views.filter(js).join(seen.select(same).unique(), on=same, how="anti", nulls_equal=True)
    # Where the id did not reach the tracker.
    page = pl.when(pl.col("event_type") == "page_view").then(_path(pl.col("page_url"))).otherwise("_product")
    lost = _pairs(alone, unheard, page, ahead=_CLOCKS).select(_id="server")
    carts = known.filter(pl.col("event_type").is_in(_CARTS))
    wired, told = carts.filter(pl.col("source") == "server"), carts.filter(js)
    intents = _pairs(wired, told, pl.col("_product"), ahead=_LOADING, quantities=True).select(_id="js")
    tags = pl.concat(
        [
            pl.concat([seen.select("_id"), lost]).unique().with_columns(authority=pl.lit("copy")),
            intents.with_columns(authority=pl.lit("intent")),
        ]
    )
    tagged = known.join(tags, on="_id", how="left", maintain_order="left").drop("_id", "_product")
    return tagged.with_columns(pl.col("authority").fill_null("fact"))


def _path(address: pl.Expr) -> pl.Expr:
    """The page without its query, as the server and a browser both spell it."""
    import polars as pl

    def plain(paths: pl.Series) -> pl.Series:
        encoded = paths.filter(paths.str.contains("%", literal=True)).unique().to_list()
        return paths.replace(encoded, [unquote(path) for path in encoded]) if encoded else paths

    return address.str.split("?").list.first().map_batches(plain, return_dtype=pl.String)


def _pairs(
    server: pl.LazyFrame, script: pl.LazyFrame, about: pl.Expr, *, ahead: int, quantities: bool = False
) -> pl.LazyFrame:
    """`_id`s of rows that tell of one fact: columns `server` and `js`, each row in one pair at most.

    `about`: what both must agree on. `ahead`: how long before the server's row the script's may lie; microseconds.
    """
    import polars as pl

    def small(rows: pl.LazyFrame, by_server: bool) -> pl.LazyFrame:
        return rows.select(
            "_id",
            _about=pl.struct("event_type", about.alias("_about")).hash(),
            _server=pl.lit(by_server),
            _time=pl.col("event_time").dt.epoch("us"),
            _quantity=pl.col("quantity") if quantities else pl.lit(None, dtype=pl.Int64),
            _visitor=pl.when(pl.col("anonymous_id").is_not_null()).then(pl.col("anonymous_id").hash()),
            _user=pl.when(pl.col("user_id").is_not_null()).then(pl.col("user_id").hash()),
            _network=pl.col("ip_prefix").fill_null("").hash(),
        )

    left, right = small(server, True), small(script, False)
    # Only what has anything to be paired with is looked at row by row.
    left_met = left.join(right.select("_about").unique(), on="_about", how="semi")
    right_met = right.join(left.select("_about").unique(), on="_about", how="semi")
    schema = {"server": pl.UInt64, "js": pl.UInt64}

    def match(rows: pl.DataFrame) -> pl.DataFrame:
        pairs = _match(rows, ahead)
        return pl.DataFrame(pairs, schema=schema, orient="row")

    return pl.concat([left_met, right_met]).map_batches(
        match, predicate_pushdown=False, projection_pushdown=False, slice_pushdown=False, schema=schema
    )


def _match(rows: pl.DataFrame, ahead: int) -> list[tuple[int, int]]:
    """Pairs by visitor, then by user (the visitor's id has just changed), then by network (neither was known)."""
    import polars as pl

    pairs: list[tuple[int, int]] = []
    stages = (
        ("_visitor", pl.lit(True)),
        ("_user", pl.lit(True)),
        # The server met the visitor before the first answer of the track endpoint, or right after a logout.
        ("_network", ~pl.col("_server") | pl.col("_visitor").is_null()),
        # Or right after a login: the page still had the guest's cookie, the tracker's answer brought the user's.
        ("_network", pl.when("_server").then(pl.col("_user").is_null()).otherwise(pl.col("_user").is_not_null())),
        # Or right before a logout: what the page said as it was left came when the session had ended already.
        ("_network", pl.when("_server").then(pl.col("_user").is_not_null()).otherwise(pl.col("_user").is_null())),
    )
    for loading, (column, more) in product((_NEAR, _LOADING), stages):
        left = rows.filter(pl.col(column).is_not_null(), more)
        found = _in_turn(
            left.sort("_about", column, "_time", "_server")
            .select("_id", "_server", "_time", "_quantity", pl.struct("_about", column).rle_id())
            .rows(),
            min(ahead, loading),
            loading,
        )
        pairs += found
        if found:
            done = pl.Series([one for pair in found for one in pair], dtype=pl.UInt64)
            rows = rows.filter(~pl.col("_id").is_in(done.implode()))
    return pairs


def _in_turn(rows: Sequence[tuple[Any, ...]], ahead: int, loading: int) -> list[tuple[int, int]]:
    """Each row with the oldest of the other side that is near enough, within its group; rows lie in time order."""
    pairs: list[tuple[int, int]] = []
    waiting: tuple[deque[Any], deque[Any]] = (deque(), deque())
    last = None
    for identity, by_server, time, quantity, group in rows:
        if group != last:
            waiting = (deque(), deque())
            last = group
        others, reach = waiting[not by_server], ahead if by_server else loading
        while others and time - others[0][1] > reach:
            others.popleft()
        for place, (other, _, number) in enumerate(others):
            if number is None or quantity is None or number == quantity:
                del others[place]
                pairs.append((identity, other) if by_server else (other, identity))
                break
        else:
            waiting[by_server].append((identity, time, quantity))
    return pairs
