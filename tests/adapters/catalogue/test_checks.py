"""Every problem of a mapping at once, in words, with what was meant."""

import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.checks import ERROR
from django.core.management import CommandError, call_command
from django.db import models
from django.test.utils import isolate_apps

from ml_models.adapters.catalogue import DjangoCatalogue
from ml_models.adapters.catalogue.checks import CONSEQUENCES, catalogue_messages, mapping_messages
from ml_models.adapters.catalogue.mapping import PRODUCT_FIELDS
from ml_models.core.errors import CatalogueError
from tests.shop import models as shop


def product(**section):
    return {"product": {"model": "shop.Product", **section}}


def told(mapping):
    return [(message.id, message.msg) for message in mapping_messages(mapping) if message.level >= ERROR]


LINE = {"order": "order_id", "product": "product_id", "when": "order.created_at"}


@pytest.mark.parametrize(
    ("mapping", "code", "words"),
    [
        ({"prodct": {}}, "ml.E101", "Did you mean 'product'"),
        (product(feilds={}), "ml.E101", "Did you mean 'fields'"),
        (product(fields={"nmae": "name"}), "ml.E101", "Did you mean 'name'"),
        ({"product": {}}, "ml.E102", "name the shop's model"),
        ({"product": {"model": "shop.Prodct"}}, "ml.E102", "Did you mean 'shop.Product'"),
        (product(fields={"name": "nmae"}), "ml.E103", "shop.Product has no 'nmae'. Did you mean 'name'"),
        (product(fields={"name": "category.nmae"}), "ml.E103", "shop.Category has no 'nmae'. Did you mean 'name'"),
        (product(fields={"name": ["name", "titel"]}), "ml.E103", "has no 'titel'"),
        (product(fields={"price": "min(variants[].pirce)"}), "ml.E103", "shop.Variant has no 'pirce'"),
        (product(fields={"tags": "labels.name"}), "ml.E103", "write labels[]"),
        (product(fields={"name": "name[]"}), "ml.E103", "is one value: drop the []"),
        (product(fields={"name": "delete"}), "ml.E103", "changes data"),
        (product(fields={"price": "discounted"}), "ml.E103", "needs arguments (percent)"),
        (product(fields={"name": "objects"}), "ml.E103", "manager of the whole table"),
        (product(fields={"image": "images[0].image.ulr"}), "ml.E103", "Did you mean 'url'"),
        (product(select_related=["categry"]), "ml.E103", "categry"),
        (product(prefetch_related=["varians"]), "ml.E103", "Did you mean 'variants'"),
        (product(fields={"name": "a b"}), "ml.E104", "is no path"),
        (product(fields={"name": 3}), "ml.E104", "{'value': 3}"),
        (product(fields={"name": "call:shop.nothing.here"}), "ml.E104", "cannot be imported"),
        (product(fields=["name"]), "ml.E105", "must be a dictionary"),
        (product(filter="is_active"), "ml.E105", "dictionary of lookups"),
        (product(manager="objcts"), "ml.E105", "it has objects"),
        (product(queryset="shop.no"), "ml.E105", "cannot be imported"),
        (product(queryset=lambda: shop.Order.objects.all()), "ml.E105", "a queryset of shop.Product"),
        (product(queryset=lambda: 1 / 0), "ml.E105", "ZeroDivisionError"),
        (product(visible="shop.no"), "ml.E105", "cannot be imported"),
        (product(visible=True), "ml.E105", "must be a Q"),
        (product(sold_out="hidden"), "ml.E105", "'hide' or 'show'"),
        ({"tax": "gross"}, "ml.E105", "'in'"),
        ({"currency": "Euro"}, "ml.E105", "three letters"),
        ({"convert": lambda *a: a}, "ml.E106", "base currency"),
        (product(variants={"id": "sku"}), "ml.E106", "'path'"),
        (product(variants={"path": "name"}), "ml.E107", "relation to many"),
        (product(variants={"path": "variants[]", "id": "sku2"}), "ml.E103", "Did you mean 'sku'"),
        (product(fields={"id": "get_absolute_url"}), "ml.E107", "must be a column"),
        (product(filter={"is_activ": True}), "ml.E108", "Did you mean 'is_active'"),
        (product(visible={"stok__gt": 0}), "ml.E108", "Did you mean 'stock'"),
        ({"order": {"model": "shop.Order"}}, "ml.E106", "map the lines too"),
        ({"order_line": {"model": "shop.OrderItem", "fields": {**LINE, "when": None}}}, "ml.E106", "must be mapped"),
        (
            {"order_line": {"model": "shop.OrderItem", "fields": LINE, "statuses": {"x": "canceled"}}},
            "ml.E105",
            "Did you mean 'cancelled'",
        ),
        (
            {"history": {"model": "shop.ProductView", "event": "product_veiw", "when": "created_at"}},
            "ml.E105",
            "Did you mean 'product_view'",
        ),
        ({"preset": "oscr"}, "ml.E100", "Did you mean 'oscar'"),
        ({"preset": "oscar"}, "ml.E100", "INSTALLED_APPS"),
    ],
)
def test_each_mistake_is_named_with_its_remedy(mapping, code, words, db):
    messages = told(mapping)
    assert [one for one, text in messages if one == code and words in text], messages


