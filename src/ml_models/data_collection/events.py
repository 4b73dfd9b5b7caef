"""Events from the shop's own code: the guide's `EventTracker` and `EventType`, and what `emit_*` is made of."""

from __future__ import annotations

import datetime
import decimal
import enum
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.utils.functional import Promise

from ml_models.core import clock
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import Event, EventItem, EventType
from ml_models.data_collection import counters, outbox, wire
from ml_models.data_collection.client import Client
from ml_models.data_collection.collector import default_currency
from ml_models.data_collection.order_events import MONEY
from ml_models.data_collection.queue import queue
from ml_models.settings import get_settings

__all__ = ["Event", "EventItem", "EventTracker", "EventType", "build_event", "record"]

logger = logging.getLogger("bunoraa.ml")


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

        `user_id` is any primary key. Fields of the lake inside `data` (`product_id`, `quantity`, `price` in major
        units such as 99.99, `query`, ...) go to their columns, except for `custom`, whose `data` stays as it is.
        A purchase or refund needs its `order_id` and goes through the outbox, with the open transaction.
        Returns the event's id, or None where it was not taken (switched off, not valid, queue full): counted and
        logged under `bunoraa.ml`.
        """
        return record(
            event_type,
            {"session_id": session_id, "data": data or {}},
            user_id=None if user_id is None else str(user_id),
            anonymous_id=anonymous_id,
        )


def record(
    event_type: str,
    fields: Mapping[str, Any],
    *,
    user_id: str | None = None,
    anonymous_id: str | None = None,
    client: Client | None = None,
    event_id: str | None = None,
    consent: str | None = None,
) -> str | None:
    """Build an event and put it into the background queue; see `build_event`. Never waits, never raises.

    Purchases and refunds go into the outbox instead, one row in the transaction that is open.
    """
    try:
        settings = get_settings()
        if not (settings.enabled and settings.data_collection.enabled):
            return None
        event = build_event(event_type, fields, user_id=user_id, anonymous_id=anonymous_id, client=client)
        event.consent = consent
        if event.event_type in MONEY:
            return event.event_id if outbox.put(event) else None
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


def build_event(
    event_type: str,
    fields: Mapping[str, Any],
    *,
    user_id: str | None = None,
    anonymous_id: str | None = None,
    client: Client | None = None,
) -> Event:
    """An event of source `server` from the wire form of `data_collection.wire`. Raises `InvalidEvent`."""
    settings = get_settings()
    client = client or Client()
    context = wire.Context(
        received_at=clock.now(),
        source="server",
        site=settings.site,
        anonymous_id=anonymous_id,
        user_id=user_id,
        currency=default_currency(settings),
        **client.columns(),
    )
    given = {key: value for key, value in _plain(fields).items() if value is not None}
    return wire.validate({**given, "event_type": str(event_type)}, context, wire.Batch([]))


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
