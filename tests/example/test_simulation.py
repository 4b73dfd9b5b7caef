"""The generated assortment and the planted tastes."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from shop.art import Spec
from simulation.assortment import DEPARTMENTS
from simulation.catalogue import generate
from simulation.plan import Plan
from simulation.tastes import ARCHETYPES, Shelf, Shopper, make_shoppers, season_factor

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def assortment():
    return generate(7, NOW)


def test_the_assortment_is_as_large_as_promised_and_every_picture_can_be_drawn(assortment):
    categories, products = assortment
    assert len(products) >= 2000
    assert len([one for one in categories if one.department is None]) == 12
    assert len([one for one in categories if one.department]) >= 60
    assert len({product.slug for product in products}) == len(products)
    assert all(Spec.parse(one.picture) for one in [*categories, *products])
    assert all(product.price > 0 and product.created_at < NOW for product in products)


def test_the_same_seed_gives_the_same_assortment_and_another_seed_another(assortment):
    assert generate(7, NOW) == assortment
    assert generate(8, NOW)[1] != assortment[1]


def test_every_taste_names_categories_that_exist():
    names = {spec.name for department in DEPARTMENTS for spec in department.categories}
    for wanted in ARCHETYPES.values():
        assert set(wanted) <= names


def test_shoppers_are_the_same_each_time_and_favour_what_their_taste_says(assortment):
    categories, products = assortment
    shoppers = make_shoppers(7, 300, categories, products)
    assert shoppers == make_shoppers(7, 300, categories, products)
    slugs = {category.name: category.slug for category in categories}
    for shopper in shoppers:
        own = {slugs[name] for name in ARCHETYPES[shopper.likes]}
        assert shopper.favourites[0] in own
        assert sum(shopper.weights) == pytest.approx(1)
    assert {shopper.likes for shopper in shoppers} == set(ARCHETYPES)


def test_a_shopper_looks_at_the_own_style_and_brand_more_than_at_others(assortment):
    _, products = assortment
    places = [i for i, product in enumerate(products) if product.category == "mugs"]
    shelf = Shelf([products[i] for i in places], places)
    brand = products[places[0]].brand
    base = Shopper(0, "Ada", "cooking", ("mugs",), (1.0,), frozenset(), "none", 0.0, 2.0, 0.2, True, 0.0)

    def looks(shopper):
        rng, at = np.random.default_rng(1), NOW.timestamp()
        return [products[i] for _ in range(300) for i in shelf.look(shelf.pull(shopper), 0.0, at, 3, rng)]

    def share(shopper, wanted):
        seen = looks(shopper)
        return sum(map(wanted, seen)) / len(seen)

    styled, loyal = replace(base, style="bright"), replace(base, brands=frozenset({brand}))
    assert share(styled, lambda p: p.style == "bright") > 1.5 * share(base, lambda p: p.style == "bright")
    assert share(loyal, lambda p: p.brand == brand) > 1.5 * share(base, lambda p: p.brand == brand)


def test_nothing_is_looked_at_before_it_exists(assortment):
    _, products = assortment
    places = [i for i, product in enumerate(products) if product.category == "mugs"]
    shelf = Shelf([products[i] for i in places], places)
    at = sorted(products[i].created_at for i in places)[3].timestamp()
    seen = shelf.look(np.zeros(len(places)), 0.0, at, 50, np.random.default_rng(0))
    assert sorted(seen) == sorted(i for i in places if products[i].created_at.timestamp() <= at)


@pytest.mark.parametrize(("month", "expected"), [(12, 2.0), (6, 0.55), (1.5, 1.4)])
def test_a_season_peaks_in_its_month_across_the_turn_of_the_year(month, expected):
    assert season_factor(12, month) == pytest.approx(expected)
    assert season_factor(0, month) == 1.0


def test_a_plan_survives_its_file_and_ends_yesterday(tmp_path):
    plan = Plan.new(date(2026, 3, 1), shoppers=20, days=40, products=300)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    assert plan.last_day == date(2026, 2, 28)
    assert plan.end == datetime(2026, 3, 1, tzinfo=UTC)
    sales = plan.sales()
    assert any(sale.starts <= plan.last_day <= sale.ends for sale in sales)
    assert all(sale.starts >= plan.first_day for sale in sales)
