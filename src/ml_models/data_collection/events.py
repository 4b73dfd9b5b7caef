"""Events from the shop's own code: the guide's `EventTracker` and `EventType`, and what `emit_*` is made of."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import logging
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from django.db.models import Model
from django.utils.functional import Promise

from ml_models.core import clock
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import ALIASES, Event, EventItem, EventType
from ml_models.core.money import pieces
from ml_models.data_collection import counters, outbox, wire
from ml_models.data_collection.client import Client
from ml_models.data_collection.collector import default_currency, keep_aside
from ml_models.data_collection.order_events import MONEY
from ml_models.data_collection.queue import queue
from ml_models.settings import get_settings

__all__ = ["Event", "EventItem", "EventTracker", "EventType", "record", "user_key"]

logger = logging.getLogger("bunoraa.ml")

_DIGITS = 15
"""A number with as many digits before its point is no quantity and no price; `wire` says so."""


class EventTracker:
    """Records events from the shop's own code.

    ```python
    EventTracker().track_event(session_id="session-123", user_id=user.id, event_type=EventType.CUSTOM,
                               data={"action": "video_play", "video_id": "456", "duration": 120})
    ```
    """

    def track_event(
        self,
        session_id: str | None = None,
        user_id: object = None,
        event_type: str = EventType.CUSTOM,
        data: Mapping[str, Any] | None = None,
        *,
        anonymous_id: str | None = None,
    ) -> str | None:
        """Record one event; never waits and never raises.

        `user_id` is any primary key, or the user. Fields of the lake inside `data` (`product_id`, `quantity`, `price`
        in major units such as 99.99, `query`, ...) go to their columns, except for `custom`, whose `data` stays as it
        is. A purchase or refund needs its `order_id` and goes through the outbox, with the open transaction.
        Returns the event's id, or None where it was not taken (switched off, not valid, queue full): counted and
        logged under `bunoraa.ml`.
        """
        return record(
            event_type,
            {"session_id": session_id, "data": data or {}},
            user_id=user_id,
            anonymous_id=anonymous_id,
        )


def user_key(user: object) -> str | None:
    """The external id of a user: the primary key of an instance (also of a lazy one, such as `request.user`), else the
    id itself as text. None for nobody: a guest, or a user who is not saved yet.

    The text of an instance would be the user's name or e-mail address.
    """
    key = getattr(user, "pk", user)
    return None if key is None or key == "" else str(key)


def record(
    event_type: str,
    fields: Mapping[str, Any],
    *,
    user_id: object = None,
    anonymous_id: str | None = None,
    client: Client | None = None,
    event_id: str | None = None,
    consent: str | None = None,
) -> str | None:
    """Build an event of source `server` and put it into the background queue. Never waits, never raises.

    `fields`: the wire form of `data_collection.wire`, with what Django code puts into it. `user_id`: see `user_key`.
    Purchases and refunds go into the outbox instead, one row in the transaction that is open: without those of their
    fields that are not valid, which are logged, and as a dead letter where nothing can be made of them.
    """
    try:
        settings = get_settings()
        if not (settings.enabled and settings.data_collection.enabled):
            return None
        given, context = _wire_form(event_type, fields), _context(user_key(user_id), anonymous_id, client)
        try:
            event = _build(given, context)
            event.consent = consent
            if event.event_type in MONEY:
                return event.event_id if outbox.put(event) else None
        except InvalidEvent as error:
            if _kind(event_type) not in MONEY:
                raise
            logger.error("An order could not be understood and is kept as a dead letter: %s", error)
            keep_aside([(error, 0)], wire.Batch([msgspec.Raw(json.dumps(given, default=str).encode())]), context)
            return None
        if event_id is not None:
            event.event_id = event_id
        return event.event_id if queue.put(lambda: event) else None
    except InvalidEvent as error:
        counters.add(f"rejected.{error.reason}")
        logger.warning("An event of the shop's own code was refused: %s", error)
    except Exception:  # recording must never break the page that records
        counters.add("record.failed")
        logger.exception("An event of the shop's own code could not be recorded.")
    return None


def _context(user_id: str | None, anonymous_id: str | None, client: Client | None) -> wire.Context:
    settings = get_settings()
    client = client or Client()
    return wire.Context(
        received_at=clock.now(),
        source="server",
        site=settings.site,
        anonymous_id=anonymous_id,
        user_id=user_id,
        currency=default_currency(settings),
        **client.columns(),
    )


def _wire_form(event_type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in _plain(fields).items() if value is not None}
    if _kind(event_type) != EventType.CUSTOM:  # whose data stays as it is
        given = _in_pieces(given)
        if isinstance(given.get("data"), dict):
            given["data"] = _in_pieces(given["data"])
    return {**given, "event_type": str(event_type)}


def _kind(event_type: str) -> str:
    return ALIASES.get(str(event_type), str(event_type))


def _build(given: Mapping[str, Any], context: wire.Context) -> Event:
    batch = wire.Batch([])
    try:
        return wire.validate(given, context, batch)
    except InvalidEvent as error:
        if _kind(given["event_type"]) not in MONEY:
            raise
        kept, refused = wire.usable(given)
        event = wire.validate(kept, context, batch)
        counters.add("order.fields_left_out", max(1, len(refused)))
        logger.warning(
            "Order %s is kept without what is not valid in it: %s",
            event.order_id,
            "; ".join(str(one) for one in refused[:10]) or error,
        )
        return event


def _in_pieces(fields: dict[str, Any]) -> dict[str, Any]:
    """Part of a kilogram is a piece at that part of the price, here and in the lines: the lake counts whole pieces."""
    changed = dict(fields)
    for name in ("items", "products"):
        if isinstance(lines := fields.get(name), list):
            changed[name] = [_in_pieces(line) if isinstance(line, dict) else line for line in lines]
    quantity = None if type(fields.get("quantity")) is int else _number(fields.get("quantity"))
    if quantity is not None and quantity > 0 and quantity != quantity.to_integral_value():
        changed["quantity"] = count = pieces(quantity)
        for name in ("price", "unit_price"):
            if (price := _number(fields.get(name))) is not None:
                changed[name] = str(price * quantity / count)
    return changed


def _number(value: object) -> decimal.Decimal | None:
    try:
        number = decimal.Decimal(str(value)) if isinstance(value, str | int | float) else None
    except decimal.InvalidOperation:
        return None
    return number if number is not None and number.is_finite() and number.adjusted() < _DIGITS else None


def _plain(value: Any) -> Any:
    """What Django code puts into `data`, as JSON has it: exact numbers, ids, times and lazy texts become text."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if isinstance(value, Model):
        return str(value.pk)
    if isinstance(value, decimal.Decimal | uuid.UUID | Promise | str):
        return str(value)
    return value
