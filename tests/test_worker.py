"""The worker: a simulated day, several workers, failures, restarts, and the process itself."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from ml_models.adapters.lease import Lease
from ml_models.core import clock
from ml_models.orm import SyncState
from ml_models.schedule import schedule
from ml_models.worker import Worker, functions
from tests.house.fresh import ROOT
from tests.waiting import GENEROUS

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
START = datetime(2025, 6, 6, 21, 59, 30, tzinfo=UTC)
"""Half a minute before midnight in Berlin, the time zone of the tests; the Saturday begins."""


@pytest.fixture
def time_():
    with clock.use(clock.ManualClock(START)) as manual:
        yield manual


@pytest.fixture
def ran():
    return Counter()


def make(ran, **options):
    """A worker whose tasks count themselves."""
    work = {name: lambda name=name: ran.update([name]) for name in schedule()}
    return Worker(work, inline=True, lease=Lease("worker", seconds=3600), **options)


def days(number):
    return START + timedelta(days=number)


def test_a_day_runs_the_guides_table(ran, time_):
    make(ran).run(until=days(1))
    assert ran == {
        "process_training_data": 288 + 1,  # and once at the start: it never ran
        "auto_training_check": 24 + 1,
        "check_drift": 1,
        "evaluate_models": 1,
        "export_training_data": 1,
        "generate_report": 1,
        "scheduled_training": 1,
    }


def test_a_task_that_never_ran_has_no_last_time(ran, time_):
    worker = make(ran)
    worker.run(until=START + timedelta(seconds=1))
    assert worker.last("evaluate_models") is None
    assert worker.last("process_training_data") == START
    assert worker.next("evaluate_models") == datetime(2025, 6, 7, 0, tzinfo=UTC)
    other = make(ran)
    other.run(until=days(1))
    assert other.last("evaluate_models") == datetime(2025, 6, 7, 0, tzinfo=UTC)
    assert other.last("cleanup_old_data") is None


def test_a_week_adds_what_is_weekly(ran, time_):
    worker = make(ran)
    for often in ("process_training_data", "auto_training_check"):
        del worker.times[often]
    worker.run(until=days(7))
    assert (ran["cleanup_old_data"], ran["scheduled_training"], ran["evaluate_models"]) == (1, 1, 7)


def test_what_was_missed_is_caught_up_once(ran, time_):
    make(ran).run(until=days(1))
    time_.set(days(5) + timedelta(minutes=1))
    ran.clear()
    assert make(ran).run(once=True)
    assert set(ran.values()) == {1}
    assert set(ran) == set(schedule()) - {"scheduled_training"}
    ran.clear()
    make(ran).run(once=True)
    assert ran == {}


def test_a_failing_task_is_tried_at_its_next_time_and_stops_no_other(ran, time_, caplog):
    told = []

    def fail():
        ran.update(["check_drift"])
        raise OperationalError("the lake is away")

    worker = make(ran, tell=lambda what, about: told.append((what, about)))
    worker._work["check_drift"] = fail
    worker.run(until=days(3))
    assert (ran["check_drift"], ran["evaluate_models"]) == (3, 3)
    failed = [about.error for what, about in told if what == "done" and about.error]
    assert failed == ["OperationalError: the lake is away"] * 3
    assert "ml.check_drift failed. It is tried again at its next time." in caplog.text


def test_a_task_that_takes_the_process_down_is_not_tried_for_ever(ran, time_):
    def die():
        ran.update(["process_training_data"])
        raise SystemExit

    for _ in range(3):
        worker = make(ran)
        worker._work["process_training_data"] = die
        with pytest.raises(SystemExit):
            worker.run(once=True)
        SyncState.objects.filter(pk="lease:worker").delete()  # its time is over
        make(ran).run(once=True)
        time_.advance(minutes=5)
    assert ran["process_training_data"] == 3


def test_of_several_one_leads_and_another_follows_when_it_dies(ran, time_):
    first, second = Lease("test", seconds=60), Lease("test", seconds=60)
    assert first.hold()
    assert not second.hold()
    assert second.holder == first.me
    time_.advance(seconds=50)
    assert first.hold()
    time_.advance(seconds=50)
    assert not second.hold()
    time_.advance(seconds=11)  # the first was killed: nothing renews it
    assert second.hold()
    assert not first.hold()
    second.release()
    assert first.hold()


def test_two_that_saw_the_same_state_do_not_both_lead(time_):
    leases = [Lease("test") for _ in range(20)]
    assert sum(lease.hold() for lease in leases) == 1
    time_.advance(minutes=5)
    seen = SyncState.objects.get(pk="lease:test")
    assert leases[3].hold()
    behind = SyncState.objects.filter(pk="lease:test", updated_at=seen.updated_at)
    assert behind.update(data={"holder": "late"}) == 0


def test_a_worker_that_does_not_lead_runs_nothing(ran, time_):
    assert Lease("worker", seconds=3600).hold()
    told = []
    led = make(ran, tell=lambda what, about: told.append(what)).run(until=START + timedelta(seconds=50))
    assert not led
    assert (told, ran) == (["waits"], {})


def test_a_database_that_fails_for_a_moment_ends_no_lease(time_, monkeypatch):
    lease = Lease("test", seconds=60)
    assert lease.hold()

    def locked(*arguments, **options):
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(SyncState.objects, "filter", locked)
        time_.advance(seconds=30)
        assert lease.hold()
        time_.advance(seconds=31)
        assert not lease.hold()


def test_a_database_that_fails_for_a_moment_costs_no_run(ran, time_, monkeypatch, caplog):
    worker = make(ran)
    save, failures = Worker._save, [1, 2]

    def failing(*arguments):
        if ran["evaluate_models"] == 0 and ran["check_drift"] == 1 and failures:
            failures.pop()
            raise OperationalError("server closed the connection")
        save(*arguments)

    monkeypatch.setattr(Worker, "_save", staticmethod(failing))
    worker.run(until=days(1))
    assert failures == []
    assert (ran["evaluate_models"], ran["scheduled_training"], ran["generate_report"]) == (1, 1, 1)
    assert "goes on when it answers again" in caplog.text
    failures.append(1)
    ran.clear()
    ran["check_drift"] = 1
    time_.advance(minutes=5)
    with pytest.raises(OperationalError):
        worker.run(once=True)


def test_the_tasks_are_those_of_the_app():
    assert set(functions()) <= set(schedule())
    assert {"process_training_data", "evaluate_models", "cleanup_old_data"} <= set(functions())


def test_settings_decide_how_often_the_spool_is_read(settings):
    settings.ML_DATA_COLLECTION = {"flush_interval": 60}
    assert Worker().times["process_training_data"].minute == "*/1"


# -- threads and processes ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_events_are_processed_while_a_training_takes_its_hours():
    training, processed = threading.Event(), threading.Event()
    work = {
        "scheduled_training": lambda: training.set() or processed.wait(GENEROUS),
        "process_training_data": lambda: training.wait(GENEROUS) and processed.set(),
    }
    SyncState.objects.create(
        pk="worker",
        updated_at=clock.now(),
        data={"began": {"scheduled_training": (clock.now() - timedelta(days=30)).isoformat()}},
    )
    told = []
    Worker(work, tell=lambda what, about: told.append((what, about))).run(once=True)
    assert {about.name: about.error for what, about in told if what == "done"} == dict.fromkeys(work, "")
    assert processed.is_set()


@pytest.mark.django_db(transaction=True)
def test_stopping_waits_for_the_running_task():
    begun, ended = threading.Event(), []
    worker = Worker({"process_training_data": lambda: begun.set() or time.sleep(0.3) or ended.append(1)})
    threading.Thread(target=lambda: begun.wait(GENEROUS) and worker.stop()).start()
    worker.run()
    assert ended == [1]
    assert not worker.running


SETTINGS = """
from pathlib import Path
from tests.settings import *
BASE_DIR = Path(__file__).parent
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "db.sqlite3")}}
"""

MANAGE = """
import sys
sys.modules["celery"] = None
import django; django.setup()
from django.core.management import call_command
from ml_models import tasks
if "slow" in sys.argv:
    import time
    def slow():
        print("slow task begins", flush=True)
        time.sleep(float(sys.argv[-1]))
        print("slow task ends", flush=True)
    tasks.process_training_data_task = slow
