"""Who may be recorded at all, and what of it: consent, and the rules everything obeys before it touches the disk.

============ ===========================================================================================
state        when
============ ===========================================================================================
`granted`    the consent cookie says so
`denied`     the consent cookie says so; or the browser sends `Sec-GPC: 1` and `respect_gpc` is True
`pending`    nothing was said, and `ML_PRIVACY["consent"]` is `required`
`implied`    nothing was said otherwise
============ ===========================================================================================

`denied` and `pending` record nothing about behaviour. The consent cookie is written by the page and not signed: all
that somebody who forges it can do is to be recorded less, or as any visitor is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ml_models.core.addresses import clean_address, host_of, path_of
from ml_models.core.event import EventItem
from ml_models.core.scrub import MAX_DEPTH, TOO_DEEP, scrub, scrub_email, scrub_id, scrub_value
from ml_models.settings import MLSettings, get_settings, languages

__all__ = [
    "DENIED",
    "GRANTED",
    "IMPLIED",
    "PENDING",
    "LogScrubber",
    "clean_event",
    "clean_payload",
    "clean_url",
    "consent_of",
    "may_record",
    "scrub",
    "scrub_email",
    "scrub_logs",
    "switched_off",
]

GRANTED, DENIED, PENDING, IMPLIED = "granted", "denied", "pending", "implied"

MAX_ADDRESS = 1024
"""Longest address kept; characters."""

_ADDRESSES = frozenset(("url", "href", "link", "page", "path", "location", "referrer", "page_url", "target"))
_FREE_TEXT = ("query", "session_id", "search_id", "rec_id", "placement", "page_view_id")
_IDS = ("product_id", "variant_id", "order_id")
# What a form or a click may say of itself. An allowlist: any other key could be a field of the form.
_ONLY = {
    "form_interaction": frozenset(
        ("form_id", "form_name", "fields", "field_count", "fields_count", "stage", "step", "duration_ms")
    ),
    "click": frozenset(("tag", "element_id", "id", "href", "target", "role", "rel", "type", "position")),
}
_SWITCHES = {
    "click": "track_clicks",
    "form_interaction": "track_forms",
    "page_engagement": "track_engagement",
    "page_view": "track_page_views",
}


# -- consent ----------------------------------------------------------------------------------------


def consent_of(cookies: Mapping[str, str], meta: Mapping[str, Any], settings: MLSettings | None = None) -> str:
    """The state of a request, from `request.COOKIES` and `request.META`; touches neither session nor user."""
    privacy = (settings or get_settings()).privacy
    said = cookies.get(privacy.consent_cookie)
    if said in (GRANTED, DENIED):
        return said
    if privacy.respect_gpc and meta.get("HTTP_SEC_GPC") == "1":
        return DENIED
    return PENDING if privacy.consent == "required" else IMPLIED


def may_record(state: str) -> bool:
    """Whether behaviour may be recorded in this state."""
    return state in (GRANTED, IMPLIED)


def switched_off(event_type: str, page_url: str | None, settings: MLSettings, prefix: str = "/") -> str | None:
    """The key of `ML_TRACKING` because of which an event of a browser is not stored, or None.

    `prefix`: where the shop is mounted (`get_script_prefix()`); the excluded paths are those of its URLs.
    """
    tracking = settings.tracking
    switch = _SWITCHES.get(event_type)
    if switch is not None and not getattr(tracking, switch):
        return switch
    if page_url:
        path = path_of(page_url)
        if len(prefix) > 1 and path.startswith(prefix):
            path = path[len(prefix) - 1 :]
        if path.startswith(tracking.exclude_paths):
            return "exclude_paths"
        # Behind the prefix of a language lie the same pages, as for the middleware.
        language, slash, rest = path[1:].partition("/")
        if slash and language.lower() in languages() and f"/{rest}".startswith(tracking.exclude_paths):
            return "exclude_paths"
    return None


# -- what may be kept of it -------------------------------------------------------------------------


def clean_url(address: str | None, limit: int = MAX_ADDRESS, *, own: str | None = None, foreign: bool = False) -> str:
    """What may be kept of an address by `ML_PRIVACY["query_keys"]`, "" for nothing; see `core.addresses`."""
    if not address:
        return ""
    if len(address) > 4 * limit:
        # Cut before its query: a person cut in half would no longer be known for one.
        address = address.partition("?")[0][: 4 * limit]
    return clean_address(address, limit, _keys(), own=own, foreign=foreign) or ""


def _keys() -> frozenset[str]:
    global _known
    names = get_settings().privacy.query_keys
    if _known[0] is not names:
        _known = (names, frozenset(names))
    return _known[1]


_known: tuple[tuple[str, ...], frozenset[str]] = ((), frozenset())


def clean_event(event_type: str, fields: dict[str, Any], data: dict[str, Any], *, foreign: bool = True) -> None:
    """Take persons and secrets out of an event's columns and `data`, in place.

    `foreign`: a client says so. Ids that the shop's own code names are its keys, whatever they look like: two orders
    that are called 10.0.0.1 and 10.0.0.2 must not become one. Only e-mail addresses are taken out of them.
    """
    clean_id = scrub_id if foreign else scrub_email
    page, referrer = fields.get("page_url"), fields.get("referrer")
    if page is not None:
        fields["page_url"] = clean_url(page) or None
    if referrer is not None:
        # Of the same site where both name the same host; a referrer without a host is of the page's own site.
        host = host_of(page)
        fields["referrer"] = clean_url(referrer, own=host, foreign=host is None) or None
    for name in _FREE_TEXT:
        text = fields.get(name)
        if type(text) is str:
            fields[name] = scrub(text)
    for name in _IDS:
        text = fields.get(name)
        if type(text) is str:
            fields[name] = clean_id(text)
    items = fields.get("items")
    if items is not None:
        fields["items"] = [_item(item, clean_id) for item in items]
    if data:
        _clean_data(event_type, data)


def _item(item: EventItem, clean_id: Callable[[str], str]) -> EventItem:
    product_id, variant_id = clean_id(item.product_id), item.variant_id and clean_id(item.variant_id)
    if product_id == item.product_id and variant_id == item.variant_id:
        return item
    return msgspec.structs.replace(item, product_id=product_id, variant_id=variant_id)


def _clean_data(event_type: str, data: dict[str, Any]) -> None:
    only = _ONLY.get(event_type)
    if only is not None:
        for key in [key for key in data if key not in only]:
            del data[key]
        for key in list(data):
            data[key] = _plain(key, data[key])
            if data[key] is None:
                del data[key]
    for key in list(data):
        value = data[key]
        if type(value) is str:
            data[key] = _text(key, value)
        elif type(value) in (dict, list):
            data[key] = _inside(key, value)
        elif type(value) is int:
            data[key] = scrub_value(value)
        name = scrub(key)
        if name != key:
            data[name] = data.pop(key)


def _plain(key: str, value: Any) -> Any:
    """What a form or a click may say under an allowed key: a number or a short word, None for nothing.

    An allowed key is no allowed value: a script of the shop may put what was typed anywhere.
    """
    if key in _COUNTS:
        if isinstance(value, list | dict):
            return len(value)
        if isinstance(value, str):
            value = value.strip()
            return int(value) if len(value) <= 9 and value.isascii() and value.isdigit() else None
        return None if isinstance(value, bool) else value
    if isinstance(value, list | dict):
        return None
    if key in _LABELS and isinstance(value, str) and not _LABEL.fullmatch(value):
        return None
    return value


_COUNTS = frozenset(("fields", "field_count", "fields_count", "duration_ms"))
_LABELS = frozenset(("stage", "step"))
_LABEL = re.compile(r"[A-Za-z][A-Za-z_-]{0,23}\d{0,2}")


def _text(key: str, value: str) -> str:
    if key in _ADDRESSES or value.startswith(("http://", "https://")):
        return clean_url(value)
    return scrub(value)


def _inside(key: str, value: Any, depth: int = MAX_DEPTH) -> Any:
    """A value with every text inside cleaned; what lies more than `depth` levels deep becomes `[too deep]`."""
    kind = type(value)
    if kind is str:
        return _text(key, value)
    if kind is dict or kind is list:
        if depth == 0:
            return TOO_DEEP
        if kind is dict:
            return {scrub(name): _inside(name, inner, depth - 1) for name, inner in value.items()}
        return [_inside(key, inner, depth - 1) for inner in value]
    return scrub_value(value)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def clean_payload(raw: bytes, reason: str = "") -> bytes:
    """One refused event of a browser as it may be kept for a replay: the same rules, applied to what is no event yet.

    What is no JSON is kept as scrubbed text, with every query string cut off. Where `reason` says that nobody knows
    what the event is (`unknown_type`, `not_an_object`), keys are kept, the facts about products, and of other values
    the kind alone: which of them somebody typed into a form cannot be told. Of one that is too large, or nested deeper
    than can be read, the same of its first KiB, as text.
    """
    if reason == "too_large":
        return _cut(raw)
    try:
        wire = _decode(raw)
    except RecursionError:
        return _cut(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _QUERY.sub("?", scrub(raw.decode("utf-8", "replace"))).encode()
    if not isinstance(wire, dict):
        return _encode(_shape(wire))
    event_type = wire.get("event_type", wire.get("event"))
    if not isinstance(event_type, str):
        event_type = ""
    if reason == "unknown_type":
        return _encode(_shape(wire))
    only = _ONLY.get(event_type)
    kept: dict[str, Any] = {}
    for key, value in wire.items():
        name = scrub(key)
        if key in ("data", "properties", "params") and isinstance(value, dict):
            value = dict(value)
            _clean_data(event_type, value)
            kept[name] = value
        elif only is not None and key not in _ENVELOPE:
            if key in only and (plain := _plain(key, value)) is not None:
                kept[name] = _inside(key, plain)
        elif only is not None and isinstance(value, dict | list):
            continue
        elif key in _IDS and isinstance(value, str):
            kept[name] = scrub_id(value)
        elif key == "referrer" and isinstance(value, str):
            page = wire.get("page_url")
            host = host_of(page) if isinstance(page, str) else None
            kept[name] = clean_url(value, own=host, foreign=host is None)
        else:
            kept[name] = _inside(key, value)
    return _encode(kept)


_ENVELOPE = frozenset(("event_type", "event", "event_id", "timestamp", "page_url", *_FREE_TEXT))
# What an event of a type that is not known yet may say: no key that a field of a form would have.
_FACTS = frozenset(
    (
        *(
            "event_type",
            "event",
            "event_id",
            "timestamp",
            "page_url",
            "session_id",
            "page_view_id",
            "search_id",
            "rec_id",
        ),
        *("placement", "product_id", "item_id", "variant_id", "order_id", "transaction_id", "quantity", "price"),
        *("unit_price", "currency", "position", "index"),
    )
)


def _shape(value: Any, key: str = "", depth: int = MAX_DEPTH) -> Any:
    """Keys, the facts above, and of any other value its kind: `[text]` or `[number]`."""
    if isinstance(value, dict | list):
        if depth == 0:
            return TOO_DEEP
        if isinstance(value, dict):
            return {scrub(name): _shape(inner, name, depth - 1) for name, inner in value.items()}
        return [_shape(inner, "", depth - 1) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if key in _FACTS and len(text := str(value)) <= MAX_ADDRESS:
        if isinstance(value, str):
            # Words with blanks between them may be an id to some shop; of an unknown event they are text.
            return scrub_id(text) if key.endswith("_id") and len(text.split()) < 2 else _text(key, text)
        return scrub_value(value)
    return "[text]" if isinstance(value, str) else "[number]"


MAX_CUT = 1024
"""Bytes that are looked at of an event that is too large."""


def _cut(raw: bytes) -> bytes:
    """The beginning of an event as text, with its keys and its type and without any other value."""
    last = ""

    def masked(found: re.Match[str]) -> str:
        nonlocal last
        text, is_key = found["text"], bool(found["colon"])
        if text is None:
            return "" if found["half"] else "[number]"
        if is_key:
            last = text
            return f'"{scrub(text)}"{found["colon"]}'
        return f'"{scrub(text)}"' if last in ("event_type", "event") else '"[text]"'

    return _TOKEN.sub(masked, raw[:MAX_CUT].decode("utf-8", "replace")).encode()


_TOKEN = re.compile(
    r'"(?P<text>(?:[^"\\]|\\.)*)"(?P<colon>\s*:)?'
    r'|(?P<half>"(?:[^"\\]|\\.)*\\?\Z)'  # open at the cut
    r"|-?\d[\d.eE+-]*"
)


_QUERY = re.compile(r"\?[^\s\"'<>]*")


# -- our own log ------------------------------------------------------------------------------------


_LOGGERS = ("", ".api", ".catalogue", ".models", ".serving", ".spool", ".sync", ".training", ".worker")


def scrub_logs() -> None:
    """Put the filter on each of our loggers: a filter does not see what loggers below its own write."""
    for name in _LOGGERS:
        logger = logging.getLogger(f"bunoraa.ml{name}")
        if not any(isinstance(one, LogScrubber) for one in logger.filters):
            logger.addFilter(LogScrubber())


class LogScrubber(logging.Filter):
    """Takes persons out of the lines of our own loggers, tracebacks included, before any handler sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Scrub the record; never drops it."""
        record.msg, record.args = scrub(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            # A formatter takes the text where there is one. Handlers that look at the exception itself see it whole.
            record.exc_text = scrub(logging.Formatter().formatException(record.exc_info))
        return True
