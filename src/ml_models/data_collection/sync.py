"""Orders of the shop into the lake: incremental, idempotent, resumable. The orders table is the truth.

Every order is one `purchase` event whose id is derived from the order's number, so whichever way the fact arrives it is
one event. What the lake holds decides what is written: an order whose content differs from the newest revision there is
appended as the next revision; `data.meaning` says what has become of it (`purchase`, `cancelled`, `refunded`,
`pending`). A refunded order also gets a `refund` event. Nothing here relies on the shop's transactions or signals:
orders whose lines come later, or whose status changes, are met again within the overlap.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_models.adapters.lake_keys import lake_keys
from ml_models.core import clock
from ml_models.core.errors import CommitConflict
from ml_models.core.event import AHEAD, NAMESPACE, Event, EventItem, EventType, purchase_id
from ml_models.core.keyed_ids import keyed_content
from ml_models.core.money import to_minor
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from ml_models.core.ports import Catalogue, EventStore, Order
    from ml_models.orm import SyncState

__all__ = ["SyncResult", "order_event", "refund_id", "sync_orders"]

logger = logging.getLogger("bunoraa.ml.sync")

STATE = "orders"
CHUNK = 2_000
"""Orders of one commit."""
OVERLAP = timedelta(days=2)
"""How far before the watermark a run begins: lines that come after their order, long transactions, other clocks."""
OVERLAP_WITHOUT_UPDATED = timedelta(days=14)
"""The same where the shop maps no `updated`: a change of status is seen only for orders as young as this."""
_ATTEMPTS = 30


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one run did; counts of orders."""

    read: int = 0
    """Orders the shop returned."""
    new: int = 0
    """Written for the first time."""
    changed: int = 0
    """Written again as a new revision."""
    unchanged: int = 0
    """Already in the lake as they are."""
    cancelled: int = 0
    """Of those written: cancelled."""
    refunded: int = 0
    """Of those written: refunded."""
    pending: int = 0
    """Not written, because they are not purchases yet."""
    empty: int = 0
    """Not written, because they have no lines yet."""
    future: int = 0
    """Not written, because they are dated more than a day ahead; they are read again until their day comes."""
    vanished: int = 0
    """In the lake and no longer returned by the shop within the overlap; written as cancelled."""
    watermark: datetime | None = None
    """Where the next run goes on from, less the overlap."""
    full: bool = False
    """Whether every order was read."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """Place in `ML_CATALOG` -> rows of which it could not be read; the log says why."""

    def __str__(self) -> str:
        """Sentences for people."""
        text = (
            f"{self.read:,} orders read ({'all' if self.full else 'the recent ones'}): "
            f"{self.new:,} new, {self.changed:,} changed, {self.unchanged:,} as before."
        )
        more = {
            "cancelled": self.cancelled,
            "refunded": self.refunded,
            "not paid yet": self.pending,
            "without lines yet": self.empty,
            "dated in the future": self.future,
            "gone from the shop": self.vanished,
        }
        if notable := [f"{count:,} {what}" for what, count in more.items() if count]:
            text += f" Of these: {', '.join(notable)}."
        if self.unreadable:
            places = ", ".join(f"{where} ({count:,})" for where, count in sorted(self.unreadable.items()))
            text += f" Could not be read and left empty or out: {places}; the log says why."
        return text

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        values = asdict(self)
        values["watermark"] = None if self.watermark is None else self.watermark.isoformat()
        return values


class _Known(NamedTuple):
    """The newest revision of a purchase in the lake."""

    revision: int
    content: str
    meaning: str


def refund_id(site: str, order_id: str) -> str:
    """Id of an order's refund event."""
    return str(uuid.uuid5(NAMESPACE, f"refund:{site}:{order_id}"))


def _minor(amount: Decimal | None, order: Order) -> int | None:
    if amount is None:
        return None
    try:
        return to_minor(amount, order.currency or None)
    except ValueError as error:
        logger.warning("order %s has a line without a usable price, kept without it: %s", order.id, error)
        return None


def order_event(order: Order, *, site: str, revision: int = 0, received_at: datetime | None = None) -> Event:
    """The purchase event of an order; `data.content` is a hash of everything that makes a new revision when it changes.

    A guest is `guest:<keyed hash>` in `anonymous_id`. A price that is no money is left out, and logged.
    """
    items = [
        EventItem(
            product_id=item.product_id,
            variant_id=item.variant_id,
            quantity=item.quantity,
            unit_price=_minor(item.unit_price, order),
        )
        for item in order.items
    ]
    event = Event(
        event_id=purchase_id(site, order.id),
        event_type=EventType.PURCHASE,
        event_time=order.when,
        received_at=received_at or clock.now(),
        source="sync",
        site=site,
        user_id=order.user_id,
        anonymous_id=None if order.user_id is not None or order.guest is None else f"guest:{order.guest}",
        currency=order.currency or None,
        items=items,
        order_id=order.id,
        revision=revision,
        data={"meaning": order.meaning, **({"status": order.status} if order.status else {})},
    )
    event.data["content"] = _content(event)
    return event


