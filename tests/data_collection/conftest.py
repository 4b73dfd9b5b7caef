import pytest

from ml_models import settings as ml_settings
from ml_models.adapters import build
from ml_models.data_collection import counters
from tests.recorded import Recorded


@pytest.fixture
def recorded():
    """The spool, recent items and dead letters of this test, in force."""
    ml_settings.reset()
    build.reset()
    counters.reset()
    yield Recorded().install()
    build.reset()
    ml_settings.reset()
