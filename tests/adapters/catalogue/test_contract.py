"""The shipped contract on every catalogue and every kind of id; then random shops."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from ml_models.adapters.catalogue import DjangoCatalogue, MemoryCatalogue
from ml_models.core.ports import Product
from ml_models.testing.catalogue import STRANGE, CatalogueContract
from tests.shop import models as shop

START = datetime(2024, 1, 1, tzinfo=UTC)


class TestMemory(CatalogueContract):
    def make(self, products):
        made = [
            Product(id=p.key, price=p.price, in_stock=p.stock > 0, created=START + timedelta(days=n))
            for n, p in enumerate(products)
        ]
        return MemoryCatalogue(made, hidden=[p.key for p in products if p.hidden]), {p.key: p.key for p in products}


def mapping(model, **changes):
    section = {
        "model": f"shop.{model.__name__}",
        "filter": {"is_active": True},
        "fields": {"name": "name", "price": "price", "in_stock": "stock", "created": "created_at"},
    }
    return {"product": {**section, **changes}}


@pytest.mark.django_db
@pytest.mark.both_databases
class DjangoContract(CatalogueContract):
    model = shop.Product
    changes = {}

    def make(self, products):
        ids = {}
        for number, product in enumerate(products):
            more = {"slug": product.key} if self.model is shop.SlugProduct else {}
            row = self.model.objects.create(
                name=product.key, price=product.price, stock=product.stock, is_active=not product.hidden, **more
            )
            self.model.objects.filter(pk=row.pk).update(created_at=START + timedelta(days=number))
            ids[product.key] = str(row.pk)
        return DjangoCatalogue(mapping(self.model, **self.changes)), ids


class TestIntegerIds(DjangoContract):
    pass


class TestUuidIds(DjangoContract):
    model = shop.UuidProduct


class TestSlugIds(DjangoContract):
    model = shop.SlugProduct


class TestStockInPython(DjangoContract):
    changes = {"fields": {"price": "price", "in_stock": "in_stock", "created": "created_at"}}


class TestVisibleAsCondition(DjangoContract):
    changes = {
        "filter": {},
        "visible": {"is_active": True, "stock__gt": 0},
        "sold_out": "show",
        "fields": {"price": "price", "in_stock": "in_stock", "created": "created_at"},
    }


class TestVisibleAsQueryset(DjangoContract):
    changes = {"filter": {}, "visible": lambda rows: rows.filter(is_active=True)}


class TestThroughARelationToMany(DjangoContract):
    """Rows that come back several times are one product."""

    changes = {"filter": {"variants__stock__gt": 0, "is_active": True}}

    def make(self, products):
        catalogue, ids = super().make(products)
        for key, pk in ids.items():
            for number in range(3):
                shop.Variant.objects.create(product_id=pk, sku=f"{key}-{number}")
        return catalogue, ids


Kinds = st.sampled_from([shop.Product, shop.UuidProduct, shop.SlugProduct])
Rows = st.lists(st.tuples(st.booleans(), st.integers(-2, 3), st.booleans()), max_size=12)
Stocks = st.sampled_from(["stock", "in_stock", ["in_stock"]])


@pytest.mark.both_databases
class RandomShops(TestCase):
    """Whatever the ids and however the stock is mapped, the shop's own queryset has the last word."""

    @hypothesis_settings(max_examples=40)
    @given(Kinds, Rows, Stocks, st.data())
    def test_nothing_is_shown_that_the_queryset_would_not(self, model, rows, stock, data):
        ids = []
        for number, (active, left, deleted) in enumerate(rows):
            more = {"slug": f"s{number}"} if model is shop.SlugProduct else {}
            row = model.objects.create(name=f"p{number}", is_active=active, stock=left, **more)
            ids.append(str(row.pk))
            if deleted:
                row.delete()
        catalogue = DjangoCatalogue(mapping(model, fields={"in_stock": stock, "created": "created_at"}))
        truth = {str(pk) for pk in model.objects.filter(is_active=True, stock__gt=0).values_list("pk", flat=True)}
        asked = data.draw(
            st.lists(st.sampled_from([*ids, *STRANGE, str(uuid.UUID(int=1))]), max_size=20)
            if ids
            else st.lists(st.text(max_size=8), max_size=5)
        )
        assert catalogue.visible(asked) == truth & set(asked)
        newest = catalogue.newest(len(ids) + 1)
        assert set(newest) == truth
        assert len(newest) == len(truth)
        limit = data.draw(st.integers(1, 5))
        exclude = data.draw(st.lists(st.sampled_from([*ids, "x"]), max_size=4))
        assert catalogue.newest(limit, exclude) == [one for one in newest if one not in exclude][:limit]
