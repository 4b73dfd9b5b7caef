"""The contract of a lake: subclass and say how to make one.

```python
class TestDeltaEventStore(EventStoreContract):
    def make(self):
        return DeltaEventStore(tempfile.mkdtemp())
```
"""

from __future__ import annotations

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from ml_models.core.errors import CommitConflict, StoreError
from ml_models.core.event import Event, EventItem
from ml_models.core.keyed_ids import keyed_content, keyed_id
from ml_models.core.lake_schema import LAKE_SCHEMA, empty_frame, to_frame
from ml_models.core.ports import CommitResult, EventStore

__all__ = ["EventStoreContract", "make_event"]

DAY = datetime(2025, 3, 10, tzinfo=UTC)
SECRET = bytes(range(32))
PERSONAL = (
    *("user_id", "anonymous_id", "session_id", "page_view_id", "page_url", "referrer", "query", "search_id", "rec_id"),
    *("placement", "ip_prefix", "ip_address", "country", "device_type", "browser", "os", "bot_reason", "consent"),
)
"""Columns that may tell of a person; the first two become keyed ids, the others are emptied."""


def make_event(event_id: str, moment: datetime = DAY, **fields: Any) -> Event:
    """A product view received two seconds after it happened."""
    values: dict[str, Any] = {
        "event_type": "product_view",
        "product_id": "p1",
        "received_at": moment + timedelta(seconds=2),
        **fields,
    }
    return Event(event_id=event_id, event_time=moment, **values)


def put(store: EventStore, events: list[Event], positions: dict[str, int] | None = None) -> CommitResult:
    """Commit events through a fresh snapshot."""
    return store.commit(store.snapshot(), positions or {}, to_frame(events))


def ids(frame: pl.LazyFrame) -> list[str]:
    """Event ids of a frame, sorted."""
    return sorted(frame.collect().get_column("event_id"))


