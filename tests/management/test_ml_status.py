import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ml_models.adapters import build
from ml_models.core import clock
from ml_models.core.event import Event, encode_event
from ml_models.core.ids import uuid7
from ml_models.core.lake_schema import to_frame
from ml_models.data_collection.process import process_events
from ml_models.orm import OutboxEvent
from tests.servers import NoServer, private_redis

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 6, 15, 10, 0, tzinfo=UTC)


@pytest.fixture
def empty(settings, tmp_path):
    settings.ML_STORAGE = {"data": tmp_path / "data", "models": tmp_path / "models"}
    settings.ML_AUTO_TRAINING_CONFIG = {"min_interactions": 3, "min_users": 2, "min_products": 2}
    build.reset()
    with clock.use(clock.ManualClock(NOW)) as now:
        yield now
    build.reset()


def status(*options):
    out = io.StringIO()
    call_command("ml_status", *options, stdout=out)
    return out.getvalue()


def as_json(*options):
    return json.loads(status("--json", *options))


def event(event_type="product_view", user="1", product="p", **fields):
    fields.setdefault("event_time", clock.now())
    return Event(
        event_id=uuid7(), event_type=event_type, received_at=clock.now(), user_id=user, product_id=product, **fields
    )


def test_an_empty_project_is_healthy_and_says_what_comes_next(empty):
    text = status()
    assert "no Redis configured: file spool" in text
    assert "Insufficient data for training: 0 interactions of at least 3" in text
    assert "python manage.py ml_train --model popular" in text
    answer = as_json()
    assert (answer["healthy"], answer["problems"]) == (True, [])
    assert set(answer) >= {"health", "data", "queue"}
    assert answer["data"]["enough_to_train"] is False


@pytest.mark.parametrize(("option", "own"), [("--health", "Models"), ("--data", "Data"), ("--queue", "Queue")])
def test_one_part(empty, option, own):
    text = status(option)
    titles = {line.strip() for line in text.splitlines()}
    assert titles & {"Models", "Data", "Queue"} == {own}
    assert set(as_json(option)) & {"health", "data", "queue"} == {option.removeprefix("--")}


def test_data(empty):
    store = build.get_event_store()
    rows = [event(user=str(n), product=str(n % 2)) for n in range(3)]
    rows.append(event("purchase", event_time=NOW - timedelta(days=3)))
    rows.append(event("page_view", product=None, event_time=NOW - timedelta(days=9)))
    store.commit(store.snapshot(), {}, to_frame(rows))
    data = as_json("--data")["data"]
    assert (data["events"], data["by_type"]) == (5, {"page_view": 1, "product_view": 3, "purchase": 1})
    assert (data["interactions"], data["users"], data["items"], data["enough_to_train"]) == (4, 3, 3, True)
    assert (data["first"][:10], data["last"][:10]) == ("2024-06-06", "2024-06-15")
    assert data["lake_bytes"] > 0
    assert data["retention_days"] == 90
    assert "Insufficient" not in status("--data")


def test_where_events_come_from_and_whether_the_tracker_confirms_them(empty):
    store = build.get_event_store()
    rows = [event("page_view", product=None, source="middleware", page_view_id=str(n)) for n in range(4)]
    rows += [event("page_view", product=None, source="js", page_view_id=str(n)) for n in (0, 1, 2, 9)]
    rows.append(event("page_view", product=None, source="middleware", page_view_id="bot", is_bot=True))
    old = event("page_view", product=None, source="middleware", page_view_id="old", event_time=NOW - timedelta(days=8))
    store.commit(store.snapshot(), {}, to_frame([*rows, old]))
    data = as_json("--data")["data"]
    assert data["by_source"] == {"js": 4, "middleware": 6}
    assert data["tracker"] == {"seen": 4, "matched": 3, "share": 0.75}
    assert "75% of 4 in 7 days" in status("--data")


