"""What is thrown at the track endpoint: bodies and headers of every kind of wrong, and right ones among them."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from benchmarks.harness import ROOT

__all__ = ["FIXED", "Payload", "payloads"]


@dataclass(frozen=True, slots=True)
class Payload:
    """One request."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


NAMES = (
    *("event_type", "event", "event_id", "timestamp", "session_id", "page_url", "page_view_id", "referrer", "data"),
    *("properties", "params", "product_id", "item_id", "variant_id", "quantity", "price", "unit_price", "position"),
    *("index", "currency", "items", "products", "order_id", "transaction_id", "query", "search_term", "search_id"),
    *(
        "rec_id",
        "placement",
        "user_id",
        "anonymous_id",
        "received_at",
        "source",
        "site",
        "revision",
        "_time",
        "meaning",
    ),
    *("consent", "ip_address", "is_bot", "", "__proto__", "a.b", "total", "email", "name", "value"),
)
TYPES = (
    *("page_view", "product_view", "cart_add", "purchase", "search", "custom", "view_item", "Order Completed"),
    *("identity_link", "rec_served", "refund", "consent_change", "page_engagement", "form_interaction", "nonsense", ""),
)
texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(("1", "99.99", "EUR", "2026-03-05T10:00:00Z", "NaN", "1e999", "0x10", "-1", "٣", "a@b.example")),
    st.sampled_from(
        ("x" * 1024, "y" * 1025, "\x00", "\u2028", "\ud7ff", "https://[", "/p?q=1&token=secret#f", "1" * 400)
    ),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0, -1, 1.5, 10**15, 1e308, 2**63, -(2**63), 1_000_001, 1e21)),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
keys = st.one_of(st.sampled_from(NAMES), st.text(max_size=12))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=8,
)
wild_events = st.one_of(st.dictionaries(keys, values, max_size=10), values)
near_events = st.fixed_dictionaries(
    {"event_type": st.sampled_from(TYPES)},
    optional={
        "event_id": st.one_of(st.uuids(version=4).map(str), texts, numbers),
        "timestamp": st.one_of(st.datetimes().map(str), texts, numbers),
        "session_id": st.one_of(st.just("s"), values),
        "product_id": st.one_of(st.integers(1, 99), texts),
        "quantity": scalars,
        "price": scalars,
        "currency": st.one_of(st.just("EUR"), scalars),
        "items": st.one_of(st.lists(st.dictionaries(keys, scalars, max_size=5), max_size=4), values),
        "page_url": texts,
        "data": st.one_of(st.dictionaries(keys, values, max_size=6), values),
    },
)
metas = st.one_of(
    st.just({}), st.fixed_dictionaries({}, optional={"batch_id": values, "sent_at": values, "x": values}), values
)
requests = st.fixed_dictionaries(
    {"events": st.one_of(st.lists(st.one_of(near_events, wild_events), max_size=6), values)}, optional={"meta": metas}
)
FIXED = (
    *(
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"events":[]}',
        b'{"events":null}',
        b'{"events":{}}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
    ),
    b"[" * 50_000,
    b'{"events":[' + b"[" * 20_000,
    b'{"events":[' + b'{"data":' * 2_000 + b"1" + b"}" * 2_000 + b"]}",
    b'{"events":[{"event_type":"custom","data":{"a":NaN}}]}',
    b'{"events":[{"event_type":"custom","data":{"a":1e400}}]}',
    b'{"events":[{"event_type":"custom","data":{"a":"\\ud800"}}]}',
    b'{"events":[{"event_type":"custom","data":{"\\ud800":1}}]}',
    b'{"events":[{"event_type":"custom","event_type":"nonsense"}],"events":[5]}',
    b'{"events":[{"event_type":"page_view","timestamp":1e17}]}',
    b'{"events":[{"event_type":"page_view","timestamp":"9999-12-31T23:59:59-14:00"}],"meta":{"sent_at":"0001-01-01"}}',
    '{"events":[{"event_type":"page_view"}]}'.encode("utf-16"),
    '{"events":[{"event_type":"page_view"}]}'.encode("utf-32"),
    json.dumps({"events": [{"event_type": "page_view"}] * 100}).encode(),
    json.dumps({"events": [{"event_type": "page_view"}] * 101}).encode(),
    json.dumps({"events": [{"event_type": "custom", "data": {"x": "y" * 17_000}}]}).encode(),
    json.dumps({"events": [{"event_type": "custom", "data": {str(n): n for n in range(26)}}]}).encode(),
    # More bytes of refused events than one request may leave behind: the letters of some are cut.
    json.dumps(
        {"events": [{"event_type": "search", "timestamp": "?", "data": {str(n): "y" * 1000 for n in range(15)}}] * 5}
    ).encode(),
    json.dumps(
        {"events": [{"event_type": "product_list_view", "items": [{"product_id": n} for n in range(51)]}]}
    ).encode(),
    b'{"events":["' + b"z" * 300_000 + b'"]}',
)


