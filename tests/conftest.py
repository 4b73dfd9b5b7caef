"""What every test may ask for."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import servers

# No verdict of this suite may hang on how busy the machine is.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def _missing_server(reason: str) -> None:
    """Skip with the reason; under CI=true the servers are promised, so there it is a failure."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of an empty PostgreSQL database of this test process."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(servers.postgres_database())
        except servers.NoServer as error:
            _missing_server(str(error))
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of an empty Redis database of this test process."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(servers.redis_database())
        except servers.NoServer as error:
            _missing_server(str(error))
        yield url


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets: `ML_TEST_DATA`, default `../shared/data`."""
    folder = Path(os.environ.get("ML_TEST_DATA", Path(__file__).parents[1] / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not here: {folder}")
    return folder


@pytest.fixture(autouse=True)
def _no_event_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What pages record waits in the queue until a test flushes it: no thread writes to a test's database."""
    from ml_models.data_collection.queue import queue
    from ml_models.data_collection.recent import recent

    monkeypatch.setattr(queue, "automatic", False)
    monkeypatch.setattr(recent, "automatic", False)  # recent items are then written at once
    yield
    queue.reset()
    recent.reset()
