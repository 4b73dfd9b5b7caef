"""How the file spool lays records out in a segment, and how it finds them again.

A segment is an 8-byte head and then frames: magic, length, CRC-32, time (unix seconds), record. A frame is read only
when it is whole and its CRC fits. The CRC starts from a salt that the segment's place determines and no visitor
knows, so nothing inside a record can pass for a frame. The magic holds a byte that neither UTF-8 nor a msgpack type
uses.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["FRAME", "HEAD", "MAX_RECORD", "Parsed", "frames", "join_position", "parse", "split_position"]

HEAD = b"MLSPOOL1"
FRAME = struct.Struct("<4sIII")
MAX_RECORD = 1 << 20
"""Largest record; bytes."""
_MAGIC = b"\xc1ML\xc1"
_OFFSET_BITS = 32


def join_position(segment: int, offset: int) -> int:
    """The position just before the byte at `offset` of a segment; fits a signed 64-bit integer."""
    return segment << _OFFSET_BITS | offset


def split_position(position: int) -> tuple[int, int]:
    """Segment number and byte offset of a position."""
    return position >> _OFFSET_BITS, position & (1 << _OFFSET_BITS) - 1


def frames(records: Iterable[bytes], salt: int, time: int) -> bytes:
    """The records as consecutive frames."""
    pieces: list[bytes] = []
    for record in records:
        pieces += (FRAME.pack(_MAGIC, len(record), zlib.crc32(record, salt), time), record)
    return b"".join(pieces)


class Parsed(NamedTuple):
    """What a stretch of a segment holds."""

    records: list[bytes]
    end: int
    """Offset after the last record; 0 without one."""
    first_time: int
    """Unix seconds at which the first record was appended; 0 without one."""
    consumed: int
    """Offset from which to go on reading; never beyond a record that may still become whole."""
    skipped: int
    """Damaged bytes that were passed over."""


def _whole(data: bytes, at: int, salt: int) -> int | None:
    """Offset after the valid frame at `at`; -1 when it is cut off by the end of `data`; None when it is damaged."""
    start = at + FRAME.size
    if start > len(data):
        return -1 if _MAGIC.startswith(data[at : at + 4]) else None
    magic, length, crc, _ = FRAME.unpack_from(data, at)
    if magic != _MAGIC or length > MAX_RECORD:
        return None
    if start + length > len(data):
        return -1
    return start + length if zlib.crc32(data[start : start + length], salt) == crc else None


def _resume(data: bytes, start: int, salt: int, at_end: bool) -> tuple[int, bool]:
    """Where the next frame after a damaged one begins, and whether it is whole."""
    at = data.find(_MAGIC, start)
    while at >= 0:
        end = _whole(data, at, salt)
        if end is not None and (end >= 0 or not at_end):
            return at, end >= 0
        at = data.find(_MAGIC, at + 1)
    return max(start, len(data) - len(_MAGIC) + 1), False


def parse(data: bytes, salt: int, *, at_end: bool, max_records: int | None = None) -> Parsed:
    """The records in `data`, which begins at a frame; `at_end` when the segment has no further bytes at present.

    A damaged frame followed by a good one is passed over. Damage that reaches the end of the segment stays
    unconsumed: it is a torn tail, or a record that is being written.
    """
    records: list[bytes] = []
    at = last_end = first_time = skipped = 0
    size, head, unpack, crc32 = len(data), FRAME.size, FRAME.unpack_from, zlib.crc32
    limit = size if max_records is None else max_records
    while at < size and len(records) < limit:
        if at + head <= size:
            magic, length, crc, time = unpack(data, at)
            end = at + head + length
            if magic == _MAGIC and length <= MAX_RECORD and end <= size:
                record = data[at + head : end]
                if crc32(record, salt) == crc:
                    if not records:
                        first_time = time
                    records.append(record)
                    at = last_end = end
                    continue
        if not at_end and _whole(data, at, salt) == -1:
            break
        found, whole = _resume(data, at + 1, salt, at_end)
        if not whole:
            if not at_end:
                skipped += found - at
                at = found
            break
        skipped += found - at
        at = found
    return Parsed(records, last_end, first_time, at, skipped)
