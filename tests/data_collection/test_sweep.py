"""What a forgotten person leaves on the way goes with the runs of the committer, whatever is killed or away."""

from datetime import timedelta

import pytest
from django.db import OperationalError

from ml_models.adapters import build
from ml_models.adapters.build import get_dead_letters, get_event_store, get_online_store, get_spool
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.core import clock
from ml_models.core.errors import StoreError
from ml_models.core.event import encode_event
from ml_models.core.query import Interaction
from ml_models.data_collection import sweep
from ml_models.data_collection.erase import forget
from ml_models.data_collection.person import Person
from ml_models.data_collection.process import process_events
from ml_models.data_collection.retention import apply_retention
from ml_models.orm import SyncState
from ml_models.testing.event_store import DAY, ids, make_event

pytestmark = pytest.mark.django_db

USER = Person(users=("needle-7",))
DEVICE = "needle-device-0001"


@pytest.fixture(autouse=True)
def now(tmp_path, settings):
    """The default stores in a folder of the test's own; the present is twenty days after `DAY`."""
    settings.ML_STORAGE = {"data": str(tmp_path / "data")}
    (tmp_path / "data").mkdir()
    build.reset()
    with clock.use(clock.ManualClock(DAY + timedelta(days=20))) as manual:
        yield manual
    build.reset()


def arrive(*names, user="needle-7", device=DEVICE, at=DAY):
    get_spool().append([encode_event(make_event(name, at, user_id=user, anonymous_id=device)) for name in names])


def record(*visitors):
    for visitor in visitors:
        get_online_store().record(visitor, [Interaction("p1", "product_view", DAY)])


def held(folder, needle=b"needle"):
    """Files in which it stands."""
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def notes():
    return SyncState.objects.filter(pk__startswith="late:")


# -- events that come late ----------------------------------------------------------------------------


def test_late_events_leave_nothing_behind(tmp_path, now):
    forget(USER)
    arrive("late")
    record("u:needle-7", f"a:{DEVICE}")
    now.advance(minutes=1)
    assert process_events().forgotten == 1
    assert get_online_store().recent("u:needle-7") == get_online_store().recent(f"a:{DEVICE}") == []
    assert held(tmp_path) == []
    now.advance(hours=2)
    process_events()
    assert not notes().exists()
    assert list((tmp_path / "data" / "late").iterdir()) == []


@pytest.mark.parametrize("point", ["after the commit", "while items go"])
def test_killed_after_the_commit_the_next_run_finishes(tmp_path, now, monkeypatch, point):
    forget(USER)
    arrive("late")
    record("u:needle-7")

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    where = (sweep, "sweep") if point == "after the commit" else (type(get_online_store()), "forget")
    with monkeypatch.context() as patch:
        patch.setattr(*where, killed)
        with pytest.raises(KeyboardInterrupt):
            process_events()
    assert ids(get_event_store().scan()) == []
    assert get_online_store().recent("u:needle-7")
    process_events()
    assert get_online_store().recent("u:needle-7") == []
    assert held(tmp_path) == []


def test_a_database_that_fails_and_a_lake_that_fails_later_lose_no_name(tmp_path, now, monkeypatch):
    forget(USER)
    arrive("late")
    record("u:needle-7")

    def locked(*arguments):
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(type(get_online_store()), "forget", locked)
        process_events()
    assert get_online_store().recent("u:needle-7")
    arrive("second")

    def fails(self, *arguments):
        raise StoreError("The lake could not be written (a test).")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaEventStore, "commit", fails)
        with pytest.raises(StoreError, match="a test"):
            process_events()
    assert get_online_store().recent("u:needle-7") == []
    assert process_events().forgotten == 1


def test_what_cannot_be_noted_is_not_dropped(monkeypatch):
    forget(USER)
    arrive("late")
    monkeypatch.setattr(SyncState.objects, "create", lambda **values: (_ for _ in ()).throw(OperationalError("locked")))
    with pytest.raises(StoreError, match="cannot be noted: locked"):
        process_events()
    assert get_spool().stats()["records"] == 1


