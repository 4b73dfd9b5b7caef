"""Item-based nearest neighbours: visitors who met this also met that (cosine with shrinkage).

Sarwar et al. 2001; shrinkage as in Bell and Koren 2007; strong on shop data (Ferrari Dacrema et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ml_models.core.data_loader import Dataset
from ml_models.core.errors import InsufficientData
from ml_models.core.recommender import Learned, Recommender
from ml_models.core.run import Run
from ml_models.models._popularity import prior

__all__ = ["ItemKNN"]


@dataclass(frozen=True, slots=True)
class ItemKNNConfig:
    """How neighbours are found and how a history speaks."""

    neighbours: int = 200
    """Most similar items kept per item; count, >= 1."""
    shrinkage: float = 50.0
    """Added to the product of the norms: neighbours met together by few visitors weigh less; >= 0, 0 = plain cosine."""
    min_events: int = 1
    """Interactions an item needs to take part; count, >= 1."""
    weighting: Literal["none", "idf", "tfidf"] = "none"
    """Weight of a visitor: `idf` = log(items / items of the visitor), so that heavy visitors say less; `tfidf` takes
    the root of the interaction's weight too."""
    repeat: float = 1.0
    """Weight of an item for itself, in units of its nearest neighbour's; >= 0, 0 = a history never speaks for
    repeats, 1 = as much as for the nearest neighbour."""
    popularity: float = 0.2
    """Weight of recent popularity beside what a history says, in units of its best score; >= 0, 0 = none. Lists similar
    to a product do without it."""
    combine: Literal["sum", "max"] = "max"
    """Several events of a visitor with one item: their sum, or the strongest."""
    fit_half_life_days: float = 90.0
    """Age at which an interaction counts half in the similarities; days, >= 0, 0 = no decay."""
    half_life_days: float = 30.0
    """Time before the visitor's newest event at which a history's item counts half; days, >= 0, 0 = no decay."""
    step_decay: float = 1.0
    """Factor per item that came later in the history; 0 to 1, 1 = no decay."""

    def problems(self) -> list[str]:
        """Values out of range, in words."""
        found = [f"{name} must be >= 1" for name in ("neighbours", "min_events") if getattr(self, name) < 1]
        names = ("shrinkage", "repeat", "popularity", "fit_half_life_days", "half_life_days")
        found += [f"{name} must be >= 0" for name in names if getattr(self, name) < 0]
        return found if 0 < self.step_decay <= 1 else [*found, "step_decay must be above 0 and at most 1"]


class ItemKNN(Recommender):
    """Cosine between the items' columns of visitors' weights; a history's scores are the sum over its items."""

    name = "item_knn"
    Config = ItemKNNConfig
    kind: ClassVar[str] = "item_item"

    def _fit(self, data: Dataset, run: Run) -> Learned:
        config: ItemKNNConfig = self.config
        data = data.frequent(config.min_events)
        if not len(data):
            raise InsufficientData(f"item_knn found no item with {config.min_events} or more interactions")
        x = data.inputs(combine=config.combine, half_life_days=config.fit_half_life_days, since_end=True)  # (U, n)
        if config.weighting != "none":
            if config.weighting == "tfidf":
                x.data = np.sqrt(x.data)
            idf = np.log(data.n_items / np.maximum(np.diff(x.indptr), 1)) + 1e-6
            x = sparse.diags(idf.astype(np.float32)) @ x
        norms = np.sqrt(np.asarray(x.multiply(x).sum(axis=0)).ravel())  # (n,)
        columns = x.T.tocsr()  # (n, U)
        width = x.tocsr()
        indptr = np.zeros(data.n_items + 1, dtype=np.int64)
        indices: list[np.ndarray] = []
        values: list[np.ndarray] = []
        block = max(1, min(data.n_items, 20_000_000 // max(data.n_items, 1)))  # rows whose products fit 160 MB
        for begin in range(0, data.n_items, block):
            products = (columns[begin : begin + block] @ width).tocsr()  # (block, n)
            for row in range(products.shape[0]):
                item = begin + row
                span = slice(products.indptr[row], products.indptr[row + 1])
                near = products.indices[span]
                similar = products.data[span] / (norms[item] * norms[near] + config.shrinkage)
                keep = near != item
                near, similar = near[keep], similar[keep]
                if len(near) > config.neighbours:
                    best = np.argpartition(-similar, config.neighbours - 1)[: config.neighbours]
                    near, similar = near[best], similar[best]
                if config.repeat > 0 and len(near):
                    near, similar = np.r_[near, item], np.r_[similar, config.repeat * similar.max()]
                order = np.argsort(near)
                indices.append(near[order].astype(np.int32))
                values.append(similar[order].astype(np.float32))
                indptr[item + 1] = indptr[item] + len(near)
            run.report("neighbours", min(1.0, (begin + block) / data.n_items))
        arrays: dict[str, NDArray[Any]] = {
            "indptr": indptr,
            "indices": np.concatenate(indices),
            "data": np.concatenate(values),
            **prior(data, config.popularity),
        }
        params = {
            "weights": dict(data.type_weights),
            "combine": config.combine,
            "half_life_days": config.half_life_days,
            "step_decay": config.step_decay,
        }
        return Learned(data.item_ids.names, arrays, params)
