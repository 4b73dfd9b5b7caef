import threading
import time
from datetime import timedelta

import pytest

from ml_models.adapters import event_store, lake_erase, lake_lock
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.adapters.lake_lock import confirm, rewriting
from ml_models.adapters.lease import Lease
from ml_models.core import clock
from ml_models.core.errors import StoreError
from ml_models.core.traces import Traces
from ml_models.testing.event_store import DAY, make_event, put
from tests.waiting import GENEROUS


def test_a_second_rewriter_of_a_folder_waits_for_the_first(tmp_path):
    told = []

    def second():
        with rewriting(f"file://{tmp_path}"):
            told.append("second")

    with rewriting(str(tmp_path)):
        rival = threading.Thread(target=second)
        rival.start()
        rival.join(0.2)
        told.append("first")
    rival.join(GENEROUS)
    assert told == ["first", "second"]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "lake").write_text("")
    with pytest.raises(StoreError, match="space and access"), rewriting(str(tmp_path / "lake")):
        pass


@pytest.mark.django_db(transaction=True)
def test_in_an_object_store_the_database_says_who_may(monkeypatch):
    monkeypatch.setattr(lake_lock, "LONGEST_WAIT", 0.0)
    with rewriting("s3://bucket/lake"):
        assert not Lease("lake").hold()
        with pytest.raises(StoreError, match="Run it again"), rewriting("s3://bucket/lake"):
            pass
    assert Lease("lake").hold()


@pytest.mark.django_db(transaction=True)
def test_a_rewriter_that_lost_its_lease_commits_nothing_more():
    with clock.use(clock.ManualClock(DAY)) as now, rewriting("s3://bucket/lake"):
        confirm()
        now.advance(seconds=lake_lock.LEASE_SECONDS + 1)  # stopped for a minute
        with pytest.raises(StoreError, match=r"lost: its lease .* run it again"):
            confirm()
    confirm()  # nobody rewrites: a folder's lock cannot be lost


@pytest.mark.django_db(transaction=True)
def test_a_lost_lease_stays_lost(monkeypatch):
    monkeypatch.setattr(lake_lock, "LEASE_SECONDS", 0.3)
    answers = iter([True, False])
    monkeypatch.setattr(Lease, "hold", lambda self: next(answers))
    with rewriting("s3://bucket/lake"):
        deadline = time.monotonic() + 30
        while any(thread.name == "ml-lake-lease" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(StoreError):
            confirm()


@pytest.mark.parametrize("work", ["delete some", "delete days", "key", "compact", "erase"])
def test_every_rewriter_asks_before_it_commits(tmp_path, monkeypatch, work):
    store = DeltaEventStore(tmp_path)
    for number in range(9):
        one = make_event(f"order {number}", event_type="purchase", source="sync", user_id="7")
        put(store, [one, make_event(f"view {number}", user_id="7")])
    before = store.stats()

    def lost():
        raise StoreError("lost")

    monkeypatch.setattr(event_store, "confirm", lost)
    monkeypatch.setattr(lake_erase, "confirm", lost)
    later, key = DAY + timedelta(days=30), b"k" * 32
    calls = {
        "delete some": lambda: store.delete(older_than=later, keep_types=["purchase"]),
        "delete days": store.delete,
        "key": lambda: store.key_ids(key=key, older_than=later, types=["purchase"]),
        "compact": store.compact,
        "erase": lambda: store.erase(Traces(users=frozenset({"7"})), orders="key", before=later, key=key),
    }
    with pytest.raises(StoreError, match="lost"):
        calls[work]()
    assert store.stats() == before
