"""The wire form of events, checked: from what a browser posts to `Event`, or `InvalidEvent` with reason and path.

One wire event is an object with `event_type`, the envelope (`event_id`, `timestamp`, `session_id`, `page_url`,
`page_view_id`, `referrer`), the fields of the lake that a client may set (`product_id`, `quantity`, `price`, ...) and
`data`. A field of the lake may stand at the top or in `data`; a top-level key that is none goes into `data`. Names of
Google Analytics 4 and Segment are understood. What only the server may say (`user_id`, `received_at`, `source`, ...) is
never read.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from ml_models.core.errors import InvalidEvent
from ml_models.core.event import ALIASES, NAMESPACE, SERVER_ONLY, Event, EventItem, EventType
from ml_models.core.ids import MAX_ID, uuid7
from ml_models.data_collection.privacy import clean_event
from ml_models.data_collection.wire_fields import (
    ENVELOPE,
    FIELDS,
    ITEM_FIELDS,
    LIFTED,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_ITEMS_SERVER,
    MAX_STRING,
    RESERVED,
    as_minor,
    as_text,
    check_own,
)

__all__ = ["Batch", "Context", "parse", "parse_time", "session_of", "usable", "validate"]

MAX_KEYS = 25
"""Custom keys of one event; count."""
MAX_AGE = timedelta(days=7)
"""Oldest time a client is believed: an offline queue keeps 72 hours, and the rest is for slow clocks."""
FUTURE_TOLERANCE = timedelta(minutes=1)
"""A time up to this far ahead is set to the present without a note."""

_TYPES = {**{one.value: one.value for one in EventType}, **ALIASES}
_FROM_BROWSER = {"purchase": "purchase_seen"}
_NEEDS_PRODUCT = frozenset(
    ("product_view", "product_click", "cart_add", "cart_remove", "wishlist_add", "wishlist_remove", "rec_click")
)


class _Meta(msgspec.Struct):
    batch_id: Any = None
    sent_at: Any = None


class _Request(msgspec.Struct):
    events: list[msgspec.Raw]
    meta: _Meta | None = None


_request = msgspec.json.Decoder(_Request)
_json = msgspec.json.Decoder()
# What broken JSON raises, by the kind of break.
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Batch:
    """One track request, its events not yet looked into."""

    events: list[msgspec.Raw]
    batch_id: str | None = None
    sent_at: datetime | None = None
    """When the client sent it, by the client's clock; aware UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the server knows about all events of a batch."""

    received_at: datetime
    source: str = "js"
    site: str = "default"
    anonymous_id: str | None = None
    user_id: str | None = None
    currency: str | None = None
    """Currency of prices that name none."""
    ip_prefix: str | None = None
    ip_address: str | None = None
    country: str | None = None
    region: str | None = None
    device_type: str | None = None
    browser: str | None = None
    os: str | None = None
    is_bot: bool = False
    bot_reason: str | None = None
    consent: str | None = None
    sender: str | None = None
    """Who sends, as far as events without an id and without a session go; see `_event_id`."""
    max_event: int = 16_384
    """Largest event; bytes of JSON."""


def parse(body: bytes) -> Batch:
    """Split a track request. Raises `InvalidEvent` where it is not `{"events": [...], "meta": {...}}`."""
    try:
        request = _request.decode(body)
    except _BROKEN as error:
        raise InvalidEvent("malformed", detail=str(error)) from error
    meta = request.meta or _Meta()
    try:
        sent_at = None if meta.sent_at is None else parse_time(meta.sent_at)
    except InvalidEvent:
        sent_at = None  # without it the events' own times are taken as they are
    batch_id = str(meta.batch_id) if isinstance(meta.batch_id, str | int) and str(meta.batch_id) else None
    if batch_id is not None and not _BATCH_ID.fullmatch(batch_id):
        batch_id = hashlib.sha256(batch_id.encode()).hexdigest()
    return Batch(request.events, batch_id, sent_at)


class _Session(msgspec.Struct):
    session_id: Any = None


_session = msgspec.json.Decoder(_Session)


def session_of(batch: Batch) -> str | None:
    """The session that the first event with one names, None where none does or the batch begins with broken ones."""
    for raw in batch.events[:5]:
        try:
            found = as_text(_session.decode(raw).session_id, "session_id", FIELDS["session_id"][2])
        except (*_BROKEN, InvalidEvent):  # refused with its reason where events are read
            continue
        if found:
            return found
    return None


_OWN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""A UUID of version 4 or 7 in its one canonical spelling."""
_BATCH_ID = re.compile(r"[A-Za-z0-9_.\-]{1,128}")


def parse_time(value: object) -> datetime:
    """A time as clients write it: ISO 8601 (naive means UTC), or seconds or milliseconds since 1970; aware UTC."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is UTC:
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidEvent("bad_time", "timestamp", str(error)) from error
    raise InvalidEvent("bad_time", "timestamp", "give ISO 8601 text or a number")


