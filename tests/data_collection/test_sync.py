"""Orders of the shop become purchase events, once each, whatever happens to them later."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from ml_models.adapters import build
from ml_models.adapters.catalogue import DjangoCatalogue, MemoryCatalogue
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.adapters.lake_keys import lake_keys
from ml_models.core import clock
from ml_models.core.errors import CommitConflict
from ml_models.core.event import purchase_id
from ml_models.core.ids import MAX_ID
from ml_models.core.ports import Order, OrderItem
from ml_models.data_collection.sync import refund_id, sync_orders
from ml_models.orm import SyncState

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def moment():
    with clock.use(clock.ManualClock(START)) as manual:
        yield manual


@pytest.fixture
def store():
    return MemoryEventStore()


def order(number="1", when=START, **changes):
    values = {
        "id": number,
        "when": when,
        "items": (OrderItem(product_id="p1", quantity=2, unit_price=Decimal("3.50")), OrderItem(product_id="p2")),
        "currency": "EUR",
        "user_id": "7",
        "status": "paid",
    }
    return Order(**{**values, **changes})


def rows(store, event_type="purchase"):
    return store.scan(event_types=[event_type]).collect().to_dicts()


def sync(store, orders, **options):
    return sync_orders(catalogue=MemoryCatalogue(orders=orders), store=store, **options)


def test_an_order_becomes_one_purchase_in_minor_units(moment, store):
    result = sync(store, [order()])
    (row,) = rows(store)
    assert (result.read, result.new, result.full) == (1, 1, True)
    assert row["event_id"] == purchase_id("default", "1")
    assert (row["source"], row["user_id"], row["anonymous_id"], row["order_id"]) == ("sync", "7", None, "1")
    assert (row["currency"], row["event_time"], row["revision"]) == ("EUR", START, 0)
    assert [(i["product_id"], i["quantity"], i["unit_price"]) for i in row["items"]] == [
        ("p1", 2, 350),
        ("p2", 1, None),
    ]
    assert json.loads(row["data"])["meaning"] == "purchase"


def test_yen_has_no_hundredths(moment, store):
    sync(store, [order(currency="JPY", items=(OrderItem(product_id="p", unit_price=Decimal(1200)),))])
    assert rows(store)[0]["items"][0]["unit_price"] == 1200


def test_the_total_of_a_line_keeps_its_cents(moment, store):
    """10.00 for 3 is 333 a piece and 1000 together; so are 300 sheets at 0.0333, 999 together and 900 by the piece."""
    thirds = OrderItem(product_id="p1", quantity=3, unit_price=Decimal(10) / 3, total=Decimal(10))
    sheets = OrderItem(product_id="p2", quantity=300, unit_price=Decimal("0.0333"))
    plain = OrderItem(product_id="p3", quantity=2, unit_price=Decimal("1.50"))
    sync(store, [order(items=(thirds, sheets, plain))])
    (row,) = rows(store)
    assert [item["unit_price"] for item in row["items"]] == [333, 3, 150]
    assert json.loads(row["data"])["totals"] == [1000, 999, 300]
    # In whichever order the shop gives its lines.
    assert sync(store, [order(items=(plain, sheets, thirds))], full=True).unchanged == 1
    cheaper = OrderItem(product_id="p1", quantity=3, unit_price=Decimal("9.99") / 3, total=Decimal("9.99"))
    assert sync(store, [order(items=(cheaper, sheets, plain))], full=True).changed == 1
    assert json.loads(rows(store)[0]["data"])["totals"] == [999, 999, 300]


def test_where_pieces_times_price_is_the_total_nothing_is_added(moment, store):
    sync(store, [order(items=(OrderItem(product_id="p", quantity=4, unit_price=Decimal("2.50"), total=Decimal(10)),))])
    assert "totals" not in json.loads(rows(store)[0]["data"])


def test_a_guest_is_a_key_and_never_an_address(moment, store):
    sync(store, [order(user_id=None, guest="abc123")])
    (row,) = rows(store)
    assert (row["user_id"], row["anonymous_id"]) == (None, "guest:abc123")


def test_a_second_run_writes_nothing(moment, store):
    orders = [order(str(n), START + timedelta(minutes=n)) for n in range(5)]
    moment.advance(days=1)
    assert sync(store, orders).new == 5
    again = sync(store, orders)
    assert (again.full, again.new, again.changed, again.unchanged) == (False, 0, 0, 5)
    assert sync(store, orders, full=True).unchanged == 5
    assert store.stats()["rows"] == 5


def test_a_changed_order_is_the_next_revision(moment, store):
    sync(store, [order()])
    result = sync(store, [order(items=(OrderItem(product_id="p1", quantity=9),))])
    (row,) = rows(store)
    assert (result.changed, row["revision"], row["items"][0]["quantity"]) == (1, 1, 9)
    assert store.stats()["rows"] == 2


def test_lines_read_in_another_order_are_no_change(moment, store):
    first = order()
    sync(store, [first])
    assert sync(store, [order(items=tuple(reversed(first.items)))]).unchanged == 1


def test_an_order_whose_ids_are_keyed_is_no_change(moment, store):
    sync(store, [order(), order("2", user_id=None, guest="abc")])
    retain = {"key": lake_keys()[0], "older_than": START + timedelta(days=1), "types": ["purchase", "refund"]}
    assert store.key_ids(**retain) == 2
    result = sync(store, [order(), order("2", user_id=None, guest="abc")], full=True)
    assert (result.unchanged, result.new, result.changed) == (2, 0, 0)
    moment.advance(hours=25)
    result = sync(store, [order(status="gone", meaning="cancelled"), order("2", user_id=None, guest="abc")], full=True)
    assert (result.unchanged, result.changed, result.cancelled) == (1, 1, 1)
    newest = {row["order_id"]: row for row in rows(store)}
    assert (newest["1"]["revision"], newest["1"]["user_id"]) == (1, "7")
    assert newest["2"]["anonymous_id"].startswith("key:")
    assert store.key_ids(**retain) == 0


def test_nobody_finds_a_customer_by_the_hash_of_an_old_order(moment, store):
    sync(store, [order()])
    (plain,) = rows(store)
    store.key_ids(key=lake_keys()[0], older_than=START + timedelta(days=1), types=["purchase"])
    (kept,) = rows(store)
    # Whoever tries all users meets the plain hash at 7, and must not recognise it.
    assert json.loads(plain["data"])["content"] not in kept["data"]
    assert sync(store, [order()], full=True).unchanged == 1


def test_a_vanished_order_with_keyed_ids_is_cancelled_once(moment, store):
    sync(store, [order(), order("2")])
    store.key_ids(key=lake_keys()[0], older_than=START + timedelta(days=1), types=["purchase"])
    moment.advance(hours=1)
    assert sync(store, [order("2")]).vanished == 1
    assert sync(store, [order("2")]).vanished == 0
    newest = {row["order_id"]: row for row in rows(store)}
    assert json.loads(newest["1"]["data"])["meaning"] == "cancelled"
    assert newest["1"]["user_id"] == newest["2"]["user_id"]
    assert sync(store, [order(), order("2")]).changed == 1
    assert {row["user_id"] for row in rows(store)} == {"7", newest["2"]["user_id"]}


def test_a_cancelled_order_says_so(moment, store):
    sync(store, [order()])
    result = sync(store, [order(status="cancelled", meaning="cancelled")])
    (row,) = rows(store)
    assert (result.changed, result.cancelled) == (1, 1)
    assert json.loads(row["data"])["meaning"] == "cancelled"
    assert rows(store, "refund") == []


def test_a_refund_is_an_event_of_its_own_at_the_time_of_the_change(moment, store):
    sync(store, [order()])
    changed = START + timedelta(hours=5)
    moment.advance(hours=6)
    result = sync(store, [order(meaning="refunded", updated=changed)])
    (refund,) = rows(store, "refund")
    assert result.refunded == 1
    assert (refund["event_id"], refund["event_time"], refund["order_id"]) == (refund_id("default", "1"), changed, "1")
    assert json.loads(rows(store)[0]["data"])["meaning"] == "refunded"
    assert sync(store, [order(meaning="refunded", updated=changed)]).unchanged == 1
    assert len(rows(store, "refund")) == 1


def test_a_refund_taken_back_is_a_revision_of_the_refund(moment, store):
    sync(store, [order()])
    sync(store, [order(meaning="refunded")])
    sync(store, [order()])
    (refund,) = rows(store, "refund")
    assert json.loads(refund["data"])["meaning"] == "cancelled"
    assert json.loads(rows(store)[0]["data"])["meaning"] == "purchase"


def test_an_order_whose_lines_come_later_is_met_again(moment, store):
    assert sync(store, [order(items=())]).empty == 1
    assert rows(store) == []
    moment.advance(hours=3)
    later = [order(), order("2", START + timedelta(hours=3))]
    assert sync(store, later).new == 2


def test_an_unpaid_order_waits_until_it_is_paid(moment, store):
    assert sync(store, [order(meaning="pending")]).pending == 1
    assert rows(store) == []
    assert sync(store, [order()]).new == 1


def test_only_recent_orders_are_read_again(moment, store):
    orders = [order("old", START - timedelta(days=30)), order("new", START)]
    moment.advance(hours=1)
    assert sync(store, orders).read == 2
    assert sync(store, orders).read == 1
    changed = [order("old", START - timedelta(days=30), meaning="cancelled", updated=START), orders[1]]
    result = sync(store, changed)
    assert (result.read, result.changed) == (2, 1)


def test_the_watermark_never_passes_the_beginning_of_the_run(moment, store):
    result = sync(store, [order(when=START + timedelta(days=400))])
    assert result.watermark == START


def test_an_order_that_vanished_is_cancelled_once(moment, store):
    kept = order("kept", START + timedelta(hours=1))
    moment.advance(hours=2)
    sync(store, [order("gone"), kept])
    result = sync(store, [kept])
    assert result.vanished == 1
    gone = next(row for row in rows(store) if row["order_id"] == "gone")
    assert (gone["revision"], json.loads(gone["data"])["meaning"]) == (1, "cancelled")
    assert sync(store, [kept]).vanished == 0
    assert sync(store, [order("gone"), kept]).changed == 1  # and back again
    assert json.loads(next(r for r in rows(store) if r["order_id"] == "gone")["data"])["meaning"] == "purchase"


def test_a_killed_first_run_goes_on_where_it_stopped(moment, store):
    orders = [order(str(n), START - timedelta(days=100 - n)) for n in range(10)]

    class Killed(Exception):
        pass

    def kill(done, reached):
        if done == 6:
            raise Killed

    with pytest.raises(Killed):
        sync(store, orders, chunk=2, progress=kill)
    assert store.stats()["rows"] == 6
    result = sync(store, orders, chunk=2)
    assert (result.read, result.new, result.full) == (5, 4, True)
    assert store.stats()["rows"] == 10
    assert SyncState.objects.get().watermark == orders[-1].when


def test_a_conflict_with_another_committer_starts_over(moment, store):
    class Busy(MemoryEventStore):
        refusals = 3

        def commit(self, snapshot, positions, rows):
            if self.refusals:
                self.refusals -= 1
                raise CommitConflict("busy")
            return super().commit(snapshot, positions, rows)

    busy = Busy()
    assert sync(busy, [order()]).new == 1
    assert busy.stats()["rows"] == 1


def test_two_syncs_at_once_write_an_order_once(moment, store):
    class Raced(MemoryEventStore):
        raced = False

        def snapshot(self):
            taken = super().snapshot()
            if not self.raced:
                self.raced = True
                sync_orders(catalogue=MemoryCatalogue(orders=[order()]), store=self)
            return taken

    raced = Raced()
    result = sync(raced, [order()])
    assert (result.new, result.unchanged, raced.stats()["rows"]) == (0, 1, 1)


class TestCommand:
    @pytest.fixture(autouse=True)
    def adapters(self, store):
        build.override(event_store=store)
        yield
        build.reset()

    def test_it_reads_the_shop_s_own_tables(self, store, capsys):
        from tests.shop import models as shop

        product = shop.Product.objects.create(name="cup")
        placed = shop.Order.objects.create(number="A1", email=" Ann@Example.com ", created_at=START)
        shop.OrderItem.objects.create(order=placed, product=product, quantity=2, unit_price="4.20")
        call_command("ml_sync")
        (row,) = rows(store)
        assert row["items"][0]["product_id"] == str(product.pk)
        assert row["anonymous_id"].startswith("guest:")
        assert "ann" not in json.dumps(row, default=str).casefold()
        assert "1 orders read (all): 1 new" in capsys.readouterr().out
        shop.Order.objects.update(status="refunded")
        call_command("ml_sync", "--full", "--json")
        assert json.loads(capsys.readouterr().out)["refunded"] == 1

    def test_without_orders_it_says_what_to_do(self):
        build.override(catalogue=DjangoCatalogue({}))
        with pytest.raises(CommandError, match="ml_init"):
            call_command("ml_sync")

    def test_switched_off_it_does_nothing(self, settings):
        settings.ML_ENABLED = False
        with pytest.raises(CommandError, match="ML_ENABLED"):
            call_command("ml_sync")


def test_the_same_on_a_delta_lake(moment, tmp_path):
    from ml_models.adapters.event_store import DeltaEventStore

    lake = DeltaEventStore(str(tmp_path / "lake"), {})
    assert sync(lake, [order(), order("2", START - timedelta(days=40))]).new == 2
    assert sync(lake, [order(), order("2", START - timedelta(days=40))], full=True).unchanged == 2
    assert sync(lake, [order(meaning="refunded", updated=START)]).refunded == 1
    purchases = {row["order_id"]: row for row in rows(lake)}
    assert (purchases["1"]["revision"], purchases["2"]["revision"]) == (1, 0)
    assert len(rows(lake, "refund")) == 1


def test_an_order_of_the_future_waits_for_its_day(moment, store):
    orders = [order("now"), order("mistyped", START + timedelta(days=400))]
    done = sync(store, orders)
    assert (done.read, done.new, done.future) == (2, 1, 1)
    assert "1 dated in the future" in str(done)
    assert [row["order_id"] for row in rows(store)] == ["now"]
    moment.advance(days=400)
    done = sync(store, orders)
    assert (done.new, done.future) == (1, 0)
    assert {row["order_id"] for row in rows(store)} == {"now", "mistyped"}


class TestAnEditedDate:
    """A revision elsewhere in time: the order stays one purchase, at its new date."""

    OLD = START - timedelta(days=200)

    def check(self, store, when, revision):
        (row,) = rows(store)
        assert (row["event_time"], row["revision"]) == (when, revision)
        assert store.scan(event_types=["purchase"], end=when).collect().height == 0

    def test_to_today(self, moment, store):
        sync(store, [order(when=self.OLD)])
        moment.advance(hours=1)
        assert sync(store, [order(when=START)], full=True).changed == 1
        self.check(store, START, 1)
        assert sync(store, [order(when=START)], full=True).unchanged == 1

    def test_to_long_ago_where_the_change_is_told_by_updated(self, moment, store):
        sync(store, [order()])
        moment.advance(hours=1)
        result = sync(store, [order(when=self.OLD, updated=START + timedelta(minutes=30))])
        assert (result.changed, result.vanished) == (1, 0)
        self.check(store, self.OLD, 1)

    def test_to_long_ago_where_nothing_tells_of_it(self, moment, store):
        """It is no longer among the recent orders, and not gone either."""
        sync(store, [order()])
        moment.advance(hours=1)
        result = sync(store, [order(when=self.OLD)])
        assert (result.changed, result.vanished) == (1, 0)
        self.check(store, self.OLD, 1)
        assert json.loads(rows(store)[0]["data"])["meaning"] == "purchase"

    def test_on_a_delta_lake(self, moment, tmp_path):
        from ml_models.adapters.event_store import DeltaEventStore

        lake = DeltaEventStore(str(tmp_path / "lake"), {})
        sync(lake, [order(when=self.OLD), order("2")])
        assert sync(lake, [order(when=START), order("2")], full=True).changed == 1
        assert {row["order_id"]: row["event_time"] for row in rows(lake)} == {"1": START, "2": START}


def test_product_ids_that_no_column_takes_are_left_out(moment, store, caplog):
    long, longest = "x" * (MAX_ID + 1), "y" * MAX_ID
    items = (OrderItem(product_id=long), OrderItem(product_id=longest, variant_id=long))
    result = sync(store, [order(items=items), order("2", items=items[:1])])
    (row,) = rows(store)
    assert (result.new, result.refused, result.empty) == (1, 2, 0)
    assert [(item["product_id"], item["variant_id"]) for item in row["items"]] == [(longest, None)]
    assert f"more than {MAX_ID} characters" in caplog.text
    assert f"2 with product ids longer than {MAX_ID} characters" in str(result)


def test_without_a_mapping_nothing_is_taken_for_gone(moment, store):
    sync(store, [order()])
    moment.advance(hours=1)
    result = sync_orders(catalogue=DjangoCatalogue({}), store=store)
    assert (result.read, result.vanished) == (0, 0)
    assert json.loads(rows(store)[0]["data"])["meaning"] == "purchase"
