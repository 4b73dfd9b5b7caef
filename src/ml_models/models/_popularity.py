"""How popular items are: shared by the baseline and by models that take it as a prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_models.core.data_loader import DAY, Dataset

__all__ = ["decayed", "per_item", "prior"]

PRIOR_DAYS = 14.0
"""Half-life of the prior's interactions; days."""
PRIOR_ITEMS = 500
"""Most popular items that have a prior at all; count. The others' would decide nothing, and cost every list."""


def per_item(data: Dataset, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over visitors of each visitor's strongest value for the item, (n,); `values` (m,)."""
    key = data.users * data.n_items + data.items
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
    strongest = np.maximum.reduceat(values[order], starts)
    sums = np.bincount(key[order][starts] % data.n_items, weights=strongest, minlength=data.n_items)
    return sums.astype(np.float64)


def decayed(data: Dataset, half_life_days: float) -> NDArray[np.float64]:
    """Weights of the interactions, halved every `half_life_days` before the newest one (0 = no decay), (m,)."""
    if half_life_days <= 0:
        return data.weights
    return data.weights * 0.5 ** ((int(data.times.max()) - data.times) / (DAY * half_life_days))


def prior(data: Dataset, weight: float) -> dict[str, NDArray[np.float32]]:
    """The array `popularity` (n,) of an `item_item` artifact: `weight` for the most popular item, less for others.

    Empty where `weight` is 0.
    """
    if weight <= 0:
        return {}
    scores = per_item(data, decayed(data, PRIOR_DAYS))
    if len(scores) > PRIOR_ITEMS:
        scores[scores < np.partition(scores, len(scores) - PRIOR_ITEMS)[len(scores) - PRIOR_ITEMS]] = 0.0
    return {"popularity": (weight * scores / scores.max()).astype(np.float32)}
