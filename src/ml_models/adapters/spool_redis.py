"""The spool in Redis Streams, for several web hosts: one packed entry a batch, positions that are record numbers.

    ml:{<site>}:spool                   hash: epoch, run, and per epoch last:<epoch>, trimmed:<epoch>
    ml:{<site>}:spool:epochs            list of epochs with anything to read, oldest first
    ml:{<site>}:spool:<epoch>           stream; entry "<n>-0" holds the records up to number n of its epoch
    ml:{<site>}:spool:moved:<source>    position up to which a file slot was moved here, see `spool_fallback`

The source of an epoch is `redis:<epoch>`; within it the records are numbered 1, 2, 3 ... and a number is never used
twice. That holds because an epoch belongs to one life of one server as a primary: the script that appends compares the
server's own run id and replication id with those the epoch began under, and begins a new epoch, with a random name and
a stream of its own, whenever they differ or anything is missing. So after a restart, a failover to a replica that lags
or is empty, FLUSHALL, an evicted or deleted key or a clock that went back, new records come under a new source, and
what is left of the old ones is read under theirs. Epochs are read in the order they began.

There is no consumer group (positions live in the lake's commits), and no MAXLEN: entries are trimmed once the lake
proves that it has them. Accepted means that Redis answered; what survives then is a matter of its `appendfsync`, see
docs/transport.md.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ml_models.adapters.redis_client import Redis
from ml_models.adapters.spool_frames import MAX_RECORD
from ml_models.core import clock
from ml_models.core.errors import SpoolError
from ml_models.core.ports import Scrubbed, SpoolRead
from ml_models.settings import get_settings

__all__ = ["RedisSpool"]

_READ_BYTES = 8 << 20
"""About the most one `read` returns; bytes."""
_PAGE, _MOST = 16, 4096
"""Entries asked for at first, and at most where they turn out to be small."""
_READ_TIMEOUT = 10.0
"""Seconds a worker waits for what it reads or trims; a page's request waits `timeout` only."""

_RUN = """
local run = (string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '') .. ':'
  .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or '')
"""
_APPEND = (
    _RUN
    + """
-- KEYS: head, stream of the epoch. ARGV: epoch, records, unix seconds, packed records; then, for records that come
-- from a file slot, the position they begin after and the one they end at, with the mark as KEYS[3].
local head = redis.call('HMGET', KEYS[1], 'epoch', 'run')
if head[1] ~= ARGV[1] or head[2] ~= run or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if KEYS[3] then
  if tonumber(redis.call('GET', KEYS[3]) or 0) > tonumber(ARGV[5]) then return 0 end
  redis.call('SET', KEYS[3], ARGV[6], 'EX', 2592000)
end
local last = redis.call('HINCRBY', KEYS[1], 'last:' .. ARGV[1], ARGV[2])
redis.call('XADD', KEYS[2], string.format('%.0f-0', last), 't', ARGV[3], 'r', ARGV[4])
return last
"""
)
_OPEN = (
    _RUN
    + """
-- KEYS: head, epochs, stream of the new epoch. ARGV: new epoch. Returns the epoch to append to.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'run')
if head[1] then
  local stream = KEYS[1] .. ':' .. head[1]
  if head[2] == run and redis.call('EXISTS', stream) == 1 then return head[1] end
  if redis.call('XLEN', stream) == 0 then
    redis.call('DEL', stream)
    redis.call('LREM', KEYS[2], 0, head[1])
    redis.call('HDEL', KEYS[1], 'last:' .. head[1], 'trimmed:' .. head[1])
  end
end
redis.call('XADD', KEYS[3], '0-1', 't', '0')  -- an entry that is deleted again leaves an empty stream
redis.call('XDEL', KEYS[3], '0-1')
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'run', run, 'last:' .. ARGV[1], 0)
return ARGV[1]
"""
)
_TRIM = """
-- KEYS: head, epochs, stream. ARGV: epoch, number of the last record the lake has.
local upto = tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[3]) == 1 then
  local before = tonumber(redis.call('HGET', KEYS[1], 'trimmed:' .. ARGV[1]) or 0)
  if upto > before then
    -- In this order: a server over its maxmemory refuses HSET, but not what follows the trim in the same script.
    redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f-0', upto + 1))
    redis.call('HSET', KEYS[1], 'trimmed:' .. ARGV[1], ARGV[2])
  end
  if redis.call('XLEN', KEYS[3]) > 0 then return 0 end
end
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then return 0 end
redis.call('DEL', KEYS[3])
redis.call('LREM', KEYS[2], 0, ARGV[1])
redis.call('HDEL', KEYS[1], 'last:' .. ARGV[1], 'trimmed:' .. ARGV[1])
return 1
"""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


