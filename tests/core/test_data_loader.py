from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core import artifact
from ml_models.core.data_loader import Dataset, load_interactions, type_weights
from ml_models.core.event import Event, EventItem
from ml_models.core.keyed_ids import key_rows, keyed_id
from ml_models.core.lake_schema import to_frame
from ml_models.core.splits import cutoff_before, given_holdout, global_time_split, leave_last_out, live_split

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def event(event_type="product_view", *, minutes=0, product="p1", user=None, anonymous="a1", **more):
    event.count += 1
    return Event(
        event_id=f"00000000-0000-7000-8000-{event.count:012d}",
        event_type=event_type,
        event_time=NOW + timedelta(minutes=minutes),
        received_at=NOW + timedelta(minutes=minutes),
        product_id=product,
        user_id=user,
        anonymous_id=anonymous,
        **more,
    )


event.count = 0


def load(events, **options):
    return load_interactions(to_frame(events).lazy(), **options)


def triples(data):
    return [
        (data.user_ids.names[u], data.item_ids.names[i], data.type_names[t])
        for u, i, t in zip(data.users.tolist(), data.items.tolist(), data.types.tolist(), strict=True)
    ]


def frame(rows):
    return pl.DataFrame(rows, schema=["visitor", "item", "time", "type"], orient="row")


# -- from the lake ------------------------------------------------------------------------------------------


def test_a_purchase_counts_once_per_product():
    items = [EventItem(product_id="p2", quantity=3), EventItem(product_id="p1"), EventItem(product_id="p2")]
    data = load([event("purchase", product=None, user="7", anonymous=None, items=items)])
    assert triples(data) == [("u:7", "p2", "purchase"), ("u:7", "p1", "purchase")]
    assert data.first == NOW


def test_orders_with_keyed_ids_go_to_the_visitor_who_is_known():
    key = b"k" * 32
    old = [
        event("purchase", product="p1", user="7", anonymous=None),
        event("purchase", product="p2", user=None, anonymous="a1"),
        event("purchase", product="p3", user="8", anonymous=None),
        event("purchase", product="p4", user="8", anonymous=None),
    ]
    new = [
        event(product="p5", minutes=9, user="7"),
        event("identity_link", product=None, user="9", anonymous="a1", minutes=9),
    ]
    scan = pl.concat([key_rows(to_frame(old), key), to_frame(new)]).lazy()
    unknown = f"u:{keyed_id('8', key)}"
    assert triples(load_interactions(scan, keys=[key])) == [
        ("u:7", "p1", "purchase"),
        ("u:7", "p5", "product_view"),
        ("u:9", "p2", "purchase"),
        (unknown, "p3", "purchase"),
        (unknown, "p4", "purchase"),
    ]
    assert load_interactions(scan).n_users == 4


def test_what_does_not_train_is_left_out():
    data = load(
        [
            event(),
            event("page_view"),
            event(is_bot=True, product="bot"),
            event("purchase", product=None, items=[EventItem(product_id="c")], data={"meaning": "cancelled"}),
            event("purchase", product=None, items=[EventItem(product_id="d")], data={"meaning": "refunded"}),
            event("purchase", product=None, items=[EventItem(product_id="f")], data={"meaning": "pending"}),
            event("purchase", product=None, items=[EventItem(product_id="e")], data={"meaning": "purchase"}),
            event("purchase", product=None, items=[EventItem(product_id="f")]),
            event(product=None),
            event(anonymous=None),
        ]
    )
    assert sorted(name for _, name, _ in triples(data)) == ["e", "f", "p1"]


def test_a_view_that_came_both_ways_counts_once():
    data = load(
        [
            event(source="middleware", page_view_id="v1"),
            event(source="js", page_view_id="v1"),
            event(source="middleware", page_view_id="v2", product="p2"),
            event(source="middleware", product="p3"),
            event("page_view", source="js", page_view_id="v4"),
            event(source="middleware", page_view_id="v4", product="p4"),  # JS saw the page, not the product
        ]
    )
    assert sorted(name for _, name, _ in triples(data)) == ["p1", "p2", "p3", "p4"]