call_command(*sys.argv[1].split())
"""


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "workersettings.py").write_text(SETTINGS, encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "workersettings", "PYTHONPATH": paths, "TERM": "dumb"}
    environment.pop("DATABASE_URL", None)
    running = []

    def manage(*arguments, code=MANAGE, stdout=subprocess.PIPE, **more):
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                env=environment | more,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return running[-1]

    assert manage("migrate --verbosity=0").wait(GENEROUS) == 0
    yield manage
    for process in running:
        process.kill()
        process.communicate()


def until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def test_once_runs_what_is_due_without_celery(shop):
    done = shop("ml_worker --once")
    out, _ = done.communicate(timeout=GENEROUS)
    assert done.returncode == 0, out
    assert "this worker leads" in out
    assert "ml.process_training_data done in" in out
    out, _ = shop("ml_worker --once").communicate(timeout=GENEROUS)
    assert "ml.evaluate_models" not in out  # daily ones wait for their time


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_running_task(shop, number):
    worker = shop("ml_worker", "slow", "1")
    until(worker, "slow task begins")
    worker.send_signal(number)
    out, _ = worker.communicate(timeout=GENEROUS)
    assert worker.returncode == 0
    assert "slow task ends" in out


def test_a_second_signal_ends_it_at_once_and_another_follows(shop):
    worker = shop("ml_worker", "slow", "600")
    until(worker, "slow task begins")
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    worker.send_signal(signal.SIGTERM)
    out, _ = worker.communicate(timeout=GENEROUS)
    assert worker.returncode == -signal.SIGTERM
    assert "slow task ends" not in out
    out, _ = shop("ml_worker --once").communicate(timeout=GENEROUS)
    assert "Another ml_worker leads" in out  # until its lease is over


FILL = """
import django; django.setup()
from ml_models.adapters.build import get_spool
from ml_models.core.event import Event, encode_event
from ml_models.core import clock
from ml_models.core.ids import uuid7
now = clock.now()
for batch in range(300):
    fields = {"event_type": "product_view", "event_time": now, "received_at": now, "product_id": "1"}
    get_spool().append([encode_event(Event(event_id=uuid7(), **fields)) for _ in range(20)])
