"""Which models are due for training, and why: the triggers of the guide that need no live performance figures.

============== ======== ==========================================================================================
trigger        priority when
============== ======== ==========================================================================================
new_model      100      the model has no champion
scheduled      50       the newest version is older than `max_days_between_training`, at `training_hour` of the
                        shop's time zone; overdue by more than a day, at any hour
data_threshold 40       `new_interactions_threshold` interactions happened after those of the newest version
============== ======== ==========================================================================================

A model whose last training failed waits a day, so that a fault is not repeated every hour. The minimums of
`ML_AUTO_TRAINING_CONFIG` are those of every training (`auto_training.prepare`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.timezone import get_default_timezone

from ml_models.adapters.build import get_event_store
from ml_models.auto_training import get_registry
from ml_models.core import clock
from ml_models.core.ports import VersionRecord
from ml_models.core.registry import STALE_AFTER
from ml_models.settings import get_settings

__all__ = ["PRIORITY", "Decision", "decide", "trainings_under_way"]

PRIORITY = {"new_model": 100, "scheduled": 50, "data_threshold": 40}
PAUSE_AFTER_FAILURE = timedelta(days=1)
LATE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Decision:
    """About one model."""

    model: str
    trigger: str | None
    """Key of `PRIORITY`, None for "not now"."""
    reason: str
    """A clause for people."""


def decide() -> list[Decision]:
    """One decision per enabled model, what is due first, by priority."""
    found = [_decide(name) for name in get_settings().models.enabled]
    return sorted(found, key=lambda one: -PRIORITY.get(one.trigger or "", 0))


def trainings_under_way() -> int:
    """Trainings that run on any host; those that died are not counted after a day."""
    oldest = clock.now() - STALE_AFTER
    return sum(one.status == "training" and one.created_at > oldest for one in get_registry().versions.list(limit=1000))


def _decide(name: str) -> Decision:
    now, registry = clock.now(), get_registry()
    records = registry.versions.list(name, limit=100)
    if any(one.status == "training" and now - one.created_at < STALE_AFTER for one in records):
        return Decision(name, None, "it is being trained")
    if records and records[0].status == "failed" and now - records[0].created_at < PAUSE_AFTER_FAILURE:
        hours = (now - records[0].created_at) / timedelta(hours=1)
        return Decision(name, None, f"its last training failed {hours:.0f} h ago: {records[0].error}")
    if registry.champion(name) is None:
        return Decision(name, "new_model", "it has no champion")
    newest = next((one for one in records if one.status in ("ready", "deleted")), None)
    if newest is None:
        return Decision(name, "new_model", "none of its newest versions was finished")
    return _by_age(name, newest, now) or _by_data(name, newest)


def _by_age(name: str, newest: VersionRecord, now: datetime) -> Decision | None:
    settings = get_settings().auto_training_config
    age, most = now - newest.created_at, timedelta(days=settings.max_days_between_training)
    if age < most:
        return None
    hour = now.astimezone(get_default_timezone()).hour
    days = f"version {newest.version} is {age / timedelta(days=1):.1f} days old, of at most {most.days}"
    if hour == settings.training_hour or age >= most + LATE:
        return Decision(name, "scheduled", days)
    by_data = _by_data(name, newest)
    if by_data.trigger is not None:
        return by_data
    return Decision(name, None, f"{days}: trained at {settings.training_hour}:00")


def _by_data(name: str, newest: VersionRecord) -> Decision:
    most = get_settings().auto_training_config.new_interactions_threshold
    end = newest.data.get("end")
    fresh = _interactions_after(datetime.fromisoformat(end)) if end else 0
    text = f"{fresh:,} interactions after those of version {newest.version}, of {most:,}"
    return Decision(name, "data_threshold" if fresh >= most else None, text)


def _interactions_after(moment: datetime) -> int:
    import polars as pl

    from ml_models.core.data_loader import COLUMNS, interaction_frame, type_weights
    from ml_models.core.event import AHEAD

    settings = get_settings()
    weights = settings.models.weights
    scan = get_event_store().scan(
        columns=COLUMNS,
        event_types=list(type_weights(weights)),
        start=moment + timedelta(microseconds=1),
        end=clock.now() + AHEAD,
    )
    rows = interaction_frame(scan, weights=weights, bots=not settings.tracking.exclude_bots)
    return int(rows.select(pl.len()).collect(engine="streaming").item())
