"""Interactions whose right answer is known beforehand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from ml_models.core.data_loader import Dataset
from ml_models.core.splits import Holdout, Split, given_holdout

__all__ = ["START", "TASTES", "checkerboard", "planted_tastes"]

START = datetime(2024, 1, 1, tzinfo=UTC)
TASTES = 6
"""How many tastes `planted_tastes` plants unless told otherwise; the favourites are items `i0` to `i5`."""
HOUR = 3_600_000_000


def _begin() -> int:
    return int(START.timestamp() * 1_000_000)


def checkerboard(users: int = 40, items: int = 20) -> Split:
    """Even visitors meet every even item, odd visitors every odd one, except one item each: that one is withheld."""
    rows = []
    pairs = []
    for user in range(users):
        own = [item for item in range(items) if item % 2 == user % 2]
        withheld = own[(user // 2) % len(own)]
        pairs.append((f"u:{user}", f"i{withheld}"))
        rows += [(f"u:{user}", f"i{item}", _begin() + (user + item) * HOUR) for item in own if item != withheld]
    frame = pl.DataFrame(rows, schema=["visitor", "item", "time"], orient="row").with_columns(type=pl.lit("cart_add"))
    train = Dataset.from_frame(frame)
    test: Holdout = given_holdout(train, pairs)
    return Split(train, test)


def planted_tastes(
    users: int = 300, items: int = 120, tastes: int = TASTES, events: int = 15, *, noise: float = 0.1, seed: int = 7
) -> Split:
    """Each visitor has one taste and draws from its items, by a power law; a share of `noise` is drawn from all items.

    The last two interactions of every visitor are the targets. Everybody's popular items are the same in every taste,
    so that popularity alone finds about one in `tastes`.
    """
    rng = np.random.default_rng(seed)
    per_taste = items // tastes
    weight = 1.0 / np.arange(1, per_taste + 1)
    rows: list[tuple[str, str, int]] = []
    pairs: list[tuple[str, str]] = []
    for user in range(users):
        taste = user % tastes
        own = rng.choice(per_taste, size=events, p=weight / weight.sum()) * tastes + taste
        drawn = np.where(rng.random(events) < noise, rng.integers(0, items, size=events), own)
        for place, item in enumerate(drawn.tolist()):
            if place >= events - 2:
                pairs.append((f"u:{user}", f"i{item}"))
            else:
                rows.append((f"u:{user}", f"i{item}", _begin() + (place * users + user) * HOUR // 10))
    frame = pl.DataFrame(rows, schema=["visitor", "item", "time"], orient="row").with_columns(
        type=pl.lit("product_view")
    )
    train = Dataset.from_frame(frame)
    return Split(train, given_holdout(train, pairs))
