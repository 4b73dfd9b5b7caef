"""Durability of a lake in a local folder: Delta's writer does not fsync, so this does, before spools are trimmed.

`_synced` in the table's folder holds the version up to which everything is known to be on disk. It is written after
the fsync, so after a power cut it may be too low, never too high.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from urllib.parse import unquote

__all__ = ["LakeSync"]


def _fsync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # replaced by compaction, which only removes what a later entry no longer needs
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LakeSync:
    """Knows which log entries of one table are on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "_delta_log"
        self._mark = folder / "_synced"

    def _read_mark(self) -> int:
        try:
            return int(self._mark.read_text())
        except (FileNotFoundError, ValueError):  # ValueError: cut short by a power cut
            return -1

    def upto(self, version: int) -> None:
        """Bring every log entry up to `version`, and the files these added, to disk."""
        known = self._read_mark()  # read anew: another process may have moved it, or the lake may be a new one
        if version <= known:
            return
        folders = {self._folder, self._log}
        for number in range(known + 1, version + 1):
            entry = self._log / f"{number:020d}.json"
            try:
                actions = [json.loads(line) for line in entry.read_text().splitlines() if line]
            except FileNotFoundError:  # expired: a checkpoint a week younger holds it
                continue
            for action in actions:
                if "add" in action:
                    path = self._folder / unquote(action["add"]["path"])
                    _fsync(path)
                    folders.add(path.parent)
            _fsync(entry)
            for checkpoint in self._log.glob(f"{number:020d}.checkpoint*"):
                _fsync(checkpoint)
        for folder in folders:
            _fsync(folder)
        partial = self._mark.with_name(f"_synced.{os.getpid()}.{threading.get_ident()}")
        partial.write_text(str(version))
        partial.replace(self._mark)

    def set_aside_torn_entry(self) -> bool:
        """Move the newest log entry away when a power cut left it torn; True when it did.

        A torn entry was never on disk as a whole, so no spool was trimmed by it: its rows come again.
        """
        entries = sorted(self._log.glob("*.json"))
        if not entries or not entries[-1].stem.isdigit() or int(entries[-1].stem) <= self._read_mark():
            return False
        try:
            for line in entries[-1].read_bytes().splitlines():
                json.loads(line)
            torn = entries[-1].stat().st_size == 0
        except ValueError:
            torn = True
        if torn:
            entries[-1].rename(entries[-1].with_suffix(".torn"))
        return torn
