from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ml_models.adapters import build
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.core.event import Event, EventItem, purchase_id
from ml_models.core.ids import uuid7
from ml_models.core.lake_schema import to_frame
from ml_models.core.ports import Product
from ml_models.data_collection.order_events import refund_id
from ml_models.data_collection.user_profile import collect_profiles, get_profile
from ml_models.orm import SyncState, UserProfile

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
NOW = datetime(2024, 6, 15, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class Shop:
    """Two categories; shoes cost 80 and 100, books 10."""

    def __init__(self, **more):
        self.products = {**self.products, **more}

    products = {
        "shoe": Product(id="shoe", category="Shoes", price=Decimal("80.00"), currency="EUR"),
        "boot": Product(id="boot", category="Shoes", price=Decimal("100.00"), currency="EUR"),
        "book": Product(id="book", category="Books", price=Decimal("10.00"), currency="EUR"),
    }

    def get(self, ids):
        return {name: self.products[name] for name in ids if name in self.products}

    def canonical(self, ids):
        return {name: name.partition(":")[0] for name in ids}


@pytest.fixture
def add():
    """Put events into a lake of the test's own, at NOW less some days."""
    build.reset()
    store = MemoryEventStore()
    build.override(event_store=store, catalogue=Shop())

    def add(event_type, product=None, *, days=0.0, user="1", **fields):
        fields.setdefault("event_id", uuid7())
        fields.setdefault("received_at", clock.now())
        event = Event(
            event_type=event_type, event_time=clock.now() - days * DAY, product_id=product, user_id=user, **fields
        )
        store.commit(store.snapshot(), {}, to_frame([event]))

    with clock.use(clock.ManualClock(NOW)) as now:
        add.clock, add.store = now, store
        yield add
    build.reset()


def test_a_profile_by_hand(add):
    add("page_view", days=40, device_type="mobile", browser="Safari 17", country="DE")
    add("product_view", "book", days=30, device_type="desktop", browser="Chrome 120")
    add("product_view", "shoe", days=20, device_type="mobile")
    lines = [EventItem(product_id="shoe", unit_price=8000), EventItem(product_id="boot", quantity=2, unit_price=10000)]
    add("purchase", items=lines, order_id="1", currency="EUR", days=20)
    add("purchase", "book", quantity=1, unit_price=1000, currency="EUR", order_id="2", days=10)
    add("purchase", "book", unit_price=1000, currency="EUR", order_id="3", data={"meaning": "cancelled"})
    assert collect_profiles().visitors == 1
    profile = get_profile("u:1")
    assert (profile.first_seen, profile.last_seen) == (NOW - 40 * DAY, NOW - 10 * DAY)
    assert (profile.events, profile.orders, profile.value_minor) == (5, 2, 8000 + 20000 + 1000)
    assert profile.last_order == NOW - 10 * DAY
    assert profile.data["devices"] == {"mobile": 2, "desktop": 1}
    assert profile.data["browsers"] == {"Safari 17": 1, "Chrome 120": 1}
    assert profile.data["hours"] == [12], "12:00 in Berlin"
    assert profile.data["types"] == {"page_view": 1, "product_view": 2, "purchase": 2}
    assert (profile.data["country"], profile.data["currency"], profile.data["pieces"]) == ("DE", "EUR", 4)
    assert (profile.data["average_order_minor"], profile.data["days_between_orders"]) == (14500, 10.0)
    # Weights: a view 1, a purchase 3; halved every 90 days from the newest interaction (10 days ago).
    shoes = (1 + 3 + 3) * 0.5 ** (10 / 90)
    books = 0.5 ** (20 / 90) + 3
    assert [one["category"] for one in profile.data["categories"]] == ["Shoes", "Books"]
    assert profile.data["categories"][0]["share"] == pytest.approx(shoes / (shoes + books), abs=1e-4)
    assert profile.data["price"] == {"low": 1000, "middle": 8000, "high": 8000}


def test_a_change_that_the_page_and_the_server_told_of_counts_once(add, settings):
    """The page names the variant and the server its product; what is a robot's stays one whichever copy is flagged."""
    settings.ML_CATALOG = {"product": {"model": "shop.Product", "fields": {"id": "id"}}}
    build.override(event_store=add.store, catalogue=Shop())
    told = {"quantity": 1, "anonymous_id": "A", "days": 3}
    add("cart_add", "shoe:red", source="js", **told)
    add("cart_add", "shoe", source="server", **told)
    view = {"anonymous_id": "A", "page_view_id": "v", "days": 2}
    add("product_view", "book", source="js", is_bot=True, **view)
    add("product_view", "book", source="middleware", **view)
    collect_profiles()
    profile = get_profile("u:1")
    assert profile.data["types"] == {"cart_add": 1}
    assert [one["category"] for one in profile.data["categories"]] == ["Shoes"]


@pytest.mark.parametrize(
    ("orders", "value", "segment"),
    [
        ([], 1, "visitor"),
        ([10], 1, "new"),
        ([60], 1, "new"),
        ([61], 1, "one_time"),
        ([10, 200], 1, "loyal"),
        ([10, 200], 900, "champion"),
        ([100, 200], 900, "at_risk"),
        ([181, 200], 900, "lost"),
        ([181], 1, "lost"),
    ],
)
def test_segments(add, orders, value, segment):
    for user in range(2, 12):
        add("purchase", "book", user=str(user), unit_price=50, order_id=f"other-{user}", currency="EUR")
    add("product_view", "book")
    for number, days in enumerate(orders):
        add("purchase", "book", days=days, unit_price=value, order_id=f"mine-{number}", currency="EUR")
    collect_profiles()
    assert get_profile("u:1").segment == segment


def test_scores_are_fifths_of_the_customers(add):
    for user in range(1, 11):
        for number in range((user + 1) // 2):
            add("purchase", "book", user=str(user), days=100 - user, unit_price=user * 10, order_id=f"{user}-{number}")
    add("product_view", "book", user="99")
    collect_profiles()
    found = [get_profile(f"u:{user}") for user in range(1, 11)]
    fifths = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [one.rfm_recency for one in found] == fifths
    assert [one.rfm_frequency for one in found] == fifths
    assert [one.rfm_value for one in found] == fifths
    other = get_profile("u:99")
    assert (other.rfm_recency, other.rfm_frequency, other.rfm_value) == (0, 0, 0)


def test_equal_customers_have_equal_scores(add):
    for user in range(1, 9):
        add("purchase", "book", user=str(user), unit_price=10, order_id=f"a-{user}")
    add("purchase", "book", user="8", unit_price=10, order_id="b-8")
    collect_profiles()
    assert [get_profile(f"u:{user}").rfm_frequency for user in range(1, 9)] == [1] * 7 + [5]


def test_hours_of_the_day_by_frequency(add):
    for hours in (0, 24, 48, 3, 27, 5, 6, 7):
        add("product_view", "book", days=hours / 24)
    collect_profiles()
    assert get_profile("u:1").data["hours"] == [12, 9, 5]


def test_time_alone_moves_the_segment(add):
    add("purchase", "book", unit_price=1, currency="EUR")
    collect_profiles()
    seen = []
    for days in (0, 61, 120):
        add.clock.advance(days=days)
        assert collect_profiles().visitors == 0
        seen.append(get_profile("u:1").segment)
    assert seen == ["new", "one_time", "lost"]


def test_lines_of_one_invoice_are_one_order(add):
    for product in ("shoe", "boot"):
        add("purchase", product, order_id="A1", unit_price=100, currency="EUR", source="import")
    collect_profiles()
    assert (get_profile("u:1").orders, get_profile("u:1").value_minor) == (1, 200)


def test_only_visitors_with_new_events_are_written(add):
    add("product_view", "book", user="1")
    add("product_view", "book", user="2")
    first = collect_profiles()
    assert (first.visitors, first.full) == (2, True)
    add.clock.advance(minutes=5)
    assert collect_profiles().visitors == 0
    add("product_view", "shoe", user="2")
    second = collect_profiles()
    assert (second.visitors, second.full) == (1, False)
    assert get_profile("u:2").events == 2
    assert get_profile("u:1").updated_at == NOW
    assert SyncState.objects.get(pk="profiles").watermark == NOW + timedelta(minutes=5)
    assert collect_profiles(full=True).visitors == 2


def test_an_event_that_reached_the_lake_late_is_not_missed(add):
    add("product_view", "book", user="1")
    collect_profiles()
    add("product_view", "book", user="2", received_at=NOW - timedelta(hours=20))
    assert collect_profiles().visitors == 1
    assert get_profile("u:2").events == 1


@pytest.mark.parametrize("meaning", ["cancelled", "refunded", "pending"])
def test_an_order_that_no_longer_counts_is_taken_back(add, meaning):
    order = {"product": "book", "unit_price": 1000, "currency": "EUR", "order_id": "7"}
    order["event_id"] = purchase_id("default", "7")
    add("product_view", "book", days=2)
    add("purchase", **order)
    collect_profiles()
    assert (get_profile("u:1").orders, get_profile("u:1").value_minor) == (1, 1000)
    add.clock.advance(days=3)
    add("purchase", **order, revision=1, data={"meaning": meaning})
    assert collect_profiles().visitors == 1
    assert (get_profile("u:1").orders, get_profile("u:1").value_minor) == (0, 0)
    assert get_profile("u:1").segment == "visitor"


def test_a_customer_of_a_cancelled_order_alone_has_no_profile(add):
    identity = purchase_id("default", "7")
    add("purchase", "book", order_id="7", event_id=identity)
    collect_profiles()
    add.clock.advance(days=3)
    add("purchase", "book", order_id="7", event_id=identity, revision=1, data={"meaning": "cancelled"})
    assert collect_profiles().removed == 1
    assert not UserProfile.objects.exists()


@pytest.mark.parametrize(("before", "after"), [("u:1", "u:2"), ("a:guest:9", "u:2"), ("u:1", "a:guest:9")])
def test_an_order_that_changes_hands_leaves_its_first_owner(add, before, after):
    def owner(visitor):
        kind, _, name = visitor.partition(":")
        return {"user": name, "anonymous_id": None} if kind == "u" else {"user": None, "anonymous_id": name}

    identity = purchase_id("default", "7")
    add("product_view", "book", days=5, **owner(before))
    add("purchase", "book", unit_price=1000, order_id="7", event_id=identity, **owner(before))
    collect_profiles()
    assert get_profile(before).orders == 1
    add.clock.advance(days=3)
    add("purchase", "book", unit_price=1000, order_id="7", event_id=identity, revision=1, **owner(after))
    assert collect_profiles().visitors == 2
    assert (get_profile(before).orders, get_profile(before).events, get_profile(after).orders) == (0, 1, 1)


# -- what came back -----------------------------------------------------------------------------------


def test_pieces_that_came_back_are_not_bought(add):
    """3 of 10.00 and 1 of 80.00; one of the three comes back, by a clerk who is not the customer."""
    lines = [EventItem(product_id="book", quantity=3, unit_price=1000), EventItem(product_id="shoe", unit_price=8000)]
    add("purchase", items=lines, order_id="7", currency="EUR", days=20)
    collect_profiles()
    add.clock.advance(days=3)
    back = [EventItem(product_id="book", quantity=1)]
    refund = {"event_id": refund_id("default", "7"), "order_id": "7", "currency": "EUR"}
    add("refund", user="clerk", items=back, **refund, data={"meaning": "refunded"})
    assert collect_profiles().visitors == 1
    profile = get_profile("u:1")
    assert (profile.orders, profile.value_minor, profile.data["pieces"]) == (1, 10_000, 3)
    assert get_profile("u:clerk") is None
    # The newest revision is what counts: now all of it came back, and then nothing.
    add.clock.advance(days=3)
    add("refund", user=None, items=lines, **refund, revision=1, data={"meaning": "refunded"})
    assert collect_profiles().visitors == 1
    profile = get_profile("u:1")
    assert (profile.orders, profile.value_minor, profile.segment) == (0, 0, "visitor")
    add.clock.advance(days=3)
    add("refund", user=None, items=lines, **refund, revision=2, data={"meaning": "cancelled"})
    assert collect_profiles().visitors == 1
    assert (get_profile("u:1").orders, get_profile("u:1").value_minor) == (1, 11_000)


def test_a_refund_of_another_order_or_site_takes_nothing(add):
    add("purchase", "book", quantity=2, unit_price=1000, order_id="7", currency="EUR")
    add("refund", "book", quantity=1, order_id="8")
    add("refund", "book", quantity=1, order_id="7", site="other")
    add("refund", "shoe", quantity=1, order_id="7")
    collect_profiles()
    assert get_profile("u:1").value_minor == 2000


def test_a_guest_who_logs_in_becomes_the_user(add):
    add("product_view", "book", user=None, anonymous_id="device")
    collect_profiles()
    assert get_profile("a:device").events == 1
    add.clock.advance(hours=1)
    add("identity_link", user="1", anonymous_id="device")
    result = collect_profiles()
    assert (result.visitors, result.removed) == (1, 1)
    assert get_profile("a:device") is None
    assert get_profile("u:1").events == 1
    # A second user on the device: nobody's history is merged any more.
    add.clock.advance(days=3)
    add("identity_link", user="2", anonymous_id="device")
    collect_profiles()
    assert get_profile("a:device").events == 1
    assert get_profile("u:1") is get_profile("u:2") is None


def test_bots_and_nobody_have_no_profile(add):
    add("product_view", "book", is_bot=True)
    add("product_view", "book", user=None)
    assert collect_profiles().visitors == 0
    assert not UserProfile.objects.exists()


def test_bots_have_a_profile_where_the_shop_keeps_them(add, settings):
    settings.ML_TRACKING = {"exclude_bots": False}
    build.override(event_store=add.store, catalogue=Shop())  # the change of a setting forgot them
    add("product_view", "book", is_bot=True)
    assert collect_profiles().visitors == 1


def test_other_currencies_do_not_add_up(add):
    for number in range(2):
        add("purchase", "book", unit_price=1000, currency="EUR", order_id=f"e{number}")
    add("purchase", "book", unit_price=99_000, currency="JPY", order_id="j")
    collect_profiles()
    assert (get_profile("u:1").orders, get_profile("u:1").value_minor) == (3, 2000)


def test_the_average_is_of_the_orders_that_it_adds_up(add):
    """20.00 EUR and 40.00 EUR are 30.00 on average, whatever was paid in yen or at an unknown price."""
    for number, price in enumerate((2000, 4000)):
        add("purchase", "book", unit_price=price, currency="EUR", order_id=f"e{number}")
    add("purchase", "book", unit_price=99_000, currency="JPY", order_id="j")
    add("purchase", "book", order_id="u")
    add("purchase", "book", user="2", unit_price=99_000, currency="JPY", order_id="k")
    collect_profiles()
    assert (get_profile("u:1").orders, get_profile("u:1").data["average_order_minor"]) == (4, 3000)
    assert (get_profile("u:2").orders, get_profile("u:2").value_minor) == (1, 0)
    assert "average_order_minor" not in get_profile("u:2").data


def test_price_quartiles_are_of_one_currency(add):
    yen = Product(id="fan", category="Fans", price=Decimal(90_000), currency="JPY")
    bare = Product(id="pen", category="Pens", price=Decimal("5.00"))
    build.override(event_store=add.store, catalogue=Shop(fan=yen, pen=bare))
    for product in ("fan", "pen", "book", "shoe"):
        add("product_view", product)
    collect_profiles()
    profile = get_profile("u:1")
    assert profile.data["price"] == {"low": 1000, "middle": 1000, "high": 8000}, "500, 1000 and 8000 in EUR"
    assert {one["category"] for one in profile.data["categories"]} == {"Fans", "Pens", "Books", "Shoes"}


def test_money_of_another_currency_is_counted_anew(add):
    add("purchase", "book", unit_price=1000, currency="EUR", order_id="e")
    add("purchase", "book", user="2", unit_price=500, currency="USD", order_id="u1")
    collect_profiles()
    assert [get_profile(f"u:{one}").value_minor for one in (1, 2)] == [1000, 0]
    add.clock.advance(days=3)
    for number in (2, 3):
        add("purchase", "book", user="3", unit_price=500, currency="USD", order_id=f"u{number}")
    assert collect_profiles().full
    assert [get_profile(f"u:{one}").value_minor for one in (1, 2, 3)] == [0, 500, 1000]


def test_a_variant_in_an_order_is_its_product(add, settings):
    """Two variants are two lines of the order, one product of it, and interest in the product's category."""
    settings.ML_CATALOG = {"product": {"model": "shop.Product", "fields": {"id": "id"}}}
    build.override(event_store=add.store, catalogue=Shop())
    lines = [EventItem(product_id=name, quantity=1, unit_price=8000) for name in ("shoe:red", "shoe:blue")]
    add("purchase", items=lines, order_id="7", currency="EUR")
    add("refund", items=[EventItem(product_id="shoe:blue", quantity=1)], order_id="7")
    collect_profiles()
    profile = get_profile("u:1")
    assert (profile.orders, profile.value_minor, profile.data["pieces"]) == (1, 8000, 1)
    assert profile.data["categories"] == [{"category": "Shoes", "share": 1.0}]
    assert profile.data["price"]["middle"] == 8000


def test_ids_may_be_long_and_one_too_long_costs_nobody_else_a_profile(add):
    email = "x" * 242 + "@example.com"
    assert len(email) == 254
    for user in (email, "y" * 256, "1"):
        add("product_view", "book", user=user)
    result = collect_profiles()
    assert (result.visitors, result.too_long) == (2, 1)
    assert get_profile(f"u:{email}").events == 1
    assert "1 with an id of more than 255 characters left out" in str(result)


def test_an_empty_lake_leaves_no_profile(add):
    add("product_view", "book")
    collect_profiles()
    add.store.delete()
    assert collect_profiles().removed == 1
    assert not UserProfile.objects.exists()


def test_one_query(add, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert get_profile("u:nobody") is None


def test_without_a_catalogue_and_without_events(add, settings):
    settings.ML_CATALOG = {}
    build.override(event_store=add.store)  # a changed setting forgets what was built
    assert collect_profiles().visitors == 0
    add("product_view", "book")
    collect_profiles()
    assert "categories" not in get_profile("u:1").data
