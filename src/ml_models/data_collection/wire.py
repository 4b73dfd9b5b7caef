"""The wire form of events, checked: from what a browser posts to `Event`, or `InvalidEvent` with reason and path.

One wire event is an object with `event_type`, the envelope (`event_id`, `timestamp`, `session_id`, `page_url`,
`page_view_id`, `referrer`), the fields of the lake that a client may set (`product_id`, `quantity`, `price`, ...) and
`data`. A field of the lake may stand at the top or in `data`; a top-level key that is none goes into `data`. Names of
Google Analytics 4 and Segment are understood. What only the server may say (`user_id`, `received_at`, `source`, ...) is
never read.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
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
from ml_models.core.money import to_minor
from ml_models.data_collection.privacy import clean_event

__all__ = ["Batch", "Context", "parse", "parse_time", "session_of", "usable", "validate"]

MAX_KEYS = 25
"""Custom keys of one event; count."""
MAX_STRING = 1024
"""Longest string; characters. Addresses are cut to it, anything else longer is refused."""
MAX_ITEMS = 50
"""Products in one event of a browser; count."""
MAX_ITEMS_SERVER = 10_000
"""Products in one event of the shop's own code; count."""
MAX_DEPTH = 4
"""Levels of objects and lists inside `data`."""
MAX_COUNT = 1_000_000
"""Largest quantity or position."""
MAX_AGE = timedelta(days=7)
"""Oldest time a client is believed: an offline queue keeps 72 hours, and the rest is for slow clocks."""
FUTURE_TOLERANCE = timedelta(minutes=1)
"""A time up to this far ahead is set to the present without a note."""

_TYPES = {**{one.value: one.value for one in EventType}, **ALIASES}
_FROM_BROWSER = {"purchase": "purchase_seen"}
_NEEDS_PRODUCT = frozenset(
    ("product_view", "product_click", "cart_add", "cart_remove", "wishlist_add", "wishlist_remove", "rec_click")
)
_RESERVED = frozenset(
    (
        *("user_id", "anonymous_id", "received_at", "event_time", "source", "site", "revision", "ip", "ip_prefix"),
        *("ip_address", "country", "region", "geo", "device_type", "browser", "os", "is_bot", "bot_reason", "consent"),
    )
)
_INT64 = range(-(2**63), 2**63)


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
            found = _text(_session.decode(raw).session_id, "session_id", _FIELDS["session_id"][2])
        except (*_BROKEN, InvalidEvent):  # refused with its reason where events are read
            continue
        if found:
            return found
    return None


