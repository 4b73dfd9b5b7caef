"""What is left to do after Redis was away, and how it is said that it still is."""

from __future__ import annotations

from ml_models.adapters.build import get_online_store, get_spool
from ml_models.core.errors import StoreError

__all__ = ["settle"]


def settle() -> str:
    """Move recent items that the database took back to Redis; returns what is wrong with Redis in words, else "".

    To be called after the spool was read; what it could not read of Redis counts.
    """
    trouble: str = getattr(get_spool(), "trouble", "")
    drain = getattr(get_online_store(), "drain", None)
    if drain is not None:
        try:
            drain()
        except StoreError as error:
            trouble = trouble or str(error)
    return trouble
