"""Dead letters: what could not be taken, kept with the reason for a replay after the fault is fixed.

One JSON object a line in segment files, bounded in size and age: the oldest segments go first, and what went is
counted. Any number of processes may write.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from ml_models.core import clock
from ml_models.core.errors import MLError, StoreError
from ml_models.core.scrub import scrub

__all__ = ["DeadLetters", "Letter", "Replayed"]


class Letter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One refused payload."""

    at: datetime
    reason: str
    """Short code, such as `wrong_type`."""
    path: str = ""
    """Field, or file and line, at fault."""
    kind: str = "event"
    """`event`: JSON of one event from the track endpoint; `record`: a spool record; `row`: a row of a file."""
    detail: str = ""
    payload: str = ""
    """Text, or base64 where `binary`."""
    binary: bool = False
    context: dict[str, Any] = {}

    @property
    def raw(self) -> bytes:
        """The payload as it came."""
        return base64.b64decode(self.payload) if self.binary else self.payload.encode()

    @property
    def key(self) -> str:
        """The same for the same refused payload."""
        return hashlib.sha256(f"{self.kind}\n{self.payload}\n{self.path}".encode()).hexdigest()[:32]


class Replayed(msgspec.Struct, frozen=True):
    """What a replay did."""

    accepted: int
    refused: int
    """Still refused; they stay."""


def _day_of(segment: Path) -> date:
    return datetime.strptime(segment.stem.partition("-")[2], "%Y%m%d").replace(tzinfo=UTC).date()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Letter).decode


def _is(line: bytes, mine: Callable[[Letter], bool], torn: Callable[[bytes], bool]) -> bool:
    try:
        letter = _decode(line)
    except msgspec.DecodeError:  # half a line, which a killed process left
        return torn(line)
    return mine(letter)


