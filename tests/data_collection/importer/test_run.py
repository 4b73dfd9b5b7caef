import json
import random
from collections import Counter
from datetime import UTC, datetime

import polars as pl
import pytest

from ml_models.adapters import build
from ml_models.core.errors import CommitConflict, MLError
from ml_models.core.event import EventType
from ml_models.data_collection.importer import run as module
from ml_models.data_collection.importer.readers import ImportFileError
from ml_models.data_collection.importer.spill import Spill

ROWS = [
    [f"u{n % 7}", f"p{n % 11}", f"2024-03-{1 + n % 20:02d} 12:{n % 60:02d}:00", 1 + n % 3, "9.99"] for n in range(600)
]
ROWS += ROWS[:50]  # equal lines that are genuine


@pytest.fixture
def small_commits(monkeypatch):
    """Commits of about 50 rows, so that an import takes several."""
    monkeypatch.setattr(module, "Spill", lambda folder: Spill(folder, unit_rows=50, buffer_rows=100))


def held(lake):
    return lake.scan().collect()


def test_every_row_once_and_as_it_should_be(lake, write, purchases, run):
    path = write("a.csv", ROWS)
    result = run(purchases, path, source="till")
    rows = held(lake)
    assert (result.rows, result.events, result.written, result.present) == (650, 650, 650, 0)
    assert rows.height == rows["event_id"].n_unique() == 650
    moment = datetime(2024, 3, 2, 11, 1, tzinfo=UTC)  # 12:01 in Berlin, winter
    first = rows.filter((pl.col("user_id") == "u1") & (pl.col("event_time") == moment)).row(0, named=True)
    assert first["event_type"] == EventType.PURCHASE
    assert first["product_id"] == "p1"
    assert (first["quantity"], first["unit_price"], first["currency"]) == (2, 999, "EUR")
    assert (first["source"], first["site"], first["is_bot"], first["revision"]) == ("import", "default", False, 0)


def test_twice_adds_nothing(lake, write, purchases, run):
    path = write("a.csv", ROWS)
    run(purchases, path)
    assert run(purchases, path).done_before
    again = run(purchases, path, again=True)
    assert (again.written, again.present, again.done_before) == (0, 650, False)
    assert held(lake).height == 650


def test_another_export_of_the_same_data_adds_nothing(lake, write, tmp_path, purchases, run):
    run(purchases, write("a.csv", ROWS))
    shuffled = list(ROWS)
    random.Random(1).shuffle(shuffled)
    turned = [row[::-1] for row in shuffled]
    packed = write("b.csv.gz", turned, ("price", "pieces", "when", "sku", "customer"), ";")
    assert run(purchases, packed).written == 0
    table = pl.read_csv(tmp_path / "a.csv", try_parse_dates=True)
    assert table.schema["when"] == pl.Datetime("us")
    table.sample(fraction=1.0, shuffle=True, seed=2).write_parquet(tmp_path / "c.parquet")
    assert run(purchases, tmp_path / "c.parquet", format="parquet").written == 0
    assert held(lake).height == 650


def test_one_more_equal_line_is_one_more_event(lake, write, purchases, run):
    run(purchases, write("a.csv", ROWS))
    assert run(purchases, write("b.csv", [*ROWS, ROWS[0]])).written == 1
    assert run(purchases, write("c.csv", [*ROWS, ROWS[0]]), source="another shop").written == 651


def test_files_given_together_are_one_export(lake, write, purchases, run):
    one, two = write("a.csv", ROWS[:300]), write("b.csv", [*ROWS[300:], ROWS[0]])
    assert run(purchases, one, two).written == 651


