"""The wire form: what is taken, what it becomes, and why the rest is refused."""

import json
import string
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.errors import InvalidEvent
from ml_models.core.event import NAMESPACE, EventType, decode_event, encode_event, purchase_id
from ml_models.data_collection import wire, wire_fields

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
CONTEXT = wire.Context(received_at=NOW, currency="EUR")


def check(event, *, context=CONTEXT, index=0, **meta):
    batch = wire.parse(json.dumps({"events": [event], "meta": meta}).encode())
    return wire.validate(batch.events[0], context, batch, index)


def refused(event, **kwargs):
    with pytest.raises(InvalidEvent) as caught:
        check(event, **kwargs)
    return caught.value.reason, caught.value.path


def test_the_guides_product_view():
    """`BunoraaML.trackProductView` of the guide, as the tracker posts it."""
    data = {
        "product_id": "123",
        "product_name": "Blue Running Shoes",
        "category": "Shoes",
        "price": 99.99,
        "discount": 10,
        "is_new_arrival": True,
        "is_bestseller": False,
        "source_page": "category",
        "position": 5,
    }
    event = check({"event_type": "product_view", "data": data})
    assert (event.product_id, event.unit_price, event.currency, event.position) == ("123", 9999, "EUR", 5)
    assert event.data == {key: data[key] for key in data if key not in ("product_id", "price", "position")}


def test_the_same_fields_may_stand_at_the_top():
    inside = check({"event_type": "cart_add", "event_id": A, "data": {"product_id": "1", "quantity": 2, "size": "42"}})
    outside = check({"event_type": "cart_add", "event_id": A, "product_id": "1", "quantity": 2, "size": "42"})
    assert inside == outside
    assert outside.data == {"size": "42"}


A = "01953f3c-1111-7000-8000-000000000001"


def test_the_top_wins_over_data():
    event = check({"event_type": "product_view", "product_id": "top", "data": {"product_id": "inside"}})
    assert event.product_id == "top"


def test_a_custom_events_data_stays_as_it_is():
    data = {"action": "video_play", "video_id": "456", "duration": 120, "position": "left", "price": "high"}
    assert check({"event_type": "custom", "data": data}).data == data


def test_what_fits_no_column_stays_in_data():
    assert check({"event_type": "click", "data": {"position": "left"}}).data == {"position": "left"}


@pytest.mark.parametrize(
    ("product_id", "text"), [("123", "123"), (123, "123"), (2**70, str(2**70)), (" a-slug ", "a-slug"), (A, A)]
)
def test_ids_are_text(product_id, text):
    assert check({"event_type": "product_view", "product_id": product_id}).product_id == text


@pytest.mark.parametrize(
    ("price", "currency", "minor"),
    [
        (99.99, "EUR", 9999),
        ("99.99", "eur", 9999),
        (0.1, "USD", 10),
        (1200, "JPY", 1200),
        (1.234, "KWD", 1234),
        (19.995, "EUR", 2000),
        (0, "EUR", 0),
        (1.15, None, 115),  # the context's EUR
    ],
)
def test_prices_become_minor_units(price, currency, minor):
    event = check({"event_type": "product_view", "product_id": "1", "price": price, "currency": currency})
    assert event.unit_price == minor
    assert event.currency == (currency or "EUR").upper()


@given(st.integers(0, 10**12))
def test_every_cent_survives(cents):
    event = check({"event_type": "cart_add", "product_id": "1", "unit_price": str(Decimal(cents) / 100)})
    assert event.unit_price == cents


def test_google_and_segment_names_are_understood():
    google = check(
        {
            "event_type": "view_item",
            "params": {
                "currency": "JPY",
                "items": [{"item_id": "SKU_1", "price": 500, "index": 3}],
            },
        }
    )
    assert (google.event_type, google.product_id, google.currency) == ("product_view", "SKU_1", "JPY")
    assert (google.items[0].unit_price, google.items[0].position) == (500, 3)
    segment = check({"event": "Product Added", "properties": {"product_id": "507", "quantity": 1, "price": 18.99}})
    assert (segment.event_type, segment.product_id, segment.unit_price) == ("cart_add", "507", 1899)
    order = check({"event": "Order Completed", "properties": {"order_id": "5", "products": [{"product_id": 1}]}})
    assert (order.event_type, order.order_id, order.items[0].product_id) == ("purchase_seen", "5", "1")
    search = check({"event_type": "view_search_results", "params": {"search_term": "blue shoes"}})
    assert (search.event_type, search.query) == ("search", "blue shoes")


