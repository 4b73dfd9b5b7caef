"""Which of two copies of a fact counts.

A page view and a product view arrive twice by design: from the tracker in the page (source `js`) and from the
middleware or a view's `emit_product_view` (`middleware`, `server`). Both carry the same `page_view_id`. The tracker's
row is the better one (it knows that a person's browser ran, and what happened next), so where it arrived the other
copies are not read; where it did not (no script, blocked, an unsupported browser) they are the fallback. A product view
is a copy only where it is of the same product: a script may report a quick look at another one. Nothing is deleted from
the lake: this is a rule for reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["drop_shadowed"]

_TWICE = ("page_view", "product_view")
_COPIES = ("middleware", "server")
_SAME = ["page_view_id", "event_type", "product_id"]


def drop_shadowed(events: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of `events` without the copies that a `js` row of the same view stands for, in their order.

    Needs the columns `event_type`, `source`, `page_view_id` and `product_id`.
    """
    import polars as pl

    twice = pl.col("event_type").is_in(_TWICE)
    seen = events.filter(twice & (pl.col("source") == "js") & pl.col("page_view_id").is_not_null())
    seen = seen.select(_SAME).unique().with_columns(_seen=pl.lit(True))
    copy = twice & pl.col("source").is_in(_COPIES) & pl.col("_seen").fill_null(False)
    joined = events.join(seen, on=_SAME, how="left", nulls_equal=True, maintain_order="left")
    return joined.filter(~copy).drop("_seen")
