"""What retention leaves of a customer: in the lake, in training, in the profiles."""

from datetime import timedelta
from io import StringIO

import polars as pl
import pytest
from django.core.management import call_command

from ml_models.adapters import build
from ml_models.adapters.dead_letters import DeadLetters
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.adapters.lake_keys import lake_keys
from ml_models.adapters.online_store import MemoryOnlineStore
from ml_models.core import clock
from ml_models.core.data_loader import load_interactions
from ml_models.core.keyed_ids import is_keyed, keyed_id
from ml_models.data_collection.retention import apply_retention
from ml_models.data_collection.user_profile import collect_profiles, get_profile
from ml_models.orm import UserProfile
from ml_models.tasks import cleanup_old_data_task
from ml_models.testing.event_store import DAY, ids, make_event, put

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(tmp_path, settings):
    """A lake, 10 days of retention; the present is 20 days after `DAY`."""
    settings.ML_DATA_COLLECTION = {"retention_days": 10}
    build.reset()
    lake = DeltaEventStore(tmp_path / "lake")
    build.override(event_store=lake, dead_letters=DeadLetters(tmp_path / "dead"), online_store=MemoryOnlineStore())
    with clock.use(clock.ManualClock(DAY + timedelta(days=20))):
        yield lake
    build.reset()


def bought(name, user="7", days=0, **fields):
    return make_event(name, DAY + timedelta(days=days), event_type="purchase", user_id=user, **fields)


def viewed(name, user="7", days=19, **fields):
    return make_event(name, DAY + timedelta(days=days), user_id=user, **fields)


def profiles():
    return {profile.visitor: (profile.events, profile.orders) for profile in UserProfile.objects.all()}


def test_old_orders_keep_their_facts_under_keyed_ids(store):
    put(store, [bought("order"), bought("past", source="import"), bought("young", days=15), viewed("gone", days=0)])
    result = apply_retention()
    assert (result.events, result.keyed) == (1, 1)
    keyed = keyed_id("7", lake_keys()[0])
    rows = store.scan(columns=["event_id", "user_id", "product_id"]).sort("event_id").collect().rows()
    assert rows == [("order", keyed, "p1"), ("past", "7", "p1"), ("young", "7", "p1")]
    again = apply_retention(include_imported=True)
    assert (again.events, again.keyed) == (0, 1)
    assert ids(store.scan().filter(pl.col("user_id") == "7")) == ["young"]
    assert apply_retention(include_imported=True).keyed == 0


def test_a_customer_who_is_known_trains_as_one_visitor(store):
    put(store, [bought("order"), bought("other", user="8"), viewed("view")])
    before = load_interactions(store.scan(), keys=lake_keys())
    apply_retention()
    after = load_interactions(store.scan(), keys=lake_keys())
    assert before.user_ids.names == ("u:7", "u:8")
    assert after.user_ids.names == ("u:7", f"u:{keyed_id('8', lake_keys()[0])}")
    assert sorted(after.times.tolist()) == sorted(before.times.tolist())


def test_a_new_secret_finds_what_the_old_one_keyed(store, settings):
    put(store, [bought("order"), viewed("view")])
    apply_retention()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret of the shop, long enough for a test"
    assert load_interactions(store.scan(), keys=lake_keys()).user_ids.names == ("u:7",)
    settings.SECRET_KEY_FALLBACKS = []
    assert load_interactions(store.scan(), keys=lake_keys()).n_users == 2


def test_profiles_follow_the_lake(store):
    put(store, [bought("order"), bought("other", user="8"), viewed("view"), viewed("guest", user="9", days=0)])
    collect_profiles()
    assert profiles() == {"u:7": (2, 1), "u:8": (1, 1), "u:9": (1, 0)}
    apply_retention()
    keyed = f"u:{keyed_id('8', lake_keys()[0])}"
    assert collect_profiles().full
    assert profiles() == {"u:7": (2, 1), keyed: (1, 1)}
    assert get_profile("u:8").visitor == keyed
    assert get_profile("u:7").visitor == "u:7"
    assert get_profile("u:9") is None

    put(store, [viewed("back", user="8", days=20)])
    result = collect_profiles()
    assert (result.full, result.removed) == (False, 1)
    assert profiles() == {"u:7": (2, 1), "u:8": (2, 1)}
    assert get_profile("u:8").orders == 1


def test_no_profile_outlives_the_clean_up(store):
    put(store, [bought("order", user="8"), viewed("guest", user="9", days=0)])
    collect_profiles()
    assert profiles() == {"u:8": (1, 1), "u:9": (1, 0)}
    assert cleanup_old_data_task()["profiles"]["full"]
    assert profiles() == {f"u:{keyed_id('8', lake_keys()[0])}": (1, 1)}


def test_nothing_due_leaves_the_profiles_alone(store):
    put(store, [viewed("view")])
    collect_profiles()
    assert apply_retention().events == 0
    assert not collect_profiles().full


def test_the_command_says_what_it_did(store):
    put(store, [bought("order"), viewed("old", days=0), bought("past", user="8", source="import")])
    out = StringIO()
    collect_profiles()
    call_command("ml_collect", "--cleanup", stdout=out)
    assert sorted(profiles()) == sorted([f"u:{keyed_id('7', lake_keys()[0])}", "u:8"])
    assert "Older than 2025-03-20 00:00 UTC: 1 events dropped, 1 orders given keyed ids" in out.getvalue()
    call_command("ml_collect", "--cleanup", "--include-imported", stdout=out)
    assert "0 events dropped, 1 orders given keyed ids" in out.getvalue()
    assert all(map(is_keyed, store.scan().collect()["user_id"]))