def test_a_guest_becomes_the_one_user_it_is_linked_to():
    data = load(
        [
            event(product="before"),
            event("identity_link", minutes=1, user="7", product=None),
            event(minutes=2, user="7", product="after"),
            event(product="other", anonymous="a2"),
        ]
    )
    assert sorted(triples(data)) == [
        ("a:a2", "other", "product_view"),
        ("u:7", "after", "product_view"),
        ("u:7", "before", "product_view"),
    ]


def test_what_bears_the_guests_id_after_the_login_is_not_the_users():
    data = load(
        [
            event(product="before"),
            event("identity_link", minutes=60, user="7", product=None),
            event(product="page under way", minutes=61),
            event(product="stranger", minutes=63),
            event("identity_link", minutes=600, user="7", product=None),
            event(product="between", minutes=599),
        ]
    )
    assert sorted(triples(data)) == [
        ("a:a1", "between", "product_view"),
        ("a:a1", "stranger", "product_view"),
        ("u:7", "before", "product_view"),
        ("u:7", "page under way", "product_view"),
    ]


def test_a_guests_page_that_came_late_is_the_users():
    """It came after the login, and it happened before."""
    late = event(product="offline")
    late.received_at = NOW + timedelta(days=2)
    data = load([late, event("identity_link", minutes=60, user="7", product=None)])
    assert triples(data) == [("u:7", "offline", "product_view")]


def test_two_users_of_one_device_are_never_merged():
    data = load(
        [
            event(product="guest"),
            event("identity_link", minutes=1, user="7", product=None),
            event("identity_link", minutes=9, user="8", product=None),
            event(minutes=2, user="7", product="hers"),
            event(minutes=10, user="8", product="his"),
        ]
    )
    assert sorted(triples(data)) == [
        ("a:a1", "guest", "product_view"),
        ("u:7", "hers", "product_view"),
        ("u:8", "his", "product_view"),
    ]


def test_a_later_login_changes_nothing_of_the_past():
    events = [event(product="before"), event("identity_link", minutes=60, user="7", product=None)]
    events.append(event(minutes=61, product="after"))
    assert sorted(triples(load(events, known_until=NOW + timedelta(minutes=30)))) == [
        ("a:a1", "before", "product_view"),
        ("u:7", "after", "product_view"),
    ]


def test_variants_become_their_product():
    data = load([event(product="p1-red"), event(product="p1")], canonical={"p1-red": "p1"})
    assert data.item_ids.names == ("p1",)
    assert len(data) == 2


def test_an_empty_lake():
    data = load([])
    assert (len(data), data.n_users, data.n_items, data.first) == (0, 0, 0, None)
    assert data.matrix().shape == (0, 0)


# -- the numbers --------------------------------------------------------------------------------------------


def test_weights_of_types():
    assert type_weights()["purchase"] == 3.0
    assert "product_view" not in type_weights({"product_view": 0})
    data = Dataset.from_frame(
        frame([("u", "x", 1, "product_view"), ("u", "y", 2, "purchase")]), {"product_view": 0, "purchase": 5}
    )
    assert triples(data) == [("u", "y", "purchase")]
    assert data.weights.tolist() == [5.0]


def test_matrix_and_inputs_by_hand():
    day = 86_400_000_000
    data = Dataset.from_frame(
        frame(
            [
                ("u1", "x", 0, "product_view"),
                ("u1", "x", 10 * day, "purchase"),
                ("u1", "y", 5 * day, "cart_add"),
                ("u2", "y", 20 * day, "product_view"),
            ]
        )
    )
    assert data.matrix().toarray().tolist() == [[1, 1], [0, 1]]
    assert data.inputs().toarray().tolist() == [[4, 2], [0, 1]]
    assert data.inputs(combine="max").toarray().tolist() == [[3, 2], [0, 1]]
    assert data.inputs(half_life_days=5).toarray().tolist() == [[3.25, 1], [0, 1]]
    assert data.inputs(half_life_days=5, since_end=True).toarray().tolist() == [[0.8125, 0.25], [0, 1]]
    assert data.inputs(step_decay=0.5).toarray().tolist() == [[4, 1], [0, 1]]


events_of_visitors = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "u3"]),
        st.sampled_from("abcdef"),
        st.integers(0, 40).map(lambda hours: hours * 3_600_000_000),
        st.sampled_from(["product_view", "cart_add", "purchase"]),
    ),
    min_size=1,
    max_size=40,
)


