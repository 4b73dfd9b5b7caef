from datetime import UTC, datetime

import pytest

from ml_models import settings as ml_settings
from ml_models.adapters import build
from ml_models.core import clock
from ml_models.core.query import Interaction
from tests.serving.fakes import Shop

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    # No answer of a test may hang on how long a busy machine takes to load a model.
    monkeypatch.setattr("ml_models.serving.loaded.FIRST_WAIT", 60.0)
    ml_settings.reset()
    build.reset()
    yield
    build.reset()
    ml_settings.reset()


@pytest.fixture
def time():
    """A clock that moves only when told, in force."""
    with clock.use(clock.ManualClock(START)) as manual:
        yield manual


@pytest.fixture
def shop(tmp_path, time):
    """A shop in memory, in force."""
    made = Shop(tmp_path)
    made.install()
    return made


@pytest.fixture
def ml_serving(shop, settings):
    """Set `ML_SERVING`. A changed setting forgets the adapters, so the shop is put in force again."""

    def change(**options):
        settings.ML_SERVING = options
        shop.install()

    return change


@pytest.fixture
def viewed():
    """Interactions from product ids, one a minute, oldest first."""

    def make(*ids, event_type="product_view"):
        return tuple(Interaction(item, event_type, START.replace(minute=number)) for number, item in enumerate(ids))

    return make
