"""The places where something of a person may lie, besides the lake: the same search for erasure, access and proof."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from ml_models.adapters.dead_letters import DeadLetters, Letter
from ml_models.adapters.tables import primary
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import decode_event
from ml_models.core.traces import Traces
from ml_models.data_collection.letters import holds, letter_of
from ml_models.data_collection.person import describe, waiting_events
from ml_models.settings import get_settings

__all__ = ["Place", "places"]

ANY_TIME = datetime(9999, 1, 1, tzinfo=UTC)


class Place(ABC):
    """One place, searched for one person."""

    name: ClassVar[str]
    on_the_way: ClassVar[bool] = False
    """Whether what lies here is on its way to the lake: then erasing is bringing it there, where tombstones drop it."""
    title: ClassVar[str]
    """What lies there, for the person it is about."""

    remark = ""
    """After `erase`: a sentence about what stays for a while; empty where nothing does."""

    def __init__(self, traces: Traces, before: datetime = ANY_TIME, orders: str = "delete") -> None:
        """Search for what `traces` find and an erasure has to change: everything by default.

        `before`: only what happened or came up to that moment. `orders`: see `Traces.due`.
        """
        self.traces = traces
        self._before = before
        self._orders = orders

    @abstractmethod
    def find(self) -> Iterator[dict[str, Any]]:
        """What is held, one entry after the other, as plain values."""

    @abstractmethod
    def erase(self) -> int:
        """Erase it; returns how many entries."""


class Outbox(Place):
    """Orders in the table that the order's own transaction writes to."""

    name = "outbox"
    on_the_way = True
    title = "Orders placed a moment ago, on their way to the lake."

    def find(self) -> Iterator[dict[str, Any]]:
        """Orders as events; what cannot be decoded as it lies there."""
        for _, entry in self._rows():
            yield entry

    def _rows(self) -> Iterator[tuple[int | None, dict[str, Any]]]:
        """(primary key where the record cannot be decoded, entry)."""
        from ml_models.orm import OutboxEvent

        for key, record, created in primary(OutboxEvent).values_list("pk", "record", "created_at").iterator():
            try:
                event = decode_event(bytes(record))
            except InvalidEvent as error:
                letter = DeadLetters.letter(error.reason, error.path, bytes(record), kind="record", detail=str(error))
                if created <= self._before and letter_of(letter, self.traces):
                    yield key, {"created_at": created, "payload": letter.payload}
                continue
            if self.traces.match(event) and min(event.event_time, event.received_at) <= self._before:
                yield None, dict(describe(event))

    def erase(self) -> int:
        """Bring all of them to the lake, but for those that can only become dead letters: these go."""
        from ml_models.data_collection.outbox_drain import drain_outbox
        from ml_models.orm import OutboxEvent

        found = [key for key, _ in self._rows()]
        unreadable = [key for key in found if key is not None]
        for start in range(0, len(unreadable), 500):
            primary(OutboxEvent).filter(pk__in=unreadable[start : start + 500]).delete()
        if len(unreadable) < len(found):
            drain_outbox()
        return len(found)


class Spool(Place):
    """Events that the lake does not have yet."""

    name = "spool"
    on_the_way = True
    title = "Events accepted a moment ago, on their way to the lake."

    def find(self) -> Iterator[dict[str, Any]]:
        """Events, oldest first within a source."""
        for event in waiting_events():
            if self.traces.match(event) and min(event.event_time, event.received_at) <= self._before:
                yield dict(describe(event))

    def erase(self) -> int:
        """Drain, what waits in files for Redis included, and overwrite what the lake has already."""
        from ml_models.adapters.build import get_event_store, get_spool
        from ml_models.data_collection.process import process_events

        forgotten = process_events(at_once=True, sweeping=False).forgotten
        self.remark = get_spool().scrub(get_event_store().snapshot().position).remark
        return forgotten


class DeadLetterFiles(Place):
    """Refused payloads, of every kind, found by what they say."""

    name = "dead_letters"
    title = "Messages that could not be taken because they broke the format, kept for a repair, at most 30 days."

    def find(self) -> Iterator[dict[str, Any]]:
        """Letters."""
        from ml_models.adapters.build import get_dead_letters

        for letter in get_dead_letters():
            if letter.at <= self._before and self._mine(letter):
                yield msgspec.to_builtins(letter)

    def _mine(self, letter: Letter) -> bool:
        return letter_of(letter, self.traces)

    def erase(self) -> int:
        """Rewrite the files without them."""
        from ml_models.adapters.build import get_dead_letters

        return get_dead_letters().erase(self._mine, lambda line: holds(line, self.traces))


