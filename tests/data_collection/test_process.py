from datetime import timedelta

import msgspec
import pytest

from ml_models.adapters import build
from ml_models.adapters.dead_letters import DeadLetters
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.adapters.spool_file import FileSpool
from ml_models.adapters.spool_memory import MemorySpool
from ml_models.core import clock
from ml_models.core.errors import CommitConflict, StoreError
from ml_models.core.event import encode_event
from ml_models.data_collection.process import Committer, process_events
from ml_models.testing.event_store import DAY, ids, make_event


@pytest.fixture(params=["memory", "files"])
def parts(request, tmp_path):
    """(spool, store, dead letters), in memory and on disk."""
    dead = DeadLetters(tmp_path / "dead")
    if request.param == "memory":
        yield MemorySpool(), MemoryEventStore(), dead
        return
    spool = FileSpool(tmp_path / "spool", segment_bytes=2000)
    yield spool, DeltaEventStore(tmp_path / "lake"), dead
    spool.close()


def fill(spool, count, start=0):
    for number in range(start, start + count):
        spool.append([encode_event(make_event(f"{number:05d}", DAY + timedelta(minutes=number)))])


def test_everything_arrives_and_the_spool_is_emptied(parts):
    spool, store, dead = parts
    fill(spool, 50)
    result = Committer(spool, store, dead, batch_rows=20).run()
    assert (result.read, result.written, result.duplicates, result.dead, result.conflicts) == (50, 50, 0, 0, 0)
    assert result.commits >= 3
    assert ids(store.scan()) == [f"{number:05d}" for number in range(50)]
    assert spool.stats()["records"] == 0
    again = Committer(spool, store, dead).run()
    assert (again.read, again.commits) == (0, 0)


def test_an_empty_spool_commits_nothing(parts):
    spool, store, dead = parts
    before = store.stats()["version"]
    assert Committer(spool, store, dead).run().commits == 0
    assert store.stats()["rows"] == 0
    assert store.stats()["version"] in (before, 0)


def test_a_limit_leaves_the_rest_for_later(parts):
    spool, store, dead = parts
    fill(spool, 30)
    committer = Committer(spool, store, dead, batch_rows=8)
    assert committer.run(limit=20).read == 20
    assert store.stats()["rows"] == 20
    assert spool.stats()["records"] == 10
    assert committer.run(limit=20).read == 10


class Busy:
    """A store under steady traffic: with every commit something new comes into the spool."""

    def __init__(self, store, spool):
        self.store, self.spool, self.commits = store, spool, 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    def commit(self, *given):
        self.commits += 1
        fill(self.spool, 1, start=1000 * self.commits)
        return self.store.commit(*given)


def test_steady_traffic_does_not_hold_a_run_up(parts):
    spool, store, dead = parts
    fill(spool, 50)
    busy = Busy(store, spool)
    assert Committer(spool, busy, dead).run().read == 50
    assert Committer(spool, busy, dead).run().read == 1
    assert busy.commits == 2


def test_a_run_begins_no_batch_after_its_time(parts):
    spool, store, dead = parts
    fill(spool, 50)
    committer = Committer(spool, store, dead, batch_rows=10)
    with clock.use(clock.ManualClock(DAY)) as manual:
        late = committer.run(seconds=60, progress=lambda result: manual.advance(seconds=45))
        assert 20 <= late.read < 50
        assert store.stats()["rows"] == late.read
        assert committer.run(seconds=60).read == 50 - late.read


def test_progress_is_told_after_every_commit(parts):
    spool, store, dead = parts
    fill(spool, 10)
    seen = []
    Committer(spool, store, dead, batch_rows=4).run(progress=lambda so_far: seen.append(so_far.written))
    assert seen == [4, 8, 10]


def test_repeats_are_written_once_and_counted(parts):
    spool, store, dead = parts
    fill(spool, 5)
    fill(spool, 5)
    result = Committer(spool, store, dead, batch_rows=3).run()
    assert (result.read, result.written, result.duplicates) == (10, 5, 5)


def test_what_cannot_be_decoded_becomes_a_dead_letter_and_holds_nothing_up(parts):
    spool, store, dead = parts
    fill(spool, 2)
    wrong = msgspec.msgpack.encode({"event_id": 7})
    spool.append([b"\xc1rubbish", wrong])
    fill(spool, 2, start=2)
    result = Committer(spool, store, dead).run()
    assert (result.read, result.written, result.dead) == (6, 4, 2)
    assert spool.stats()["records"] == 0
    assert {(letter.reason, letter.path, letter.raw) for letter in dead} == {
        ("not_msgpack", "", b"\xc1rubbish"),
        ("wrong_type", "event_id", wrong),
    }


