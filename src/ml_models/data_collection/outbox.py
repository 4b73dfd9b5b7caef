"""The outbox: orders placed and refunded, in the order's own transaction.

`on_commit` alone loses an order when the process dies between the shop's commit and it; a row beside the order does
not. The row is written inside a savepoint, so a failure of ours leaves the shop's transaction as it was, on databases
too that end a transaction at its first error (PostgreSQL). The worker brings the rows to the lake (`outbox_drain`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Min, Model

from ml_models.adapters.build import get_catalogue
from ml_models.adapters.tables import primary
from ml_models.core import clock
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import Event, EventType, encode_event, purchase_id
from ml_models.data_collection import counters
from ml_models.data_collection.order_events import refund_id
from ml_models.data_collection.products import external_id
from ml_models.data_collection.queue import queue
from ml_models.settings import get_settings

__all__ = ["oldest", "order_number", "orders_are_mapped", "put", "waiting"]

logger = logging.getLogger("bunoraa.ml")


def orders_are_mapped() -> bool:
    """Whether `ML_CATALOG` maps the orders, which are then the truth; a preset does."""
    catalog = get_settings().catalog
    return not {"order", "order_line", "preset"}.isdisjoint(catalog)


def order_number(order: Any) -> str:
    """The id of an order as the lake knows it: that of `ML_CATALOG` for an instance of its model, else the id given.

    Raises `ValueError` for what has no id.
    """
    found = None
    if isinstance(order, Model) and orders_are_mapped():
        found = getattr(get_catalogue(), "order_id", lambda _: None)(order)
    return external_id(order) if found is None else str(found)


def put(event: Event) -> bool:
    """Keep a purchase or refund with the transaction that is open; its id follows from the order's.

    True where it is kept: it is in the lake after the next run of the worker, unless the transaction is rolled back.
    Where the table cannot be written (it is not migrated, or the call comes from async code), the event takes the way
    of all others, after the commit, which survives less; that is counted (`outbox.failed`) and logged. Raises
    `InvalidEvent` without an order's id.
    """
    from ml_models.orm import OutboxEvent

    if event.order_id is None:
        raise InvalidEvent("missing", "order_id", "without it all such orders would pass for one")
    make = purchase_id if event.event_type == EventType.PURCHASE else refund_id
    event.event_id = make(event.site, event.order_id)
    event.source = "outbox"
    event.data.setdefault("meaning", "purchase" if event.event_type == EventType.PURCHASE else "refunded")
    row = OutboxEvent(
        event_id=event.event_id, event_type=event.event_type, record=encode_event(event), created_at=clock.now()
    )
    alias = router.db_for_write(OutboxEvent)
    try:
        with transaction.atomic(using=alias):
            row.save(using=alias, force_insert=True)
    except Exception:  # whatever the database says, the shop's transaction must be able to go on
        counters.add("outbox.failed")
        logger.exception("Order %s could not be put into the outbox.", event.order_id)
        if connections[alias].needs_rollback:
            return False  # the shop's transaction fails, and the order with it
        _afterwards(alias, lambda: queue.put(lambda: event))
        return True
    if event.consent is None:
        return True  # nobody has said that the visit may be followed: the order is kept, and no more
    # Recent items are for the next page, so they need not survive anything.
    _afterwards(alias, lambda: queue.put(lambda: _remember(event)))
    return True


def waiting() -> int:
    """Rows that the lake does not hold yet."""
    from ml_models.orm import OutboxEvent

    return primary(OutboxEvent).count()


def oldest() -> datetime | None:
    """When the oldest of them was written; None without any."""
    from ml_models.orm import OutboxEvent

    found: datetime | None = primary(OutboxEvent).aggregate(oldest=Min("created_at"))["oldest"]
    return found


def _afterwards(alias: str, then: Callable[[], object]) -> None:
    """Do it when the open transaction is committed, at once where none is open."""
    if connections[alias].in_atomic_block:
        transaction.on_commit(then, using=alias, robust=True)
    else:
        then()


def _remember(event: Event) -> None:
    from ml_models.data_collection.collector import remember

    remember([event])
