"""Read history files in batches: CSV, TSV, whitespace columns, JSON lines, Parquet and item sequences; gzip or plain.

Memory is bounded by the batch, not by the file. A line that cannot be taken apart becomes a `BadRow` with its line
number; everything else about a row is judged later, by `mapping`.
"""

from __future__ import annotations

import codecs
import csv
import gc
import gzip
import hashlib
import io
import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec
import polars as pl

from ml_models.core.errors import MLError

__all__ = ["BATCH", "FORMATS", "BadRow", "Batch", "ImportFileError", "detect_format", "digest", "read_batches"]

FORMATS = ("csv", "tsv", "columns", "jsonl", "parquet", "sequence")
BATCH = 100_000
"""Rows a batch holds at most."""

_EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_DELIMITERS = ",;\t|"
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 8 << 20
_MAX_LINE = 1 << 20
"""Longest line taken, in characters: an unclosed quote must not swallow the file."""


class ImportFileError(MLError):
    """A history file cannot be read at all."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot become an event."""

    line: int
    """Line in the text file (1 is the first), or row number for Parquet."""
    reason: str
    detail: str = ""
    raw: Any = None
    """The row as it stands in the file."""


@dataclass(slots=True)
class Batch:
    """Some rows of a file: `frame` has one row per entry of `lines`; text formats give strings only."""

    frame: pl.DataFrame
    lines: Sequence[int]
    raw: Callable[[int], Any]
    """Row as it stands in the file, by its index in the batch; valid until the next batch is asked for."""
    bad: list[BadRow] = field(default_factory=list)


def detect_format(path: Path) -> str:
    """Format by the extension, `.gz` looked through; raises `ImportFileError` for an unknown one."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    found = _EXTENSIONS.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise ImportFileError(
            f"{path.name}: the format cannot be told from the name. Say it with --format csv|tsv|jsonl|parquet."
        )
    return found


def digest(path: Path, advance: Callable[[int], None] | None = None) -> str:
    """SHA-256 of the file as it lies on disk, hexadecimal; `advance` is told the bytes read."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
            if advance:
                advance(len(chunk))
    return found.hexdigest()


def read_batches(
    path: Path,
    columns: Sequence[str],
    *,
    format: str,
    delimiter: str = "",
    encoding: str = "utf-8",
    header: Sequence[str] = (),
    advance: Callable[[int], None] | None = None,
    batch_rows: int = BATCH,
) -> Iterator[Batch]:
    """Yield the wanted columns of a file in batches.

    `header` names the columns of a file that has no header line. `advance` is told the bytes of the file consumed
    since it was last called. Raises `ImportFileError` when the file is missing, damaged or lacks a wanted column.
    """
    if not path.is_file():
        raise ImportFileError(f"{path}: there is no such file. Check the path.")
    if format not in FORMATS:
        raise ImportFileError(f"{format!r} is not a format. Use one of {', '.join(FORMATS)}.")
    if format == "parquet":
        yield from _parquet(path, columns, advance or _ignore, batch_rows)
        return
    with path.open("rb") as disk:
        packed = disk.read(2) == _GZIP_MAGIC
        disk.seek(0)
        stream: Any = gzip.GzipFile(fileobj=disk) if packed else disk
        buffered: io.BufferedReader[Any] = io.BufferedReader(stream, _BLOCK)
        done = 0
        try:
            if format in ("csv", "tsv"):
                delimiter = "\t" if format == "tsv" else delimiter
                batches = _csv(path, buffered, columns, delimiter, encoding, header, batch_rows)
            else:
                batches = _by_line(path, buffered, columns, format, encoding, header, batch_rows)
            for batch in batches:
                yield batch
                if advance:
                    position = disk.tell()
                    advance(position - done)
                    done = position
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ImportFileError(f"{path.name} is damaged or cut short ({error}). Copy or export it again.") from error


def _by_line(
    path: Path,
    stream: io.BufferedReader[Any],
    columns: Sequence[str],
    format: str,
    encoding: str,
    header: Sequence[str],
    batch_rows: int,
) -> Iterator[Batch]:
    with _text(stream, encoding) as text:
        if format == "jsonl":
            yield from _jsonl(path, text, columns, batch_rows)
        elif format == "sequence":
            yield from _sequence(text, columns, batch_rows)
        else:
            yield from _delimited(path, (line.split() for line in text), None, columns, header, 0, batch_rows)


def _text(stream: IO[bytes], encoding: str) -> io.TextIOWrapper:
    # A byte that is no text becomes U+FFFD, which the mapping turns into a bad row with its line number.
    return io.TextIOWrapper(stream, encoding, errors="replace", newline="")


def _ignore(count: int) -> None:
    return None


def _row(frame: pl.DataFrame, index: int) -> dict[str, Any]:
    return frame.row(index, named=True)