@given(
    events_of_visitors,
    st.fixed_dictionaries(
        {
            "combine": st.sampled_from(["sum", "max"]),
            "half_life_days": st.sampled_from([0.0, 0.5]),
            "step_decay": st.sampled_from([1.0, 0.7]),
        }
    ),
)
def test_training_and_serving_weigh_a_history_alike(rows, options):
    data = Dataset.from_frame(frame(rows))
    matrix = data.inputs(**options).toarray()
    index = {name: place for place, name in enumerate(data.item_ids.names)}
    for user in range(data.n_users):
        items, weights = artifact.history_inputs(data.history(user), index, {"weights": data.type_weights, **options})
        row = np.zeros(data.n_items)
        row[items] = weights
        np.testing.assert_allclose(matrix[user], row, rtol=1e-5)


def test_history_is_the_newest_oldest_first():
    data = Dataset.from_frame(frame([("u", name, time, "product_view") for time, name in enumerate("abc")]))
    assert [step.item_id for step in data.history(0, 2)] == ["b", "c"]
    assert data.history(0)[0].at == datetime(1970, 1, 1, tzinfo=UTC)


def test_frequent_items():
    rows = [("u", "a", 1, "product_view")] * 3 + [("u", "b", 1, "product_view")] * 2 + [("v", "c", 1, "product_view")]
    data = Dataset.from_frame(frame(rows))
    assert data.frequent(2).item_ids.names == ("a", "b")
    assert data.frequent(2).user_ids.names == ("u",)
    assert data.frequent(1, most=1).item_ids.names == ("a",)
    assert data.frequent(1) is data


# -- splits -------------------------------------------------------------------------------------------------


