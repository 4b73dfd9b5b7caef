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
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ml_models.core.addresses import clean_address, host_of, path_of
from ml_models.core.scrub import scrub, scrub_email, scrub_value
from ml_models.settings import MLSettings, get_settings

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
    "withdraws",
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


def withdraws(events: Iterable[bytes | msgspec.Raw]) -> bool:
    """Whether one of a batch's events is the visitor's `consent_change` to `denied`."""
    for raw in events:
        if b"consent_change" not in bytes(raw):
            continue
        try:
            wire = _consent_change(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue  # refused with its reason where events are read
        if wire.event_type == "consent_change" and DENIED in (wire.state, wire.data.state if wire.data else None):
            return True
    return False


class _State(msgspec.Struct):
    state: Any = None


class _ConsentChange(msgspec.Struct):
    event_type: Any = None
    state: Any = None
    data: _State | None = None


_consent_change = msgspec.json.Decoder(_ConsentChange).decode


def switched_off(event_type: str, page_url: str | None, settings: MLSettings) -> str | None:
    """The key of `ML_TRACKING` because of which an event of a browser is not stored, or None."""
    tracking = settings.tracking
    switch = _SWITCHES.get(event_type)
    if switch is not None and not getattr(tracking, switch):
        return switch
    if page_url and path_of(page_url).startswith(tracking.exclude_paths):
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


def clean_event(event_type: str, fields: dict[str, Any], data: dict[str, Any]) -> None:
    """Take persons and secrets out of an event's columns and `data`, in place."""
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
            fields[name] = scrub_email(text)
    items = fields.get("items")
    if items is not None and any("@" in item.product_id or "@" in (item.variant_id or "") for item in items):
        fields["items"] = [
            msgspec.structs.replace(
                item,
                product_id=scrub_email(item.product_id),
                variant_id=item.variant_id and scrub_email(item.variant_id),
            )
            for item in items
        ]
    if data:
        _clean_data(event_type, data)


def _clean_data(event_type: str, data: dict[str, Any]) -> None:
    only = _ONLY.get(event_type)
    if only is not None:
        for key in [key for key in data if key not in only]:
            del data[key]
        if isinstance(data.get("fields"), list | dict):
            data["fields"] = len(data["fields"])
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


def _text(key: str, value: str) -> str:
    if key in _ADDRESSES or value.startswith(("http://", "https://")):
        return clean_url(value)
    return scrub(value)


def _inside(key: str, value: Any) -> Any:
    if type(value) is str:
        return _text(key, value)
    if type(value) is dict:
        return {scrub(name): _inside(name, inner) for name, inner in value.items()}
    if type(value) is list:
        return [_inside(key, inner) for inner in value]
    return scrub_value(value)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def clean_payload(raw: bytes) -> bytes:
    """One refused event of a browser as it may be kept for a replay: the same rules, applied to what is no event yet.

    What is no object of JSON is kept as scrubbed text, with every query string cut off.
    """
    try:
        wire = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _without_queries(scrub(raw.decode("utf-8", "replace"))).encode()
    if not isinstance(wire, dict):
        return _encode(scrub_value(wire))
    event_type = wire.get("event_type", wire.get("event"))
    if not isinstance(event_type, str):
        event_type = ""
    kept: dict[str, Any] = {}
    for key, value in wire.items():
        name = scrub(key)
        if key in ("data", "properties", "params") and isinstance(value, dict):
            value = dict(value)
            _clean_data(event_type, value)
            kept[name] = value
        elif key in _IDS and isinstance(value, str):
            kept[name] = scrub_email(value)
        elif key == "referrer" and isinstance(value, str):
            page = wire.get("page_url")
            host = host_of(page) if isinstance(page, str) else None
            kept[name] = clean_url(value, own=host, foreign=host is None)
        elif event_type in _ONLY and key not in _ENVELOPE and key not in _ONLY[event_type]:
            continue
        else:
            kept[name] = _inside(key, value)
    return _encode(kept)


_ENVELOPE = frozenset(("event_type", "event", "event_id", "timestamp", "page_url", *_FREE_TEXT))


def _without_queries(text: str) -> str:
    return _QUERY.sub("?", text)


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
