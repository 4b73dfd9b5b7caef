"""Orders as events: the rows that `ml_sync` and the outbox write, with ids that follow from the order's number.

Whichever way a fact arrives, it has the same id and, where it says the same, the same `data.content`. So the second
arrival adds nothing, and one that differs is the next revision.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ml_models.core import clock
from ml_models.core.event import NAMESPACE, Event, EventItem, EventType, purchase_id
from ml_models.core.ids import MAX_ID
from ml_models.core.money import to_minor

if TYPE_CHECKING:
    from ml_models.core.ports import Order, OrderItem

__all__ = ["MONEY", "content_of", "order_event", "refund_event", "refund_id", "refused_lines", "seen_id"]

logger = logging.getLogger("bunoraa.ml.sync")

MONEY = (EventType.PURCHASE, EventType.REFUND)
"""Events that are never lost: they have an order's id and go through the outbox."""


def refund_id(site: str, order_id: str) -> str:
    """Id of an order's refund event."""
    return str(uuid.uuid5(NAMESPACE, f"refund:{site}:{order_id}"))


def seen_id(site: str, order_id: str) -> str:
    """Id of the server's own word on which visitor placed an order, for attribution."""
    return str(uuid.uuid5(NAMESPACE, f"purchase_seen:{site}:{order_id}"))


def refused_lines(order: Order) -> int:
    """Lines whose product id is longer than the lake and the tables take; they are left out."""
    return sum(len(item.product_id) > MAX_ID for item in order.items)


def _minor(amount: Decimal | None, order: Order) -> int | None:
    if amount is None:
        return None
    try:
        return to_minor(amount, order.currency or None)
    except ValueError as error:
        logger.warning("order %s has a line without a usable price, kept without it: %s", order.id, error)
        return None


def _total(line: OrderItem, price: int | None, order: Order) -> int | None:
    """Minor units of the whole line, rounded once and not once a piece."""
    if line.total is not None:
        return _minor(line.total, order)
    return None if line.unit_price is None or price is None else _minor(line.unit_price * line.quantity, order)


def _totals(event: Event) -> list[int | None] | None:
    """What `order_event` put into `data.totals`; in other events that is the shop's own word for something else."""
    found = event.data.get("totals") if event.source == "sync" else None
    return found if isinstance(found, list) and len(found) == len(event.items) else None


def order_event(order: Order, *, site: str, revision: int = 0, received_at: datetime | None = None) -> Event:
    """The purchase event of an order; `data.content` is a hash of everything that makes a new revision when it changes.

    A guest is `guest:<keyed hash>` in `anonymous_id`. A price that is no money is left out, and logged; so is a line
    whose product id has more than `MAX_ID` characters. Where the total of a line is not its pieces times their price in
    minor units (10.00 for 3), `data.totals` has that of every line, null for one without.
    """
    lines = [item for item in order.items if len(item.product_id) <= MAX_ID]
    items = [
        EventItem(
            product_id=item.product_id,
            variant_id=None if item.variant_id is None or len(item.variant_id) > MAX_ID else item.variant_id,
            quantity=item.quantity,
            unit_price=_minor(item.unit_price, order),
        )
        for item in lines
    ]
    if len(items) < len(order.items):
        logger.warning("order %s has lines whose product id has more than %d characters, left out", order.id, MAX_ID)
    event = Event(
        event_id=purchase_id(site, order.id),
        event_type=EventType.PURCHASE,
        event_time=order.when,
        received_at=received_at or clock.now(),
        source="sync",
        site=site,
        user_id=order.user_id,
        anonymous_id=None if order.user_id is not None or order.guest is None else f"guest:{order.guest}",
        currency=order.currency or None,
        items=items,
        order_id=order.id,
        revision=revision,
        data={"meaning": order.meaning, **({"status": order.status} if order.status else {})},
    )
    totals = [_total(line, item.unit_price, order) for line, item in zip(lines, items, strict=True)]
    if any(t is not None and t != (i.unit_price or 0) * i.quantity for t, i in zip(totals, items, strict=True)):
        event.data["totals"] = totals
    event.data["content"] = content_of(event)
    return event


def content_of(event: Event) -> str:
    """Hash of what an order's or a refund's row says. The time of a refund is no fact of the order, and left out."""
    totals = _totals(event)
    # Beside its line, for lines are a set to the shop: their order may differ between two reads.
    worth = [() if total is None else (total,) for total in totals or [None] * len(event.items)]
    left_out = ("content",) if totals is None else ("content", "totals")
    facts = (
        event.event_time.isoformat() if event.event_type == EventType.PURCHASE else None,
        event.user_id,
        event.anonymous_id,
        event.currency,
        sorted(
            (i.product_id, i.variant_id or "", i.quantity, i.unit_price or 0, *total)
            for i, total in zip(event.items, worth, strict=True)
        ),
        {key: value for key, value in event.data.items() if key not in left_out},
    )
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def refund_event(
    purchase: Event, when: datetime, *, meaning: str = "refunded", items: list[EventItem] | None = None
) -> Event:
    """The refund beside a purchase: of all its lines, or of `items`. Its revision is for the writer to set."""
    event = Event(
        event_id=refund_id(purchase.site, str(purchase.order_id)),
        event_type=EventType.REFUND,
        event_time=when,
        received_at=purchase.received_at,
        source=purchase.source,
        site=purchase.site,
        user_id=purchase.user_id,
        anonymous_id=purchase.anonymous_id,
        currency=purchase.currency,
        items=items or purchase.items,
        order_id=purchase.order_id,
        data={"meaning": meaning},
    )
    event.data["content"] = content_of(event)
    return event
