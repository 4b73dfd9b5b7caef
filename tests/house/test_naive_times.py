"""A shop with `USE_TZ = False`, as many older ones have it: local times without a zone in every table."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from ml_models.adapters.catalogue import DjangoCatalogue
from ml_models.adapters.catalogue.values import to_column
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.data_collection.sync import sync_orders
from ml_models.orm import OnlineInteraction, SyncState
from tests.shop.models import Order, OrderItem, Product

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
SUMMER = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)  # 14:00 in Berlin, the shop's TIME_ZONE
ORDERS = {
    "product": {"model": "shop.Product", "fields": {"id": "pk"}},
    "order_line": {
        "model": "shop.OrderItem",
        "fields": {
            "order": "order.number",
            "product": "product_id",
            "unit_price": "unit_price",
            "when": "order.created_at",
            "updated": "order.updated_at",
        },
    },
}


@pytest.fixture
def naive(settings):
    settings.USE_TZ = False


def test_our_tables_hold_local_times_and_give_utc(naive):
    OnlineInteraction.objects.create(visitor="a:1", item_id="p", event_type="product_view", at=SUMMER)
    assert OnlineInteraction.objects.get().at == SUMMER
    assert OnlineInteraction.objects.get().at.tzinfo is UTC
    assert OnlineInteraction.objects.filter(at__gte=SUMMER, at__lt=SUMMER + timedelta(seconds=1)).exists()
    assert not OnlineInteraction.objects.filter(at__gt=SUMMER).exists()
    assert list(OnlineInteraction.objects.values_list("at", flat=True)) == [SUMMER]


def test_orders_are_synchronised_again_and_again(naive):
    product = Product.objects.create(name="Tea")
    for days in (40, 0):
        order = Order.objects.create(number=f"n{days}", created_at=timezone.make_naive(SUMMER) - timedelta(days=days))
        OrderItem.objects.create(order=order, product=product, unit_price="3.50")
    Order.objects.update(updated_at=datetime(2024, 7, 1, 14, 0))
    store = MemoryEventStore()
    with clock.use(clock.ManualClock(SUMMER + timedelta(hours=1))):
        first = sync_orders(catalogue=DjangoCatalogue(ORDERS), store=store)
        again = sync_orders(catalogue=DjangoCatalogue(ORDERS), store=store)
    assert (first.new, again.unchanged, again.full, again.vanished) == (2, 2, False, 0)
    assert max(row["event_time"] for row in store.scan().collect().to_dicts()) == SUMMER
    assert SyncState.objects.get(pk="orders").watermark == SUMMER


def test_only_what_came_since_is_read(naive):
    product = Product.objects.create(name="Tea")
    for number, hour in (("before", 13), ("after", 15)):
        moment = datetime(2024, 7, 1, hour)
        order = Order.objects.create(number=number, created_at=moment)
        OrderItem.objects.create(order=order, product=product, unit_price="3.50")
        Order.objects.filter(pk=order.pk).update(updated_at=moment)
    assert [order.id for order in DjangoCatalogue(ORDERS).orders(since=SUMMER)] == ["after"]


def test_a_moment_as_the_column_takes_it(settings):
    rows = OrderItem.objects.all()
    assert to_column(SUMMER, rows, "order__created_at") == SUMMER
    assert to_column(SUMMER, rows, "quantity") == int(SUMMER.timestamp())  # Unix seconds
    assert to_column(SUMMER, rows, "an_annotation") == SUMMER
    settings.USE_TZ = False
    assert to_column(SUMMER, rows, "order__created_at") == datetime(2024, 7, 1, 14)
