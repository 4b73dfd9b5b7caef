"""Producers and committers: what runs in processes that are killed at any moment."""

from __future__ import annotations

import logging
import os
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PRODUCERS", "Plan", "commit", "committer", "event", "event_ids", "produce", "spool"]

PRODUCERS = 4
SESSIONS = 20
"""Sessions of one producer, in turn; one process serves each."""
SITE = "kill"
PATIENCE = 300.0
"""Seconds that files wait for Redis, as by default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One storm."""

    folder: Path
    redis: str = ""
    """URL; empty for the file spool."""
    search: bool = True
    """Whether the lake looks for duplicates. Without, the positions alone must keep every event single: then nothing is
    sent twice, and Redis stands alone, since an append without an answer is stored in both places."""
    compact: bool = True
    """Whether the lake is compacted meanwhile, after which the order of commits is no longer known."""
    owner: int = field(default_factory=os.getpid)
    """The process that made it; where it is gone, its processes end by themselves."""

    def over(self) -> bool:
        """Whether its processes are to end."""
        try:
            os.kill(self.owner, 0)
        except ProcessLookupError:
            return True
        return (self.folder / "stop").exists()


def event(event_id: str, number: int, session: str = "") -> Any:
    """An event of the usual size."""
    from ml_models.core import clock
    from ml_models.core.event import Event

    now = clock.now()
    return Event(
        event_id=event_id,
        event_type="product_view",
        event_time=now,
        received_at=now,
        source="middleware",
        session_id=session or f"s{number % 997}",
        anonymous_id=str(uuid.UUID(int=number % 9973)),
        page_url=f"/products/{number % 4999}/",
        product_id=str(number % 4999),
        device_type="mobile",
        country="DE",
        data={"list": "search"} if number % 3 == 0 else {},
    )


def event_ids(journal: str, first: int, last: int) -> Iterator[str]:
    """Ids of a line of a journal: of a producer, or (`w<number>`) of a client of the web server."""
    if journal.startswith("w"):
        head = f"{0xA0000000 + int(journal[1:]):08x}-0000-7000-8000-"
        return (f"{head}{number:012x}" for number in range(first, last))
    return (f"{journal}-{number}" for number in range(first, last))


def spool(plan: Plan) -> Any:
    """The spool as a process of the plan has it."""
    from ml_models.adapters.spool_file import FileSpool

    if not plan.redis:
        return FileSpool(plan.folder / "spool", segment_bytes=1 << 20)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._kill.settings")
    logging.getLogger("bunoraa.ml").setLevel(logging.ERROR)  # that Redis is away is no news here
    from ml_models.adapters.spool_fallback import FallbackSpool
    from ml_models.adapters.spool_redis import RedisSpool

    redis = RedisSpool(url=plan.redis, site=SITE)
    return FallbackSpool(plan.folder / "spool", redis=redis, patience=PATIENCE) if plan.search else redis


def produce(plan: Plan, name: str, seed: int) -> None:
    """Append batches for ever; a batch's numbers go to the journal once it is acknowledged."""
    from ml_models.core.errors import SpoolError
    from ml_models.core.event import encode_event

    rng = random.Random(seed)
    target = spool(plan)
    journal = os.open(plan.folder / "journal" / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    while not plan.over():
        count = rng.randrange(1, 100)
        records = [
            encode_event(event(f"{name}-{n}", n, f"{name}.{n % SESSIONS}")) for n in range(number, number + count)
        ]
        try:
            target.append(records)
        except SpoolError:
            if plan.search:
                raise  # there are always files to go to
        else:
            os.write(journal, b"%d %d\n" % (number, number + count))
            if plan.search and rng.random() < 0.05:
                target.append(records)  # as a browser does whose answer was lost
        number += count
        time.sleep(rng.uniform(0, 0.02))


def committer(plan: Plan) -> tuple[Any, Any]:
    """(committer, lake)."""
    from ml_models.adapters.dead_letters import DeadLetters
    from ml_models.adapters.event_store import DeltaEventStore
    from ml_models.data_collection.process import Committer

    class PositionsOnly(DeltaEventStore):
        def _unknown(self, table: Any, rows: Any) -> Any:
            return rows

    store = (DeltaEventStore if plan.search else PositionsOnly)(plan.folder / "lake")
    return Committer(spool(plan), store, DeadLetters(plan.folder / "dead")), store


def commit(plan: Plan, seed: int) -> None:
    """Commit for ever, compacting now and then."""
    from ml_models.core.errors import SpoolError, StoreError

    rng = random.Random(seed)
    worker, store = committer(plan)
    while not plan.over():
        try:
            worker.run(limit=rng.choice([500, 5_000, 50_000]))
        except SpoolError:
            if not plan.redis:
                raise
            time.sleep(0.1)  # Redis was killed
        if plan.compact and rng.random() < 0.03:
            try:
                store.compact(min_files=20)
            except StoreError as error:  # the other one compacts as well; said, and tried again later
                print(f"compaction: {error}", flush=True)
        time.sleep(rng.uniform(0, 0.05))
