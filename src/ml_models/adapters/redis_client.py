"""Connections to Redis as this app uses it: short time-outs, nothing sent twice, failures in words.

The `redis` package is imported at the first use only: a shop without `REDIS_URL` need not have it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ml_models.core.errors import ConfigError, MLError

__all__ = ["COULD_NOT", "Redis", "address"]

COULD_NOT = "Could not connect to Redis"
"""How every message about an unreachable Redis begins, as in the guide."""


def address(url: str) -> str:
    """Host and port, or the socket's path; never the password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


class Redis:
    """One server, reached through a pool of connections that survives forks; made at the first use.

    `failure`: class of the errors raised, whose messages carry the remedy.
    """

    def __init__(
        self, url: str | None, failure: type[MLError], *, connect_timeout: float = 0.3, timeout: float = 1.0
    ) -> None:
        """Remember how to connect; times are in seconds."""
        if not url:
            raise ConfigError("REDIS_URL is not set. Set it, such as redis://localhost:6379/0.")
        self.url = url
        self.where = address(url)
        self._failure = failure
        self._timeouts = {"socket_connect_timeout": connect_timeout, "socket_timeout": timeout}
        self._client: Any = None

    def client(self) -> Any:
        """The driver's client. Raises the failure where the package is missing."""
        if self._client is None:
            try:
                import redis
                from redis.backoff import NoBackoff
                from redis.retry import Retry
            except ImportError as error:
                raise self._failure(
                    f"{COULD_NOT} at {self.where}: the redis package is missing. pip install 'bunoraa-ml[redis]', or "
                    "remove REDIS_URL to use files and the database."
                ) from error
            # No retries: the driver would send a command again whose answer it did not see, and events would be twice.
            # RESP2, which every server speaks; its answers have the same shape in every version of the driver.
            self._client = redis.Redis.from_url(self.url, protocol=2, retry=Retry(NoBackoff(), 0), **self._timeouts)
        return self._client

    @contextmanager
    def use(self) -> Iterator[Any]:
        """The client for a few commands; whatever goes wrong with the server is the failure, in words."""
        client = self.client()
        import redis  # it is there: `client` would have said so

        try:
            yield client
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise self._failure(
                f"{COULD_NOT} at {self.where} ({type(error).__name__}). Check that it runs (redis-cli ping) and that "
                "REDIS_URL names it."
            ) from error
        except redis.RedisError as error:  # out of memory, not permitted, no longer the one to write to
            if isinstance(error, redis.ReadOnlyError):  # after a failover the name may lead to another server by now
                client.connection_pool.disconnect()
            raise self._failure(
                f"Redis at {self.where} refused: {error}. Check its memory (maxmemory), role and access rules."
            ) from error

    def worries(self) -> list[str]:
        """What of the server's configuration puts accepted events at risk, in sentences with the remedy.

        Empty too where the server does not let us look.
        """
        with self.use() as client:
            found = {name: self._look(client, name) for name in ("appendonly", "maxmemory-policy")}
            if not found["appendonly"] and client.info("persistence").get("aof_enabled") == 0:
                found["appendonly"] = "no"
        worries = []
        if found["appendonly"] == "no":
            worries.append(
                f"Redis at {self.where} keeps no append-only file (appendonly no): when it stops, events that wait in "
                "it for the lake are lost. Set appendonly yes in redis.conf, and appendfsync always where a power cut "
                "must lose nothing either."
            )
        if found["maxmemory-policy"].startswith("allkeys"):
            worries.append(
                f"Redis at {self.where} may evict events that wait in it for the lake (maxmemory-policy "
                f"{found['maxmemory-policy']}). Set maxmemory-policy noeviction, or give events a Redis of their own."
            )
        return worries

    def rewrite(self, patience: float = 30.0) -> str:
        """Have the server write its append-only file and its dump anew, so that they hold nothing deleted.

        Waits `patience` seconds. A sentence about what may stay, empty where nothing does.
        """
        import redis  # `use` would say where it is missing

        deadline = time.monotonic() + patience
        with self.use() as client:
            try:
                wanted = [client.bgrewriteaof] if client.info("persistence").get("aof_enabled") else []
                wanted += [client.bgsave] if self._look(client, "save") else []
                for start in wanted:
                    if not (self._idle(client, deadline) and start() and self._idle(client, deadline)):
                        return (
                            f"Redis at {self.where} is still writing its files; then what was deleted is off its disk."
                        )
            except redis.ResponseError:  # not permitted, as on many hosted servers
                return (
                    f"Redis at {self.where} does not let this app rewrite its files (BGREWRITEAOF, BGSAVE): what was "
                    "deleted leaves them with the server's next rewrite."
                )
        return ""

    @staticmethod
    def _idle(client: Any, deadline: float) -> bool:
        """Wait until the server writes no file; False where that takes longer."""
        while True:
            state = client.info("persistence")
            names = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
            if not any(int(state.get(name, 0)) for name in names):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)

    def ping(self) -> None:
        """Raise the failure where the server does not answer."""
        with self.use() as client:
            client.ping()

    @staticmethod
    def _look(client: Any, name: str) -> str:
        import redis

        try:
            return str(client.config_get(name).get(name, ""))
        except redis.ResponseError:  # many hosted servers refuse CONFIG
            return ""

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
