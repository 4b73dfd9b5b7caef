import hashlib
import hmac
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.event import Event
from ml_models.core.keyed_ids import KEPT_COLUMNS, is_keyed, key_rows, keyed_id, restore_ids, stale
from ml_models.core.lake_schema import LAKE_SCHEMA, empty_frame, to_frame

KEY = b"k" * 32
OLD = b"o" * 32
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def rows(*given):
    """Rows of (event type, user, visitor)."""
    return to_frame(
        [
            Event(event_id=str(n), event_type=kind, event_time=NOW, received_at=NOW, user_id=user, anonymous_id=visitor)
            for n, (kind, user, visitor) in enumerate(given)
        ]
    )


def test_a_keyed_id_is_an_hmac():
    digest = hmac.new(KEY, b"7", hashlib.sha256).hexdigest()
    assert keyed_id("7", KEY) == f"key:{digest[:32]}"
    assert keyed_id("7", KEY) != keyed_id("7", OLD)


@given(st.text(), st.binary(min_size=32, max_size=32))
def test_keying_twice_is_keying_once(value, key):
    once = keyed_id(value, key)
    assert is_keyed(once)
    assert keyed_id(once, key) == once
    assert value == once or not is_keyed(value)


@pytest.mark.parametrize("value", ["", "key:", "key:7", "key:" + "G" * 32, "key:" + "0" * 33, "xkey:" + "0" * 32])
def test_what_only_looks_like_it_is_plain(value):
    frame = rows(("purchase", value, None))
    assert not is_keyed(value)
    assert frame.select(stale(frame.columns)).item()
    assert key_rows(frame, KEY)["user_id"][0] == keyed_id(value, KEY) != value


@given(st.lists(st.tuples(st.sampled_from(["purchase", "refund"]), st.none() | st.text(), st.none() | st.text())))
def test_rows_that_were_keyed_are_not_due_again(given):
    frame = rows(*given)
    keyed = key_rows(frame, KEY)
    assert frame.select(stale(frame.columns).all()).item()
    assert not keyed.select(stale(keyed.columns).any()).item()
    assert keyed.equals(key_rows(keyed, KEY))
    assert keyed.schema == LAKE_SCHEMA
    assert keyed.select(sorted(KEPT_COLUMNS)).equals(frame.select(sorted(KEPT_COLUMNS)))


def test_known_ids_come_back_and_others_stay_keyed():
    old = key_rows(rows(("purchase", "7", "a"), ("refund", "8", "b"), ("purchase", None, "c")), KEY)
    new = rows(("product_view", "7", "c"), ("identity_link", "9", "x"))
    back = restore_ids(pl.concat([old, new]).lazy(), [KEY]).collect()
    assert back["user_id"].to_list() == ["7", keyed_id("8", KEY), None, "7", "9"]
    assert back["anonymous_id"].to_list() == [keyed_id("a", KEY), keyed_id("b", KEY), "c", "c", "x"]
    assert back.drop("user_id", "anonymous_id").equals(pl.concat([old, new]).drop("user_id", "anonymous_id"))


def test_ids_keyed_before_the_secret_was_changed_come_back_too():
    old = key_rows(rows(("purchase", "7", None)), OLD)
    frame = pl.concat([old, rows(("product_view", "7", None))]).lazy()
    assert restore_ids(frame, [KEY, OLD]).collect()["user_id"].to_list() == ["7", "7"]
    assert restore_ids(frame, [KEY]).collect()["user_id"].to_list() == [keyed_id("7", OLD), "7"]


def test_a_user_and_a_visitor_of_one_name_are_two():
    old = key_rows(rows(("purchase", "7", None)), KEY)
    frame = pl.concat([old, rows(("product_view", None, "7"))]).lazy()
    assert restore_ids(frame, [KEY]).collect()["user_id"].to_list() == [keyed_id("7", KEY), None]


def test_without_keys_or_keyed_orders_nothing_is_added():
    frame = rows(("purchase", "7", "a"), ("product_view", "key:" + "0" * 32, None)).lazy()
    assert restore_ids(frame, []) is frame
    assert restore_ids(frame, [KEY]) is frame
    assert restore_ids(empty_frame().lazy(), [KEY]).collect().is_empty()