def test_an_item_written_after_the_drop_goes_with_the_next_run(now):
    forget(USER)
    arrive("late")
    process_events()
    record("u:needle-7")  # the web process writes it a moment later
    now.advance(minutes=5)
    process_events()
    assert get_online_store().recent("u:needle-7") == []
    record("u:needle-7")
    process_events()
    assert get_online_store().recent("u:needle-7")  # what comes from now on is new


def test_an_item_written_while_rows_are_erased_goes_too(monkeypatch):
    arrive("waiting")
    process_events()
    real = DeltaEventStore.erase

    def erase(self, *arguments, **options):
        record("u:needle-7")
        return real(self, *arguments, **options)

    monkeypatch.setattr(DeltaEventStore, "erase", erase)
    assert forget(USER).complete
    assert get_online_store().recent("u:needle-7") == []


def test_database_and_redis_write_their_files_anew_once_an_hour_at_most(now, monkeypatch):
    told = []
    monkeypatch.setattr(type(get_online_store()), "scrub", lambda self: told.append(clock.now()) or "")
    forget(USER)
    told.clear()
    for number in range(6):
        arrive(f"late {number}")
        process_events()
        now.advance(minutes=25)
    assert len(told) == 2
    process_events()
    now.advance(hours=2)
    told.clear()
    process_events()
    assert told == []


# -- other hosts and idle slots -----------------------------------------------------------------------


def test_another_host_overwrites_what_it_still_holds(tmp_path, settings, now):
    def on(host):
        settings.ML_STORAGE = {"data": str(tmp_path / host), "lake": str(tmp_path / "lake")}
        (tmp_path / host).mkdir(exist_ok=True)
        build.reset()

    on("b")
    process_events()
    arrive("his")
    assert process_events().written == 1
    assert held(tmp_path / "b")
    on("a")
    assert forget(USER).complete
    on("b")
    assert held(tmp_path / "b")
    process_events()
    assert held(tmp_path / "b") == []
    on("a")
    assert process_events().forgotten == 0


def test_a_slot_nobody_uses_keeps_nothing_beyond_a_day_and_beyond_retention(tmp_path, now):
    process_events()
    arrive("old")
    process_events()
    build.reset()
    folder = tmp_path / "data" / "spool"
    assert held(folder)
    now.advance(hours=25)
    process_events()
    assert held(folder) == []
    arrive("newer")
    process_events()
    assert held(folder)
    apply_retention()
    assert held(folder) == []


# -- dead letters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "context"),
    [
        (b"{}", {"user_id": "needle-7"}),
        (b"{}", {"anonymous_id": DEVICE}),
        (b'{"user": {"customer_id": "needle-7"}}', {}),
        (b'{"x": "%s"}' % DEVICE.encode(), {}),
        (b'{"x": "%s' % DEVICE.upper().encode(), {}),
    ],
)
def test_a_letter_written_after_the_erasure_goes_with_the_next_run(now, payload, context):
    arrive("link")
    process_events()
    forget(USER)
    letters = get_dead_letters()
    letters.write("bad", "", b'{"user_id": "other-8", "x": "other-device-000001"}')
    letters.write("bad", "", payload, context=context)
    now.advance(minutes=5)
    process_events()
    assert [b"other-8" in letter.raw for letter in letters] == [True]


def test_letters_are_compared_once(now, monkeypatch):
    arrive("link")
    process_events()
    forget(USER)
    letters = get_dead_letters()
    letters.write("bad", "", b'{"user_id": "other-8"}')
    process_events()
    looked = []
    real = type(letters).__iter__
    monkeypatch.setattr(type(letters), "__iter__", lambda self: looked.append(1) or real(self))
    process_events()
    assert not looked
    letters.write("bad", "", b'{"user_id": "needle-7"}')
    process_events()
    assert looked
    assert len(list(letters)) == 1


def test_a_guest_is_known_by_the_address_in_a_letter(now):
    person = Person(emails=("ann@example.com",))
    forget(person)
    get_dead_letters().write("bad", "", b"<ann@example.com>", kind="event")
    process_events()
    assert list(get_dead_letters()) == []
