"""The hourly check: what is due, why, and that it is trained."""

import json
from datetime import timedelta

import pytest

from ml_models import auto_training, tasks, training_check
from ml_models.adapters import build
from ml_models.core import clock
from ml_models.core.event import Event
from ml_models.core.ids import uuid7
from ml_models.core.lake_schema import to_frame
from tests.test_auto_training import SMALL, START
from tests.test_auto_training import shop as lake  # noqa: F401  (a fixture)

AFTER = START + timedelta(days=30, hours=9)
"""After the lake's newest interaction; 11:00 in Berlin, the shop's TIME_ZONE."""


@pytest.fixture
def shop(lake):  # noqa: F811
    lake(PRODUCTION=True, ML_MODELS={"test_days": 7, "enabled": ["popular", "item_knn"]})
    with clock.use(clock.ManualClock(AFTER)) as now:
        lake.clock = now
        yield lake


def check():
    answer = tasks.auto_training_check_task()
    assert json.dumps(answer)
    return answer


def views(number):
    store, now = build.get_event_store(), clock.now()
    rows = [
        Event(
            event_id=uuid7(),
            event_type="product_view",
            event_time=now,
            received_at=now,
            user_id=str(n),
            product_id="p0",
        )
        for n in range(number)
    ]
    store.commit(store.snapshot(), {}, to_frame(rows))


def triggers(answer):
    return {one["model"]: one["trigger"] for one in answer["models"]}


@pytest.mark.parametrize("off", [{"PRODUCTION": False}, {"ML_AUTO_TRAINING": False}])
def test_only_where_automatic_training_is_on(shop, off):
    shop(**off)
    assert next(iter(off)) in check()["skipped"]
    assert auto_training.get_registry().versions.list() == []


def test_models_without_a_champion_are_trained_once(shop):
    first = check()
    assert triggers(first) == {"popular": "new_model", "item_knn": "new_model"}
    assert [(one["model"], one["promoted"]) for one in first["trained"]] == [("popular", True), ("item_knn", True)]
    assert {row.trigger for row in auto_training.get_registry().versions.list()} == {"new_model"}
    again = check()
    assert triggers(again) == {"popular": None, "item_knn": None}
    assert again["trained"] == []
    assert "0 interactions after those of version 1, of 5,000" in again["models"][0]["reason"]


def test_too_little_data_is_said_and_nothing_is_begun(shop):
    shop(ML_AUTO_TRAINING_CONFIG=SMALL | {"min_interactions": 100_000})
    answer = check()
    assert triggers(answer)["popular"] == "new_model"
    assert "721 interactions of at least 100,000" in answer["skipped"]
    assert auto_training.get_registry().versions.list() == []


def test_enough_new_interactions_make_a_training_due(shop):
    shop(ML_AUTO_TRAINING_CONFIG=SMALL | {"new_interactions_threshold": 50})
    check()
    shop.clock.advance(hours=2)
    views(49)
    assert triggers(check()) == {"popular": None, "item_knn": None}
    views(1)
    answer = check()
    assert triggers(answer) == {"popular": "data_threshold", "item_knn": "data_threshold"}
    assert [one["version"] for one in answer["trained"]] == [2, 2]


def test_an_old_version_is_trained_anew_at_the_hour_of_the_settings(shop):
    shop(ML_AUTO_TRAINING_CONFIG=SMALL | {"training_hour": 3})
    check()
    shop.clock.advance(days=7, hours=1)  # 12:00
    assert triggers(check()) == {"popular": None, "item_knn": None}
    shop.clock.advance(hours=15)  # 3:00 in Berlin
    answer = check()
    assert triggers(answer) == {"popular": "scheduled", "item_knn": "scheduled"}
    assert "days old, of at most 7" in answer["models"][0]["reason"]


def test_a_missed_hour_is_made_up_for(shop):
    shop(ML_AUTO_TRAINING_CONFIG=SMALL | {"training_hour": 3})
    check()
    shop.clock.advance(days=8)
    assert triggers(check()) == {"popular": "scheduled", "item_knn": "scheduled"}


def test_a_failed_training_is_not_repeated_every_hour(shop):
    registry = auto_training.get_registry()
    registry.fail(registry.begin("popular"), "the disk was full")
    shop.clock.advance(hours=2)
    answer = check()
    assert triggers(answer) == {"popular": None, "item_knn": "new_model"}
    assert "failed 2 h ago: the disk was full" in answer["models"][1]["reason"]
    shop.clock.advance(days=1)
    assert triggers(check())["popular"] == "new_model"


def test_a_training_under_way_is_not_begun_again_and_counts(shop):
    registry = auto_training.get_registry()
    registry.begin("popular")
    shop(ML_AUTO_TRAINING_CONFIG=SMALL | {"max_concurrent_trainings": 1})
    answer = check()
    assert triggers(answer) == {"popular": None, "item_knn": "new_model"}
    assert answer["skipped"] == "1 trainings run already, of at most 1"
    shop.clock.advance(days=2)
    assert training_check.trainings_under_way() == 0, "that one died"


def test_what_is_more_urgent_comes_first(shop):
    check()
    shop(ML_MODELS={"test_days": 7, "enabled": ["popular", "item_knn", "ease"], "config": {"ease": {}}})
    shop.clock.advance(days=9)
    assert [(one.model, one.trigger) for one in training_check.decide()] == [
        ("ease", "new_model"),
        ("popular", "scheduled"),
        ("item_knn", "scheduled"),
    ]