_OWN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""A UUID of version 4 or 7 in its one canonical spelling."""
_BATCH_ID = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
_WHOLE = re.compile(r"([0-9]{1,20})(?:\.0*)?")
"""A whole number as text; with the zeros of a decimal column too, such as 2.000."""


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
        clean = _FIELDS.get(key)
        if clean is not None:
            name, function, limit = clean
            cleaned = function(value, key, limit)
            if cleaned is not None:
                fields.setdefault(name, cleaned)
        elif key not in _RESERVED and key not in _ENVELOPE:
            data.setdefault(key, value)
    if event_type != "custom" and data:
        _lift(data, fields)
    if len(data) > MAX_KEYS:
        raise InvalidEvent("too_many_keys", "data", f"an event has at most {MAX_KEYS} keys of its own")
    for key, value in data.items():
        if type(value) is str and len(value) <= MAX_STRING and len(key) <= MAX_ID:
            continue
        _check(value, key, MAX_DEPTH)

    _money(fields, context)
    if event_type in _NEEDS_PRODUCT and "product_id" not in fields:
        items = fields.get("items")
        if not items or len(items) != 1:
            raise InvalidEvent("missing", "product_id", f"{event_type} is about one product")
        fields["product_id"] = items[0].product_id  # GA4 names the product in a list of one
    session_id = fields.get("session_id")  # as the client wrote it: an id derived from it must not change
    clean_event(event_type, fields, data)
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
    for key in [key for key in data if key in _LIFTED]:
        name, function, limit = _FIELDS[key]
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


# -- fields -----------------------------------------------------------------------------------------


def _text(value: object, path: str, limit: int) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        if type(value) is not int:
            raise InvalidEvent("wrong_type", path, "it is text")
        value = str(value)
    value = value.strip()
    if "\x00" in value:
        value = value.replace("\x00", "")  # PostgreSQL cannot store it
    if len(value) > limit:
        raise InvalidEvent("too_long", path, f"it has at most {limit} characters")
    return value or None


def _address(value: object, path: str, limit: int) -> str | None:
    # Cut when it is cleaned: half an e-mail address would no longer be known for one.
    return _text(value, path, sys.maxsize)


def _currency(value: object, path: str, limit: int) -> str | None:
    text = _text(value, path, limit)
    if text is not None and not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise InvalidEvent("wrong_value", path, "it is an ISO 4217 code such as EUR")
    return text and text.upper()


def _count(value: object, path: str, limit: int) -> int | None:
    if value is None:
        return None
    if type(value) is str and (whole := _WHOLE.fullmatch(value.strip())):
        value = int(whole[1])
    elif type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise InvalidEvent("wrong_type", path, "it is a whole number")
    if not 0 <= value <= limit:
        raise InvalidEvent("out_of_range", path, f"it is 0 to {limit}")
    return value


def _amount(value: object, path: str, limit: int) -> object:
    """A price is kept as given until the currency is known."""
    return value


def _items(value: object, path: str, limit: int) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise InvalidEvent("wrong_type", path, "it is a list")
    if len(value) > limit:
        raise InvalidEvent("too_many_items", path, f"an event has at most {limit}")
    found = []
    for number, one in enumerate(value):
        if not isinstance(one, dict):
            raise InvalidEvent("wrong_type", f"{path}[{number}]", "it is an object")
        fields: dict[str, Any] = {}
        for key, inner in one.items():
            clean = _ITEM_FIELDS.get(key)
            if clean is not None:
                name, function, most = clean
                cleaned = function(inner, f"{path}[{number}].{key}", most)
                if cleaned is not None:
                    fields.setdefault(name, cleaned)
        if "product_id" not in fields:
            raise InvalidEvent("missing", f"{path}[{number}].product_id")
        found.append(fields)
    return found or None


def _money(fields: dict[str, Any], context: Context) -> None:
    """Prices to minor units, items to structs, now that the currency is known."""
    currency = fields.get("currency") or context.currency
    price, items = fields.get("unit_price"), fields.get("items")
    if price is not None:
        fields["unit_price"] = _minor(price, currency, "price")
        if currency is not None:
            fields["currency"] = currency
    if items is not None:
        if context.source == "js" and len(items) > MAX_ITEMS:
            raise InvalidEvent("too_many_items", "items", f"an event has at most {MAX_ITEMS}")
        for number, one in enumerate(items):
            if one.get("unit_price") is not None:
                one["unit_price"] = _minor(one["unit_price"], currency, f"items[{number}].price")
                if currency is not None:
                    fields["currency"] = currency
        fields["items"] = [EventItem(**one) for one in items]


def _minor(value: Any, currency: str | None, path: str) -> int:
    try:
        minor = to_minor(value, currency)
    except ValueError as error:
        raise InvalidEvent("wrong_value", path, str(error)) from error
    if minor < 0:
        raise InvalidEvent("out_of_range", path, "a price is not negative")
    return minor


def _check(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if len(path) > MAX_STRING:
        raise InvalidEvent("too_long", path[:64], "the key is too long")
    if kind is str:
        if len(value) > MAX_STRING:
            raise InvalidEvent("too_long", path, f"a string has at most {MAX_STRING} characters")
    elif kind is int:
        if value not in _INT64:
            raise InvalidEvent("out_of_range", path, "a number has at most 64 bits")
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidEvent("out_of_range", path, "a number is finite")
    elif kind is dict or kind is list:
        if depth == 0:
            raise InvalidEvent("too_deep", path, f"objects and lists nest at most {MAX_DEPTH} deep")
        pairs = value.items() if kind is dict else enumerate(value)
        for key, inner in pairs:
            _check(inner, f"{path}.{key}", depth - 1)
    elif value is not None and kind is not bool:
        raise InvalidEvent("wrong_type", path, f"{kind.__name__} is no text, number, list or object")


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
        if key in _FIELDS:
            sieve.field(kept, key, value)
        elif key not in _RESERVED and key not in _ENVELOPE:
            data.setdefault(key, value)
    own: dict[str, Any] = {}
    for key, value in data.items():
        if key in _LIFTED:
            sieve.field(kept, key, value)
        elif len(own) == MAX_KEYS:
            sieve.refused.append(InvalidEvent("too_many_keys", key[:64], f"an event has at most {MAX_KEYS} of its own"))
        elif sieve.passes(partial(_check, value, key, MAX_DEPTH)):
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
        name, function, limit = (_ITEM_FIELDS if path else _FIELDS)[key]
        if name == "items":
            kept.setdefault(key, self._items(value, key))
        elif self.passes(partial(function, value, path + key, limit)) and (
            name != "unit_price" or value is None or self.passes(partial(_minor, value, None, path + key))
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
                if key in _ITEM_FIELDS:
                    self.field(line, key, inner, f"{where}.")
            if line.get("product_id") or line.get("item_id"):
                lines.append(line)
            else:
                self.refused.append(InvalidEvent("missing", f"{where}.product_id"))
        return lines


_Field = tuple[str, Callable[[object, str, int], Any], int]
_ITEM_FIELDS: dict[str, _Field] = {
    "product_id": ("product_id", _text, MAX_ID),
    "item_id": ("product_id", _text, MAX_ID),
    "variant_id": ("variant_id", _text, MAX_ID),
    "quantity": ("quantity", _count, MAX_COUNT),
    "price": ("unit_price", _amount, 0),
    "unit_price": ("unit_price", _amount, 0),
    "position": ("position", _count, MAX_COUNT),
    "index": ("position", _count, MAX_COUNT),
}
_PRODUCT_FIELDS: dict[str, _Field] = {
    **{key: field for key, field in _ITEM_FIELDS.items() if key != "index"},
    "currency": ("currency", _currency, 64),
    "items": ("items", _items, MAX_ITEMS_SERVER),
    "products": ("items", _items, MAX_ITEMS_SERVER),
    "order_id": ("order_id", _text, 128),
    "transaction_id": ("order_id", _text, 128),
    "query": ("query", _text, MAX_STRING),
    "search_term": ("query", _text, MAX_STRING),
    "search_id": ("search_id", _text, 128),
    "rec_id": ("rec_id", _text, 128),
    "placement": ("placement", _text, 128),
}
_LIFTED = frozenset(_PRODUCT_FIELDS)
_ENVELOPE = frozenset(("event_type", "event", "event_id", "timestamp", "data", "properties", "params"))
_FIELDS: dict[str, _Field] = {
    **_PRODUCT_FIELDS,
    "session_id": ("session_id", _text, 128),
    "page_view_id": ("page_view_id", _text, 64),
    "page_url": ("page_url", _address, MAX_STRING),
    "referrer": ("referrer", _address, MAX_STRING),
}
