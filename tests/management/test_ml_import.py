import io
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from ml_models.adapters import build
from ml_models.adapters.catalogue.memory import MemoryCatalogue
from ml_models.core.event import purchase_id
from ml_models.core.ports import HistoryEvent, Order, OrderItem
from ml_models.data_collection.importer.history import history_id

pytestmark = pytest.mark.django_db  # what is forgotten stands in a table

WHEN = datetime(2024, 3, 1, 12, tzinfo=UTC)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)
MAP = ["--map", "user=customer,item=sku", "--map", "time=when"]


@pytest.fixture
def lake(settings, tmp_path):
    settings.ML_STORAGE = {"data": tmp_path / "ml"}
    build.reset()
    yield lambda: build.get_event_store().scan().sort("event_time", "event_id").collect()
    build.reset()


def run(*arguments):
    out = io.StringIO()
    call_command("ml_import", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def views(tmp_path):
    path = tmp_path / "views.csv"
    path.write_text("customer,sku,when\n1,p,2024-03-01 12:00\n1,p,2024-03-01 12:00\n2,q,soon\n")
    return path


def test_a_file(lake, views):
    text = run(views, "--type", "product_view", *MAP)
    assert "bad row: bad_time" in text
    assert "added to the lake" in text
    rows = lake()
    assert rows.height == 2
    assert rows["event_time"][0] == datetime(2024, 3, 1, 11, tzinfo=UTC)  # TIME_ZONE is Berlin
    assert "0 rows added" in run(views, "--type", "product_view", *MAP)
    text = run(views, "--type", "product_view", *MAP, "--timezone", "UTC", "--source", "other", "--dry-run")
    assert "nothing written" in text
    assert "event_time=2024-03-01 12:00:00+00:00" in text
    assert lake().height == 2


def test_what_is_missing_is_said(lake, views, tmp_path):
    for arguments, message in (
        ((), "Nothing to import"),
        ((views, *MAP), "--type"),
        ((views, "--type", "product_view", "--map", "user=client,item=sku,time=when"), "no column 'client'"),
        ((tmp_path, "--type", "product_view", *MAP), "is a folder"),
        ((tmp_path, "--preset", "online_retial"), "Did you mean online_retail"),
        ((tmp_path, "--preset", "cdnow"), "reads CDNOW_master.txt of a folder"),
    ):
        with pytest.raises(CommandError, match=message):
            run(*arguments)
    assert "retailrocket" in run("--preset", "list")


def test_interrupted(lake, views, monkeypatch):
    from ml_models.data_collection.importer import run as module

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "commit_rows", stop)
    with pytest.raises(CommandError, match="run the same command again") as raised:
        run(views, "--type", "product_view", *MAP)
    assert raised.value.returncode == 130


def test_switched_off(lake, views, settings):
    settings.ML_ENABLED = False
    with pytest.raises(CommandError, match="ML_ENABLED is False"):
        run(views, "--type", "product_view", *MAP)


def test_orders_have_the_ids_of_the_sync(lake):
    items = (OrderItem(product_id="p", quantity=2),)
    shop = MemoryCatalogue(orders=[Order(id="A1", when=WHEN, items=items, user_id="7")])
    build.override(catalogue=shop)
    assert "1 new" in run("--orders")
    run("--orders")
    assert lake()["event_id"].to_list() == [purchase_id("default", "A1")]


def test_history_of_the_shop(lake, settings):
    settings.ML_CATALOG = {**settings.ML_CATALOG, "history": [{"model": "shop.Order", "event": "product_view"}]}
    rows = [
        HistoryEvent(id="shop.View:1", event_type="product_view", when=WHEN, product_id="p", user_id="7"),
        HistoryEvent(id="shop.View:2", event_type="product_view", when=WHEN, product_id="p", session_id="s"),
        HistoryEvent(id="shop.View:3", event_type="product_view", when=WHEN, product_id="p", guest="hash"),
        HistoryEvent(id="shop.View:4", event_type="product_view", when=WHEN, product_id="p"),
        HistoryEvent(id="shop.View:5", event_type="product_view", when=WHEN, product_id="x" * 201, user_id="7"),
        HistoryEvent(id="shop.View:6", event_type="product_view", when=FUTURE, product_id="p", user_id="7"),
    ]
    build.override(catalogue=MemoryCatalogue(history=rows))
    text = run("--history")
    for reason in ("missing_visitor", "id_too_long", "future"):
        assert f"left out: {reason}" in text
    run("--history")
    held = {row["event_id"]: row for row in lake().to_dicts()}
    visitors = [
        (held[history_id("default", row.id)]["user_id"], held[history_id("default", row.id)]["anonymous_id"])
        for row in rows[:3]
    ]
    assert visitors == [("7", None), (None, "session:s"), (None, "guest:hash")]
    assert len(held) == 3
    assert {row["source"] for row in held.values()} == {"import"}


def test_without_history_it_says_how(lake):
    with pytest.raises(CommandError, match="ML_CATALOG"):
        run("--history")
