"""Retention, export, replay and the `ml_collect` command."""

import json
import threading
from datetime import timedelta
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from django.core.management import CommandError, call_command

from ml_models.adapters import build
from ml_models.adapters.dead_letters import DeadLetters
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.adapters.online_store import MemoryOnlineStore
from ml_models.adapters.spool_memory import MemorySpool
from ml_models.core import clock
from ml_models.core.event import decode_event, encode_event
from ml_models.core.query import Interaction
from ml_models.data_collection import export
from ml_models.data_collection.export import export_training_data
from ml_models.data_collection.replay import replay_dead_letters
from ml_models.data_collection.retention import apply_retention
from ml_models.testing.event_store import DAY, ids, make_event, put


def in_force(parts):
    """Put the adapters in force, again after a setting was changed."""
    build.override(spool=parts[0], event_store=parts[1], dead_letters=parts[2], online_store=parts[3])
    return parts


@pytest.fixture
def parts(tmp_path):
    """(spool, store, dead letters, online store) in force."""
    stores = DeltaEventStore(tmp_path / "lake"), DeadLetters(tmp_path / "dead"), MemoryOnlineStore()
    yield in_force((MemorySpool(), *stores))
    build.reset()


@pytest.fixture
def store(parts):
    return parts[1]


@pytest.mark.django_db
class TestRetention:
    def test_behaviour_goes_orders_and_imported_history_stay(self, parts, settings):
        settings.ML_DATA_COLLECTION = {"retention_days": 10}
        store = in_force(parts)[1]
        put(
            store,
            [make_event("view"), make_event("order", event_type="purchase"), make_event("back", event_type="refund")],
        )
        put(store, [make_event("past", source="import"), make_event("late", DAY, received_at=DAY + timedelta(days=5))])
        with clock.use(clock.ManualClock(DAY + timedelta(days=11))):
            result = apply_retention()
            assert (result.events, result.older_than) == (1, DAY + timedelta(days=1))
            assert ids(store.scan()) == ["back", "late", "order", "past"]
            assert apply_retention(include_imported=True).events == 1
        assert ids(store.scan()) == ["back", "late", "order"]

    def test_recent_items_go_too(self, parts, settings):
        settings.ML_DATA_COLLECTION = {"retention_days": 10}
        online = in_force(parts)[3]
        online.record("a:1", [Interaction("old", "product_view", DAY)])
        online.record("a:1", [Interaction("young", "product_view", DAY + timedelta(days=5))])
        with clock.use(clock.ManualClock(DAY + timedelta(days=11))):
            assert apply_retention().recent == 1
        assert [one.item_id for one in online.recent("a:1")] == ["young"]


class TestExport:
    def rows(self, folder):
        return pl.read_parquet(f"{folder}/*/events.parquet", hive_partitioning=True)

    def test_writes_a_folder_a_day_with_every_column(self, store, tmp_path):
        put(store, [make_event("a", data={"x": 1}), make_event("b", DAY + timedelta(days=1))])
        result = export_training_data(tmp_path / "out")
        assert (result.days, result.rows, result.unchanged) == (2, 2, 0)
        assert sorted(path.name for path in (tmp_path / "out").glob("event_date=*")) == [
            "event_date=2025-03-10",
            "event_date=2025-03-11",
        ]
        frame = self.rows(tmp_path / "out")
        assert frame.sort("event_id").equals(store.scan().collect().sort("event_id"))

    def test_only_days_that_changed_are_written_again(self, store, tmp_path):
        put(store, [make_event("a"), make_event("b", DAY + timedelta(days=1))])
        export_training_data(tmp_path / "out")
        put(store, [make_event("c", DAY + timedelta(days=1))])
        told = []
        result = export_training_data(tmp_path / "out", progress=lambda done, total: told.append((done, total)))
        assert (result.days, result.rows, result.unchanged) == (1, 2, 1)
        assert told == [(1, 1)]
        assert export_training_data(tmp_path / "out").days == 0

    def test_a_second_export_waits_for_the_first(self, store, tmp_path, monkeypatch):
        put(store, [make_event("a")])
        original, rival = export._write, []

        def write(frame, path):
            if not rival:
                rival.append(threading.Thread(target=lambda: rival.append(export_training_data(tmp_path / "out"))))
                rival[0].start()
                rival[0].join(0.2)
                assert rival[0].is_alive()
            return original(frame, path)

        monkeypatch.setattr(export, "_write", write)
        assert export_training_data(tmp_path / "out").days == 1
        rival[0].join()
        assert (rival[1].days, rival[1].unchanged) == (0, 1)

    def test_a_killed_export_is_finished_without_redoing_a_day(self, store, tmp_path, monkeypatch):
        put(store, [make_event(str(n), DAY + timedelta(days=n)) for n in range(5)])
        original, written = export._write, []

        def write(frame, path):
            if len(written) == 3:
                path.parent.mkdir(exist_ok=True)
                path.with_suffix(".partial").write_bytes(b"half")
                raise KeyboardInterrupt
            written.append(path.parent.name)
            return original(frame, path)

        with monkeypatch.context() as patch:
            patch.setattr(export, "_write", write)
            with pytest.raises(KeyboardInterrupt):
                export_training_data(tmp_path / "out")
        result = export_training_data(tmp_path / "out")
        assert (result.days, result.unchanged) == (2, 3)
        assert self.rows(tmp_path / "out").height == 5
        assert not list((tmp_path / "out").glob("*/*.partial"))

    def test_days_that_left_the_lake_leave_the_export(self, store, tmp_path):
        put(store, [make_event("a"), make_event("b", DAY + timedelta(days=30))])
        export_training_data(tmp_path / "out")
        store.delete(older_than=DAY + timedelta(days=1))
        # A killed export had begun to write the day anew.
        (tmp_path / "out" / "event_date=2025-03-10" / "events.partial").write_bytes(b"half")
        assert export_training_data(tmp_path / "out").removed == 1
        assert not (tmp_path / "out" / "event_date=2025-03-10").exists()
        assert self.rows(tmp_path / "out").get_column("event_id").to_list() == ["b"]

    def test_a_torn_manifest_or_a_removed_file_is_repaired(self, store, tmp_path):
        put(store, [make_event("a"), make_event("b", DAY + timedelta(days=1))])
        export_training_data(tmp_path / "out")
        (tmp_path / "out" / "event_date=2025-03-10" / "events.parquet").unlink()
        assert export_training_data(tmp_path / "out").days == 1
        (tmp_path / "out" / "manifest.json").write_text("{")
        assert export_training_data(tmp_path / "out").days == 2
        assert json.loads((tmp_path / "out" / "manifest.json").read_text())["2025-03-10"]["rows"] == 1