def _state(path: Path) -> tuple[int, int, int]:
    """Differs once the file is added to or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


class DeadLetters:
    """Segments of letters in a folder, the newest last."""

    def __init__(
        self,
        folder: Path | str,
        *,
        segment_bytes: int = 4 << 20,
        max_bytes: int = 64 << 20,
        max_age: timedelta = timedelta(days=30),
    ) -> None:
        self._folder = Path(folder)
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._max_age = max_age

    def write(
        self,
        reason: str,
        path: str,
        payload: bytes,
        *,
        kind: str = "event",
        detail: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep one refused payload."""
        self.write_all([self.letter(reason, path, payload, kind=kind, detail=detail, context=context)])

    @staticmethod
    def letter(
        reason: str,
        path: str,
        payload: bytes,
        *,
        kind: str = "event",
        detail: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> Letter:
        """A letter of this moment, not kept yet."""
        try:
            text, binary = payload.decode(), False
        except UnicodeDecodeError:
            text, binary = base64.b64encode(payload).decode(), True
        return Letter(
            at=clock.now(),
            reason=reason,
            path=scrub(path),  # a key that a client chose
            kind=kind,
            detail=scrub(detail)[:500],
            payload=scrub(text) if kind == "row" else text,
            binary=binary,
            context=dict(context or {}),
        )

    def write_all(self, letters: Iterable[Letter], *, durable: bool = False) -> None:
        """Keep letters; with `durable` they survive a power cut when this returns. Raises `StoreError`."""
        lines = b"".join(_encode(letter) + b"\n" for letter in letters)
        if not lines:
            return
        try:
            self._append(lines, durable=durable)
        except OSError as error:
            raise StoreError(
                f'Dead letters could not be kept: {error}. Free space where ML_STORAGE["data"] lives.'
            ) from error

    def _append(self, lines: bytes, *, durable: bool) -> None:
        with self._locked("lock"):
            descriptor = os.open(self._current(), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    lines = b"\n" + lines  # a killed process left half a line; ours must not become part of it
                rest = memoryview(lines)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))

    def _current(self) -> Path:
        """The segment to append to; a new one begins when the last is full or of another day, and old ones go then.

        Age is told by the day in a segment's name, so a letter may not join a segment of an earlier day.
        """
        existing = self._segments()
        if (
            existing
            and _day_of(existing[-1]) == clock.now().date()
            and existing[-1].stat().st_size < self._segment_bytes
        ):
            return existing[-1]
        self._prune(existing)
        return self._next(existing)

    def _next(self, existing: list[Path]) -> Path:
        number = 1 + (int(existing[-1].stem.partition("-")[0]) if existing else 0)
        return self._folder / f"{number:08d}-{clock.now():%Y%m%d}.jsonl"

    def prune(self) -> int:
        """Drop segments that are too old or too much; returns how many letters went."""
        with self._locked("lock"):
            return self._prune(self._segments())

    def _prune(self, existing: list[Path]) -> int:
        oldest = (clock.now() - self._max_age).date()
        sizes: dict[Path, int] = {}
        for path in existing:
            with suppress(FileNotFoundError):  # a replay emptied it meanwhile
                sizes[path] = path.stat().st_size
        total = sum(sizes.values())
        gone = 0
        for path, size in sizes.items():
            if _day_of(path) >= oldest and total + self._segment_bytes <= self._max_bytes:
                break
            total -= size
            with suppress(FileNotFoundError):
                gone += path.read_bytes().count(b"\n")
                path.unlink()
        if gone:
            counter = self._folder / "dropped"
            counter.write_text(str(self._dropped() + gone))
        return gone

    def _dropped(self) -> int:
        try:
            return int((self._folder / "dropped").read_text())
        except (FileNotFoundError, ValueError):  # ValueError: cut short by a power cut
            return 0

    @staticmethod
    def _read(path: Path) -> Iterator[Letter]:
        try:
            lines = path.open("rb")
        except FileNotFoundError:  # a writer dropped the oldest segments meanwhile
            return
        with lines:
            for line in lines:
                try:
                    yield _decode(line)
                except msgspec.DecodeError:  # half a line, which a killed process left
                    continue

    def __iter__(self) -> Iterator[Letter]:
        """All letters, oldest first."""
        for path in self._segments():
            yield from self._read(path)

    def replay(self, accept: Callable[[Letter], None]) -> Replayed:
        """Offer every letter to `accept`; those it takes without an `MLError` are removed, the others stay.

        Killed half-way and run again, it offers some letters twice; event ids keep the lake from doubling them.
        """
        accepted = refused = 0
        with self._locked("replay.lock"):
            with self._locked("lock"):
                waiting = self._segments()
                if waiting:
                    self._next(waiting).touch()  # writers go on there
            for path in waiting:
                kept = []
                for letter in self._read(path):
                    try:
                        accept(letter)
                        accepted += 1
                    except MLError:
                        kept.append(letter)
                refused += len(kept)
                if kept:
                    partial = path.with_suffix(".partial")
                    partial.write_bytes(b"".join(_encode(letter) + b"\n" for letter in kept))
                    partial.replace(path)
                else:
                    path.unlink(missing_ok=True)
        return Replayed(accepted, refused)

    def erase(self, mine: Callable[[Letter], bool], torn: Callable[[bytes], bool], *, dry_run: bool = False) -> int:
        """Remove letters and half lines for which `mine` and `torn` say so; returns how many. The others stay."""
        found = 0
        # Looked at first without the lock, for which every page that is sent nonsense would wait.
        others = {}
        for path in self._segments():
            with suppress(FileNotFoundError):
                state = _state(path)
                if not any(_is(line, mine, torn) for line in path.read_bytes().splitlines(keepends=True)):
                    others[path] = state
        with self._locked("replay.lock"), self._locked("lock"):
            for path in self._folder.glob("*.partial") if not dry_run else ():
                path.unlink()  # of a killed replay; nobody else is at work now
            for path in self._segments():
                if others.get(path) == _state(path):
                    continue
                lines = path.read_bytes().splitlines(keepends=True)
                kept = [line for line in lines if not _is(line, mine, torn)]
                found += len(lines) - len(kept)
                if dry_run or len(kept) == len(lines):
                    continue
                if kept:
                    partial = path.with_suffix(".partial")
                    with partial.open("wb") as file:
                        file.write(b"".join(kept))
                        file.flush()
                        os.fsync(file.fileno())
                    partial.replace(path)
                else:
                    path.unlink()
        return found

    def fingerprint(self) -> str:
        """The same as long as no letter came or went."""
        sizes = []
        for path in self._segments():
            with suppress(FileNotFoundError):  # a replay emptied it meanwhile
                sizes.append(f"{path.name} {path.stat().st_size}")
        return hashlib.sha256("\n".join(sizes).encode()).hexdigest()[:32]

    def stats(self) -> dict[str, Any]:
        """`letters`, `bytes`, `oldest`, `by_reason` and `dropped`."""
        reasons: Counter[str] = Counter()
        oldest: datetime | None = None
        for letter in self:
            reasons[letter.reason] += 1
            oldest = letter.at if oldest is None else min(oldest, letter.at)
        return {
            "letters": reasons.total(),
            "bytes": sum(path.stat().st_size for path in self._segments()),
            "oldest": oldest,
            "by_reason": dict(reasons.most_common()),
            "dropped": self._dropped(),
        }
