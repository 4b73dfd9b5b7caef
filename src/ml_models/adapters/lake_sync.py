"""Durability of a lake in a local folder: Delta's writer does not fsync, so this does, before spools are trimmed.

`_synced` in the table's folder holds the version up to which everything is known to be on disk. It is written after
the fsync, so after a power cut it may be too low, never too high. What lies above it may be torn: an entry that is no
JSON, an entry whose data file is short or missing (the small file reached the disk, the large one did not), a
checkpoint without its end. No spool was trimmed by any of these, so they are moved away and their rows come again.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

__all__ = ["LakeSync"]

_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")


def _fsync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # replaced by compaction, which only removes what a later entry no longer needs
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_aside(path: Path) -> None:
    path.rename(path.with_name(path.name + ".torn"))


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

    def _entries(self, above: int) -> list[tuple[int, Path]]:
        found = ((int(path.stem), path) for path in self._log.glob("*.json") if path.stem.isdigit())
        return sorted(entry for entry in found if entry[0] > above)

    @staticmethod
    def _actions(entry: Path) -> list[dict[str, Any]] | None:
        """The actions of an entry; None where it is torn. Raises `FileNotFoundError`."""
        try:
            actions = [json.loads(line) for line in entry.read_bytes().splitlines() if line]
        except ValueError:
            return None
        return actions or None

    def _short(self, actions: list[dict[str, Any]]) -> Iterator[str]:
        """Paths of added files that are not there in full."""
        for action in actions:
            added = action.get("add")
            if added is not None:
                try:
                    whole = self._data(added["path"]).stat().st_size == added["size"]
                except FileNotFoundError:
                    whole = False
                if not whole:
                    yield added["path"]

    def _data(self, path: str) -> Path:
        return self._folder / unquote(path)

    def _torn(self, number: int, actions: list[dict[str, Any]] | None) -> bool:
        if actions is None:
            return True
        short = set(self._short(actions))
        # Looked up after the files: what a later entry removed may leave the disk, never before that entry is there.
        for _, later in self._entries(number) if short else ():
            short -= {action["remove"]["path"] for action in self._actions(later) or () if "remove" in action}
        return bool(short) and number > self._read_mark()

    def upto(self, version: int) -> bool:
        """Bring every log entry up to `version`, and the files these added, to disk.

        False where some were torn by a power cut and had to be moved away: the table is an earlier one then.
        """
        known = self._read_mark()  # read anew: another process may have moved it, or the lake may be a new one
        if version <= known:
            return True
        folders = {self._folder, self._log}
        for number in range(known + 1, version + 1):
            entry = self._log / f"{number:020d}.json"
            try:
                actions = self._actions(entry)
            except FileNotFoundError:  # expired: a checkpoint a week younger holds it
                continue
            if self._torn(number, actions):
                self._set_aside_from(number)
                return False
            for action in actions or ():
                if "add" in action:
                    path = self._data(action["add"]["path"])
                    _fsync(path)
                    folders.add(path.parent)
            _fsync(entry)
            self.sync_checkpoint(number)
        for folder in folders:
            _fsync(folder)
        partial = self._mark.with_name(f"_synced.{os.getpid()}.{threading.get_ident()}")
        partial.write_text(str(version))
        partial.replace(self._mark)
        return True

    def sync_checkpoint(self, version: int) -> None:
        """Bring the checkpoint of a version to disk, where there is one, and the hint that names it."""
        found = list(self._log.glob(f"{version:020d}.checkpoint*"))
        for path in found:
            _fsync(path)
        if found:
            _fsync(self._log / "_last_checkpoint")
            _fsync(self._log)

    def repair(self) -> bool:
        """Move away what a power cut left torn so that the table cannot be read; True where anything was."""
        mark = self._read_mark()
        for number, entry in self._entries(mark):
            if self._torn(number, self._actions(entry)):
                self._set_aside_from(number)
                return True
        return self._set_aside_checkpoints(lambda number, path: number > mark or not _ends(path))

    def _set_aside_from(self, first: int) -> None:
        """Move entries from `first` on away: each one was written on top of the one before. The newest goes first."""
        self._set_aside_checkpoints(lambda number, path: number >= first)
        for _, entry in reversed(self._entries(first - 1)):
            _set_aside(entry)
        _fsync(self._log)

    def _set_aside_checkpoints(self, unfit: Any) -> bool:
        doomed = [
            path
            for path in self._log.glob("*.parquet")
            if (match := _CHECKPOINT.fullmatch(path.name)) and unfit(int(match[1]), path)
        ]
        hint = self._log / "_last_checkpoint"
        if doomed and hint.exists():
            _set_aside(hint)  # without it the log is listed, and the newest checkpoint that is left is found
        for path in doomed:
            _set_aside(path)
        return bool(doomed)


def _ends(path: Path) -> bool:
    """Whether a Parquet file has its last bytes."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4))
        return file.read() == b"PAR1"
