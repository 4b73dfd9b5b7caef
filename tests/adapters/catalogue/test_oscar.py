"""The preset against real django-oscar, in a process with Oscar's own settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("oscar", reason="django-oscar is not installed")

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    environment = {**os.environ, "ML_TEST_DIR": str(tmp_path_factory.mktemp("oscar"))}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-W", "ignore", "-m", "tests.adapters.catalogue.oscar_story"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_only_what_oscar_lets_be_bought_is_visible(story):
    assert story["visible"] == ["download", "parent", "plain"]
    assert story["newest"] == ["parent", "download", "plain"]


def test_the_sql_agrees_with_the_strategy(story):
    assert story["visible"] == story["by_strategy"]


def test_one_query_to_filter_and_a_fixed_number_to_read(story):
    assert story["visible_queries"] == 1
    assert story["newest_queries"] == 1
    few, many = story["get_queries"]
    assert few == many


def test_a_child_leads_to_its_parent(story):
    assert story["canonical"] == {
        "small": "parent",
        "large": "parent",
        "gone": "parent-empty",
        "hidden-child": "parent-of-hidden",
    }


def test_a_parent_has_the_price_of_its_children(story):
    parent = story["parent"]
    assert (parent["name"], parent["category"], parent["currency"]) == ("parent", "Clothes", "GBP")
    assert parent["price"] in ("7.00", "8.00")
    assert parent["in_stock"] is True


def test_children_are_no_products_of_their_own(story):
    assert not {"small", "large", "gone", "hidden-child"} & set(story["listed"])
    assert "hidden" in story["listed"]


def test_orders_name_the_parent_and_keep_the_child(story):
    first, guest, cancelled = story["orders"]
    assert first["items"] == [["parent", "large", 2, "8.00"], ["plain", None, 1, "10.00"]]
    assert first["user"]
    assert first["guest"] is None
    assert guest["guest"]
    assert "@" not in guest["guest"]
    assert cancelled["meaning"] == "cancelled"


def test_recorded_views_are_history(story):
    assert story["history"] == [["product_view", "parent"]]
    assert story["failures"] == {}


def test_product_pages_are_known_by_the_presets_model(story):
    assert story["page_model"] == "catalogue.Product"
    assert story["page_id"]
