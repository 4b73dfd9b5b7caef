"""The contract of an erasure from a lake, beside `testing.event_store`: subclass and say how to make a store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from ml_models.core.errors import CommitConflict
from ml_models.core.keyed_ids import keyed_id
from ml_models.core.lake_schema import to_frame
from ml_models.core.ports import ErasedRows, EventStore
from ml_models.core.traces import Span, Traces
from ml_models.testing.event_store import DAY, PERSONAL, SECRET, ids, make_event, put

__all__ = ["ErasureContract"]

LATER = DAY + timedelta(days=30)
PERSON = Traces(users=frozenset({"7", keyed_id("7", SECRET)}), visitors=frozenset({"v"}))


class ErasureContract:
    """What every implementation of `ml_models.core.ports.EventStore` does when a person is forgotten."""

    def make(self) -> EventStore:
        """An empty store."""
        raise NotImplementedError("Return an empty store of the implementation under test.")

    @staticmethod
    def erase(
        store: EventStore, traces: Traces = PERSON, *, orders: str = "key", before: datetime = LATER
    ) -> ErasedRows:
        """Erase with the tests' key."""
        return store.erase(traces, orders=orders, before=before, key=SECRET)

    def mixed(self) -> EventStore:
        """A lake with rows of two persons over three days."""
        store = self.make()
        for day in range(3):
            at = DAY + timedelta(days=day)
            events = [
                make_event(f"user{day}", at, user_id="7", anonymous_id="w", page_url="/x"),
                make_event(f"visitor{day}", at, anonymous_id="v"),
                make_event(f"other{day}", at, user_id="8"),
                make_event(f"nobody{day}", at),
                make_event(f"order{day}", at, event_type="purchase", source="sync", user_id="7", query="q"),
                make_event(f"theirs{day}", at, event_type="purchase", source="sync", user_id="8", query="q"),
            ]
            put(store, events, {"s": day + 1})
        return store

    def test_an_empty_lake_has_nobody(self) -> None:
        store = self.make()
        assert self.erase(store) == (0, 0)
        assert store.find(PERSON).collect().is_empty()
        assert store.purge(PERSON, orders="key", before=LATER) == (0, 0)
        store.fence()

    def test_only_the_persons_behaviour_goes(self) -> None:
        store = self.mixed()
        assert len(ids(store.find(PERSON))) == 9
        assert self.erase(store) == (6, 3)
        left = [f"{name}{day}" for name in ("nobody", "order", "other", "theirs") for day in range(3)]
        assert ids(store.scan()) == left
        assert store.snapshot().position("s") == 3
        assert self.erase(store) == (0, 0)

    def test_orders_stay_with_keyed_ids_and_nothing_else_of_the_person(self) -> None:
        store = self.mixed()
        untouched = store.scan().filter(pl.col("user_id") == "8").sort("event_id").collect()
        self.erase(store)
        orders = store.scan().filter(pl.col("event_id").str.starts_with("order")).collect()
        assert set(orders["user_id"]) == {keyed_id("7", SECRET)}
        for column in PERSONAL:
            if column != "user_id":
                assert orders[column].null_count() == 3, column
        assert orders["product_id"].to_list() == ["p1"] * 3
        assert store.scan().filter(pl.col("user_id") == "8").sort("event_id").collect().equals(untouched)

    def test_orders_stay_or_go_as_asked(self) -> None:
        kept = self.mixed()
        assert self.erase(kept, orders="keep") == (6, 0)
        assert kept.scan().filter(pl.col("user_id") == "7").collect().height == 3
        gone = self.mixed()
        assert self.erase(gone, orders="delete") == (9, 0)
        assert gone.find(PERSON).collect().is_empty()

    def test_orders_that_retention_keyed_are_found_by_the_key(self) -> None:
        store = self.mixed()
        store.key_ids(key=SECRET, older_than=LATER, types=["purchase"])
        assert self.erase(store) == (6, 0)
        assert self.erase(store, orders="delete") == (3, 0)

    def test_every_revision_goes(self) -> None:
        store = self.make()
        bought: dict[str, Any] = {"event_type": "purchase", "source": "sync"}
        put(store, [make_event("o", user_id="7", **bought)])
        put(store, [make_event("o", user_id="8", revision=1, **bought)])
        assert store.find(PERSON).collect().height == 1
        assert self.erase(store, orders="delete") == (1, 0)
        assert store.scan(columns=["user_id", "revision"]).collect().rows() == [("8", 1)]

    def test_what_came_after_the_moment_stays(self) -> None:
        store = self.make()
        noon = DAY + timedelta(hours=12)
        put(store, [make_event("before", noon - timedelta(seconds=3), user_id="7")])
        # A browser that was offline: happened before, received after.
        put(store, [make_event("late", DAY, user_id="7", received_at=noon + timedelta(hours=2))])
        put(store, [make_event("after", noon + timedelta(seconds=1), user_id="7")])
        assert self.erase(store, before=noon) == (2, 0)
        assert ids(store.scan()) == ["after"]

    def test_rows_without_ids_follow_session_and_page_view(self) -> None:
        store = self.make()
        put(
            store,
            [
                make_event("first", page_view_id="p"),
                make_event("session", session_id="s"),
                make_event("another", page_view_id="p", anonymous_id="someone"),
                make_event("nobody", page_view_id="q", session_id="t"),
            ],
        )
        traces = Traces(users=frozenset({"7"}), views=frozenset({"p"}), sessions=frozenset({"s"}))
        assert self.erase(store, traces) == (2, 0)
        assert ids(store.scan()) == ["another", "nobody"]

    def test_a_shared_device_is_the_persons_for_a_time(self) -> None:
        store = self.make()
        hours = [DAY + timedelta(hours=number) for number in range(6)]
        put(store, [make_event(f"g{number}", moment, anonymous_id="d") for number, moment in enumerate(hours)])
        put(store, [make_event("u8", hours[1], anonymous_id="d", user_id="8")])
        spans = (Span("d", None, hours[1]), Span("d", hours[3], hours[5]))
        traces = Traces(users=frozenset({"7"}), spans=spans)
        assert self.erase(store, traces) == (3, 0)
        assert ids(store.scan()) == ["g1", "g2", "g5", "u8"]

    def test_a_fence_turns_older_snapshots_away(self) -> None:
        store = self.make()
        put(store, [make_event("a")])
        snapshot = store.snapshot()
        store.fence()
        with pytest.raises(CommitConflict):
            store.commit(snapshot, {"s": 9}, to_frame([make_event("b", user_id="7")]))
        assert put(store, [make_event("c")], {"s": 9}).written == 1
        assert ids(store.scan()) == ["a", "c"]

    def test_an_erasure_itself_turns_older_snapshots_away(self) -> None:
        store = self.mixed()
        snapshot = store.snapshot()
        self.erase(store)
        with pytest.raises(CommitConflict):
            store.commit(snapshot, {"s": 9}, to_frame([make_event("b", user_id="7")]))

    def test_a_rival_writer_loses_nothing_and_is_caught(self) -> None:
        store = self.mixed()

        def write() -> int:
            done = 0
            for number in range(6):
                events = [make_event(f"mine{number}", user_id="7"), make_event(f"rival{number}", user_id="9")]
                while True:
                    try:
                        put(store, events)
                    except CommitConflict:
                        continue
                    break
                done += 1
            return done

        with ThreadPoolExecutor(1) as pool:
            rival = pool.submit(write)
            erased = self.erase(store).dropped
            assert rival.result() == 6
        erased += self.erase(store).dropped
        assert erased == 12
        assert store.scan().filter(pl.col("user_id") == "9").collect().height == 6
        assert store.scan().filter(pl.col("user_id") == "7").collect().is_empty()