def test_records_of_an_earlier_version_go_into_the_lake_beside_new_ones(parts):
    spool, store, dead = parts
    fill(spool, 2)
    old = make_event("old", DAY)
    spool.append([msgspec.msgpack.encode(old)])
    fill(spool, 2, start=2)
    result = Committer(spool, store, dead).run()
    assert (result.read, result.written, result.dead) == (5, 5, 0)
    row = store.scan().collect().filter(event_id="old").to_dicts()[0]
    assert (row["event_time"], row["product_id"], row["source"]) == (old.event_time, old.product_id, old.source)


def test_rubbish_alone_moves_the_position_on(parts):
    spool, store, dead = parts
    spool.append([b"\xc1"])
    assert Committer(spool, store, dead).run().dead == 1
    assert Committer(spool, store, dead).run().read == 0


def test_a_row_that_the_frame_refuses_holds_nothing_up(parts, monkeypatch):
    from ml_models.core.errors import InvalidEvent
    from ml_models.data_collection import process

    spool, store, dead = parts
    fill(spool, 6)
    original = process.to_frame

    def picky(events):
        if any(event.event_id == "00003" for event in events):
            raise InvalidEvent("does_not_fit", "quantity")
        return original(events)

    monkeypatch.setattr(process, "frame_of_records", lambda records: None)
    monkeypatch.setattr(process, "to_frame", picky)
    result = Committer(spool, store, dead).run()
    assert (result.written, result.dead) == (5, 1)
    (letter,) = dead
    assert (letter.reason, letter.path) == ("does_not_fit", "quantity")


def test_after_a_lost_race_everything_is_read_again(parts):
    spool, store, dead = parts
    fill(spool, 12)
    rival = Committer(spool, store, dead)
    original, lost = store.commit, []

    def commit(snapshot, positions, rows):
        if not lost:
            lost.append(True)
            assert rival.run(limit=5).written == 5  # a rival is faster, in the middle of ours
        return original(snapshot, positions, rows)

    store.commit = commit
    result = Committer(spool, store, dead, batch_rows=4).run()
    assert result.conflicts >= 1
    assert (result.written, result.duplicates) == (7, 0)
    assert ids(store.scan()) == [f"{number:05d}" for number in range(12)]


def test_a_commit_whose_answer_was_lost_is_not_repeated(parts):
    spool, store, dead = parts
    fill(spool, 6)
    original, lost = store.commit, []

    def commit(snapshot, positions, rows):
        done = original(snapshot, positions, rows)
        if not lost:
            lost.append(True)
            raise CommitConflict("The answer was lost.")
        return done

    store.commit = commit
    Committer(spool, store, dead, batch_rows=3).run()
    assert store.stats()["rows"] == 6


def test_a_failing_lake_leaves_the_spool_as_it_was(parts):
    spool, store, dead = parts
    fill(spool, 6)

    def commit(snapshot, positions, rows):
        raise StoreError("The disk is full.")

    store.commit = commit
    with pytest.raises(StoreError):
        Committer(spool, store, dead).run()
    assert spool.stats()["records"] == 6


def test_sources_of_several_processes_are_all_read(tmp_path):
    spools = [FileSpool(tmp_path / "spool") for _ in range(3)]
    for number, spool in enumerate(spools):
        fill(spool, 4, start=10 * number)
    store = DeltaEventStore(tmp_path / "lake")
    result = Committer(spools[0], store, DeadLetters(tmp_path / "dead"), batch_rows=5).run()
    assert result.written == 12
    assert spools[0].sources() == []
    for spool in spools:
        spool.close()


@pytest.mark.django_db
def test_process_events_uses_the_settings_and_keeps_totals(tmp_path):
    from ml_models.orm import SyncState

    spool = MemorySpool()
    build.override(spool=spool, event_store=MemoryEventStore(), dead_letters=DeadLetters(tmp_path))
    try:
        fill(spool, 3)
        assert process_events().written == 3
        fill(spool, 5)
        assert process_events(limit=4).read == 4
    finally:
        build.reset()
    state = SyncState.objects.get(name="committer")
    assert state.data["totals"]["written"] == 4
    assert state.data["totals"]["duplicates"] == 3
    assert state.data["last"]["read"] == 4


def test_a_source_that_comes_forward_when_another_is_emptied_is_taken_in_the_same_run(tmp_path):
    class InTurn(MemorySpool):
        """Names its second half only once the first is trimmed."""

        def __init__(self):
            super().__init__()
            self.next = MemorySpool()

        def sources(self):
            return super().sources() or self.next.sources()

        def read(self, source, after, max_records):
            return (super() if source == self._name else self.next).read(source, after, max_records)

        def trim(self, source, upto):
            (super() if source == self._name else self.next).trim(source, upto)

    spool, store = InTurn(), MemoryEventStore()
    fill(spool, 5)
    fill(spool.next, 5, start=5)
    result = Committer(spool, store, DeadLetters(tmp_path / "dead")).run()
    assert (result.read, result.written) == (10, 10)
    assert spool.sources() == []