def validate(raw: bytes | msgspec.Raw | Mapping[str, Any], context: Context, batch: Batch, index: int = 0) -> Event:
    """Check one wire event. Raises `InvalidEvent`.

    `raw` is the event's JSON, or (from the shop's own code) the object itself. `index` is its place in the batch.
    """
    if isinstance(raw, Mapping):
        wire = dict(raw)
    else:
        if memoryview(raw).nbytes > context.max_event:
            raise InvalidEvent("too_large", detail=f"an event has at most {context.max_event} bytes")
        try:
            wire = _json.decode(raw)
        except _BROKEN as error:
            raise InvalidEvent("malformed", detail=str(error)) from error
        if not isinstance(wire, dict):
            raise InvalidEvent("not_an_object")

    event_type = _event_type(wire, context.source == "js")
    data = _data(wire)
    fields: dict[str, Any] = {}
    for key, value in wire.items():
        clean = FIELDS.get(key)
        if clean is not None:
            name, function, limit = clean
            cleaned = function(value, key, limit)
            if cleaned is not None:
                fields.setdefault(name, cleaned)
        elif key not in RESERVED and key not in ENVELOPE:
            data.setdefault(key, value)
    if event_type != "custom" and data:
        _lift(data, fields)
    if len(data) > MAX_KEYS:
        raise InvalidEvent("too_many_keys", "data", f"an event has at most {MAX_KEYS} keys of its own")
    for key, value in data.items():
        if type(value) is str and len(value) <= MAX_STRING and len(key) <= MAX_ID:
            continue
        check_own(value, key, MAX_DEPTH)

    _money(fields, context)
    if event_type in _NEEDS_PRODUCT and "product_id" not in fields:
        items = fields.get("items")
        if not items or len(items) != 1:
            raise InvalidEvent("missing", "product_id", f"{event_type} is about one product")
        fields["product_id"] = items[0].product_id  # GA4 names the product in a list of one
    session_id = fields.get("session_id")  # as the client wrote it: an id derived from it must not change
    clean_event(event_type, fields, data, foreign=context.source == "js")
    return Event(
        event_id=_event_id(wire.get("event_id"), session_id or context.sender, batch, index),
        event_type=event_type,
        event_time=_event_time(wire.get("timestamp"), context, batch, data),
        received_at=context.received_at,
        source=context.source,
        site=context.site,
        anonymous_id=context.anonymous_id,
        user_id=context.user_id,
        ip_prefix=context.ip_prefix,
        ip_address=context.ip_address,
        country=context.country,
        region=context.region,
        device_type=context.device_type,
        browser=context.browser,
        os=context.os,
        is_bot=context.is_bot,
        bot_reason=context.bot_reason,
        consent=context.consent,
        data=data,
        **fields,
    )


def _event_type(wire: dict[str, Any], browser: bool) -> str:
    given = wire.get("event_type", wire.get("event"))
    event_type = _TYPES.get(given) if isinstance(given, str) else None
    if event_type is None:
        if given is None:
            raise InvalidEvent("missing", "event_type")
        raise InvalidEvent("unknown_type", "event_type", f"{str(given)[:64]!r}; send 'custom' with data.action")
    if browser:
        event_type = _FROM_BROWSER.get(event_type, event_type)
        if event_type in SERVER_ONLY:
            raise InvalidEvent("server_only", "event_type", f"{event_type} is not taken from a browser")
    return event_type


def _data(wire: dict[str, Any]) -> dict[str, Any]:
    for key in ("data", "properties", "params"):  # ours, Segment's, GA4's
        given = wire.get(key)
        if given is not None:
            if not isinstance(given, dict):
                raise InvalidEvent("wrong_type", key, "it is an object")
            return dict(given)
    return {}


def _lift(data: dict[str, Any], fields: dict[str, Any]) -> None:
    """Move fields of the lake from `data` to their columns; what does not fit a column stays where it is."""
    for key in [key for key in data if key in LIFTED]:
        name, function, limit = FIELDS[key]
        try:
            cleaned = function(data[key], key, limit)
        except InvalidEvent:
            if key == "items":
                raise
            continue
        del data[key]
        if cleaned is not None:
            fields.setdefault(name, cleaned)


def _event_id(given: object, sender: str | None, batch: Batch, index: int) -> str:
    """The id of an event: the client's where it is a UUID of its own making, else one that follows from the batch.

    `sender`, the session or else the visitor, is part of what follows: two clients that both call a batch "batch-1"
    must not take each other's events for repeats, and nobody may use up ids that another's events will have. Each part
    stands behind its length, so no two triples give one name, and none gives the name of an order.
    """
    if given is not None:
        if type(given) is str and _OWN_ID.fullmatch(given):
            return given  # what the tracker sends
        try:
            parsed = uuid.UUID(str(given))
        except ValueError:
            parsed = None
        if parsed is not None and parsed.version in (4, 7):
            return str(parsed)
        # Derived ids (version 5) name orders; a client that could choose one could take an order's place in the lake.
        return _named("client", sender or "", str(given)[:MAX_STRING])
    if batch.batch_id is not None:
        return _named("batch", sender or "", batch.batch_id, str(index))
    return uuid7()


