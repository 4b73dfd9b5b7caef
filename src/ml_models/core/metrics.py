"""Ranking metrics over the full catalogue, with intervals. Arrays in, arrays out; no loop over visitors.

Letters: c visitors, k places, n items, t targets. A list is a row of internal item ids, best first, padded with -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = [
    "Interval",
    "bootstrap",
    "coverage",
    "diversity",
    "novelty",
    "paired_bootstrap",
    "popularity_lift",
    "ranking_metrics",
    "relevance",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Visitors behind it."""

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def relevance(lists: NDArray[np.int64], rows: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which places of the lists `(c, k)` hold a target of their visitor; targets are pairs `rows`, `items` (t,)."""
    width = int(max(lists.max(initial=-1), items.max(initial=-1))) + 2
    keys = np.arange(len(lists))[:, None] * width + lists
    hits: NDArray[np.bool_] = np.isin(keys, rows * width + items) & (lists >= 0)
    return hits


def ranking_metrics(hits: NDArray[np.bool_], sizes: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Per-visitor metrics `(c,)` of relevant places `hits` (c, k) and target counts `sizes` (c,), each >= 1.

    `hr` (any hit), `recall` (hits / targets), `recall_capped` (hits / min(k, targets)), `precision` (hits / k), `ndcg`
    (binary gain, log2 discount, ideal over min(k, targets); Järvelin and Kekäläinen 2002), `mrr` (1 / place of the
    first hit), `map` (mean precision at the hits over min(k, targets)).
    """
    k = hits.shape[1]
    places = np.arange(1, k + 1)
    discount = 1.0 / np.log2(places + 1)
    found = hits.sum(axis=1)
    reachable = np.minimum(sizes, k)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[reachable]
    first = np.where(found > 0, hits.argmax(axis=1) + 1, np.inf)
    precision = np.cumsum(hits, axis=1) / places
    return {
        "hr": (found > 0).astype(np.float64),
        "recall": found / sizes,
        "recall_capped": found / reachable,
        "precision": found / k,
        "ndcg": (hits * discount).sum(axis=1) / ideal,
        "mrr": 1.0 / first,
        "map": (precision * hits).sum(axis=1) / reachable,
    }


def coverage(lists: NDArray[np.int64], n: int) -> Interval:
    """Share of the `n` items that stand in at least one list; the interval is the jackknife's over visitors.

    Leaving one visitor out loses the items that only this visitor's list holds.
    """
    shown = lists >= 0
    counts = np.bincount(lists[shown], minlength=max(n, 1))
    covered = float((counts > 0).sum()) / max(n, 1)
    alone = np.zeros(lists.shape, dtype=bool)
    alone[shown] = counts[lists[shown]] == 1
    lost = alone.sum(axis=1) / max(n, 1)
    c = len(lists)
    error = float(np.sqrt((c - 1) / c * ((lost - lost.mean()) ** 2).sum())) if c > 1 else 0.0
    return Interval(covered, max(0.0, covered - 1.96 * error), min(1.0, covered + 1.96 * error), c)


def novelty(lists: NDArray[np.int64], popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean self-information -log2 p(item) of each list, bits `(c,)`; `popularity` (n,) = share of visitors, > 0.

    NaN for an empty list.
    """
    bits = -np.log2(popularity)
    return _row_mean(np.where(lists >= 0, bits[lists], np.nan))


def popularity_lift(
    lists: NDArray[np.int64], popularity: NDArray[np.float64], profile: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much more popular a list is than its visitor's history `(c,)`: 0 = as popular, 1 = twice, negative = less.

    `popularity` (n,) share of visitors per item, `profile` (c,) its mean over each visitor's history. The group
    average popularity of Abdollahpouri et al. 2019, per visitor. NaN for an empty list.
    """
    lift: NDArray[np.float64] = _row_mean(np.where(lists >= 0, popularity[lists], np.nan)) / profile - 1.0
    return lift


def diversity(lists: NDArray[np.int64], matrix: sparse.csr_matrix, max_pairs: int = 200_000) -> NDArray[np.float64]:
    """Mean of 1 - cosine over the pairs of each list `(c,)`, by who met the items: `matrix` (U, n).

    1 = nobody met two of them. NaN for a list of fewer than two. Visitors beyond `max_pairs` distinct pairs are NaN.
    """
    c, k = lists.shape
    left, right = np.triu_indices(k, 1)
    a, b = lists[:, left], lists[:, right]
    valid = (a >= 0) & (b >= 0)
    n = matrix.shape[1]
    key = np.where(valid, np.minimum(a, b) * n + np.maximum(a, b), -1)
    distinct = np.unique(key[valid])
    if len(distinct) > max_pairs:
        # evenly over the visitors: in their order guests come before users
        rows = np.linspace(0, c - 1, max(1, int(c * max_pairs / len(distinct)))).astype(np.int64)
        result = np.full(c, np.nan)
        result[rows] = diversity(lists[rows], matrix, max_pairs=len(distinct))
        return result
    columns = matrix.tocsc()
    norms = np.sqrt(np.asarray(columns.multiply(columns).sum(axis=0)).ravel())
    unit = (columns @ sparse.diags(1.0 / np.where(norms > 0, norms, 1.0))).T.tocsr()
    cosine = np.concatenate(
        [
            np.asarray(unit[part // n].multiply(unit[part % n]).sum(axis=1)).ravel()
            for part in np.array_split(distinct, max(1, len(distinct) // 5000))
        ]
        or [np.empty(0)]
    )
    values = np.full(key.shape, np.nan)
    values[valid] = 1.0 - cosine[np.searchsorted(distinct, key[valid])]
    return _row_mean(values)


def _row_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    there = ~np.isnan(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean


def _resampled_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    n = len(values)
    step = max(1, 4_000_000 // n)
    means = [
        values[rng.integers(0, n, size=(min(step, resamples - begin), n))].mean(axis=1)
        for begin in range(0, resamples, step)
    ]
    return np.concatenate(means)


def bootstrap(values: NDArray[np.float64], *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Mean over visitors with its 95 % percentile bootstrap interval (Efron 1979); NaN values are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    low, high = np.quantile(_resampled_means(values, resamples, seed), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high), len(values))


def paired_bootstrap(
    values: NDArray[np.float64], baseline: NDArray[np.float64], *, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Mean difference `values - baseline` over the same visitors, with its 95 % interval: better when `low` > 0."""
    return bootstrap(values - baseline, resamples=resamples, seed=seed)


def summarize(
    values: Mapping[str, NDArray[np.float64]], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Every metric's mean with its interval."""
    return {name: bootstrap(array, resamples=resamples, seed=seed) for name, array in values.items()}
