"""The writing end of one slot of the file spool: a folder that one process at a time owns by `flock`.

Why positions are never used twice. A position is (segment number, byte offset). Readers may see bytes that are not
on disk yet and commit them to the lake; after a power cut the segment may be shorter than what was read. So:

- an owner never appends to a segment it found: it starts a new one, with a higher number, and makes that number
  durable (fsync of the folder) before the first record goes in;
- a segment whose write or fdatasync failed is cut back and left, never appended to again;
- the newest segment with records is never deleted, and a new one is numbered above the trimmed position too, so the
  highest number outlives trimming;
- the slot's name holds a random epoch, so a wiped and recreated folder is another source for the lake.

What a reader got from the lost end of a segment was never acknowledged; it is in the lake once, which is allowed, and
its positions belong to no other record.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import secrets
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ml_models.adapters.spool_frames import HEAD, frames, split_position
from ml_models.core import clock
from ml_models.core.errors import SpoolError

__all__ = [
    "SlotLost",
    "SlotWriter",
    "claim",
    "denied",
    "hold",
    "overwrite",
    "salt_of",
    "segment_path",
    "segments",
    "slots",
    "trimmed",
]

_SLOT = re.compile(r"(\d{3,})-([0-9a-f]{8})")
_SEGMENT = re.compile(r"(\d{10})\.seg")
_BLOCK = 1 << 20
_NO_SPACE = 'The spool could not store events: {}. Free space where ML_STORAGE["data"] lives; nothing was acknowledged.'


def denied(path: Path) -> str:
    """A sentence about a path that belongs to another user of this host, with the remedy."""
    me = _name(os.geteuid())
    while not path.exists() and path != path.parent:
        path = path.parent
    return (
        f"{path} belongs to {_name(path.stat().st_uid)}, and {me}, as whom this process runs, may not use it. Run the "
        f"web processes and every command as one user, and give that one the folder: chown -R {me} {path}"
    )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # as in a container
        return str(user)


class SlotLost(SpoolError):
    """The slot's folder was removed under its owner."""


def slots(folder: Path) -> list[str]:
    """Names of the slots, `NNN-epoch`, in order."""
    try:
        return sorted(name for name in (path.name for path in folder.iterdir()) if _SLOT.fullmatch(name))
    except FileNotFoundError:
        return []


def segments(slot: Path) -> list[int]:
    """Numbers of the slot's segments, ascending."""
    try:
        return sorted(int(match[1]) for match in (_SEGMENT.fullmatch(path.name) for path in slot.iterdir()) if match)
    except FileNotFoundError:
        return []


def segment_path(slot: Path, number: int) -> Path:
    """File of a segment."""
    return slot / f"{number:010d}.seg"


def salt_of(slot: Path, number: int) -> int:
    """Start value of the CRCs of one segment."""
    return zlib.crc32(f"{slot.name}/{number}".encode())


def trimmed(slot: Path) -> int:
    """Position up to which the slot was trimmed; 0 where that is not known."""
    try:
        return int((slot / "trimmed").read_text())
    except (FileNotFoundError, ValueError):  # ValueError: cut short by a power cut; it is a hint only
        return 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(slot: Path) -> int | None:
    """The slot's lock; None where another process owns it, or where another user of this host made it."""
    try:
        # The folder too: with a lock that everybody may open, one who may write no segment would own the slot.
        if not os.access(slot, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return None
        descriptor = os.open(slot / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise  # a file system without locks
    return descriptor


@contextmanager
def hold(slot: Path) -> Iterator[bool]:
    """Keep every writer out of a slot while the block runs; False, and no more, where that cannot be.

    It may be owned, gone, or another user's.
    """
    try:
        lock = _try_lock(slot)
    except OSError as error:
        raise SpoolError(_NO_SPACE.format(error)) from error
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def overwrite(path: Path, start: int, end: int) -> int:
    """Put zeros on disk in place of the bytes from `start` to `end` of a segment; returns how many were not zero.

    Raises `PermissionError` where the segment is another user's.

    Only bytes that are never written again: those before a committed position, or of a slot that is held. Readers
    pass over zeros as over any damage.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # trimmed meanwhile
        return 0
    try:
        end = min(end, os.fstat(descriptor).st_size)
        changed = 0
        for at in range(start, end, _BLOCK):
            block = os.pread(descriptor, min(_BLOCK, end - at), at)
            filled = len(block) - block.count(0)
            if filled:
                changed += filled
                os.pwrite(descriptor, bytes(len(block)), at)
        if changed:
            os.fdatasync(descriptor)
        return changed
    finally:
        os.close(descriptor)


def claim(folder: Path, *, max_slots: int, segment_bytes: int) -> SlotWriter:
    """Take a free slot, else make a new one; those of other users of this host are passed over.

    Raises `SpoolError` when all of `max_slots` are owned, and where the folder may not be written.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(folder.parent)
        while True:
            names = slots(folder)
            for name in names:
                lock = _try_lock(folder / name)
                if lock is not None:
                    return SlotWriter(folder / name, lock, segment_bytes)
            if len(names) >= max_slots:
                raise SpoolError(
                    f"All {max_slots} slots of the spool in {folder} are owned by running processes. Run fewer "
                    "processes, or give each host a folder of its own."
                )
            number = 1 + max((int(name.partition("-")[0]) for name in names), default=-1)
            (folder / f"{number:03d}-{secrets.token_hex(4)}").mkdir()
            _sync_folder(folder)
    except PermissionError as error:
        raise SpoolError(f"The spool could not store events: {denied(folder)}") from error
    except OSError as error:
        raise SpoolError(_NO_SPACE.format(error)) from error


class _Segment:
    """An open segment: how far it is written and how far it is on disk; bytes from its start."""

    def __init__(self, slot: Path, number: int) -> None:
        self.number = number
        self.salt = salt_of(slot, number)
        self.path = segment_path(slot, number)
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self.written = self.synced = 0
        self.syncing = False
        self.error: OSError | None = None
        try:
            self.write(HEAD)
            _sync_folder(slot)
        except OSError:
            os.close(self.fd)
            self.path.unlink(missing_ok=True)  # it held no record, so its number may be used again
            raise

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.fd, rest) :]
        self.written += len(data)


