"""A shop whose router gives our tables a database of their own: no transaction of ours is one of another database."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from ml_models import signals
from ml_models.adapters import build
from ml_models.adapters.catalogue import MemoryCatalogue
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.adapters.lease import Lease
from ml_models.adapters.online_store import KEEP, DatabaseOnlineStore
from ml_models.adapters.versions import DatabaseVersions
from ml_models.core import clock
from ml_models.core.event import Event, encode_event
from ml_models.core.ids import uuid7
from ml_models.core.ports import Interaction, Order, OrderItem, VersionRecord
from ml_models.data_collection import outbox
from ml_models.data_collection.product_analytics import get_stats
from ml_models.data_collection.user_profile import get_profile
from ml_models.orm import OnlineInteraction, SyncState
from ml_models.tasks import process_training_data_task

pytestmark = pytest.mark.django_db

NOW = datetime(2024, 6, 15, 10, 0, tzinfo=UTC)


class Apart:
    """Our tables are in a database of their own; reads go elsewhere where `readers` says so."""

    readers = "second"

    def db_for_read(self, model, **hints):
        return self.readers if model._meta.app_label == "ml" else None

    def db_for_write(self, model, **hints):
        return "second" if model._meta.app_label == "ml" else None


@pytest.fixture
def second(settings):
    named = {"default": {}, "second": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    connections.settings["second"] = connections.configure_settings(named)["second"]
    connections["second"].connect()  # at once: a test's guard would refuse it
    call_command("migrate", "ml", database="second", verbosity=0)
    router = Apart()
    settings.DATABASE_ROUTERS = [router]
    yield router
    settings.DATABASE_ROUTERS = []
    connections["second"].close()
    del connections["second"], connections.settings["second"]


@pytest.fixture
def begun(monkeypatch):
    """Databases of the transactions and savepoints that are begun."""
    found = []
    enter = transaction.Atomic.__enter__
    monkeypatch.setattr(transaction.Atomic, "__enter__", lambda self: (found.append(self.using), enter(self))[1])
    return found


def test_every_transaction_is_one_of_the_database_that_is_written(second, recorded, begun):
    line = OrderItem(product_id="p", quantity=2, unit_price=Decimal("3.50"))
    shop = MemoryCatalogue(orders=[Order(id="1", when=NOW, items=(line,), currency="EUR", user_id="1")])
    build.override(event_store=MemoryEventStore(), catalogue=shop)
    with clock.use(clock.ManualClock(NOW)), CaptureQueriesContext(connections["default"]) as others:
        view = Event(
            event_id=uuid7(), event_type="product_view", event_time=NOW, received_at=NOW, user_id="1", product_id="p"
        )
        recorded.spool.append([encode_event(view)])
        signals.emit_purchase(None, "1")
        assert (outbox.waiting(), begun) == (1, ["second"])
        done = process_training_data_task()
        assert (done["outbox"]["written"], done["events"]["written"], outbox.waiting()) == (1, 1, 0)
        assert (get_profile("u:1").events, get_stats(["p"])["p"].purchases_30d) == (2, 1)
        assert {"committer", "figures:profiles", "figures:products"} <= set(
            SyncState.objects.values_list("pk", flat=True)
        )
        versions = DatabaseVersions()
        for number in (1, 2):
            versions.create(VersionRecord(name="m", version=0, created_at=NOW, status="ready"))
            versions.promote("m", number, by="test", reason="better")
        assert versions.champions() == {"m": 2}
        assert Lease("x").hold()
        store = DatabaseOnlineStore()
        store.record("a:1", [Interaction("p", "view", NOW)])
        store.merge("a:1", "u:1")
        assert [one.item_id for one in store.recent("u:1")] == ["p"]
    assert set(begun) == {"second"}
    assert [query["sql"] for query in others] == []


def test_recent_items_are_trimmed_by_what_was_written(second):
    """A replica that lags does not know yet what is over the limit."""
    second.readers = "default"
    DatabaseOnlineStore(trim_every=1).record("a:1", [Interaction(f"p{n}", "view", NOW) for n in range(KEEP + 5)])
    assert OnlineInteraction.objects.using("second").count() == KEEP
