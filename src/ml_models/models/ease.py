"""EASE: the linear item-item model that reconstructs each history from its other items, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from ml_models.core.data_loader import Dataset
from ml_models.core.errors import InsufficientData, MLError
from ml_models.core.recommender import Learned, Recommender
from ml_models.core.run import Run
from ml_models.models._popularity import prior

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
    popularity: float = 0.2
    """Weight of recent popularity beside what a history says, in units of its best score; >= 0, 0 = none. Lists similar
    to a product do without it."""
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
    "popularity": 0,
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
        x = data.inputs(combine=config.combine, half_life_days=config.fit_half_life_days, since_end=True)  # (U, n)
        x = x.astype(np.float64)
        by_visitors = _few_visitors(x)
        need = 4 * n * n + (8 * x.shape[0] * (x.shape[0] + n) if by_visitors else 8 * n * n)
        if run.memory is not None and need > run.memory:
            fits = int(n * (run.memory / need) ** 0.5)
            raise MLError(
                f"EASE over {n:,} items needs {need / 1e9:.1f} GB and {run.memory / 1e9:.1f} GB are free. Lower "
                f'ML_MODELS["config"]["ease"]["max_items"] to {fits:,} or train on a machine with more memory.'
            )
        solve = _by_visitors if by_visitors else _by_items
        weights = solve(x, config.regularization, run)
        if config.repeat > 0:
            weights[np.diag_indices(n)] = config.repeat * weights.max(axis=1)
        arrays = _largest(weights, config.neighbours) if config.neighbours else {"weights": weights}
        arrays |= prior(data, config.popularity)
        params = {
            "weights": dict(data.type_weights),
            "combine": config.combine,
            "half_life_days": config.half_life_days,
            "step_decay": config.step_decay,
        }
        return Learned(data.item_ids.names, arrays, params)


def _few_visitors(x: sparse.csr_matrix) -> bool:
    """Whether the system over visitors is cheaper than the one over items (LAPACK is some 30 times denser work)."""
    users, n = x.shape
    return users < n and users**3 + 60 * x.nnz * (n + users) < n**3


def _inverse(matrix: NDArray[np.float64], regularization: float, run: Run) -> NDArray[np.float64]:
    """(matrix + lambda I)^-1 of a symmetric matrix, in its own memory; only the lower triangle is filled."""
    matrix[np.diag_indices(len(matrix))] += regularization
    run.report("normal equations", 0.2)
    matrix, info = lapack.dpotrf(matrix, lower=1, overwrite_a=1, clean=0)
    if info == 0:
        run.report("factorized", 0.5)
        matrix, info = lapack.dpotri(matrix, lower=1, overwrite_c=1)
    if info != 0:
        raise MLError(
            f"EASE could not invert its {len(matrix):,} x {len(matrix):,} matrix (LAPACK {info}). Raise "
            'ML_MODELS["config"]["ease"]["regularization"].'
        )
    run.report("inverted", 0.8)
    return matrix


def _dense(left: sparse.csr_matrix, right: sparse.csr_matrix) -> NDArray[np.float64]:
    """The product (r, c) in column order, filled in blocks of rows."""
    rows, columns = left.shape[0], right.shape[1]
    product = np.zeros((rows, columns), dtype=np.float64, order="F")
    step = max(1, 20_000_000 // columns)
    for begin in range(0, rows, step):
        product[begin : begin + step] = (left[begin : begin + step] @ right).toarray()
    return product


def _by_items(x: sparse.csr_matrix, regularization: float, run: Run) -> NDArray[np.float32]:
    """-P_ij / P_jj with 0 on the diagonal, (n, n)."""
    p = _inverse(_dense(x.T.tocsr(), x), regularization, run)  # (n, n)
    n = len(p)
    scale = -1.0 / np.diagonal(p)  # (n,)
    weights = np.empty((n, n), dtype=np.float32)
    step = max(1, 20_000_000 // n)
    for begin in range(0, n, step):
        end = min(begin + step, n)
        square = np.tril(p[begin:end, begin:end])
        weights[begin:end, :begin] = p[begin:end, :begin] * scale[:begin]
        weights[begin:end, begin:end] = (square + np.tril(square, -1).T) * scale[begin:end]
        weights[begin:end, end:] = p[end:, begin:end].T * scale[end:]
    weights[np.diag_indices(n)] = 0.0
    return weights


def _by_visitors(x: sparse.csr_matrix, regularization: float, run: Run) -> NDArray[np.float32]:
    """The same weights where visitors are few: lambda P = I - X' (X X' + lambda I)^-1 X (Woodbury), (n, n)."""
    inverse = _inverse(_dense(x, x.T.tocsr()), regularization, run)  # (U, U), lower
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    columns = x.T.tocsr()  # (n, U)
    half = columns @ inverse  # (n, U)
    n = x.shape[1]
    diagonal = 1.0 - np.asarray(columns.multiply(half).sum(axis=1)).ravel()  # (n,)
    weights = np.empty((n, n), dtype=np.float32)
    step = max(1, 20_000_000 // n)
    for begin in range(0, n, step):
        weights[begin : begin + step] = (columns @ half[begin : begin + step].T).T / diagonal
    weights[np.diag_indices(n)] = 0.0
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
