"""Retention: behavioural events leave the lake after `ML_DATA_COLLECTION["retention_days"]`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ml_models.core import clock
from ml_models.core.event import EventType

__all__ = ["KEPT_TYPES", "RetentionResult", "apply_retention"]

KEPT_TYPES = (EventType.PURCHASE.value, EventType.REFUND.value)
"""Types that stay: they restate the shop's own orders."""


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """What one run did."""

    older_than: datetime
    """Events received before this moment were due."""
    events: int
    """Rows dropped from the lake."""
    recent: int
    """Rows of recent items dropped."""
    letters: int
    """Dead letters dropped for their age or amount."""
    compaction: dict[str, Any]
    """What the lake's upkeep did, see `EventStore.compact`."""


def apply_retention(*, include_imported: bool = False) -> RetentionResult:
    """Drop events received, and recent items seen, more than `retention_days` ago, then tidy the lake up.

    Purchases and refunds stay. Imported history stays unless `include_imported`. The files of dropped rows leave the
    disk with the upkeep one day later, when no reader can hold them any more.
    """
    from ml_models.adapters.build import get_dead_letters, get_event_store, get_online_store
    from ml_models.settings import get_settings

    older_than = clock.now() - timedelta(days=get_settings().data_collection.retention_days)
    store = get_event_store()
    events = store.delete(
        older_than=older_than, keep_types=KEPT_TYPES, keep_sources=() if include_imported else ("import",)
    )
    recent = get_online_store().expire(older_than)
    return RetentionResult(older_than, events, recent, get_dead_letters().prune(), store.compact())
