"""The model contract. A model file is mathematics only: this base checks and maps ids, the model calculates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ml_models.core.query import Query

if TYPE_CHECKING:
    from ml_models.core.artifact import Artifact
    from ml_models.core.data_loader import Dataset
    from ml_models.core.run import Run

__all__ = ["Recommender"]


class Recommender(ABC):
    """Base of every model. One model, one file; the file's name is the model's name."""

    name: ClassVar[str]
    Config: ClassVar[type]
    needs: ClassVar[frozenset[str]] = frozenset({"interactions"})

    config: Any

    @abstractmethod
    def fit(self, data: Dataset, run: Run) -> Self:
        """Learn from the interactions of `data`; forgets whatever was learnt before."""

    @abstractmethod
    def score(self, query: Query, items: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the items for the query, shape `(len(items),)`; NaN where the model does not know the item."""

    @abstractmethod
    def export(self, directory: Path) -> Artifact:
        """Write manifest and arrays into an empty folder; what is loaded from it scores as this model does."""

    @abstractmethod
    def evaluate(self, data: Any, *, k: int = 10) -> Mapping[str, float]:
        """Full-catalogue metrics on held-out interactions."""
