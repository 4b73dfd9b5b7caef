"""Country and region of an address, from the shop's own file in MaxMind's format (`geo_database`).

Opened at the first look-up of a process and again when the file is replaced. A missing file or package costs the place
and nothing else: it is counted (`geo.missed`), logged once and a message of `manage.py check`.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_models.core import clock
from ml_models.data_collection import counters
from ml_models.settings import get_settings

__all__ = ["NOWHERE", "Place", "generation", "look_up", "open_file", "reset"]

logger = logging.getLogger("bunoraa.ml")

LOOK_AGAIN = 60.0
"""How often a process looks whether the file has been replaced; seconds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address is, as far as the file says."""

    country: str | None = None
    """ISO 3166-1 code."""
    region: str | None = None
    """ISO 3166-2 code, such as `DE-BY`."""


NOWHERE = Place()


def open_file(path: Path) -> Any:
    """The file's reader. Raises `ImportError`, `OSError` or `ValueError` with a sentence."""
    import maxminddb

    try:
        return maxminddb.open_database(path)
    except maxminddb.InvalidDatabaseError as error:
        raise ValueError(str(error)) from error


class _Geo:
    """The file of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.generation = 0
        self.path = ""
        self.stamp: tuple[int, int, int] | None = None
        self.reader: Any = None
        self.next_look = float("-inf")
        self.complained = False

    def current(self) -> None:
        """Open the file where that is due: the first time, or when it is another by now."""
        now, path = clock.current().monotonic(), get_settings().data_collection.geo_database
        if now < self.next_look and path == self.path:
            return
        with self.lock:
            if now < self.next_look and path == self.path:
                return
            full = Path(path)
            stamp = _stamp(full)
            if path != self.path or stamp != self.stamp or stamp is None:
                self._open(full)
                self.generation += 1
            self.path, self.stamp, self.next_look = path, stamp, now + LOOK_AGAIN

    def _open(self, path: Path) -> None:
        # The old reader is left to the garbage collector: another thread may be looking something up in it.
        self.reader = None
        try:
            self.reader = open_file(path)
        except (ImportError, OSError, ValueError) as error:
            if not self.complained:
                self.complained = True
                logger.warning("Places cannot be looked up in the geo database: %s. Counted from here.", error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


_geo = _Geo()


def _renew() -> None:
    _geo.lock = threading.Lock()  # at a fork another thread may have held it


os.register_at_fork(after_in_child=_renew)


def reset() -> None:
    """Look at the file anew at the next look-up."""
    _geo.next_look = float("-inf")


def generation() -> int:
    """A number that changes when the file does; looks for that at most once in `LOOK_AGAIN` seconds."""
    _geo.current()
    return _geo.generation


def look_up(address: str) -> Place:
    """The place of an address; `NOWHERE` where the file does not say or cannot be read."""
    reader = _geo.reader
    if reader is None:
        counters.add("geo.missed")
        return NOWHERE
    try:
        found = reader.get(address)
    except Exception:  # a damaged file raises anything; a place is not worth a request
        if counters.add("geo.failed") % 1000 == 1:
            logger.exception("A place could not be looked up. Counted from here.")
        return NOWHERE
    return _place(found) if isinstance(found, dict) else NOWHERE


def _place(found: dict[str, Any]) -> Place:
    country = _code(found.get("country")) or _code(found.get("registered_country"))
    parts = found.get("subdivisions")
    region = _code(parts[0]) if isinstance(parts, list) and parts else None
    return Place(country, f"{country}-{region}" if country and region else None)


def _code(part: Any) -> str | None:
    code = part.get("iso_code") if isinstance(part, dict) else None
    return code if isinstance(code, str) and len(code) <= 3 and code.isalnum() else None
