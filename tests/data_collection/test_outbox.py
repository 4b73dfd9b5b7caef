"""Orders through the outbox: kept or rolled back with the order, in the lake once; one refund whichever way."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from ml_models import signals
from ml_models.adapters import build
from ml_models.adapters.catalogue import DjangoCatalogue, MemoryCatalogue
from ml_models.adapters.dead_letters import DeadLetters, Replayed
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core import clock
from ml_models.core.errors import CommitConflict, InvalidEvent, StoreError
from ml_models.core.event import EventType, purchase_id
from ml_models.core.ports import Order, OrderItem
from ml_models.data_collection import counters, outbox, wire
from ml_models.data_collection.events import EventTracker
from ml_models.data_collection.facts import read
from ml_models.data_collection.identity import Identity, sign
from ml_models.data_collection.order_events import refund_id, seen_id
from ml_models.data_collection.outbox_drain import drain_outbox
from ml_models.data_collection.replay import replay_dead_letters
from ml_models.data_collection.sync import sync_orders
from ml_models.orm import OutboxEvent
from tests.shop import models as shop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
A = "01953f3c-1111-7000-8000-000000000001"


@pytest.fixture(autouse=True)
def moment():
    with clock.use(clock.ManualClock(NOW)) as manual:
        yield manual


@pytest.fixture
def lake(recorded):
    store = MemoryEventStore()
    build.override(event_store=store)
    return store


@pytest.fixture
def unmapped(settings, lake, recorded):
    settings.ML_CATALOG = {}
    recorded.install(event_store=lake)
    return lake


def rows(lake, *types):
    return lake.scan(event_types=list(types) or None).collect().sort("event_time", "event_type").to_dicts()


def bought(number="1", **changes):
    items = (OrderItem(product_id="p1", quantity=2, unit_price=Decimal("3.50")), OrderItem(product_id="p2"))
    values = {"id": number, "when": NOW, "items": items, "currency": "EUR", "user_id": "7", "status": "paid"}
    return Order(**{**values, **changes})


# -- with the shop's transaction ----------------------------------------------------------------------


def test_the_row_is_rolled_back_with_the_order(unmapped, recorded, rf):
    request = rf.post("/checkout/")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        signals.emit_purchase(request, 1, items=["p1"], user_id=5)
        raise ZeroDivisionError
    assert outbox.waiting() == 0
    assert recorded.events == []
    assert recorded.online.recent("u:5") == []
    with transaction.atomic():
        assert signals.emit_purchase(request, 1, items=["p1"], user_id=5) == purchase_id("default", "1")
        assert recorded.online.recent("u:5") == []
    recorded.events  # noqa: B018  (stores what the queue holds)
    assert [one.item_id for one in recorded.online.recent("u:5")] == ["p1"]
    assert outbox.waiting() == 1


def test_who_denied_consent_is_a_customer_and_not_followed(unmapped, recorded, rf):
    request = rf.post("/checkout/", HTTP_SEC_GPC="1")
    request.COOKIES["_ml"] = sign(Identity(A, None, int(NOW.timestamp())))
    signals.emit_purchase(request, 1, items=["p1"], user_id=5)
    drain_outbox()
    (row,) = rows(unmapped)
    assert (row["user_id"], row["anonymous_id"], row["ip_prefix"]) == ("5", None, None)
    recorded.events  # noqa: B018  (stores what the queue holds)
    assert recorded.online.recent("u:5") == []


def test_a_failure_of_ours_leaves_the_shops_transaction_as_it_was(unmapped, recorded, monkeypatch, caplog):
    caplog.set_level("CRITICAL", "bunoraa.ml")

    def fails(self, *args, **kwargs):
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM ml_outboxevent")

    monkeypatch.setattr(OutboxEvent, "save", fails)
    with transaction.atomic():
        signals.emit_purchase(None, 1, items=["p1"], user_id=5)
        shop.Product.objects.create(name="stored after the failure")
    assert shop.Product.objects.count() == 1
    assert counters.snapshot()["outbox.failed"] == 1
    (event,) = recorded.events  # the way of all others, after the commit
    assert (event.event_type, event.event_id) == ("purchase", purchase_id("default", "1"))


def test_in_a_broken_transaction_nothing_is_told(unmapped, recorded, caplog):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    shop.Order.objects.create(number="A1", created_at=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        try:
            shop.Order.objects.create(number="A1", created_at=NOW)
        finally:
            connection.needs_rollback = True
            assert signals.emit_purchase(None, 1, items=["p1"]) is None
    assert (outbox.waiting(), recorded.events) == (0, [])


def test_from_asynchronous_code_an_order_takes_the_way_of_all_events(unmapped, recorded, caplog):
    caplog.set_level("CRITICAL", "bunoraa.ml")

    async def view():
        return signals.emit_purchase(None, 1, items=["p1"], user_id=5)

    assert asyncio.run(view()) == purchase_id("default", "1")
    assert counters.snapshot()["outbox.failed"] == 1
    assert outbox.waiting() == 0
    assert [(event.event_type, event.source) for event in recorded.events] == [("purchase", "outbox")]


@pytest.mark.parametrize("off", [{"ML_ENABLED": False}, {"ML_DATA_COLLECTION": {"enabled": False}}])
def test_switched_off_no_row_is_written(recorded, settings, off):
    for name, value in off.items():
        setattr(settings, name, value)
    recorded.install()
    assert signals.emit_purchase(None, 1, items=["p1"]) is None
    assert outbox.waiting() == 0


# -- where nothing is mapped --------------------------------------------------------------------------


def test_an_order_told_of_twice_is_one_purchase(unmapped, moment):
    items = [{"product": shop.Product(pk=1), "quantity": 60, "price": Decimal("1.50")}]
    for _ in range(2):
        signals.emit_purchase(None, 77, items=items, currency="EUR", user_id=5)
        moment.advance(seconds=9)
    assert drain_outbox().written == 1
    (row,) = rows(unmapped)
    assert (row["event_id"], row["source"], row["order_id"]) == (purchase_id("default", "77"), "outbox", "77")
    assert (row["user_id"], row["event_time"], row["revision"]) == ("5", NOW, 0)
    assert [(i["product_id"], i["quantity"], i["unit_price"]) for i in row["items"]] == [("1", 60, 150)]
    moment.advance(days=40)
    signals.emit_purchase(None, 77, items=items, currency="EUR", user_id=5)
    assert (drain_outbox().written, outbox.waiting()) == (0, 0)
    signals.emit_purchase(None, 77, items=[1, 2], currency="EUR", user_id=5)
    assert drain_outbox().written == 1
    (row,) = rows(unmapped)
    assert (row["revision"], row["event_time"], len(row["items"])) == (1, NOW, 2)


def test_orders_and_products_whose_ids_look_like_addresses_stay_what_they_are(unmapped):
    for number in ("10.0.0.1", "10.0.0.2", "12::34"):
        signals.emit_purchase(None, number, items=[{"product_id": "1.2.3.4"}])
    drain_outbox()
    found = {(row["order_id"], row["items"][0]["product_id"]) for row in rows(unmapped, "purchase")}
    assert found == {(number, "1.2.3.4") for number in ("10.0.0.1", "10.0.0.2", "12::34")}


def test_a_refund_is_one_row_and_a_whole_one_undoes_the_purchase(unmapped, moment):
    signals.emit_purchase(None, 77, items=[1, 2], user_id=5)
    signals.emit_refund(None, 77, items=[1], user_id=5)
    assert drain_outbox().written == 2
    purchase, refund = rows(unmapped, "purchase"), rows(unmapped, "refund")
    assert json.loads(purchase[0]["data"])["meaning"] == "purchase"
    assert (refund[0]["event_id"], refund[0]["source"]) == (refund_id("default", "77"), "outbox")
    for _ in range(2):
        moment.advance(hours=1)
        signals.emit_refund(None, 77, user_id=5)
    drain_outbox()
    (purchase,), (refund,) = rows(unmapped, "purchase"), rows(unmapped, "refund")
    assert (refund["revision"], refund["event_time"]) == (1, NOW + timedelta(hours=1))
    assert (purchase["revision"], json.loads(purchase["data"])["meaning"]) == (1, "refunded")
    signals.emit_purchase(None, 77, items=[1, 2], user_id=5)
    assert drain_outbox().written == 0


def test_the_tracker_takes_orders_the_same_way(unmapped, recorded, caplog):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    EventTracker().track_event(user_id=5, event_type=EventType.PURCHASE, data={"order_id": "77", "items": []})
    assert EventTracker().track_event(user_id=5, event_type=EventType.PURCHASE, data={}) is None
    drain_outbox()
    assert [row["event_id"] for row in rows(unmapped)] == [purchase_id("default", "77")]
    assert counters.snapshot() == {"rejected.missing": 1}


def test_a_row_that_cannot_be_read_is_a_dead_letter_and_holds_nothing_up(unmapped, recorded):
    OutboxEvent.objects.create(event_id="x", event_type="purchase", record=b"\xc1", created_at=NOW)
    signals.emit_purchase(None, 77, items=[1])
    result = drain_outbox()
    assert (result.read, result.dead, result.written, outbox.waiting()) == (2, 1, 1, 0)
    assert [letter.reason for letter in recorded.dead.letters] == ["not_msgpack"]


# -- what the shop's code gets wrong ------------------------------------------------------------------


def test_a_wrong_field_costs_the_field_and_not_the_order(unmapped, caplog):
    items = [
        {"product": shop.Product(pk=1), "quantity": Decimal("2.000"), "price": Decimal("-3.50")},
        {"product_id": 2, "quantity": "many", "price": "1.25"},
        {"product_id": 3, "quantity": Decimal("0.500"), "price": Decimal("8.00")},
        {"quantity": 1},
    ]
    assert signals.emit_purchase(None, 77, items=items, currency="€", user_id=5, gift_note="x" * 5000)
    assert outbox.waiting() == 1
    drain_outbox()
    (row,) = rows(unmapped)
    assert (row["order_id"], row["user_id"], row["currency"]) == ("77", "5", None)
    lines = [(item["product_id"], item["quantity"], item["unit_price"]) for item in row["items"]]
    assert lines == [("1", 2, None), ("2", 1, 125), ("3", 1, 400)]
    assert "gift_note" not in row["data"]
    assert "Order 77 is kept without what is not valid in it" in caplog.text
    assert counters.snapshot() == {"order.fields_left_out": 5}


def test_an_order_that_cannot_be_understood_is_a_dead_letter_until_the_fix(unmapped, recorded, tmp_path, monkeypatch):
    letters = DeadLetters(tmp_path / "dead")
    recorded.install(event_store=unmapped, dead_letters=letters)
    with monkeypatch.context() as patch:
        patch.setattr(wire, "MAX_ITEMS_SERVER", -1)  # a fault of ours, say
        patch.setattr(wire, "_money", lambda fields, context: refuse())
        items = [{"product_id": number, "price": "2.50"} for number in range(2_000)]  # 80 KB
        assert signals.emit_purchase(None, 77, items=items, user_id=5) is None
    assert (outbox.waiting(), counters.snapshot()) == (0, {"rejected.wrong_value": 1})
    (letter,) = letters
    assert (letter.reason, letter.context["user_id"], letter.context["source"]) == ("wrong_value", "5", "server")
    assert replay_dead_letters() == Replayed(accepted=1, refused=0)
    assert list(letters) == []
    drain_outbox()
    (row,) = rows(unmapped)
    assert (row["event_id"], row["source"], row["user_id"]) == (purchase_id("default", "77"), "outbox", "5")
    assert (len(row["items"]), row["items"][0]["unit_price"]) == (2_000, 250)
    assert json.loads(row["data"])["meaning"] == "purchase"


def refuse():
    raise InvalidEvent("wrong_value", "currency")


# -- beside a mapped table ----------------------------------------------------------------------------


def test_outbox_and_sync_write_the_same_row(lake):
    signals.emit_purchase(None, "1")
    catalogue = MemoryCatalogue(orders=[bought()])
    assert drain_outbox(catalogue=catalogue).written == 1
    before = rows(lake)
    result = sync_orders(catalogue=catalogue, full=True)
    assert (result.unchanged, result.new, result.changed) == (1, 0, 0)
    assert rows(lake) == before
    changed = MemoryCatalogue(orders=[bought(items=(OrderItem(product_id="p9"),))])
    assert sync_orders(catalogue=changed, full=True).changed == 1
    (row,) = rows(lake)
    assert (row["event_id"], row["revision"]) == (purchase_id("default", "1"), 1)


def test_the_row_points_to_the_order_as_it_is_when_it_is_read(lake):
    """Its lines may come after the signal, and it may be changed before the worker runs."""
    user_order = shop.Order.objects.create(number="A1", created_at=NOW)
    with transaction.atomic():
        signals.record_order(user_order)
        product = shop.Product.objects.create(name="cup")
        shop.OrderItem.objects.create(order=user_order, product=product, quantity=2, unit_price="4.20")
    assert drain_outbox().written == 1
    (row,) = rows(lake)
    assert (row["order_id"], row["items"][0]["quantity"], row["event_time"]) == ("A1", 2, NOW)


def test_the_receiver_of_a_saved_order(lake):
    from django.db.models.signals import post_save

    product = shop.Product.objects.create(name="cup")
    post_save.connect(signals.order_saved, sender=shop.Order)
    try:
        placed = shop.Order.objects.create(number="A1", created_at=NOW)
        shop.OrderItem.objects.create(order=placed, product=product, quantity=2, unit_price="4.20")
    finally:
        post_save.disconnect(signals.order_saved, sender=shop.Order)
    assert (outbox.waiting(), drain_outbox().written) == (1, 1)
    assert rows(lake)[0]["order_id"] == "A1"


def test_an_order_is_named_as_the_mapping_names_it(lake, settings):
    placed = shop.Order.objects.create(number="A1", created_at=NOW)
    assert outbox.order_number(placed) == "A1"
    assert outbox.order_number("A2") == "A2"
    assert outbox.order_number(shop.Product(pk=3)) == "3"
    fields = {"id": "number", "when": "created_at"}
    form = {"order": {"model": "shop.Order", "lines": "lines[]", "fields": fields}}
    form["order_line"] = {"model": "shop.OrderItem", "fields": {"product": "product_id"}}
    build.override(catalogue=DjangoCatalogue(form))
    assert outbox.order_number(placed) == "A1"
    build.override(catalogue=MemoryCatalogue())
    assert outbox.order_number(placed) == str(placed.pk)


def test_who_placed_an_order_stays_known_for_attribution(lake, rf):
    request = rf.post("/checkout/")
    request.COOKIES["_ml"] = sign(Identity(A, None, int(NOW.timestamp())))
    for _ in range(2):
        signals.emit_purchase(request, "1", coupon="SAVE10")
    drain_outbox(catalogue=MemoryCatalogue(orders=[bought()]))
    (seen,) = rows(lake, "purchase_seen")
    assert (seen["event_id"], seen["source"], seen["anonymous_id"]) == (seen_id("default", "1"), "server", A)
    assert json.loads(seen["data"]) == {"coupon": "SAVE10"}
    assert len(rows(lake, "purchase")) == 1


def test_an_order_that_the_table_does_not_hold_is_no_purchase(lake, caplog):
    signals.emit_purchase(None, "no such order", items=["p1"])
    caplog.clear()
    result = drain_outbox(catalogue=MemoryCatalogue(orders=[bought()]))
    assert (result.unknown, result.written, outbox.waiting()) == (1, 0, 0)
    assert "such as no such order" in caplog.text
    assert rows(lake) == []


def test_an_unpaid_order_waits_for_the_sync(lake):
    signals.emit_purchase(None, "1")
    result = drain_outbox(catalogue=MemoryCatalogue(orders=[bought(meaning="pending")]))
    assert (result.known, result.written, rows(lake)) == (1, 0, [])


@pytest.mark.parametrize("first", ["signal", "table"])
def test_one_refund_whichever_way_it_comes(lake, first):
    catalogue = MemoryCatalogue(orders=[bought()])
    sync_orders(catalogue=catalogue)
    refunded = bought(meaning="refunded", status="refunded", updated=NOW)
    if first == "table":
        catalogue.all_orders = [refunded]
        assert sync_orders(catalogue=catalogue).refunded == 1
    signals.emit_refund(None, "1")
    drain_outbox(catalogue=catalogue)
    catalogue.all_orders = [refunded]
    sync_orders(catalogue=catalogue)
    (refund,) = rows(lake, "refund")
    assert (refund["event_id"], refund["revision"]) == (refund_id("default", "1"), 0)
    assert [i["product_id"] for i in refund["items"]] == ["p1", "p2"]
    assert len([row for row in lake.scan().collect().to_dicts() if row["event_type"] == "refund"]) == 1


def test_a_refund_of_a_line_becomes_that_of_the_order(lake, moment):
    catalogue = MemoryCatalogue(orders=[bought()])
    signals.emit_purchase(None, "1")
    signals.emit_refund(None, "1", items=[{"product_id": "p2", "quantity": 1}])
    drain_outbox(catalogue=catalogue)
    (refund,) = rows(lake, "refund")
    assert [i["product_id"] for i in refund["items"]] == ["p2"]
    moment.advance(hours=1)
    catalogue.all_orders = [bought(meaning="refunded", updated=NOW)]
    sync_orders(catalogue=catalogue)
    (refund,) = rows(lake, "refund")
    assert (refund["revision"], [i["product_id"] for i in refund["items"]]) == (1, ["p1", "p2"])


def refunded_lines(lake, catalogue, currency="EUR", **changes):
    catalogue.all_orders.append(bought(currency=currency, **changes))
    drain_outbox(catalogue=catalogue)
    (refund,) = rows(lake, "refund")
    assert refund["currency"] == currency
    return [(i["product_id"], i["variant_id"], i["quantity"], i["unit_price"]) for i in refund["items"]]


@pytest.mark.parametrize(("currency", "minor"), [("JPY", 1200), ("EUR", 120_000), ("KWD", 1_200_000)])
def test_a_refund_is_in_the_money_of_its_order(lake, currency, minor):
    """The call names no currency, and the shop's default is another: prices are those of the order."""
    line = OrderItem(product_id="p1", quantity=3, unit_price=Decimal(1200))
    back = [{"product_id": "p1", "quantity": 2, "price": 1200}, {"product_id": "unknown", "price": 1200}]
    signals.emit_refund(None, "1", items=back)
    found = refunded_lines(lake, MemoryCatalogue(), currency, items=(line,))
    assert found == [("p1", None, 2, minor), ("unknown", None, 1, minor)]