class RedisSpool:
    """A spool in the Redis of `REDIS_URL`; safe for any number of threads, processes, forks and hosts."""

    def __init__(
        self, folder: Path | str | None = None, *, url: str | None = None, site: str = "", timeout: float = 1.0
    ) -> None:
        """Connect at the first use; `folder` is what every spool is built with, and not needed here.

        `url`, `site`: those of the settings by default. `timeout`: seconds an append waits for the answer.
        """
        settings = get_settings()
        self._writing = Redis(url or settings.redis_url, SpoolError, timeout=timeout)
        self._reading = Redis(url or settings.redis_url, SpoolError, timeout=max(timeout, _READ_TIMEOUT))
        # The braces keep a site's keys on one server of a Redis Cluster, so that a script may touch several.
        self._head = f"ml:{{{site or settings.site}}}:spool"
        self._epochs = f"{self._head}:epochs"
        self._epoch = ""
        self._scripts: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """The server's address."""
        return self._writing.where

    def _stream(self, epoch: str) -> str:
        return f"{self._head}:{epoch}"

    def _run(self, client: Any, source: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        # By its hash; the driver sends the text where the server does not know it (any more).
        script = self._scripts.get(source)
        if script is None:
            script = self._scripts[source] = client.register_script(source)
        return script(keys=list(keys), args=list(arguments), client=client)

    # -- writing ------------------------------------------------------------------------------------

    def append(self, records: Sequence[bytes]) -> None:
        """Store the records in one entry. Raises `SpoolError`: after a time-out they may be stored all the same."""
        if records:
            _check(records)
            with self._writing.use() as client:
                self._append(client, records)

    def _append(self, client: Any, records: Sequence[bytes], keys: Sequence[str] = (), more: Sequence[Any] = ()) -> int:
        packed = _pack(list(records))
        seconds = int(clock.now().timestamp())
        for _ in range(3):
            epoch = self._epoch or self._open(client)
            arguments = [epoch, len(records), seconds, packed, *more]
            last = int(self._run(client, _APPEND, [self._head, self._stream(epoch), *keys], arguments))
            if last or keys:
                return last
            self._epoch = ""  # the server is not the one it was, or was emptied
        raise SpoolError(
            f"Redis at {self.where} loses keys as soon as they are written. Check its maxmemory-policy: noeviction."
        )

    def _open(self, client: Any) -> str:
        new = secrets.token_hex(8)
        found: bytes = self._run(client, _OPEN, [self._head, self._epochs, self._stream(new)], [new])
        self._epoch = found.decode()
        return self._epoch

    def move(self, source: str, start: int, records: Sequence[bytes], end: int) -> bool:
        """Append records of a file slot, read after `start` and up to position `end` of it, exactly once.

        The slot's mark moves with them, all or nothing. False where the mark is beyond `start` already (see `moved`),
        or the server changed meanwhile: ask for the mark again.
        """
        _check(records)
        with self._writing.use() as client:
            self._open(client)
            return bool(self._append(client, records, [f"{self._head}:moved:{source}"], [start, end]))

    def moved(self, source: str) -> int:
        """Position up to which a file slot was moved here; 0 where nothing was, or where Redis was emptied since."""
        with self._writing.use() as client:
            return int(client.get(f"{self._head}:moved:{source}") or 0)

    # -- reading ------------------------------------------------------------------------------------

    def _waiting(self, client: Any) -> list[tuple[str, int]]:
        """(epoch, entries) of every epoch that has any, oldest first."""
        epochs = [epoch.decode() for epoch in client.lrange(self._epochs, 0, -1)]
        with client.pipeline(transaction=False) as pipeline:
            for epoch in epochs:
                pipeline.xlen(self._stream(epoch))
            return [(epoch, length) for epoch, length in zip(epochs, pipeline.execute(), strict=True) if length]

    def sources(self) -> list[str]:
        """The oldest epoch with anything to read: the next one's records are younger and wait until it is empty."""
        with self._reading.use() as client:
            return [f"redis:{epoch}" for epoch, _ in self._waiting(client)[:1]]

    def all_sources(self) -> list[str]:
        """Every epoch with anything to read, oldest first: for searches, which wait for nothing."""
        with self._reading.use() as client:
            return [f"redis:{epoch}" for epoch, _ in self._waiting(client)]

    def read(self, source: str, after: int, max_records: int) -> SpoolRead:
        """Up to `max_records` records (and about 8 MiB) after a position, in the order they were appended."""
        records: list[bytes] = []
        position, size, seen, page = after, 0, 0, _PAGE
        kind, _, epoch = source.partition(":")
        if kind != "redis":
            return SpoolRead(records, after)
        with self._reading.use() as client:
            while len(records) < max_records and size < _READ_BYTES:
                found = client.xrange(self._stream(epoch), min=f"{position + 1}-0", max="+", count=page)
                for entry_id, fields in found:
                    held = _records(fields)
                    last = int(entry_id.partition(b"-")[0])
                    # Part of the entry may be behind `after`, and part beyond what is wanted.
                    fresh = held[max(0, position - (last - len(held))) :][: max_records - len(records)]
                    position = max(position, last - len(held)) + len(fresh)
                    records += fresh
                    size += sum(map(len, fresh))
                    if len(records) >= max_records or size >= _READ_BYTES:
                        break
                if len(found) < page:
                    break
                seen += len(found)
                left = min((_READ_BYTES - size) / max(1, size), (max_records - len(records)) / max(1, len(records)))
                page = min(_MOST, max(_PAGE, math.ceil(seen * left)))
        return SpoolRead(records, position if records else after)

    # -- trimming -----------------------------------------------------------------------------------

    def trim(self, source: str, upto: int) -> None:
        """Delete entries whose last record is at or before a position; an old epoch that is empty is forgotten."""
        kind, _, epoch = source.partition(":")
        if kind == "redis":
            with self._reading.use() as client:
                self._run(client, _TRIM, [self._head, self._epochs, self._stream(epoch)], [epoch, upto])

    def scrub(self, position: Callable[[str], int]) -> Scrubbed:
        """Trim every epoch, then let the server write its append-only file or dump anew: they hold what was trimmed."""
        with self._reading.use() as client:
            epochs = [epoch.decode() for epoch in client.lrange(self._epochs, 0, -1)]
        for epoch in epochs:
            self.trim(f"redis:{epoch}", position(f"redis:{epoch}"))
        return Scrubbed(0, self._reading.rewrite())

    def scrub_files(self, position: Callable[[str], int]) -> Scrubbed:
        """Nothing: all that `scrub` adds to trimming has the server write its files anew, see `sweep`."""
        return Scrubbed(0)

    def stats(self) -> dict[str, Any]:
        """`bytes` of the server's memory, `records`, `oldest_age_s` and `sources` of what waits."""
        with self._reading.use() as client:
            waiting = [epoch for epoch, _ in self._waiting(client)]
            head = client.hgetall(self._head)
            records = size = 0
            oldest: int | None = None
            for epoch in waiting:
                last, trimmed = (int(head.get(f"{name}:{epoch}".encode(), 0)) for name in ("last", "trimmed"))
                records += max(0, last - trimmed)
                size += client.memory_usage(self._stream(epoch)) or 0
                for _, fields in client.xrange(self._stream(epoch), count=1):
                    time = int(fields.get(b"t", 0))
                    oldest = time if oldest is None else min(oldest, time)
        age = 0.0 if oldest is None else max(0.0, clock.now().timestamp() - oldest)
        return {
            "bytes": size,
            "records": records,
            "oldest_age_s": age,
            "sources": [f"redis:{epoch}" for epoch in waiting if records],
        }

    def close(self) -> None:
        """Close the connections."""
        self._writing.close()
        self._reading.close()


def _check(records: Sequence[bytes]) -> None:
    if max(map(len, records)) > MAX_RECORD:
        raise SpoolError(f"A record is larger than {MAX_RECORD} bytes. Send smaller events.")


def _records(fields: dict[bytes, bytes]) -> list[bytes]:
    try:
        return _unpack(fields[b"r"])
    except (KeyError, msgspec.DecodeError):
        # Not written by us. As one record it becomes a dead letter, and nothing behind it has to wait.
        return [b"".join(fields.values())]
