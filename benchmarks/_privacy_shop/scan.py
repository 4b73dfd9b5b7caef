"""Every byte that is kept, as it lies there and as it reads: Parquet decoded, arrays unpacked, Redis asked."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

__all__ = ["MARKS", "contents", "count_marks", "find"]


def _base64(text: bytes) -> list[bytes]:
    """What base64 makes of a text, wherever it begins in the whole."""
    found = []
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + text)
        found.append(coded[(0, 2, 3)[shift] : len(coded) - 4].lower())
    return found


def _any(*patterns: bytes) -> re.Pattern[bytes]:
    return re.compile(b"|".join(patterns))


MARKS = {
    "raw_ips": _any(rb"(?:203\.0\.113|198\.51\.100)\.[12]\d\d(?!\d)", rb"2001:0?db8:[0-9a-f]{1,4}:[0-9a-f]{1,4}:"),
    "emails": _any(rb"mailboxzq", rb"needle\.example", rb"needle%2eexample", *_base64(b"needle.example")),
    "form_values": _any(rb"formvaluezq", *_base64(b"formvaluezq")),
    "user_agents": _any(rb"agentzq", rb"applewebkit"),
}
"""What must not be found anywhere, in bytes put into lower case."""


def contents(folder: Path, redis: str | None, skip: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
    """(place, bytes in lower case) of everything under the folder, and of what Redis says it holds."""
    left_out = set(skip)
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name in left_out:
            continue
        raw = path.read_bytes()
        yield name, raw.lower()
        if ".parquet" in path.name:
            yield f"{name} (decoded)", _decoded(raw).lower()
        elif path.suffix == ".npz":
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                yield f"{name} (unpacked)", b"\n".join(map(archive.read, archive.namelist())).lower()
    if redis is not None:
        yield "redis (asked)", b"\n".join(_asked(redis)).lower()


def _decoded(raw: bytes) -> bytes:
    try:
        frame = pl.read_parquet(raw)
    except pl.exceptions.PolarsError:
        return b""  # half a file: its bytes are searched as they lie
    return frame.write_ndjson().encode()


def _asked(url: str) -> Iterator[bytes]:
    import redis

    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter():
            yield key
            kind = client.type(key)
            if kind == b"stream":
                yield from (value for _, fields in client.xrange(key) for value in fields.values())
            elif kind == b"zset":
                yield from client.zrange(key, 0, -1)
            elif kind == b"hash":
                yield from (part for pair in client.hgetall(key).items() for part in pair)
            elif kind == b"list":
                yield from client.lrange(key, 0, -1)
            else:
                yield client.get(key) or b""


def count_marks(found: Iterable[tuple[str, bytes]]) -> dict[str, Counter[str]]:
    """Mark -> place -> how often."""
    counts: dict[str, Counter[str]] = {mark: Counter() for mark in MARKS}
    for place, content in found:
        for mark, pattern in MARKS.items():
            hits = sum(1 for _ in pattern.finditer(content))
            if hits:
                counts[mark][place] += hits
    return counts


def find(found: Iterable[tuple[str, bytes]], needles: Iterable[str]) -> Counter[str]:
    """Place -> how many of the needles it holds."""
    wanted = [needle.lower().encode() for needle in needles]
    counts: Counter[str] = Counter()
    for place, content in found:
        hits = sum(needle in content for needle in wanted)
        if hits:
            counts[place] += hits
    return counts
