"""The online store in Redis keeps the contract, and the database stands in while Redis is away."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from ml_models import tasks
from ml_models.adapters import build
from ml_models.adapters.online_store import DatabaseOnlineStore
from ml_models.adapters.online_store_redis import FallbackOnlineStore, RedisOnlineStore
from ml_models.core import clock
from ml_models.core.errors import StoreError
from ml_models.core.query import Interaction
from ml_models.orm import OnlineInteraction
from ml_models.testing.online_store import OnlineStoreContract

redis = pytest.importorskip("redis")
DEAD = "redis://127.0.0.1:1/0"
START = datetime(2025, 3, 1, tzinfo=UTC)
numbers = itertools.count()


def view(item, minute=0):
    return Interaction(item, "product_view", START + timedelta(minutes=minute))


def make(url):
    return RedisOnlineStore(url=url, site=f"online{next(numbers)}", timeout=10)


class TestRedisOnlineStore(OnlineStoreContract):
    @pytest.fixture(autouse=True)
    def _url(self, redis_url):
        self.url = redis_url

    def make(self):
        return make(self.url)


@pytest.mark.django_db
class TestFallbackWithRedis(OnlineStoreContract):
    @pytest.fixture(autouse=True)
    def _url(self, redis_url):
        self.url = redis_url

    def make(self):
        return FallbackOnlineStore(redis=make(self.url))


class Switched(RedisOnlineStore):
    """A Redis that can be away."""

    down = False
    tries = 0

    def record_many(self, batch):
        self._look()
        super().record_many(batch)

    def recent(self, visitor, limit=50):
        self._look()
        return super().recent(visitor, limit)

    def _look(self):
        self.tries += 1
        if self.down:
            raise StoreError("Could not connect to Redis (a test)")


@pytest.fixture
def store(redis_url, db):
    return FallbackOnlineStore(redis=Switched(url=redis_url, site=f"online{next(numbers)}", timeout=10))


@pytest.fixture
def time():
    with clock.use(clock.ManualClock(START)) as time:
        yield time


def test_a_visitor_leaves_when_nothing_comes_for_as_long_as_behaviour_is_kept(redis_url, settings):
    settings.ML_DATA_COLLECTION = {"retention_days": 30}
    store = make(redis_url)
    store.record("a:1", [view("1")])
    with redis.Redis.from_url(redis_url) as client:
        assert 29 * 86_400 < client.ttl(store._key("a:1")) <= 30 * 86_400
        store.merge("a:1", "u:1")
        assert client.ttl(store._key("u:1")) > 29 * 86_400


def test_expiry_goes_through_everybody(redis_url):
    store, other = make(redis_url), make(redis_url)
    for number in range(2500):
        store.record_many({f"a:{number}": [view("old"), view("new", 20)]})
    other.record("a:1", [view("another site's")])
    assert store.expire(START + timedelta(minutes=10)) == 2500
    assert [one.item_id for one in store.recent("a:2499")] == ["new"]
    assert len(other.recent("a:1")) == 1


def test_a_server_that_is_away_is_said_in_words():
    store = RedisOnlineStore(url=DEAD, site="x")
    with pytest.raises(StoreError, match=r"Could not connect to Redis at 127\.0\.0\.1:1 .*redis-cli ping"):
        store.recent("a:1")


def test_the_database_takes_and_gives_while_redis_is_away(store, time):
    store.record("a:1", [view("1")])
    store._redis.down = True
    store.record("a:1", [view("2", 1)])
    assert [one.item_id for one in store.recent("a:1")] == ["2"]
    store._redis.down = False
    assert [one.item_id for one in store.recent("a:1")] == ["2"]  # it is not asked yet
    time.advance(seconds=6)
    assert [one.item_id for one in store.recent("a:1")] == ["1", "2"]
    store.record("a:1", [view("3", 2)])
    assert [one.item_id for one in store.recent("a:1")] == ["1", "2", "3"]
    assert OnlineInteraction.objects.count() == 1


def test_a_dead_redis_is_asked_once_in_a_while(store, time):
    store._redis.down = True
    for _ in range(100):
        store.recent("a:1")
        store.record("a:1", [view("1")])
        time.advance(seconds=0.1)
    assert store._redis.tries == 2


def test_what_the_database_took_moves_to_redis_once(store, time, django_assert_num_queries):
    store._redis.down = True
    store.record_many({f"a:{number}": [view("1"), view("2", 1)] for number in range(700)})
    with pytest.raises(StoreError):
        store.drain()
    assert OnlineInteraction.objects.count() == 1400
    store._redis.down = False
    assert store.drain() == 1400
    assert store.drain() == 0
    time.advance(hours=1)
    with django_assert_num_queries(0):  # long after an outage Redis alone is asked
        assert [one.item_id for one in store.recent("a:699")] == ["1", "2"]


def test_an_erasure_that_cannot_reach_redis_is_no_erasure(db):
    store = FallbackOnlineStore(redis=RedisOnlineStore(url=DEAD, site="x"))
    store.record("a:1", [view("1")])
    with pytest.raises(StoreError, match="Could not connect to Redis"):
        store.forget("a:1")
    assert OnlineInteraction.objects.count() == 0


def test_the_default_follows_redis_url(settings):
    settings.REDIS_URL = None
    assert type(build.get_online_store()) is DatabaseOnlineStore
    settings.REDIS_URL = DEAD
    assert type(build.get_online_store()) is FallbackOnlineStore
    settings.ML_STORAGE = {"online_store": "ml_models.adapters.online_store.DatabaseOnlineStore"}
    assert type(build.get_online_store()) is DatabaseOnlineStore
    build.reset()


def test_the_task_moves_what_the_database_took(store, settings, tmp_path):
    settings.ML_STORAGE = {"data": tmp_path}
    build.override(online_store=store)
    store._redis.down = True
    store.record("a:1", [view("1")])
    assert tasks.process_training_data_task()["trouble"] == "Could not connect to Redis (a test)"
    store._redis.down = False
    assert "trouble" not in tasks.process_training_data_task()
    assert OnlineInteraction.objects.count() == 0
    build.reset()
