"""A person is forgotten in every place; everybody else stays."""

from datetime import timedelta

import polars as pl
import pytest

from ml_models.adapters import build
from ml_models.adapters.build import get_dead_letters, get_event_store, get_online_store, get_spool, get_versions
from ml_models.adapters.catalogue.values import guest_key
from ml_models.adapters.lake_keys import lake_keys
from ml_models.adapters.versions import MemoryVersions
from ml_models.core import clock
from ml_models.core.errors import InvalidQuery, SpoolError
from ml_models.core.event import encode_event
from ml_models.core.keyed_ids import keyed_id
from ml_models.core.ports import VersionRecord
from ml_models.core.query import Interaction
from ml_models.core.traces import Span
from ml_models.data_collection import erase
from ml_models.data_collection.collector import identity_link
from ml_models.data_collection.erase import forget
from ml_models.data_collection.export import export_training_data
from ml_models.data_collection.outbox import put as put_into_outbox
from ml_models.data_collection.person import Person, spans_of, trace
from ml_models.data_collection.process import process_events
from ml_models.data_collection.user_profile import collect_profiles
from ml_models.orm import Erasure, OutboxEvent, UserProfile
from ml_models.testing.event_store import DAY, ids, make_event, put

pytestmark = pytest.mark.django_db

USER = Person(users=("needle-7",))
HOUR = timedelta(hours=1)
OTHERS = [
    "his order",
    *(f"other {name}" for name in ("committed", "first", "guest", "link", "order", "user", "waiting")),
]
"""Events that outlive the erasure of what `fill` makes."""


@pytest.fixture(autouse=True)
def data(tmp_path, settings):
    """The default stores in a folder of the test's own; the present is twenty days after `DAY`."""
    settings.ML_STORAGE = {"data": str(tmp_path)}
    build.reset()
    build.override(versions=MemoryVersions())
    with clock.use(clock.ManualClock(DAY + timedelta(days=20))):
        yield tmp_path
    build.reset()


def link(visitor, user, moment=DAY):
    return make_event(f"link-{visitor}-{user}", moment, event_type="identity_link", anonymous_id=visitor, user_id=user)


def bought(name, **fields):
    return make_event(name, event_type="purchase", source="sync", **fields)


def left():
    return ids(get_event_store().scan())


