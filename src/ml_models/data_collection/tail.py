"""Events as they arrive, for people: read from the spool, whatever it is, without moving anything.

A spool forgets what the lake proves to have, and several processes write to it, so what is on its way is found by
reading each source from where this reader last stopped. What the committer took before it was read here is not shown:
`history` has it, from the lake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ml_models.adapters.build import get_event_store, get_spool
from ml_models.core import clock
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import AHEAD, Event, decode_event
from ml_models.settings import get_settings

__all__ = ["Wanted", "arriving", "history", "line", "silence", "trouble"]

READ = 1_000
SLEEP = 0.2
"""Pause after nothing came; seconds."""
REMEMBERED = 1_000
"""Newest events of files that are known when they come once more from Redis."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to show; empty is any."""

    types: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    product: str = ""
    visitor: str = ""
    """`u:<user id>`, `a:<anonymous id>`, a session id, or either id alone."""
    since: datetime | None = None
    """By `received_at`."""

    def __call__(self, event: Event) -> bool:
        """Whether this one is among them."""
        if self.types and event.event_type not in self.types:
            return False
        if self.sources and event.source not in self.sources:
            return False
        if self.product and self.product not in (event.product_id, *(item.product_id for item in event.items)):
            return False
        if self.since is not None and event.received_at < self.since:
            return False
        return not self.visitor or self.visitor in (
            *(f"u:{event.user_id}", event.user_id, f"a:{event.anonymous_id}", event.anonymous_id, event.session_id),
        )


def arriving(wanted: Wanted, *, idle: Callable[[], bool]) -> Iterator[Event]:
    """Events of the spool, then what arrives, until `idle` says to end.

    Without `since` begins with what arrives from now on. `idle()` is asked whenever nothing more is there. While Redis
    is away, what goes to the files of this host is given. Raises `SpoolError`.
    """
    spool = get_spool()
    sources = getattr(spool, "all_sources", spool.sources)  # of a reader that moves nothing
    positions: dict[str, int] = {}
    seen: deque[str] = deque(maxlen=REMEMBERED)
    skipping = wanted.since is None
    while True:
        found = 0
        for source in sources():
            while True:
                read = spool.read(source, positions.get(source, 0), READ)
                positions[source] = max(read.position, positions.get(source, 0))
                if not read.records:
                    break
                found += len(read.records)
                for record in read.records:
                    event = _event(record)
                    if event is None or event.event_id in seen:
                        continue
                    if not source.startswith("redis:"):  # it comes once more when it is moved to Redis
                        seen.append(event.event_id)
                    if not skipping and wanted(event):
                        yield event
        skipping = False
        if not found:
            if idle():
                return
            clock.current().sleep(SLEEP)


def _event(record: bytes) -> Event | None:
    try:
        return decode_event(record)
    except InvalidEvent:  # the committer makes a dead letter of it, and `ml_status` counts those
        return None


def history(wanted: Wanted, *, most: int) -> list[Event]:
    """Events of the lake received since `wanted.since`, oldest first, the newest `most` of them."""
    import polars as pl

    if wanted.since is None:
        return []
    rows = get_event_store().scan(
        event_types=sorted(wanted.types) or None, start=wanted.since - AHEAD, end=clock.now() + AHEAD
    )
    rows = rows.filter(pl.col("received_at") >= wanted.since)
    if wanted.sources:
        rows = rows.filter(pl.col("source").is_in(sorted(wanted.sources)))
    if wanted.product:
        inside = pl.col("items").list.eval(pl.element().struct.field("product_id") == wanted.product).list.any()
        rows = rows.filter((pl.col("product_id") == wanted.product) | inside.fill_null(False))
    if wanted.visitor:
        kind, _, name = wanted.visitor.partition(":")
        ids = {"u": ("user_id",), "a": ("anonymous_id",)}.get(kind) if name else None
        columns, value = (ids, name) if ids else (("user_id", "anonymous_id", "session_id"), wanted.visitor)
        rows = rows.filter(pl.any_horizontal(pl.col(column) == value for column in columns))
    frame = rows.drop("event_date").top_k(most, by="received_at").collect(engine="streaming").sort("received_at")
    return [_of_row(row) for row in frame.iter_rows(named=True)]


def _of_row(row: dict[str, Any]) -> Event:
    given = {name: value for name, value in row.items() if value is not None}
    given["data"] = msgspec.json.decode(given["data"]) if "data" in given else {}
    given["items"] = [{k: v for k, v in item.items() if v is not None} for item in given.get("items", ())]
    return msgspec.convert(given, Event)


def line(event: Event) -> str:
    """One event in one line: time, type, source, visitor, what it is about."""
    who = f"u:{event.user_id}" if event.user_id else f"a:{event.anonymous_id[:13]}" if event.anonymous_id else "-"
    about = [f"product {event.product_id}"] if event.product_id else []
    about += [f"{len(event.items)} products"] if event.items else []
    about += [f"order {event.order_id}"] if event.order_id else []
    about += [f"“{event.query}”"] if event.query else []
    about += [event.page_url] if event.page_url and not about else []
    about += [f"bot ({event.bot_reason})"] if event.is_bot else []
    what = ", ".join(about)
    return f"{event.received_at:%H:%M:%S} {event.event_type:<17} {event.source:<10} {who:<17} {what}".rstrip()


def trouble() -> str:
    """What is wrong with Redis, as the last look at the spool found it, with the remedy; empty where nothing is."""
    found = getattr(get_spool(), "trouble", "")
    return f"{found} Shown meanwhile is what comes to the files of this host." if found else ""


def silence(last: datetime | None) -> str:
    """Why nothing comes, as far as can be told; `last`: the newest event shown."""
    settings = get_settings()
    if not settings.enabled:
        return "ML_ENABLED is False: nothing is recorded. Set it to True in settings.py."
    if not settings.data_collection.enabled:
        return 'ML_DATA_COLLECTION["enabled"] is False: nothing is recorded.'
    if found := trouble():
        return found
    if last is not None and clock.now() - last < timedelta(minutes=1):
        return ""
    stats = get_spool().stats()
    kind = type(get_spool()).__name__
    if stats["records"]:
        return f"Nothing new. {stats['records']:,} events wait in the spool ({kind}) for the lake; --since shows them."
    return (
        f"Nothing has come yet: the spool ({kind}) is empty. Open a page of the shop in a browser; if that shows "
        "nothing, python manage.py check says what is missing."
    )