@st.composite
def _damaged(draw: Any) -> bytes:
    """A right body with bytes changed, left out or put in."""
    raw = bytearray(json.dumps(draw(requests)).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


def _dump(value: Any) -> bytes:
    # With the escapes of Python or without: either is JSON.
    return json.dumps(value, ensure_ascii=len(str(value)) % 2 == 0).encode("utf-8", "surrogatepass")


bodies = st.one_of(
    requests.map(_dump),
    requests.map(_dump),
    _damaged(),
    st.sampled_from(FIXED),
    st.binary(max_size=60),
    values.map(_dump),
)
header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.one_of(
            st.sampled_from(("application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded")),
            st.sampled_from(("multipart/form-data; boundary=x", "text/html", "application/json; charset=utf-16", "x")),
            header_texts,
        ),
        "Cookie": st.one_of(header_texts, header_texts.map(lambda text: f"_ml=1.{text}"), st.just("_ml=" + "a" * 3000)),
        "User-Agent": header_texts,
        "Sec-Fetch-Site": st.sampled_from(("same-origin", "none", "cross-site", "same-site", "x")),
        "Origin": st.one_of(st.sampled_from(("null", "http://[", "https://evil.example", "http://")), header_texts),
        "Referer": header_texts,
        "Sec-GPC": st.sampled_from(("1", "0", "x")),
        "Sec-CH-UA": header_texts,
    },
)


@st.composite
def _hand_made(draw: Any) -> Payload:
    body, extra = draw(bodies), {}
    # Most with few headers: a foreign origin is refused before anything is looked at.
    if draw(st.integers(0, 3)) == 0:
        extra = draw(headers)
    packed = draw(st.integers(0, 15))
    if packed == 0:
        body, extra = gzip.compress(body, 1), {**extra, "Content-Encoding": "gzip"}
        if draw(st.booleans()):
            body = body[: draw(st.integers(0, len(body)))]
    elif packed == 1:
        extra = {**extra, "Content-Encoding": draw(st.sampled_from(("gzip", "GZIP", "br", "identity", "deflate")))}
    return Payload(body, extra)


def _described() -> st.SearchStrategy[Payload]:
    """Bodies that Schemathesis derives from the OpenAPI description: some that fit it and some that do not."""
    import schemathesis

    document = json.loads((ROOT / "docs" / "track.openapi.json").read_text(encoding="utf-8"))
    operation = schemathesis.openapi.from_dict(document)["/api/ml/track/"]["POST"]
    both = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]

    def payload(case: Any) -> Payload:
        body = case.body
        if isinstance(body, bytes):
            return Payload(body)
        try:
            return Payload(json.dumps(body).encode(), {"Content-Type": str(case.media_type)})
        except TypeError:  # Schemathesis' mark for "no body"
            return Payload(b"")

    return st.one_of(both).map(payload)


def payloads(described: bool) -> st.SearchStrategy[Payload]:
    """Payloads: from the OpenAPI description, or made by hand."""
    return _described() if described else _hand_made()
