"""Oscar's signals and basket lines as events, through Oscar's own views, in a process with Oscar's own settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("oscar", reason="django-oscar is not installed")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    environment = {**os.environ, "ML_TEST_DIR": str(tmp_path_factory.mktemp("oscar"))}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-W", "ignore", "-m", "tests.api.oscar_signals_story"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def row(kind, product=None, variant=None, quantity=None, query=None):
    return [kind, "server", product, variant, quantity, query]


def test_a_product_page_is_one_view_and_the_middleware_adds_none(story):
    assert story["a product page"] == [row("product_view", "plain")]


def test_an_addition_has_its_quantity_and_the_page_after_it_is_no_view(story):
    assert story["added, and shown again"] == [row("cart_add", "plain", quantity=2)]
    assert story["added once more"] == [row("cart_add", "plain", quantity=1)]


def test_a_child_is_a_variant_of_its_parent(story):
    assert story["a child added"] == [row("cart_add", "parent", "large", 1)]


def test_the_basket_s_form_lowers_and_removes(story):
    assert story["quantity lowered"] == [row("cart_remove", "plain", quantity=2)]
    assert story["line removed"] == [row("cart_remove", "plain", quantity=1)]


def test_a_search_is_one_however_many_of_its_pages_are_read(story):
    assert story["search"] == [row("search", query="shirt")]


def test_what_oscar_moves_by_itself_is_no_change(story):
    assert story["baskets merged at a login"] == []
    assert story["the basket emptied by the order"] == []


def test_an_order_is_one_purchase_and_follows_its_status(story):
    assert story["drained"] == [2, 1, 0]  # told of in the transaction and at the end of the checkout
    assert story["purchases"] == [["2001", True, ["parent"]]]
    assert story["cancelled"] == [1, "cancelled"]


def test_nothing_escapes(story):
    assert story["failed"] == 3
