"""Ids: how long one may be, and time-ordered ones."""

import os
from datetime import datetime

from ml_models.core import clock

__all__ = ["MAX_ID", "MAX_VISITOR", "uuid7", "uuid7_from"]

MAX_ID = 200
"""Longest id of a product or variant anywhere: in events, tables, files and requests; characters."""
MAX_VISITOR = 2 + 255
"""Longest key of a visitor in the tables, `u:` or `a:` and an id: an e-mail address may be one; characters."""

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""Hexadecimal digit -> the digit with its two upper bits as RFC 9562 wants them."""
_tails: list[str] = []
"""Random ends of the next ids: a page waits for its id, and asking the system for each costs more than the rest."""

os.register_at_fork(after_in_child=_tails.clear)  # or parent and child would hand out the same


def _more() -> str:
    """Make some ends ready and hand one out."""
    digits = os.urandom(10 * 128).hex()
    parts = [digits[place : place + 20] for place in range(0, len(digits), 20)]
    made = [f"-7{part[:3]}-{_VARIANT[part[3]]}{part[4:7]}-{part[7:19]}" for part in parts]
    _tails.extend(made[1:])  # in one step: threads share the list
    return made[0]


def uuid7(at: datetime | None = None) -> str:
    """A fresh UUIDv7 (RFC 9562): 48 bits of milliseconds by the clock in force (or of `at`), then 74 random bits.

    The standard library has it from Python 3.14 on.
    """
    time = f"{int((at or clock.now()).timestamp() * 1000):012x}"
    try:
        tail = _tails.pop()
    except IndexError:
        tail = _more()
    return f"{time[:8]}-{time[8:]}{tail}"


def uuid7_from(milliseconds: int, digest: bytes) -> str:
    """The UUIDv7 of a time (milliseconds since 1970) and a digest of at least 10 bytes: the same for the same two."""
    time, tail = f"{milliseconds:012x}", digest[:10].hex()
    return f"{time[:8]}-{time[8:]}-7{tail[:3]}-{_VARIANT[tail[3]]}{tail[4:7]}-{tail[7:19]}"