def test_all_problems_are_told_at_once(db):
    wrong = {
        "product": {"model": "shop.Product", "fields": {"name": "nmae", "brand": "brnad"}, "filter": {"is_activ": 1}},
        "order_line": {"model": "shop.OrderItem", "fields": {"order": "ordr_id"}},
        "typo": 1,
    }
    with pytest.raises(CatalogueError) as caught:
        DjangoCatalogue(wrong)
    for words in ("'nmae'", "'brnad'", "is_activ", "'ordr_id'", "'typo'", "order_line.fields.when", "ml_init"):
        assert words in str(caught.value)


def test_the_test_shop_is_mapped_without_an_error(settings, db):
    assert told(settings.ML_CATALOG) == []


def test_every_field_has_a_consequence_or_a_default():
    assert set(PRODUCT_FIELDS) - set(CONSEQUENCES) == {"id", "currency"}


def test_what_is_unmapped_is_said_with_what_follows(db):
    text = " ".join(message.msg for message in mapping_messages(product(fields={"name": "name"})))
    assert "brand is unmapped: lists cannot be diversified by brand" in text
    assert "in_stock is unmapped: sold-out products are shown" in text
    assert "maps no orders" in text
    assert "name is unmapped" not in text


def test_an_empty_mapping_names_the_way_in():
    (message,) = mapping_messages({})
    assert message.id == "ml.W101"
    assert "ml_init" in message.hint


def test_a_filter_on_the_status_is_advised_against(db):
    line = {"model": "shop.OrderItem", "fields": {**LINE, "status": "order.status"}}
    filtered = {"order_line": {**line, "exclude": {"order__status__in": ["cancelled"]}}}
    assert "ml.W104" in [message.id for message in mapping_messages(filtered)]
    assert "ml.W104" not in [message.id for message in mapping_messages({"order_line": line})]


def test_lines_that_name_another_id_are_found(db):
    mapping = {**product(fields={"id": "name"}), "order_line": {"model": "shop.OrderItem", "fields": LINE}}
    assert "ml.W105" in [message.id for message in mapping_messages(mapping)]


# -- with rows --------------------------------------------------------------------------------------------


def fill(count=12):
    category = shop.Category.objects.create(name="Kitchen")
    for number in range(count):
        row = shop.Product.objects.create(name=f"cup {number}", category=category, brand="B" if number < 3 else "")
        shop.Variant.objects.create(product=row, sku=str(row.pk), price="2.00")


def with_rows(**section):
    return {message.id: message for message in catalogue_messages(product(**section), ["default"])}


