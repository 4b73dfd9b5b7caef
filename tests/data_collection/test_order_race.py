"""An order that changes while it is written: what another process has written of it is not undone by an older read."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ml_models import signals
from ml_models.adapters import build
from ml_models.adapters.catalogue import MemoryCatalogue
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.core.ports import Order, OrderItem
from ml_models.data_collection import outbox
from ml_models.data_collection.outbox_drain import drain_outbox
from ml_models.data_collection.sync import sync_orders
from ml_models.orm import OutboxEvent
from tests.shop import models as shop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
MOMENTS = pytest.mark.parametrize("moment", ["snapshot", "commit"])
"""Just before which the other process is at work: it has committed by then, or its commit is the faster one."""


class Interrupted(MemoryEventStore):
    """Lets something happen once, before the snapshot of a run is taken or before its rows are committed."""

    def __init__(self):
        super().__init__()
        self._then = {}

    def before(self, moment, then):
        self._then[moment] = then

    def snapshot(self):
        self._then.pop("snapshot", bool)()
        return super().snapshot()

    def commit(self, snapshot, positions, rows):
        self._then.pop("commit", bool)()
        return super().commit(snapshot, positions, rows)


class Counting(MemoryCatalogue):
    """Notes which orders are asked for by their ids."""

    def __init__(self, orders=()):
        super().__init__(orders=orders)
        self.asked = []

    def orders(self, *, since=None, ids=None):
        if ids is not None:
            self.asked.append(list(ids))
        return super().orders(since=since, ids=ids)


@pytest.fixture(autouse=True)
def time_():
    with clock.use(clock.ManualClock(NOW)) as manual:
        yield manual


@pytest.fixture
def lake(recorded):
    store = Interrupted()
    build.override(event_store=store)
    return store


def bought(number="1", **changes):
    values = {"id": number, "when": NOW, "items": (OrderItem(product_id="p1"),), "user_id": "7"}
    return Order(**{**values, **changes})


def refunded(number="1"):
    return bought(number, meaning="refunded", status="refunded", updated=NOW)


def rows(lake, event_type="purchase"):
    found = lake.scan(event_types=[event_type]).collect().sort("order_id").to_dicts()
    return [(row["order_id"], row["revision"], json.loads(row["data"])["meaning"]) for row in found]


# -- the shop's table ---------------------------------------------------------------------------------


@MOMENTS
@pytest.mark.parametrize("run", ["sync", "outbox"])
@pytest.mark.parametrize("known", [False, True])
def test_an_order_refunded_meanwhile_stays_refunded(lake, run, known, moment):
    catalogue = MemoryCatalogue(orders=[bought()])
    if known:
        sync_orders(catalogue=catalogue)
        catalogue.all_orders = [bought(status="packed")]

    def refund():
        catalogue.all_orders = [refunded()]
        assert sync_orders(catalogue=catalogue).refunded == 1

    signals.emit_purchase(None, "1")
    lake.before(moment, refund)
    if run == "sync":
        assert sync_orders(catalogue=catalogue).unchanged == 1
    else:
        assert drain_outbox(catalogue=catalogue).written == 0
    assert rows(lake) == [("1", int(known), "refunded")]
    assert rows(lake, "refund") == [("1", 0, "refunded")]


def test_what_is_written_is_what_the_shop_says_after_the_snapshot(lake):
    catalogue = MemoryCatalogue(orders=[bought()])
    lake.before("snapshot", lambda: setattr(catalogue, "all_orders", [refunded()]))
    assert sync_orders(catalogue=catalogue).refunded == 1
    assert rows(lake) == [("1", 0, "refunded")]


@MOMENTS
def test_an_order_deleted_meanwhile_stays_cancelled(lake, time_, moment):
    catalogue = MemoryCatalogue(orders=[bought(), bought("2")])
    sync_orders(catalogue=catalogue)
    time_.advance(hours=1)
    catalogue.all_orders[0] = bought(status="packed")

    def delete():
        del catalogue.all_orders[0]
        assert sync_orders(catalogue=catalogue).vanished == 1

    lake.before(moment, delete)
    done = sync_orders(catalogue=catalogue)
    assert (done.changed, done.vanished) == (0, 0)
    assert rows(lake) == [("1", 1, "cancelled"), ("2", 0, "purchase")]


def test_a_new_order_that_cannot_be_read_again_is_not_lost(lake):
    catalogue = MemoryCatalogue(orders=[bought()])
    lake.before("snapshot", catalogue.all_orders.clear)
    assert sync_orders(catalogue=catalogue).new == 1
    assert rows(lake) == [("1", 0, "purchase")]


@MOMENTS
def test_an_order_that_is_back_is_not_cancelled(lake, time_, moment):
    catalogue = MemoryCatalogue(orders=[bought(), bought("2")])
    sync_orders(catalogue=catalogue)
    time_.advance(hours=1)
    del catalogue.all_orders[0]

    def back():
        catalogue.all_orders.append(bought(status="packed"))
        assert sync_orders(catalogue=catalogue).changed == 1

    other = bought("2", status="packed")

    def after_the_recent_ones():
        catalogue.all_orders = [other]
        lake.before(moment, back)

    catalogue.all_orders = [other]
    assert sync_orders(catalogue=catalogue, progress=lambda *_: after_the_recent_ones()).vanished == 0
    assert rows(lake) == [("1", 1, "purchase"), ("2", 1, "purchase")]


def test_only_orders_that_are_written_are_read_twice(lake, time_):
    catalogue = Counting([bought(str(number)) for number in range(7)])
    assert sync_orders(catalogue=catalogue, chunk=3).new == 7
    assert [len(ids) for ids in catalogue.asked] == [3, 3, 1], "one query a commit"
    catalogue.asked.clear()
    time_.advance(hours=1)
    catalogue.all_orders[4] = bought("4", status="packed")
    assert sync_orders(catalogue=catalogue, chunk=3).changed == 1
    assert catalogue.asked == [["4"]]


def test_a_batch_of_purchases_reads_their_orders_once(lake):
    catalogue = Counting([bought(str(number)) for number in range(5)])
    for number in range(5):
        signals.emit_purchase(None, str(number))
    assert drain_outbox(catalogue=catalogue).written == 5
    assert catalogue.asked == [["0", "1", "2", "3", "4"]]


def test_what_cannot_be_read_is_counted_once(lake):
    from ml_models.adapters.catalogue import DjangoCatalogue

    placed = shop.Order.objects.create(number="A1", created_at=NOW)
    shop.OrderItem.objects.create(order=placed, product=shop.Product.objects.create(name="cup"), unit_price="4.20")
    fields = {"order": "order.number", "product": "product_id", "when": "order.created_at", "quantity": broken}
    catalogue = DjangoCatalogue({"order_line": {"model": "shop.OrderItem", "fields": fields}})
    done = sync_orders(catalogue=catalogue)
    assert (done.new, list(done.unreadable.values())) == (1, [1])


def broken(line):
    raise ZeroDivisionError


# -- rows of the outbox -------------------------------------------------------------------------------


@pytest.fixture
def unmapped(settings, lake, recorded):
    settings.ML_CATALOG = {}
    recorded.install(event_store=lake)
    return lake


def items_of(lake):
    (row,) = lake.scan(event_types=["purchase"]).collect().to_dicts()
    return [item["product_id"] for item in row["items"]]


@MOMENTS
def test_a_row_that_another_process_drained_is_not_written_over_a_later_one(unmapped, moment):
    signals.emit_purchase(None, 1, items=["a"])

    def another():
        assert drain_outbox().written == 1
        signals.emit_purchase(None, 1, items=["a", "b"])
        assert drain_outbox().written == 1

    unmapped.before(moment, another)
    assert drain_outbox().written == 0
    assert (items_of(unmapped), unmapped.stats()["rows"], outbox.waiting()) == (["a", "b"], 2, 0)


@MOMENTS
@pytest.mark.parametrize("told", [signals.emit_purchase, signals.emit_refund])
def test_nor_where_the_other_process_is_about_to_delete_both(unmapped, moment, told):
    """It has committed them, and its rows are still there; it deletes them when this one has looked."""

    def another():
        told(None, 1, items=["a", "b"])
        both = list(OutboxEvent.objects.order_by("pk"))
        drain_outbox()
        OutboxEvent.objects.bulk_create(both)
        unmapped.before("commit", OutboxEvent.objects.all().delete)

    told(None, 1, items=["a"])
    unmapped.before(moment, another)
    drain_outbox()
    assert outbox.waiting() == 0
    kind = "purchase" if told is signals.emit_purchase else "refund"
    (row,) = unmapped.scan(event_types=[kind]).collect().to_dicts()
    assert [item["product_id"] for item in row["items"]] == ["a", "b"]


@MOMENTS
def test_a_refund_that_another_process_drained_is_not_written_over_a_later_one(lake, moment):
    lines = (OrderItem(product_id="a"), OrderItem(product_id="b"))
    catalogue = MemoryCatalogue(orders=[bought(items=lines)])
    sync_orders(catalogue=catalogue)
    signals.emit_refund(None, "1", items=["a"])

    def another():
        assert drain_outbox(catalogue=catalogue).written == 1
        signals.emit_refund(None, "1", items=["a", "b"])
        assert drain_outbox(catalogue=catalogue).written == 1

    lake.before(moment, another)
    assert drain_outbox(catalogue=catalogue).written == 0
    (row,) = lake.scan(event_types=["refund"]).collect().to_dicts()
    assert [item["product_id"] for item in row["items"]] == ["a", "b"]


@MOMENTS
def test_a_part_of_an_order_refunded_as_a_whole_meanwhile_is_no_refund_of_its_own(lake, moment):
    """The refund by the call is of one line; the shop's table says by the time of the commit that it is of all."""
    lines = (OrderItem(product_id="a"), OrderItem(product_id="b"))
    catalogue = MemoryCatalogue(orders=[bought(items=lines)])
    sync_orders(catalogue=catalogue)

    def whole():
        catalogue.all_orders = [bought(items=lines, meaning="refunded", updated=NOW + timedelta(minutes=1))]
        assert sync_orders(catalogue=catalogue).refunded == 1

    signals.emit_refund(None, "1", items=["a"])
    lake.before(moment, whole)
    assert drain_outbox(catalogue=catalogue).written == 0
    (row,) = lake.scan(event_types=["refund"]).collect().to_dicts()
    assert (row["revision"], [item["product_id"] for item in row["items"]]) == (0, ["a", "b"])