class EventStoreContract:
    """What every implementation of `ml_models.core.ports.EventStore` does."""

    def make(self) -> EventStore:
        """An empty store."""
        raise NotImplementedError("Return an empty store of the implementation under test.")

    # -- rows ---------------------------------------------------------------------------------------

    def test_an_empty_lake_reads_as_no_rows(self) -> None:
        store = self.make()
        assert store.scan().collect().schema == LAKE_SCHEMA
        assert store.scan(columns=["product_id"], event_types=["purchase"], start=DAY).collect().shape == (0, 1)
        assert store.stats()["rows"] == 0
        assert store.days() == {}
        assert store.delete() == 0

    def test_every_field_comes_back(self) -> None:
        store = self.make()
        event = make_event(
            "e1",
            DAY + timedelta(microseconds=123_457),
            event_type="purchase",
            source="sync",
            session_id="s",
            user_id="7",
            quantity=2,
            unit_price=1999,
            currency="EUR",
            items=[EventItem(product_id="1", quantity=2, unit_price=5), EventItem(product_id="2", variant_id="2-b")],
            is_bot=True,
            data={"größe": [1, {"x": None}], "quote": "'\""},
        )
        given = to_frame([event, make_event("e2")])
        assert put(store, [event, make_event("e2")]).written == 2
        assert store.scan().sort("event_id").collect().equals(given)

    def test_scan_keeps_to_time_type_and_columns(self) -> None:
        store = self.make()
        moments = {"a": 0, "b": 23.5, "c": 24, "d": 60}
        put(store, [make_event(name, DAY + timedelta(hours=hours)) for name, hours in moments.items()])
        put(store, [make_event("cart", DAY + timedelta(hours=1), event_type="cart_add")])
        assert ids(store.scan(start=DAY + timedelta(hours=23.5), end=DAY + timedelta(hours=60))) == ["b", "c"]
        assert ids(store.scan(end=DAY)) == []
        assert ids(store.scan(event_types=["cart_add"])) == ["cart"]
        assert ids(store.scan(event_types=["cart_add", "product_view"], end=DAY + timedelta(hours=2))) == ["a", "cart"]
        assert ids(store.scan(event_types=[])) == []
        found = store.scan(columns=["product_id", "event_date"], start=DAY + timedelta(hours=60)).collect()
        assert found.rows() == [("p1", (DAY + timedelta(hours=60)).date())]

    def test_ids_of_any_kind(self) -> None:
        store = self.make()
        names = ["'; DROP TABLE x; --", "ö" * 80, "", "0190163d-8694-739b-aea5-966c26f8ad91", "%00 {}"]
        put(store, [make_event(name) for name in names])
        assert put(store, [make_event(name) for name in names]).written == 0
        assert ids(store.scan()) == sorted(names)

    def test_refuses_rows_of_another_shape(self) -> None:
        store = self.make()
        with pytest.raises(StoreError, match="schema"):
            store.commit(store.snapshot(), {}, pl.DataFrame({"event_id": ["x"]}))

    # -- exactly once -------------------------------------------------------------------------------

    def test_positions_move_with_the_rows(self) -> None:
        store = self.make()
        assert store.snapshot().position("file:1:000") == 0
        put(store, [make_event("a")], {"file:1:000": 10, "file:1:001": 3})
        put(store, [make_event("b")], {"file:1:000": 12})
        snapshot = store.snapshot()
        assert [snapshot.position(name) for name in ("file:1:000", "file:1:001", "other")] == [12, 3, 0]

    def test_positions_move_without_rows(self) -> None:
        store = self.make()
        put(store, [make_event("a")], {"s": 1})
        result = store.commit(store.snapshot(), {"s": 2}, empty_frame())
        assert (result.written, result.duplicates) == (0, 0)
        assert store.snapshot().position("s") == 2

    def test_a_position_never_goes_back(self) -> None:
        store = self.make()
        put(store, [], {"s": 5})
        with pytest.raises(StoreError, match="go back"):
            put(store, [make_event("a")], {"s": 4})
        assert store.stats()["rows"] == 0

    def test_of_two_commits_from_one_state_one_wins(self) -> None:
        store = self.make()
        first, second = store.snapshot(), store.snapshot()
        store.commit(first, {"s": 5}, to_frame([make_event("a")]))
        with pytest.raises(CommitConflict):
            store.commit(second, {"s": 5}, to_frame([make_event("a")]))
        with pytest.raises(CommitConflict):
            store.commit(second, {"other": 1}, to_frame([make_event("b")]))
        assert ids(store.scan()) == ["a"]
        assert store.snapshot().position("other") == 0

    def test_a_snapshot_does_not_move(self) -> None:
        store = self.make()
        put(store, [], {"s": 1})
        snapshot = store.snapshot()
        put(store, [], {"s": 2})
        assert snapshot.position("s") == 1

    def test_a_repeated_event_is_written_once(self) -> None:
        store = self.make()
        assert put(store, [make_event("a"), make_event("b"), make_event("a")]).duplicates == 1
        result = put(store, [make_event("b"), make_event("c")])
        assert (result.written, result.duplicates) == (1, 1)
        assert ids(store.scan()) == ["a", "b", "c"]

    def test_a_retry_that_slipped_over_midnight_is_a_repeat(self) -> None:
        store = self.make()
        put(store, [make_event("a", DAY - timedelta(seconds=1)), make_event("b", DAY + timedelta(seconds=1))])
        moved = [make_event("a", DAY + timedelta(seconds=1)), make_event("b", DAY - timedelta(seconds=1))]
        assert put(store, moved).duplicates == 2
        assert store.stats()["rows"] == 2

    def test_a_browsers_event_timed_by_the_server_is_known_for_three_days(self) -> None:
        store = self.make()
        for hours in (0, 71.9):
            moment = DAY + timedelta(hours=hours)
            put(store, [make_event("untimed", moment, received_at=moment)])
            put(store, [make_event("clamped", moment, data={"_time": {"clamped": "ancient"}})])
        assert store.stats()["rows"] == 2

    def test_what_a_browser_sends_again_is_known_for_three_days_whatever_its_clock_says(self) -> None:
        store = self.make()
        for number, name in enumerate(("01953f3c-1111-7000-8000-000000000001", "b7c2a1c0-1111-4000-8000-000000000001")):
            first = DAY + timedelta(hours=number)
            put(store, [make_event(name, first, received_at=first + timedelta(minutes=1))])
            for days in (2.9, -2.9):
                again = first + timedelta(days=days)
                assert put(store, [make_event(name, again, received_at=again + timedelta(days=1))]).written == 0
        assert store.stats()["rows"] == 2

    # -- revisions ----------------------------------------------------------------------------------

    def test_readers_get_the_latest_revision(self) -> None:
        store = self.make()
        put(store, [make_event("order", event_type="purchase", quantity=1), make_event("view")])
        put(store, [make_event("order", event_type="purchase", quantity=3, revision=2)])
        put(store, [make_event("order", event_type="purchase", quantity=2, revision=1)])
        assert store.stats()["rows"] == 4
        found = store.scan(columns=["event_id", "quantity"]).sort("event_id").collect()
        assert found.rows() == [("order", 3), ("view", None)]
        assert put(store, [make_event("order", event_type="purchase", quantity=9, revision=2)]).duplicates == 1
        every = store.scan(columns=["event_id", "quantity"], event_types=["purchase"], every_revision=True)
        assert sorted(every.collect().rows()) == [("order", 1), ("order", 2), ("order", 3)]

    def test_a_revision_that_moved_to_another_day_replaces_the_old_one(self) -> None:
        store = self.make()
        put(store, [make_event("order", event_type="purchase")])
        put(store, [make_event("order", DAY + timedelta(days=5), event_type="purchase", revision=1)])
        assert ids(store.scan(end=DAY + timedelta(days=1))) == []
        assert ids(store.scan()) == ["order"]

    # -- upkeep -------------------------------------------------------------------------------------

    def test_deletes_by_the_time_of_receipt(self) -> None:
        store = self.make()
        late = DAY + timedelta(days=9)
        put(store, [make_event("old"), make_event("late", DAY, received_at=late), make_event("new", late)])
        assert store.delete(older_than=DAY + timedelta(days=1)) == 1
        assert ids(store.scan()) == ["late", "new"]
        assert store.delete(older_than=DAY + timedelta(days=1)) == 0

    def test_keeps_what_is_to_stay(self) -> None:
        store = self.make()
        put(
            store, [make_event("order", event_type="purchase"), make_event("view"), make_event("past", source="import")]
        )
        put(store, [make_event(f"next{n}", DAY + timedelta(days=1)) for n in range(3)])
        deleted = store.delete(
            older_than=DAY + timedelta(days=30), keep_types=["purchase", "refund"], keep_sources=["import"]
        )
        assert deleted == 4
        assert ids(store.scan()) == ["order", "past"]
        assert store.delete(keep_types=["purchase"]) == 1
        assert ids(store.scan()) == ["order"]

    # -- keyed ids ----------------------------------------------------------------------------------

    def key(self, store: EventStore, **options: Any) -> int:
        """Key the orders received before the day after `DAY`."""
        values: dict[str, Any] = {"older_than": DAY + timedelta(days=1), "types": ["purchase", "refund"], **options}
        return store.key_ids(key=SECRET, **values)

    def test_an_order_keeps_its_facts_and_loses_the_person(self) -> None:
        store = self.make()
        assert self.key(store) == 0
        facts: dict[str, Any] = {
            "event_type": "purchase",
            "source": "sync",
            "site": "de",
            "variant_id": "v",
            "quantity": 2,
            "unit_price": 1999,
            "currency": "EUR",
            "items": [EventItem(product_id="1", quantity=2, unit_price=5), EventItem(product_id="2", variant_id="b")],
            "order_id": "100",
            "revision": 1,
        }
        told = {"meaning": "refunded", "content": "c0ffee", "total": 42}
        person: dict[str, Any] = dict.fromkeys(PERSONAL, "personal")
        plain = make_event("a", **facts, **person, position=3, is_bot=True, data={**told, "note": "personal"})
        put(store, [plain, make_event("b", **facts)])
        assert self.key(store) == 2
        keyed = keyed_id("personal", SECRET)
        expected = to_frame(
            [
                make_event("a", **facts, user_id=keyed, anonymous_id=keyed, is_bot=True, data=told),
                make_event("b", **facts),
            ]
        )
        found = store.scan().sort("event_id").collect()
        assert found.drop("data").equals(expected.drop("data"))
        hashed = keyed_content("c0ffee", SECRET)
        assert [json.loads(text) for text in found["data"]] == [
            {**told, "content": hashed, "keyed": True},
            {"keyed": True},
        ]
        assert "personal" not in str(found.to_dicts())

    def test_orders_of_one_customer_still_belong_together(self) -> None:
        store = self.make()
        moments = (DAY, DAY + timedelta(hours=3), DAY - timedelta(days=40))
        put(store, [make_event(f"a{n}", m, event_type="purchase", user_id="7") for n, m in enumerate(moments)])
        put(store, [make_event("b", event_type="purchase", user_id="8", anonymous_id="7")])
        assert self.key(store) == 4
        rows = store.scan(columns=["event_id", "user_id", "anonymous_id"]).sort("event_id").collect().rows()
        seven, eight = keyed_id("7", SECRET), keyed_id("8", SECRET)
        assert rows == [(f"a{n}", seven, None) for n in range(3)] + [("b", eight, seven)]

    def test_only_what_is_due_is_keyed(self) -> None:
        store = self.make()
        stay = [
            make_event("view", user_id="7"),
            make_event("late", event_type="purchase", user_id="7", received_at=DAY + timedelta(days=1)),
            make_event("past", event_type="purchase", user_id="7", source="import"),
        ]
        put(store, [*stay, make_event("old", event_type="purchase", user_id="7")], {"s": 3})
        assert self.key(store, types=[]) == 0
        assert self.key(store, keep_sources=["import"]) == 1
        plain = store.scan().filter(pl.col("user_id") == "7").sort("event_id").collect()
        assert plain.equals(to_frame(stay).sort("event_id"))
        assert self.key(store, keep_sources=["import"]) == 0
        assert self.key(store) == 1
        assert ids(store.scan().filter(pl.col("user_id") == "7")) == ["late", "view"]
        assert store.snapshot().position("s") == 3

    def test_a_keyed_order_is_known_and_can_be_revised(self) -> None:
        store = self.make()
        order = make_event("a", event_type="purchase", user_id="7")
        put(store, [order])
        before = store.days()
        self.key(store)
        assert store.days() != before
        assert put(store, [order]).duplicates == 1
        again = make_event("a", event_type="purchase", user_id="7", revision=1, received_at=DAY + timedelta(days=9))
        assert put(store, [again]).written == 1
        assert store.scan(columns=["revision", "user_id"]).collect().rows() == [(1, "7")]
        assert self.key(store) == 0

    def test_no_row_is_lost_or_doubled_beside_committers(self) -> None:
        store = self.make()
        put(store, [make_event(f"first{n}", event_type="purchase", user_id=str(n)) for n in range(20)])

        def write() -> list[str]:
            written = []
            for number in range(12):
                event = make_event(f"next{number}", event_type="purchase", user_id="7")
                for _ in range(200):
                    try:
                        put(store, [event], {"s": number + 1})
                    except CommitConflict:
                        continue
                    written.append(event.event_id)
                    break
            return written

        keyed = 0
        with ThreadPoolExecutor(1) as pool:
            rival = pool.submit(write)
            while not rival.done():
                keyed += self.key(store)
        keyed += self.key(store)
        assert len(rival.result()) == 12
        assert ids(store.scan()) == sorted([*(f"first{n}" for n in range(20)), *rival.result()])
        assert keyed == 32
        assert store.scan().filter(~pl.col("user_id").str.starts_with("key:")).collect().is_empty()

    def test_positions_outlive_upkeep(self) -> None:
        store = self.make()
        for number in range(12):
            put(store, [make_event(str(number))], {"s": number + 1})
        store.delete(older_than=DAY)
        store.compact()
        assert store.snapshot().position("s") == 12
        assert store.stats()["rows"] == 12
        assert put(store, [make_event("5")], {"s": 13}).duplicates == 1

    def test_days_tell_what_changed(self) -> None:
        store = self.make()
        put(store, [make_event("a"), make_event("b", DAY + timedelta(days=1))])
        before = store.days()
        assert sorted(before) == [DAY.date(), (DAY + timedelta(days=1)).date()]
        put(store, [make_event("c")])
        after = store.days()
        assert after[DAY.date()] != before[DAY.date()]
        assert after[(DAY + timedelta(days=1)).date()] == before[(DAY + timedelta(days=1)).date()]

    def test_counts_by_type(self) -> None:
        store = self.make()
        put(store, [make_event("a"), make_event("b", DAY + timedelta(hours=5)), make_event("c", event_type="search")])
        stats = store.stats()
        assert stats["by_type"] == {"product_view": 2, "search": 1}
        assert stats["by_source"] == {"js": 3}
        assert (stats["first"], stats["last"]) == (DAY, DAY + timedelta(hours=5))
        assert list(stats["day_bytes"]) == [DAY.date()]
        assert stats["day_bytes"][DAY.date()] > 0

    def test_any_order_of_commits_and_rivals_holds_each_event_once(self) -> None:
        for seed in range(4):
            rng = random.Random(seed)
            store = self.make()
            expected: set[tuple[str, int]] = set()
            position = 0
            for _ in range(8):
                events = [
                    make_event(
                        str(rng.randrange(30)), DAY + timedelta(hours=rng.randrange(20)), revision=rng.randrange(2)
                    )
                    for _ in range(rng.randrange(12))
                ]
                snapshot = store.snapshot()
                rival = rng.random() < 0.3
                if rival:
                    position += 1
                    put(store, [], {"s": position})
                try:
                    store.commit(snapshot, {"s": position + 1}, to_frame(events))
                except CommitConflict:
                    assert rival
                else:
                    assert not rival
                    position += 1
                    expected |= {(event.event_id, event.revision) for event in events}
            assert store.snapshot().position("s") == position
            assert store.stats()["rows"] == len(expected)
            newest = Counter({name: 0 for name, _ in expected})
            for name, revision in expected:
                newest[name] = max(newest[name], revision)
            found = store.scan(columns=["event_id", "revision"]).collect().rows()
            assert sorted(found) == sorted(newest.items())
