"""Ids: how long one may be, and time-ordered ones."""

import os

from ml_models.core import clock

__all__ = ["MAX_ID", "uuid7"]

MAX_ID = 200
"""Longest id of a product or variant anywhere: in events, tables, files and requests; characters."""


def uuid7() -> str:
    """A fresh UUIDv7 (RFC 9562): 48 bits of milliseconds by the clock in force, then 74 random bits.

    The standard library has it from Python 3.14 on.
    """
    value = int(clock.now().timestamp() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant of RFC 9562
    digits = f"{value:032x}"  # a page waits for this: half the time of a `uuid.UUID`
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
