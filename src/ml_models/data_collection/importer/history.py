"""The shop's own record of behaviour (`ML_CATALOG["history"]`) into the lake, each row once."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from itertools import islice

from ml_models.adapters.build import get_catalogue, get_event_store
from ml_models.core import clock
from ml_models.core.errors import ConfigError
from ml_models.core.event import AHEAD, NAMESPACE, Event
from ml_models.core.ids import MAX_ID
from ml_models.core.lake_schema import to_frame
from ml_models.core.money import to_minor
from ml_models.core.ports import HistoryEvent
from ml_models.data_collection.importer.commit import commit_rows
from ml_models.data_collection.importer.run import ImportResult
from ml_models.settings import get_settings

__all__ = ["history_event", "history_id", "import_history"]

CHUNK = 10_000
"""Rows of one commit."""


def history_id(site: str, row_id: str) -> str:
    """Event id of a row of the shop's own history."""
    return str(uuid.uuid5(NAMESPACE, f"history:{site}:{row_id}"))


def history_event(row: HistoryEvent, site: str) -> Event:
    """The event of a row. Raises `ValueError` where its price is no money."""
    guest = None
    if row.user_id is None and row.guest:
        guest = f"guest:{row.guest}"
    elif row.user_id is None and row.session_id:
        # A shop's session is all that tells such guests apart; two visits of one guest stay two.
        guest = f"session:{row.session_id}"
    return Event(
        event_id=history_id(site, row.id),
        event_type=row.event_type,
        event_time=row.when,
        received_at=clock.now(),
        source="import",
        site=site,
        session_id=row.session_id,
        user_id=row.user_id,
        anonymous_id=guest,
        product_id=row.product_id,
        variant_id=row.variant_id,
        quantity=row.quantity,
        unit_price=None if row.unit_price is None else to_minor(row.unit_price, row.currency or None),
        currency=(row.currency or None) if row.unit_price is not None else None,
        query=row.query,
        data=dict(row.data),
    )


def import_history(progress: Callable[[int], None] | None = None) -> ImportResult:
    """Import all of it; rows the lake holds are left out. `progress` is told the rows read so far."""
    settings = get_settings()
    if not settings.catalog.get("history"):
        raise ConfigError('ML_CATALOG maps no "history" tables. Map one, or import files: ml_import FILE --map ...')
    store = get_event_store()
    started = clock.current().monotonic()
    result = ImportResult(source="history")
    bad: Counter[str] = Counter()
    rows = get_catalogue().history()
    while chunk := list(islice(rows, CHUNK)):
        events = []
        for row in chunk:
            result.rows += 1
            try:
                event = history_event(row, settings.site)
            except ValueError:
                bad["bad_price"] += 1
                continue
            if event.user_id is None and event.anonymous_id is None:
                bad["missing_visitor"] += 1
                continue
            if max(len(event.product_id or ""), len(event.variant_id or "")) > MAX_ID:
                bad["id_too_long"] += 1
                continue
            if event.event_time > event.received_at + AHEAD:
                bad["future"] += 1
                continue
            events.append(event)
            result.first = event.event_time if result.first is None else min(result.first, event.event_time)
            result.last = event.event_time if result.last is None else max(result.last, event.event_time)
        result.events += len(events)
        done = commit_rows(store, to_frame(events)) if events else None
        result.written += done.written if done else 0
        if progress is not None:
            progress(result.rows)
    result.present = result.events - result.written
    # These rows stay in the shop's table, so they are counted here and need no dead letter.
    result.skipped = dict(bad.most_common())
    result.seconds = clock.current().monotonic() - started
    return result
