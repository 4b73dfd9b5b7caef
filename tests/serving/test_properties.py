"""Whatever happens in a shop: nothing hidden is shown, nothing twice, and no empty list while anything can be shown."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from django.test import override_settings
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ml_models.adapters import build
from ml_models.core import clock
from ml_models.core.query import Interaction, Query
from ml_models.orm import ProductStats
from ml_models.services import recommend
from tests.serving.conftest import START
from tests.serving.fakes import Shop
from tests.shop.models import Product

TYPES = ["personalized", "similar", "popular", "trending", "new", "recently_viewed"]
KINDS = {"popular": "static", "ease": "item_item", "item_knn": "item_item"}
NUMBERS = st.integers(min_value=0, max_value=24)


class ListMachine(RuleBasedStateMachine):
    """Random days of a shop. Subclasses say which shop."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.shop = Shop(self.folder)
        self.clock = clock.ManualClock(START)
        self._open = ExitStack()
        self._open.enter_context(clock.use(self.clock))
        # So few candidates that sources and shop have to be asked again and again.
        self._open.enter_context(override_settings(ML_SERVING={"candidates": 1}))
        self._open.enter_context(mock.patch("ml_models.serving.pipeline.SLACK", 0))
        self.shown = {}
        self.next_version = 0
        self.install()

    def teardown(self):
        self._open.close()
        build.reset()
        shutil.rmtree(self.folder)

    # -- the shop -----------------------------------------------------------------------------------

    def install(self):
        self.shop.install()
        build.override(**{f"serving.ranking.{column}": FixedRanking(self) for column in ("trend", "purchases_30d")})

    def put(self, item, shown):
        """Create or change a product."""
        self.shop.catalogue.products[item] = shown

    def remove(self, item):
        self.shop.catalogue.products.pop(item, None)

    def item(self, number):
        """External id of the n-th product, whether there is one or not."""
        return f"p{number}"

    # -- what happens -------------------------------------------------------------------------------

    @initialize(numbers=st.sets(NUMBERS, max_size=25))
    def open_shop(self, numbers):
        for number in sorted(numbers):
            self.put(self.item(number), True)
            self.shown[self.item(number)] = True

    @rule(number=NUMBERS, shown=st.booleans())
    def add_or_change(self, number, shown):
        self.put(self.item(number), shown)
        self.shown[self.item(number)] = shown

    @rule(numbers=st.sets(NUMBERS))
    def hide_many(self, numbers):
        for item in map(self.item, sorted(numbers)):
            if item in self.shown:
                self.put(item, False)
                self.shown[item] = False

    @rule(number=NUMBERS)
    def delete(self, number):
        self.remove(self.item(number))
        self.shown.pop(self.item(number), None)

    @rule(name=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 1000), numbers=st.sets(NUMBERS, min_size=1))
    def promote(self, name, seed, numbers):
        self.next_version += 1
        rng = np.random.default_rng(seed)
        ids = [self.item(number) for number in sorted(numbers)]
        if KINDS[name] == "static":
            arrays = {"scores": rng.normal(size=len(ids))}
        else:
            arrays = {"weights": rng.normal(size=(len(ids), len(ids)))}
        self.shop.promote(name, self.next_version, KINDS[name], ids, arrays)

    @precondition(lambda self: self.shop.versions.promoted)
    @rule(data=st.data())
    def damage(self, data):
        """The files of a version that serves are damaged under it."""
        name = data.draw(st.sampled_from(sorted(self.shop.versions.promoted)))
        folder = self.shop.store.folder / name / str(self.shop.versions.promoted[name])
        (folder / "manifest.json").unlink(missing_ok=True)

    @rule(seconds=st.sampled_from([1, 6, 100]))
    def wait(self, seconds):
        self.clock.advance(seconds=seconds)

    @rule(numbers=st.sets(NUMBERS), event_type=st.sampled_from(["product_view", "cart_add", "purchase"]))
    def act(self, numbers, event_type):
        for number in sorted(numbers):
            self.clock.advance(seconds=1)
            self.shop.online.add("a:v", Interaction(self.item(number), event_type, clock.now()))

    # -- what must hold -----------------------------------------------------------------------------

    @rule(
        list_type=st.sampled_from(TYPES),
        limit=st.integers(1, 60),
        product=NUMBERS,
        exclude=st.sets(NUMBERS, max_size=10),
    )
    def ask(self, list_type, limit, product, exclude):
        product_id = self.item(product) if list_type == "similar" else None
        banned = {self.item(number) for number in exclude}
        answer = recommend(
            Query(type=list_type, limit=limit, visitor="a:v", product_id=product_id, exclude=frozenset(banned))
        )
        self.check(answer, limit, banned | {product_id})
        allowed = {item for item, shown in self.shown.items() if shown} - banned - {product_id}
        if list_type in ("similar", "popular", "trending", "new"):
            assert len(answer.items) == min(limit, len(allowed)), "a list is short while others could be shown"

    @invariant()
    def default_list(self):
        answer = recommend(Query(visitor="a:v", limit=5))
        self.check(answer, 5, set())

    def check(self, answer, limit, banned):
        ids = answer.product_ids
        allowed = {item for item, shown in self.shown.items() if shown} - banned
        assert set(ids) <= allowed, "a hidden, sold-out, deleted or excluded product is shown"
        assert len(set(ids)) == len(ids), "a product is shown twice"
        assert len(ids) <= limit
        assert ids or not allowed, "the list is empty while something could be shown"
        scores = [item.score for item in answer.items]
        assert scores == sorted(scores, reverse=True)
        assert sum(source.items for source in answer.sources) == len(ids)


class FixedRanking:
    """Statistics that name products which may be hidden or gone."""

    def __init__(self, machine):
        self.machine = machine

    def top(self, k):
        return [(self.machine.item(number), 40.0 - number) for number in range(0, 25, 3)][:k]


class DjangoMachine(ListMachine):
    """The same over the test shop: hidden products are inactive or sold out, statistics come from the table."""

    def __init__(self):
        Product.objects.all().delete()
        ProductStats.objects.all().delete()
        super().__init__()

    def install(self):
        build.reset()
        build.override(versions=self.shop.versions, model_store=self.shop.store, online_store=self.shop.online)

    def item(self, number):
        return str(number + 1)

    def put(self, item, shown):
        sold_out = not shown and int(item) % 2
        values = {"name": item, "is_active": shown or sold_out, "stock": 0 if sold_out else 5}
        Product.objects.update_or_create(pk=int(item), defaults=values)

    def remove(self, item):
        Product.objects.filter(pk=int(item)).delete()

    @rule(values=st.dictionaries(NUMBERS, st.integers(0, 5), max_size=10))
    def count(self, values):
        for number, value in values.items():
            ProductStats.objects.update_or_create(
                item_id=self.item(number),
                defaults={"updated_at": clock.now(), "trend": float(value), "purchases_30d": value},
            )


def test_a_shop_in_memory():
    run_state_machine_as_test(ListMachine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))


@pytest.mark.django_db
def test_the_django_shop():
    run_state_machine_as_test(DjangoMachine, settings=settings(max_examples=20, stateful_step_count=20, deadline=None))