class SlotWriter:
    """Appends frames to the slot; threads that append at the same time share one `fdatasync`."""

    def __init__(self, slot: Path, lock: int, segment_bytes: int) -> None:
        self.slot = slot
        self._lock = lock
        self._limit = segment_bytes
        self._segment: _Segment | None = None
        self._changed = threading.Condition()

    def append(self, records: Sequence[bytes]) -> None:
        """Store the records durably. Raises `SpoolError`, `SlotLost` when the slot was removed."""
        with self._changed:
            segment = self._open()
            data = frames(records, segment.salt, int(clock.now().timestamp()))
            try:
                segment.write(data)
            except OSError as error:
                self._cut(segment, segment.written)
                self._retire(segment)
                raise SpoolError(_NO_SPACE.format(error)) from error
            self._wait_synced(segment, segment.written)
            if segment.fd >= 0 and not os.fstat(segment.fd).st_nlink:
                self._retire(segment)
                raise SlotLost(f"The slot {self.slot} was removed while it was in use. Leave the spool's folder alone.")

    def _open(self) -> _Segment:
        if self._lock < 0:  # closed by another thread while this one was on its way here
            raise SlotLost(f"The slot {self.slot} was given back.")
        segment = self._segment
        if segment is not None and segment.written >= self._limit:
            self._retire(segment)
        if self._segment is None:
            try:
                known = max(*segments(self.slot), split_position(trimmed(self.slot))[0], 0)
                self._segment = _Segment(self.slot, known + 1)
            except FileNotFoundError as error:
                raise SlotLost(f"The slot {self.slot} was removed. Leave the spool's folder alone.") from error
            except OSError as error:
                raise SpoolError(_NO_SPACE.format(error)) from error
        return self._segment

    def _wait_synced(self, segment: _Segment, target: int) -> None:
        """Group commit: whoever finds no sync under way syncs for all that wrote so far; the others wait."""
        while segment.synced < target:
            if segment.error is not None:
                raise SpoolError(_NO_SPACE.format(segment.error)) from segment.error
            if segment.syncing:
                self._changed.wait()
                continue
            segment.syncing = True
            upto, failure = segment.written, None
            self._changed.release()
            try:
                os.fdatasync(segment.fd)
            except OSError as error:
                failure = error
            finally:
                self._changed.acquire()
                segment.syncing = False
                self._changed.notify_all()
            if failure is None:
                segment.synced = max(segment.synced, upto)
            else:
                # The kernel may report a failed write-back once only: nothing after the last success counts.
                segment.error = failure
                self._cut(segment, segment.synced)
                self._retire(segment)

    @staticmethod
    def _cut(segment: _Segment, size: int) -> None:
        # Tidiness only: readers skip half a record by its CRC, and the segment is never appended to again.
        with contextlib.suppress(OSError):
            os.ftruncate(segment.fd, size)

    def _retire(self, segment: _Segment) -> None:
        """Sync what others still wait for, close the segment; the next append starts a new one."""
        if self._segment is segment:
            self._segment = None
        while segment.syncing:
            self._changed.wait()
        if segment.fd < 0:
            return
        if segment.error is None and segment.synced < segment.written:
            try:
                os.fdatasync(segment.fd)
                segment.synced = segment.written
            except OSError as error:
                segment.error = error
        os.close(segment.fd)
        segment.fd = -1
        self._changed.notify_all()

    def close(self) -> None:
        """Give the slot back."""
        with self._changed:
            if self._segment is not None:
                self._retire(self._segment)
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's descriptors; the parent keeps the slot."""
        for descriptor in (self._lock, self._segment.fd if self._segment else -1):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock, self._segment = -1, None