class TestReplay:
    def test_what_is_valid_now_goes_to_the_spool_once(self, parts):
        spool, _, dead = parts[:3]
        good = encode_event(make_event("a"))
        dead.write("not_msgpack", "", good, kind="record")
        dead.write("not_msgpack", "", b"\xc1", kind="record")
        dead.write("bad_time", "line 7", b"1;2;3", kind="row")
        done = replay_dead_letters()
        assert (done.accepted, done.refused) == (1, 2)
        (source,) = spool.sources()
        assert spool.read(source, 0, 10).records == [good]
        assert replay_dead_letters().accepted == 0

    def test_a_browsers_event_comes_back_as_it_would_have_been(self, parts):
        spool, _, dead = parts[:3]
        known = {"received_at": DAY.isoformat(), "batch_id": "b1", "index": 2, "anonymous_id": "guest"}
        dead.write("was_strict", "", b'{"event_type": "page_view", "page_url": "/x"}', context=known)
        dead.write("was_strict", "", b'{"event_type": "page_view", "page_url": "/x"}')
        done = replay_dead_letters()
        assert (done.accepted, done.refused) == (1, 1)  # nothing is known about the second
        (source,) = spool.sources()
        event = decode_event(spool.read(source, 0, 1).records[0])
        assert (event.event_type, event.received_at, event.anonymous_id) == ("page_view", DAY, "guest")


@pytest.mark.django_db
class TestCommand:
    def call(self, *arguments):
        out = StringIO()
        call_command("ml_collect", *arguments, stdout=out)
        return out.getvalue()

    def test_process_says_what_it_did(self, parts):
        spool, store = parts[:2]
        spool.append([encode_event(make_event("a")), encode_event(make_event("a")), b"\xc1"])
        text = self.call("--process")
        assert "Processed 3 events: 1 new in the lake, 1 known already, 1 dead letters" in text
        assert "--replay" in text
        assert ids(store.scan()) == ["a"]
        assert "Processed 0 events" in self.call("--process")

    def test_process_and_export_in_one_go(self, parts, settings, tmp_path):
        spool = parts[0]
        spool.append([encode_event(make_event("a"))])
        settings.ML_STORAGE = {"data": tmp_path / "data"}
        in_force(parts)
        text = self.call("--export", "--process")
        assert "Exported 1 events in 1 days" in text
        assert (tmp_path / "data" / "exports" / "event_date=2025-03-10" / "events.parquet").is_file()

    def test_profiles_and_products_say_what_they_did(self, parts):
        put(parts[1], [make_event("a", user_id="7"), make_event("b", anonymous_id="guest")])
        with clock.use(clock.ManualClock(DAY + timedelta(days=1))):
            assert "2 visitor profiles written" in self.call("--profiles")
            assert "1 products with activity" in self.call("--products")

    def test_replay_says_what_it_did(self, parts):
        parts[2].write("bad", "", b"\xc1", kind="record")
        assert "0 accepted, 1 still refused" in self.call("--replay")

    def test_asks_what_to_do(self, parts):
        with pytest.raises(CommandError, match="--process"):
            self.call()

    def test_does_nothing_when_switched_off(self, parts, settings):
        settings.ML_ENABLED = False
        in_force(parts)
        parts[0].append([encode_event(make_event("a"))])
        assert "ML_ENABLED" in self.call("--process")
        assert parts[0].stats()["records"] == 1

    def test_a_failure_is_a_sentence(self, parts):
        parts[0].append([encode_event(make_event("a"))])
        log = parts[1].uri + "/_delta_log"
        parts[1].snapshot()
        Path(log, f"{0:020d}.json").write_text("{")
        with pytest.raises(CommandError, match="ML_STORAGE"):
            self.call("--process")
