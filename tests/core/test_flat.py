import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core import artifact, flat
from ml_models.core.query import Query

pytest.importorskip("faiss")


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 50), st.integers(0, 1000))
def test_the_same_items_as_calculating_every_score(n, dimensions, k, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dimensions)).astype(np.float32)
    query = rng.normal(size=dimensions).astype(np.float32)
    places, scores = flat.nearest(vectors, query, k)
    exact = vectors.astype(np.float64) @ query.astype(np.float64)
    assert len(places) == len(set(places.tolist())) == min(k, n)
    np.testing.assert_allclose(scores, exact[places], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores, np.sort(exact)[::-1][:k], rtol=1e-4, atol=1e-5)


def test_equal_scores_stand_by_position():
    vectors = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), (3, 1))
    places, scores = flat.nearest(vectors, np.array([1.0, 2.0], dtype=np.float32), 6)
    assert places.tolist() == [1, 3, 5, 0, 2, 4]
    assert scores.tolist() == [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]


def test_what_is_no_number_is_not_listed():
    vectors = np.array([[np.nan, 1.0], [1.0, 1.0], [2.0, 0.0]], dtype=np.float32)
    places, _ = flat.nearest(vectors, np.array([1.0, 0.0], dtype=np.float32), 3)
    assert places.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("vectors", "k"),
    [
        (np.ones((3, 2), dtype=np.float64), 1),
        (np.ones((2, 3), dtype=np.float32).T, 1),
        (np.ones((flat.MOST + 1, 2), dtype=np.float32), flat.MOST + 1),
        (np.ones((3, 2), dtype=np.float32), 0),
    ],
)
def test_what_faiss_is_not_asked(vectors, k):
    assert flat.nearest(vectors, np.ones(2, dtype=np.float32), k) is None


@pytest.mark.parametrize("list_type", ["personalized", "similar"])
def test_an_artifact_lists_the_same_with_and_without(tmp_path, monkeypatch, list_type):
    rng = np.random.default_rng(3)
    ids = [f"p{n}" for n in range(500)]
    vectors = rng.normal(size=(500, 8)).astype(np.float32)
    params = {"weights": {"product_view": 1.0}}
    artifact.write(
        tmp_path / "a", kind="two_tower", model="m", config={}, item_ids=ids, arrays={"vectors": vectors}, params=params
    )
    loaded = artifact.load(tmp_path / "a")
    from datetime import UTC, datetime

    from ml_models.core.query import Interaction

    history = tuple(Interaction(f"p{n}", "product_view", datetime(2025, 1, 1, tzinfo=UTC)) for n in range(5))
    query = Query(type=list_type, history=history, product_id="p9" if list_type == "similar" else None)
    exclude = frozenset({"p1", "p9", "p77", "unknown"})
    with_faiss = loaded.top(query, 50, exclude)
    monkeypatch.setattr(flat, "_faiss", lambda: None)
    without = loaded.top(query, 50, exclude)
    assert with_faiss[0] == without[0]
    assert not {"p1", "p9", "p77"} & set(with_faiss[0])
    assert len(with_faiss[0]) == 50
    np.testing.assert_allclose(with_faiss[1], without[1], rtol=1e-4)