def _content(event: Event) -> str:
    facts = (
        event.event_time.isoformat(),
        event.user_id,
        event.anonymous_id,
        event.currency,
        # Lines are a set to the shop: their order may differ between two reads.
        sorted((i.product_id, i.variant_id or "", i.quantity, i.unit_price or 0) for i in event.items),
        event.data,
    )
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refund_event(purchase: Event, order: Order, meaning: str) -> Event:
    """The refund beside a purchase's revision, at the time the order last changed."""
    return Event(
        event_id=refund_id(purchase.site, order.id),
        event_type=EventType.REFUND,
        event_time=max(order.when, order.updated or purchase.received_at),
        received_at=purchase.received_at,
        source="sync",
        site=purchase.site,
        user_id=purchase.user_id,
        anonymous_id=purchase.anonymous_id,
        currency=purchase.currency,
        items=purchase.items,
        order_id=order.id,
        revision=purchase.revision,
        data={"meaning": meaning},
    )


class _Run:
    """One run over the shop's orders."""

    def __init__(self, store: EventStore, site: str) -> None:
        self.store = store
        self.site = site
        self.counts: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.keys = lake_keys()

    def write(self, orders: Sequence[Order], *, remember: bool) -> None:
        """Bring the lake to what these orders say; all or nothing."""
        if remember:
            self.seen.update(purchase_id(self.site, order.id) for order in orders)
        start, end = min(o.when for o in orders), max(o.when for o in orders)
        counts = self._commit(lambda: self._events(orders, self.known(start, end + timedelta(microseconds=1))))
        self.counts.update(counts)

    def cancel_vanished(self, since: datetime, until: datetime) -> None:
        """Orders of the window that the lake holds and the shop no longer shows were deleted or filtered away."""

        def build() -> tuple[list[Event], Counter[str]]:
            rows = [row for row in self._rows(since, until) if row["source"] == "sync"]
            events = []
            for row in rows:
                if row["event_id"] in self.seen or _meaning(row["data"]) != "purchase":
                    continue
                data = {**json.loads(row["data"]), "meaning": "cancelled", "vanished": True}
                data.pop("content", None)
                event = Event(
                    event_id=row["event_id"],
                    event_type=EventType.PURCHASE,
                    event_time=row["event_time"],
                    received_at=clock.now(),
                    source="sync",
                    site=self.site,
                    user_id=row["user_id"],
                    anonymous_id=row["anonymous_id"],
                    currency=row["currency"],
                    items=[EventItem(**item) for item in row["items"] or ()],
                    order_id=row["order_id"],
                    revision=row["revision"] + 1,
                    data=data,
                )
                event.data["content"] = _content(event)
                events.append(event)
            return events, Counter(vanished=len(events))

        self.counts.update(self._commit(build))

    def _commit(self, build: Callable[[], tuple[list[Event], Counter[str]]]) -> Counter[str]:
        from ml_models.core.lake_schema import to_frame

        for attempt in range(_ATTEMPTS):
            # The snapshot comes first: whatever is committed after it, and so may be missing below, is a conflict.
            snapshot = self.store.snapshot()
            events, counts = build()
            if not events:
                return counts
            try:
                self.store.commit(snapshot, {}, to_frame(events))
                return counts
            except CommitConflict:
                logger.debug("another committer was faster, attempt %d", attempt + 1)
                clock.current().sleep(min(1.0, 0.02 * 2**attempt))
        raise CommitConflict(
            f"Others wrote to the lake {_ATTEMPTS} times in a row while orders were synchronised. Run ml_sync again."
        )

    def _rows(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        import polars as pl

        columns = ["event_id", "event_time", "revision", "source", "site", "user_id", "anonymous_id", "currency"]
        frame = self.store.scan(
            columns=[*columns, "items", "order_id", "data"], event_types=["purchase"], start=start, end=end
        )
        return frame.filter(pl.col("site") == self.site).collect().to_dicts()

    def known(self, start: datetime, end: datetime) -> dict[str, _Known]:
        """Newest revision of every purchase of the window."""
        import polars as pl

        frame = self.store.scan(
            columns=["event_id", "revision", "site", "data"], event_types=["purchase"], start=start, end=end
        )
        rows = (
            frame.filter(pl.col("site") == self.site)
            .select(
                "event_id",
                "revision",
                pl.col("data").str.json_path_match("$.content").fill_null("").alias("content"),
                pl.col("data").str.json_path_match("$.meaning").fill_null("purchase").alias("meaning"),
            )
            .collect()
        )
        return {event_id: _Known(*rest) for event_id, *rest in rows.iter_rows()}

    def _events(self, orders: Iterable[Order], known: dict[str, _Known]) -> tuple[list[Event], Counter[str]]:
        events: list[Event] = []
        counts: Counter[str] = Counter()
        now = clock.now()
        for order in orders:
            counts["read"] += 1
            if order.when > now + AHEAD:
                counts["future"] += 1
                continue
            before = known.get(purchase_id(self.site, order.id))
            if before is None and order.meaning == "pending":
                counts["pending"] += 1
                continue
            if before is None and not order.items:
                counts["empty"] += 1
                continue
            revision = 0 if before is None else before.revision + 1
            event = order_event(order, site=self.site, revision=revision, received_at=now)
            if before is not None and before.content in self._spellings(event.data["content"]):
                counts["unchanged"] += 1
                continue
            counts["new" if before is None else "changed"] += 1
            if order.meaning in ("cancelled", "refunded"):
                counts[order.meaning] += 1
            events.append(event)
            if order.meaning == "refunded":
                events.append(_refund_event(event, order, "refunded"))
            elif before is not None and before.meaning == "refunded":  # the refund was taken back
                events.append(_refund_event(event, order, "cancelled"))
        return events, counts

    def _spellings(self, content: str) -> set[str]:
        """A content hash as the lake may hold it: plain, or keyed with the ids of an old order."""
        return {content, *(keyed_content(content, key) for key in self.keys)}


def _meaning(data: str | None) -> str:
    return str(json.loads(data).get("meaning", "purchase")) if data else "purchase"


def _chunks(orders: Iterator[Order], size: int) -> Iterator[list[Order]]:
    while chunk := list(islice(orders, size)):
        yield chunk


def sync_orders(
    progress: Callable[[int, datetime], None] | None = None,
    *,
    full: bool = False,
    chunk: int = CHUNK,
    catalogue: Catalogue | None = None,
    store: EventStore | None = None,
) -> SyncResult:
    """Bring the lake to what the shop's orders say; harmless to repeat, safe beside other committers.

    Reads from the watermark less an overlap; the first run, and one with `full`, reads everything, and when it is
    killed the next one goes on where it stopped. `progress(orders read, time of the last one)` is called after each
    commit. `chunk` is orders per commit, >= 1.
    """
    from ml_models.adapters.build import get_catalogue, get_event_store
    from ml_models.orm import SyncState

    catalogue = get_catalogue() if catalogue is None else catalogue
    store = get_event_store() if store is None else store
    site = get_settings().site
    name = STATE if site == "default" else f"{STATE}:{site}"[:64]
    started = clock.now()
    state = SyncState.objects.filter(pk=name).first() or SyncState(name=name, data={}, updated_at=started)
    full = full or state.watermark is None or "cursor" in state.data
    if full:
        since = _moment(state.data.get("cursor"))
        started = _moment(state.data.get("started")) or started
    else:
        since = state.watermark - _overlap(catalogue) if state.watermark is not None else None
    run = _Run(store, site)
    failed = Counter(getattr(catalogue, "failures", {}))
    newest = state.watermark
    for orders in _chunks(catalogue.orders(since=since), max(1, chunk)):
        run.write(orders, remember=not full)
        newest = max(t for o in orders for t in (newest, o.when, o.updated) if t is not None)
        if full:
            # Orders come oldest first, so a killed run goes on from the time of its last commit.
            _save(state, cursor=orders[-1].when, started=started)
        if progress is not None:
            progress(run.counts["read"], orders[-1].when)
    if not full and since is not None:
        run.cancel_vanished(since, started)
    # Never beyond the beginning of the run: an order placed while it ran may not have been read.
    watermark = None if newest is None else min(newest, started)
    _save(state, watermark=watermark)
    unreadable = dict(Counter(getattr(catalogue, "failures", {})) - failed)
    return SyncResult(**run.counts, watermark=watermark, full=full, unreadable=unreadable)


def _overlap(catalogue: Catalogue) -> timedelta:
    return OVERLAP if getattr(catalogue, "orders_have_updated", True) else OVERLAP_WITHOUT_UPDATED


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _save(
    state: SyncState,
    *,
    watermark: datetime | None = None,
    cursor: datetime | None = None,
    started: datetime | None = None,
) -> None:
    """A cursor marks a full run that is under way; without one the run is done and the watermark holds."""
    if cursor is not None and started is not None:
        state.data = {"cursor": cursor.isoformat(), "started": started.isoformat()}
    else:
        state.data = {}
        state.watermark = watermark
    state.updated_at = clock.now()
    state.save()