@pytest.mark.django_db
class TestRows:
    def test_samples_and_empty_values(self):
        fill()
        messages = with_rows(fields={"name": "name", "brand": "brand"})
        assert 'name: "cup 11"' in messages["ml.I105"].msg
        assert "75 % empty" in messages["ml.I105"].msg
        assert "brand is empty for 75 %" in messages["ml.W109"].msg

    def test_queries_per_product_are_counted_and_the_cure_is_named(self):
        fill()
        found = with_rows(fields={"price": "cheapest", "category": "category_name"})["ml.W110"]
        assert "2.0 queries per product" in found.msg
        assert '"variants" to prefetch_related' in found.hint
        assert '"category" to select_related' in found.hint
        cured = with_rows(
            fields={"price": "cheapest", "category": "category_name"},
            prefetch_related=["variants"],
            select_related=["category"],
        )
        assert "ml.W110" not in cured

    def test_paths_need_no_advice(self):
        fill()
        assert "ml.W110" not in with_rows(fields={"price": "min(variants[].price)", "category": "category.name"})

    def test_a_shop_that_shows_nothing_is_told(self):
        fill(2)
        assert "ml.W107" in with_rows(visible={"stock__gt": 1000})

    def test_a_field_that_fails_is_named(self):
        fill(2)
        messages = with_rows(fields={"name": lambda row: 1 / 0})
        assert "ZeroDivisionError" in messages["ml.W108"].msg

    def test_orders_whose_products_are_none_of_the_shop(self):
        fill(2)
        item = shop.OrderItem(product=shop.Product.objects.first(), quantity=1, unit_price=1)
        item.order = shop.Order.objects.create(number="1", created_at="2024-01-01T00:00:00Z")
        item.save()
        fields = {**LINE, "product": {"value": 4711}}
        mapping = {**product(), "order_line": {"model": "shop.OrderItem", "fields": fields}}
        assert "ml.W111" in [message.id for message in catalogue_messages(mapping, ["default"])]

    def test_no_rows_are_read_without_being_asked_or_while_migrating(self, monkeypatch, django_assert_num_queries):
        fill(2)
        with django_assert_num_queries(0):
            catalogue_messages(product())
            monkeypatch.setattr("sys.argv", ["manage.py", "migrate"])
            catalogue_messages(product(), ["default"])

    def test_the_command_checks_the_mapping_in_force(self, settings):
        fill(2)
        out = StringIO()
        call_command("ml_init", "--check", stdout=out)
        assert "ml.I105" in out.getvalue()
        settings.ML_CATALOG = product(fields={"name": "nmae"})
        with pytest.raises(CommandError, match="does not fit"):
            call_command("ml_init", "--check", stdout=StringIO())

    def test_the_command_prints_settings_that_read_the_test_shop(self):
        fill(2)
        out = StringIO()
        call_command("ml_init", "--product", "shop.UuidProduct", stdout=out, stderr=StringIO())
        pasted = {}
        exec(out.getvalue(), pasted)
        assert pasted["ML_CATALOG"]["product"]["model"] == "shop.UuidProduct"
        assert told(pasted["ML_CATALOG"]) == []

    def test_an_unknown_preset_or_model_is_an_error_in_words(self):
        with pytest.raises(CommandError, match="there is oscar"):
            call_command("ml_init", "--preset", "shopify")
        with pytest.raises(CommandError, match=r"app\.Model"):
            call_command("ml_init", "--product", "shop.Nothing")


@isolate_apps("tests.shop")
@pytest.mark.parametrize(("length", "ids"), [(200, []), (201, ["ml.E110"] * 2)])
def test_a_column_that_could_hold_longer_ids_is_told(length, ids):
    class Thing(models.Model):
        slug = models.CharField(max_length=length)

        class Meta:
            app_label = "shop"

    class Piece(models.Model):
        thing = models.ForeignKey(Thing, on_delete=models.CASCADE, related_name="pieces")
        sku = models.CharField(max_length=length)

        class Meta:
            app_label = "shop"

    mapping = {"product": {"model": Thing, "fields": {"id": "slug"}, "variants": {"path": "pieces[]", "id": "sku"}}}
    messages = [message for message in mapping_messages(mapping) if message.level >= ERROR]
    assert [message.id for message in messages] == ids
    assert all("holds up to 201 characters; an id may have 200" in message.msg for message in messages)


def test_a_list_of_new_products_wants_an_index(db):
    assert "ml.I107" in [m.id for m in mapping_messages(product(fields={"created": "created_at"}))]
    assert "ml.I107" not in [m.id for m in mapping_messages(product(fields={"created": "pk"}))]


def test_the_documented_mapping_is_written_in_the_grammar(db, monkeypatch):
    # The page's `shop.ml.visible` is nobody's here, also where other tests have imported the demo shop.
    for name in ("shop", "shop.ml"):
        monkeypatch.setitem(sys.modules, name, None)
    page = (Path(__file__).parents[3] / "docs/catalogue.md").read_text()
    pasted = {}
    exec(re.search(r"```python\n(ML_CATALOG = .*?)```", page, re.DOTALL)[1], pasted)
    # The models of the example are not installed here; nothing else may be wrong with it.
    assert {code for code, _ in told(pasted["ML_CATALOG"])} == {"ml.E102", "ml.E105"}
    without = {**pasted["ML_CATALOG"], "product": {**pasted["ML_CATALOG"]["product"], "visible": None}}
    assert {code for code, _ in told(without)} == {"ml.E102"}
