"""`manage.py ml_forget` and `ml_export_person`."""

import json
import stat
import zipfile
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import models

from ml_models.adapters import build
from ml_models.adapters.build import get_dead_letters, get_event_store, get_online_store, get_spool
from ml_models.core.event import EventItem, encode_event
from ml_models.core.query import Interaction
from ml_models.data_collection.user_profile import collect_profiles
from ml_models.management.person import person_of
from ml_models.testing.event_store import DAY, ids, make_event, put

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data(tmp_path, settings):
    settings.ML_STORAGE = {"data": str(tmp_path / "data")}
    build.reset()
    items = [EventItem(product_id="p1", quantity=2)]
    put(
        get_event_store(),
        [
            make_event("view", user_id="7", anonymous_id="d", page_url="=cmd()", data={"tab": 2}),
            make_event("order", event_type="purchase", source="sync", user_id="7", items=items),
            make_event("other", user_id="8"),
        ],
    )
    collect_profiles()
    get_online_store().record("u:7", [Interaction("p1", "product_view", DAY)])
    get_dead_letters().write("bad", "x", b'{"user_id": "7"}')
    get_spool().append([encode_event(make_event("waiting", user_id="7"))])
    yield tmp_path
    build.reset()


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_counts_and_changes_nothing(data):
    text = run("ml_forget", "--user", "7", "--dry-run")
    assert "found: 2 events in the lake" in text
    assert "found: 1 dead letters" in text
    assert ids(get_event_store().scan()) == ["order", "other", "view"]


def test_erases_and_leaves_a_receipt_that_names_nobody(data):
    path = data / "receipt.json"
    text = run("ml_forget", "--user", "7", "--yes", "--json", str(path))
    assert "erased: 1 events in the lake" in text
    assert "erased: 1 purchases and refunds put under pseudonyms" in text
    assert "kept: 1 rows of purchases and refunds under pseudonyms" in text
    assert "second search: nothing found" in text
    receipt = json.loads(path.read_text())
    assert receipt["complete"] is True
    assert receipt["remaining"]["lake"] == 0
    assert receipt["person"] == {"users": 1, "visitors": 1, "shared_devices": 0, "emails": 0}
    assert ids(get_event_store().scan()) == ["order", "other"]


def test_asks_and_takes_only_yes(data, monkeypatch):
    for answer in ("", "y", "no"):
        monkeypatch.setattr("builtins.input", lambda text, answer=answer: answer)
        with pytest.raises(CommandError, match="Nothing was erased"):
            run("ml_forget", "--user", "7")
    assert ids(get_event_store().scan()) == ["order", "other", "view"]
    monkeypatch.setattr("builtins.input", lambda text: "yes")
    assert "found: 2 events in the lake" in run("ml_forget", "--user", "7", "--orders", "delete")
    assert ids(get_event_store().scan()) == ["other"]


def test_nobody_to_ask(data, monkeypatch):
    def nobody(text):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(CommandError, match="Add --yes"):
        run("ml_forget", "--user", "7")


def test_what_is_still_found_is_an_error(data, monkeypatch):
    monkeypatch.setattr(type(get_online_store()), "forget", lambda self, visitor: None)
    with pytest.raises(CommandError, match="still found 1 recent interactions"):
        run("ml_forget", "--user", "7", "--yes")


def test_works_where_the_app_is_switched_off(data, settings):
    settings.ML_ENABLED = False
    assert "nothing found" in run("ml_forget", "--user", "7", "--yes")


def test_nothing_found_is_said_and_a_second_run_is_fine(data):
    errors = StringIO()
    call_command("ml_forget", "--user", "nobody", "--yes", stdout=StringIO(), stderr=errors)
    assert "Nothing was found. Check that the person is named as the shop stores the ids" in errors.getvalue()
    run("ml_forget", "--user", "7", "--yes")
    call_command("ml_forget", "--user", "7", "--yes", stdout=StringIO(), stderr=errors)
    assert "this person was forgotten on" in errors.getvalue()


@pytest.mark.parametrize(
    ("field", "given", "sought"),
    [
        (models.UUIDField(), "0195C1D2-AAAA-7BBB-8CCC-1234567890AB", "0195c1d2-aaaa-7bbb-8ccc-1234567890ab"),
        (models.BigAutoField(), " 07", "7"),
        (models.BigAutoField(), "imported-1", None),
    ],
)
def test_an_id_is_sought_as_the_user_model_writes_it_too(monkeypatch, field, given, sought):
    monkeypatch.setattr(get_user_model()._meta, "pk", field)
    users = person_of({"user": [given], "visitor": [], "email": []}).users
    assert users == ((given,) if sought is None else (given, sought))


@pytest.mark.parametrize("command", ["ml_forget", "ml_export_person"])
def test_somebody_has_to_be_named(command):
    with pytest.raises(CommandError, match="Name the person"):
        run(command)


def test_everything_held_is_told(data):
    export = json.loads(run("ml_export_person", "--user", "7"))
    entries = {name: part["entries"] for name, part in export["parts"].items()}
    view, order = sorted(entries["events"], key=lambda one: one["event_type"])
    assert (view["event_id"], view["data"], view["page_url"]) == ("view", {"tab": 2}, "=cmd()")
    assert view["event_time"].startswith("2025-03-10T00:00:00")
    assert order["items"][0]["product_id"] == "p1"
    assert [one["event_id"] for one in entries["spool"]] == ["waiting"]
    assert entries["dead_letters"][0]["payload"] == '{"user_id": "7"}'
    assert [one["product_id"] for one in entries["online_store"]] == ["p1"]
    assert [one["visitor"] for one in entries["profiles"]] == ["u:7"]
    assert all(part["about"].endswith(".") for part in export["parts"].values())
    assert "7" in export["found_by"]["users"]
    assert "other" not in json.dumps(entries["events"])


def test_a_file_is_for_its_owner_only(data):
    path = data / "ann.json"
    assert "events: 2" in run("ml_export_person", "--user", "7", "--output", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(json.loads(path.read_text())["parts"]["events"]["entries"]) == 2


def test_an_archive_explains_itself_and_starts_no_formula(data):
    path = data / "ann.zip"
    run("ml_export_person", "--user", "7", "--output", str(path))
    with zipfile.ZipFile(path) as archive:
        readme = archive.read("README.txt").decode()
        lines = archive.read("events.jsonl").decode().splitlines()
        table = archive.read("events.csv").decode()
    assert "events: 2 entries" in readme
    assert {json.loads(line)["event_id"] for line in lines} == {"view", "order"}
    assert ",'=cmd()," in table


@pytest.mark.parametrize(("name", "said"), [("ann.txt", "ends neither in"), ("none/ann.json", "cannot be written")])
def test_a_wrong_file_is_said(data, name, said):
    with pytest.raises(CommandError, match=said):
        run("ml_export_person", "--user", "7", "--output", str(data / name))