def test_a_refund_names_variants_and_prices_as_the_order_has_them(lake):
    lines = (
        OrderItem(product_id="shirt", variant_id="red", quantity=2, unit_price=Decimal(10)),
        OrderItem(product_id="shirt", variant_id="blue", quantity=1, unit_price=Decimal(12)),
        OrderItem(product_id="cup", quantity=1, unit_price=Decimal(5)),
    )
    catalogue = MemoryCatalogue(variants={"red": "shirt", "blue": "shirt", "cup-big": "cup"})
    back = [
        {"product_id": "blue", "quantity": 1},
        {"product_id": "shirt", "quantity": 3},
        {"product_id": "cup-big", "quantity": 1},
    ]
    signals.emit_refund(None, "1", items=back)
    assert refunded_lines(lake, catalogue, items=lines) == [
        ("shirt", "blue", 1, 1200),
        ("shirt", "red", 2, 1000),
        ("shirt", None, 1, None),  # more than the order has
        ("cup", None, 1, 500),
    ]


def test_an_order_refunded_as_a_whole_stays_what_the_table_says(lake, caplog):
    """The purchase is the table's; what came back is taken out of the figures."""
    catalogue = MemoryCatalogue(orders=[bought()])
    sync_orders(catalogue=catalogue)
    signals.emit_refund(None, "1")
    drain_outbox(catalogue=catalogue)
    assert "Order 1 was refunded by emit_refund and is paid in the shop's table, which overrules" in caplog.text
    for _ in range(2):
        (purchase,), (refund,) = rows(lake, "purchase"), rows(lake, "refund")
        assert (purchase["revision"], json.loads(purchase["data"])["meaning"]) == (0, "purchase")
        assert json.loads(refund["data"])["meaning"] == "refunded"
        facts = read(lake.scan())
        assert facts.of(facts.events).collect().is_empty()
        sync_orders(catalogue=catalogue, full=True)


