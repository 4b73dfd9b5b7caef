"""Recent items written behind: what a reader sees, what is bounded, what happens when the store fails."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from ml_models.adapters import build
from ml_models.adapters.online_store import MemoryOnlineStore
from ml_models.core.query import Interaction
from ml_models.data_collection import counters
from ml_models.data_collection.recent import RecentItems
from tests.waiting import GENEROUS

MOMENT = datetime(2026, 5, 1, tzinfo=UTC)


def view(item, minute=0):
    return Interaction(item, "product_view", MOMENT + timedelta(minutes=minute))


class Slow(MemoryOnlineStore):
    """A store whose writes wait for the test's word."""

    def __init__(self):
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()
        self.writes = 0

    def record_many(self, batch):
        self.entered.set()
        assert self.go.wait(GENEROUS)
        self.writes += 1
        super().record_many(batch)


@pytest.fixture
def store(recorded):
    store = Slow()
    build.override(online_store=store)
    return store


@pytest.fixture
def items(store):
    items = RecentItems(linger=0.0)
    yield items
    store.go.set()
    items.close(30)


def names(found):
    return [one.item_id for one in found]


def test_the_writer_waits_for_nothing_and_the_reader_sees_it_at_once(items, store):
    items.put({"a:1": [view("x", 1)], "a:2": [view("y", 2)]})
    assert names(items.read("a:1")) == ["x"]
    assert store.entered.wait(GENEROUS)
    items.put({"a:1": [view("z", 3)]})  # while the first write is under way
    assert names(items.read("a:1")) == ["x", "z"]
    assert names(items.read("a:1", 1)) == ["z"]
    store.go.set()
    items.close(30)
    assert names(store.recent("a:1")) == ["x", "z"]
    assert names(items.read("a:1")) == ["x", "z"]
    assert names(store.recent("a:2")) == ["y"]


def test_what_came_during_a_write_is_one_write_more(items, store):
    items.put({"a:0": [view("first")]})
    assert store.entered.wait(GENEROUS)
    for number in range(50):
        items.put({f"a:{number}": [view("x", 1)]})
    store.go.set()
    items.close(30)
    assert store.writes == 2


def test_a_merge_moves_what_is_written_what_is_being_written_and_what_waits(items, store):
    MemoryOnlineStore.record_many(store, {"a:1": [view("stored", 1)], "u:9": [view("own", 0)]})
    items.put({"a:1": [view("flying", 2)]})
    assert store.entered.wait(GENEROUS)
    items.put({"a:1": [view("waiting", 3)]})
    items.merge("a:1", "u:9")
    store.go.set()
    items.close(30)
    assert names(store.recent("u:9")) == ["own", "stored", "flying", "waiting"]
    assert store.recent("a:1") == []


def test_a_store_that_does_not_keep_up_costs_a_bounded_number_and_a_count(store):
    items = RecentItems(most=10, linger=0.0)
    items.put({"a:0": [view("first")]})
    assert store.entered.wait(GENEROUS)
    for number in range(25):
        items.put({"a:1": [view(str(number), number)]})
    assert names(items.read("a:1")) == [str(number) for number in range(10)]
    assert counters.snapshot()["overflow.recent_items"] == 15
    store.go.set()
    items.close(30)


def test_a_failing_store_is_counted_and_the_thread_lives_on(recorded):
    class Broken(MemoryOnlineStore):
        def record_many(self, batch):
            raise RuntimeError("gone")

    build.override(online_store=Broken())
    items = RecentItems(linger=0.0)
    items.put({"a:1": [view("x")]})
    items.flush()
    working = MemoryOnlineStore()
    build.override(online_store=working)
    items.put({"a:1": [view("y")]})
    items.close(30)
    assert counters.snapshot()["online.failed"] == 1
    assert names(working.recent("a:1")) == ["y"]


def test_without_a_thread_it_writes_at_once(recorded):
    store = MemoryOnlineStore()
    build.override(online_store=store)
    RecentItems(automatic=False).put({"a:1": [view("x")]})
    assert names(store.recent("a:1")) == ["x"]


def test_counts_of_a_process_that_only_refuses_are_written(recorded, settings, tmp_path):
    settings.ML_STORAGE = {"data": str(tmp_path)}
    items = RecentItems(linger=0.0)
    counters.add("track.429.network")
    items.wake()
    items.close(30)
    assert counters.totals(tmp_path / "counters") == {"track.429.network": 1}
