"""The only writer of purchases and refunds: brings the lake to what orders say, by revision, safe beside committers."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ml_models.adapters.lake_keys import lake_keys
from ml_models.core import clock
from ml_models.core.errors import CommitConflict
from ml_models.core.event import AHEAD, Event, EventItem, EventType, purchase_id
from ml_models.core.keyed_ids import keyed_content
from ml_models.data_collection.order_events import content_of, order_event, refund_event, refused_lines
from ml_models.data_collection.tombstones import Tombstones

if TYPE_CHECKING:
    import polars as pl

    from ml_models.core.ports import EventStore, Order

__all__ = ["Known", "OrderWriter"]

logger = logging.getLogger("bunoraa.ml.sync")

_ATTEMPTS = 30
_OURS = ("sync", "outbox")
"""Sources of purchases that the shop's own orders stand behind."""


Again: TypeAlias = "Callable[[Sequence[str]], Iterable[Order]]"
"""Reads orders by id."""


class Known(NamedTuple):
    """The newest revision of a purchase or refund in the lake."""

    revision: int
    content: str
    meaning: str
    when: datetime
    source: str


class _Judged(NamedTuple):
    """What becomes of an order."""

    order: Order
    before: Known | None
    said: tuple[str, ...]
    """Counts that it adds to."""
    event: Event | None
    """What is to be written, None for nothing."""


