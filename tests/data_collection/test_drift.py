"""Drift: the index by hand, and the check over a lake whose change is known."""

import json
import math
from datetime import UTC, datetime, timedelta

import pytest

from ml_models import tasks
from ml_models.adapters import build
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.core.event import Event
from ml_models.core.ids import uuid7
from ml_models.core.lake_schema import to_frame
from ml_models.core.ports import Product, VersionRecord
from ml_models.data_collection.drift import check_drift, expected_by_chance, last_drift, psi
from ml_models.data_collection.status import health_status

NOW = datetime(2024, 6, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_psi_by_hand():
    assert psi({"a": 10, "b": 10}, {"a": 300, "b": 300}) == pytest.approx(0, abs=1e-12)
    # Shares with half a count added: 100.5 and 50.5 of 151 each way.
    p, q = 100.5 / 151, 50.5 / 151
    assert psi({"a": 100, "b": 50}, {"a": 50, "b": 100}) == pytest.approx(2 * (p - q) * math.log(p / q))
    assert psi({"a": 100}, {"b": 100}) == pytest.approx(2 * (100 / 101) * math.log(100.5 / 0.5))


def test_chance():
    assert expected_by_chance(21, 1000, 1000) == pytest.approx(0.04)
    assert expected_by_chance(2, 0, 10) == math.inf


class Champions:
    """One champion, trained on May and most of June."""

    def __init__(self):
        window = {"start": "2024-05-01T00:00:00+00:00", "end": "2024-06-29T00:00:00+00:00"}
        self.record = VersionRecord(name="popular", version=3, status="ready", created_at=NOW - DAY, data=window)

    def champions(self):
        return {"popular": 3}

    def get(self, name, version):
        return self.record

    def list(self, name=None, *, limit=100):
        return [self.record] if name in (None, "popular") else []


class Shop:
    def get(self, ids):
        return {one: Product(id=one, category="Tea" if one < "p5" else "Pots") for one in ids}


@pytest.fixture
def lake(settings):
    """Views of ten products in equal numbers, 1,000 of the old days; `add` puts more of the newest week in."""
    store = MemoryEventStore()

    def use(**changed):
        for name, value in changed.items():
            setattr(settings, name, value)
        build.override(event_store=store, versions=Champions(), catalogue=Shop())

    def add(number, *, product=lambda n: f"p{n % 10}", event_type="product_view", days=1.0):
        events = [
            Event(
                event_id=uuid7(),
                event_type=event_type,
                event_time=NOW - days * DAY - timedelta(seconds=n),
                received_at=NOW,
                user_id=str(n),
                product_id=product(n),
            )
            for n in range(number)
        ]
        store.commit(store.snapshot(), {}, to_frame(events))

    build.reset()
    use()
    add.use = use
    add(1000, days=20)
    with clock.use(clock.ManualClock(NOW)):
        yield add
    build.reset()


pytestmark = pytest.mark.django_db


def test_the_same_behaviour_is_no_drift(lake):
    lake(1000)
    found = check_drift()
    assert found["drifted"] == []
    assert {name: one["psi"] for name, one in found["figures"].items()} == {
        "event_types": 0.0,
        "products": 0.0,
        "categories": 0.0,
    }
    assert (found["before"]["interactions"], found["recent"]["interactions"]) == (1000, 1000)
    assert last_drift() == found


def test_other_products_of_the_same_category_drift_alone(lake):
    lake(1000, product=lambda n: f"p{n % 2 + 5 * (n // 2 % 2)}")
    found = check_drift()
    assert found["drifted"] == ["products"]
    assert found["figures"]["categories"]["psi"] == 0.0
    part = health_status()
    assert part.values["drift"]["drifted"] == ["products"]
    assert any("products" in hint and "0.15" in hint for hint in part.hints)


def test_another_mix_of_events_drifts(lake):
    lake(500)
    lake(500, event_type="cart_add")
    assert check_drift()["drifted"] == ["event_types"]


def test_too_little_data_says_nothing(lake):
    lake(100, product=lambda n: "p0")
    found = check_drift()
    assert found["figures"]["products"]["psi"] is None
    assert found["figures"]["products"]["noise"] == pytest.approx(9 * (1 / 1000 + 1 / 100))
    assert found["drifted"] == ["categories"], "two groups need less than ten"


def test_without_products_mapped_there_are_no_categories(lake):
    lake.use(ML_CATALOG={})
    lake(1000)
    assert set(check_drift()["figures"]) == {"event_types", "products"}


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [("2024-06-25", "2024-06-29", "nothing older than 7 days"), (None, None, "no model serves yet")],
)
def test_nothing_to_compare_with_is_said(lake, start, end, says):
    champions = Champions()
    if start is None:
        champions.champions = dict
    else:
        champions.record.data.update(start=f"{start}T00:00:00+00:00", end=f"{end}T00:00:00+00:00")
    build.override(versions=champions)
    found = tasks.check_drift_task()
    assert says in found["skipped"]
    assert json.dumps(found)


def test_the_switch(lake):
    lake.use(ML_AUTO_TRAINING_CONFIG={"enable_drift_detection": False})
    assert "enable_drift_detection" in check_drift()["skipped"]
