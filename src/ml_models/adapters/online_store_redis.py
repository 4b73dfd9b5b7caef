"""Recent interactions in Redis, and the store of a shop with `REDIS_URL`: Redis first, the database while it is away.

One sorted set a visitor, `ml:{<site>}:recent:<visitor>`, scored by time in microseconds; it leaves by itself when
nothing was added for `retention_days`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ml_models.adapters.online_store import KEEP, DatabaseOnlineStore, merged
from ml_models.adapters.redis_client import Redis
from ml_models.adapters.tables import primary
from ml_models.core import clock
from ml_models.core.errors import StoreError
from ml_models.core.query import Interaction
from ml_models.settings import get_settings

__all__ = ["FallbackOnlineStore", "RedisOnlineStore"]

logger = logging.getLogger("bunoraa.ml")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PAUSE = 5.0
"""Seconds for which a Redis that failed is not asked again."""
_BEHIND = 900.0
"""Seconds after an outage in which the database is asked too: longer than `drain` takes to come by."""
_CHUNK = 1_000

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, str, int]).decode


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


class RedisOnlineStore:
    """The store in the Redis of `REDIS_URL`; a read is one call, a write one pipeline. Raises `StoreError`."""

    def __init__(self, *, url: str | None = None, site: str = "", timeout: float = 1.0) -> None:
        """Connect at the first use; `url` and `site` are those of the settings by default."""
        settings = get_settings()
        self._redis = Redis(url or settings.redis_url, StoreError, timeout=timeout)
        self._prefix = f"ml:{{{site or settings.site}}}:recent:"
        self._keep_for = settings.data_collection.retention_days * 86_400

    def _key(self, visitor: str) -> str:
        return self._prefix + visitor

    def record(self, visitor: str, interactions: Sequence[Interaction]) -> None:
        """Add interactions of a visitor."""
        self.record_many({visitor: interactions})

    def record_many(self, batch: Mapping[str, Sequence[Interaction]]) -> None:
        """Add interactions of several visitors in one round trip."""
        batch = {visitor: interactions for visitor, interactions in batch.items() if interactions}
        if not batch:
            return
        with self._redis.use() as client, client.pipeline(transaction=False) as pipeline:
            for visitor, interactions in batch.items():
                rows = {}
                for one in interactions:
                    at = _micros(one.at)
                    rows[_pack((one.item_id, one.event_type, at))] = at
                pipeline.zadd(self._key(visitor), rows)
                self._bound(pipeline, visitor)
            pipeline.execute()

    def _bound(self, pipeline: Any, visitor: str) -> None:
        pipeline.zremrangebyrank(self._key(visitor), 0, -KEEP - 1)
        pipeline.expire(self._key(visitor), self._keep_for)

    def recent(self, visitor: str, limit: int = 50) -> list[Interaction]:
        """The newest interactions, oldest first, at most `KEEP`; one call."""
        limit = min(limit, KEEP)
        if limit < 1:
            return []
        with self._redis.use() as client:
            # Twice the limit leaves room for repeats that are dropped here.
            rows = map(_unpack, client.zrevrange(self._key(visitor), 0, 2 * limit - 1))
            return merged([Interaction(item, kind, _EPOCH + at * _MICROSECOND) for item, kind, at in rows], (), limit)

    def merge(self, source: str, target: str) -> None:
        """Give the history of one visitor key to another, all or nothing."""
        if source == target:
            return
        with self._redis.use() as client, client.pipeline(transaction=True) as pipeline:
            keys = [self._key(target), self._key(source)]
            pipeline.zunionstore(keys[0], keys, aggregate="MAX")
            pipeline.delete(keys[1])
            self._bound(pipeline, target)
            pipeline.execute()

    def forget(self, visitor: str) -> None:
        """Erase a visitor."""
        with self._redis.use() as client:
            client.delete(self._key(visitor))

    def scrub(self) -> str:
        """Let the server write its files anew, which hold what was deleted; says what stays."""
        return self._redis.rewrite()

    def expire(self, older_than: datetime) -> int:
        """Drop what happened before a time, of everybody; returns how many. Walks through the keys of the server."""
        dropped = 0
        with self._redis.use() as client:
            # A site's name holds no character that means something in a pattern; the braces mean nothing there.
            keys: list[bytes] = []
            for key in client.scan_iter(match=f"{self._prefix}*", count=_CHUNK):
                keys.append(key)
                if len(keys) == _CHUNK:
                    dropped += self._expire(client, keys, older_than)
                    keys = []
            return dropped + self._expire(client, keys, older_than)

    @staticmethod
    def _expire(client: Any, keys: Sequence[bytes], older_than: datetime) -> int:
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.zremrangebyscore(key, "-inf", f"({_micros(older_than)}")
            return sum(pipeline.execute())

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class FallbackOnlineStore:
    """Redis first; while it is away the database takes and gives, and `drain` moves it over afterwards."""

    def __init__(self, *, redis: RedisOnlineStore | None = None, database: DatabaseOnlineStore | None = None) -> None:
        """Build it over the Redis of the settings and the shop's database."""
        self._redis = redis or RedisOnlineStore()
        self._database = database or DatabaseOnlineStore()
        self._ask_again = self._behind_until = float("-inf")
        self._lock = threading.Lock()

    def _there(self) -> bool:
        """Whether Redis is to be asked; after a pause one caller is told so first."""
        if self._ask_again == float("-inf"):
            return True
        now = clock.current().monotonic()
        with self._lock:
            if now < self._ask_again:
                return False
            self._ask_again = now + _PAUSE
            return True

    def _failed(self, error: StoreError) -> None:
        now = clock.current().monotonic()
        with self._lock:
            first, self._ask_again = self._ask_again == float("-inf"), now + _PAUSE
            self._behind_until = now + _BEHIND
        if first:
            logger.warning("Recent items are kept in the database for now. %s", error)

    def _answered(self) -> None:
        if self._ask_again != float("-inf"):
            with self._lock:
                self._ask_again = float("-inf")
            logger.info("Recent items are kept in Redis again.")

    def record(self, visitor: str, interactions: Sequence[Interaction]) -> None:
        """Add interactions of a visitor."""
        self.record_many({visitor: interactions})

    def record_many(self, batch: Mapping[str, Sequence[Interaction]]) -> None:
        """Add interactions of several visitors, in Redis or in the database."""
        if self._there():
            try:
                self._redis.record_many(batch)
                self._answered()
                return
            except StoreError as error:
                self._failed(error)
        self._database.record_many(batch)

    def recent(self, visitor: str, limit: int = 50) -> list[Interaction]:
        """The newest interactions, oldest first; for a while after an outage, those in the database too."""
        found: list[Interaction] = []
        if self._there():
            try:
                found = self._redis.recent(visitor, limit)
                self._answered()
            except StoreError as error:
                self._failed(error)
        if clock.current().monotonic() >= self._behind_until:
            return found
        return merged(found, self._database.recent(visitor, limit), limit)

    def merge(self, source: str, target: str) -> None:
        """Give the history of one visitor key to another, in both. Raises `StoreError` where Redis is away."""
        self._database.merge(source, target)
        self._redis.merge(source, target)

    def forget(self, visitor: str) -> None:
        """Erase a visitor from both. Raises `StoreError` where Redis is away: then it is to be done again."""
        self._database.forget(visitor)
        self._redis.forget(visitor)

    def scrub(self) -> str:
        """Of both. Raises `StoreError` where Redis is away."""
        return " ".join(filter(None, (self._database.scrub(), self._redis.scrub())))

    def expire(self, older_than: datetime) -> int:
        """Drop what happened before a time from both; returns how many. Raises `StoreError` where Redis is away."""
        return self._database.expire(older_than) + self._redis.expire(older_than)

    def drain(self) -> int:
        """Move what the database took to Redis; returns how many rows. Raises `StoreError` where Redis is away.

        A row moved twice is there once, so any number may do this, and be killed.
        """
        from ml_models.orm import OnlineInteraction

        moved = 0
        waiting = primary(OnlineInteraction)
        while rows := list(waiting.order_by("id")[:_CHUNK]):
            batch: dict[str, list[Interaction]] = {}
            for row in rows:
                batch.setdefault(row.visitor, []).append(Interaction(row.item_id, row.event_type, row.at))
            self._redis.record_many(batch)
            waiting.filter(pk__in=[row.pk for row in rows]).delete()
            moved += len(rows)
        return moved

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
