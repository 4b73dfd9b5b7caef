"""Orders of the shop into the lake: incremental, idempotent, resumable. The orders table is the truth.

Every order is one `purchase` event whose id is derived from the order's number, so whichever way the fact arrives it is
one event. What the lake holds decides what is written: an order whose content differs from the newest revision there is
appended as the next revision; `data.meaning` says what has become of it (`purchase`, `cancelled`, `refunded`,
`pending`). A refunded order also gets a `refund` event. Nothing here relies on the shop's transactions or signals:
orders whose lines come later, or whose status changes, are met again within the overlap. What is about to be written is
read once more after the lake's snapshot, lest an older state of an order follow a newer one that another process wrote.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from ml_models.core import clock
from ml_models.core.event import purchase_id
from ml_models.core.ids import MAX_ID
from ml_models.data_collection.order_events import order_event, refund_id
from ml_models.data_collection.order_writer import OrderWriter
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
    refused: int = 0
    """With lines left out, or not written at all, because a product id has more than 200 characters."""
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
            f"with product ids longer than {MAX_ID} characters": self.refused,
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
    from ml_models.adapters.tables import primary
    from ml_models.orm import SyncState

    catalogue = get_catalogue() if catalogue is None else catalogue
    store = get_event_store() if store is None else store
    if not getattr(catalogue, "has_orders", True):
        # Without a mapping no order is known, which does not mean that those of the lake are gone.
        return SyncResult()
    site = get_settings().site
    name = STATE if site == "default" else f"{STATE}:{site}"[:64]
    started = clock.now()
    state = primary(SyncState).filter(pk=name).first() or SyncState(name=name, data={}, updated_at=started)
    full = full or state.watermark is None or "cursor" in state.data
    if full:
        since = _moment(state.data.get("cursor"))
        started = _moment(state.data.get("started")) or started
    else:
        since = state.watermark - _overlap(catalogue) if state.watermark is not None else None
    writer = OrderWriter(store, site)
    # Read before the orders are: whatever is in the lake by now was in the shop's table before.
    held = writer.held(since, started) if since is not None and not full else {}
    failed = _failures(catalogue)
    twice: Counter[str] = Counter()

    orders: list[Order] = []

    def again(ids: Sequence[str]) -> list[Order]:
        """Orders read once more; what cannot be read of them was counted the first time."""
        before = _failures(catalogue)
        found = list(catalogue.orders(ids=ids))
        twice.update(_failures(catalogue) - before)
        others = [order.id for order in orders if order.id not in set(ids)][:_PROBES]
        if not found and others and not any(catalogue.orders(ids=others)):
            # Not gone: the ids do not lead back to their orders. What was read first is all that can be had.
            logger.warning(_NOT_BY_ID, ids[0])
            return [order for order in orders if order.id in set(ids)]
        return found

    newest = state.watermark
    for orders in _chunks(catalogue.orders(since=since), max(1, chunk)):
        writer.write(orders, again)
        for order in orders:
            held.pop(purchase_id(site, order.id), None)
        newest = max(t for o in orders for t in (newest, o.when, o.updated) if t is not None)
        if full:
            # Orders come oldest first, so a killed run goes on from the time of its last commit.
            _save(state, cursor=orders[-1].when, started=started)
        if progress is not None:
            progress(writer.counts["read"], orders[-1].when)
    if held and since is not None:
        # Its date may have been edited to before the overlap: asked for by its id, it is there.
        moved = list(catalogue.orders(ids=list(held.values())))
        writer.write(moved, again)
        gone = held.keys() - {purchase_id(site, order.id) for order in moved}
        # Deleted by the shop, or filtered away, and not back by now.
        writer.mark(
            gone,
            "cancelled",
            "sync",
            spare=lambda: [purchase_id(site, order.id) for order in again([held[one] for one in gone])],
            vanished=True,
        )
    # Never beyond the beginning of the run: an order placed while it ran may not have been read.
    watermark = None if newest is None else min(newest, started)
    _save(state, watermark=watermark)
    vanished = writer.counts.pop("marked", 0)
    unreadable = dict(_failures(catalogue) - failed - twice)
    return SyncResult(**writer.counts, vanished=vanished, watermark=watermark, full=full, unreadable=unreadable)


_PROBES = 3
_NOT_BY_ID = (
    "The orders of ML_CATALOG are not found by their own ids, such as %s: what changes while it is written may be "
    "written as it was before. Map an id column whose values Django finds again by their text."
)


def _overlap(catalogue: Catalogue) -> timedelta:
    return OVERLAP if getattr(catalogue, "orders_have_updated", True) else OVERLAP_WITHOUT_UPDATED


def _failures(catalogue: Catalogue) -> Counter[str]:
    return Counter(getattr(catalogue, "failures", {}))


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