@pytest.mark.parametrize(
    ("event", "reason", "path"),
    [
        ({}, "missing", "event_type"),
        ({"event_type": None}, "missing", "event_type"),
        ({"event_type": 5}, "unknown_type", "event_type"),
        ({"event_type": ["page_view"]}, "unknown_type", "event_type"),
        ({"event_type": "product_view"}, "missing", "product_id"),
        ({"event_type": "product_view", "product_id": ""}, "missing", "product_id"),
        ({"event_type": "product_view", "product_id": None}, "missing", "product_id"),
        ({"event_type": "product_view", "product_id": {}}, "wrong_type", "product_id"),
        ({"event_type": "product_view", "product_id": True}, "wrong_type", "product_id"),
        ({"event_type": "product_view", "product_id": 1.5}, "wrong_type", "product_id"),
        ({"event_type": "product_view", "product_id": "x" * 201}, "too_long", "product_id"),
        ({"event_type": "cart_add", "product_id": "1", "quantity": "many"}, "wrong_type", "quantity"),
        ({"event_type": "cart_add", "product_id": "1", "quantity": -1}, "out_of_range", "quantity"),
        ({"event_type": "cart_add", "product_id": "1", "quantity": 10**9}, "out_of_range", "quantity"),
        ({"event_type": "cart_add", "product_id": "1", "price": "free"}, "wrong_value", "price"),
        ({"event_type": "cart_add", "product_id": "1", "price": "NaN"}, "wrong_value", "price"),
        ({"event_type": "cart_add", "product_id": "1", "price": -1}, "out_of_range", "price"),
        ({"event_type": "cart_add", "product_id": "1", "price": "1e25"}, "wrong_value", "price"),
        ({"event_type": "cart_add", "product_id": "1", "currency": "euros"}, "wrong_value", "currency"),
        ({"event_type": "page_view", "timestamp": "yesterday"}, "bad_time", "timestamp"),
        ({"event_type": "page_view", "timestamp": 1e300}, "bad_time", "timestamp"),
        ({"event_type": "page_view", "timestamp": []}, "bad_time", "timestamp"),
        ({"event_type": "page_view", "session_id": "x" * 129}, "too_long", "session_id"),
        ({"event_type": "page_view", "data": []}, "wrong_type", "data"),
        ({"event_type": "custom", "data": {"x": "y" * 1025}}, "too_long", "x"),
        ({"event_type": "custom", "data": {"x": ["y" * 1025]}}, "too_long", "x.0"),
        ({"event_type": "custom", "data": {"x": 2**64}}, "out_of_range", "x"),
        ({"event_type": "custom", "data": {"a": {"b": {"c": {"d": {"e": {}}}}}}}, "too_deep", "a.b.c.d.e"),
        ({"event_type": "custom", "data": {str(key): 1 for key in range(26)}}, "too_many_keys", "data"),
        ({"event_type": "page_view", **{f"k{key}": 1 for key in range(26)}}, "too_many_keys", "data"),
        ({"event_type": "purchase", "items": [{"product_id": 1}] * 51}, "too_many_items", "items"),
        ({"event_type": "purchase", "items": {}}, "wrong_type", "items"),
        ({"event_type": "purchase", "items": [1]}, "wrong_type", "items[0]"),
        ({"event_type": "purchase", "items": [{"product_id": 1}, {"price": 1}]}, "missing", "items[1].product_id"),
        ({"event_type": "purchase", "data": {"items": [{}]}}, "missing", "items[0].product_id"),
        (
            {"event_type": "custom", "data": {"x": "y" * 1000, **{str(key): "z" * 900 for key in range(18)}}},
            "too_large",
            "",
        ),
    ],
)
def test_refused_with_reason_and_path(event, reason, path):
    assert refused(event) == (reason, path)


