"""The guide's settings, pasted as they are: they load, they check clean, and they mean what they say."""

import logging.config
import re
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import ERROR, run_checks
from django.test import override_settings
from django.urls import include, path

from ml_models.settings import get_settings
from tests.guide.snippets import Snippet, table


def execute(snippet: Snippet, **names: Any) -> dict[str, Any]:
    """Run a snippet; returns the names it defines. A line `...` in a list stands for what the shop has already."""
    space = dict(names)
    source = re.sub(r"^( +)\.\.\.$", r"\1...,", snippet.text, flags=re.MULTILINE)
    exec(compile(source, snippet.name, "exec"), space)
    return {name: value for name, value in space.items() if name not in names and name != "__builtins__"}


def given(snippet: Snippet) -> dict[str, Any]:
    """The settings a snippet sets, laid over this project's where it writes `...`."""
    found = {name: value for name, value in execute(snippet).items() if name.isupper()}
    for name, value in found.items():
        if isinstance(value, list) and ... in value:
            ours = [one for one in getattr(django_settings, name) if not str(one).startswith("ml")]
            found[name] = ours + [one for one in value if one is not ...]
    return found


def complaints(**settings: Any) -> list[str]:
    with override_settings(**settings):
        return [
            str(message) for message in run_checks(tags=["ml"]) if message.level >= ERROR or message.id == "ml.W001"
        ]


@pytest.mark.runs("quick-start/1-add-to-installed-apps#1")
def test_installed_apps(snippet):
    apps = given(snippet)["INSTALLED_APPS"]
    assert apps.count("ml") == 1
    assert complaints(INSTALLED_APPS=apps) == []


@pytest.mark.django_db
@pytest.mark.runs("quick-start/2-add-middleware#1")
def test_middleware(snippet, client):
    with override_settings(**given(snippet)):
        assert client.get("/").status_code == 200
        assert client.get("/products/1/").status_code == 200


@pytest.mark.runs("quick-start/3-add-url-patterns#1")
def test_url_patterns(snippet):
    (pattern,) = [one for one in execute(snippet, path=path, include=include)["urlpatterns"] if one is not ...]
    assert str(pattern.pattern) == "api/ml/"
    assert {str(inner.pattern) for inner in pattern.url_patterns} >= {"track/", "recommendations/"}


@pytest.mark.runs("quick-start/5-configure-for-production#1")
def test_production_switch(snippet):
    settings = given(snippet)
    assert complaints(**settings) == []
    with override_settings(**settings):
        assert get_settings().production
        assert get_settings().auto_training


@pytest.mark.runs("configuration/basic-settings#1")
def test_basic_settings(snippet):
    settings = given(snippet)
    assert set(settings) == {"ML_ENABLED", "REDIS_URL", "ML_AUTO_TRAINING", "ML_AUTO_TRAINING_CONFIG"}
    assert complaints(**settings) == []
    defaults = get_settings()
    with override_settings(**settings):
        read = get_settings()
    assert read.redis_url == "redis://localhost:6379/0"
    # The block is the documented default, and says so nowhere twice.
    assert (read.enabled, read.auto_training, read.auto_training_config) == (
        defaults.enabled,
        defaults.auto_training,
        defaults.auto_training_config,
    )


@pytest.mark.runs("configuration/production-settings#1")
def test_production_settings(snippet):
    settings = given(snippet)
    assert complaints(**settings) == []
    with override_settings(**settings):
        read = get_settings()
    for name, value in settings["ML_AUTO_TRAINING_CONFIG"].items():
        assert getattr(read.auto_training_config, name) == value
    assert read.production
    assert read.auto_retrain_on_drift
    assert read.auto_training_config.training_hour == 2  # not in the block: the default stays


@pytest.mark.runs("configuration/data-collection-settings#1")
def test_data_collection_settings(snippet):
    settings = given(snippet)
    assert complaints(**settings) == []
    with override_settings(**settings):
        read = get_settings().data_collection
    for name, value in settings["ML_DATA_COLLECTION"].items():
        assert getattr(read, name) == value


@pytest.mark.runs("configuration/tracking-settings#1")
def test_tracking_settings(snippet):
    settings = given(snippet)
    assert complaints(**settings) == []
    default = get_settings().tracking
    with override_settings(**settings):
        assert get_settings().tracking == default


@pytest.mark.runs("celery-tasks/add-beat-schedule#1")
def test_beat_schedule(snippet, guide):
    """The schedule is the guide's table, line by line, and may be made while settings.py runs."""
    from celery.schedules import crontab

    words = {
        "Every 5 min": crontab(minute="*/5"),
        "Every hour": crontab(minute=0),
        "Daily 1 AM": crontab(hour=1, minute=0),
        "Daily 2 AM": crontab(hour=2, minute=0),
        "Daily 3 AM": crontab(hour=3, minute=0),
        "Daily 6 AM": crontab(hour=6, minute=0),
        "Weekly Sun 4 AM": crontab(hour=4, minute=0, day_of_week=0),
        "Weekly Sat 2 AM": crontab(hour=2, minute=0, day_of_week=6),
    }
    expected = {row["Task"].strip("`"): words[row["Schedule"]] for row in table(guide, "Available Tasks")}
    schedule = execute(snippet)["CELERY_BEAT_SCHEDULE"]
    assert {entry["task"]: entry["schedule"] for entry in schedule.values()} == expected


@pytest.mark.runs("troubleshooting/debug-mode#1")
def test_debug_logging(snippet, caplog):
    """Laid into the shop's own LOGGING, the name it sets is the one this app logs under."""
    from ml_models import signals

    (name,) = given(snippet)["LOGGING"]["loggers"]
    assert signals.logger.name == name
    logging.config.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "incremental": True, **given(snippet)["LOGGING"]}
    )
    assert logging.getLogger(name).getEffectiveLevel() == logging.DEBUG
    logging.getLogger(name).setLevel(logging.NOTSET)
