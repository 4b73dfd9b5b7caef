"""Erasure from the Delta lake: the contract, and what is left in log and files."""

import os
import time
from datetime import timedelta

import pytest

from ml_models.adapters import lake_erase
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.core.lake_schema import to_frame
from ml_models.core.traces import Traces
from ml_models.testing.erasure import LATER, PERSON, ErasureContract
from ml_models.testing.event_store import DAY, SECRET, ids, make_event, put


class TestMemoryEventStore(ErasureContract):
    def make(self):
        return MemoryEventStore()


class TestDeltaEventStore(ErasureContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path
        self.made = 0

    def make(self):
        self.made += 1
        return DeltaEventStore(self.folder / f"lake{self.made}")


class TestDeltaByUri(TestDeltaEventStore):
    """A store that is known by a URI only, as an object store is."""

    def make(self):
        self.made += 1
        return DeltaEventStore(f"file://{self.folder}/lake{self.made}")

    def test_what_left_the_table_leaves_the_store(self):
        store = self.mixed()
        files = len(list(self.folder.rglob("*.parquet")))
        self.erase(store)
        assert store.purge(PERSON, orders="key", before=LATER, dry_run=True).removed == files
        assert store.purge(PERSON, orders="key", before=LATER).removed == files
        assert {path.name for path in self.folder.rglob("part-*.parquet")} == {
            uri.rpartition("/")[2] for uri in store.table().file_uris()
        }
        assert store.stats()["rows"] == 12


@pytest.fixture
def store(tmp_path):
    return DeltaEventStore(tmp_path / "lake")


def files(store):
    return {
        path.relative_to(store.folder) for path in store.folder.rglob("*.parquet*") if "_delta_log" not in str(path)
    }


def purge(store, **options):
    return store.purge(Traces(users=frozenset({"needle-7"})), orders="key", before=LATER, **options)


def erase(store):
    return store.erase(Traces(users=frozenset({"needle-7"})), orders="key", before=LATER, key=SECRET)


def mine(name, **fields):
    return make_event(name, user_id="needle-7", **fields)


def test_neither_log_nor_checkpoint_names_the_person(store):
    for number in range(3):
        put(store, [mine(f"a{number}"), make_event(f"b{number}"), mine(f"o{number}", event_type="purchase")])
    store.compact()
    erase(store)
    purge(store)
    store.table().create_checkpoint()
    for path in store.folder.rglob("*"):
        if path.is_file():
            assert b"needle-7" not in path.read_bytes(), path
    assert store.stats()["rows"] == 6


def test_files_with_the_persons_rows_leave_the_disk_and_others_stay(store):
    put(store, [mine("a"), make_event("b")])
    put(store, [make_event("c")])
    put(store, [make_event("d", DAY + timedelta(days=1))])
    before = files(store)
    erase(store)
    assert before < files(store)  # a reader at work still has its files
    assert purge(store, dry_run=True).removed == 1
    assert files(store) > before
    assert purge(store) == (1, 0)
    assert len(before - files(store)) == 1
    assert ids(store.scan()) == ["b", "c", "d"]
    assert purge(store) == (0, 0)


def test_files_that_compaction_left_behind_are_found(store):
    for number in range(9):
        put(store, [mine(f"a{number}") if number == 4 else make_event(f"a{number}")])
    store.compact()
    assert len(files(store)) == 10
    erase(store)
    assert purge(store) == (2, 0)  # the small one, and the merged one
    assert ids(store.scan()) == [f"a{number}" for number in range(9) if number != 4]


def stray(store, name, events, *, age=timedelta(0)):
    """A data file that no commit names, as a killed or a running writer leaves it."""
    path = store.folder / f"event_date={DAY.date()}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    to_frame(events).drop("event_date").write_parquet(path)
    written = time.time() - age.total_seconds()
    os.utime(path, (written, written))
    return path


def test_a_file_that_no_commit_names_goes_only_when_it_is_old(store):
    put(store, [make_event("b")])
    young = stray(store, "part-young.parquet", [mine("x")])
    old = stray(store, "part-old.parquet", [mine("y")], age=timedelta(hours=2))
    staged = stray(store, "part-staged.parquet#1", [mine("z")], age=timedelta(hours=2))
    other = stray(store, "part-other.parquet", [make_event("w")], age=timedelta(hours=2))
    assert purge(store) == (2, 1)
    assert (young.exists(), old.exists(), staged.exists(), other.exists()) == (True, False, False, True)


def test_half_a_file_goes_when_nobody_can_be_writing_it(store):
    put(store, [make_event("b")])
    for age in (0, 2):
        path = stray(store, f"part-{age}.parquet", [mine("x")], age=timedelta(hours=age))
        modified = path.stat().st_mtime
        path.write_bytes(path.read_bytes()[:-9])
        os.utime(path, (modified, modified))
    assert purge(store) == (1, 1)


def test_files_without_the_person_are_not_rewritten(store):
    put(store, [make_event("b")])
    (kept,) = files(store)
    put(store, [mine("a")])
    erase(store)
    assert kept in files(store)
    assert {kept.name} == {uri.rpartition("/")[2] for uri in store.table().file_uris()}


def test_many_days_are_erased_in_parts(store, monkeypatch):
    monkeypatch.setattr(lake_erase, "_BUDGET", 1)
    put(store, [make_event(f"d{day}", DAY + timedelta(days=day), user_id="needle-7") for day in range(4)])
    version = store.stats()["version"]
    assert erase(store) == (4, 0)
    assert store.stats()["version"] == version + 4  # a commit a day


def test_the_new_files_are_on_disk_before_the_old_ones_go(store, monkeypatch):
    put(store, [mine("a"), make_event("b")])
    erase(store)
    version = store.stats()["version"]
    assert int((store.folder / "_synced").read_text()) == version


def test_the_clock_of_the_shop_judges_the_age(store):
    put(store, [make_event("b")])
    path = stray(store, "part-young.parquet", [mine("x")])
    with clock.use(clock.ManualClock(clock.now() + timedelta(hours=3))):
        assert purge(store) == (1, 0)
    assert not path.exists()