def raw(folder):
    """Every byte under the data folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill(data):
    """Something of two persons in every place."""
    store, spool = get_event_store(), get_spool()
    for name, who, device in (("his", "needle-7", "needle-device-0001"), ("other", "other-8", "other-device-00001")):
        view = {"page_view_id": f"{who}-view"}
        put(
            store,
            [
                make_event(f"{name} link", event_type="identity_link", anonymous_id=device, user_id=who),
                make_event(f"{name} guest", anonymous_id=device, **view),
                make_event(f"{name} first", source="middleware", **view),
                make_event(f"{name} user", DAY + HOUR, anonymous_id=device, user_id=who),
                bought(f"{name} order", user_id=who, query="a search"),
            ],
        )
        get_dead_letters().write("bad", "", b"{}", context={"user_id": who})
        get_dead_letters().write("bad", "", f'{{"x": "{device} {who}-long-enough"}}'.encode())
        for key in (f"u:{who}", f"a:{device}"):
            get_online_store().record(key, [Interaction("p1", "product_view", DAY)])
    collect_profiles()
    export_training_data()
    for name, who in (("his", "needle-7"), ("other", "other-8")):
        spool.append([encode_event(make_event(f"{name} committed", user_id=who))])
    process_events()
    for name, who in (("his", "needle-7"), ("other", "other-8")):
        spool.append([encode_event(make_event(f"{name} waiting", user_id=who))])


def test_every_place_is_emptied_and_the_other_person_stays(data):
    fill(data)
    found = forget(USER, dry_run=True).found
    assert found == {
        "lake": 6,
        "spool": 1,
        "dead_letters": 2,
        "exports": 1,
        "online_store": 2,
        "profiles": 1,
        "import_leftovers": 0,
        "old_files": 0,
        "outbox": 0,
    }
    assert forget(USER, dry_run=True).found == found  # nothing was changed
    receipt = forget(USER)
    assert receipt.complete
    assert not any(receipt.remaining.values())
    assert receipt.erased == {
        "lake": 5,
        "lake_keyed": 1,
        "spool": 1,
        "dead_letters": 2,
        "exports": 1,
        "online_store": 2,
        "profiles": 1,
        "import_leftovers": 0,
        "old_files": 2,
        "outbox": 0,
    }
    assert left() == OTHERS
    assert not [path for path, content in raw(data).items() if b"needle" in content and path.suffix != ".parquet"]
    assert {profile.visitor for profile in UserProfile.objects.all()} == {"u:other-8"}
    assert len(get_online_store().recent("u:other-8")) == len(get_online_store().recent("a:other-device-00001")) == 1
    assert [letter.context.get("user_id") for letter in get_dead_letters()] == ["other-8", None]


def test_orders_keep_pseudonyms_and_the_receipt_says_so(data):
    fill(data)
    receipt = forget(USER)
    order = get_event_store().scan().filter(pl.col("event_id") == "his order").collect().to_dicts()[0]
    assert order["user_id"] == keyed_id("needle-7", lake_keys()[0])
    assert order["query"] is None
    assert any("1 rows of purchases and refunds under pseudonyms" in text for text in receipt.kept)
    assert forget(USER, orders="delete").erased["lake"] == 1
    assert "his order" not in left()


def test_kept_orders_are_told(data):
    put(get_event_store(), [bought("order", user_id="needle-7")])
    receipt = forget(USER, orders="keep")
    assert receipt.complete
    assert any("with the person's id" in text for text in receipt.kept)
    assert left() == ["order"]


def test_exports_are_written_anew_without_the_person(data):
    fill(data)
    forget(USER)
    export_training_data()
    (path,) = (data / "exports").rglob("*.parquet")
    exported = pl.read_parquet(path)
    assert exported.filter(pl.col("user_id") == "needle-7").is_empty()
    assert exported.filter(pl.col("user_id") == "other-8").height > 0


def test_a_guest_is_found_by_his_address_under_any_key(settings, data):
    old = guest_key("Ann@example.com")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret of the shop, long enough for a test"
    build.override(versions=MemoryVersions())
    new = guest_key("ann@example.com ")
    put(get_event_store(), [bought("a", anonymous_id=f"guest:{old}"), bought("b", anonymous_id=f"guest:{new}")])
    put(get_event_store(), [bought("c", anonymous_id=f"guest:{guest_key('bob@example.com')}")])
    get_dead_letters().write("bad", "", b'{"note": "ann@EXAMPLE.com"}')
    receipt = forget(Person(emails=("ann@example.com",)), orders="delete")
    assert receipt.complete
    assert (receipt.erased["lake"], receipt.erased["dead_letters"]) == (2, 1)
    assert left() == ["c"]


def test_orders_that_retention_keyed_are_found(data):
    store = get_event_store()
    put(store, [bought("a", user_id="needle-7"), bought("b", user_id="8")])
    store.key_ids(key=lake_keys()[0], older_than=clock.now(), types=["purchase"])
    assert forget(USER).found["lake"] == 0
    assert forget(USER, orders="delete").erased["lake"] == 1
    assert left() == ["b"]


@pytest.mark.parametrize(("orders", "user"), [("key", "pseudonym"), ("keep", "needle-7"), ("delete", None)])
def test_an_order_in_the_outbox_fares_as_the_others(data, settings, orders, user):
    settings.ML_CATALOG = {}
    build.override(versions=MemoryVersions())
    with clock.use(clock.ManualClock(DAY)):
        put_into_outbox(make_event("x", event_type="purchase", source="outbox", order_id="1", user_id="needle-7"))
    receipt = forget(USER, orders=orders)
    assert receipt.complete
    assert receipt.erased["outbox"] == 1
    found = get_event_store().scan().filter(pl.col("event_type") == "purchase").collect()["user_id"].to_list()
    expected = {None: [], "pseudonym": [keyed_id("needle-7", lake_keys()[0])]}.get(user, [user])
    assert found == expected
    assert not OutboxEvent.objects.exists()


def test_late_events_of_before_are_dropped_and_later_ones_kept(data):
    forget(USER)
    get_spool().append(
        [
            encode_event(make_event("l", user_id="needle-7", session_id="needle-l", received_at=clock.now() + HOUR)),
            encode_event(make_event("new", clock.now() + HOUR, user_id="needle-7")),
        ]
    )
    get_online_store().record("u:needle-7", [Interaction("p1", "product_view", DAY)])  # as the late one did
    assert process_events().forgotten == 1
    assert left() == ["new"]
    assert get_online_store().recent("u:needle-7") == []
    assert not [path for path, content in raw(data).items() if b"needle-l" in content and path.suffix != ".parquet"]


def test_a_device_of_two_users_is_not_merged(data):
    events = [make_event(f"guest{hour}", DAY + hour * HOUR, anonymous_id="d") for hour in range(5)]
    events += [link("d", "needle-7", DAY + HOUR), link("d", "8", DAY + 3 * HOUR)]
    events += [make_event("his", DAY + 2 * HOUR, anonymous_id="d", user_id="8")]
    put(get_event_store(), events)
    assert trace(USER).spans == (Span("d", None, DAY + 2 * HOUR),)
    receipt = forget(USER)
    assert receipt.complete
    assert left() == ["guest2", "guest3", "guest4", "his", "link-d-8"]
    assert any("on a device shared" in text for text in receipt.kept)


def test_spans_alternate_with_who_is_logged_in():
    hours = [DAY + number * HOUR for number in range(5)]
    who = ["7", "8", "8", "7", "7"]
    bindings = list(zip(hours, who, strict=True))
    assert spans_of("d", bindings, {"7"}) == [Span("d", None, hours[1]), Span("d", hours[3], None)]
    assert spans_of("d", bindings, {"8"}) == [Span("d", hours[1], hours[3])]
    assert spans_of("d", bindings, {"7", "8"}) == []


def test_a_named_visitor_goes_with_every_row(data):
    put(get_event_store(), [make_event("a", anonymous_id="d", user_id="8"), make_event("b", user_id="8")])
    assert forget(Person(visitors=("d",))).complete
    assert left() == ["b"]


def test_models_trained_on_the_person_are_named(data):
    versions = get_versions()

    def version(name, start, end, status="ready"):
        window = {"start": (DAY + start * HOUR).isoformat(), "end": (DAY + end * HOUR).isoformat()}
        record = versions.create(VersionRecord(name=name, version=0, created_at=clock.now(), data=window))
        versions.update(name, record.version, status=status)

    version("ease", -5, 5)
    version("ease", 1, 5)
    version("item_knn", -5, 0)
    version("popular", -5, 5, status="failed")
    versions.promote("ease", 1, by="test", reason="")
    put(get_event_store(), [make_event("a", user_id="needle-7"), make_event("b", DAY + 9 * HOUR, user_id="8")])
    found = {(one["model"], one["version"]): one["serving"] for one in forget(USER).retrain}
    assert found == {("ease", 1): True, ("item_knn", 1): False}
    assert forget(USER).retrain == []


@pytest.mark.parametrize("point", ["close_the_ways", "empty_places", "erase_rows", "search_again"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_and_run_again_it_finishes(data, monkeypatch, point, after):
    fill(data)
    versions = get_versions()
    record = versions.create(VersionRecord(name="ease", version=0, created_at=clock.now()))
    versions.update("ease", record.version, status="ready")
    original = getattr(erase._Run, point)

    def killed(self):
        if after:
            original(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erase._Run, point, killed)
        with pytest.raises(KeyboardInterrupt):
            forget(USER)
    receipt = forget(USER)
    assert receipt.complete
    assert left() == OTHERS
    assert not [path for path, content in raw(data).items() if b"needle" in content and path.suffix != ".parquet"]
    assert get_online_store().recent("a:needle-device-0001") == []
    finished_before = point == "search_again" and after
    assert [one["model"] for one in receipt.retrain] == ([] if finished_before else ["ease"])
    assert not Erasure.objects.exclude(data={}).exists()


def test_killed_between_rows_and_links_the_device_is_still_known(data, monkeypatch):
    """The link from user to device is erased with the rows; the plan remembers the device."""
    fill(data)
    store = get_event_store()
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "purge", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            erase._Run(USER, store, erase.Receipt(clock.now(), "key")).erase_rows()
    assert trace(USER).visitors.isdisjoint({"needle-device-0001"})


def test_what_is_named_must_be_a_person():
    for wrong in ({}, {"users": ("",)}, {"users": ("key:" + "0" * 32,)}):
        with pytest.raises(InvalidQuery):
            Person(**wrong)
    with pytest.raises(InvalidQuery, match="is not one of"):
        forget(USER, orders="burn")


def test_a_link_that_waits_in_the_spool_is_followed(data):
    put(get_event_store(), [make_event("a", anonymous_id="d")])
    with clock.use(clock.ManualClock(DAY)):
        get_spool().append([encode_event(identity_link("d", "needle-7", "default"))])
    receipt = forget(USER)
    assert receipt.complete
    assert receipt.person["visitors"] == 1
    assert left() == []


def test_an_order_in_the_outbox_that_cannot_be_read_goes_too():
    OutboxEvent.objects.create(
        event_id="x", event_type="purchase", record=b'{"user_id": "needle-7", "event_type": 1}', created_at=DAY
    )
    OutboxEvent.objects.create(
        event_id="y", event_type="purchase", record=b'{"user_id": "other-8", "event_type": 1}', created_at=DAY
    )
    assert forget(USER, dry_run=True).found["outbox"] == 1
    receipt = forget(USER)
    assert receipt.complete
    assert receipt.erased["outbox"] == 1
    assert [row.event_id for row in OutboxEvent.objects.all()] == ["y"]
    assert list(get_dead_letters()) == []


def test_a_live_process_that_has_not_found_back_to_redis_is_searched_and_emptied(data, redis_url):
    from ml_models.adapters.spool_fallback import FallbackSpool
    from ml_models.adapters.spool_redis import RedisSpool

    def process():
        redis = RedisSpool(url=redis_url, site="erasing", timeout=10)
        return FallbackSpool(data / "spool", redis=redis, patience=3600, automatic=False)

    web, worker = process(), process()
    web._leave(SpoolError("Could not connect to Redis (a test)"))
    web.append([encode_event(make_event("his waiting", user_id="needle-7"))])
    build.override(spool=worker)
    assert forget(USER, dry_run=True).found["spool"] == 1
    assert worker.stats()["in_files"] == 1
    receipt = forget(USER)
    assert receipt.complete
    assert receipt.erased["spool"] == 1
    assert not [path for path in (data / "spool").rglob("*.seg") if b"needle" in path.read_bytes()]
    web.come_back()
    web.append([encode_event(make_event("after", clock.now() + HOUR, user_id="needle-7"))])
    process_events()
    assert left() == ["after"]
    web.close()


def test_where_nothing_is_found_it_is_said():
    first = forget(USER)
    assert first.complete
    assert first.nothing.startswith("Nothing was found. Check")
    again = forget(USER)
    assert again.complete
    assert again.nothing.startswith("Nothing is left to erase: this person was forgotten on 2025-")
