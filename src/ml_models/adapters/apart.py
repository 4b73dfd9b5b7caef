"""Reads that may fail without spoiling the caller's transaction."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from django.db import connections, transaction

__all__ = ["read_apart"]


def read_apart(using: str) -> AbstractContextManager[None]:
    """A savepoint where the caller is inside a transaction (`ATOMIC_REQUESTS`), else nothing.

    PostgreSQL refuses every query after a failed one until the transaction, or the savepoint, is rolled back: a caller
    that goes on without what could not be read must not lose the rest of its page.
    """
    return transaction.atomic(using=using) if connections[using].in_atomic_block else nullcontext()