# -- what one run has written itself ------------------------------------------------------------------


class Unmapped(MemoryCatalogue):
    has_orders = False


UNMAPPED = Unmapped()


def told(time_, *products, days=0):
    """The shop's own word on order A, at its time."""
    with clock.use(clock.ManualClock(time_.now() + timedelta(days=days))):
        signals.emit_purchase(None, "A", items=[{"product_id": product} for product in products])


def others(number):
    for one in range(number):
        signals.emit_purchase(None, f"other-{one}", items=[{"product_id": "p"}])


def of_a(lake):
    found = lake.scan(event_types=["purchase"]).collect().filter(order_id="A").sort("revision").to_dicts()
    return [(row["revision"], [item["product_id"] for item in row["items"]]) for row in found]


def test_an_order_told_of_days_later_in_the_same_drain_is_one(lake, time_):
    told(time_, "p1", days=-3)
    others(4)
    told(time_, "p1")
    drain_outbox(chunk=2, catalogue=UNMAPPED)
    assert of_a(lake) == [(0, ["p1"])]
    assert not OutboxEvent.objects.exists()


def test_an_order_told_of_anew_while_it_is_drained_is_its_next_revision(lake, time_):
    told(time_, "p1", days=-3)
    others(4)
    count = 0

    def second():
        nonlocal count
        count += 1
        if count == 2:
            told(time_, "p2", "p3", days=-2)
        lake.before("snapshot", second)

    lake.before("snapshot", second)
    drain_outbox(chunk=2, catalogue=UNMAPPED)
    assert of_a(lake) == [(1, ["p2", "p3"])]


