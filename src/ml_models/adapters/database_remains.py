"""Bytes that a database keeps of rows it has deleted, as far as this package can do anything about them."""

from __future__ import annotations

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["wipe"]

_POSTGRES = (
    "The database reuses the bytes of deleted rows after its next vacuum; its write-ahead log and backups expire by "
    "rules of their own."
)
_OTHER = "The database reuses the bytes of deleted rows in time; its log and backups expire by rules of their own."
_LOCKED = (
    "The database file is in use, so the bytes of rows deleted before stay in its free pages. Run: sqlite3 FILE VACUUM"
)


def wipe(alias: str) -> str:
    """Make the database forget the bytes of deleted rows; a sentence about what stays, empty where nothing does.

    SQLite: free pages are zeroed by `VACUUM` unless it is built to do so with every deletion, and the write-ahead log
    is emptied. Waits no longer than the connection's time-out. Inside a transaction nothing can be done.
    """
    connection = connections[alias]
    if connection.vendor == "sqlite":
        return _sqlite(connection)
    return _POSTGRES if connection.vendor == "postgresql" else _OTHER


def _sqlite(connection: BaseDatabaseWrapper) -> str:
    if connection.in_atomic_block:
        return _LOCKED
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete")
            zeroed = cursor.fetchone()[0] == 1
            if not zeroed:
                cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy = cursor.fetchone()[0]
    except OperationalError:  # another process holds it
        return _LOCKED
    return _LOCKED if busy else ""
