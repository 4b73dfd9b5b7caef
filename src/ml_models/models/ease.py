"""EASE: the linear item-item model that reconstructs each history from its other items, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from ml_models.core.data_loader import Dataset
from ml_models.core.errors import InsufficientData, MLError
from ml_models.core.recommender import Learned, Recommender
from ml_models.core.run import Run

__all__ = ["Ease"]


@dataclass(frozen=True, slots=True)
class EaseConfig:
    """How EASE learns and how a history speaks."""

    regularization: float = 100.0
    """L2 penalty lambda, in squared weights; > 0; 50 to 300 on sparse, 300 to 1,000 on dense data."""
    min_events: int = 3
    """Interactions an item needs to take part; count, >= 1."""
    max_items: int = 20_000
    """Items solved exactly; beyond, the most frequent ones take part; count, >= 2. Memory grows with its square."""
    neighbours: int = 0
    """Largest weights kept per item (by size, a smaller artifact); count, >= 0, 0 = all, the exact model."""
    repeat: float = 0.5
    """Weight of an item for itself, in units of the row's largest weight; >= 0, 0 = a history never speaks for
    repeats, 1 = as much as for the item it speaks for most."""
    combine: Literal["sum", "max"] = "max"
    """Several events of a visitor with one item: their sum, or the strongest."""
    fit_half_life_days: float = 180.0
    """Age at which an interaction counts half in training; days, >= 0, 0 = no decay."""
    half_life_days: float = 90.0
    """Time before the visitor's newest event at which a history's item counts half; days, >= 0, 0 = no decay."""
    step_decay: float = 1.0
    """Factor per item that came later in the history; 0 to 1, 1 = no decay."""

    def problems(self) -> list[str]:
        """Values out of range, in words."""
        found = [] if self.regularization > 0 else ["regularization must be > 0"]
        found += [f"{name} must be >= {low}" for name, low in _LEAST.items() if getattr(self, name) < low]
        return found if 0 < self.step_decay <= 1 else [*found, "step_decay must be above 0 and at most 1"]


_LEAST = {
    "min_events": 1,
    "max_items": 2,
    "neighbours": 0,
    "repeat": 0,
    "fit_half_life_days": 0,
    "half_life_days": 0,
}


class Ease(Recommender):
    """B = I - P diag(1 / P_jj), P = (X'X + lambda I)^-1: scores = history @ B, the diagonal of B is 0.

    Exact up to `max_items`. Beyond, rarer items are left to other models instead of approximating the inverse: with a
    power law the frequent ones carry nearly all interactions, and a low-rank inverse fits the tail least of all.
    """

    name = "ease"
    Config = EaseConfig
    kind: ClassVar[str] = "item_item"

    def _fit(self, data: Dataset, run: Run) -> Learned:
        config: EaseConfig = self.config
        data = data.frequent(config.min_events, config.max_items)
        n = data.n_items
        if n < 2:
            raise InsufficientData(f"ease found {n} items with {config.min_events} or more interactions and needs 2")
        need = n * n * (8 + 4)  # the matrix in float64, inverted in place, and the float32 weights
        if run.memory is not None and need > run.memory:
            fits = int((run.memory / 12) ** 0.5)
            raise MLError(
                f"EASE over {n:,} items needs {need / 1e9:.1f} GB and {run.memory / 1e9:.1f} GB are free. Lower "
                f'ML_MODELS["config"]["ease"]["max_items"] to {fits:,} or train on a machine with more memory.'
            )
        x = data.inputs(combine=config.combine, half_life_days=config.fit_half_life_days, since_end=True)  # (U, n)
        gram = np.zeros((n, n), dtype=np.float64, order="F")
        columns = x.T.tocsr()
        step = max(1, 20_000_000 // n)
        for begin in range(0, n, step):
            gram[:, begin : begin + step] = (columns[begin : begin + step] @ x).toarray().T
        gram[np.diag_indices(n)] += config.regularization
        run.report("normal equations", 0.2)
        gram, info = lapack.dpotrf(gram, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            run.report("factorized", 0.6)
            gram, info = lapack.dpotri(gram, lower=1, overwrite_c=1)
        if info != 0:
            raise MLError(
                f"EASE could not invert its {n:,} x {n:,} matrix (LAPACK {info}). Raise "
                'ML_MODELS["config"]["ease"]["regularization"].'
            )
        run.report("inverted", 0.9)
        weights = _weights(gram, step, config.repeat)
        arrays = _largest(weights, config.neighbours) if config.neighbours else {"weights": weights}
        params = {
            "weights": dict(data.type_weights),
            "combine": config.combine,
            "half_life_days": config.half_life_days,
            "step_decay": config.step_decay,
        }
        return Learned(data.item_ids.names, arrays, params)


def _weights(inverse: NDArray[np.float64], step: int, repeat: float) -> NDArray[np.float32]:
    """-P_ij / P_jj (n, n), `repeat` times the row's largest on the diagonal; `inverse` is filled below it only."""
    n = len(inverse)
    scale = -1.0 / np.diagonal(inverse)  # (n,)
    weights = np.empty((n, n), dtype=np.float32)
    for begin in range(0, n, step):
        end = min(begin + step, n)
        square = np.tril(inverse[begin:end, begin:end])
        weights[begin:end, :begin] = inverse[begin:end, :begin] * scale[:begin]
        weights[begin:end, begin:end] = (square + np.tril(square, -1).T) * scale[begin:end]
        weights[begin:end, end:] = inverse[end:, begin:end].T * scale[end:]
    weights[np.diag_indices(n)] = 0.0
    if repeat > 0:
        weights[np.diag_indices(n)] = repeat * weights.max(axis=1)
    return weights


def _largest(weights: NDArray[np.float32], keep: int) -> dict[str, NDArray[Any]]:
    """The `keep` largest weights of each row by size, as CSR arrays."""
    n = len(weights)
    keep = min(keep, n)
    indices = np.sort(np.stack([np.argpartition(-np.abs(row), keep - 1)[:keep] for row in weights]), axis=1)
    return {
        "indptr": np.arange(n + 1, dtype=np.int64) * keep,
        "indices": indices.astype(np.int32).ravel(),
        "data": np.take_along_axis(weights, indices, axis=1).ravel(),
    }
