"""A small shop with visitors whose taste is known, made through the guide's own endpoint."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from ml_models.core import clock
from tests.guide.snippets import GUIDE, Snippet, snippets
from tests.house.fresh import ROOT
from tests.shop.models import Category, Product


@pytest.fixture(scope="session")
def guide() -> str:
    if not GUIDE.is_file():
        pytest.skip(f"the guide is not here: {GUIDE}; ML_GUIDE names another place")
    return GUIDE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def tracker() -> str:
    """The script a page loads."""
    return (ROOT / "src/ml_models/static/js/ml-tracking.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def every_snippet(guide) -> dict[str, Snippet]:
    return snippets(guide)


@pytest.fixture
def snippet(every_snippet, request) -> Snippet:
    """The snippet that the test's `runs` mark names."""
    return every_snippet[request.node.get_closest_marker("runs").args[0]]


@pytest.fixture
def place(settings, tmp_path) -> None:
    """Files of this test alone."""
    settings.ML_STORAGE = {"data": tmp_path / "data", "models": tmp_path / "models"}
    # The small shop below would be called too small by the defaults.
    settings.ML_AUTO_TRAINING_CONFIG = {"min_interactions": 10, "min_users": 2, "min_products": 2}


@pytest.fixture
def products(db, place) -> list[Product]:
    shoes, lamps = Category.objects.create(name="Shoes"), Category.objects.create(name="Lamps")
    return [
        Product.objects.create(name=f"Product {number}", category=shoes if number % 2 else lamps, price=10 + number)
        for number in range(24)
    ]


@pytest.fixture
def visits(products) -> Callable[[], None]:
    """Forty visitors, each of whom looks at ten products of one category, posted to the track endpoint.

    Half of it 20 days ago and half yesterday, so that there is something to learn from and something to hold out.
    """

    def send() -> None:
        shoppers = [Client() for _ in range(40)]
        today = clock.now()
        for days, steps in ((20, range(5)), (1, range(5, 10))):
            with clock.use(clock.ManualClock(today - timedelta(days=days))):
                for visitor, shopper in enumerate(shoppers):
                    mine = [product for product in products if product.pk % 2 == visitor % 2]
                    events = [
                        {
                            "event_type": "product_view" if step % 4 else "cart_add",
                            "product_id": str(mine[(visitor + step) % len(mine)].pk),
                        }
                        for step in steps
                    ]
                    body = json.dumps({"events": events})
                    answer = shopper.post("/api/ml/track/", body, content_type="application/json")
                    assert answer.json() == {"status": "ok", "processed": 5}

    return send
