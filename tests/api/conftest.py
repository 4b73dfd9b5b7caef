import json

import pytest

from ml_models import settings as ml_settings
from ml_models.adapters import build
from ml_models.data_collection import counters
from tests.recorded import Recorded

URL = "/api/ml/track/"


@pytest.fixture
def recorded():
    """The spool, recent items and dead letters of this test, in force."""
    ml_settings.reset()
    build.reset()
    counters.reset()
    yield Recorded().install()
    build.reset()
    ml_settings.reset()


@pytest.fixture
def send(client, recorded):
    """Post events as the tracker does."""

    def post(*events, meta=None, **extra):
        body = json.dumps({"events": list(events), "meta": meta or {}})
        return client.post(URL, body, content_type="application/json", **extra)

    return post
