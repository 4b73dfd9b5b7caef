"""The few candidates of a list: the SQL is kept, the shop's condition and its rows are read anew every time."""

from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone

from ml_models.adapters.catalogue import DjangoCatalogue
from tests.shop.models import Category, Product, SlugProduct, UuidProduct

pytestmark = pytest.mark.django_db
RULE = {}


def rule():
    return RULE["q"]


def catalogue(model="shop.Product", identity="id", visible="tests.adapters.catalogue.test_visible_few.rule"):
    return DjangoCatalogue(
        {"product": {"model": model, "filter": {"is_active": True}, "fields": {"id": identity}, "visible": visible}}
    )


@pytest.fixture
def ids():
    RULE["q"] = Q(stock__gt=0)
    return [str(Product.objects.create(name=str(n), stock=n).pk) for n in range(5)]


def test_rows_are_read_every_time(ids, django_assert_num_queries):
    shop = catalogue()
    assert shop.visible(ids) == set(ids[1:])
    Product.objects.filter(pk=ids[1]).update(is_active=False)
    Product.objects.filter(pk=ids[2]).update(stock=0)
    Product.objects.filter(pk=ids[3]).delete()
    with django_assert_num_queries(1):
        assert shop.visible(ids) == {ids[4]}


def test_a_condition_that_changes_is_followed(ids):
    shop = catalogue()
    assert shop.visible(ids) == set(ids[1:])
    RULE["q"] = Q(stock__gt=3)
    assert shop.visible(ids) == {ids[4]}
    RULE["q"] = Q(stock__gt=0) & ~Q(name="2")
    assert shop.visible(ids) == {ids[1], ids[3], ids[4]}
    RULE["q"] = Q(stock__gt=0)
    assert shop.visible(ids) == set(ids[1:])


def test_a_condition_on_the_present_moment_is_followed(ids):
    Product.objects.filter(pk=ids[1]).update(created_at=timezone.now() + timedelta(days=1))
    shop = catalogue()
    RULE["q"] = Q(created_at__lte=timezone.now())
    assert ids[1] not in shop.visible(ids)
    RULE["q"] = Q(created_at__lte=timezone.now() + timedelta(days=2))
    assert ids[1] in shop.visible(ids)


@pytest.mark.parametrize(
    "condition",
    [
        lambda: Q(category__in=Category.objects.filter(name="Shoes")),
        lambda: Q(category__name__in=["Shoes", "Hats"]),
        lambda: Q(category__isnull=False) | Q(name="none"),
    ],
)
def test_conditions_of_every_kind(ids, condition):
    Product.objects.filter(pk__in=ids[:2]).update(category=Category.objects.create(name="Shoes"))
    shop = catalogue()
    for _ in range(3):
        RULE["q"] = condition()
        assert shop.visible(ids) == set(ids[:2])


def test_a_condition_that_nothing_meets(ids):
    RULE["q"] = Q(pk__in=[])
    shop = catalogue()
    assert shop.visible(ids) == set()
    assert shop.visible(ids) == set()


def test_a_condition_that_names_the_same_ids(ids):
    """The ids stand twice in the parameters: nothing is guessed."""
    RULE["q"] = Q(pk__in=[int(one) for one in ids[:3]])
    shop = catalogue()
    assert shop.visible(ids[:3]) == set(ids[:3])
    assert shop.visible([ids[0], ids[1], ids[4]]) == {ids[0], ids[1]}


@pytest.mark.parametrize(("number", "known"), [(1, 1), (3, 3), (99, 5), (250, 5)])
def test_any_number_of_ids_with_repeats_and_strangers(ids, number, known):
    shop = catalogue()
    strangers = [str(10**6 + n) for n in range(number)]
    asked = [*[*ids, *strangers][:number], "x", "", ids[0], "9" * 40]
    for _ in range(2):
        assert shop.visible(asked) == set(ids[1:known]) & set(asked)


def test_uuids_and_slugs():
    RULE["q"] = Q(stock__gt=0)
    shown, hidden = UuidProduct.objects.create(name="a"), UuidProduct.objects.create(name="b", stock=0)
    shop = catalogue("shop.UuidProduct")
    for _ in range(2):
        assert shop.visible([str(shown.pk), str(hidden.pk), "no uuid"]) == {str(shown.pk)}
    SlugProduct.objects.create(slug="blue-shoe")
    SlugProduct.objects.create(slug="old-shoe", stock=0)
    shop = catalogue("shop.SlugProduct", "slug")
    for _ in range(2):
        assert shop.visible(["blue-shoe", "old-shoe", "it's 100%s; --"]) == {"blue-shoe"}


def test_two_catalogues_do_not_share(ids):
    RULE["q"] = Q(stock__gt=0)
    assert catalogue().visible(ids) == set(ids[1:])
    assert catalogue(visible=Q(stock__gt=3)).visible(ids) == {ids[4]}