def _named(names: Sequence[str], rows: Sequence[Sequence[str]], index: int) -> dict[str, str]:
    return dict(zip(names, rows[index], strict=True))


def _decoded(lines: Sequence[str], index: int) -> Any:
    return msgspec.json.decode(lines[index])


def _wanted(path: Path, columns: Sequence[str], present: Sequence[str]) -> None:
    missing = [name for name in columns if name not in present]
    if missing:
        raise ImportFileError(
            f"{path.name} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, present))}. "
            "Correct --map."
        )


def _csv(
    path: Path,
    stream: io.BufferedReader[Any],
    columns: Sequence[str],
    delimiter: str,
    encoding: str,
    header: Sequence[str],
    batch_rows: int,
) -> Iterator[Batch]:
    """Delimited text: whole blocks by Polars while nothing is unusual in them, else line by line.

    Both ways give the same rows. A block goes the fast way when no field is quoted and every line has exactly the
    header's number of fields; from the first quote on, where a field may hold a line break, the file is read by line.
    """
    csv.field_size_limit(_MAX_LINE)
    if stream.peek(3)[:3] == codecs.BOM_UTF8:
        stream.read(3)
    names, line = list(header), 0
    if not names or not delimiter:
        first = stream.readline(_MAX_LINE)
        delimiter = delimiter or max(_DELIMITERS, key=first.decode(encoding, "replace").count)
        if names or first.count(b'"') % 2:  # no header line, or one that goes on in the next line: take it back
            blocks: Iterator[bytes] = itertools.chain([first], _blocks(path, stream))
        else:
            row = next(csv.reader([first.decode(encoding, "replace")], delimiter=delimiter), [])
            names = [name.strip() for name in row]
            line, blocks = 1, _blocks(path, stream)
    else:
        blocks = _blocks(path, stream)
    if names:
        _wanted(path, columns, names)
    plain = names and len(names) > 1 and codecs.lookup(encoding).name in ("utf-8", "ascii")
    for block in blocks:
        if not plain or b'"' in block:
            with _text(io.BytesIO(block), encoding) as begun, _text(stream, encoding) as rest:
                reader = csv.reader(itertools.chain(begun, rest), delimiter=delimiter)
                yield from _delimited(path, reader, reader, columns, names, line, batch_rows)
            return
        frame = _fast(block, names, delimiter)
        if frame is None:
            reader = csv.reader(_text(io.BytesIO(block), encoding), delimiter=delimiter)
            yield from _delimited(path, reader, reader, columns, names, line, batch_rows)
            line += block.count(b"\n")
            continue
        for start in range(0, frame.height, batch_rows):
            part = frame.slice(start, batch_rows)
            yield Batch(
                part.select(columns),
                range(line + 1 + start, line + 1 + start + part.height),
                partial(_row, part),
            )
        line += frame.height


def _blocks(path: Path, stream: io.BufferedReader[Any]) -> Iterator[bytes]:
    """Blocks of whole lines."""
    while block := stream.read(_BLOCK):
        if not block.endswith(b"\n"):
            end = stream.readline(_BLOCK)
            if len(end) == _BLOCK:
                raise ImportFileError(f"{path.name} has a line of more than {_BLOCK} bytes: this is no text file.")
            block += end
        yield block


def _fast(block: bytes, names: list[str], delimiter: str) -> pl.DataFrame | None:
    """A block without quotes as a frame of strings; None where any line is unusual."""
    if block.count(b"\r") != block.count(b"\r\n") or len(set(names)) < len(names):
        return None
    try:
        frame = pl.read_csv(
            block, has_header=False, schema=dict.fromkeys(names, pl.String), quote_char=None, separator=delimiter
        )
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
        return None  # too many fields, or bytes that are no text: found line by line
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    exact = block.count(delimiter.encode()) == lines * (len(names) - 1)
    return frame if exact and frame.height == lines else None


def _delimited(
    path: Path,
    rows: Iterator[list[str]],
    reader: Any,
    columns: Sequence[str],
    header: Sequence[str],
    before: int,
    batch_rows: int,
) -> Iterator[Batch]:
    """Batches of a source of field lists, `before` lines into the file.

    `reader.line_num` counts lines where a field may hold a line break.
    """
    line = before
    names = list(header)
    if not names:
        names = [name.strip() for name in next(rows, [])]
        line = before + reader.line_num if reader is not None else before + 1
    _wanted(path, columns, names)
    width = len(names)
    at = [names.index(name) for name in columns]
    while True:
        taken: list[list[str]] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        ended = False
        # A batch is many small lists at once; without this pause the collector walks them over and over.
        collecting = gc.isenabled()
        gc.disable()
        try:
            while len(taken) < batch_rows and len(bad) < batch_rows:
                try:
                    row = next(rows, None)
                except csv.Error as error:
                    bad.append(BadRow(line + 1, "unreadable_line", str(error)))
                    line = before + reader.line_num
                    continue
                if row is None:
                    ended = True
                    break
                start = line + 1
                line = before + reader.line_num if reader is not None else start
                if len(row) == width:
                    taken.append(row)
                    lines.append(start)
                elif row:
                    detail = f"{len(row)} fields where the header has {width}"
                    bad.append(BadRow(start, "wrong_number_of_fields", detail, row))
            cells = list(zip(*taken, strict=True)) if taken else [()] * width
        finally:
            if collecting:
                gc.enable()
        if taken or bad:
            frame = pl.DataFrame([pl.Series(columns[i], cells[j], dtype=pl.String) for i, j in enumerate(at)])
            yield Batch(frame, lines, partial(_named, names, taken), bad)
        if ended:
            return


