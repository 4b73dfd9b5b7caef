"""Whose dead letter is it."""

import json

import msgspec
import pytest

from ml_models.adapters.dead_letters import DeadLetters
from ml_models.core.event import encode_event
from ml_models.core.traces import Span, Traces
from ml_models.data_collection.letters import holds, letter_of
from ml_models.testing.event_store import DAY, make_event

DEVICE = "01980000-0000-7000-8000-000000000001"
TRACES = Traces(users=frozenset({"7"}), visitors=frozenset({DEVICE}), emails=frozenset({"ann@example.com"}))


def mine(payload, traces=TRACES, **options):
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    return letter_of(DeadLetters.letter("bad", "", payload, **options), traces)


@pytest.mark.parametrize(
    "payload",
    [
        {"user_id": "7"},
        {"user_id": 7},
        {"meta": [{"deep": {"userId": "7"}}]},
        {"customer-id": "7"},
        {"x": f"prefix {DEVICE.upper()} suffix"},
        f'{{"broken": "{DEVICE}"'.encode(),
        b"\xff\xfe " + DEVICE.encode(),
        {"note": "write to Ann@Example.com"},
        {"uid": "7"},
    ],
)
def test_his(payload):
    assert mine(payload)


@pytest.mark.parametrize(
    "payload",
    [
        {"user_id": "77"},
        {"quantity": 7},
        {"product_id": "7"},
        {"items": [7, "7"]},
        {"user_id": True},
        b"7",
        b'{"user_id": "7',
        {"id": "7"},
        {"event_type": "x" * 20},
    ],
)
def test_not_his(payload):
    assert not mine(payload)


def test_the_visitor_the_server_knew_counts():
    assert mine({}, context={"user_id": "7"})
    assert mine({}, context={"anonymous_id": DEVICE})
    assert not mine({}, context={"user_id": "8", "anonymous_id": None})


def test_spool_records_are_looked_into():
    assert mine(encode_event(make_event("a", DAY, user_id="7")), kind="record")
    assert not mine(encode_event(make_event("a", DAY, user_id="8", quantity=7)), kind="record")
    assert mine(msgspec.msgpack.encode({"user_id": "7", "event_time": "broken"}), kind="record")


def test_any_cell_of_a_row_counts():
    assert mine(["7", "milk"], kind="row")
    assert mine({"a": "milk", "b": 7}, kind="row")
    assert not mine(["17", "milk"], kind="row")


def test_a_shared_device_is_looked_for_too():
    assert mine({"x": DEVICE}, Traces(spans=(Span(DEVICE),)))


def test_half_a_line_is_searched_by_its_bytes():
    assert holds(f'{{"at":"2025-01-01","payload":"{DEVICE}'.encode(), TRACES)
    assert not holds(b'{"at":"2025-01-01","payload":"{\\"user_id\\": 7', TRACES)


def test_every_address_in_a_text_names_a_guest():
    from ml_models.adapters.catalogue.values import guest_keys
    from ml_models.data_collection.letters import names_in

    found = names_in(b'"<ada@x.example>", bob@y.example;eve@z.example @nobody nowhere@ ' + b"y" * 200_000)
    named = {f"guest:{key}" for one in ("ada@x.example", "bob@y.example", "eve@z.example") for key in guest_keys(one)}
    assert named
    assert {name for name in found if name.startswith("guest:")} == named