def test_the_newest_calendar_days_are_held_out():
    assert cutoff_before(datetime(2011, 12, 9, 12, 50, tzinfo=UTC), 14) == datetime(2011, 11, 26, tzinfo=UTC)
    assert cutoff_before(datetime(2011, 12, 9, tzinfo=UTC), 1) == datetime(2011, 12, 9, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")  # 23:30 in London is the next day there, and two days have 23 and 24 hours
    assert cutoff_before(datetime(2026, 3, 29, 22, 30, tzinfo=UTC), 1, berlin) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert cutoff_before(datetime(2026, 3, 29, 22, 30, tzinfo=UTC), 2, berlin) == datetime(2026, 3, 28, 23, tzinfo=UTC)


@given(events_of_visitors, events_of_visitors)
def test_nothing_after_the_cutoff_reaches_the_training_set(rows, later):
    cutoff = datetime(1970, 1, 2, tzinfo=UTC)
    day = 86_400_000_000
    past = [row for row in rows if row[2] < day]
    later = [(visitor, item + "!", time + day, kind) for visitor, item, time, kind in later]
    alone = global_time_split(Dataset.from_frame(frame(past)), cutoff=cutoff).train
    split = global_time_split(Dataset.from_frame(frame(past + later)), cutoff=cutoff)
    assert split.train.fingerprint() == alone.fingerprint()
    assert (split.train.times < day).all()
    assert split.test.sizes.sum() == len({(visitor, item) for visitor, item, _, _ in later})
    assert len(split.test.items) == 0  # every later item is new, and counts in `sizes` alone


def test_targets_may_be_of_one_type_while_all_types_train():
    day = 86_400_000_000
    rows = [("u", "a", 0, "product_view"), ("u", "b", 0, "purchase"), ("u", "a", day, "purchase")]
    data = Dataset.from_frame(frame([*rows, ("u", "b", day, "product_view")]))
    split = global_time_split(data, 1, target_types={"purchase"})
    assert len(split.train) == 2
    assert [split.train.item_ids.names[i] for i in split.test.items] == ["a"]


def test_a_live_split_carries_the_first_half_and_judges_by_the_second():
    day = 86_400_000_000
    rows = [("u", "a", 0, "product_view"), ("v", "b", 1, "product_view")]
    newest = [("u", "b", 10, "product_view"), ("u", "a", 20, "cart_add"), ("u", "b", 30, "purchase")]
    new = [("w", "b", 5, "product_view"), ("w", "a", 5, "product_view"), ("w", "a", 6, "purchase")]
    one = [("v", "a", 7, "product_view"), ("v", "b", 7, "product_view")]  # one moment: nothing to cut
    later = [(visitor, item, day + time, kind) for visitor, item, time, kind in newest + new + one]
    data = Dataset.from_frame(frame(rows + later))
    cutoff = datetime(1970, 1, 2, tzinfo=UTC)
    split = live_split(data, cutoff)
    assert split.train.fingerprint() == global_time_split(data, cutoff=cutoff).train.fingerprint()
    assert split.test.visitors == ("u", "w")
    assert split.test.users.tolist() == [0, -1]
    carried = {visitor: [(event.item_id, event.event_type) for event in past] for visitor, past in split.recent.items()}
    assert carried == {
        "u": [("b", "product_view")],
        "w": [("a", "product_view"), ("b", "product_view")],
    } or carried == {"u": [("b", "product_view")], "w": [("b", "product_view"), ("a", "product_view")]}
    names = split.train.item_ids.names
    judged = [(row, names[item]) for row, item in zip(split.test.rows, split.test.items, strict=True)]
    assert judged == [(0, "a"), (0, "b"), (1, "a")]
    only = live_split(data, cutoff, target_types={"purchase"})
    assert [(row, names[item]) for row, item in zip(only.test.rows, only.test.items, strict=True)] == [
        (0, "b"),
        (1, "a"),
    ]


@given(events_of_visitors, events_of_visitors)
def test_a_live_query_knows_nothing_from_its_targets_on(rows, later):
    day = 86_400_000_000
    later = [(visitor, item, time + day, kind) for visitor, item, time, kind in later]
    split = live_split(
        Dataset.from_frame(frame([row for row in rows if row[2] < day] + later)), datetime(1970, 1, 2, tzinfo=UTC)
    )
    for visitor, past in split.recent.items():
        times = sorted({time for who, _, time, _ in later if who == visitor})
        assert max(event.at.timestamp() for event in past) * 1e6 < times[len(times) // 2]


def test_leave_last_out():
    rows = [("u", name, time, "product_view") for time, name in enumerate("abc")]
    split = leave_last_out(Dataset.from_frame(frame([*rows, ("v", "a", 9, "product_view")])))
    assert triples(split.train) == [("u", "a", "product_view"), ("u", "b", "product_view"), ("v", "a", "product_view")]
    assert split.test.visitors == ("u",)
    assert (split.test.sizes.tolist(), split.test.items.tolist()) == ([1], [])  # c is in nobody's training


def test_a_given_holdout_keeps_what_the_training_does_not_know():
    train = Dataset.from_frame(frame([("u:1", "a", 0, "product_view"), ("u:2", "b", 0, "product_view")]))
    test = given_holdout(train, [("u:2", "a"), ("u:2", "a"), ("u:2", "zzz"), ("u:9", "b")])
    assert test.visitors == ("u:2", "u:9")
    assert test.users.tolist() == [1, -1]
    assert test.sizes.tolist() == [2, 1]
    assert (test.rows.tolist(), test.items.tolist()) == ([0, 1], [0, 1])
    known = test.select(test.users >= 0)
    assert (known.visitors, known.rows.tolist(), known.items.tolist()) == (("u:2",), [0], [0])


def test_many_interactions_are_sorted_by_visitor_and_time():
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(
        {
            "visitor": rng.integers(0, 50_000, 300_000).astype(str),
            "item": rng.integers(0, 5_000, 300_000).astype(str),
            "time": rng.integers(0, 10**15, 300_000),
            "type": ["product_view"] * 300_000,
        }
    )
    data = Dataset.from_frame(rows)
    assert len(data) == 300_000
    assert (np.diff(data.users) >= 0).all()
    same = data.users[1:] == data.users[:-1]
    assert (data.times[1:][same] >= data.times[:-1][same]).all()


@pytest.mark.parametrize("zone", ["UTC", None, "Europe/Berlin"])
def test_times_are_utc_microseconds(zone):
    series = pl.Series([datetime(2024, 5, 1, 12, tzinfo=UTC)]).dt.cast_time_unit("ms")
    series = series.dt.replace_time_zone(None) if zone is None else series.dt.convert_time_zone(zone)
    data = Dataset.from_frame(pl.DataFrame({"visitor": ["u"], "item": ["a"], "time": series, "type": ["purchase"]}))
    assert data.last == datetime(2024, 5, 1, 12, tzinfo=UTC)