# -- exactly once -------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def test_killed_between_the_commit_and_the_deletion(unmapped, monkeypatch):
    for number in range(5):
        signals.emit_purchase(None, number, items=["p1"])

    def kill(self):
        raise Killed

    with monkeypatch.context() as patch:
        from django.db.models.query import QuerySet

        patch.setattr(QuerySet, "delete", kill)
        with pytest.raises(Killed):
            drain_outbox(chunk=2)
    assert (unmapped.stats()["rows"], outbox.waiting()) == (2, 5)
    assert drain_outbox(chunk=2).written == 3
    assert (unmapped.stats()["rows"], outbox.waiting()) == (5, 0)


def test_two_drains_at_once_write_each_order_once(recorded, settings):
    settings.ML_CATALOG = {}

    class Raced(MemoryEventStore):
        raced = False

        def snapshot(self):
            taken = super().snapshot()
            if not self.raced:
                self.raced = True
                assert drain_outbox(store=self).written == 3
            return taken

    raced = Raced()
    recorded.install(event_store=raced)
    for number in range(3):
        signals.emit_purchase(None, number, items=["p1"])
    assert drain_outbox().written == 0
    assert (raced.stats()["rows"], outbox.waiting()) == (3, 0)


def test_a_lake_that_fails_leaves_the_rows(unmapped, monkeypatch):
    signals.emit_purchase(None, 1, items=["p1"])

    def busy(*args):
        raise CommitConflict("busy")

    with monkeypatch.context() as patch, pytest.raises(CommitConflict):
        patch.setattr(unmapped, "commit", busy)
        drain_outbox()
    assert outbox.waiting() == 1
    assert drain_outbox().written == 1