def _named(kind: str, *parts: str) -> str:
    return str(uuid.uuid5(NAMESPACE, ":".join((kind, *(f"{len(part)}:{part}" for part in parts)))))


def _event_time(given: object, context: Context, batch: Batch, data: dict[str, Any]) -> datetime:
    """When it happened by the server's clock: the client's clock counts only as a difference to `sent_at`."""
    received_at = context.received_at
    if given is None:
        return received_at
    stamp = parse_time(given)
    age = (received_at if batch.sent_at is None else batch.sent_at) - stamp
    # Bounded first: between two clocks that are both wrong may lie more than a calendar holds.
    moment = received_at - max(-2 * FUTURE_TOLERANCE, min(age, 2 * MAX_AGE))
    if moment > received_at:
        if moment > received_at + FUTURE_TOLERANCE:
            data["_time"] = {"clamped": "future", "timestamp": stamp.isoformat()}
        return received_at
    if moment < received_at - MAX_AGE:
        data["_time"] = {"clamped": "ancient", "timestamp": stamp.isoformat()}
        return received_at - MAX_AGE
    return moment


def _money(fields: dict[str, Any], context: Context) -> None:
    """Prices to minor units, items to structs, now that the currency is known."""
    currency = fields.get("currency") or context.currency
    price, items = fields.get("unit_price"), fields.get("items")
    if price is not None:
        fields["unit_price"] = as_minor(price, currency, "price")
        if currency is not None:
            fields["currency"] = currency
    if items is not None:
        if context.source == "js" and len(items) > MAX_ITEMS:
            raise InvalidEvent("too_many_items", "items", f"an event has at most {MAX_ITEMS}")
        for number, one in enumerate(items):
            if one.get("unit_price") is not None:
                one["unit_price"] = as_minor(one["unit_price"], currency, f"items[{number}].price")
                if currency is not None:
                    fields["currency"] = currency
        fields["items"] = [EventItem(**one) for one in items]


# -- what is left of an event that is refused --------------------------------------------------------


def usable(wire: Mapping[str, Any]) -> tuple[dict[str, Any], list[InvalidEvent]]:
    """A wire event without the fields that `validate` would refuse it for, and why each of them went.

    For orders, which count for more than any field of theirs: a line whose price is none keeps its product, a line that
    names no product goes, and so does what is too much.
    """
    sieve = _Sieve()
    kept = {key: wire[key] for key in ("event_type", "event", "event_id") if key in wire}
    if wire.get("timestamp") is not None and sieve.passes(partial(parse_time, wire["timestamp"])):
        kept["timestamp"] = wire["timestamp"]
    data: dict[str, Any] = {}
    if sieve.passes(partial(_data, dict(wire))):
        data = _data(dict(wire))
    for key, value in wire.items():
        if key in FIELDS:
            sieve.field(kept, key, value)
        elif key not in RESERVED and key not in ENVELOPE:
            data.setdefault(key, value)
    own: dict[str, Any] = {}
    for key, value in data.items():
        if key in LIFTED:
            sieve.field(kept, key, value)
        elif len(own) == MAX_KEYS:
            sieve.refused.append(InvalidEvent("too_many_keys", key[:64], f"an event has at most {MAX_KEYS} of its own"))
        elif sieve.passes(partial(check_own, value, key, MAX_DEPTH)):
            own[key] = value
    return {**kept, "data": own}, sieve.refused


class _Sieve:
    """Lets through what is valid and notes the rest."""

    def __init__(self) -> None:
        self.refused: list[InvalidEvent] = []

    def passes(self, check: Callable[[], object]) -> bool:
        try:
            check()
        except InvalidEvent as error:
            self.refused.append(error)
            return False
        return True

    def field(self, kept: dict[str, Any], key: str, value: Any, path: str = "") -> None:
        """Keep a field of the lake where it is valid and not there yet."""
        name, function, limit = (ITEM_FIELDS if path else FIELDS)[key]
        if name == "items":
            kept.setdefault(key, self._items(value, key))
        elif self.passes(partial(function, value, path + key, limit)) and (
            name != "unit_price" or value is None or self.passes(partial(as_minor, value, None, path + key))
        ):
            kept.setdefault(key, value)

    def _items(self, value: Any, path: str) -> list[dict[str, Any]] | None:
        if not isinstance(value, list):
            if value is not None:
                self.refused.append(InvalidEvent("wrong_type", path, "it is a list"))
            return None
        if len(value) > MAX_ITEMS_SERVER:
            self.refused.append(InvalidEvent("too_many_items", path, f"an event has at most {MAX_ITEMS_SERVER}"))
        lines = []
        for number, one in enumerate(value[:MAX_ITEMS_SERVER]):
            where = f"{path}[{number}]"
            if not isinstance(one, dict):
                self.refused.append(InvalidEvent("wrong_type", where, "it is an object"))
                continue
            line: dict[str, Any] = {}
            for key, inner in one.items():
                if key in ITEM_FIELDS:
                    self.field(line, key, inner, f"{where}.")
            if line.get("product_id") or line.get("item_id"):
                lines.append(line)
            else:
                self.refused.append(InvalidEvent("missing", f"{where}.product_id"))
        return lines