@pytest.mark.parametrize("commits", [0, 1, 4])
def test_killed_and_started_again(lake, write, purchases, run, small_commits, monkeypatch, commits):
    """What stops after any number of commits goes on there, and in the end each row is in the lake once."""
    path = write("a.csv", [*ROWS, ["u1", "p1", "never", 1, "1"]])
    whole = module.commit_rows
    done = []

    def dying(store, rows, positions):
        if len(done) == commits:
            raise KeyboardInterrupt
        done.append(rows.height)
        return whole(store, rows, positions)

    monkeypatch.setattr(module, "commit_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        run(purchases, path)
    assert held(lake).height == sum(done)
    asked = []
    monkeypatch.setattr(
        module, "commit_rows", lambda store, rows, positions: asked.append(rows) or whole(store, rows, positions)
    )
    result = run(purchases, path)
    assert result.resumed is (commits > 0)
    assert sum(rows.height for rows in asked) == 650 - sum(done)  # what was committed is not even tried again
    assert held(lake)["event_id"].n_unique() == held(lake).height == 650
    assert Counter(letter.reason for letter in build.get_dead_letters()) == {"bad_time": 1}
    assert run(purchases, path).done_before


def test_two_at_once_on_one_lake(lake, write, purchases, run, small_commits, monkeypatch):
    """Another writer between snapshot and commit: the batch is tried again from a new snapshot."""
    commit, rivals = type(lake).commit, []

    def contested(self, snapshot, positions, rows):
        if len(rivals) < 3:
            rivals.append(1)
            commit(self, self.snapshot(), {f"rival-{len(rivals)}": 1}, rows.clear())
            with pytest.raises(CommitConflict):
                commit(self, snapshot, positions, rows)
            raise CommitConflict("another was faster")
        return commit(self, snapshot, positions, rows)

    monkeypatch.setattr(type(lake), "commit", contested)
    assert run(purchases, write("a.csv", ROWS)).written == 650
    assert len(rivals) == 3


def test_one_busy_day_is_cut_by_content_and_equal_rows_stay_together(lake, write, purchases, run, small_commits):
    day = [[f"u{n % 40}", "p1", "2024-03-01 12:00:00", 1, "1"] for n in range(1000)]
    random.Random(3).shuffle(day)
    assert run(purchases, write("a.csv", day)).written == 1000
    random.Random(4).shuffle(day)
    assert run(purchases, write("b.csv", day)).written == 0


def test_a_dead_letter_holds_mapped_columns_only(lake, purchases, run, tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"customer": "u1", "sku": "p1", "when": "soon", "pieces": 1, "price": "1", "email": "eve@example.com"}
    path.write_text("\n".join([json.dumps(row), json.dumps({**row, "sku": ["eve@example.com"]}), "eve@example.com"]))
    result = run(purchases, path, format="jsonl")
    assert sum(result.bad.values()) == 3
    letters = list(build.get_dead_letters())
    assert len(letters) == 3
    assert not any("eve@" in letter.payload for letter in letters)
    assert [letter.path for letter in letters if "[email]" in letter.payload] == ["a.jsonl:2"]


def test_bad_rows_become_dead_letters_with_line_and_reason(lake, write, purchases, run):
    bad = [["u1", "p1", "soon", 1, "1"], ["", "p1", "2024-03-01", 1, "1"], ["u1", "p1", "2024-03-01", 1]]
    path = write("a.csv", [*ROWS[:3], *bad, *ROWS[3:5]])
    result = run(purchases, path)
    assert result.bad == {"bad_time": 1, "missing_visitor": 1, "wrong_number_of_fields": 1}
    assert (result.rows, result.events) == (8, 5)
    letters = {letter.path: letter for letter in build.get_dead_letters()}
    assert {path: letter.reason for path, letter in letters.items()} == {
        "a.csv:5": "bad_time",
        "a.csv:6": "missing_visitor",
        "a.csv:7": "wrong_number_of_fields",
    }
    assert '"when": "soon"' in letters["a.csv:5"].payload
    assert letters["a.csv:7"].payload == "null"
    assert letters["a.csv:5"].kind == "row"
    run(purchases, path, again=True)
    assert build.get_dead_letters().stats()["letters"] == 3


def test_a_dry_run_writes_nothing(lake, write, purchases, run, tmp_path):
    result = run(purchases, write("a.csv", [*ROWS, ["", "", "", "", ""]]), dry_run=True)
    assert (result.events, result.written, result.bad) == (650, 0, {"missing_time": 1})
    assert len(result.sample) == 5
    assert held(lake).height == build.get_dead_letters().stats()["letters"] == 0
    assert not list((tmp_path / "ml" / "import").iterdir())


def test_a_damaged_file_adds_nothing(lake, write, purchases, run):
    path = write("a.csv.gz", ROWS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImportFileError, match="damaged or cut short"):
        run(purchases, path)
    assert held(lake).height == 0
    with pytest.raises(ImportFileError, match="no such file"):
        run(purchases, path.with_name("nowhere.csv"))


def test_what_a_killed_import_left_on_disk_is_removed(lake, write, purchases, run, tmp_path):
    left = tmp_path / "ml" / "import" / "abc"
    left.mkdir(parents=True)
    (left / "000-00000.parquet").write_bytes(b"x")
    left.with_suffix(".lock").touch()
    run(purchases, write("a.csv", ROWS[:5]))
    assert not list((tmp_path / "ml" / "import").iterdir())


def test_the_same_import_does_not_run_twice_at_once(lake, write, purchases, run, monkeypatch):
    path = write("a.csv", ROWS[:5])
    whole, tried = module.commit_rows, []

    def second(store, rows, positions):
        with pytest.raises(MLError, match="running already"):
            run(purchases, path)
        tried.append(1)
        return whole(store, rows, positions)

    monkeypatch.setattr(module, "commit_rows", second)
    assert run(purchases, path).written == 5
    assert tried == [1]


@pytest.mark.parametrize(
    "catalog", [{"product": {"variants": {"path": "variants[]", "id": "id"}}}, {"preset": "oscar"}]
)
def test_variants_become_their_product(lake, write, purchases, run, monkeypatch, catalog):
    class Shop:
        def canonical(self, ids):
            return {name: "parent" if name == "p1" else name for name in ids}

    monkeypatch.setattr(
        module,
        "get_settings",
        lambda: type("S", (), {"catalog": catalog, "site": "s", "storage": build.get_settings().storage}),
    )
    monkeypatch.setattr(module, "get_catalogue", lambda: Shop())
    run(purchases, write("a.csv", [["u", "p1", "2024-03-01", 1, "1"], ["u", "p2", "2024-03-01", 1, "1"]]))
    assert sorted(held(lake).select("product_id", "variant_id").rows()) == [("p2", None), ("parent", "p1")]
