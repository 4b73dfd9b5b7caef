"""The guide's Python, run as written, and its events found where they go."""

import pytest
from django.contrib.auth.models import AnonymousUser

from ml_models.adapters.build import get_spool
from ml_models.core.event import decode_event
from ml_models.data_collection.queue import queue
from tests.guide.test_settings import execute


def spooled() -> list:
    queue.flush()
    spool = get_spool()
    return [decode_event(record) for source in spool.sources() for record in spool.read(source, 0, 1000).records]


@pytest.mark.runs("data-collection/manual-event-tracking#1")
def test_manual_event_tracking(snippet, rf, products):
    request = rf.get("/products/1/")
    request.user = AnonymousUser()
    product = products[0]
    execute(snippet, request=request, product=product)
    view, cart = spooled()
    assert (view.event_type, view.product_id, view.position) == ("product_view", str(product.pk), 1)
    assert view.data["source_page"] == "category"
    assert (cart.event_type, cart.product_id, cart.quantity) == ("cart_add", str(product.pk), 2)
    assert "blue-large" in (cart.variant_id, *cart.data.values())


@pytest.mark.runs("data-collection/custom-event-tracking#1")
def test_custom_event_tracking(snippet, django_user_model, place, db):
    user = django_user_model.objects.create_user("ann")
    execute(snippet, user=user)
    (event,) = spooled()
    assert (event.event_type, event.session_id, event.user_id) == ("custom", "session-123", str(user.pk))
    assert event.data == {"action": "video_play", "video_id": "456", "duration": 120}


@pytest.mark.runs("celery-tasks/configuration#1")
def test_celery_app(snippet):
    app = execute(snippet)["app"]
    app.loader.import_default_modules()
    assert app.main == "bunoraa"
    assert {"ml.process_training_data", "ml.train_model"} <= set(app.tasks)


@pytest.mark.runs("celery-tasks/manual-task-invocation#1")
def test_manual_task_invocation(snippet, capsys):
    """`delay('ncf', {}, 'manual')` is accepted as written; the broker here is Celery's own in memory."""
    from celery import Celery, current_app

    before = current_app._get_current_object()
    app = Celery("bunoraa", broker="memory://", backend="cache+memory://")
    app.set_default()
    try:
        execute(snippet)
    finally:
        before.set_default()
    out = capsys.readouterr().out
    assert "Task ID: " in out
    assert "Status: PENDING" in out
