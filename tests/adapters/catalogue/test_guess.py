"""Which column is the price: what the customer pays, never what the shop paid."""

import pytest
from django.db import models
from django.test.utils import isolate_apps

from ml_models.adapters.catalogue.guess import UNIT_PRICE, asked, pick, price_of


def model(*names, nullable=()):
    """A model with amounts of these names."""
    amounts = {
        name: models.DecimalField(max_digits=9, decimal_places=2, null=name in nullable) for name in (*names, *nullable)
    }
    meta = type("Meta", (), {"app_label": "shop"})
    return type("Thing", (models.Model,), {"__module__": __name__, "Meta": meta, **amounts})


@isolate_apps("tests.shop")
@pytest.mark.parametrize(
    ("names", "price"),
    [
        (("cost_price", "selling_price"), "selling_price"),
        (("purchase_price", "retail_price"), "retail_price"),
        (("wholesale_price", "regular_price"), "regular_price"),
        (("buying_price", "margin_price", "list_price"), "list_price"),
        (("cost_price_gross", "price"), "price"),
        (("costprice", "pricegross"), "pricegross"),
        (("buy_now_price",), "buy_now_price"),
        (("cost_price", "purchase_price"), ""),
        (("cost",), ""),
    ],
)
def test_the_price_is_what_the_customer_pays(names, price):
    assert price_of(model(*names)) == price


@isolate_apps("tests.shop")
@pytest.mark.parametrize(("beside", "price"), [("price", "price"), ("cost_price", "sale_price")])
def test_a_sale_price_that_may_be_empty_is_not_the_price_by_itself(beside, price):
    assert price_of(model(beside, nullable=["sale_price"])) == price


@pytest.mark.parametrize(
    ("names", "price"),
    [
        (("cost_price", "price_at_purchase"), "price_at_purchase"),
        (("purchase_price", "gross_price"), "gross_price"),
        (("cost_price",), ""),
    ],
)
def test_the_price_of_a_line_is_what_was_paid(names, price):
    assert pick(asked(names, UNIT_PRICE), UNIT_PRICE) == price
