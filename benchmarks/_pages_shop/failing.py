"""Spools that fail, for servers of the proof."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from ml_models.adapters.spool_file import FileSpool
from ml_models.core.errors import SpoolError
from ml_models.data_collection.queue import queue

__all__ = ["FullSpool", "StuckSpool"]


class FullSpool(FileSpool):
    """On a disk without a byte left."""

    def append(self, records: Sequence[bytes]) -> None:
        """Fail as the disk does."""
        raise SpoolError(str(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))


class StuckSpool(FileSpool):
    """On a disk that takes for ever: the queue before it fills up and stays full."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder)
        queue._size = 1_000  # so that it overflows within the warm-up

    def append(self, records: Sequence[bytes]) -> None:
        """Store, much later."""
        time.sleep(20)
        super().append(records)
