"""Compiled queries give what the querysets would, on whatever connection, and are counted like any query."""

from datetime import UTC, datetime, timedelta

import pytest

from ml_models.adapters.compiled import MOST, _kept, compiled_rows
from ml_models.orm import OnlineInteraction
from tests.shop.models import Product, UuidProduct

pytestmark = pytest.mark.django_db
START = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _forget():
    _kept.__dict__.clear()


@pytest.fixture
def interactions():
    for visitor in ("a", "b"):
        for minute in range(3):
            OnlineInteraction.objects.create(
                visitor=visitor, item_id=f"{visitor}{minute}", event_type="x", at=START + timedelta(minutes=minute)
            )


def of(visitor, built=None):
    def build():
        if built is not None:
            built.append(visitor)
        return OnlineInteraction.objects.filter(visitor=visitor).order_by("-at").values_list("item_id", "at")[:2]

    return compiled_rows("of", "default", [visitor], build)


def test_one_build_serves_every_parameter(interactions, django_assert_num_queries):
    built = []
    with django_assert_num_queries(3):
        first, second, third = of("a", built), of("b", built), of("nobody", built)
    assert [tuple(row) for row in first] == [("a2", START + timedelta(minutes=2)), ("a1", START + timedelta(minutes=1))]
    assert [row[0] for row in second] == ["b2", "b1"]
    assert third == []
    assert built == ["a"]


def test_every_run_is_live(interactions):
    assert [row[0] for row in of("a")] == ["a2", "a1"]
    OnlineInteraction.objects.filter(item_id="a2").delete()
    assert [row[0] for row in of("a")] == ["a1", "a0"]


def test_parameters_beside_the_slot_are_kept():
    ids = [Product.objects.create(name=str(n), stock=n).pk for n in range(4)]

    def ask(keys):
        rows = Product.objects.filter(stock__gt=1, pk__in=keys, price__lt=50).order_by("pk").values_list("pk", "stock")
        return [tuple(row) for row in compiled_rows("in", "default", keys, lambda: rows)]

    assert ask(ids[:2]) == []
    assert ask(ids[2:]) == [(ids[2], 2), (ids[3], 3)]
    assert ask([ids[0], ids[3]]) == [(ids[3], 3)]


def test_values_that_django_transforms_are_left_to_django():
    """SQLite stores a UUID as 32 digits: the slot is not found in the parameters, and the queryset itself is run."""
    product = UuidProduct.objects.create(name="one")

    def ask(key):
        rows = UuidProduct.objects.filter(name="one", pk=key).values_list("pk")
        return [tuple(row) for row in compiled_rows("uuid", "default", [key], lambda: rows)]

    assert ask(product.pk) == [(product.pk,)]


def test_a_queryset_that_can_hold_nothing_is_empty():
    assert compiled_rows("none", "default", ["a"], lambda: OnlineInteraction.objects.none().values_list("id")) == []


def test_a_parameter_that_stands_twice_is_not_guessed_at(interactions):
    rows = OnlineInteraction.objects.filter(visitor="a", item_id="a").values_list("id")
    every_a = OnlineInteraction.objects.filter(visitor="a").values_list("id")
    assert compiled_rows("twice", "default", ["a"], lambda: rows) == []
    assert compiled_rows("twice", "default", ["a0"], lambda: every_a) != []
    assert not _kept.queries["twice", "default"].usable


def test_no_more_than_so_many_are_kept(interactions):
    for n in range(MOST + 5):
        rows = OnlineInteraction.objects.filter(visitor="a").values_list("id")[: n + 1]
        compiled_rows(("n", n), "default", ["a"], lambda rows=rows: rows)
    assert len(_kept.queries) == MOST


def test_another_connection_compiles_anew(interactions, monkeypatch):
    built = []
    of("a", built)
    kept = next(iter(_kept.queries.values()))
    monkeypatch.setattr(kept, "connection", object())
    of("a", built)
    assert built == ["a", "a"]
