from datetime import UTC, datetime, timedelta

import pytest

from ml_models.adapters import build
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.core.event import Event, EventItem
from ml_models.core.ids import MAX_ID, uuid7
from ml_models.core.lake_schema import to_frame
from ml_models.data_collection.product_analytics import collect_products, get_stats, trend
from ml_models.orm import ProductStats

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
NOW = datetime(2024, 6, 15, 10, 0, tzinfo=UTC)  # 12:00 in Berlin, the shop's TIME_ZONE


@pytest.fixture
def add(settings):
    """Put events into a lake of the test's own, at NOW less some time."""
    settings.ML_CATALOG = {}
    build.reset()
    store = MemoryEventStore()
    build.override(event_store=store)

    def add(event_type, product=None, *, ago=timedelta(), user="1", **fields):
        fields.setdefault("received_at", NOW)
        event = Event(
            event_id=uuid7(), event_type=event_type, event_time=NOW - ago, product_id=product, user_id=user, **fields
        )
        store.commit(store.snapshot(), {}, to_frame([event]))

    with clock.use(clock.ManualClock(NOW)) as now:
        add.clock = now
        yield add
    build.reset()


def test_windows_are_days_of_the_shop(add):
    add("product_view", "p", ago=timedelta(hours=11, minutes=59))  # 00:01 in Berlin: today
    add("product_view", "p", ago=timedelta(hours=12, minutes=1))  # 23:59 the day before
    add("product_view", "p", ago=timedelta(days=6, hours=11))
    add("product_view", "p", ago=timedelta(days=6, hours=13))  # the eighth day
    add("product_view", "p", ago=timedelta(days=29, hours=11))
    add("product_view", "p", ago=timedelta(days=29, hours=13))  # the 31st day
    assert collect_products().products == 1
    row = ProductStats.objects.get()
    assert [row.data[window]["views"] for window in ("1d", "7d", "30d")] == [1, 3, 5]
    assert row.views_30d == 5


def test_carts_purchases_revenue_and_conversion(add):
    for _ in range(4):
        add("product_view", "p")
    add("cart_add", "p")
    add("purchase", "p", quantity=2, unit_price=999, currency="EUR")
    items = [EventItem(product_id="p", quantity=3, unit_price=500), EventItem(product_id="q", unit_price=100)]
    add("purchase", items=items, currency="EUR", order_id="1", ago=timedelta(days=3))
    add("purchase", "p", quantity=1, unit_price=10_000, currency="USD")
    add("purchase", "p", quantity=9, unit_price=1, currency="EUR", data={"meaning": "cancelled"})
    add("product_view", "p", is_bot=True)
    result = collect_products()
    assert (result.products, result.currency, result.other_currencies) == (2, "EUR", 1)
    row = get_stats(["p", "nowhere"])["p"]
    assert row.data["1d"] == {
        "views": 4, "carts": 1, "purchases": 2, "quantity": 3, "revenue_minor": 1998, "conversion": 0.5,
    }  # fmt: skip
    assert (row.carts_30d, row.purchases_30d, row.revenue_30d_minor) == (1, 3, 1998 + 1500)
    other = get_stats(["q"])["q"]
    assert (other.purchases_30d, other.revenue_30d_minor, other.data["30d"]["conversion"]) == (1, 100, None)


def test_what_came_back_leaves_the_day_it_was_bought(add):
    """Of 3 at 5.00, 2 come back at 4.00; of 2 without a price named, 1; all of the third product."""
    lines = [
        EventItem(product_id="p", quantity=3, unit_price=500),
        EventItem(product_id="q", quantity=2, unit_price=333),
        EventItem(product_id="r", unit_price=100),
    ]
    add("purchase", items=lines, currency="EUR", order_id="1", ago=timedelta(days=3))
    back = [
        EventItem(product_id="p", quantity=2, unit_price=400),
        EventItem(product_id="q", quantity=1),
        EventItem(product_id="r", quantity=5),
    ]
    add("refund", items=back, currency="EUR", order_id="1", user=None, is_bot=True)
    collect_products()
    found = get_stats(["p", "q", "r"])
    week = {name: row.data["7d"] for name, row in found.items()}
    assert (week["p"]["purchases"], week["p"]["quantity"], week["p"]["revenue_minor"]) == (1, 1, 1500 - 800)
    assert (week["q"]["quantity"], week["q"]["revenue_minor"]) == (1, 333)
    assert "r" not in week, "nothing of it was bought"
    assert found["p"].data["1d"]["purchases"] == 0


def test_a_refund_in_another_currency_gives_back_pieces_at_the_orders_price(add):
    add("purchase", "p", quantity=4, unit_price=1000, currency="JPY", order_id="1")
    add("refund", "p", quantity=1, unit_price=100_000, currency="EUR", order_id="1")
    collect_products()
    assert ProductStats.objects.get().revenue_30d_minor == 3000


