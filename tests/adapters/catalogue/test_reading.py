"""Products, orders and history of the test shop through mappings of every kind."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.db.models import Prefetch, Q
from django.utils import translation
from django.utils.translation import get_language

from ml_models.adapters.catalogue import DjangoCatalogue
from ml_models.adapters.catalogue.values import guest_key, to_date_time, to_decimal
from ml_models.core.errors import CatalogueError
from tests.shop import models as shop

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


def catalogue(model="shop.Product", section=None, **fields):
    return DjangoCatalogue({"product": {"model": model, "fields": fields, **(section or {})}})


def cup(**more):
    category = shop.Category.objects.create(name="Kitchen")
    return shop.Product.objects.create(**{"name": "cup", "category": category, "price": "4.20", **more})


def only(mapped):
    (product,) = mapped.products()
    return product


# -- products ---------------------------------------------------------------------------------------------


def test_an_unmapped_shop_is_empty_and_no_error():
    cup()
    for empty in (DjangoCatalogue({}), DjangoCatalogue()):
        assert empty.visible(["1"]) == set()
        assert empty.newest(5) == []
        assert empty.get(["1"]) == {}
        assert empty.canonical(["1"]) == {"1": "1"}
        assert (list(empty.products()), list(empty.orders()), list(empty.history())) == ([], [], [])
        assert not empty.has_products
        assert not empty.has_orders


def test_a_model_alone_is_a_mapping():
    row = cup(is_active=False, stock=0)
    mapped = DjangoCatalogue({"product": {"model": "shop.Product"}})
    assert mapped.newest(1) == [str(row.pk)]
    assert only(mapped).id == str(row.pk)
    assert list(mapped.orders()) == []


def test_every_field_at_once():
    row = cup(colour="b", tags=["x", "y"], cost="1.00")
    row.labels.set([shop.Label.objects.create(name=n) for n in ("one", "two")])
    shop.Variant.objects.create(product=row, sku="a", price="6.00", stock=0)
    shop.Variant.objects.create(product=row, sku="b", price="5.50", stock=2)
    mapped = catalogue(
        section={"attributes": {"colour": "get_colour_display", "skus": "variants[].sku", "cheapest": "cheapest"}},
        name="name",
        description=["description", "name"],
        category="category.name",
        categories="category.name",
        tags="labels[].name",
        price="min(variants[].price)",
        currency={"value": "eur"},
        in_stock="max(variants[].stock)",
        url="get_absolute_url",
        created="created_at",
    )
    product = only(mapped)
    assert (product.name, product.description, product.category) == ("cup", "cup", "Kitchen")
    assert (product.categories, product.tags) == (("Kitchen",), ("one", "two"))
    assert (product.price, product.currency, product.in_stock) == (Decimal("5.50"), "EUR", True)
    assert product.url == f"/products/{row.pk}/"
    assert product.created == row.created_at
    assert product.attributes == {"colour": "Blue", "skus": ["a", "b"], "cheapest": "5.50"}


def test_attributes_are_an_allow_list():
    cup(cost="1.00")
    assert only(catalogue(name="name")).attributes == {}


def test_missing_relations_and_files_are_empty(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    row = cup(category=None)
    mapped = catalogue(category="category.name", brand="category_name", image="images[0].image.url")
    assert (only(mapped).category, only(mapped).brand, only(mapped).image) == ("", "", "")
    image = shop.ProductImage.objects.create(product=row)
    assert only(mapped).image == ""
    assert only(catalogue(image="images[0].image")).image == ""
    assert only(catalogue(image="cover")).image == ""
    image.image.save("cup.png", ContentFile(b"x"))
    assert only(mapped).image.endswith("cup.png")
    assert only(catalogue(image="images[0].image")).image == only(mapped).image


def test_reading_takes_the_same_queries_however_many_products(django_assert_num_queries):
    category = shop.Category.objects.create(name="Kitchen")
    rows = [shop.Product.objects.create(name=str(n), category=category) for n in range(30)]
    for row in rows:
        shop.Variant.objects.create(product=row, sku=str(row.pk))
        shop.ProductImage.objects.create(product=row)
    # Nothing is said about select_related or prefetch_related: the paths themselves tell.
    mapped = catalogue(category="category.name", price="min(variants[].price)", image="images[0].image")
    ids = [str(row.pk) for row in rows]
    for some in (ids[:1], ids):
        with django_assert_num_queries(3):
            mapped.get(some)


def test_the_mapping_s_own_prefetch_is_kept(django_assert_num_queries):
    row = cup()
    shop.Variant.objects.create(product=row, sku="dear", price="9.00")
    shop.Variant.objects.create(product=row, sku="cheap", price="1.00")
    dear = Prefetch("variants", shop.Variant.objects.filter(price__gt=5))
    mapped = catalogue(section={"prefetch_related": [dear]}, price="min(variants[].price)")
    assert only(mapped).price == Decimal("9.00")


@pytest.mark.parametrize("stock", ["stock", "max(variants[].stock)", "any(variants[].stock)"])
def test_visible_and_newest_are_one_query_where_stock_is_sql(stock, django_assert_num_queries):
    row = cup(stock=3)
    shop.Variant.objects.create(product=row, sku="a", stock=1)
    sold = cup(stock=0)
    shop.Variant.objects.create(product=sold, sku="b", stock=0)
    mapped = catalogue(in_stock=stock)
    with django_assert_num_queries(1):
        assert mapped.visible([str(row.pk), str(sold.pk), "nothing"]) == {str(row.pk)}
    with django_assert_num_queries(1):
        assert mapped.newest(5) == [str(row.pk)]


def test_many_ids_are_more_than_one_statement_may_hold():
    rows = shop.Product.objects.bulk_create(shop.Product(name=str(n)) for n in range(3000))
    ids = [str(row.pk) for row in rows]
    assert catalogue().visible(ids) == set(ids)
    assert set(catalogue().get(ids)) == set(ids)


def test_sold_out_may_be_shown():
    row = cup(stock=0)
    assert catalogue(in_stock="stock").newest(5) == []
    assert catalogue(section={"sold_out": "show"}, in_stock="stock").newest(5) == [str(row.pk)]


def test_a_product_whose_stock_cannot_be_read_is_not_shown():
    row = cup()

    def broken(product):
        raise RuntimeError("the warehouse does not answer")

    mapped = catalogue(in_stock=broken)
    assert mapped.visible([str(row.pk)]) == set()
    assert mapped.failures == {"product.fields.in_stock": 1}


@pytest.mark.parametrize(
    "rule",
    [
        Q(stock__gt=0),
        {"stock__gt": 0},
        lambda: Q(stock__gt=0),
        lambda: {"stock__gt": 0},
        lambda: shop.Product.objects.filter(stock__gt=0),
        lambda rows: rows.filter(stock__gt=0),
        "tests.shop.visible.visible",
    ],
)
def test_visible_is_a_condition_or_a_function(rule):
    row = cup()
    cup(stock=0)
    mapped = catalogue(section={"visible": rule})
    assert mapped.newest(5) == [str(row.pk)]


def test_a_function_is_asked_every_time():
    row = cup()
    shown = []
    mapped = catalogue(section={"visible": lambda: Q(pk__in=shown)})
    assert mapped.newest(1) == []
    shown.append(row.pk)
    assert mapped.newest(1) == [str(row.pk)]


def test_a_visible_that_returns_nothing_is_a_clear_error():
    mapped = catalogue(section={"visible": lambda: None})
    with pytest.raises(CatalogueError, match="must return a Q or a queryset"):
        mapped.newest(1)


def test_an_id_may_be_any_column():
    cup(name="first")
    mapped = catalogue(id="name")
    assert mapped.newest(1) == ["first"]
    assert mapped.visible(["first", "1"]) == {"first"}


def test_ids_are_taken_in_their_own_form_only():
    row = cup()
    assert catalogue().visible([f"0{row.pk}", f" {row.pk}", f"+{row.pk}", f"{row.pk}.0"]) == set()
    one = shop.UuidProduct.objects.create(name="x")
    mapped = catalogue("shop.UuidProduct")
    assert mapped.visible([str(one.pk), str(one.pk).upper(), one.pk.hex]) == {str(one.pk)}


def test_newest_by_the_primary_key_where_no_time_is_mapped():
    rows = [cup(name=str(n)) for n in range(3)]
    assert catalogue().newest(2) == [str(rows[2].pk), str(rows[1].pk)]


def test_products_since_a_time():
    old, new = cup(name="old"), cup(name="new")
    shop.Product.objects.filter(pk=old.pk).update(updated_at=START - timedelta(days=1))
    shop.Product.objects.filter(pk=new.pk).update(updated_at=START + timedelta(days=1))
    assert [p.name for p in catalogue(name="name", updated="updated_at").products(since=START)] == ["new"]
    # Without a column to filter by, everything is scanned, and a computed time still decides.
    computed = catalogue(name="name", updated=lambda row: row.updated_at)
    assert [p.name for p in computed.products(since=START)] == ["new"]
    assert {p.name for p in catalogue(name="name").products(since=START)} == {"old", "new"}


def test_a_queryset_function_may_annotate():
    from django.db.models import F

    row = cup(price="4.00")
    mapped = catalogue(
        section={"queryset": lambda: shop.Product.objects.annotate(double=F("price") * 2)}, price="double", name="name"
    )
    assert mapped.get([str(row.pk)])[str(row.pk)].price == Decimal("8.00")


def test_languages_are_read_under_their_own_translation():
    cup()

    def title(row):
        return {"en": "cup", "de": "Tasse", "fr": "cup"}[get_language()]

    mapped = catalogue(section={"languages": ["en", "de", "fr"]}, name=title)
    with translation.override("it"):
        product = only(mapped)
        assert get_language() == "it"
    assert product.name == "cup"
    assert product.attributes == {"translations": {"de": {"name": "Tasse"}}}


def test_prices_are_converted_to_the_base_currency():
    cup(price="10.00", brand="USD")
    mapped = DjangoCatalogue(
        {
            "currency": "EUR",
            "convert": lambda amount, currency, base, when: amount * 2,
            "product": {"model": "shop.Product", "fields": {"price": "price", "currency": "brand"}},
        }
    )
    assert (only(mapped).price, only(mapped).currency) == (Decimal("20.00"), "EUR")


# -- variants ---------------------------------------------------------------------------------------------


def test_a_variant_leads_to_its_product(django_assert_num_queries):
    row = shop.UuidProduct.objects.create(name="x")
    variant = shop.UuidVariant.objects.create(product=row)
    mapped = catalogue("shop.UuidProduct", {"variants": {"path": "variants[]", "id": "id"}})
    stranger = str(uuid.UUID(int=7))
    with django_assert_num_queries(2):
        assert mapped.canonical([str(variant.pk), str(row.pk), stranger, "x"]) == {
            str(variant.pk): str(row.pk),
            str(row.pk): str(row.pk),
            stranger: stranger,
            "x": "x",
        }


def test_an_id_that_is_a_product_s_own_is_not_taken_for_a_variant_s():
    rows = [cup(), cup()]
    variant = shop.Variant.objects.create(product=rows[0], sku="s-1")
    by_key = catalogue(section={"variants": {"path": "variants[]"}})
    assert by_key.canonical([str(rows[1].pk)]) == {str(rows[1].pk): str(rows[1].pk)}
    by_sku = catalogue(section={"variants": {"path": "variants[]", "id": "sku"}})
    assert by_sku.canonical([variant.sku]) == {"s-1": str(rows[0].pk)}


def test_variants_may_be_rows_of_the_same_table():
    parent = shop.TreeProduct.objects.create(name="shirt")
    child = shop.TreeProduct.objects.create(name="shirt, large", parent=parent)
    mapped = catalogue("shop.TreeProduct", {"variants": {"parent": "parent"}, "filter": {"parent": None}})
    assert mapped.canonical([str(child.pk), str(parent.pk)]) == {
        str(child.pk): str(parent.pk),
        str(parent.pk): str(parent.pk),
    }
    assert mapped.newest(5) == [str(parent.pk)]


# -- orders -----------------------------------------------------------------------------------------------

LINE = {
    "model": "shop.OrderItem",
    "fields": {
        "order": "order.number",
        "product": "product_id",
        "quantity": "quantity",
        "unit_price": "unit_price",
        "currency": "order.currency",
        "user": "order.user_id",
        "guest": "order.email",
        "when": "order.created_at",
        "updated": "order.updated_at",
        "status": "order.status",
    },
}
ORDER = {
    "model": "shop.Order",
    "fields": {
        "id": "number",
        "user": "user_id",
        "guest": "email",
        "when": "created_at",
        "updated": "updated_at",
        "status": "status",
        "currency": "currency",
    },
}
LINES_OF_ORDER = {
    "model": "shop.OrderItem",
    "fields": {"product": "product_id", "quantity": "quantity", "unit_price": "unit_price"},
}
FORMS = {"lines alone": {"order_line": LINE}, "orders and lines": {"order": ORDER, "order_line": LINES_OF_ORDER}}


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def form(request):
    return request.param


def place(number, when, *lines, **more):
    order = shop.Order.objects.create(number=number, created_at=when, **more)
    for product, quantity, price in lines:
        shop.OrderItem.objects.create(order=order, product=product, quantity=quantity, unit_price=price)
    return order


def test_orders_are_read_oldest_first_in_both_forms(form):
    a, b = cup(), cup()
    user = get_user_model().objects.create(username="u", email="known@example.com")
    place("2", START, (a, 1, "1.00"), email="Guest@Example.com ", status="cancelled")
    place("1", START, (a, 2, "3.50"), (b, 1, "4.00"), user=user, email="known@example.com")
    place("0", START - timedelta(days=1), (b, 1, "1.00"), status="Refunded")
    orders = list(DjangoCatalogue(form).orders())
    assert [(o.id, o.meaning) for o in orders] == [("0", "refunded"), ("1", "purchase"), ("2", "cancelled")]
    bought = orders[1]
    assert (bought.user_id, bought.guest, bought.currency, bought.when) == (str(user.pk), None, "EUR", START)
    assert [(i.product_id, i.quantity, i.unit_price) for i in bought.items] == [
        (str(a.pk), 2, Decimal("3.50")),
        (str(b.pk), 1, Decimal("4.00")),
    ]
    assert orders[2].guest == guest_key("guest@example.com")


def test_orders_since_a_time_come_with_all_their_lines(form):
    a = cup()
    place("old", START - timedelta(days=9), (a, 1, "1.00"))
    changed = place("changed", START - timedelta(days=5), (a, 1, "1.00"), (a, 3, "2.00"))
    place("new", START + timedelta(days=1), (a, 1, "1.00"))
    shop.Order.objects.update(updated_at=START - timedelta(days=9))
    shop.Order.objects.filter(pk=changed.pk).update(updated_at=START)
    orders = list(DjangoCatalogue(form).orders(since=START))
    assert [(o.id, len(o.items)) for o in orders] == [("changed", 2), ("new", 1)]


def test_an_order_without_lines_is_seen_where_orders_are_mapped():
    place("1", START)
    assert [o.items for o in DjangoCatalogue(FORMS["orders and lines"]).orders()] == [()]


def test_more_orders_than_a_chunk_at_one_moment(form, monkeypatch):
    from ml_models.adapters.catalogue import orders as module

    monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(module, "KEYS", 3)
    a = cup()
    for number in range(10):
        place(f"n{number}", START, (a, 1, "1.00"), (a, 2, "1.00"))
    orders = list(DjangoCatalogue(form).orders())
    assert [o.id for o in orders] == [f"n{number}" for number in range(10)]
    assert {len(o.items) for o in orders} == {2}


def test_the_shop_s_words_for_a_status_have_a_meaning():
    a = cup()
    for number, status in enumerate(("Bezahlt", "Storniert", "offen", "CANCELLED")):
        place(str(number), START, (a, 1, "1.00"), status=status)
    statuses = {"storniert": "cancelled", "Offen": "pending"}
    orders = DjangoCatalogue({"order_line": {**LINE, "statuses": statuses}}).orders()
    assert [o.meaning for o in orders] == ["purchase", "cancelled", "pending", "cancelled"]


def test_a_line_that_names_a_variant_is_an_order_of_its_product():
    parent = shop.TreeProduct.objects.create(name="shirt")
    child = shop.TreeProduct.objects.create(name="large", parent=parent)
    place("1", START, (cup(), 1, "1.00"))
    fields = {**LINE["fields"], "product": lambda line: child.pk}
    mapped = DjangoCatalogue(
        {
            "product": {"model": "shop.TreeProduct", "variants": {"parent": "parent"}},
            "order_line": {**LINE, "fields": fields},
        }
    )
    (order,) = mapped.orders()
    assert [(i.product_id, i.variant_id) for i in order.items] == [(str(parent.pk), str(child.pk))]


def test_a_price_of_the_whole_line_is_divided():
    place("1", START, (cup(), 4, "10.00"))
    fields = {k: v for k, v in LINE["fields"].items() if k != "unit_price"} | {"total": "unit_price"}
    (order,) = DjangoCatalogue({"order_line": {**LINE, "fields": fields}}).orders()
    assert order.items[0].unit_price == Decimal("2.50")


@pytest.mark.parametrize(
    ("quantity", "price", "pieces", "unit_price", "total"),
    [
        ("0.500", "8.00", 1, "4.00", "4.00"),  # half a kilogram
        ("2.500", "3.00", 3, "2.50", "7.50"),
        ("2.000", "3.00", 2, "3.00", None),
        ("-0.500", "8.00", -1, "4.00", "-4.00"),
        ("0", "8.00", 0, "8.00", None),
        ("1e40", "8.00", 1, "8.00", None),  # a mistake counts as one
    ],
)
def test_part_of_a_kilogram_is_a_piece(quantity, price, pieces, unit_price, total):
    place("1", START, (cup(), 1, price))
    fields = {**LINE["fields"], "quantity": lambda line: Decimal(quantity)}
    (order,) = DjangoCatalogue({"order_line": {**LINE, "fields": fields}}).orders()
    (item,) = order.items
    total = None if total is None else Decimal(total)
    assert (item.quantity, item.unit_price, item.total) == (pieces, Decimal(unit_price), total)


@pytest.mark.parametrize(("quantity", "pieces"), [("0.250", 1), ("3.000", 3), ("1.500", 2)])
def test_the_price_of_a_whole_line_is_kept_beside_that_of_a_piece(quantity, pieces):
    place("1", START, (cup(), 1, "10.00"))
    fields = {k: v for k, v in LINE["fields"].items() if k != "unit_price"}
    fields |= {"total": "unit_price", "quantity": lambda line: Decimal(quantity)}
    (order,) = DjangoCatalogue({"order_line": {**LINE, "fields": fields}}).orders()
    (item,) = order.items
    assert (item.quantity, item.unit_price, item.total) == (pieces, Decimal("10.00") / pieces, Decimal("10.00"))


def test_orders_are_converted_to_the_base_currency():
    place("1", START, (cup(), 1, "10.00"), currency="USD")
    seen = []

    def convert(amount, currency, base, when):
        seen.append((amount, currency, base, when))
        return amount / 2

    (order,) = DjangoCatalogue({"currency": "EUR", "convert": convert, "order_line": LINE}).orders()
    assert (order.currency, order.items[0].unit_price) == ("EUR", Decimal("5.00"))
    assert seen == [(Decimal("10.00"), "USD", "EUR", START)]


# -- history ----------------------------------------------------------------------------------------------


def test_the_shop_s_own_tables_are_history():
    user = get_user_model().objects.create(username="u")
    a = cup()
    shop.ProductView.objects.create(product=a, user=user, created_at=START + timedelta(hours=1))
    shop.ProductView.objects.create(product=a, session_key="s", created_at=START)
    shop.ProductView.objects.create(kind="search", term="cups", created_at=START)
    shop.ProductView.objects.create(kind="other", created_at=START)
    table = {
        "model": "shop.ProductView",
        "event": {"path": "kind", "values": {"view": "view_item", "search": "search"}},
        "product": "product_id",
        "user": "user_id",
        "session": "session_key",
        "query": "term",
        "when": "created_at",
        "data": {"kind": "kind"},
    }
    events = list(DjangoCatalogue({"history": [table]}).history())
    assert [(e.event_type, e.product_id, e.user_id, e.session_id, e.query) for e in events] == [
        ("product_view", str(a.pk), None, "s", None),
        ("search", None, None, None, "cups"),
        ("product_view", str(a.pk), str(user.pk), None, None),
    ]
    assert len({e.id for e in events}) == 3
    assert events[0].data == {"kind": "view"}
    later = DjangoCatalogue({"history": table}).history(since=START + timedelta(minutes=1))
    assert [e.when for e in later] == [START + timedelta(hours=1)]


# -- values -----------------------------------------------------------------------------------------------


def test_a_guest_is_the_same_however_the_address_is_written(settings):
    key = guest_key("Ann@Example.com")
    assert key == guest_key(" ann@example.COM ") == guest_key("ａnn@example.com")  # noqa: RUF001 (NFKC)
    assert len(key) == 32
    assert guest_key("") is guest_key(None) is None
    settings.SECRET_KEY = "another"
    assert guest_key("Ann@Example.com") != key


def test_money_is_never_a_float():
    assert to_decimal(19.99) == Decimal("19.99")
    assert to_decimal("1.10") == Decimal("1.10")
    assert to_decimal(float("nan")) is None
    assert to_decimal("free") is None


def test_times_are_aware_utc(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    assert to_date_time(datetime(2024, 1, 1, 1)) == datetime(2024, 1, 1, tzinfo=UTC)
    assert to_date_time(datetime(2024, 1, 1, 1).date()) == datetime(2023, 12, 31, 23, tzinfo=UTC)
    assert to_date_time("yesterday") is None
