"""Evaluate what is served: every held-out visitor is asked of the artifact exactly as the shop would ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml_models.core.metrics import (
    Interval,
    bootstrap,
    coverage,
    diversity,
    novelty,
    paired_bootstrap,
    popularity_lift,
    ranking_metrics,
    relevance,
)
from ml_models.core.query import Query
from ml_models.core.splits import Holdout, Split

__all__ = ["Evaluation", "Ranker", "compare", "evaluate"]


class Ranker(Protocol):
    """What can be evaluated: a loaded artifact, or a model."""

    def top(self, query: Query, k: int, exclude: frozenset[str] = ...) -> tuple[list[str], NDArray[np.float32]]:
        """The best `k` items for the query."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One ranker on one holdout; all arrays are per visitor `(c,)`."""

    k: int
    visitors: tuple[str, ...]
    lists: NDArray[np.int64]
    """(c, k) internal item ids of the training set, padded with -1."""
    values: dict[str, NDArray[np.float64]]
    """Metric -> value per visitor; NaN where it does not apply."""
    coverage: Interval
    known: NDArray[np.bool_]
    """(c,) whether the training set had met the visitor."""
    segments: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Segment -> (c,) membership."""

    def summary(self, *, resamples: int = 1000, seed: int = 0) -> dict[str, dict[str, float]]:
        """Every metric with its interval, as plain JSON."""
        figures = {name: bootstrap(array, resamples=resamples, seed=seed) for name, array in self.values.items()}
        figures["coverage"] = self.coverage
        return {name: figure.as_dict() for name, figure in figures.items()}

    def by_segment(self, metric: str = "ndcg") -> dict[str, dict[str, float]]:
        """One metric per segment with its interval; empty segments are left out."""
        return {
            name: bootstrap(self.values[metric][mask]).as_dict() for name, mask in self.segments.items() if mask.any()
        }


def _sample(test: Holdout, max_users: int | None, seed: int) -> Holdout:
    if max_users is None or len(test) <= max_users:
        return test
    keep = np.zeros(len(test), dtype=bool)
    keep[np.random.default_rng(seed).choice(len(test), size=max_users, replace=False)] = True
    return test.select(keep)


def evaluate(
    ranker: Ranker,
    split: Split,
    *,
    k: int = 10,
    history: int | None = None,
    exclude_seen: bool = False,
    include_new: bool = False,
    max_users: int | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Rank the full catalogue for every visitor of `split.test` and measure the first `k` places.

    `history`: newest interactions a query carries (None = all). `exclude_seen` leaves out what the visitor met in
    training; False by default, since repeats belong to shops. `include_new` also asks for visitors the training never
    met and of whom nothing is known. `max_users` draws a sample of visitors with `seed`, never of items.
    """
    train, test = split.train, split.test
    if not include_new:
        test = test.select((test.users >= 0) | np.array([name in split.recent for name in test.visitors], dtype=bool))
    test = _sample(test, max_users, seed)
    lists = np.full((len(test), k), -1, dtype=np.int64)
    profile = np.full(len(test), np.nan)
    amount = np.zeros(len(test), dtype=np.int64)
    met = train.matrix()
    popularity = np.asarray(met.sum(axis=0)).ravel() / max(train.n_users, 1)
    for row, (visitor, user) in enumerate(zip(test.visitors, test.users.tolist(), strict=True)):
        past = (train.history(user, history) if user >= 0 else ()) + split.recent.get(visitor, ())
        past = past if history is None else past[-history:]
        seen = met.indices[met.indptr[user] : met.indptr[user + 1]] if user >= 0 else np.empty(0, dtype=np.int64)
        if user >= 0:
            profile[row] = popularity[seen].mean()
            amount[row] = len(seen)
        banned = frozenset[str]()
        if exclude_seen:
            banned = frozenset(train.item_ids.names[item] for item in seen.tolist())
            banned |= {event.item_id for event in split.recent.get(visitor, ())}
        query = Query(limit=k, visitor=visitor, history=past, exclude=banned, now=split.cutoff)
        names, _ = ranker.top(query, k, banned)
        places = train.item_ids.ids(names)
        lists[row, : len(places)] = places
        if progress is not None and row % 256 == 0:
            progress(row / len(test))
    values: dict[str, NDArray[np.float64]] = dict(
        ranking_metrics(relevance(lists, test.rows, test.items), np.maximum(test.sizes, 1))
    )
    values["novelty"] = novelty(lists, popularity)
    values["popularity_lift"] = popularity_lift(lists, popularity, profile)
    values["diversity"] = diversity(lists, met)
    return Evaluation(
        k,
        test.visitors,
        lists,
        values,
        coverage(lists, train.n_items),
        test.users >= 0,
        {
            "new": test.users < 0,
            "light (1-4 items)": (test.users >= 0) & (amount < 5),
            "medium (5-19 items)": (amount >= 5) & (amount < 20),
            "heavy (20+ items)": amount >= 20,
        },
    )


def compare(model: Evaluation, baseline: Evaluation, metric: str = "ndcg", *, seed: int = 0) -> Interval:
    """Paired difference of two evaluations of the same visitors; the model is better when `low` > 0."""
    if model.visitors != baseline.visitors:
        raise ValueError("Two evaluations are comparable only on the same visitors, in the same order.")
    return paired_bootstrap(model.values[metric], baseline.values[metric], seed=seed)
