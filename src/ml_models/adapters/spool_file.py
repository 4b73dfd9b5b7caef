"""The default spool: numbered segment files in per-process slots, durable without a server.

    <folder>/<NNN>-<epoch>/lock              flock of the process that writes here
    <folder>/<NNN>-<epoch>/0000000001.seg    records; see `spool_frames`
    <folder>/<NNN>-<epoch>/trimmed           position up to which the lake is known to hold everything (a hint)

A slot outlives its process and is taken over by the next one, so the lake sees at most `max_slots` sources a host.
The source of a slot is `file:<epoch>:<NNN>`. Give each host a folder of its own, on a local disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ml_models.adapters.spool_frames import HEAD, MAX_RECORD, Parsed, join_position, parse, split_position
from ml_models.adapters.spool_slot import (
    SlotLost,
    SlotWriter,
    claim,
    denied,
    hold,
    overwrite,
    salt_of,
    segment_path,
    segments,
    slots,
    trimmed,
)
from ml_models.core import clock
from ml_models.core.errors import SpoolError
from ml_models.core.ports import Scrubbed, SpoolRead

__all__ = ["FileSpool"]

logger = logging.getLogger("bunoraa.ml.spool")

_READ_BYTES = 8 << 20
"""Bytes read at a time; also about the most one `read` returns. Larger than any frame."""

_END = 1 << 62


class FileSpool:
    """A spool in a folder; safe for any number of threads, processes and forks."""

    def __init__(self, folder: Path | str, *, segment_bytes: int = 16 << 20, max_slots: int = 256) -> None:
        self.folder = Path(folder)
        self.damaged_bytes = 0
        """Damaged bytes this object passed over while reading."""
        self._segment_bytes = segment_bytes
        self._max_slots = max_slots
        self._writer: SlotWriter | None = None
        self._denied: dict[str, str] = {}
        self._claiming = threading.Lock()
        this = weakref.ref(self)

        def after_fork() -> None:
            spool = this()
            if spool is not None:
                spool._after_fork()

        os.register_at_fork(after_in_child=after_fork)

    def _after_fork(self) -> None:
        self._claiming = threading.Lock()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()

    # -- writing ------------------------------------------------------------------------------------

    def append(self, records: Sequence[bytes]) -> None:
        """Store the records durably. Raises `SpoolError`; then none of them counts as stored."""
        if not records:
            return
        if max(map(len, records)) > MAX_RECORD:
            raise SpoolError(f"A record is larger than {MAX_RECORD} bytes. Send smaller events.")
        for last in (False, True):
            writer = self._owned()
            try:
                writer.append(records)
                break
            except SlotLost:
                self._drop(writer)
                if last:
                    raise

    def _owned(self) -> SlotWriter:
        writer = self._writer
        if writer is None:
            with self._claiming:
                writer = self._writer
                if writer is None:
                    writer = claim(self.folder, max_slots=self._max_slots, segment_bytes=self._segment_bytes)
                    self._writer = writer
        return writer

    def _drop(self, writer: SlotWriter) -> None:
        with self._claiming:
            if self._writer is writer:
                self._writer = None
                writer.close()

    def close(self) -> None:
        """Give this process's slot back."""
        if self._writer is not None:
            self._drop(self._writer)

    # -- reading ------------------------------------------------------------------------------------

    @staticmethod
    def _source(name: str) -> str:
        number, _, epoch = name.partition("-")
        return f"file:{epoch}:{number}"

    def _slot(self, source: str) -> Path:
        _, epoch, number = source.split(":")
        return self.folder / f"{number}-{epoch}"

    def sources(self) -> list[str]:
        """Sources with bytes that no `trim` covered yet."""
        return [self._source(name) for name in slots(self.folder) if any(self._waiting(self.folder / name))]

    def read(self, source: str, after: int, max_records: int) -> SpoolRead:
        """Up to `max_records` records (and about 8 MiB) after a position, in the order they were appended."""
        slot = self._slot(source)
        first, offset = split_position(after)
        numbers = segments(slot)
        records: list[bytes] = []
        position, room = after, _READ_BYTES
        for number in numbers:
            if number < first:
                continue
            start = max(offset, len(HEAD)) if number == first else len(HEAD)
            # The list was taken before the bytes are read: a segment that was not the last then is complete now.
            for base, parsed in self._pieces(slot, number, start, max_records - len(records)):
                if parsed.records:
                    records += parsed.records
                    position = join_position(number, base + parsed.end)
                    room -= parsed.consumed
                if len(records) >= max_records or room <= 0:
                    return SpoolRead(records, position)
        return SpoolRead(records, position)

    def _pieces(self, slot: Path, number: int, start: int, limit: int | None = None) -> Iterator[tuple[int, Parsed]]:
        """(offset, what is there) for consecutive stretches of a segment, with at most `limit` records in all."""
        try:
            descriptor = os.open(segment_path(slot, number), os.O_RDONLY)
        except FileNotFoundError:  # trimmed meanwhile
            return
        except PermissionError:
            self._note_denied(slot)
            return
        try:
            salt = salt_of(slot, number)
            while True:
                data = os.pread(descriptor, _READ_BYTES, start)
                at_end = start + len(data) >= os.fstat(descriptor).st_size
                parsed = parse(data, salt, at_end=at_end, max_records=limit)
                self.damaged_bytes += parsed.skipped
                yield start, parsed
                start += parsed.consumed
                if limit is not None:
                    limit -= len(parsed.records)
                if at_end or limit == 0:
                    return
        finally:
            os.close(descriptor)

    # -- for a spool that moves backlogs elsewhere --------------------------------------------------

    def own_source(self) -> str | None:
        """Source of the slot this process writes to, None before the first append."""
        writer = self._writer
        return None if writer is None else self._source(writer.slot.name)

    def hold(self, source: str) -> AbstractContextManager[bool]:
        """Keep writers out of a source's slot while the block runs; False where a process owns it."""
        return hold(self._slot(source))

    def trimmed(self, source: str) -> int:
        """Position up to which a source was trimmed; after a power cut perhaps an earlier one."""
        return trimmed(self._slot(source))

    def ages(self) -> dict[str, float]:
        """Seconds for which the oldest record of each source waits; sources without any are left out."""
        now, found = clock.now().timestamp(), {}
        for name in slots(self.folder):
            slot = self.folder / name
            for number, start, _ in self._waiting(slot):
                first = next((one for _, one in self._pieces(slot, number, start, 1) if one.records), None)
                if first is not None:
                    found[self._source(name)] = max(0.0, now - first.first_time)
                    break
        return found

    # -- trimming -----------------------------------------------------------------------------------

    def trim(self, source: str, upto: int) -> None:
        """Delete whole segments up to a position, except the newest with records (its number must not come again)."""
        slot = self._slot(source)
        if not slot.is_dir():
            return
        limit, offset = split_position(upto)
        for number in self._older(slot):
            path = segment_path(slot, number)
            try:
                if number < limit or (number == limit and path.stat().st_size <= offset):
                    path.unlink()
            except FileNotFoundError:  # another committer was faster
                continue
            except PermissionError:
                self._note_denied(slot)
                break
        if upto > trimmed(slot):
            partial = slot / f"trimmed.{os.getpid()}.{threading.get_ident()}"
            # A hint: where the disk is full, readers pass over what the lake has once more.
            with contextlib.suppress(OSError):
                partial.write_text(str(upto))
                partial.replace(slot / "trimmed")

    def _note_denied(self, slot: Path) -> None:
        """Say that a slot is another user's; what the others hold must not wait for it."""
        if slot.name not in self._denied:
            self._denied[slot.name] = denied(slot)
            logger.warning("A slot of the spool is passed over. %s", self._denied[slot.name])

    def scrub(self, position: Callable[[str], int]) -> Scrubbed:
        """Overwrite with zeros what `trim` leaves before the positions: newest segments, and those committed in part.

        The bytes before a committed position are never written again, whoever owns the slot. Of a slot that nobody
        owns the torn end of a killed process's segment goes as well, where no record follows the position.
        """
        changed, remarks = 0, []
        for name in slots(self.folder):
            try:
                changed += self.scrub_slot(self._source(name), position(self._source(name)))
            except PermissionError:
                remarks.append(denied(self.folder / name))
        return Scrubbed(changed, " ".join(remarks))

    def scrub_slot(self, source: str, upto: int) -> int:
        """The same for one source, up to a position; returns how many bytes were not zero. Raises `PermissionError`."""
        slot, changed = self._slot(source), 0
        limit, offset = split_position(upto)
        for number in segments(slot):
            if number <= limit:
                end = offset if number == limit else _END
                changed += overwrite(segment_path(slot, number), len(HEAD), end)
        with hold(slot) as free:
            if free and not self.read(source, upto, 1).records:
                for number in segments(slot):
                    changed += overwrite(segment_path(slot, number), len(HEAD), _END)
        return changed

    @staticmethod
    def _older(slot: Path) -> list[int]:
        """Segments before the newest that holds a record.

        A segment with a head only may vanish again: on a full disk its owner takes it back.
        """
        numbers = segments(slot)
        for place in range(len(numbers) - 1, -1, -1):
            with contextlib.suppress(FileNotFoundError):
                if segment_path(slot, numbers[place]).stat().st_size > len(HEAD):
                    return numbers[:place]
        return []

    def _waiting(self, slot: Path) -> Iterator[tuple[int, int, int]]:
        """(segment, offset, bytes) of every stretch after the trimmed position."""
        first, offset = split_position(trimmed(slot))
        for number in segments(slot):
            start = max(offset, len(HEAD)) if number == first else len(HEAD)
            if number >= first:
                with contextlib.suppress(FileNotFoundError):
                    size = segment_path(slot, number).stat().st_size
                    if size > start:
                        yield number, start, size - start

    def stats(self) -> dict[str, Any]:
        """`bytes`, `records`, `oldest_age_s` and `sources` of what waits; `slots`, `damaged_bytes`, `denied` besides.

        `denied`: sentences about slots that this process may not read.
        """
        waiting = records = 0
        oldest: int | None = None
        sources = []
        names = slots(self.folder)
        for name in names:
            slot = self.folder / name
            before = records
            for number, start, size in self._waiting(slot):
                waiting += size
                for _, parsed in self._pieces(slot, number, start):
                    if parsed.records:
                        oldest = parsed.first_time if oldest is None else min(oldest, parsed.first_time)
                    records += len(parsed.records)
            if records > before:
                sources.append(self._source(name))
        age = 0.0 if oldest is None else max(0.0, clock.now().timestamp() - oldest)
        return {
            "bytes": waiting,
            "records": records,
            "oldest_age_s": age,
            "sources": sources,
            "slots": len(names),
            "damaged_bytes": self.damaged_bytes,
            "denied": list(self._denied.values()),
        }
