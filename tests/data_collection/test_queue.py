"""The background queue: never waits, never loses in silence, survives a refusing spool and a fork."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from ml_models.adapters.spool_memory import MemorySpool
from ml_models.core.errors import InvalidEvent, SpoolError
from ml_models.core.event import Event, decode_event
from ml_models.core.ids import uuid7
from ml_models.data_collection import counters
from ml_models.data_collection import queue as queue_module
from ml_models.data_collection.queue import BackgroundQueue
from tests.waiting import GENEROUS

NOW = datetime(2025, 3, 1, tzinfo=UTC)


def entry(name="x"):
    event = Event(event_id=uuid7(), event_type="page_view", event_time=NOW, received_at=NOW, session_id=name)
    return lambda: event


class WatchedSpool(MemorySpool):
    """Refuses the first `refusals` appends; says when something was stored."""

    def __init__(self, refusals=0):
        super().__init__()
        self.refusals = refusals
        self.stored = threading.Event()

    def append(self, records):
        if self.refusals > 0:
            self.refusals -= 1
            raise SpoolError("No space left on device. Free some.")
        super().append(records)
        self.stored.set()

    @property
    def names(self):
        return [
            decode_event(record).session_id
            for source in self.sources()
            for record in self.read(source, 0, 9999).records
        ]


def test_entries_are_stored_in_order(recorded):
    queue = BackgroundQueue(automatic=False, batch=3)
    for number in range(10):
        assert queue.put(entry(str(number)))
    assert queue.flush() == 10
    assert len(queue) == 0
    assert [event.session_id for event in recorded.events] == [str(number) for number in range(10)]


def test_overflow_is_refused_and_counted(recorded):
    queue = BackgroundQueue(automatic=False, size=5)
    taken = [queue.put(entry()) for _ in range(8)]
    assert taken == [True] * 5 + [False] * 3
    assert counters.snapshot()["overflow.queue_full"] == 3
    assert queue.flush() == 5


def test_one_bad_entry_costs_only_itself(recorded):
    def refused():
        raise InvalidEvent("missing", "product_id")

    def broken():
        raise RuntimeError("a product that cannot be read")

    def unstorable():
        event = entry()()
        event.session_id = "\ud800"
        return event

    queue = BackgroundQueue(automatic=False)
    for one in (entry("a"), refused, broken, unstorable, lambda: None, entry("b")):
        queue.put(one)
    queue.flush()
    assert [event.session_id for event in recorded.events] == ["a", "b"]
    assert counters.snapshot() == {"rejected.missing": 1, "queue.entry_failed": 1, "rejected.not_encodable": 1}


def test_a_refusing_spool_keeps_entries_waiting(recorded):
    spool = WatchedSpool(refusals=1)
    recorded.install(spool=spool)
    queue = BackgroundQueue(automatic=False)
    queue.put(entry("a"))
    with pytest.raises(SpoolError):
        queue.flush()
    assert len(queue) == 1
    queue.put(entry("b"))
    queue.flush()
    assert spool.names == ["a", "b"]


def test_the_thread_stores_by_itself_and_tries_again(recorded):
    spool = WatchedSpool(refusals=2)
    recorded.install(spool=spool)
    queue = BackgroundQueue(linger=0.0, retry=0.0)
    queue.put(entry("a"))
    assert spool.stored.wait(GENEROUS)
    queue.close(GENEROUS)
    assert spool.names == ["a"]
    assert counters.snapshot()["queue.spool_failed"] == 2


def test_closing_stores_what_waits(recorded):
    spool = WatchedSpool()
    recorded.install(spool=spool)
    queue = BackgroundQueue(linger=GENEROUS)
    for number in range(5):
        queue.put(entry(str(number)))
    queue.close(GENEROUS)
    assert spool.names == ["0", "1", "2", "3", "4"]
    assert "overflow.lost_at_exit" not in counters.snapshot()


def test_what_could_not_be_stored_at_exit_is_counted(recorded):
    queue = BackgroundQueue(linger=0.0, retry=GENEROUS)
    recorded.install(spool=WatchedSpool(refusals=1_000_000))
    queue.put(entry())
    queue.put(entry())
    queue.close(GENEROUS)
    assert counters.snapshot()["overflow.lost_at_exit"] == 2


def test_no_thread_before_the_first_entry():
    before = threading.active_count()
    BackgroundQueue()
    assert threading.active_count() == before


CHILD = """
import os, sys, tempfile
from pathlib import Path
import django
from django.conf import settings
folder = Path(sys.argv[1])
settings.configure(SECRET_KEY="x", BASE_DIR=folder, INSTALLED_APPS=["ml"], ML_STORAGE={"data": str(folder / "data")})
django.setup()
from ml_models.data_collection.events import EventTracker
from ml_models.data_collection.queue import BackgroundQueue
BackgroundQueue.close.__defaults__ = (300.0,)  # the deadline is another test's matter: a busy machine may miss it
track = EventTracker().track_event
assert track(session_id="parent", data={"action": "a"})
pid = os.fork()
if pid == 0:
    assert track(session_id="child", data={"action": "b"})
    sys.exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_stores_its_own_and_only_its_own_at_exit(tmp_path):
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], check=True, timeout=GENEROUS)
    from ml_models.adapters.spool_file import FileSpool

    spool = FileSpool(tmp_path / "data" / "spool")
    found = [
        decode_event(record).session_id for source in spool.sources() for record in spool.read(source, 0, 100).records
    ]
    spool.close()
    assert sorted(found) == ["child", "parent"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced(recorded, monkeypatch):
    """Whatever ends it (a database that cannot even be closed), the entries after it are stored."""
    spool = WatchedSpool()
    recorded.install(spool=spool)
    queue = BackgroundQueue(linger=0.0)
    with monkeypatch.context() as broken:
        broken.setattr(queue_module, "close_old_connections", lambda: 1 / 0)
        queue.put(entry("first"))
        queue._thread.join(GENEROUS)
        assert not queue._thread.is_alive()
    spool.stored.clear()
    queue.put(entry("second"))
    assert spool.stored.wait(GENEROUS)
    queue.close()
    assert spool.names == ["first", "second"]