@pytest.mark.parametrize("quantity", ["2", " 2 ", "2.", "2.000", 2.0])
def test_a_whole_number_may_be_written_as_decimal_columns_write_it(quantity):
    assert check({"event_type": "cart_add", "product_id": "1", "quantity": quantity}).quantity == 2


@pytest.mark.parametrize("quantity", ["0.5", 0.5, "2.001", "1e3", "٢", "--2", ".0"])
def test_what_is_no_whole_number(quantity):
    assert refused({"event_type": "cart_add", "product_id": "1", "quantity": quantity}) == ("wrong_type", "quantity")


TOP = ["order_id", "items", "currency", "price", "quantity", "x"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.decimals().map(str)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*TOP, "product_id"]), inner, max_size=4)
    ),
    max_leaves=8,
)


class TestUsable:
    """What is left of an event, for orders."""

    def test_a_valid_event_is_left_as_it_is(self):
        given = {
            "event_type": "purchase",
            "event_id": A,
            "timestamp": "2025-03-01T11:00:00Z",
            "order_id": "7",
            "currency": "EUR",
            "page_url": "/checkout/",
            "items": [{"product_id": "1", "quantity": 2, "price": "3.50", "variant_id": "1-b"}],
            "data": {"coupon": "SAVE10"},
            "gift": True,
        }
        kept, why = wire.usable(given)
        assert why == []
        context = wire.Context(received_at=NOW, source="server", currency="EUR")
        both = [wire.validate(one, context, wire.Batch([])) for one in (given, kept)]
        assert both[0] == both[1]
        assert both[0].data == {"coupon": "SAVE10", "gift": True}

    def test_each_fault_costs_its_field_alone(self):
        given = {
            "event_type": "purchase",
            "order_id": "7",
            "timestamp": "yesterday",
            "currency": "€",
            "session_id": "x" * 200,
            "ip_prefix": "1.2.3.0/24",
            "products": [
                {"product_id": "1", "price": -5, "quantity": "many"},
                {"product_id": "2", "price": "1.50", "quantity": 2, "colour": object()},
                {"price": "1.50"},
                "three",
            ],
            "data": {"note": "y" * 2000, "kept": 1, **{f"k{number}": 1 for number in range(30)}},
        }
        kept, why = wire.usable(given)
        lines = [{"product_id": "1"}, {"product_id": "2", "price": "1.50", "quantity": 2}]
        assert kept == {
            "event_type": "purchase",
            "order_id": "7",
            "products": lines,
            "data": {"kept": 1, **{f"k{number}": 1 for number in range(24)}},
        }
        assert {(error.reason, error.path) for error in why} == {
            ("bad_time", "timestamp"),
            ("wrong_value", "currency"),
            ("too_long", "session_id"),
            ("out_of_range", "products[0].price"),
            ("wrong_type", "products[0].quantity"),
            ("missing", "products[2].product_id"),
            ("wrong_type", "products[3]"),
            ("too_long", "note"),
            *{("too_many_keys", f"k{number}") for number in range(24, 30)},
        }
        wire.validate(kept, wire.Context(received_at=NOW, source="server"), wire.Batch([]))

    @pytest.mark.parametrize("items", [{}, "abc", 5, None])
    def test_lines_that_are_no_list_are_none(self, items):
        kept, why = wire.usable({"event_type": "refund", "order_id": "7", "data": {"items": items}})
        assert (kept["items"], len(why)) == (None, items is not None)

    @given(st.dictionaries(st.sampled_from([*TOP, "timestamp", "data", "page_url"]), ANYTHING))
    def test_what_is_left_is_valid(self, given):
        kept, _ = wire.usable({**given, "event_type": "purchase"})
        wire.validate(kept, wire.Context(received_at=NOW, source="server", currency="EUR"), wire.Batch([]))


