"""Where candidates come from: trained models by their name, and a few built-in sources that need no training.

A source answers one question: your best `k` items for this query. Whatever name is no built-in is the name of a
model, served while one of its versions is promoted; a new model needs no code here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ml_models.adapters.build import get_catalogue, shared
from ml_models.core.errors import InvalidQuery
from ml_models.core.query import Query
from ml_models.core.validation import did_you_mean
from ml_models.serving.loaded import get_models
from ml_models.serving.stats import ProductRanking
from ml_models.settings import get_settings

__all__ = ["BUILT_IN", "DEFAULT_SOURCES", "Candidates", "Source", "get_source", "list_types", "sources_for"]

DEFAULT_SOURCES: dict[str, tuple[str, ...]] = {
    "personalized": ("ease", "item_knn", "trending", "popular", "bestsellers", "new"),
    "similar": ("item_knn", "ease", "popular", "bestsellers", "new"),
    "popular": ("popular", "bestsellers", "new"),
    "trending": ("trending", "popular", "bestsellers", "new"),
    "new": ("new",),
    "recently_viewed": ("recently_viewed",),
}
"""Order of sources per list type: the first that has something to show fills the list, the next fill it up."""


class Candidates(NamedTuple):
    """What a source proposes."""

    ids: Sequence[str] = ()
    """External ids, best first."""
    scores: Sequence[float] = ()
    """Scores on the source's own scale, finite, never rising."""
    more: bool = False
    """Whether asking for more could bring more."""
    version: int | None = None
    """Version of the model that scored; None for a built-in."""


class Source(Protocol):
    """Anything that proposes items for a query."""

    def __call__(self, query: Query, k: int, exclude: frozenset[str]) -> Candidates:
        """The best `k` items that are not in `exclude`."""


def _model(name: str) -> Source:
    def candidates(query: Query, k: int, exclude: frozenset[str]) -> Candidates:
        loaded = get_models().get(name)
        if loaded is None:
            return Candidates()
        ids, scores = loaded.artifact.top(query, k, exclude)
        values = scores.tolist()
        more = len(ids) >= k
        if values and not (math.isfinite(values[0]) and math.isfinite(values[-1])):
            # Sorted scores: an infinity can only stand at an end.
            kept = [(item, value) for item, value in zip(ids, values, strict=True) if math.isfinite(value)]
            ids, values = [item for item, _ in kept], [value for _, value in kept]
        return Candidates(ids, values, more, loaded.version)

    return candidates


def _ranking(column: str) -> Source:
    def candidates(query: Query, k: int, exclude: frozenset[str]) -> Candidates:
        ranking: ProductRanking = shared(f"serving.ranking.{column}", lambda: ProductRanking(column))
        rows = ranking.top(k + len(exclude))
        kept = [row for row in rows if row[0] not in exclude][:k]
        return Candidates([item for item, _ in kept], [value for _, value in kept], len(rows) >= k + len(exclude))

    return candidates


def _new(query: Query, k: int, exclude: frozenset[str]) -> Candidates:
    ids = get_catalogue().newest(k, exclude)
    # The shop gives an order and no scores: the place in the order is the score.
    return Candidates(ids, [1.0 / place for place in range(1, len(ids) + 1)], len(ids) >= k)


def _recently_viewed(query: Query, k: int, exclude: frozenset[str]) -> Candidates:
    viewed = (event.item_id for event in reversed(query.history) if event.event_type == "product_view")
    ids = [item for item in dict.fromkeys(viewed) if item not in exclude]
    return Candidates(ids[:k], [1.0 / place for place in range(1, len(ids[:k]) + 1)], len(ids) > k)


BUILT_IN: dict[str, Source] = {
    "trending": _ranking("trend"),
    "bestsellers": _ranking("purchases_30d"),
    "new": _new,
    "recently_viewed": _recently_viewed,
}
"""Sources that need no training: product statistics, the shop's newest, the visitor's own history."""

_models: dict[str, Source] = {}


def get_source(name: str) -> tuple[Source, bool]:
    """The source of a name, and whether it is a model."""
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        return built_in, False
    source = _models.get(name)
    if source is None:
        source = _models.setdefault(name, _model(name))
    return source, True


def list_types() -> list[str]:
    """The kinds of list that can be asked for: ours and those the shop added in `ML_SERVING["sources"]`."""
    return [*DEFAULT_SOURCES, *(name for name in get_settings().serving.sources if name not in DEFAULT_SOURCES)]


def sources_for(list_type: str) -> Sequence[str]:
    """Names of the sources of a list type, in order. Raises `InvalidQuery` for an unknown type."""
    names = get_settings().serving.sources.get(list_type) or DEFAULT_SOURCES.get(list_type)
    if names is None:
        raise InvalidQuery(f"There is no list of type {list_type[:64]!r}. {did_you_mean(list_type[:64], list_types())}")
    return names
