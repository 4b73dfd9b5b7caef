"""Orders of untidy tables: without a number yet, with a time on each line, in a currency without a rate."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import Min

from ml_models.adapters.catalogue import DjangoCatalogue
from ml_models.adapters.catalogue import orders as module
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.data_collection.sync import sync_orders
from tests.shop import models as shop

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


def view(order, minutes, product=None):
    """A row of a table that holds lines with a time of their own; `session_key` names the order."""
    when = None if minutes is None else START + timedelta(minutes=minutes)
    product = product or shop.Product.objects.create(name="cup")
    return shop.ProductView.objects.create(product=product, session_key=order, created_at=when)


def timed_lines(**more):
    return {
        "order_line": {
            "model": "shop.ProductView",
            "fields": {"order": "session_key", "product": "product_id", "when": "created_at"},
            **more,
        }
    }


@pytest.fixture
def two_at_once():
    """Lines of two orders that lie between each other, and a third order after them."""
    for order, minutes in (("A", 0), ("B", 1), ("A", 2), ("B", 3), ("C", 4), ("A", 5)):
        view(order, minutes)


def said(mapping, since=None):
    return [(o.id, o.when - START, len(o.items)) for o in DjangoCatalogue(mapping).orders(since=since)]


@pytest.mark.parametrize(("chunk", "keys"), [(500, 50_000), (1, 1), (2, 2), (1, 2)])
def test_lines_with_times_of_their_own_are_one_order(two_at_once, monkeypatch, chunk, keys):
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module, "KEYS", keys)
    minute = timedelta(minutes=1)
    assert said(timed_lines()) == [("A", 0 * minute, 3), ("B", minute, 2), ("C", 4 * minute, 1)]
    # With a line that is new since then, the whole order comes, at the time of its first line.
    assert said(timed_lines(), since=START + 5 * minute) == [("A", 0 * minute, 3)]


def test_lines_that_the_shop_aggregates_are_read_as_they_are(two_at_once):
    def lines():
        return shop.ProductView.objects.annotate(first=Min("created_at")).filter(session_key="C")

    assert said(timed_lines(queryset=lines)) == [("C", timedelta(minutes=4), 1)]


def test_interleaved_orders_reach_the_lake_once(two_at_once):
    store = MemoryEventStore()
    catalogue = DjangoCatalogue(timed_lines())
    with clock.use(clock.ManualClock(START + timedelta(hours=1))):
        first, second = (sync_orders(catalogue=catalogue, store=store, full=True) for _ in range(2))
    assert (first.read, first.new, second.unchanged, second.changed) == (3, 3, 3, 0)
    rows = store.scan().collect().to_dicts()
    assert {row["order_id"]: len(row["items"]) for row in rows} == {"A": 3, "B": 2, "C": 1}
    assert {row["revision"] for row in rows} == {0}


# -- orders that have no number yet -----------------------------------------------------------------------


# A product with its variants stands for an order with its lines: `cost` is a column that may be empty.
FORMS = {
    "orders and lines": {
        "order": {"model": "shop.Product", "lines": "variants[]", "fields": {"id": "cost", "when": "created_at"}},
        "order_line": {"model": "shop.Variant", "fields": {"product": "sku"}},
    },
    "lines alone": {
        "order_line": {
            "model": "shop.Variant",
            "fields": {"order": "product.cost", "product": "sku", "when": "product.created_at"},
        }
    },
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_an_order_without_a_number_waits_and_is_counted(form, monkeypatch):
    monkeypatch.setattr(module, "KEYS", 1)
    for place, number in enumerate(("1.00", None, "2.00", None)):
        made = shop.Product.objects.create(name="an order", cost=number)
        shop.Product.objects.filter(pk=made.pk).update(created_at=START + timedelta(minutes=place))
        shop.Variant.objects.create(product=made, sku=f"s{place}")
    catalogue = DjangoCatalogue(form)
    assert [order.id for order in catalogue.orders()] == ["1.00", "2.00"]
    assert catalogue.failures == {"order.fields.id": 2}
    with clock.use(clock.ManualClock(START + timedelta(hours=1))):
        done = sync_orders(catalogue=catalogue, store=MemoryEventStore())
    assert (done.read, done.unreadable) == (2, {"order.fields.id": 2})
    assert str(done).endswith("Could not be read and left empty or out: order.fields.id (2); the log says why.")


def test_where_every_order_has_a_number_none_is_looked_for(django_assert_num_queries):
    section = {"model": "shop.Order", "fields": {"id": "number", "when": "created_at"}}
    catalogue = DjangoCatalogue(
        {"order": section, "order_line": {"model": "shop.OrderItem", "fields": {"product": "product_id"}}}
    )
    with django_assert_num_queries(1):
        assert list(catalogue.orders()) == []


# -- one row that cannot be read --------------------------------------------------------------------------


def rates(amount, currency, base, when):
    assert when.tzinfo is not None
    return amount * {"USD": 2}[currency]


def test_a_currency_without_a_rate_costs_the_price_alone(caplog):
    cup = shop.Product.objects.create(name="cup")
    for number, currency in enumerate(("DEM", "USD", "ATS")):
        made = shop.Order.objects.create(number=str(number), currency=currency, created_at=START)
        shop.OrderItem.objects.create(order=made, product=cup, unit_price="3.00")
    fields = {"product": "product_id", "unit_price": "unit_price"}
    catalogue = DjangoCatalogue(
        {
            "currency": "EUR",
            "convert": rates,
            "order": {"model": "shop.Order", "fields": {"id": "number", "when": "created_at", "currency": "currency"}},
            "order_line": {"model": "shop.OrderItem", "fields": fields},
        }
    )
    orders = list(catalogue.orders())
    assert [o.items[0].unit_price for o in orders] == [None, Decimal("6.00"), None]
    assert {o.currency for o in orders} == {"EUR"}
    assert catalogue.failures == {"order_line.fields.unit_price": 2}
    assert "convert failed for 3.00 DEM to EUR" in caplog.text
    with clock.use(clock.ManualClock(START + timedelta(hours=1))):
        done = sync_orders(catalogue=catalogue, store=MemoryEventStore())
    assert (done.new, done.unreadable) == (3, {"order_line.fields.unit_price": 2})


def test_a_product_is_converted_now_where_its_time_is_unmapped():
    for currency in ("USD", "DEM"):
        shop.Product.objects.create(name=currency, price="3.00", brand=currency)
    section = {"model": "shop.Product", "fields": {"name": "name", "price": "price", "currency": "brand"}}
    catalogue = DjangoCatalogue({"currency": "EUR", "convert": rates, "product": section})
    assert {p.name: p.price for p in catalogue.products()} == {"USD": Decimal("6.00"), "DEM": None}
    assert catalogue.failures == {"product.fields.price": 1}


class Unspeakable:
    def __str__(self):
        raise ValueError("no text")


@pytest.mark.parametrize(("field", "value", "left"), [("name", Unspeakable(), ""), ("created", 1e20, None)])
def test_a_value_that_cannot_be_turned_is_left_empty(field, value, left):
    shop.Product.objects.create(name="cup")
    catalogue = DjangoCatalogue({"product": {"model": "shop.Product", "fields": {field: lambda row: value}}})
    (product,) = catalogue.products()
    assert getattr(product, field) == left
    assert catalogue.failures == {f"product.fields.{field}": 1}