class OrderWriter:
    """Writes what differs from the lake; all or nothing a call, and repeatable."""

    def __init__(self, store: EventStore, site: str) -> None:
        self.store = store
        self.site = site
        self.counts: Counter[str] = Counter()
        self._keys = lake_keys()
        self._everywhere: pl.DataFrame | None = None
        """Hashes of the event ids of all purchases in the lake, as of `_seen`; None before they are asked for."""
        self._seen = -1
        """The lake's version that `_everywhere` is of."""

    # -- writing ------------------------------------------------------------------------------------

    def write(self, orders: Sequence[Order], again: Again) -> None:
        """Bring the lake to what these orders say; counts what it did in `counts`.

        `again` reads the orders with these ids once more from the shop's table: what is written was read after the
        snapshot that it is written to. Orders that are to the lake what they were are not read again.
        """
        if orders:
            self.counts.update(self.commit(lambda: self.of_orders(orders, again)))

    def commit(self, build: Callable[[], tuple[list[Event], Counter[str]]]) -> Counter[str]:
        """Commit the events of `build()`, which reads the lake; called anew where another committer was faster.

        Whatever else the events follow from, such as the shop's orders, `build` has to read as well: what was read
        before the snapshot may be older than what the lake holds by now, and would be written over it.
        """
        from ml_models.core.lake_schema import to_frame

        for attempt in range(_ATTEMPTS):
            # The snapshot comes first: whatever is committed after it, and so may be missing below, is a conflict.
            snapshot = self.store.snapshot()
            if snapshot.version != self._seen:  # others wrote meanwhile
                self._everywhere, self._seen = None, snapshot.version
            events, counts = build()
            if not events:
                return counts
            rows, _ = Tombstones.load().apply(to_frame(events))  # after the snapshot, see there
            try:
                version = self.store.commit(snapshot, {}, rows).version
            except CommitConflict:
                logger.debug("another committer was faster, attempt %d", attempt + 1)
                self._everywhere = None
                clock.current().sleep(min(1.0, 0.02 * 2**attempt))
            else:
                self._written(rows, snapshot.version, version)
                return counts
        raise CommitConflict(
            f"Others wrote to the lake {_ATTEMPTS} times in a row while orders were written. Run ml_sync again."
        )

    def _written(self, rows: pl.DataFrame, before: int, version: int) -> None:
        """Add the purchases just written to those that are known of: the next orders are judged by them too."""
        import polars as pl

        if version > before + 1:  # the store rebased the commit onto another's
            self._everywhere = None
        if self._everywhere is not None:
            purchases = rows.filter(pl.col("event_type") == EventType.PURCHASE.value)
            self._everywhere = pl.concat([self._everywhere, purchases.select(pl.col("event_id").hash())])
        self._seen = version

    def of_orders(self, orders: Sequence[Order], again: Again | None = None) -> tuple[list[Event], Counter[str]]:
        """The events that bring the lake to what these orders say, and what becomes of each, for a `commit`.

        Without `again` the orders must have been read since the snapshot. An order of before it may say less than the
        lake does: it was refunded, say, and another process has written that. It would be taken for the newer word.
        """
        counts: Counter[str] = Counter(read=len(orders))
        if not orders:
            return [], counts
        start, end = min(o.when for o in orders), max(o.when for o in orders)
        known = self.known([purchase_id(self.site, o.id) for o in orders], start, end)
        now = clock.now()

        def judge(order: Order) -> _Judged:
            return self._judge(order, known.get(purchase_id(self.site, order.id)), now)

        judged = [judge(order) for order in orders]
        if again is not None and (due := [one.order.id for one in judged if one.event is not None]):
            fresh = {order.id: order for order in again(due)}
            judged = [one if one.event is None else self._anew(one, fresh.get(one.order.id), judge) for one in judged]
        events: list[Event] = []
        refunds: list[Event] = []
        for order, before, said, event in judged:
            counts.update(said)
            if event is None:
                continue
            events.append(event)
            if order.meaning == "refunded":
                refunds.append(refund_event(event, max(order.when, order.updated or now)))
            elif before is not None and before.meaning == "refunded":  # the refund was taken back
                refunds.append(refund_event(event, max(order.when, order.updated or now), meaning="cancelled"))
        return events + self.revised(refunds), counts

    @staticmethod
    def _anew(one: _Judged, fresh: Order | None, judge: Callable[[Order], _Judged]) -> _Judged:
        if fresh is not None:
            return judge(fresh)
        # Gone meanwhile. What the lake has of it may be newer than what was read; what it has not is not lost.
        return one if one.before is None else one._replace(said=(), event=None)

    def _judge(self, order: Order, before: Known | None, now: datetime) -> _Judged:
        if order.when > now + AHEAD:
            return _Judged(order, before, ("future",), None)
        if before is None and order.meaning == "pending":
            return _Judged(order, before, ("pending",), None)
        event = order_event(order, site=self.site, revision=before.revision + 1 if before else 0, received_at=now)
        if before is None and not event.items:
            return _Judged(order, before, ("refused" if order.items else "empty",), None)
        if self.says(before, event):
            return _Judged(order, before, ("unchanged",), None)
        said = ["new" if before is None else "changed"]
        if refused_lines(order):
            said.append("refused")
        if order.meaning in ("cancelled", "refunded"):
            said.append(order.meaning)
        return _Judged(order, before, tuple(said), event)

    def revised(self, refunds: list[Event]) -> list[Event]:
        """Those of the refunds that the lake does not hold as they are, each with its revision."""
        if not refunds:
            return []
        known = self._found([event.event_id for event in refunds], EventType.REFUND)
        changed = []
        for event in refunds:
            before = known.get(event.event_id)
            if not self.says(before, event):
                event.revision = before.revision + 1 if before else 0
                known[event.event_id] = Known(event.revision, event.data["content"], "", event.event_time, event.source)
                changed.append(event)
        return changed

    # -- what is gone -------------------------------------------------------------------------------

    def held(self, since: datetime, until: datetime) -> dict[str, str]:
        """Event id -> order id of the purchases of the window that still count as bought."""
        frame = self._scan(["event_id", "order_id", "source", "data"], EventType.PURCHASE, since, until)
        return {
            row["event_id"]: row["order_id"]
            for row in frame.collect().to_dicts()
            if row["source"] in _OURS and row["order_id"] and _meaning(row["data"]) == "purchase"
        }

    def mark(
        self,
        ids: Iterable[str],
        meaning: str,
        source: str,
        *,
        spare: Callable[[], Collection[str]] = tuple,
        **more: Any,
    ) -> None:
        """Write the purchases with these event ids that count as bought once more, with another meaning.

        `spare` is asked after the snapshot for those that are not to be touched after all.
        """
        import polars as pl

        named = list(ids)

        def build() -> tuple[list[Event], Counter[str]]:
            spared = set(spare())
            wanted = [one for one in named if one not in spared]
            columns = ["event_id", "event_time", "revision", "user_id", "anonymous_id", "currency", "items", "order_id"]
            frame = self._scan([*columns, "data"], EventType.PURCHASE).filter(pl.col("event_id").is_in(wanted))
            rows = [row for row in frame.collect().to_dicts() if _meaning(row["data"]) == "purchase"]
            return [self._restated(row, source, {"meaning": meaning, **more}) for row in rows], Counter(
                marked=len(rows)
            )

        if named:
            self.counts.update(self.commit(build))

    def _restated(self, row: dict[str, Any], source: str, data: dict[str, Any]) -> Event:
        event = Event(
            event_id=row["event_id"],
            event_type=EventType.PURCHASE,
            event_time=row["event_time"],
            received_at=clock.now(),
            source=source,
            site=self.site,
            user_id=row["user_id"],
            anonymous_id=row["anonymous_id"],
            currency=row["currency"],
            items=[EventItem(**item) for item in row["items"] or ()],
            order_id=row["order_id"],
            revision=row["revision"] + 1,
            data={**json.loads(row["data"] or "{}"), **data},
        )
        event.data["content"] = content_of(event)
        return event

    def says(self, before: Known | None, event: Event) -> bool:
        """Whether the lake's row says the same; its hash is plain, or keyed with the ids of an old order."""
        content = event.data["content"]
        return before is not None and before.content in (content, *(keyed_content(content, k) for k in self._keys))

    # -- what the lake knows ------------------------------------------------------------------------

    def known(self, ids: Sequence[str], start: datetime, end: datetime) -> dict[str, Known]:
        """Newest revision of the purchases with these event ids, by id; most lie between `start` and `end`.

        The others are looked for in the whole lake: an order whose own date was edited keeps its earlier revision.
        """
        import polars as pl

        found = self._read(ids, EventType.PURCHASE, start, end + timedelta(microseconds=1))
        missing = [one for one in ids if one not in found]
        if missing:
            if self._everywhere is None:
                # Of the version that this commit's snapshot is of, or of a later one, which then is a conflict.
                # Eight bytes an order: a first run over millions of orders asks this for each of its commits.
                hashes = self._scan(["event_id"], EventType.PURCHASE).select(pl.col("event_id").hash())
                self._everywhere = hashes.collect(engine="streaming")
            elsewhere = pl.DataFrame({"id": missing}).with_columns(pl.col("id").hash().alias("event_id"))
            hits = elsewhere.join(self._everywhere, on="event_id", how="semi").get_column("id").to_list()
            found |= self._found(hits, EventType.PURCHASE)
        return found

    def _found(self, ids: Sequence[str], kind: EventType) -> dict[str, Known]:
        """By event id, wherever in the lake; reads the ids of all its rows of that kind."""
        return self._read(ids, kind, None, None) if ids else {}

    def _read(
        self, ids: Sequence[str], kind: EventType, start: datetime | None, end: datetime | None
    ) -> dict[str, Known]:
        import polars as pl

        frame = self._scan(["event_id", "revision", "event_time", "source", "data"], kind, start, end)
        rows = (
            frame.filter(pl.col("event_id").is_in(list(ids)))
            .select(
                "event_id",
                "revision",
                pl.col("data").str.json_path_match("$.content").fill_null("").alias("content"),
                pl.col("data").str.json_path_match("$.meaning").fill_null("purchase").alias("meaning"),
                "event_time",
                "source",
            )
            .collect()
        )
        return {event_id: Known(*rest) for event_id, *rest in rows.iter_rows()}

    def _scan(
        self, columns: Sequence[str], kind: EventType, start: datetime | None = None, end: datetime | None = None
    ) -> pl.LazyFrame:
        import polars as pl

        frame = self.store.scan(columns=[*columns, "site"], event_types=[kind.value], start=start, end=end)
        return frame.filter(pl.col("site") == self.site).drop("site")


def _meaning(data: str | None) -> str:
    return str(json.loads(data).get("meaning", "purchase")) if data else "purchase"
