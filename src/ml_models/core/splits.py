"""Train and test without a leak: by global time, by each visitor's last interaction, or with a given held-out list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from ml_models.core.data_loader import Dataset
from ml_models.core.query import Interaction

__all__ = ["Holdout", "Split", "cutoff_before", "given_holdout", "global_time_split", "leave_last_out", "live_split"]


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """What visitors turned to, in the internal ids of a training set. Letters: c visitors, t targets."""

    visitors: tuple[str, ...]
    """(c,) visitor keys."""
    users: NDArray[np.int64]
    """(c,) internal ids in the training set, -1 where it has never met the visitor."""
    rows: NDArray[np.int64]
    """(t,) position of the visitor of each known target item, ascending."""
    items: NDArray[np.int64]
    """(t,) internal ids of the known target items, distinct within a visitor, ascending within it."""
    sizes: NDArray[np.int64]
    """(c,) distinct target items of each visitor, the unknown ones included: a model cannot win those."""

    def __len__(self) -> int:
        return len(self.visitors)

    def select(self, keep: NDArray[np.bool_]) -> Holdout:
        """Only some visitors."""
        place = np.cumsum(keep) - 1
        wanted = keep[self.rows]
        return Holdout(
            tuple(v for v, k in zip(self.visitors, keep.tolist(), strict=True) if k),
            self.users[keep],
            place[self.rows[wanted]],
            self.items[wanted],
            self.sizes[keep],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A training set and what came after it."""

    train: Dataset
    test: Holdout
    cutoff: datetime | None = None
    """Every interaction of `train` is before, every target at or after it; None where visitors have their own."""
    recent: Mapping[str, tuple[Interaction, ...]] = field(default_factory=dict)
    """Visitor key -> what the visitor did between the cutoff and the targets, oldest first. A query carries it, as it
    does in the shop; no model learns from it."""


def given_holdout(train: Dataset, pairs: Iterable[tuple[str, str]]) -> Holdout:
    """Held-out (visitor key, item id) pairs from outside; equal pairs count once."""
    distinct = sorted(set(pairs))
    visitors = tuple(sorted({visitor for visitor, _ in distinct}))
    place = {visitor: row for row, visitor in enumerate(visitors)}
    rows = np.array([place[visitor] for visitor, _ in distinct], dtype=np.int64)
    items = train.item_ids.ids([item for _, item in distinct])
    known = items >= 0
    rows_known, items_known = rows[known], items[known]
    order = np.lexsort((items_known, rows_known))
    return Holdout(
        visitors,
        train.user_ids.ids(visitors),
        rows_known[order],
        items_known[order],
        np.bincount(rows, minlength=len(visitors)),
    )


def _holdout(data: Dataset, test: NDArray[np.bool_], train: Dataset) -> Holdout:
    pairs = np.unique(np.stack([data.users[test], data.items[test]]), axis=1)
    users, items = data.user_ids.names, data.item_ids.names
    return given_holdout(train, ((users[u], items[i]) for u, i in zip(*pairs.tolist(), strict=True)))


def cutoff_before(last: datetime, test_days: int, zone: tzinfo = UTC) -> datetime:
    """Start of the newest `test_days` calendar days of `zone` that end with the day of `last`; aware UTC."""
    day = last.astimezone(zone).date() - timedelta(days=test_days - 1)
    return datetime.combine(day, time(), zone).astimezone(UTC)


def global_time_split(
    data: Dataset,
    test_days: int = 14,
    *,
    cutoff: datetime | None = None,
    target_types: Collection[str] | None = None,
) -> Split:
    """Train before a moment, test from it on: the newest `test_days` UTC days, or from `cutoff`.

    `target_types` restricts the targets (such as to `purchase`), never the training. With data loaded by
    `load_interactions(known_until=cutoff)` nothing after the cutoff reaches the training set.
    """
    if cutoff is None:
        if data.last is None:
            raise ValueError("There are no interactions to split.")
        cutoff = cutoff_before(data.last, test_days)
    later = data.times >= int((cutoff - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    train = data.select(~later)
    wanted = later
    if target_types is not None:
        chosen = np.array([name in target_types for name in data.type_names], dtype=bool)
        wanted = later & chosen[data.types]
    return Split(train, _holdout(data, wanted, train), cutoff)


def live_split(
    data: Dataset,
    cutoff: datetime,
    *,
    target_types: Collection[str] | None = None,
) -> Split:
    """The global time split as a shop serves it: the model is frozen at the cutoff, the visitors' histories are not.

    What a visitor did in the newest days is cut in half by time: the first half is carried by the query, the second
    half holds the targets (fold-in of held-out visitors, as in Liang et al. 2018 and Steck 2019, but in order of time).
    Visitors the training never met are asked about too; those of one moment only are left out.
    """
    split = global_time_split(data, cutoff=cutoff, target_types=target_types)
    start = int((cutoff - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    later = np.flatnonzero(data.times >= start)
    users, begins = np.unique(data.users[later], return_index=True)
    targets = np.zeros(len(data), dtype=bool)
    recent: dict[str, tuple[Interaction, ...]] = {}
    for user, rows in zip(users.tolist(), np.split(later, begins[1:]), strict=True):
        times = data.times[rows]
        moments = np.unique(times)
        if len(moments) < 2:
            continue
        middle = moments[len(moments) // 2]
        targets[rows[times >= middle]] = True
        carried = int((times < middle).sum())
        recent[data.user_ids.names[user]] = data.history(user, len(rows))[:carried]
    if target_types is not None:
        chosen = np.array([name in target_types for name in data.type_names], dtype=bool)
        targets &= chosen[data.types]
    return Split(split.train, _holdout(data, targets, split.train), cutoff, recent)


def leave_last_out(data: Dataset) -> Split:
    """Withhold the last interaction of every visitor with two or more; only for data without a common clock."""
    pointers = data.indptr()
    test = np.zeros(len(data), dtype=bool)
    test[pointers[1:][np.diff(pointers) >= 2] - 1] = True
    train = data.select(~test)
    return Split(train, _holdout(data, test, train))
