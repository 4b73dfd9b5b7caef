"""`ML_ENABLED = False` makes the whole app inert: pages as without it, no file, no row, no query, no complaint."""

import json

import pytest
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ml_models import orm
from ml_models.data_collection.queue import queue


@pytest.fixture(autouse=True)
def off(settings, tmp_path):
    settings.ML_ENABLED = False
    settings.ML_STORAGE = {"data": tmp_path / "data", "models": tmp_path / "models"}
    # However wrong the rest is, a disabled app must not be able to stop the shop.
    settings.ML_TRACKING = ["of", "a", "foreign", "shape"]
    yield
    assert list(tmp_path.rglob("*")) == []


def rows() -> int:
    tables = [model for model in vars(orm).values() if isinstance(model, type) and hasattr(model, "objects")]
    return sum(model.objects.count() for model in tables)


@pytest.mark.django_db
def test_pages_are_as_without_the_app(client):
    with CaptureQueriesContext(connection) as queries:
        for path in ("/", "/products/1/"):
            response = client.get(path)
            assert response.status_code == 200
            assert response.cookies == {}
            assert "Server-Timing" not in response.headers
    assert len(queries) == 0
    assert queue.flush() in (0, None)
    assert rows() == 0


@pytest.mark.django_db
def test_the_endpoints_are_not_there(client):
    event = {"events": [{"event_type": "page_view", "page_url": "/"}]}
    answers = [
        client.post("/api/ml/track/", json.dumps(event), content_type="application/json"),
        client.get("/api/ml/recommendations/"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert [answer.cookies for answer in answers] == [{}, {}]
    assert rows() == 0


@pytest.mark.django_db
def test_signals_record_nothing(rf):
    from ml_models import signals
    from ml_models.data_collection.events import EventTracker, EventType

    assert signals.emit_product_view(rf.get("/"), product=1) is None
    assert signals.emit_cart_add(None, product=1) is None
    EventTracker().track_event(session_id="s", user_id=None, event_type=EventType.CUSTOM, data={"a": 1})
    queue.flush()
    assert rows() == 0


@pytest.mark.django_db
def test_logging_in_works_as_ever(client, django_user_model):
    django_user_model.objects.create_user("ann", password="secret")
    assert client.login(username="ann", password="secret")
    assert rows() == 0


def test_the_service_answers_with_nothing():
    from ml_models.core.query import Query
    from ml_models.services import recommend

    assert list(recommend(Query(type="popular")).items) == []


def test_nothing_is_checked():
    from django.core.checks import run_checks

    assert run_checks(tags=["ml"]) == []


ARGUMENTS = {"ml_import": ["--orders"], "ml_train": ["--all"], "ml_collect": ["--process"]}


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(name for name, app in get_commands().items() if app == "ml_models"))
def test_commands_say_that_the_app_is_off(name, capsys):
    """`ml_status` and `ml_init` only look, a person may always ask; every other command does nothing and says why."""
    if name in ("ml_init", "ml_forget", "ml_export_person"):
        return
    try:
        call_command(name, *ARGUMENTS.get(name, []))
        said = "".join(capsys.readouterr())
    except CommandError as error:
        said = str(error)
    assert "ML_ENABLED" in said
    assert rows() == 0


@pytest.mark.parametrize("name", ["process_training_data_task", "train_model_task", "scheduled_training_task"])
@pytest.mark.django_db
def test_tasks_do_nothing(name):
    from ml_models import tasks

    arguments = ("popular",) if name == "train_model_task" else ()
    getattr(tasks, name)(*arguments)
    assert rows() == 0
