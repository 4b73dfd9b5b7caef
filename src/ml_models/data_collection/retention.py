"""Retention: after `ML_DATA_COLLECTION["retention_days"]` behaviour leaves the lake, and orders lose their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ml_models.core import clock

__all__ = ["RetentionResult", "apply_retention"]


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """What one run did."""

    older_than: datetime
    """Events received before this moment were due."""
    events: int
    """Rows dropped from the lake."""
    keyed: int
    """Rows of orders that lost everything about a person but keyed ids."""
    recent: int
    """Rows of recent items dropped."""
    letters: int
    """Dead letters dropped for their age or amount."""
    compaction: dict[str, Any]
    """What the lake's upkeep did, see `EventStore.compact`."""


def apply_retention(*, include_imported: bool = False) -> RetentionResult:
    """Drop events received, and recent items seen, more than `retention_days` ago, then tidy the lake up.

    Purchases and refunds stay, with keyed ids in place of user and visitor (`core.keyed_ids`). Imported history stays
    as it is unless `include_imported`. Files with what was dropped or plain before leave the disk with the first run
    more than a day later, when no reader can hold them any more. The next collection of profiles starts from nothing,
    so that nobody keeps a profile of events that are gone: the task and the command that call this run one right after
    it. What the lake has of this host's spool is overwritten there; on other hosts their workers do it (`sweep`).
    What a killed run did not reach is due in the next.
    """
    from ml_models.adapters.build import get_dead_letters, get_event_store, get_online_store, get_spool
    from ml_models.adapters.lake_keys import lake_keys
    from ml_models.core.keyed_ids import ORDER_TYPES
    from ml_models.orm import SyncState
    from ml_models.settings import get_settings

    older_than = clock.now() - timedelta(days=get_settings().data_collection.retention_days)
    store = get_event_store()
    exempt = () if include_imported else ("import",)
    events = store.delete(older_than=older_than, keep_types=ORDER_TYPES, keep_sources=exempt)
    keyed = store.key_ids(key=lake_keys()[0], older_than=older_than, types=ORDER_TYPES, keep_sources=exempt)
    if events or keyed:
        SyncState.objects.filter(pk="profiles").update(watermark=None)
    # The newest segment of a slot that nobody uses any more would keep its events for ever.
    spool = get_spool()
    getattr(spool, "scrub_files", spool.scrub)(store.snapshot().position)
    letters, compaction = get_dead_letters().prune(), store.compact()
    recent = get_online_store().expire(older_than)  # last: it may be a server that is away
    return RetentionResult(older_than, events, keyed, recent, letters, compaction)
