"""`ml_collect --process` where Redis is configured and away."""

import io
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from ml_models import tasks
from ml_models.adapters import build
from ml_models.adapters.spool_fallback import FallbackSpool
from ml_models.core.event import Event, encode_event
from ml_models.core.ids import uuid7

pytest.importorskip("redis")
pytestmark = pytest.mark.django_db
NOW = datetime(2024, 6, 15, 10, 0, tzinfo=UTC)


@pytest.fixture
def spool(settings, tmp_path):
    """The spool of a shop whose Redis is away, with three events in its files."""
    settings.ML_STORAGE = {"data": tmp_path / "data", "models": tmp_path / "models"}
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    spool = FallbackSpool(tmp_path / "data" / "spool", automatic=False)
    build.override(spool=spool)
    spool.append(
        [
            encode_event(
                Event(event_id=uuid7(), event_type="product_view", event_time=NOW, received_at=NOW, product_id=product)
            )
            for product in "abc"
        ]
    )
    yield spool
    build.reset()


def test_the_files_reach_the_lake_and_the_exit_code_says_that_redis_is_away(spool):
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"Could not connect to Redis at 127\.0\.0\.1:1 .*redis-cli ping") as raised:
        call_command("ml_collect", process=True, stdout=out)
    assert raised.value.returncode == 1
    assert out.getvalue().startswith("Processed 3 events: 3 new in the lake")
    assert spool.stats()["records"] == 0


def test_the_task_leaves_the_files_their_time_and_says_why(spool):
    done = tasks.process_training_data_task()
    assert done["events"]["written"] == 0
    assert done["trouble"].startswith("Could not connect to Redis at 127.0.0.1:1 ")
    assert spool.stats()["records"] == 3
