"""From the outbox into the lake, each order once, however often this is killed or runs beside itself.

No position is kept: rows get their numbers before they are committed, so a number beyond which everything is known
does not exist. Rows are read, brought to the lake and only then deleted; what is read twice is recognised by the
event's id and content. Which rows are still there is looked at after the lake's snapshot, for every commit anew: one
that another process has drained may have been followed by a later word on the same order.

Where `ML_CATALOG` maps the orders, a row is the word that an order is there: the order itself is read from the shop's
table, as `ml_sync` reads it, so both write the same row. Which visitor placed it stays known as `purchase_seen`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import msgspec

from ml_models.adapters.tables import primary
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import NOT_BOUGHT, Event, EventItem, EventType, decode_event, purchase_id
from ml_models.core.money import exponent
from ml_models.data_collection.order_events import content_of, order_event, refund_event, seen_id
from ml_models.data_collection.order_writer import Known, OrderWriter
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from ml_models.adapters.dead_letters import Letter
    from ml_models.core.ports import Catalogue, EventStore, Order
    from ml_models.orm import OutboxEvent

__all__ = ["DrainResult", "drain_outbox"]

logger = logging.getLogger("bunoraa.ml.sync")

CHUNK = 500
"""Rows of one commit."""


@dataclass(slots=True)
class DrainResult:
    """What one run did; counts of outbox rows."""

    read: int = 0
    written: int = 0
    """Purchases and refunds new in the lake, or changed there."""
    known: int = 0
    """The lake had them already, or the order is not to be bought yet (not paid, without lines)."""
    unknown: int = 0
    """Of orders that the mapped table does not hold."""
    dead: int = 0
    """Unreadable, now dead letters."""


def drain_outbox(
    *, chunk: int = CHUNK, catalogue: Catalogue | None = None, store: EventStore | None = None
) -> DrainResult:
    """Bring every committed row to the lake, then delete it. Raises `MLError` where lake or catalogue fail.

    `chunk`: rows of one commit, 1 to 500.
    """
    from ml_models.adapters.build import get_catalogue, get_event_store
    from ml_models.orm import OutboxEvent

    result = DrainResult()
    drain: _Drain | None = None
    waiting = primary(OutboxEvent)
    while rows := list(waiting.order_by("pk")[:chunk]):
        if drain is None:  # asked for only where there is work: most runs find none
            catalogue = get_catalogue() if catalogue is None else catalogue
            drain = _Drain(catalogue, get_event_store() if store is None else store)
        batch = _Batch(waiting, rows)
        drain.bring(batch, result)
        result.read += len(rows)
        result.dead += batch.dead
        waiting.filter(pk__in=[row.pk for row in rows]).delete()
    return result


class _Batch:
    """Rows of one commit, and what has become of them since they were read."""

    def __init__(self, waiting: QuerySet[OutboxEvent], rows: Sequence[OutboxEvent]) -> None:
        self._waiting = waiting
        self._events, letters = _decode(rows)
        self._ids = {row.event_id for row in rows if row.pk in self._events}
        self.size = len(self._events)
        self.dead = len(letters)
        if letters:
            from ml_models.adapters.build import get_dead_letters

            get_dead_letters().write_all(letters, durable=True)
            # At once: where lake or catalogue fail, the next run would write the same letters again.
            waiting.filter(pk__in=[row.pk for row in rows if row.pk not in self._events]).delete()

    def events(self) -> list[Event]:
        """Those whose rows are still there, and what was put about the same orders meanwhile, as they were put.

        A row that is gone was brought to the lake by another process, maybe with one put after it. So was one that is
        there still, where that process is about to delete both: to be written after it, the later one belongs to this.
        """
        if not self._ids:
            return []
        keys = list(self._waiting.filter(event_id__in=self._ids).order_by("pk").values_list("pk", flat=True))
        found, later = self._events, [key for key in keys if key not in self._events]
        if later:
            found = found | _decode(self._waiting.filter(pk__in=later))[0]
        # Copies: the writer puts times and revisions into them, of a lake that may be another the next time.
        return [msgspec.structs.replace(found[key], data=dict(found[key].data)) for key in keys if key in found]


def _decode(rows: Iterable[OutboxEvent]) -> tuple[dict[int, Event], list[Letter]]:
    """Events by the key of their row, and a letter for each row that is none."""
    from ml_models.adapters.dead_letters import DeadLetters
    from ml_models.core.lake_schema import to_frame

    events, letters = {}, []
    for row in rows:
        record = bytes(row.record)
        try:
            event = decode_event(record)
            to_frame([event])  # what fits no column must not hold the others up
            events[row.pk] = event
        except InvalidEvent as error:
            context = {"source": "outbox"}
            letters.append(
                DeadLetters.letter(error.reason, error.path, record, kind="record", detail=str(error), context=context)
            )
    return events, letters


class _Drain:
    def __init__(self, catalogue: Catalogue, store: EventStore) -> None:
        self.catalogue = catalogue
        self.mapped = bool(getattr(catalogue, "has_orders", True))
        self.site = get_settings().site
        self.writer = OrderWriter(store, self.site)
        self._whole: list[str] = []
        """Ids of the purchases that the last batch says were refunded as a whole."""

    def bring(self, batch: _Batch, result: DrainResult) -> None:
        """All of them, with those of one order in the order they were put."""
        if not batch.size:
            return
        written = unknown = 0
        if self.mapped:
            written, unknown = self._orders(batch)
            result.unknown += unknown
        done = self.writer.commit(lambda: self._others(batch))
        written += done["written"]
        if whole := self._whole:
            self.writer.mark(whole, "refunded", "outbox")
        result.written += written
        result.known += max(0, batch.size - written - unknown)

    def _orders(self, batch: _Batch) -> tuple[int, int]:
        """Bring the orders as the shop's table has them: (written, not found there)."""
        missing: list[str] = []

        def build() -> tuple[list[Event], Counter[str]]:
            numbers = list(dict.fromkeys(str(event.order_id) for event in batch.events()))
            orders = self._read(numbers)
            missing[:] = [number for number in numbers if number not in orders]
            return self.writer.of_orders(list(orders.values()))

        done = self.writer.commit(build)
        if missing:
            logger.warning(
                "%d orders that the shop told of are not among those that ML_CATALOG maps, such as %s. Give "
                "emit_purchase the order itself, or the id that ML_CATALOG names.",
                len(missing),
                missing[0],
            )
        return done["new"] + done["changed"], len(missing)

    def _read(self, numbers: Sequence[str]) -> dict[str, Order]:
        return {order.id: order for order in self.catalogue.orders(ids=numbers)} if numbers else {}

    def _others(self, batch: _Batch) -> tuple[list[Event], Counter[str]]:
        """What is to be written beside the orders of the shop's table."""
        events = batch.events()
        purchases = [event for event in events if event.event_type == EventType.PURCHASE]
        refunds = [event for event in events if event.event_type == EventType.REFUND]
        self._whole = []
        if self.mapped:
            orders = self._read(list({str(event.order_id) for event in refunds}))
            written = self.writer.revised(list(filter(None, (self._partial(event, orders) for event in refunds))))
            seen = self._seen(purchases)
        else:
            written = self._changed(purchases, self._known(events)) + self._refunds(refunds)
            seen = []
            self._whole = [purchase_id(self.site, str(one.order_id)) for one in refunds if not one.items]
        return written + seen, Counter(written=len(written))

    # -- beside a mapped table ----------------------------------------------------------------------

    def _partial(self, event: Event, orders: dict[str, Order]) -> Event | None:
        """The refund of an order whose table does not say so itself, such as of a few of its lines.

        The purchase stays what the table says it is, even where all of it is given back.
        """
        order = orders.get(str(event.order_id))
        if order is None or order.meaning == "refunded":
            return None
        purchase = order_event(order, site=self.site, received_at=event.received_at)
        if not event.items:
            logger.warning(
                "Order %s was refunded by emit_refund and is %s in the shop's table, which overrules: its pieces and "
                "money are taken out of profiles and product figures, and training counts the order until the table "
                'says refunded. Map that status in ML_CATALOG["statuses"].',
                order.id,
                order.status or order.meaning,
            )
            return refund_event(purchase, event.event_time)
        lines = self._of_purchase(event, purchase)
        return refund_event(purchase, event.event_time, items=lines) if lines else None

    def _of_purchase(self, event: Event, purchase: Event) -> list[EventItem]:
        """The lines of a refund as the purchase has them: its products and prices.

        A call may name a variant for its product, leave the price out, and did not know the order's currency when its
        prices became minor units. What the order does not hold (so many of) is kept as it was said.
        """
        parents = self.catalogue.canonical([item.product_id for item in event.items])
        left = [line.quantity for line in purchase.items]
        lines: list[EventItem] = []
        for item in event.items:
            parent = parents.get(item.product_id, item.product_id)
            variant = item.variant_id or (item.product_id if parent != item.product_id else None)
            wanted = item.quantity
            for place, line in enumerate(purchase.items):
                taken = min(wanted, left[place])
                if taken > 0 and _names(parent, variant, line):
                    lines.append(msgspec.structs.replace(line, quantity=taken))
                    left[place] -= taken
                    wanted -= taken
            if wanted > 0:
                price = _in_currency(item.unit_price, event.currency, purchase.currency)
                lines.append(EventItem(product_id=parent, variant_id=variant, quantity=wanted, unit_price=price))
        return lines

    def _seen(self, purchases: list[Event]) -> list[Event]:
        """Which visitor placed the order, as far as the request said."""
        seen = []
        for event in purchases:
            if event.anonymous_id is not None:
                data = {key: value for key, value in event.data.items() if key != "meaning"}
                changes = {"event_id": seen_id(self.site, str(event.order_id)), "source": "server", "data": data}
                seen.append(msgspec.structs.replace(event, event_type=EventType.PURCHASE_SEEN.value, **changes))
        return seen

    # -- where nothing is mapped: what the shop said is all there is --------------------------------

    def _known(self, events: list[Event]) -> dict[str, Known]:
        if not events:
            return {}
        ids = {purchase_id(self.site, str(event.order_id)) for event in events}
        times = [event.event_time for event in events]
        return self.writer.known(list(ids), min(times), max(times))

    def _changed(self, purchases: list[Event], known: dict[str, Known]) -> list[Event]:
        changed = []
        for event in purchases:
            before = known.get(event.event_id)
            if before is not None and before.meaning in NOT_BOUGHT:
                continue  # told of once more after it was refunded: still not bought
            if before is not None:
                event.event_time = before.when  # the order is as old as when it was first told of
                event.revision = before.revision + 1
            event.data["content"] = content_of(event)
            if not self.writer.says(before, event):
                known[event.event_id] = Known(
                    event.revision, event.data["content"], event.data["meaning"], event.event_time, event.source
                )
                changed.append(event)
        return changed

    def _refunds(self, refunds: list[Event]) -> list[Event]:
        for event in refunds:
            event.data["content"] = content_of(event)
        return self.writer.revised(refunds)


def _names(product: str, variant: str | None, line: EventItem) -> bool:
    """Whether a product, or one variant of it, is that of an order's line; a line may not say its variant."""
    return product in (line.product_id, line.variant_id) and (
        variant is None or line.variant_id is None or variant == line.variant_id
    )


def _in_currency(minor: int | None, said: str | None, currency: str | None) -> int | None:
    """An amount that became minor units of one currency, in those of the currency it was meant in."""
    if minor is None:
        return None
    return int(Decimal(minor).scaleb(exponent(currency) - exponent(said)).to_integral_value(ROUND_HALF_UP))
