"""Whether visitors do something else than what the champion was trained on: the population stability index.

    PSI = sum over groups of (p - q) * ln(p / q)

with p a group's share of the interactions in the training window and q its share in the newest days; below 0.1 people
call it stable, above 0.25 shifted. Groups are event types, the `TOP` products of the training window with one for all
others, and likewise categories. Half an interaction is added to every group, so that an empty one has a share.

Two samples of the same visitors differ by chance, by about (groups - 1) * (1/n + 1/m) for n and m interactions. Where
that is more than `MOST_NOISE`, the figure says nothing and is not given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_models.adapters.build import get_event_store, get_versions
from ml_models.core import clock
from ml_models.settings import get_settings

if TYPE_CHECKING:
    import polars as pl

__all__ = ["check_drift", "expected_by_chance", "last_drift", "psi"]

STATE = "drift"
RECENT = timedelta(days=7)
TOP = 20
"""Products, and categories, that are groups of their own."""
MOST_NOISE = 0.05
OTHERS = "(others)"


def psi(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Population stability index of two counts by group; >= 0, 0 for equal shares."""
    groups = before.keys() | after.keys()
    sums = [sum(counts.values()) + 0.5 * len(groups) for counts in (before, after)]
    total = 0.0
    for group in groups:
        p, q = ((counts.get(group, 0) + 0.5) / size for counts, size in zip((before, after), sums, strict=True))
        total += (p - q) * math.log(p / q)
    return total


def expected_by_chance(groups: int, before: int, after: int) -> float:
    """About what `psi` gives for two samples of one population; infinite without samples."""
    return (groups - 1) * (1 / before + 1 / after) if before and after else math.inf


def last_drift() -> dict[str, Any] | None:
    """What the last check found; None where none ran yet."""
    from ml_models.orm import SyncState

    state = SyncState.objects.filter(pk=STATE).first()
    return None if state is None else dict(state.data)


def check_drift() -> dict[str, Any]:
    """Compare the newest `RECENT` days with what the newest champion was trained on; stores and returns the figures.

    `figures` by name (`event_types`, `products`, `categories`): `psi` (None where the data is too little to say),
    `noise`, `groups`. `drifted`: names at or above `drift_threshold`. `skipped`, in words, where nothing was compared.
    """
    from ml_models.orm import SyncState

    now = clock.now()
    found = _compare(now)
    SyncState.objects.update_or_create(pk=STATE, defaults={"watermark": now, "updated_at": now, "data": found})
    return found


def _compare(now: datetime) -> dict[str, Any]:
    settings = get_settings().auto_training_config
    at = {"at": now.isoformat()}
    if not settings.enable_drift_detection:
        return {**at, "skipped": 'ML_AUTO_TRAINING_CONFIG["enable_drift_detection"] is False'}
    window = _training_window()
    if window is None:
        return {**at, "skipped": "no model serves yet, so there is nothing to compare with"}
    name, version, start, end = window
    recent = now - RECENT
    end = min(end, recent)
    if start >= end:
        return {**at, "skipped": f"{name} version {version} was trained on nothing older than {RECENT.days} days"}
    frame = _interactions(start, now)
    import polars as pl

    before, after = frame.filter(pl.col("time") < end), frame.filter(pl.col("time") >= recent)
    figures = {}
    for title, column in (("event_types", "type"), ("products", "item"), ("categories", "category")):
        if column in frame.columns:
            figures[title] = _figure(before[column].drop_nulls(), after[column].drop_nulls())
    threshold = settings.drift_threshold
    return {
        **at,
        "champion": name,
        "version": version,
        "before": {"start": start.isoformat(), "end": end.isoformat(), "interactions": before.height},
        "recent": {"start": recent.isoformat(), "interactions": after.height},
        "threshold": threshold,
        "figures": figures,
        "drifted": [title for title, one in figures.items() if one["psi"] is not None and one["psi"] >= threshold],
    }


def _training_window() -> tuple[str, int, datetime, datetime] | None:
    """Name, version, first and last interaction of the champion trained last."""
    versions = get_versions()
    records = [versions.get(name, version) for name, version in versions.champions().items()]
    known = [one for one in records if one is not None and one.data.get("start") and one.data.get("end")]
    if not known:
        return None
    newest = max(known, key=lambda one: one.created_at)
    start, end = (datetime.fromisoformat(newest.data[key]) for key in ("start", "end"))
    return newest.name, newest.version, start, end + timedelta(microseconds=1)


def _interactions(start: datetime, end: datetime) -> pl.DataFrame:
    """`time`, `type`, `item` and, where the shop maps its products, `category`."""
    from ml_models.core.data_loader import COLUMNS, interaction_frame, type_weights
    from ml_models.data_collection.user_profile import known_products

    settings = get_settings()
    weights = settings.models.weights
    scan = get_event_store().scan(columns=COLUMNS, event_types=list(type_weights(weights)), start=start, end=end)
    rows = interaction_frame(scan, weights=weights, bots=not settings.tracking.exclude_bots)
    frame = rows.select("time", "type", "item").collect(engine="streaming")
    products = known_products(frame["item"].unique().to_list())
    return frame.join(products.select("item", "category"), on="item", how="left") if products.height else frame


def _figure(before: pl.Series, after: pl.Series) -> dict[str, Any]:
    counts = [dict(series.value_counts(name="n").rows()) for series in (before, after)]
    top = sorted(counts[0], key=lambda name: (-counts[0][name], name))[:TOP]
    grouped = []
    for one in counts:
        shown = {name: one.get(name, 0) for name in top}
        grouped.append({**shown, OTHERS: sum(one.values()) - sum(shown.values())})
    groups = len([name for name in grouped[0] if any(one[name] for one in grouped)])
    noise = expected_by_chance(groups, len(before), len(after))
    enough = noise <= MOST_NOISE
    return {
        "psi": round(psi(*grouped), 4) if enough else None,
        "noise": round(noise, 4) if math.isfinite(noise) else None,
        "groups": groups,
    }