def _scalar(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _jsonl(path: Path, text: IO[str], columns: Sequence[str], batch_rows: int) -> Iterator[Batch]:
    decode = msgspec.json.Decoder().decode
    paths = [name.split(".") for name in columns]
    number = 0
    missing = dict(zip(columns, paths, strict=True))
    ended = False
    while not ended:
        cells: list[list[str | None]] = [[] for _ in columns]
        lines: list[int] = []
        texts: list[str] = []
        bad: list[BadRow] = []
        while len(lines) < batch_rows and len(bad) < batch_rows:
            line = text.readline(_MAX_LINE)
            if not line:
                ended = True
                break
            number += 1
            if not line.strip():
                continue
            try:
                row = decode(line)
            except msgspec.DecodeError as error:
                bad.append(BadRow(number, "not_json", str(error), line.rstrip("\r\n")))
                continue
            if not isinstance(row, dict):
                bad.append(BadRow(number, "not_a_json_object", "", line.rstrip("\r\n")))
                continue
            values: list[str | None] = []
            for name, steps in zip(columns, paths, strict=True):
                value: Any = row.get(name)
                if value is None and len(steps) > 1:
                    value = row
                    for step in steps:
                        value = value.get(step) if isinstance(value, dict) else None
                if name in missing and (value is not None or steps[0] in row):
                    del missing[name]
                if isinstance(value, dict | list):
                    bad.append(BadRow(number, "not_a_scalar", f"{name} holds {type(value).__name__}", row))
                    break
                values.append(_scalar(value))
            else:
                for cell, value in zip(cells, values, strict=True):
                    cell.append(value)
                lines.append(number)
                texts.append(line)
        if lines or bad:
            frame = pl.DataFrame(
                [pl.Series(name, cell, dtype=pl.String) for name, cell in zip(columns, cells, strict=True)]
            )
            yield Batch(frame, lines, partial(_decoded, texts), bad)
    if number and missing:
        raise ImportFileError(f"{path.name}: no line has the key {', '.join(map(repr, missing))}. Correct --map.")


def _sequence(text: IO[str], columns: Sequence[str], batch_rows: int) -> Iterator[Batch]:
    """Lines of `user item item ...`, oldest item first: one row an item, with its 0-based position."""
    rows: list[tuple[str, str, str]] = []
    lines: list[int] = []
    bad: list[BadRow] = []

    def batch() -> Batch:
        frame = pl.DataFrame(
            rows, schema={"user": pl.String, "item": pl.String, "position": pl.String}, orient="row"
        ).select(columns)
        return Batch(frame, list(lines), list(rows).__getitem__, list(bad))

    for number, line in enumerate(text, 1):
        user, *items = line.split() or [""]
        if not items:
            if user:
                bad.append(BadRow(number, "wrong_number_of_fields", "a user without items", line.strip()))
            continue
        rows.extend((user, item, str(position)) for position, item in enumerate(items))
        lines.extend([number] * len(items))
        if len(rows) >= batch_rows or len(bad) >= batch_rows:
            yield batch()
            rows.clear()
            lines.clear()
            bad.clear()
    if rows or bad:
        yield batch()


def _parquet(path: Path, columns: Sequence[str], advance: Callable[[int], None], batch_rows: int) -> Iterator[Batch]:
    try:
        lazy = pl.scan_parquet(path)
        _wanted(path, columns, lazy.collect_schema().names())
        total = lazy.select(pl.len()).collect().item()
        size, done = path.stat().st_size, 0
        for start in range(0, total, batch_rows):
            frame = lazy.select(columns).slice(start, batch_rows).collect()
            yield Batch(frame, range(start + 1, start + 1 + frame.height), partial(_row, frame))
            upto = size * min(total, start + batch_rows) // total
            advance(upto - done)
            done = upto
    except pl.exceptions.ComputeError as error:
        raise ImportFileError(f"{path.name} is no readable Parquet file ({error}). Export it again.") from error
