"""The model contract. A model file is mathematics only: this base checks, maps ids, scores and exports.

What a model has learnt is the arrays and params of one artifact kind. Scoring in memory is done by that kind itself, so
what is evaluated is what will be served.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ml_models.core import artifact
from ml_models.core.config import config_dict, make_config
from ml_models.core.errors import InsufficientData, MLError
from ml_models.core.query import Query

if TYPE_CHECKING:
    from ml_models.core.data_loader import Dataset
    from ml_models.core.run import Run
    from ml_models.core.splits import Split

__all__ = ["Learned", "Recommender"]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a fit leaves: the content of an artifact."""

    item_ids: Sequence[str]
    arrays: Mapping[str, NDArray[Any]]
    params: Mapping[str, Any]


class Recommender(ABC):
    """Base of every model. One model, one file; the file's name is the model's name."""

    name: ClassVar[str]
    Config: ClassVar[type]
    """Frozen dataclass, a docstring with unit and range under each field; `problems()` names bad values."""
    kind: ClassVar[str]
    """Artifact kind, a name of `ml_models.core.artifact.KINDS`."""
    needs: ClassVar[frozenset[str]] = frozenset({"interactions"})
    """What the loader must bring."""
    uses_epochs: ClassVar[bool] = False
    """Whether training makes passes over the data; a closed form does not."""

    config: Any

    def __init__(self, config: Mapping[str, Any] | Any = None) -> None:
        """`config`: an instance of `Config`, plain values for it, or nothing. Raises `ConfigError`."""
        values = {} if config is None else config if isinstance(config, Mapping) else config_dict(config)
        self.config = make_config(self.Config, values, self.name)
        self._scorer: artifact.LoadedArtifact | None = None

    def fit(self, data: Dataset, run: Run) -> Self:
        """Learn from the interactions of `data`; forgets whatever was learnt before.

        Raises `InsufficientData` when there is nothing to learn from.
        """
        self._scorer = None
        if not len(data):
            raise InsufficientData(f"{self.name} was given no interactions")
        learned = self._fit(data, run)
        kind = artifact.KINDS[self.kind]
        kind.check(self.name, len(learned.item_ids), learned.arrays)
        described = artifact.Artifact(
            Path(), self.kind, self.name, config_dict(self.config), learned.params, len(learned.item_ids), {}
        )
        self._scorer = kind(described, list(learned.item_ids), learned.arrays)
        return self

    @abstractmethod
    def _fit(self, data: Dataset, run: Run) -> Learned:
        """The model's mathematics; `data` holds at least one interaction."""

    @property
    def scorer(self) -> artifact.LoadedArtifact:
        """What was learnt, ready to score. Raises `MLError` before the first `fit`."""
        if self._scorer is None:
            raise MLError(f"{self.name} has not been fitted. Call fit(data, run) first.")
        return self._scorer

    def score(self, query: Query, items: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the items for the query `(len(items),)`; NaN where the model does not know the item or visitor."""
        return self.scorer.score(query, items)

    def top(self, query: Query, k: int, exclude: frozenset[str] = frozenset()) -> tuple[list[str], NDArray[np.float32]]:
        """The best `k` items for the query, best first, with their scores."""
        return self.scorer.top(query, k, exclude)

    def export(self, directory: Path) -> artifact.Artifact:
        """Write manifest and arrays into an empty folder; what is loaded from it scores as this model does."""
        scorer = self.scorer
        return artifact.write(
            directory,
            kind=self.kind,
            model=self.name,
            config=config_dict(self.config),
            item_ids=scorer.item_ids,
            arrays=scorer.arrays,
            params=scorer.params,
        )

    def evaluate(self, data: Split, *, k: int = 10) -> Mapping[str, float]:
        """Mean full-catalogue metrics over the held-out visitors of a split, the same for every model."""
        from ml_models.core.evaluation import evaluate

        return {name: figure["value"] for name, figure in evaluate(self, data, k=k).summary(resamples=1).items()}
