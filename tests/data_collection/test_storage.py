"""The forecast of the disk, with figures known beforehand."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ml_models import settings as ml_settings
from ml_models.core import clock
from ml_models.data_collection.storage import Storage, folder_bytes, look, size

NOW = datetime(2024, 6, 15, 10, tzinfo=UTC)
MB = 1_000_000


def days(*megabytes):
    """Bytes of the days before today, the newest first."""
    return {date(2024, 6, 14) - timedelta(days=n): count * MB for n, count in enumerate(megabytes)}


@pytest.fixture
def disk(settings, tmp_path):
    """Some 1,000 MB used below the data folder, by a sparse file; change settings with it."""

    def use(limit=0, retention=90, **storage):
        settings.ML_DATA_COLLECTION = {"retention_days": retention}
        settings.ML_STORAGE = {"data": str(tmp_path / "data"), **storage}
        settings.ML_LIMITS = {"storage_bytes": limit}

    (tmp_path / "data" / "lake").mkdir(parents=True)
    with (tmp_path / "data" / "lake" / "part").open("wb") as file:
        file.truncate(1000 * MB)
    use()
    with clock.use(clock.ManualClock(NOW)):
        yield use
    ml_settings.reset()


def test_the_day_of_the_limit(disk):
    disk(limit=11_200 * MB, retention=365)
    found = look(days(120, 120, 120, 120, 120, 120, 120, 999))
    assert (found.used, found.growth, found.days_left) == (1000 * MB, 120 * MB, 85)
    assert str(found) == "at 120 MB a day the limit is reached in 85 days"
    assert not found.near


def test_a_young_lake_is_measured_over_the_days_it_has(disk):
    disk(limit=2000 * MB)
    assert look(days(100, 300)).growth == 200 * MB


def test_a_day_without_events_counts_as_one(disk):
    disk(limit=100_000 * MB)
    quiet = {date(2024, 6, 14): 70 * MB, date(2024, 5, 1): 70 * MB}
    assert look(quiet).growth == 10 * MB


def test_today_is_no_whole_day(disk):
    found = look({date(2024, 6, 15): 50 * MB})
    assert (found.growth, found.days_left, str(found)) == (None, None, "no whole day is known yet")


def test_retention_holds_it_below_the_limit(disk):
    disk(limit=1750 * MB)
    found = look(days(*[10] * 20))  # 90 days of 10 MB, and 800 MB of other things
    assert (found.capped, found.days_left) == (True, None)
    assert str(found) == "at 10.0 MB a day never: behaviour older than 90 days is dropped"


@pytest.mark.parametrize(("limit", "near"), [(2200, False), (1840, False), (1830, True), (1050, True), (900, True)])
def test_near_is_a_week_or_the_last_twentieth(disk, limit, near):
    disk(limit=limit * MB)
    assert look(days(*[120] * 10)).near is near


def test_beyond_the_limit(disk):
    disk(limit=900 * MB)
    found = look(days(120))
    assert (found.days_left, str(found)) == (0, "the limit is reached")


def test_without_a_limit_the_disk_is_one(disk):
    found = look(days(1))
    assert not found.own_limit
    assert found.limit > found.used


def test_a_lake_elsewhere_adds_nothing_here(disk):
    disk(lake="s3://bucket/lake")
    found = look(days(120))
    assert (found.growth, found.days_left, str(found)) == (0, None, "nothing is added here")


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    assert folder_bytes(tmp_path / "none") == 0
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"1234")
    (tmp_path / "c").write_bytes(b"56")
    assert folder_bytes(tmp_path) == 6
    assert folder_bytes(Path("/nonexistent-folder")) == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (9_500 * MB, "9.5 GB"), (120 * MB, "120 MB"), (1500, "1.5 KB")],
)
def test_sizes_for_people(count, text):
    assert size(count) == text


def test_one_day_is_a_day():
    assert str(Storage(10, 20, True, 10, 1, False, 90)).endswith("in 1 day")
