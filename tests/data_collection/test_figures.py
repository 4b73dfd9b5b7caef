"""Profiles and product figures through the task: as part of every run that has time for them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections

from ml_models.adapters import build, tables
from ml_models.adapters.catalogue import MemoryCatalogue
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.core.event import Event, encode_event
from ml_models.core.ids import uuid7
from ml_models.core.ports import Order, OrderItem
from ml_models.data_collection import figures
from ml_models.data_collection.product_analytics import get_stats
from ml_models.data_collection.user_profile import get_profile
from ml_models.orm import ProductStats, SyncState, UserProfile
from ml_models.tasks import process_training_data_task

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
NOW = datetime(2024, 6, 15, 10, 0, tzinfo=UTC)


@pytest.fixture
def shop(recorded):
    lake, orders = MemoryEventStore(), MemoryCatalogue()
    build.override(event_store=lake, catalogue=orders)
    with clock.use(clock.ManualClock(NOW)) as moment:
        orders.clock = moment
        yield orders


def view(recorded, product, user="1"):
    now = clock.now()
    event = Event(
        event_id=uuid7(), event_type="product_view", event_time=now, received_at=now, user_id=user, product_id=product
    )
    recorded.spool.append([encode_event(event)])


def test_a_run_of_the_task_brings_profiles_and_figures(shop, recorded):
    view(recorded, "p")
    line = OrderItem(product_id="p", quantity=2, unit_price=Decimal("3.50"))
    shop.all_orders.append(Order(id="1", when=NOW, items=(line,), currency="EUR", user_id="1"))
    done = process_training_data_task()
    assert (done["profiles"]["visitors"], done["products"]["products"]) == (1, 1)
    profile, stats = get_profile("u:1"), get_stats(["p"])["p"]
    assert (profile.events, profile.orders, profile.value_minor, profile.segment) == (2, 1, 700, "new")
    assert (stats.views_30d, stats.purchases_30d, stats.revenue_30d_minor) == (1, 1, 700)
    # Five minutes later again, and an order that was cancelled meanwhile is taken back.
    shop.all_orders[0] = Order(id="1", when=NOW, items=(line,), currency="EUR", user_id="1", meaning="cancelled")
    shop.clock.advance(minutes=5)
    process_training_data_task()
    assert (get_profile("u:1").orders, get_stats(["p"])["p"].purchases_30d) == (0, 0)


def test_a_collection_that_takes_long_comes_less_often(shop, recorded, monkeypatch):
    def slow():
        calls.append(clock.now() - NOW)
        shop.clock.advance(minutes=1)

    calls = []
    monkeypatch.setattr(figures, "collect_products", slow)
    for _ in range(12):
        figures.refresh_products()
        shop.clock.advance(minutes=5)
    assert calls == [timedelta(), timedelta(minutes=21), timedelta(minutes=42)], "a twentieth of the time"


def test_runs_close_together_collect_once(shop, recorded):
    view(recorded, "p")
    assert "profiles" in process_training_data_task()
    shop.clock.advance(minutes=1)
    assert {"profiles", "products"}.isdisjoint(process_training_data_task())


def test_two_workers_at_once_collect_once(shop, monkeypatch):
    def another():
        assert figures.refresh_profiles() is None
        return "done"

    monkeypatch.setattr(figures, "collect_profiles", another)
    assert figures.refresh_profiles() == "done"


def test_a_clock_that_was_put_back_does_not_stop_them(shop, monkeypatch):
    monkeypatch.setattr(figures, "collect_profiles", lambda: "done")
    SyncState.objects.create(pk="figures:profiles", updated_at=NOW + timedelta(days=400))
    assert figures.refresh_profiles() == "done"


@pytest.mark.parametrize("told", [True, False])
def test_databases_that_find_the_row_by_themselves_are_not_told_how(monkeypatch, told):
    """MySQL and MariaDB refuse the name of the key; the others need it."""
    asked = []
    monkeypatch.setattr(connections["default"].features, "supports_update_conflicts_with_target", told)
    monkeypatch.setattr("django.db.models.query.QuerySet.bulk_create", lambda self, rows, **how: asked.append(how))
    tables.upsert(tables.primary(UserProfile), [], "visitor", ["events"])
    assert asked == [
        {"update_conflicts": True, "unique_fields": ["visitor"] if told else None, "update_fields": ["events"]}
    ]


class LaggingReplica:
    """Reads of our tables go to a database that nobody has; writes to the one there is."""

    def db_for_read(self, model, **hints):
        return "replica" if model._meta.app_label == "ml" else None

    def db_for_write(self, model, **hints):
        return "default" if model._meta.app_label == "ml" else None


def test_workers_read_their_own_tables_where_they_are_written(shop, recorded, settings):
    from ml_models import signals
    from ml_models.data_collection import outbox

    view(recorded, "p")
    signals.emit_purchase(None, "1", items=["p"])
    shop.all_orders.append(Order(id="1", when=NOW, items=(OrderItem(product_id="p"),), user_id="1"))
    settings.DATABASE_ROUTERS = [LaggingReplica()]
    done = process_training_data_task()
    assert (done["outbox"]["written"], outbox.waiting()) == (1, 0)
    settings.DATABASE_ROUTERS = []
    assert (get_profile("u:1").orders, ProductStats.objects.get().purchases_30d) == (1, 1)
