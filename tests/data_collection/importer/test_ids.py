import uuid
from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.event import NAMESPACE
from ml_models.data_collection.importer.ids import event_ids, uuid5_texts
from ml_models.data_collection.importer.mapping import FIELDS


def frame(items):
    rows = [{"event_type": "product_view", "event_time": 1_700_000_000_000_000, "user_id": item} for item in items]
    given = {"event_type": pl.String, "event_time": pl.Int64, "user_id": pl.String}
    found = pl.DataFrame(rows, schema=given)
    return found.select(
        (pl.col(name) if name in given else pl.lit(None)).cast(kind).alias(name) for name, kind in FIELDS.items()
    )


@given(st.lists(st.text()))
def test_the_same_as_the_standard_library(names):
    series = pl.Series([name.encode() for name in names], dtype=pl.Binary)
    assert uuid5_texts(series).to_list() == [str(uuid.uuid5(NAMESPACE, name)) for name in names]


def test_what_the_id_is_made_of():
    text = "import:shop\x1fevent_type=product_view\x1fevent_time=1700000000000000\x1fuser_id=7\x1f#1"
    assert event_ids(frame(["7", "7"]), "shop")[1] == str(uuid.uuid5(NAMESPACE, text))


@given(st.lists(st.sampled_from("abc")), st.randoms())
def test_equal_rows_are_told_apart_and_order_does_not_matter(items, random):
    ids = event_ids(frame(items), "x").to_list()
    assert len(set(ids)) == len(items)
    shuffled = list(items)
    random.shuffle(shuffled)
    assert Counter(event_ids(frame(shuffled), "x").to_list()) == Counter(ids)
    assert not set(event_ids(frame(items), "y").to_list()) & set(ids)
