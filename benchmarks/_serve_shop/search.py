"""The bare search: the best 200 of all vectors for one query vector, exactly, in several ways."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

TOP = 200
Search = Callable[[Any], Any]


def numpy_argpartition(vectors: Any) -> Search:
    """One product and `argpartition`."""

    def search(query: Any) -> Any:
        scores = vectors @ query
        best = np.argpartition(-scores, TOP)[:TOP]
        return best[np.argsort(-scores[best])]

    return search


def numpy_blocks(vectors: Any) -> Search:
    """One product and the package's own exact selection."""
    from ml_models.core.artifact import largest

    return lambda query: largest(vectors @ query, TOP)


def faiss_flat(vectors: Any) -> Search:
    """FAISS `IndexFlatIP` on one thread."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda query: index.search(query[None], TOP)[1][0]


def faiss_knn(vectors: Any) -> Search:
    """FAISS's brute force over the array itself."""
    import faiss

    faiss.omp_set_num_threads(1)
    return lambda query: faiss.knn(query[None], vectors, TOP, metric=faiss.METRIC_INNER_PRODUCT)[1][0]


METHODS: dict[str, Callable[[Any], Search]] = {
    "faiss_flat": faiss_flat,
    "faiss_knn": faiss_knn,
    "numpy_argpartition": numpy_argpartition,
    "numpy_blocks": numpy_blocks,
}


def timings(vectors: Any, queries: Any, seconds: float = 0.5) -> dict[str, float]:
    """Milliseconds per search of every method that is installed."""
    found: dict[str, float] = {}
    for name, build in METHODS.items():
        try:
            search = build(vectors)
        except ImportError:
            continue
        search(queries[0])
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            search(queries[done % len(queries)])
            done += 1
        found[name] = (time.perf_counter() - started) / done * 1000
    return found
