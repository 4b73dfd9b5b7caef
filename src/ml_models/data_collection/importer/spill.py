"""Rows put aside on disk by day, so that equal rows lie together and one commit touches few days.

Equal rows have equal times and so the same day. Rows are dealt by day into a fixed number of piles; small piles share
a commit, and a pile too large for memory is dealt once more, by content. Which rows go into which commit depends on
the data alone, so a killed import that starts over finds the same commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

__all__ = ["PILES", "UNIT_ROWS", "Spill"]

PILES = 128
BUFFER_ROWS = 400_000
"""Rows kept in memory before they are dealt out to disk."""
UNIT_ROWS = 250_000
"""Rows of one commit, roughly."""


class Spill:
    """A folder of piles."""

    def __init__(self, folder: Path, *, unit_rows: int = UNIT_ROWS, buffer_rows: int = BUFFER_ROWS) -> None:
        self.folder = folder
        self.unit_rows = unit_rows
        self.buffer_rows = buffer_rows
        self.counts = [0] * PILES
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0
        self._parts: list[list[Path]] = [[] for _ in range(PILES)]

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows with an `event_time`."""
        if rows.height:
            self._buffer.append(rows)
            self._buffered += rows.height
        if self._buffered >= self.buffer_rows:
            self._deal()

    def _deal(self) -> None:
        if not self._buffer:
            return
        rows = pl.concat(self._buffer)
        self._buffer, self._buffered = [], 0
        pile = (pl.col("event_time").dt.epoch("d") % PILES).alias("pile")
        for (key,), part in rows.with_columns(pile).partition_by("pile", as_dict=True, include_key=False).items():
            number = int(key)
            path = self.folder / f"{number:03d}-{len(self._parts[number]):05d}.parquet"
            part.write_parquet(path, compression="lz4", statistics=False)
            self._parts[number].append(path)
            self.counts[number] += part.height

    @property
    def rows(self) -> int:
        """Rows taken."""
        return sum(self.counts) + self._buffered

    def plan(self) -> list[list[int]]:
        """Piles of each group, in order: together about `unit_rows`, or one pile that is larger."""
        self._deal()
        groups: list[list[int]] = []
        size = 0
        for number, count in enumerate(self.counts):
            if not count:
                continue
            if groups and size + count <= self.unit_rows:
                groups[-1].append(number)
                size += count
            else:
                groups.append([number])
                size = count
        return groups

    def unit_sizes(self) -> list[int]:
        """How many units each group of `plan` makes."""
        return [-(-sum(self.counts[number] for number in group) // (2 * self.unit_rows)) for group in self.plan()]

    def rows_before(self, units: int) -> int:
        """Rows in the first so many units, to within one group: for progress only."""
        rows = 0
        for group, pieces in zip(self.plan(), self.unit_sizes(), strict=True):
            if units < pieces:
                break
            rows += sum(self.counts[number] for number in group)
            units -= pieces
        return rows

    def units(self, skip: int = 0) -> Iterator[pl.DataFrame]:
        """The rows of each commit, in order, without the first `skip`; equal rows are never apart."""
        done = 0
        for group, pieces in zip(self.plan(), self.unit_sizes(), strict=True):
            if done + pieces <= skip:
                done += pieces
                continue
            paths = [path for number in group for path in self._parts[number]]
            if pieces == 1:
                yield pl.read_parquet(paths).sort("event_time")
            else:
                for place, part in enumerate(self._split(paths, pieces)):
                    if done + place >= skip:
                        yield pl.read_parquet(part).sort("event_time") if part else pl.read_parquet(paths[0]).clear()
            for path in paths:
                path.unlink()
            done += pieces

    def _split(self, paths: list[Path], pieces: int) -> list[list[Path]]:
        """Deal a large pile by content."""
        parts: list[list[Path]] = [[] for _ in range(pieces)]
        for path in paths:
            rows = pl.read_parquet(path)
            rows = rows.with_columns((rows.hash_rows() % pieces).alias("piece"))
            for (key,), part in rows.partition_by("piece", as_dict=True, include_key=False).items():
                at = self.folder / f"{path.stem}-{int(key):05d}.split.parquet"
                part.write_parquet(at, compression="lz4", statistics=False)
                parts[int(key)].append(at)
        return parts
