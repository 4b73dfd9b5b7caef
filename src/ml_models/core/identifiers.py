"""Two kinds of id, one map: strings outside, `int64` from 0 inside core and models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["IdMap"]


class IdMap:
    """External ids in a fixed order; an internal id is a position in it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: tuple[str, ...] = tuple(names)
        self._index = {name: place for place, name in enumerate(self.names)}
        if len(self._index) != len(self.names):
            raise ValueError("External ids must be unique.")

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def id(self, name: str) -> int:
        """Internal id of a name, -1 when it is unknown."""
        return self._index.get(name, -1)

    def ids(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Internal ids `(len(names),)`, -1 where unknown."""
        return np.fromiter((self._index.get(name, -1) for name in names), dtype=np.int64, count=len(names))

    def name(self, place: int) -> str:
        """External id of an internal one."""
        return self.names[place]