def test_lines_that_came_one_by_one_are_one_purchase(add):
    """Of an imported invoice: 2 + 3 of one product, of which 3 came back, the oldest first."""
    add("purchase", "p", quantity=2, unit_price=100, currency="EUR", order_id="1", ago=timedelta(hours=2))
    add("purchase", "p", quantity=3, unit_price=100, currency="EUR", order_id="1", ago=timedelta(hours=1))
    collect_products()
    row = ProductStats.objects.get()
    assert (row.purchases_30d, row.data["30d"]["quantity"], row.revenue_30d_minor) == (1, 5, 500)
    add("refund", "p", quantity=3, unit_price=100, currency="EUR", order_id="1")
    collect_products()
    row = ProductStats.objects.get()
    assert (row.purchases_30d, row.data["30d"]["quantity"], row.revenue_30d_minor) == (1, 2, 200)


def test_a_variant_inside_an_order_is_its_product(add, settings):
    class Shop:
        def canonical(self, ids):
            return {name: name.partition(":")[0] for name in ids}

    lake = build.get_event_store()
    settings.ML_CATALOG = {"product": {"model": "shop.Product", "fields": {"id": "id"}}}
    build.override(event_store=lake, catalogue=Shop())
    add("product_view", "p:red")
    lines = [EventItem(product_id=name, unit_price=100) for name in ("p:red", "p:blue", "p")]
    add("purchase", items=lines, currency="EUR", order_id="1")
    collect_products()
    row = ProductStats.objects.get()
    assert (row.item_id, row.views_30d, row.purchases_30d, row.revenue_30d_minor) == ("p", 1, 1, 300)


def test_the_shops_own_line_totals_go_before_the_rounded_prices(add):
    lines = [EventItem(product_id="p", quantity=3, unit_price=333), EventItem(product_id="q", unit_price=100)]
    add("purchase", items=lines, currency="EUR", order_id="1", source="sync", data={"totals": [1000, None]})
    add("purchase", items=lines, currency="EUR", order_id="2", source="outbox", data={"totals": [1, 1]})
    add("purchase", items=lines, currency="EUR", order_id="3", source="sync", data={"totals": "none"})
    collect_products()
    found = get_stats(["p", "q"])
    assert (found["p"].revenue_30d_minor, found["q"].revenue_30d_minor) == (1000 + 999 + 999, 300)


def test_bots_count_where_the_shop_keeps_them(add, settings):
    add("product_view", "p")
    add("product_view", "p", is_bot=True)
    collect_products()
    assert get_stats(["p"])["p"].data["1d"]["views"] == 1
    lake = build.get_event_store()
    settings.ML_TRACKING = {"exclude_bots": False}
    build.override(event_store=lake)  # the change of a setting forgot it
    collect_products()
    assert get_stats(["p"])["p"].data["1d"]["views"] == 2


def test_an_imported_line_total_goes_before_the_rounded_price(add):
    add("purchase", "p", quantity=3, unit_price=333, currency="EUR", source="import", data={"total": 1000})
    collect_products()
    assert ProductStats.objects.get().revenue_30d_minor == 1000


def test_a_total_in_a_shops_own_data_is_no_money(add):
    add("purchase", "p", quantity=3, unit_price=333, currency="EUR", source="server", data={"total": 7})
    collect_products()
    assert ProductStats.objects.get().revenue_30d_minor == 999


def test_a_view_that_came_twice_counts_once(add):
    add("product_view", "p", page_view_id="1", source="js")
    add("product_view", "p", page_view_id="1", source="middleware")
    add("product_view", "p", page_view_id="2", source="middleware")
    collect_products()
    assert ProductStats.objects.get().views_30d == 2


def test_trend_by_hand(add):
    for _ in range(10):
        add("product_view", "rising", ago=timedelta(days=1))
    for day in range(28):
        add("product_view", "steady", ago=timedelta(days=day))
    for _ in range(6):
        add("product_view", "falling", ago=timedelta(days=10))
    collect_products()
    found = get_stats(["rising", "steady", "falling"])
    assert found["rising"].trend == pytest.approx(10 / 14**0.5)
    assert found["steady"].trend == 0
    assert found["falling"].trend == pytest.approx(-2 / 6**0.5)
    assert (trend(10, 0), trend(7, 21), trend(0, 6)) == tuple(
        pytest.approx(found[name].trend) for name in ("rising", "steady", "falling")
    )
    assert trend(1, 0) < trend(2, 0) < trend(10, 0) < trend(100, 150)


def test_products_without_recent_events_are_zeroed_and_runs_repeat(add):
    add("purchase", "p", unit_price=100, currency="EUR")
    add("product_view", "q")
    collect_products()
    again = collect_products()
    assert (again.products, again.zeroed) == (2, 0)
    add.clock.advance(days=31)
    later = collect_products()
    assert (later.products, later.zeroed) == (0, 2)
    for row in ProductStats.objects.all():
        assert (row.views_30d, row.purchases_30d, row.revenue_30d_minor, row.trend) == (0, 0, 0, 0.0)
        assert row.data["30d"]["revenue_minor"] == 0
    assert collect_products().zeroed == 0


def test_one_query_reads_many(add, django_assert_num_queries):
    add("product_view", "p")
    collect_products()
    with django_assert_num_queries(1):
        assert list(get_stats([str(number) for number in range(500)] + ["p"])) == ["p"]


def test_an_id_may_be_as_long_as_an_event_takes_it(add):
    add("product_view", "x" * MAX_ID)
    collect_products()
    assert ProductStats.objects.get().item_id == "x" * MAX_ID


def test_an_empty_lake(add):
    assert collect_products().products == 0