"""
COUNT = """
import django; django.setup()
from ml_models.adapters.build import get_event_store, get_spool
from ml_models.orm import SyncState
totals = SyncState.objects.get(pk="committer").data["totals"]
print(get_event_store().stats()["rows"], get_spool().stats()["records"], totals["read"])
"""
TASK = "import django; django.setup()\nfrom ml_models.tasks import process_training_data_task as task; task()"


def test_runs_of_the_processing_task_may_overlap(shop):
    """Beat may send it while the last one still works, and somebody may call the command."""
    assert shop("", code=FILL).wait(GENEROUS) == 0
    runs = [shop("", code=TASK) for _ in range(3)] + [shop("ml_collect --process")]
    said = [run.communicate(timeout=GENEROUS)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, said
    out, _ = shop("", code=COUNT).communicate(timeout=GENEROUS)
    assert out.split() == ["6000", "0", "6000"]


TOTALS = """
import django; django.setup()
from ml_models.data_collection.process import ProcessResult, _count
for _ in range(200):
    _count(ProcessResult(read=1))
"""
SUM = """
import django; django.setup()
from ml_models.orm import SyncState
print(SyncState.objects.get(pk="committer").data["totals"]["read"])
"""


def test_totals_of_several_processes_wait_for_each_other(shop):
    """On SQLite a transaction that reads before it writes fails at once where another writes."""
    runs = [shop("", code=TOTALS) for _ in range(3)]
    said = [run.communicate(timeout=GENEROUS)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 3, said
    assert shop("", code=SUM).communicate(timeout=GENEROUS)[0].strip() == "600"


def test_on_a_terminal_it_shows_the_table_and_ends_by_ctrl_c(shop):
    """Its lines are those of the guide's table, with what came of each."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    worker = shop("ml_worker", stdout=theirs, TERM="xterm", COLUMNS="100")
    os.close(theirs)
    seen, deadline = b"", time.monotonic() + GENEROUS
    while not re.search(rb"ml\.process_training_data[^\n]*\d\.\d s", seen):  # it has run
        assert time.monotonic() < deadline, seen.decode(errors="replace")
        if select.select([ours], [], [], 1)[0]:
            seen += os.read(ours, 65536)
    worker.send_signal(signal.SIGINT)
    while select.select([ours], [], [], 30)[0]:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    assert worker.wait(GENEROUS) == 0
    os.close(ours)
    text = seen.decode(errors="replace")
    assert "This worker leads (Europe/Berlin)" in text
    for name in schedule():
        if name in functions():
            assert f"ml.{name}" in text
