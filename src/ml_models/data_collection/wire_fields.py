"""The fields of a wire event that a client may set, each with its check: `wire` reads events by these tables.

A check takes the value, its path (for the refusal) and the field's limit. It returns the value as the lake keeps it,
None for nothing, and raises `InvalidEvent`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any

from ml_models.core.errors import InvalidEvent
from ml_models.core.ids import MAX_ID
from ml_models.core.money import to_minor

__all__ = [
    "ENVELOPE",
    "FIELDS",
    "ITEM_FIELDS",
    "LIFTED",
    "MAX_COUNT",
    "MAX_DEPTH",
    "MAX_ITEMS",
    "MAX_ITEMS_SERVER",
    "MAX_STRING",
    "RESERVED",
    "as_address",
    "as_count",
    "as_currency",
    "as_given",
    "as_items",
    "as_minor",
    "as_text",
    "check_own",
]

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

RESERVED = frozenset(
    (
        *("user_id", "anonymous_id", "received_at", "event_time", "source", "site", "revision", "ip", "ip_prefix"),
        *("ip_address", "country", "region", "geo", "device_type", "browser", "os", "is_bot", "bot_reason", "consent"),
    )
)
_INT64 = range(-(2**63), 2**63)
_WHOLE = re.compile(r"([0-9]{1,20})(?:\.0*)?")
"""A whole number as text; with the zeros of a decimal column too, such as 2.000."""


def as_text(value: object, path: str, limit: int) -> str | None:
    """Text, or a whole number as text; `limit` in characters."""
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


def as_address(value: object, path: str, limit: int) -> str | None:
    """A URL of any length."""
    # Cut when it is cleaned: half an e-mail address would no longer be known for one.
    return as_text(value, path, sys.maxsize)


def as_currency(value: object, path: str, limit: int) -> str | None:
    """An ISO 4217 code in capitals."""
    text = as_text(value, path, limit)
    if text is not None and not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise InvalidEvent("wrong_value", path, "it is an ISO 4217 code such as EUR")
    return text and text.upper()


def as_count(value: object, path: str, limit: int) -> int | None:
    """A whole number, 0 to `limit`."""
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


def as_given(value: object, path: str, limit: int) -> object:
    """A price is kept as given until the currency is known."""
    return value


def as_items(value: object, path: str, limit: int) -> list[dict[str, Any]] | None:
    """The products of an event, at most `limit`; prices wait for the currency (`as_minor`)."""
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
            clean = ITEM_FIELDS.get(key)
            if clean is not None:
                name, function, most = clean
                cleaned = function(inner, f"{path}[{number}].{key}", most)
                if cleaned is not None:
                    fields.setdefault(name, cleaned)
        if "product_id" not in fields:
            raise InvalidEvent("missing", f"{path}[{number}].product_id")
        found.append(fields)
    return found or None


def as_minor(value: Any, currency: str | None, path: str) -> int:
    """A price in minor units of `currency`, >= 0."""
    try:
        minor = to_minor(value, currency)
    except ValueError as error:
        raise InvalidEvent("wrong_value", path, str(error)) from error
    if minor < 0:
        raise InvalidEvent("out_of_range", path, "a price is not negative")
    return minor


def check_own(value: Any, path: str, depth: int) -> None:
    """Refuse what a key of the sender's own must not hold, `depth` levels deep."""
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
            check_own(inner, f"{path}.{key}", depth - 1)
    elif value is not None and kind is not bool:
        raise InvalidEvent("wrong_type", path, f"{kind.__name__} is no text, number, list or object")


_Field = tuple[str, Callable[[object, str, int], Any], int]
ITEM_FIELDS: dict[str, _Field] = {
    "product_id": ("product_id", as_text, MAX_ID),
    "item_id": ("product_id", as_text, MAX_ID),
    "variant_id": ("variant_id", as_text, MAX_ID),
    "quantity": ("quantity", as_count, MAX_COUNT),
    "price": ("unit_price", as_given, 0),
    "unit_price": ("unit_price", as_given, 0),
    "position": ("position", as_count, MAX_COUNT),
    "index": ("position", as_count, MAX_COUNT),
}
_PRODUCT_FIELDS: dict[str, _Field] = {
    **{key: field for key, field in ITEM_FIELDS.items() if key != "index"},
    "currency": ("currency", as_currency, 64),
    "items": ("items", as_items, MAX_ITEMS_SERVER),
    "products": ("items", as_items, MAX_ITEMS_SERVER),
    "order_id": ("order_id", as_text, 128),
    "transaction_id": ("order_id", as_text, 128),
    "query": ("query", as_text, MAX_STRING),
    "search_term": ("query", as_text, MAX_STRING),
    "search_id": ("search_id", as_text, 128),
    "rec_id": ("rec_id", as_text, 128),
    "placement": ("placement", as_text, 128),
}
LIFTED = frozenset(_PRODUCT_FIELDS)
ENVELOPE = frozenset(("event_type", "event", "event_id", "timestamp", "data", "properties", "params"))
FIELDS: dict[str, _Field] = {
    **_PRODUCT_FIELDS,
    "session_id": ("session_id", as_text, 128),
    "page_view_id": ("page_view_id", as_text, 64),
    "page_url": ("page_url", as_address, MAX_STRING),
    "referrer": ("referrer", as_address, MAX_STRING),
}