class Exports(Place):
    """Days of the lake as Parquet files, under `<data>/exports`."""

    name = "exports"
    title = "Copies of days of the lake, for the shop's own analyses."

    @staticmethod
    def _folder() -> Path:
        return get_settings().storage.data / "exports"

    def _files(self) -> Iterator[tuple[Path, int]]:
        import polars as pl

        for path in sorted(self._folder().glob("event_date=*/*")):
            if path.suffix == ".partial":
                yield path, 1  # of a killed export, or of one that is running: it cannot be searched
            elif path.suffix == ".parquet":
                rows = pl.scan_parquet(path, hive_partitioning=False)
                due = self.traces.due(self._orders, self._before, rows.collect_schema().names())
                count = int(rows.filter(due).select(pl.len()).collect().item())
                if count:
                    yield path, count

    def find(self) -> Iterator[dict[str, Any]]:
        """Files and how many of their rows are the person's."""
        yield from ({"file": f"{path.parent.name}/{path.name}", "rows": rows} for path, rows in self._files())

    def erase(self) -> int:
        """Remove the files; the next export writes their days anew."""
        from ml_models.data_collection.export import remove_file

        found = [path for path, _ in self._files()]
        for path in found:
            remove_file(self._folder(), path)
        return len(found)


class Online(Place):
    """Recent interactions by visitor key."""

    name = "online_store"
    title = "Your most recent product views, cart changes and purchases, for lists made the moment you look."

    def find(self) -> Iterator[dict[str, Any]]:
        """Interactions."""
        from ml_models.adapters.build import get_online_store
        from ml_models.adapters.online_store import KEEP

        store = get_online_store()
        drain = getattr(store, "drain", None)
        if drain is not None:  # a store of two gives what one of them took while the other was away
            drain()
        for visitor in self.traces.visitor_keys:
            for one in store.recent(visitor, KEEP):
                if one.at > self._before:
                    continue
                yield {"visitor": visitor, "product_id": one.item_id, "event_type": one.event_type, "at": one.at}

    def erase(self) -> int:
        """Forget the visitor keys."""
        from ml_models.adapters.build import get_online_store

        found = sum(1 for _ in self.find())
        store = get_online_store()
        for visitor in self.traces.visitor_keys:
            store.forget(visitor)
        self.remark = store.scrub()
        return found


class Profiles(Place):
    """Rows of `UserProfile`."""

    name = "profiles"
    title = "What was concluded from your events: counts, segment, favoured categories and prices."

    def _rows(self) -> Iterator[Any]:
        from ml_models.orm import UserProfile

        keys = self.traces.visitor_keys
        for start in range(0, len(keys), 500):
            yield primary(UserProfile).filter(pk__in=keys[start : start + 500])

    def find(self) -> Iterator[dict[str, Any]]:
        """Profiles."""
        for rows in self._rows():
            # One that begins later is of what the person has done since.
            yield from (row for row in rows.values() if not row["first_seen"] or row["first_seen"] <= self._before)

    def erase(self) -> int:
        """Delete them. Orders with keyed ids get a profile of their own in the next full collection."""
        return sum(rows.delete()[0] for rows in self._rows())


class Leftovers(Place):
    """Folders of killed imports, which cannot be searched and which nobody needs."""

    name = "import_leftovers"
    title = "Working files of an import that was interrupted."

    def find(self) -> Iterator[dict[str, Any]]:
        """Nothing: what lies there is no longer readable as rows of a person."""
        yield from ()

    def erase(self) -> int:
        """Remove them all."""
        from ml_models.data_collection.importer.run import remove_leftovers

        return remove_leftovers()


def places(traces: Traces, before: datetime = ANY_TIME, orders: str = "delete") -> list[Place]:
    """All places, in the order in which they are erased: what is on the way first, so that nothing follows."""
    return [
        place(traces, before, orders)
        for place in (Outbox, Spool, Leftovers, DeadLetterFiles, Exports, Online, Profiles)
    ]
