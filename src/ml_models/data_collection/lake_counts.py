"""What of the lake counts: interactions to train on, and how many page views the tracker confirmed.

Counting distinct visitors reads every interaction of the training's days. Of a large lake that takes many seconds, so
it is counted once a day, by `ml.check_drift`, and `ml_status` says when; where no schedule runs, it counts itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ml_models.adapters.build import get_event_store
from ml_models.adapters.tables import primary
from ml_models.core import clock
from ml_models.core.event import AHEAD
from ml_models.settings import get_settings

__all__ = ["LARGE", "confirmed", "interactions", "refresh"]

STATE = "lake_counts"
LARGE = 500_000
"""Events from which a lake's counts are kept."""
KEPT = timedelta(hours=25)
WATCHED = timedelta(days=7)


def interactions(events: int) -> dict[str, Any]:
    """Interactions, visitors (`users`) and products (`items`) of the days a training reads, and when counted (`at`).

    `events`: rows of the lake.
    """
    from ml_models.orm import SyncState

    now = clock.now()
    if events < LARGE:
        return {**_count(), "at": now}
    kept = primary(SyncState).filter(pk=STATE).first()
    if kept is not None and kept.watermark is not None and timedelta() <= now - kept.watermark < KEPT:
        return {**kept.data, "at": kept.watermark}
    return refresh()


def refresh() -> dict[str, Any]:
    """Count now, and keep it."""
    from ml_models.orm import SyncState

    now, found = clock.now(), _count()
    SyncState.objects.update_or_create(pk=STATE, defaults={"watermark": now, "updated_at": now, "data": found})
    return {**found, "at": now}


def _count() -> dict[str, int]:
    import polars as pl

    from ml_models.adapters.lake_keys import lake_keys
    from ml_models.core.data_loader import COLUMNS, interaction_frame, type_weights

    settings = get_settings()
    types = list(type_weights(settings.models.weights))
    store = get_event_store()
    end = clock.now() + AHEAD
    times = store.scan(columns=["event_time"], event_types=types, end=end)
    newest: datetime | None = times.select(pl.col("event_time").max()).collect(engine="streaming").item()
    if newest is None:
        return {"interactions": 0, "users": 0, "items": 0}
    start = newest - timedelta(days=settings.models.history_days)
    scan = store.scan(columns=COLUMNS, event_types=[*types, "identity_link"], start=start, end=end)
    row = (
        interaction_frame(
            scan,
            weights=settings.models.weights,
            keys=lake_keys(),
            bots=not settings.tracking.exclude_bots,
        )
        .select(pl.len().alias("interactions"), users=pl.col("visitor").n_unique(), items=pl.col("item").n_unique())
        .collect(engine="streaming")
    )
    return {name: int(value) for name, value in row.row(0, named=True).items()}


def confirmed() -> dict[str, Any]:
    """Page views the middleware saw in the newest seven days (`seen`), and those the tracker reported too (`matched`).

    Bots are left out. `share` is None without any. A share far below 1 says that the tracker is not on every page, is
    blocked, or cannot reach its endpoint.
    """
    import polars as pl

    now = clock.now()
    rows = get_event_store().scan(
        columns=["page_view_id", "source", "is_bot"], event_types=["page_view"], start=now - WATCHED, end=now + AHEAD
    )
    rows = rows.filter(~pl.col("is_bot").fill_null(False) & pl.col("page_view_id").is_not_null())
    seen = rows.filter(pl.col("source") == "middleware").select("page_view_id").unique()
    reported = rows.filter(pl.col("source") == "js").select("page_view_id").unique()
    matched = seen.join(reported, on="page_view_id", how="semi").select(pl.len())
    whole, both = (int(frame.item()) for frame in pl.collect_all([seen.select(pl.len()), matched]))
    return {"seen": whole, "matched": both, "share": round(both / whole, 4) if whole else None}