def test_an_order_whose_date_is_edited_while_it_is_synced_is_one(lake):
    class Moving(MemoryCatalogue):
        def orders(self, *, since=None, ids=None):
            found = list(super().orders(since=since, ids=ids))
            return iter(found if ids is not None else [*found, bought("A", when=NOW)])

    first = bought("A", when=NOW - timedelta(days=30))
    catalogue = Moving(orders=[first, *(bought(f"o{n}", when=NOW - timedelta(days=9)) for n in range(3))])
    done = sync_orders(catalogue=catalogue, chunk=1, full=True)
    assert (done.new, lake.scan(event_types=["purchase"]).collect().height) == (4, 4)


# -- ids that do not lead back ------------------------------------------------------------------------


def test_changes_are_written_where_ids_do_not_lead_back_to_their_orders(lake, caplog):
    class Deaf(MemoryCatalogue):
        def orders(self, *, since=None, ids=None):
            return super().orders(since=since) if ids is None else []

    catalogue = Deaf(orders=[bought(), bought("2")])
    sync_orders(catalogue=catalogue)
    catalogue.all_orders[0] = refunded()
    assert sync_orders(catalogue=catalogue).changed == 1
    assert rows(lake) == [("1", 1, "refunded"), ("2", 0, "purchase")]
    assert "not found by their own ids" in caplog.text
