import contextlib
import json
import os
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from ml_models.adapters import event_store
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core.errors import StoreError
from ml_models.core.lake_schema import LAKE_SCHEMA, to_frame
from ml_models.testing.event_store import DAY, EventStoreContract, ids, make_event, put
from tests.waiting import GENEROUS


class TestMemoryEventStore(EventStoreContract):
    def make(self):
        return MemoryEventStore()


class TestDeltaEventStore(EventStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path
        self.made = 0

    def make(self):
        self.made += 1
        return DeltaEventStore(self.folder / f"lake{self.made}")

    def test_another_process_sees_the_same_lake(self):
        first = self.make()
        put(first, [make_event("a")], {"s": 4})
        second = DeltaEventStore(first.uri)
        assert ids(second.scan()) == ["a"]
        assert second.snapshot().position("s") == 4

    def test_a_lake_of_an_earlier_version_gets_the_columns_it_lacks(self):
        store = self.make()
        earlier = pl.Schema({name: kind for name, kind in LAKE_SCHEMA.items() if name not in ("region", "consent")})
        DeltaTable.create(store.uri, earlier, partition_by=["event_date"])
        put(store, [make_event("a", region="DE-BY")], {"s": 1})
        put(store, [make_event("b", consent="granted")], {"s": 2})
        assert store.scan(columns=["event_id", "region", "consent"]).sort("event_id").collect().rows() == [
            ("a", "DE-BY", None),
            ("b", None, "granted"),
        ]

    def test_the_log_holds_statistics_of_four_columns_only(self):
        store = self.make()
        put(store, [make_event("a", user_id="alice", page_url="/private", ip_address="203.0.113.9")])
        log = "\n".join(path.read_text() for path in Path(store.uri, "_delta_log").glob("*.json"))
        entries = [json.loads(line) for line in log.splitlines() if line]
        (added,) = [json.loads(entry["add"]["stats"]) for entry in entries if "add" in entry]
        assert set(added["minValues"]) == {"event_id", "event_time", "event_type", "product_id"}
        assert "alice" not in log
        assert "203.0.113.9" not in log

    def test_whole_days_go_without_rewriting(self):
        store = self.make()
        put(store, [make_event("a"), make_event("b", DAY + timedelta(days=40))])
        store.delete(older_than=DAY + timedelta(days=30), keep_types=["purchase"])
        entry = DeltaTable(store.uri).history(1)[0]
        assert entry["operation"] == "DELETE"
        assert entry["operationMetrics"]["num_copied_rows"] == 0

    def test_a_deletion_finds_rows_that_came_while_it_ran(self, monkeypatch):
        store = self.make()
        put(store, [make_event("a"), make_event("stays", event_type="purchase")])
        rivals = ["b", "c"]
        original = DeltaTable.delete

        def delete(table, *args, **kwargs):
            if rivals:
                put(DeltaEventStore(store.uri), [make_event(rivals.pop())])
            return original(table, *args, **kwargs)

        monkeypatch.setattr(DeltaTable, "delete", delete)
        assert store.delete(keep_types=["purchase"]) == 3
        assert ids(store.scan()) == ["stays"]

    def test_compaction_merges_busy_days_and_leaves_running_readers_alone(self):
        store = self.make()
        for number in range(10):
            put(store, [make_event(str(number))])
        put(store, [make_event("quiet", DAY + timedelta(days=3))])
        reader = store.scan()
        done = store.compact()
        assert (done["days"], done["files_before"], done["files_after"]) == (1, 11, 2)
        assert len(ids(reader)) == 11
        assert len(ids(store.scan())) == 11
        assert store.compact()["days"] == 0

    @pytest.mark.parametrize("rewrite", ["compact", "delete", "key_ids"])
    def test_two_rewriters_never_overlap(self, rewrite, monkeypatch):
        store = self.make()
        for name in "abcdefgh":
            put(store, [make_event(name)])
        options = {"compact": {"min_files": 2}, "key_ids": {"key": bytes(32), "older_than": DAY, "types": ["refund"]}}
        rival = threading.Thread(
            target=lambda: getattr(DeltaEventStore(store.uri), rewrite)(**options.get(rewrite, {"older_than": DAY}))
        )
        table = store._table
        seen = []

        def look():
            # As the first one has read the table the second begins; it must wait, or both take out the same files.
            if not seen:
                seen.append(True)
                rival.start()
                rival.join(0.3)
                seen.append(rival.is_alive())
            return table()

        monkeypatch.setattr(store, "_table", look)
        store.compact(min_files=2)
        rival.join(GENEROUS)
        assert seen == [True, True]
        assert ids(store.scan()) == list("abcdefgh")

    def test_many_processes_may_create_the_lake_at_once(self):
        uri = self.folder / "new"
        stores = [DeltaEventStore(uri) for _ in range(6)]
        failed = []

        def work(store):
            try:
                store.snapshot()
            except BaseException as error:  # noqa: BLE001  a thread's failure must fail the test
                failed.append(error)

        threads = [threading.Thread(target=work, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        put(stores[0], [make_event("a")])
        assert [ids(store.scan()) for store in stores] == [["a"]] * 6

    def test_duplicates_are_found_beside_many_files_and_days(self):
        store = self.make()
        frames = [
            to_frame([make_event(f"{day}-{n}", DAY + timedelta(days=day)) for n in range(50)]) for day in range(12)
        ]
        for frame in frames:
            store.commit(store.snapshot(), {}, frame)
        again = pl.concat([*frames, to_frame([make_event("new")])])
        result = store.commit(store.snapshot(), {}, again)
        assert (result.written, result.duplicates) == (1, 600)

    @pytest.mark.parametrize("rival", ["append", "delete", "key_ids", "compact"])
    def test_keying_starts_over_where_someone_was_faster(self, monkeypatch, rival):
        store = self.make()
        for number in range(3):
            put(store, [make_event(f"o{number}", event_type="purchase", user_id=str(number)), make_event(f"v{number}")])
        other, calls, real = DeltaEventStore(store.uri), [], event_store.write_deltalake

        def write(table, rows, **options):
            calls.append(options["mode"])
            # Between the snapshot that was read and its commit; by one that does not wait, as when a lease has run out.
            if len(calls) == 1:
                monkeypatch.setattr(event_store, "rewriting", lambda uri: contextlib.nullcontext())
                if rival == "append":
                    put(other, [make_event("late", event_type="purchase", user_id="9")])
                elif rival == "delete":
                    other.delete(older_than=DAY + timedelta(days=1), keep_types=["purchase"])
                elif rival == "key_ids":
                    assert self.key(other) == 3
                else:
                    other.compact(min_files=2)
            return real(table, rows, **options)

        monkeypatch.setattr(event_store, "write_deltalake", write)
        changed = self.key(store)
        orders = ["late"] * (rival == "append") + ["o0", "o1", "o2"]
        assert changed == (0 if rival == "key_ids" else len(orders))
        assert calls.count("overwrite") == 2
        rows = store.scan(columns=["event_id", "event_type", "user_id"]).sort("event_id").collect()
        assert rows.filter(event_type="purchase")["event_id"].to_list() == orders
        assert rows.filter(event_type="purchase")["user_id"].str.starts_with("key:").all()
        assert rows.filter(event_type="product_view").height == (0 if rival == "delete" else 3)

    def test_each_day_is_one_commit_and_a_killed_run_is_finished(self, monkeypatch):
        store = self.make()
        put(store, [make_event(str(n), DAY - timedelta(days=n), event_type="purchase", user_id="7") for n in range(4)])
        before, real = store.stats()["version"], event_store.write_deltalake
        calls = []

        def write(table, rows, **options):
            calls.append(rows.height)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(table, rows, **options)

        with monkeypatch.context() as patch:
            patch.setattr(event_store, "write_deltalake", write)
            with pytest.raises(KeyboardInterrupt):
                self.key(store)
        assert calls == [1, 1, 1]
        assert (store.stats()["version"], store.stats()["rows"]) == (before + 2, 4)
        assert self.key(store) == 2
        assert store.stats()["version"] == before + 4
        assert self.key(store) == 0
        assert store.stats()["version"] == before + 4

    def test_plain_ids_leave_the_disk_with_the_old_files(self):
        store = self.make()
        put(store, [make_event("o", event_type="purchase", user_id="alice", page_url="/alice")])

        def on_disk():
            return [path for path in Path(store.uri).rglob("*.parquet") if "alice" in str(pl.read_parquet(path).rows())]

        self.key(store)
        store.compact()
        assert len(on_disk()) == 1  # a reader that began before may still hold the file
        DeltaTable(store.uri).vacuum(retention_hours=0, dry_run=False, full=True, enforce_retention_duration=False)
        assert on_disk() == []
        assert not [p for p in Path(store.uri).rglob("*") if p.is_file() and b"alice" in p.read_bytes()]
        assert ids(store.scan()) == ["o"]

    def test_keyed_rows_are_on_disk_before_the_next(self):
        store = self.make()
        put(store, [make_event("o", event_type="purchase", user_id="alice")])
        self.key(store)
        assert Path(store.uri, "_synced").read_text() == str(store.stats()["version"])

    def test_a_lake_without_revisions_needs_no_search_for_them(self):
        store = self.make()
        put(store, [make_event("a")])
        assert "JOIN" not in store.scan().explain()
        put(store, [make_event("a", revision=1)])
        assert "JOIN" in store.scan().explain()

    def test_other_days_are_not_opened(self):
        store = self.make()
        put(store, [make_event("a"), make_event("b", DAY + timedelta(days=1))])
        for path in Path(store.uri).glob(f"{'event_date=' + str(DAY.date())}/*.parquet"):
            path.unlink()
        assert ids(store.scan(start=DAY + timedelta(days=1))) == ["b"]

    def test_a_folder_that_is_no_lake_is_said_so(self):
        folder = self.folder / "broken"
        (folder / "_delta_log").mkdir(parents=True)
        (folder / "_delta_log" / f"{0:020d}.json").write_text('{"metaData": 1}\n')
        with pytest.raises(StoreError, match="ML_STORAGE"):
            DeltaEventStore(folder).snapshot()


def put_without_snapshot(store, event, position):
    """Commit through a handle of its own, as a process does that dies before it looks at the lake again."""
    store.commit(event_store.DeltaSnapshot(DeltaTable(store.uri)), {"s": position}, to_frame([event]))


class TestDurability:
    def test_a_snapshot_vouches_for_what_is_on_disk(self, tmp_path):
        store = DeltaEventStore(tmp_path / "lake")
        put(store, [make_event("a")], {"s": 1})
        assert (tmp_path / "lake" / "_synced").read_text() == "0"
        store.snapshot()
        assert (tmp_path / "lake" / "_synced").read_text() == "1"

    def test_syncs_each_file_of_a_commit_before_the_mark(self, tmp_path, monkeypatch):
        from ml_models.adapters import lake_sync

        synced = []
        monkeypatch.setattr(lake_sync, "_fsync", lambda path: synced.append(path.name))
        store = DeltaEventStore(tmp_path / "lake")
        put(store, [make_event("a"), make_event("b", DAY + timedelta(days=1))], {"s": 1})
        synced.clear()
        store.snapshot()
        assert len([name for name in synced if name.endswith(".parquet")]) == 2
        assert f"{1:020d}.json" in synced
        assert "_delta_log" in synced
        assert f"event_date={DAY.date()}" in synced
        synced.clear()
        store.snapshot()
        assert synced == []

    def test_a_lake_that_was_made_anew_is_vouched_for_anew(self, tmp_path):
        store = DeltaEventStore(tmp_path / "lake")
        put(store, [make_event("a")], {"s": 1})
        store.snapshot()
        shutil.rmtree(tmp_path / "lake")
        put(store, [make_event("a")])
        store.snapshot()
        assert (tmp_path / "lake" / "_synced").read_text() == "1"

    @pytest.mark.parametrize("left", [0, 40])
    def test_a_log_entry_torn_by_a_power_cut_is_set_aside(self, tmp_path, left):
        store = DeltaEventStore(tmp_path / "lake")
        put(store, [make_event("a")], {"s": 1})
        store.snapshot()
        put(store, [make_event("b")], {"s": 2})
        entry = tmp_path / "lake" / "_delta_log" / f"{2:020d}.json"
        entry.write_bytes(entry.read_bytes()[:left])
        again = DeltaEventStore(tmp_path / "lake")
        assert again.snapshot().position("s") == 1
        assert put(again, [make_event("b")], {"s": 2}).written == 1
        assert ids(again.scan()) == ["a", "b"]

    @pytest.mark.parametrize("left", [0, 40, None])
    def test_an_entry_whose_data_did_not_reach_the_disk_is_set_aside_with_all_after_it(self, tmp_path, left):
        store = DeltaEventStore(tmp_path / "lake")
        put(store, [make_event("a")], {"s": 1})
        store.snapshot()
        before = DeltaTable(store.uri).file_uris()
        put_without_snapshot(store, make_event("b"), 2)
        torn = next(Path(path) for path in DeltaTable(store.uri).file_uris() if path not in before)
        put_without_snapshot(store, make_event("c"), 3)
        assert (tmp_path / "lake" / "_synced").read_text() == "1"
        if left is None:
            torn.unlink()
        else:
            os.truncate(torn, left)
        again = DeltaEventStore(tmp_path / "lake")
        assert again.snapshot().position("s") == 1
        assert put(again, [make_event("b"), make_event("c")], {"s": 3}).written == 2
        assert ids(again.scan()) == ["a", "b", "c"]

    def test_what_compaction_replaced_is_not_taken_for_torn(self, tmp_path):
        store = DeltaEventStore(tmp_path / "lake")
        for name in "abcdefghij":
            put(store, [make_event(name)])
        (tmp_path / "lake" / "_synced").unlink()
        before = DeltaTable(store.uri).file_uris()
        store.compact(min_files=2)
        (tmp_path / "lake" / "_synced").unlink()
        for path in before:
            Path(path).unlink()
        assert DeltaEventStore(tmp_path / "lake").snapshot().version == DeltaTable(store.uri).version()
        assert ids(store.scan()) == list("abcdefghij")

    def test_a_checkpoint_torn_by_a_power_cut_is_set_aside(self, tmp_path):
        store = DeltaEventStore(tmp_path / "lake")
        for number in range(52):
            put(store, [make_event(f"{number:02d}")], {"s": number + 1})
        checkpoints = list((tmp_path / "lake" / "_delta_log").glob("*.checkpoint.parquet"))
        assert checkpoints
        for path in checkpoints:
            os.truncate(path, 0)
        again = DeltaEventStore(tmp_path / "lake")
        assert again.snapshot().position("s") == 52
        assert len(ids(again.scan())) == 52

    def test_a_damaged_entry_that_was_on_disk_stays(self, tmp_path):
        store = DeltaEventStore(tmp_path / "lake")
        put(store, [make_event("a")], {"s": 1})
        store.snapshot()
        entry = tmp_path / "lake" / "_delta_log" / f"{1:020d}.json"
        entry.write_bytes(b"{")
        with pytest.raises(StoreError):
            DeltaEventStore(tmp_path / "lake").snapshot()
        assert entry.exists()
