"""One rewriter of the lake at a time: compaction, deletion, keying and erasure exclude each other; appends never wait.

Delta tells two writers apart by what their commits touch, except where one of them compacts: the writer of `deltalake`
takes the newest version for its base right before it commits, so a compaction that overlaps with another, or with a
deletion, brings back rows that the other has just taken out (seen under kills: 547,414 rows of two compactions of the
same 21 files came twice). So whoever rewrites holds this lock, and reads the table only once it is held.

In a local folder it is an `flock`, which a killed holder gives back at once; in an object store a lease in the shop's
database, which it gives back when its time is over. A lease may be lost while its holder lives (the database is away,
the process is stopped), so a rewriter asks `confirm` right before each of its commits.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from ml_models.adapters.lease import Lease
from ml_models.core import clock
from ml_models.core.errors import StoreError

__all__ = ["confirm", "rewriting"]

NAME = "_rewriting.lock"
LEASE_SECONDS = 60.0
LONGEST_WAIT = 3600.0
"""Seconds to wait for another rewriter of an object store."""


_holding = threading.local()


def confirm() -> None:
    """Before a commit inside `rewriting`: raises `StoreError` where the lease was lost meanwhile."""
    lease: Lease | None = getattr(_holding, "lease", None)
    if lease is not None and not lease.ours():
        raise StoreError(
            "The right to rewrite the lake was lost: its lease could not be renewed in time, and another process may "
            "be at work. What was committed before stays. Check the database, then run it again."
        )


@contextmanager
def rewriting(uri: str) -> Iterator[None]:
    """Hold the lock of the lake at `uri` while the block runs; waits for another holder. Raises `StoreError`."""
    folder = unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri
    with _leased(uri) if "://" in folder else _locked(Path(folder)):
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(f"The lake at {folder} cannot be rewritten: {error}. Check space and access.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _leased(uri: str) -> Iterator[None]:
    lease, deadline = Lease("lake", seconds=LEASE_SECONDS), clock.current().monotonic() + LONGEST_WAIT
    while not lease.hold():
        if clock.current().monotonic() >= deadline:
            raise StoreError(f"{lease.holder} has been rewriting the lake at {uri} for an hour. Run it again later.")
        clock.current().sleep(1.0)
    done = threading.Event()

    def renew() -> None:
        from django.db import connections

        while not done.wait(LEASE_SECONDS / 3):
            if not lease.hold():
                break  # never taken again by itself: whoever has it meanwhile may have rewritten what this one read
        connections.close_all()

    renewer = threading.Thread(target=renew, name="ml-lake-lease", daemon=True)
    renewer.start()
    _holding.lease = lease
    try:
        yield
    finally:
        _holding.lease = None
        done.set()
        renewer.join()
        lease.release()