def test_the_disk_is_told_and_a_near_limit_is_a_problem_with_its_remedy(empty, settings):
    store = build.get_event_store()
    old = [event(event_time=NOW - timedelta(days=n)) for n in range(1, 4)]
    store.commit(store.snapshot(), {}, to_frame(old))
    disk = as_json("--data")["data"]["storage"]
    assert disk["used"] > 0
    assert disk["forecast"].startswith("at ")
    assert "forecast" in status("--data")
    settings.ML_LIMITS = {"storage_bytes": disk["used"] + 10}
    with pytest.raises(CommandError, match=r"are used below ML_STORAGE.*raise the limit.*ml_collect --cleanup"):
        status("--data")


def test_a_large_lake_is_counted_once_a_day(empty, monkeypatch):
    from ml_models.data_collection import lake_counts

    monkeypatch.setattr(lake_counts, "LARGE", 3)
    store = build.get_event_store()
    for number, expected in ((2, 2), (3, 5), (1, 5)):
        rows = [event(user=str(n)) for n in range(number)]
        store.commit(store.snapshot(), {}, to_frame(rows))
        assert as_json("--data")["data"]["interactions"] == expected
    assert as_json("--data")["data"]["counted"] == NOW.isoformat()
    empty.advance(hours=25)
    assert as_json("--data")["data"]["interactions"] == 6


@pytest.mark.parametrize("part", ["--health", "--data", "--queue"])
def test_readable_at_80_columns(empty, part, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    build.get_dead_letters().write("wrong_type", "price", b"{}")
    assert max(map(len, status(part).split("Note:")[0].splitlines())) <= 80


def test_queue(empty):
    spool = build.get_spool()
    spool.append([encode_event(event()) for _ in range(3)])
    build.get_dead_letters().write("wrong_type", "price", b"{}")
    queue = as_json("--queue")["queue"]
    assert (queue["spool"]["records"], queue["spool"]["bytes"] > 0) == (3, True)
    assert queue["dead_letters"]["by_reason"] == {"wrong_type": 1}
    assert "wrong_type" in status("--queue")


def test_what_the_committer_did_and_when(empty):
    assert "committer" not in as_json("--queue")["queue"]
    for _ in range(2):
        build.get_spool().append([encode_event(event()) for _ in range(3)])
        process_events()
    empty.advance(seconds=90)
    committer = as_json("--queue")["queue"]["committer"]
    assert (committer["totals"]["written"], committer["totals"]["forgotten"]) == (6, 0)
    assert (committer["last"]["written"], committer["age_s"]) == (3, 90)
    lines = [line.strip("│ ").split("│") for line in status("--queue").splitlines()]
    shown = {line[0].strip(): line[-1].strip() for line in lines if len(line) > 1}
    assert shown["last run of the committer"].startswith("90 s ago, in ")
    assert (shown["events read, written"], shown["written"], shown["forgotten"]) == ("3, 3", "6", "0")


def test_a_slot_that_may_not_be_read_is_a_problem(empty, monkeypatch):
    monkeypatch.setattr(build.get_spool(), "_denied", {"000-x": "It belongs to root. chown -R www-data it"})
    with pytest.raises(CommandError, match="belongs to root"):
        status("--queue")


def test_events_that_wait_too_long_are_a_problem_with_its_remedy(empty):
    build.get_spool().append([encode_event(event())])
    empty.advance(hours=3)
    with pytest.raises(CommandError, match=r"the oldest for 3\.0 hours.*ml_collect --process") as raised:
        status("--queue")
    assert raised.value.returncode == 1


def test_orders_that_wait_are_counted_and_after_an_hour_a_problem(empty):
    assert as_json("--queue")["queue"]["outbox"] == {"waiting": 0, "oldest_age_s": 0.0}
    for _ in range(2):
        OutboxEvent.objects.create(event_id="x", event_type="purchase", record=b"{}", created_at=clock.now())
        empty.advance(minutes=20)
    assert as_json("--queue")["queue"]["outbox"] == {"waiting": 2, "oldest_age_s": 2400.0}
    text = status("--queue")
    assert "orders that wait in the outbox" in text
    assert "2,400 s" in text
    empty.advance(hours=3)
    with pytest.raises(
        CommandError, match=r"2 orders wait in the outbox, the oldest for 3\.7 hours.*ml_collect --process"
    ):
        status("--queue")


def test_redis_that_is_away(empty, settings):
    pytest.importorskip("redis")
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    with pytest.raises(CommandError, match=r"Could not connect to Redis at 127\.0\.0\.1:1.*redis-cli ping") as raised:
        status("--queue")
    assert "secret" not in str(raised.value)


def test_redis_that_is_there(empty, settings, redis_url):
    settings.REDIS_URL = redis_url
    assert as_json("--queue")["queue"]["redis"].startswith("connected to ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--appendonly", "no"), ["keeps no append-only file (appendonly no)", "Set appendonly yes"]),
        (("--appendonly", "no", "--rename-command", "CONFIG", ""), ["keeps no append-only file"]),
        (("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"), ["may evict events", "noeviction"]),
        (("--appendonly", "yes"), []),
    ],
)
def test_a_redis_that_may_lose_events_is_said(empty, settings, tmp_path, options, words):
    try:
        with private_redis(tmp_path, *options) as server:
            settings.REDIS_URL = server.url
            answer = as_json("--queue")
    except NoServer as error:
        pytest.skip(str(error))
    assert answer["healthy"] is True
    hints = [hint for hint in answer["hints"] if hint.startswith("Redis at")]
    assert len(hints) == bool(words)
    for word in words:
        assert word in hints[0]


