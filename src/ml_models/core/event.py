"""The event, declared once.

From the structs of this module come the validator of the track endpoint, the schema of the lake, the JSON Schema and
the tracker's TypeScript types. `ml_models.data_collection.events` re-exports what shops use.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from ml_models.core.errors import InvalidEvent

__all__ = [
    "AHEAD",
    "ALIASES",
    "INTERACTION_TYPES",
    "NAMESPACE",
    "NOT_BOUGHT",
    "SERVER_ONLY",
    "Event",
    "EventItem",
    "EventType",
    "decode_event",
    "decode_events",
    "encode_event",
    "is_json",
    "purchase_id",
]

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer that fits the lake's 64-bit columns."""
Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""An aware time; a naive one is refused."""

NAMESPACE = uuid.UUID("5a1f3c0e-6d5b-5c2e-9b77-0d6c1f9f6a11")
"""Namespace of every derived event id."""
AHEAD = timedelta(days=1)
"""How far ahead of the present a fact may be dated: clocks and time zones explain no more, so it is a mistake."""


class EventType(StrEnum):
    """The vocabulary."""

    PAGE_VIEW = "page_view"
    PAGE_ENGAGEMENT = "page_engagement"
    PRODUCT_VIEW = "product_view"
    PRODUCT_LIST_VIEW = "product_list_view"
    PRODUCT_CLICK = "product_click"
    SEARCH = "search"
    SEARCH_CLICK = "search_click"
    CART_ADD = "cart_add"
    CART_REMOVE = "cart_remove"
    CART_UPDATE = "cart_update"
    CART_VIEW = "cart_view"
    CHECKOUT_START = "checkout_start"
    CHECKOUT_STEP = "checkout_step"
    PURCHASE = "purchase"
    PURCHASE_SEEN = "purchase_seen"
    REFUND = "refund"
    WISHLIST_ADD = "wishlist_add"
    WISHLIST_REMOVE = "wishlist_remove"
    REVIEW_SUBMIT = "review_submit"
    CLICK = "click"
    FORM_INTERACTION = "form_interaction"
    REC_SERVED = "rec_served"
    REC_IMPRESSION = "rec_impression"
    REC_CLICK = "rec_click"
    IDENTITY_LINK = "identity_link"
    CONSENT_CHANGE = "consent_change"
    CUSTOM = "custom"


SERVER_ONLY = frozenset({EventType.REC_SERVED, EventType.IDENTITY_LINK, EventType.REFUND})
"""Types a browser may not send. A browser's `purchase` is recorded as `purchase_seen`: orders are the truth."""

ALIASES: dict[str, str] = {
    # Google Analytics 4
    "view_item": "product_view",
    "view_item_list": "product_list_view",
    "select_item": "product_click",
    "add_to_cart": "cart_add",
    "remove_from_cart": "cart_remove",
    "view_cart": "cart_view",
    "begin_checkout": "checkout_start",
    "add_shipping_info": "checkout_step",
    "add_payment_info": "checkout_step",
    "add_to_wishlist": "wishlist_add",
    "view_search_results": "search",
    # Segment's e-commerce specification
    "Product Viewed": "product_view",
    "Product List Viewed": "product_list_view",
    "Product Clicked": "product_click",
    "Product Added": "cart_add",
    "Product Removed": "cart_remove",
    "Cart Viewed": "cart_view",
    "Checkout Started": "checkout_start",
    "Checkout Step Completed": "checkout_step",
    "Order Completed": "purchase",
    "Order Refunded": "refund",
    "Products Searched": "search",
    "Product Added to Wishlist": "wishlist_add",
    "Product Removed from Wishlist": "wishlist_remove",
    "Product Reviewed": "review_submit",
}

INTERACTION_TYPES: dict[str, float] = {
    "product_view": 1.0,
    "product_click": 1.0,
    "wishlist_add": 2.0,
    "cart_add": 2.0,
    "purchase": 3.0,
}
"""Event types that train, with their default implicit weight."""

NOT_BOUGHT = ("cancelled", "refunded", "pending")
"""Values of `data.meaning` with which a `purchase` counts for nothing: the order was undone, or is not paid yet."""


class EventItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One product inside an event that is about several (a purchase, an impression list)."""

    product_id: str
    variant_id: str | None = None
    quantity: Int64 = 1
    unit_price: Int64 | None = None
    """Minor units of the event's currency."""
    position: Int64 | None = None


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One row of the lake. Field order is column order; `data` is stored as one JSON column."""

    event_id: str
    """UUID text: UUIDv7 from the client, else `uuid5(NAMESPACE, batch_id + ":" + index)`."""
    event_type: str
    event_time: Time
    """When it happened, skew-corrected, aware UTC."""
    received_at: Time
    """When the server took it, aware UTC."""
    source: str = "js"
    """`js`, `middleware`, `server`, `outbox`, `sync` or `import`."""
    site: str = "default"
    session_id: str | None = None
    anonymous_id: str | None = None
    """From the signed cookie, never from the client."""
    user_id: str | None = None
    """External user id from the server's own session or an order, never from the client."""
    page_view_id: str | None = None
    page_url: str | None = None
    referrer: str | None = None
    product_id: str | None = None
    """Canonical (parent) product id."""
    variant_id: str | None = None
    quantity: Int64 | None = None
    unit_price: Int64 | None = None
    """Minor units of `currency`."""
    currency: str | None = None
    items: list[EventItem] = []
    order_id: str | None = None
    query: str | None = None
    search_id: str | None = None
    rec_id: str | None = None
    placement: str | None = None
    position: Int64 | None = None
    revision: Int64 = 0
    """Grows when an order changes; readers take the highest of an `event_id`."""
    ip_prefix: str | None = None
    ip_address: str | None = None
    """Only where the shop sets `anonymize_ip` False."""
    country: str | None = None
    """ISO 3166-1 code, looked up before the address was cut."""
    region: str | None = None
    """ISO 3166-2 code, such as `DE-BY`."""
    device_type: str | None = None
    browser: str | None = None
    os: str | None = None
    is_bot: bool = False
    bot_reason: str | None = None
    consent: str | None = None
    """`granted` or `implied`; what was denied is not recorded."""
    data: dict[str, Any] = {}
    """Everything without a column of its own."""


def purchase_id(site: str, order_id: str) -> str:
    """Id of an order's purchase event: the same whichever way the fact arrives."""
    return str(uuid.uuid5(NAMESPACE, f"purchase:{site}:{order_id}"))


class _Record(Event, kw_only=True, omit_defaults=True, gc=False):
    """An event as a spool record has it: `data` is JSON text, as in the lake, so that nobody on the way parses it."""

    data: str = ""  # type: ignore[assignment]


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Record)
_data_decoder = msgspec.json.Decoder(dict[str, Any])
_old_decoder = msgspec.msgpack.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """The event as one spool record: a line of JSON. Raises `InvalidEvent` for what could not be read back."""
    for name in ("event_time", "received_at"):
        if getattr(event, name).tzinfo is None:
            raise InvalidEvent("naive_time", name, "give an aware datetime, such as datetime.now(UTC)")
    for name in ("quantity", "unit_price", "position", "revision"):
        number = getattr(event, name)
        if number is not None and not -(2**63) <= number < 2**63:  # JSON would take it, the lake's column would not
            raise InvalidEvent("not_encodable", name, "a whole number has at most 64 bits")
    try:
        record = _encode(event)
        if event.data:  # the last field
            data = _encode(event.data)
            record = b"".join((record[: -len(data) - 1], _encode(data.decode()), b"}"))
        return record
    except (TypeError, ValueError, OverflowError) as error:  # a foreign type, half a surrogate pair, a huge integer
        raise InvalidEvent("not_encodable", detail=str(error)) from error


def is_json(record: bytes) -> bool:
    """Whether a spool record is JSON; those of earlier versions are msgpack."""
    return record[:1] == b"{"


def _decode(record: bytes) -> Event:
    if record[:1] != b"{":
        return _old_decoder.decode(record)
    fields = msgspec.structs.asdict(_decoder.decode(record))
    text = fields.pop("data")
    return Event(**fields, data=_data_decoder.decode(text) if text else {})


def decode_events(records: Iterable[bytes]) -> list[Event]:
    """The events of many spool records. Raises a bare `msgspec.DecodeError` or `UnicodeDecodeError`.

    `decode_event` says of which record, and why.
    """
    return list(map(_decode, records))


def decode_event(record: bytes) -> Event:
    """The event of one spool record. Raises `InvalidEvent` with the path of the first wrong field."""
    try:
        return _decode(record)
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `$.")
        raise InvalidEvent("wrong_type", path.rstrip("`"), detail) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEvent("not_json" if is_json(record) else "not_msgpack", detail=str(error)) from error
