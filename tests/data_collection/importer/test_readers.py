import gzip
import json

import polars as pl
import pytest

from ml_models.data_collection.importer import readers
from ml_models.data_collection.importer.readers import ImportFileError, detect_format, read_batches


def rows(path, columns=("a", "b"), **options):
    """(line, values) of every row, and (line, reason) of the bad ones."""
    options.setdefault("format", "csv")
    good, bad = [], []
    for batch in read_batches(path, columns, **options):
        good += list(zip(batch.lines, batch.frame.rows(), strict=True))
        bad += [(row.line, row.reason) for row in batch.bad]
    return good, bad


def test_lines_and_fields(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n6,7,8\n\n9,\n")
    assert rows(path) == (
        [(2, ("1", "2")), (4, ("4", "5")), (7, ("9", ""))],
        [(3, "wrong_number_of_fields"), (5, "wrong_number_of_fields")],
    )


def test_a_quoted_line_break_keeps_the_line_numbers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n"1\nx",2\n3,"4,""5"""\n6\n7,8\n')
    assert rows(path) == (
        [(2, ("1\nx", "2")), (4, ("3", '4,"5"')), (6, ("7", "8"))],
        [(5, "wrong_number_of_fields")],
    )


@pytest.mark.parametrize("block", [16, 40, 8 << 20])
def test_both_ways_of_reading_give_the_same(tmp_path, monkeypatch, block):
    """Plain blocks go by Polars, others line by line: wherever the blocks end, the rows are the same."""
    monkeypatch.setattr(readers, "_BLOCK", block)
    lines = [f"{number},v{number}" for number in range(50)]
    lines[20], lines[35] = "20", '35,"v,35"'
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "\n".join(lines) + "\n")
    good, bad = rows(path, batch_rows=7)
    expected = [(n + 2, (str(n), f"v{n}" if n != 35 else "v,35")) for n in range(50) if n != 20]
    assert good == expected
    assert bad == [(22, "wrong_number_of_fields")]


def test_an_unclosed_quote_does_not_swallow_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_MAX_LINE", 1000)
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"2\n' + "x,y\n" * 2000)
    good, bad = rows(path)
    assert "unreadable_line" in {reason for _, reason in bad}
    assert len(good) > 1000


def test_gzip_bom_semicolons_and_columns_in_any_order(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress("\ufeffb; a;c\n1;2;3\n".encode()))
    assert rows(path) == ([(2, ("2", "1"))], [])


def test_windows_line_ends_and_another_encoding(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("a,b\r\nMünchen,1\r\n".encode("latin-1"))
    assert rows(path, encoding="latin-1") == ([(2, ("München", "1"))], [])
    assert rows(path)[0] == [(2, ("M\ufffdnchen", "1"))]


def test_tabs_and_runs_of_blanks(tmp_path):
    tabs = tmp_path / "x.tsv"
    tabs.write_text("a\tb\n1,5\t2\n")
    assert rows(tabs, format="tsv") == ([(2, ("1,5", "2"))], [])
    blanks = tmp_path / "x.txt"
    blanks.write_text(" 00001 19970101  1\n 00002 19970112\n")
    assert rows(blanks, ("user", "day"), format="columns", header=("user", "day", "n")) == (
        [(1, ("00001", "19970101"))],
        [(2, "wrong_number_of_fields")],
    )


def test_json_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    values = [{"a": 1, "b": {"c": "x"}}, {"b.c": True}, [1], {"a": {"b": 1}}]
    path.write_text("\n".join(map(json.dumps, values)) + "\n{broken\n")
    assert rows(path, ("a", "b.c"), format="jsonl") == (
        [(1, ("1", "x")), (2, (None, "true"))],
        [(3, "not_a_json_object"), (4, "not_a_scalar"), (5, "not_json")],
    )
    with pytest.raises(ImportFileError, match="no line has the key 'nowhere'"):
        rows(path, ("a", "nowhere"), format="jsonl")


def test_sequences(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("u1 a b\n\nu2\nu3 c\n")
    assert rows(path, ("user", "item", "position"), format="sequence") == (
        [(1, ("u1", "a", "0")), (1, ("u1", "b", "1")), (4, ("u3", "c", "0"))],
        [(3, "wrong_number_of_fields")],
    )


def test_parquet_in_batches(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": range(10), "b": list("abcdefghij"), "unused": 1.5}).write_parquet(path)
    good, _ = rows(path, format="parquet", batch_rows=4)
    assert good == [(n + 1, (n, "abcdefghij"[n])) for n in range(10)]


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(ImportFileError, match="no such file"):
        rows(tmp_path / "nowhere.csv")
    path = tmp_path / "x.csv"
    path.write_text("a,c\n1,2\n")
    with pytest.raises(ImportFileError, match=r"has no column 'b'; it has 'a', 'c'"):
        rows(path)
    short = tmp_path / "x.csv.gz"
    short.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 5000)[:-20])
    with pytest.raises(ImportFileError, match="damaged or cut short"):
        rows(short)
    torn = tmp_path / "x.parquet"
    torn.write_bytes(b"PAR1 nothing")
    with pytest.raises(ImportFileError, match="no readable Parquet"):
        rows(torn, format="parquet")
    assert [detect_format(tmp_path / name) for name in ("a.CSV", "b.tsv.gz", "c.ndjson", "d.parquet")] == [
        "csv",
        "tsv",
        "jsonl",
        "parquet",
    ]
    with pytest.raises(ImportFileError, match="--format"):
        detect_format(tmp_path / "x.dat")