@pytest.fixture
def trained(empty, tmp_path):
    """A champion `popular`, three days old."""
    from ml_models.auto_training import train

    store = build.get_event_store()
    rows = [
        event(user=str(n % 9), product=str(n % 5), event_time=NOW - timedelta(days=n % 40, seconds=n))
        for n in range(300)
    ]
    store.commit(store.snapshot(), {}, to_frame(rows))
    train("popular")
    empty.advance(days=3)


def test_a_champion(trained):
    model = as_json("--health")["health"]["models"]["popular"]
    assert (model["champion"], model["age_days"], model["artifact"]) == (1, 3.0, "ok")
    assert model["interactions"] == 300
    assert model["metrics"]
    text = status("--health")
    assert "v1" in text
    assert "3.0 days" in text


def test_what_the_last_check_for_drift_found(trained):
    from ml_models.tasks import check_drift_task

    assert as_json("--health")["health"]["drift"] is None
    check_drift_task()
    text = status("--health")
    assert "popular v1" in text
    assert "too little data" in text
    assert as_json("--health")["health"]["drift"]["figures"]["products"]["psi"] is None


def test_a_damaged_artifact_is_a_problem(trained):
    for path in build.get_model_store().path("popular", 1).glob("*.npy"):
        path.unlink()
    with pytest.raises(CommandError, match=r"Not healthy.\npopular v1 cannot be served: .*ml_train --model popular"):
        status("--health")


def test_switched_off(empty, settings):
    settings.ML_ENABLED = False
    assert "ML_ENABLED is False" in status()
    assert as_json() == as_json() | {"enabled": False, "healthy": True}


def test_tables_that_are_not_there_are_a_problem_with_its_remedy(empty, monkeypatch):
    from django.db import OperationalError

    from ml_models.adapters.versions import DatabaseVersions

    def missing(self):
        raise OperationalError("no such table: ml_servingmodel")

    assert "ml_servingmodel" in connection.introspection.table_names()
    monkeypatch.setattr(DatabaseVersions, "champions", missing)
    with pytest.raises(CommandError, match=r"no such table: ml_servingmodel\. Run python manage\.py migrate"):
        status("--health")