def test_limits_are_inclusive():
    check({"event_type": "custom", "data": {str(key): 1 for key in range(25)}})
    check({"event_type": "custom", "data": {"x": "y" * 1024, "a": {"b": {"c": {"d": {"e": 1}}}}}})
    check({"event_type": "purchase", "items": [{"product_id": 1}] * 50})
    check({"event_type": "product_view", "product_id": "x" * 200, "variant_id": "y" * 200})


def test_addresses_are_cut_not_refused():
    event = check({"event_type": "page_view", "page_url": "/" + "x" * 5000, "referrer": "https://x/" + "y" * 5000})
    assert len(event.page_url) == len(event.referrer) == 1024


def test_a_nul_is_taken_out():
    assert check({"event_type": "search", "query": "a\x00b"}).query == "ab"


# -- ids --------------------------------------------------------------------------------------------


def test_a_given_id_is_kept():
    assert check({"event_type": "page_view", "event_id": A.upper()}).event_id == A
    random = str(uuid.uuid4())
    assert check({"event_type": "page_view", "event_id": random}, batch_id="b").event_id == random


def test_without_an_id_it_follows_from_the_batch():
    event = check({"event_type": "page_view", "session_id": "s"}, index=3, batch_id="batch-456")
    assert event.event_id == str(uuid.uuid5(NAMESPACE, "batch:1:s:9:batch-456:1:3"))


def ids_of_a_batch(*, session_id=None, sender=None, index=0, batch_id="batch-1", **more):
    event = {"event_type": "page_view", "session_id": session_id, **more}
    return check(event, context=replace(CONTEXT, sender=sender), index=index, batch_id=batch_id).event_id


def test_two_clients_that_count_their_batches_keep_their_events():
    found = [
        ids_of_a_batch(session_id="a"),
        ids_of_a_batch(session_id="b"),
        ids_of_a_batch(session_id="a", batch_id="batch-2"),
        ids_of_a_batch(session_id="a", index=1),
        ids_of_a_batch(sender="v1"),
        ids_of_a_batch(sender="v2"),
        ids_of_a_batch(session_id="a", event_id="1"),
        ids_of_a_batch(session_id="b", event_id="1"),
        # The same characters, cut at other places.
        ids_of_a_batch(session_id="a1", batch_id="1", index=1),
        ids_of_a_batch(session_id="a", batch_id="11", index=1),
        ids_of_a_batch(session_id="a:1:1", event_id="1"),
        ids_of_a_batch(session_id="a", event_id="1:1:1"),
    ]
    assert len(set(found)) == len(found)


def test_a_retry_is_known_though_a_cookie_came_in_between():
    assert ids_of_a_batch(session_id="a", sender="no cookie yet") == ids_of_a_batch(session_id="a", sender="v1")
    assert ids_of_a_batch(sender="v1") == ids_of_a_batch(sender="v1")


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([{"session_id": "a"}, {"session_id": "b"}], "a"),
        ([{}, {"session_id": ["x"]}, {"session_id": " b "}], "b"),
        ([{"session_id": "x" * 129}, 5, {"session_id": 7}], "7"),
        ([], None),
        ([{}], None),
    ],
)
def test_the_session_of_a_batch(events, found):
    assert wire.session_of(wire.parse(json.dumps({"events": events}).encode())) == found


def test_without_a_batch_it_is_fresh():
    first, second = check({"event_type": "page_view"}), check({"event_type": "page_view"})
    assert first.event_id != second.event_id
    assert uuid.UUID(first.event_id).version == 7


def test_no_client_can_take_the_place_of_an_order():
    """The id of an order's purchase is no secret: neither as event id nor by a crafted batch id may it come out."""
    truth = purchase_id("default", "7")
    for event, index, meta in (
        ({"event_type": "page_view", "event_id": truth}, 0, {}),
        ({"event_type": "page_view", "event_id": truth.replace("-", "")}, 0, {}),
        ({"event_type": "page_view"}, 7, {"batch_id": "purchase:default"}),
        ({"event_type": "page_view", "event_id": "purchase:default:7"}, 7, {}),
    ):
        assert check(event, index=index, **meta).event_id != truth


