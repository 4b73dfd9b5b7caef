"""Managers of the shop's own decide what there is, every time anew: a tenant's, or those that hide what is deleted."""

import pytest
from django.db import models
from django.db.models import Prefetch
from django.test.utils import isolate_apps

from ml_models.adapters.catalogue import DjangoCatalogue
from ml_models.adapters.catalogue.mapping import is_plain
from tests.shop import models as shop

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
BRAND = {"now": "a"}


class CheapQuerySet(models.QuerySet):
    def cheap(self):
        return self.filter(price__lt=10)

    def delete(self):
        return self.update(is_active=False)


class BrandManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(brand=BRAND["now"])


class BrandQuerySet(models.QuerySet):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if kwargs.get("query") is None and args[1:2] in ((), (None,)):
            self.query.add_q(models.Q(brand=BRAND["now"]))


class FilteringQuerySet(models.QuerySet):
    def _filter_or_exclude(self, *args, **kwargs):
        return super()._filter_or_exclude(*args, **kwargs)


class AllManager(models.Manager):
    def all(self):
        return super().all().filter(brand=BRAND["now"])


TENANTS = {
    "a manager with a queryset's methods": BrandManager.from_queryset(CheapQuerySet),
    "a manager": BrandManager,
    "a queryset class": BrandQuerySet.as_manager,
}


def product_class(manager):
    class Thing(shop.Product):
        objects = manager

        class Meta:
            app_label = "shop"
            proxy = True

    return Thing


@pytest.mark.parametrize("make", TENANTS.values(), ids=list(TENANTS))
def test_a_manager_that_looks_at_the_tenant_is_asked_every_time(make):
    rows = [shop.Product.objects.create(name=brand, brand=brand) for brand in "ab"]
    ids = [str(row.pk) for row in rows]
    with isolate_apps("tests.shop"):
        mapped = DjangoCatalogue({"product": {"model": product_class(make())}})
        for brand, shown in (("a", ids[0]), ("b", ids[1]), ("a", ids[0])):
            BRAND["now"] = brand
            assert mapped.newest(5) == [shown]
            assert mapped.visible(ids) == {shown}


def test_what_changes_no_read_is_plain():
    assert is_plain(shop.Product._default_manager)
    assert is_plain(models.Manager.from_queryset(CheapQuerySet)())
    assert is_plain(CheapQuerySet.as_manager())
    for other in (BrandManager(), BrandQuerySet.as_manager(), FilteringQuerySet.as_manager(), AllManager()):
        assert not is_plain(other)


# -- stock ------------------------------------------------------------------------------------------------


class InUse(models.Manager):
    """What soft-delete packages do: the sku of a deleted piece begins with x."""

    def get_queryset(self):
        return super().get_queryset().exclude(sku__startswith="x")


def table_classes():
    """The shop's tables once more, the variants with a manager that hides deleted ones."""

    class Thing(models.Model):
        name = models.CharField(max_length=200)

        class Meta:
            app_label = "shop"
            managed = False
            db_table = "shop_product"

    class Piece(models.Model):
        product = models.ForeignKey(Thing, on_delete=models.CASCADE, related_name="pieces")
        sku = models.CharField(max_length=40)
        stock = models.IntegerField()
        objects = InUse()

        class Meta:
            app_label = "shop"
            managed = False
            db_table = "shop_variant"

    return Thing


@pytest.mark.parametrize("stock", ["any(pieces[].stock)", "max(pieces[].stock)", "count(pieces[].sku)"])
def test_a_deleted_variant_is_no_stock(stock):
    gone, there = (shop.Product.objects.create(name=name) for name in ("gone", "there"))
    shop.Variant.objects.create(product=gone, sku="x1", stock=5)
    shop.Variant.objects.create(product=there, sku="s1", stock=5)
    with isolate_apps("tests.shop"):
        mapped = DjangoCatalogue({"product": {"model": table_classes(), "fields": {"in_stock": stock}}})
        assert mapped.visible([str(gone.pk), str(there.pk)]) == {str(there.pk)}
        assert mapped.newest(5) == [str(there.pk)]


def test_a_variant_that_the_mapping_leaves_out_is_no_stock():
    gone, there = (shop.Product.objects.create(name=name) for name in ("gone", "there"))
    shop.Variant.objects.create(product=gone, sku="x1", stock=5)
    shop.Variant.objects.create(product=there, sku="s1", stock=5)
    in_use = Prefetch("variants", shop.Variant.objects.exclude(sku__startswith="x"))
    mapped = DjangoCatalogue(
        {
            "product": {
                "model": "shop.Product",
                "prefetch_related": [in_use],
                "fields": {"in_stock": "any(variants[].stock)"},
            }
        }
    )
    assert mapped.newest(5) == [str(there.pk)]
    assert mapped.visible([str(gone.pk), str(there.pk)]) == {str(there.pk)}
