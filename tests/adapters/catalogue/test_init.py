"""`ml_init` on shops of several kinds: what it prints passes the checks and reads the shop."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ERROR = 40


@pytest.fixture(scope="module")
def story():
    """Runs a shop in a process of its own, since each brings its own models."""
    told = {}

    def tell(shop):
        if shop not in told:
            environment = {**os.environ, "ML_TEST_SHOP": shop}
            environment.pop("DJANGO_SETTINGS_MODULE", None)
            done = subprocess.run(
                [sys.executable, "-m", "tests.adapters.catalogue.shops.story"],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            told[shop] = json.loads(done.stdout)
        return told[shop]

    return tell


@pytest.mark.parametrize("shop", ["uuidshop", "tutorial", "classic"])
def test_what_is_printed_can_be_pasted_and_passes_the_checks(story, shop):
    told = story(shop)
    assert told["same_as_json"]
    assert [check for check in told["checks"] if check[1] >= ERROR] == []
    assert told["failures"] == {}


def test_a_shop_with_uuid_keys(story):
    told = story("uuidshop")
    assert told["mapping"]["product"]["model"] == "uuidshop.Product"
    assert told["visible"] == told["newest"] == ["p0", "p4"]  # less the hidden, the sold out and the deleted
    first = told["products"][0]
    assert first == {
        "name": "p0",
        "category": "Pottery",
        "brand": "Mina",
        "tags": ["blue"],
        "price": "10.00",
        "currency": "BDT",
        "in_stock": True,
        "url": "/products/p0/",
    }
    assert told["products"][-1]["price"] == "5.00"  # the computed price, not the column
    assert [(o["id"], o["meaning"], o["user"]) for o in told["orders"]] == [
        ("N1", "purchase", "1"),
        ("N2", "cancelled", "1"),
    ]
    assert told["orders"][0]["items"] == [["p0", True, 2, "9.50"]]
    assert told["read_by_id"]
    assert told["history"] == [["product_view", "p4", "s"]]


def test_a_tutorial_shop_whose_orders_have_no_user(story):
    told = story("tutorial")
    assert told["visible"] == ["p0", "p2"]
    assert [(o["meaning"], o["user"], o["guest"]) for o in told["orders"]] == [
        ("purchase", None, True),
        ("pending", None, True),
    ]
    assert told["read_by_id"]


def test_a_shop_whose_cart_is_an_order_and_whose_lines_hang_by_many_to_many(story):
    told = story("classic")
    assert told["products"][0]["category"] == "Shirt"  # the label of the choice
    assert [p["price"] for p in told["products"]] == ["19.99", "9.5"]  # the discounted one where there is one
    (order,) = told["orders"]
    assert order["items"] == [["p0", False, 2, "19.99"], ["p1", False, 2, "9.5"]]
    assert told["read_by_id"]


def test_a_project_without_products_is_told_so(story):
    assert "No installed model looks like a product" in story("nothing")["error"]
    assert "ml_init --product" in story("nothing")["error"]
