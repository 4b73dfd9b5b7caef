from datetime import UTC, date, datetime, timedelta, timezone
from typing import get_type_hints

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.errors import InvalidEvent
from ml_models.core.event import Event, EventItem, decode_event, encode_event
from ml_models.core.lake_schema import ITEM, LAKE_SCHEMA, STATISTICS, empty_frame, frame_of_records, to_frame

GOOD = b'{"event_id":"1","event_type":"x","event_time":"2025-03-09T23:59:59Z","received_at":"2025-03-09T23:59:59Z"}'
MOMENT = datetime(2025, 3, 9, 23, 59, 59, 999_999, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
times = st.datetimes(datetime(1800, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))
items = st.builds(
    EventItem,
    product_id=texts,
    variant_id=st.none() | texts,
    quantity=integers,
    unit_price=st.none() | integers,
    position=st.none() | integers,
)
json_values = st.recursive(
    st.none() | st.booleans() | integers | texts, lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
events = st.builds(
    Event,
    event_id=texts,
    event_type=texts,
    event_time=times,
    received_at=times,
    product_id=st.none() | texts,
    quantity=st.none() | integers,
    items=st.lists(items, max_size=3),
    revision=integers,
    is_bot=st.booleans(),
    data=st.dictionaries(texts, json_values, max_size=3),
)


def test_there_is_a_column_for_every_field_and_one_for_the_day():
    assert list(LAKE_SCHEMA) == [*get_type_hints(Event), "event_date"]
    assert LAKE_SCHEMA["event_time"] == pl.Datetime("us", "UTC")
    assert LAKE_SCHEMA["quantity"] == pl.Int64
    assert LAKE_SCHEMA["items"] == pl.List(ITEM)
    assert LAKE_SCHEMA["data"] == pl.String
    assert LAKE_SCHEMA["event_date"] == pl.Date
    assert set(STATISTICS) < set(LAKE_SCHEMA)


@given(events)
def test_a_record_decodes_to_the_event_it_was(event):
    assert decode_event(encode_event(event)) == event


@given(st.lists(events, max_size=5))
def test_rows_say_what_the_events_said(batch):
    frame = to_frame(batch)
    assert frame.schema == LAKE_SCHEMA
    for event, row in zip(batch, frame.to_dicts(), strict=True):
        assert row["event_id"] == event.event_id
        assert row["event_time"] == event.event_time
        assert row["received_at"] == event.received_at
        assert row["event_date"] == event.event_time.date()
        assert row["product_id"] == event.product_id
        assert (row["quantity"], row["revision"], row["is_bot"]) == (event.quantity, event.revision, event.is_bot)
        assert [EventItem(**item) for item in row["items"] or []] == event.items
        assert (row["data"] is None) == (not event.data)


@given(st.lists(events, min_size=1, max_size=5))
def test_records_become_the_rows_of_their_events(batch):
    frame = frame_of_records([encode_event(event) for event in batch])
    expected = to_frame(batch)
    assert frame.schema == LAKE_SCHEMA
    assert frame.equals(expected)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xc1",
        b"[1]",
        b"{}",
        b'{"event_id": "1"',
        b'{"event_id":"1","event_type":"x","event_time":"2025-03-09T23:59:59Z"}',
        b'{"event_id":"1","event_type":"x","event_time":"soon","received_at":"2025-03-09T23:59:59Z"}',
        b'{"event_id":"1","event_type":"x","event_time":5,"received_at":"2025-03-09T23:59:59Z"}',
        GOOD.replace(b"Z", b"+01:00"),
        GOOD[:-1] + b',"quantity":"two"}',
        GOOD[:-1] + b',"quantity":1.5}',
        GOOD[:-1] + b',"is_bot":1}',
        GOOD[:-1] + b',"items":5}',
        GOOD[:-1] + b',"items":[{"quantity":5}]}',
        GOOD[:-1] + b',"page_url":"\xff"}',
        GOOD + b"\n" + GOOD,
    ],
)
def test_records_with_a_wrong_one_among_them_are_not_taken_as_rows(bad):
    assert frame_of_records([GOOD]).height == 1
    assert frame_of_records([GOOD, bad, GOOD]) is None


def test_records_of_an_earlier_version_are_read():
    event = Event(event_id="1", event_type="x", event_time=MOMENT, received_at=MOMENT, data={"a": [1]})
    assert decode_event(msgspec.msgpack.encode(event)) == event
    assert frame_of_records([msgspec.msgpack.encode(event)]) is None


def test_no_events_are_an_empty_frame():
    assert to_frame([]).equals(empty_frame())
    assert empty_frame().schema == LAKE_SCHEMA


def test_the_day_is_the_utc_day():
    east = timezone(timedelta(hours=9))
    event = Event(event_id="1", event_type="x", event_time=MOMENT.astimezone(east), received_at=MOMENT)
    row = to_frame([event]).to_dicts()[0]
    assert row["event_date"] == date(2025, 3, 9)
    assert row["event_time"] == MOMENT


def test_a_value_that_fits_no_column_is_named():
    good = {"event_type": "x", "event_time": MOMENT, "received_at": MOMENT}
    with pytest.raises(InvalidEvent) as error:
        to_frame([Event(event_id="1", **good), Event(event_id="2", quantity="two", **good)])
    assert (error.value.reason, error.value.path) == ("does_not_fit", "quantity")
    naive = {**good, "event_time": MOMENT.replace(tzinfo=None)}
    with pytest.raises(InvalidEvent) as error:
        to_frame([Event(event_id="1", **naive)])
    assert error.value.path == "event_time"


@pytest.mark.parametrize(
    ("record", "reason", "path"),
    [
        (b"", "not_msgpack", ""),
        (b"\xc1", "not_msgpack", ""),
        (b"\x81\xa8event_id\x01", "wrong_type", "event_id"),
        (b"\x90", "wrong_type", ""),
        (b"\x80", "wrong_type", ""),
        (b"{", "not_json", ""),
        (b'{"event_id": "\xff"}', "not_json", ""),
        (b'{"event_id": 7}', "wrong_type", "event_id"),
        (b"{}", "wrong_type", ""),
    ],
)
def test_a_bad_record_is_refused_with_the_field(record, reason, path):
    with pytest.raises(InvalidEvent) as error:
        decode_event(record)
    assert (error.value.reason, error.value.path) == (reason, path)


def test_what_could_not_be_read_back_is_not_written():
    good = {"event_id": "1", "event_type": "x", "event_time": MOMENT, "received_at": MOMENT}
    with pytest.raises(InvalidEvent, match="naive_time at event_time"):
        encode_event(Event(**{**good, "event_time": MOMENT.replace(tzinfo=None)}))
    for bad in ({"page_url": "\ud800"}, {"quantity": 2**70}, {"data": {"x": object()}}):
        with pytest.raises(InvalidEvent, match="not_encodable"):
            encode_event(Event(**good, **bad))


def test_a_later_versions_extra_field_is_no_obstacle():
    import msgspec

    later = {"event_id": "1", "event_type": "x", "event_time": MOMENT, "received_at": MOMENT, "invented": [1]}
    assert decode_event(msgspec.msgpack.encode(later)).event_id == "1"
