"""Which model versions were trained on rows of a person."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["trained_on"]


def trained_on(rows: pl.LazyFrame) -> list[dict[str, Any]]:
    """Versions whose window holds an interaction among rows of the lake: `model`, `version`, `serving`, `command`.

    Their artifacts hold products and numbers, no ids of persons; what they learnt from the rows leaves them with the
    next training. A version that is being trained now is among them, whatever its window will be.
    """
    import polars as pl

    from ml_models.adapters.build import get_versions
    from ml_models.core.data_loader import type_weights
    from ml_models.settings import get_settings

    types = list(type_weights(get_settings().models.weights))
    times = (
        rows.filter(pl.col("event_type").is_in(types))
        .select(pl.col("event_time").unique().sort())
        .collect(engine="streaming")
        .to_series()
        .to_list()
    )
    if not times:
        return []
    versions = get_versions()
    serving = versions.champions()
    return [
        {
            "model": record.name,
            "version": record.version,
            "serving": serving.get(record.name) == record.version,
            "command": f"python manage.py ml_train --model {record.name}",
        }
        for record in versions.list(limit=10_000)
        if record.status == "training" or (record.status == "ready" and _within(times, record.data))
    ]


def _within(times: list[datetime], window: Any) -> bool:
    start, end = window.get("start"), window.get("end")
    if not start or not end:
        return True  # where it does not say, it has to be taken for trained on them
    first = bisect_left(times, datetime.fromisoformat(start))
    return first < len(times) and times[first] <= datetime.fromisoformat(end)
