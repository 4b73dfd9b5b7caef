import json
import subprocess
import sys

import pytest

from ml_models import auto_training, models, tasks
from ml_models.core.errors import InsufficientData, MLError, ModelNotFound
from tests.test_auto_training import shop  # noqa: F401  (a fixture)


def test_the_schedule_is_the_guides_table():
    from celery.schedules import crontab

    schedule = tasks.get_celery_beat_schedule()
    assert {entry["task"]: entry["schedule"] for entry in schedule.values()} == {
        "ml.process_training_data": crontab(minute="*/5"),
        "ml.auto_training_check": crontab(minute=0),
        "ml.check_drift": crontab(hour=1, minute=0),
        "ml.evaluate_models": crontab(hour=2, minute=0),
        "ml.export_training_data": crontab(hour=3, minute=0),
        "ml.generate_report": crontab(hour=6, minute=0),
        "ml.cleanup_old_data": crontab(hour=4, minute=0, day_of_week="sun"),
        "ml.scheduled_training": crontab(hour=2, minute=0, day_of_week="sat"),
    }


def test_the_schedule_is_read_while_settings_are_being_read():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("polars", "torch", "scipy", "ml_models.settings", "ml_models.orm"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from ml_models.tasks import get_celery_beat_schedule
assert len(get_celery_beat_schedule()) == 8
from django.conf import settings
assert not settings.configured
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_celery_the_module_imports_and_says_what_to_install():
    code = """
import sys
sys.modules["celery"] = None
sys.modules["celery.schedules"] = None
from ml_models.core.errors import ConfigError
from ml_models import tasks
assert tasks.train_model_task.name == "ml.train_model"
for call in (tasks.get_celery_beat_schedule, lambda: tasks.train_model_task.delay("ease", {}, "manual")):
    try:
        call()
    except ConfigError as error:
        assert "Celery is not installed" in str(error) and "bunoraa-ml[celery]" in str(error), error
    else:
        raise SystemExit("no error")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ALL = ["process_training_data", "train_model", "scheduled_training", "evaluate_models"]
ALL += ["auto_training_check", "check_drift", "export_training_data", "generate_report", "cleanup_old_data"]


@pytest.mark.parametrize("name", ALL)
def test_a_hosts_celery_settings_neither_end_nor_repeat_a_task(name):
    from celery import Celery

    with Celery("host", set_as_current=False) as host:
        host.conf.update(task_time_limit=600, task_soft_time_limit=540, task_acks_late=True)
        host.autodiscover_tasks(["ml_models"], force=True)
        host.finalize(auto=True)
        task = host.tasks[f"ml.{name}"]
        assert task.acks_late is False
        assert 3600 < task.soft_time_limit < task.time_limit


@pytest.mark.parametrize("name", ALL)
def test_switched_off_every_task_does_nothing(settings, name):
    settings.ML_ENABLED = False
    assert getattr(tasks, f"{name}_task")("x") == {"skipped": "ML_ENABLED is False"}


def test_a_training_as_a_task(shop):  # noqa: F811
    done = tasks.train_model_task("popular", {"half_life_days": 3.0}, "manual")
    assert done == {"model": "popular", "version": 1, "status": "ready", "promoted": True, "reason": "first version"}
    assert auto_training.get_registry().champion("popular").config["half_life_days"] == 3.0
    with pytest.raises(ModelNotFound):
        tasks.train_model_task("xyz", {}, "manual")


def test_a_training_as_a_task_may_be_forced(shop):  # noqa: F811
    shop(ML_AUTO_TRAINING_CONFIG={"min_users": 61, "min_interactions": 1, "min_products": 1})
    with pytest.raises(InsufficientData):
        tasks.train_model_task("popular")
    assert tasks.train_model_task("popular", {}, "manual", True)["status"] == "ready"


def test_every_enabled_model_is_trained_on_schedule(shop):  # noqa: F811
    shop(PRODUCTION=True, ML_MODELS={"test_days": 7, "enabled": ["popular", "item_knn"]})
    assert [done["model"] for done in tasks.scheduled_training_task()] == ["popular", "item_knn"]
    rows = auto_training.get_registry().versions.list()
    assert {row.trigger for row in rows} == {"scheduled"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"PRODUCTION": False}, "PRODUCTION is False"),
        ({"ML_AUTO_TRAINING": False}, "ML_AUTO_TRAINING is False"),
        ({"ML_AUTO_TRAINING_CONFIG": {"enabled": False}}, 'ML_AUTO_TRAINING_CONFIG["enabled"] is False'),
        ({"PRODUCTION": False, "ML_AUTO_TRAINING": False}, "PRODUCTION and ML_AUTO_TRAINING are False"),
    ],
)
def test_nothing_is_trained_on_schedule_where_a_switch_is_off(shop, changed, reason):  # noqa: F811
    shop(**{"PRODUCTION": True, **changed})
    assert tasks.scheduled_training_task() == {"skipped": reason}
    assert auto_training.get_registry().versions.list() == []


def test_a_model_that_fails_on_schedule_stops_no_other(shop, monkeypatch):  # noqa: F811
    def fail(self, data, run):
        raise ZeroDivisionError("no luck")

    shop(PRODUCTION=True, ML_MODELS={"test_days": 7, "enabled": ["ease", "popular"]})
    monkeypatch.setattr(models.get("ease"), "_fit", fail)
    first, second = tasks.scheduled_training_task()
    assert first == {"model": "ease", "error": "no luck"}
    assert (second["model"], second["status"]) == ("popular", "ready")
    shop(ML_MODELS={"test_days": 7, "enabled": ["ease"]})
    with pytest.raises(MLError, match="No model could be trained: ease: no luck"):
        tasks.scheduled_training_task()


def test_the_workers_time_limit_ends_a_scheduled_training(shop, monkeypatch):  # noqa: F811
    from celery.exceptions import SoftTimeLimitExceeded

    def late(self, data, run):
        raise SoftTimeLimitExceeded

    shop(PRODUCTION=True, ML_MODELS={"test_days": 7, "enabled": ["ease", "popular"]})
    monkeypatch.setattr(models.get("ease"), "_fit", late)
    with pytest.raises(SoftTimeLimitExceeded):
        tasks.scheduled_training_task()
    assert {row.name for row in auto_training.get_registry().versions.list()} == {"ease"}


def test_an_evaluation_as_a_task_is_plain_json(shop):  # noqa: F811
    tasks.train_model_task("popular", {}, "manual")
    assert tasks.evaluate_models_task()["models"][0]["name"] == "popular"


def test_the_daily_report_is_written_beside_the_lake(shop, tmp_path):  # noqa: F811
    from datetime import UTC, datetime

    from ml_models.core import clock

    tasks.train_model_task("popular", {}, "manual")
    with clock.use(clock.ManualClock(datetime(2024, 4, 2, 6, tzinfo=UTC))):
        first, *_ = tasks.generate_report_task()
    assert first == str(tmp_path / "data" / "reports" / "2024-04-02.json")


@pytest.mark.django_db
def test_export_and_cleanup_work_on_the_lake(shop, tmp_path):  # noqa: F811
    exported = tasks.export_training_data_task()["export"]
    assert exported["rows"] == 721
    assert json.dumps(exported)
    assert json.dumps(tasks.cleanup_old_data_task())
    from ml_models.adapters import build

    assert build.get_event_store().stats()["rows"] == 0  # all views, received in 2024, older than 90 days


@pytest.mark.django_db
def test_processing_brings_the_spool_into_the_lake(shop):  # noqa: F811
    from datetime import UTC, datetime

    from ml_models.adapters import build
    from ml_models.adapters.spool_memory import MemorySpool
    from ml_models.core.event import Event, encode_event

    spool = MemorySpool()
    build.override(spool=spool)
    now = datetime(2024, 4, 1, tzinfo=UTC)
    spool.append(
        [
            encode_event(
                Event(
                    event_id="00000000-0000-7000-9000-000000000001",
                    event_type="product_view",
                    event_time=now,
                    received_at=now,
                    user_id="1",
                    product_id="p1",
                )
            )
        ]
    )
    before = build.get_event_store().stats()["rows"]
    done = tasks.process_training_data_task()
    assert done["events"]["written"] == 1
    assert build.get_event_store().stats()["rows"] == before + 1
