"""What of a forgotten person is still on the way is dropped when it reaches the lake."""

from datetime import timedelta

import polars as pl
import pytest

from ml_models.adapters.dead_letters import DeadLetters
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.adapters.lake_keys import lake_keys
from ml_models.adapters.spool_memory import MemorySpool
from ml_models.core import clock
from ml_models.core.errors import StoreError
from ml_models.core.event import encode_event
from ml_models.core.keyed_ids import keyed_id
from ml_models.core.lake_schema import empty_frame, to_frame
from ml_models.data_collection import tombstones
from ml_models.data_collection.importer.commit import commit_rows
from ml_models.data_collection.process import Committer
from ml_models.data_collection.tombstones import Tombstones
from ml_models.orm import Erasure
from ml_models.testing.event_store import DAY, ids, make_event

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _now():
    with clock.use(clock.ManualClock(DAY + timedelta(days=1))) as manual:
        yield manual


def forget(*visitors, at=DAY + HOUR, orders="key"):
    tombstones.write(visitors, at=at, orders=orders, plan={})


def kept(*events):
    rows, dropped = Tombstones.load().apply(to_frame(list(events)))
    assert dropped.height == len(events) - rows.height
    return sorted(rows["event_id"])


def test_without_tombstones_rows_pass_as_they_are():
    rows = to_frame([make_event("a", user_id="7")])
    assert Tombstones.load().apply(rows)[0] is rows
    forget("u:7")
    assert Tombstones.load().apply(empty_frame())[1].is_empty()


def test_what_happened_or_came_before_the_erasure_is_dropped():
    forget("u:7", "a:v")
    assert kept(
        make_event("mine", user_id="7"),
        make_event("device", anonymous_id="v", user_id="9"),
        make_event("offline", user_id="7", received_at=DAY + 9 * HOUR),
        make_event("clock ahead", DAY + 9 * HOUR, user_id="7", received_at=DAY),
        make_event("after", DAY + 2 * HOUR, user_id="7"),
        make_event("other", user_id="8", anonymous_id="w"),
        make_event("nobody"),
    ) == ["after", "nobody", "other"]


def test_a_user_and_a_visitor_of_one_name_are_two():
    forget("u:v")
    assert kept(make_event("a", anonymous_id="v")) == ["a"]


@pytest.mark.parametrize(("orders", "user"), [("keep", "7"), ("key", "keyed"), ("delete", None)])
def test_orders_fare_as_the_erasure_said(orders, user):
    forget("u:7", orders=orders)
    rows, dropped = Tombstones.load().apply(
        to_frame([make_event("o", event_type="purchase", user_id="7", query="q"), make_event("b", user_id="8")])
    )
    found = dict(rows.select("event_id", "user_id").rows()).get("o")
    assert found == (keyed_id("7", lake_keys()[0]) if user == "keyed" else user)
    assert dropped.height == (orders == "delete")
    assert rows.schema == empty_frame().schema
    if orders == "key":
        assert rows.filter(pl.col("event_id") == "o")["query"].to_list() == [None]


def test_the_severest_rule_counts():
    forget("u:7", orders="keep")
    forget("a:v", orders="delete")
    assert kept(make_event("o", event_type="purchase", user_id="7", anonymous_id="v")) == []


def test_a_new_secret_still_knows_the_old_tombstones(settings):
    forget("u:7")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret of the shop, long enough for a test"
    assert kept(make_event("mine", user_id="7")) == []


def test_a_tombstone_names_nobody_and_expires(_now):
    forget("u:somebody-7")
    (row,) = Erasure.objects.values_list()
    assert "somebody-7" not in repr(row)
    _now.advance(seconds=tombstones.KEEP.total_seconds())
    assert kept(make_event("mine", user_id="somebody-7")) == ["mine"]
    forget("u:8", at=clock.now())
    assert Erasure.objects.count() == 1


def test_a_plan_lasts_until_the_erasure_is_finished():
    tombstones.write(["u:7", "a:v"], at=DAY, orders="key", plan={"traces": 1})
    assert tombstones.unfinished(["u:7"]) == [{"traces": 1}]
    assert tombstones.unfinished(["u:8"]) == []
    tombstones.finish(["u:7", "a:v"], DAY - HOUR)
    assert tombstones.unfinished(["a:v"])  # that was another erasure
    tombstones.finish(["u:7", "a:v"], DAY)
    assert tombstones.unfinished(["u:7", "a:v"]) == []


def test_the_committer_drops_counts_and_goes_on(tmp_path):
    spool, store = MemorySpool(), MemoryEventStore()
    forget("u:7")
    spool.append([encode_event(make_event(name, user_id=user)) for name, user in [("a", "7"), ("b", "8"), ("c", "7")]])
    result = Committer(spool, store, DeadLetters(tmp_path), tombstones=Tombstones.load).run()
    assert (result.read, result.written, result.forgotten) == (3, 1, 2)
    assert ids(store.scan()) == ["b"]
    assert spool.stats()["records"] == 0


def test_an_erasure_between_reading_and_committing_is_not_missed(tmp_path):
    """The tombstones are read after the snapshot; an erasure after that fences the snapshot off."""
    spool, store = MemorySpool(), MemoryEventStore()
    spool.append([encode_event(make_event("a", user_id="7"))])
    loads = []

    def load():
        found = Tombstones.load()
        if not loads:  # right after the committer has looked, somebody is forgotten
            forget("u:7")
            store.fence()
        loads.append(found)
        return found

    result = Committer(spool, store, DeadLetters(tmp_path), tombstones=load).run()
    assert (result.written, result.forgotten, result.conflicts) == (0, 1, 1)
    assert store.stats()["rows"] == 0


def test_an_import_brings_nobody_back():
    store = MemoryEventStore()
    forget("u:7")
    commit_rows(store, to_frame([make_event("a", user_id="7", source="import"), make_event("b", user_id="8")]))
    assert ids(store.scan()) == ["b"]


def test_without_its_table_the_way_out_is_said(monkeypatch):
    from ml_models.orm import Erasure

    monkeypatch.setattr(Erasure._meta, "db_table", "ml_not_migrated")
    with pytest.raises(StoreError, match=r"manage\.py migrate"):
        Tombstones.load()