def test_a_row_committed_late_with_a_low_number_is_not_passed_over(unmapped):
    """Numbers are given before the commit: one below those drained already may appear at any time."""
    signals.emit_purchase(None, 1, items=["p1"])
    late = OutboxEvent.objects.get()
    OutboxEvent.objects.all().delete()
    signals.emit_purchase(None, 2, items=["p1"])
    drain_outbox()
    late.save(force_insert=True)
    assert drain_outbox().written == 1
    assert {row["order_id"] for row in rows(unmapped)} == {"1", "2"}


@pytest.mark.parametrize("error", [StoreError("The shop's table is away."), OperationalError("it is away")])
def test_the_task_goes_on_where_one_step_fails(recorded, lake, monkeypatch, caplog, error):
    from ml_models.data_collection import sync
    from ml_models.tasks import process_training_data_task

    signals.emit_cart_add(None, product=1)
    signals.emit_purchase(None, "1")
    recorded.events  # noqa: B018  (to the spool)

    def fails():
        raise error

    monkeypatch.setattr(sync, "sync_orders", fails)
    build.override(catalogue=MemoryCatalogue(orders=[bought()]))
    with pytest.raises(type(error), match="away"):
        process_training_data_task()
    assert [row["event_type"] for row in rows(lake)] == ["cart_add", "purchase"]
    assert "Step orders of ml.process_training_data failed" in caplog.text


def test_a_workers_time_limit_ends_the_task_at_once(recorded, lake, monkeypatch):
    from celery.exceptions import SoftTimeLimitExceeded

    from ml_models.data_collection import process, sync
    from ml_models.tasks import process_training_data_task

    def late():
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(sync, "sync_orders", late)
    monkeypatch.setattr(process, "process_events", lambda **options: pytest.fail("it went on"))
    with pytest.raises(SoftTimeLimitExceeded):
        process_training_data_task()