def test_a_foreign_id_is_the_same_at_each_retry():
    event = {"event_type": "page_view", "event_id": "ajs-next-1234"}
    assert check(event).event_id == check(event).event_id


def test_the_same_foreign_id_in_two_sessions_is_two_events():
    first, second = ({"event_type": "page_view", "event_id": 1, "session_id": session} for session in ("a", "b"))
    assert check(first).event_id != check(second).event_id


# -- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "expected"),
    [
        ("2025-03-01T11:59:00Z", None, NOW - timedelta(minutes=1)),
        ("2025-03-01T12:59:00+01:00", None, NOW - timedelta(minutes=1)),
        ("2025-03-01T11:59:00", None, NOW - timedelta(minutes=1)),
        (int(NOW.timestamp()) - 60, None, NOW - timedelta(minutes=1)),
        (int(NOW.timestamp() * 1000) - 60_000, None, NOW - timedelta(minutes=1)),
        # A clock three years slow and one two hours fast, each with an event of ten seconds before it was sent:
        ("2022-03-01T12:00:00Z", "2022-03-01T12:00:10Z", NOW - timedelta(seconds=10)),
        ("2025-03-01T14:00:00Z", "2025-03-01T14:00:10Z", NOW - timedelta(seconds=10)),
        (None, None, NOW),
        ("2025-03-01T11:59:00Z", "nonsense", NOW - timedelta(minutes=1)),
        ("2025-03-01T12:00:30Z", None, NOW),
    ],
)
def test_times_are_the_servers(timestamp, sent_at, expected):
    event = check({"event_type": "page_view", "timestamp": timestamp}, sent_at=sent_at)
    assert (event.event_time, event.received_at, event.data) == (expected, NOW, {})


@pytest.mark.parametrize(
    ("timestamp", "expected", "word"),
    [
        ("2025-03-01T12:02:00Z", NOW, "future"),
        ("2100-01-01T00:00:00Z", NOW, "future"),
        ("1970-01-01T00:00:00Z", NOW - timedelta(days=7), "ancient"),
        (0, NOW - timedelta(days=7), "ancient"),
    ],
)
def test_impossible_times_are_clamped_with_a_note(timestamp, expected, word):
    event = check({"event_type": "page_view", "timestamp": timestamp})
    assert event.event_time == expected
    assert event.data["_time"]["clamped"] == word


@given(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_any_time_is_bounded_or_refused(timestamp):
    try:
        event = check({"event_type": "page_view", "timestamp": timestamp})
    except InvalidEvent as error:
        assert error.reason == "bad_time"
    else:
        assert NOW - timedelta(days=7) <= event.event_time <= NOW


# -- properties -------------------------------------------------------------------------------------

leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=30))
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
KEYS = [*wire_fields.FIELDS, "data", "timestamp", "event_id", "user_id", "source", "x", *string.ascii_lowercase[:3]]


@given(st.sampled_from([one.value for one in EventType]), st.dictionaries(st.sampled_from(KEYS), values, max_size=8))
def test_anything_is_a_storable_event_or_refused_by_name(event_type, rest):
    body = json.dumps({"events": [{**rest, "event_type": event_type}]}).encode()
    try:
        batch = wire.parse(body)
        event = wire.validate(batch.events[0], CONTEXT, batch)
    except InvalidEvent as error:
        assert error.reason
    else:
        assert decode_event(encode_event(event)) == event
        assert (event.user_id, event.source) == (None, "js")


@given(st.binary(max_size=200))
def test_any_body_is_a_batch_or_malformed(body):
    try:
        wire.parse(body)
    except InvalidEvent as error:
        assert error.reason == "malformed"


def test_a_body_of_brackets_is_malformed():
    with pytest.raises(InvalidEvent):
        wire.parse(b'{"events":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}")


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "word"),
    [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "ancient"),
        ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "future"),
    ],
)
def test_two_clocks_as_wrong_as_can_be_are_no_failure(timestamp, sent_at, word):
    event = check({"event_type": "page_view", "timestamp": timestamp}, sent_at=sent_at)
    assert event.data["_time"]["clamped"] == word
