"""Exact search of all vectors for the largest inner products, by FAISS where it is installed (extra `faiss`)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST", "nearest"]

MOST = 2_000
"""Largest `k` for which FAISS keeps its lead over one product and a selection."""


@cache
def _faiss() -> Any:
    # At the first search and not before: a web process that serves no vectors does without its memory.
    try:
        import faiss
    except ImportError:
        return None
    return faiss


def nearest(
    vectors: NDArray[Any], query: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """Positions `(m,)` and inner products `(m,)` of the `min(k, n)` best of `vectors` (n, d) for `query` (d,).

    Best first, equal scores by position. None where FAISS is not installed, cannot read the array as it lies in memory
    or has no lead: the caller then calculates all scores.
    """
    k = min(k, len(vectors))
    if not 0 < k <= MOST or vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        return None
    faiss = _faiss()
    if faiss is None:
        return None
    found, positions = faiss.knn(query[None], np.asarray(vectors), k, metric=faiss.METRIC_INNER_PRODUCT)
    scores, places = found[0], positions[0]
    known = places >= 0
    if not known.all():  # not a number, where a vector or the query is damaged
        scores, places = scores[known], places[known]
    order = np.lexsort((places, -scores))
    return places[order], scores[order]
