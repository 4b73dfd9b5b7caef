from importlib import import_module

import numpy as np
import pytest
from scipy import sparse

from ml_models import models
from ml_models.core.errors import MLError
from ml_models.core.run import Run
from ml_models.testing.planted import planted_tastes

PLAIN = {"regularization": 50.0, "fit_half_life_days": 0.0, "half_life_days": 0.0, "repeat": 0.0, "popularity": 0.0}


def fit(config, memory=None):
    return models.get("ease")(config).fit(planted_tastes().train, Run(memory=memory))


def test_weights_are_the_closed_form():
    data = planted_tastes().train.frequent(3)
    x = data.inputs(combine="max").toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 50.0 * np.eye(data.n_items))
    expected = -inverse / np.diagonal(inverse)
    np.fill_diagonal(expected, 0.0)
    model = fit(PLAIN)
    assert tuple(model.scorer.item_ids) == data.item_ids.names
    np.testing.assert_allclose(model.scorer.arrays["weights"], expected, atol=1e-5)


def test_each_item_is_the_ridge_regression_on_the_others():
    """The property behind the formula: column j solves min |x_j - X_-j b|^2 + lambda |b|^2."""
    data = planted_tastes().train.frequent(3)
    x = data.inputs(combine="max").toarray().astype(np.float64)
    weights = fit(PLAIN).scorer.arrays["weights"]
    for item in (0, data.n_items - 1):
        others = np.delete(x, item, axis=1)
        solved = np.linalg.solve(others.T @ others + 50.0 * np.eye(others.shape[1]), others.T @ x[:, item])
        np.testing.assert_allclose(np.delete(weights[:, item], item), solved, atol=1e-5)


def test_few_visitors_give_the_same_weights_by_the_shorter_way():
    module = import_module("ml_models.models.ease")
    rng = np.random.default_rng(0)
    x = sparse.random_array((40, 300), density=0.05, rng=rng, format="csr")
    x.data = rng.integers(1, 4, x.nnz).astype(np.float64)
    x = sparse.csr_matrix(x)
    assert module._few_visitors(sparse.csr_matrix((40, 300)))
    assert not module._few_visitors(sparse.csr_matrix((300, 40)))
    for strength in (0.5, 100.0):
        one, other = (way(x, strength, Run()) for way in (module._by_items, module._by_visitors))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_repeat_is_in_units_of_the_largest_weight():
    plain, repeating = (fit({**PLAIN, "repeat": repeat}).scorer.arrays["weights"] for repeat in (0.0, 0.5))
    np.testing.assert_allclose(np.diagonal(repeating), 0.5 * plain.max(axis=1), rtol=1e-6)


def test_truncation_keeps_the_most_frequent_items_exactly():
    data = planted_tastes().train
    counts = np.bincount(data.items)
    model = fit({"max_items": 30})
    kept = [data.item_ids.id(name) for name in model.scorer.item_ids]
    assert len(kept) == 30
    assert counts[kept].min() >= np.sort(counts)[-30]


def test_largest_weights_make_a_small_artifact_that_nearly_agrees():
    dense, sparse = fit({}).scorer, fit({"neighbours": 40}).scorer
    assert sparse.arrays["data"].shape == (40 * len(sparse.item_ids),)
    rows = [np.abs(dense.arrays["weights"][row]).argsort()[::-1][:40].tolist() for row in range(len(dense.item_ids))]
    for row, wanted in enumerate(rows):
        span = slice(sparse.arrays["indptr"][row], sparse.arrays["indptr"][row + 1])
        found = sparse.arrays["indices"][span]
        assert set(found.tolist()) == set(wanted)
        np.testing.assert_array_equal(sparse.arrays["data"][span], dense.arrays["weights"][row][found])


def test_too_little_memory_is_refused_before_anything_is_allocated():
    with pytest.raises(MLError, match=r"needs 0\.0 GB.*max_items"):
        fit({}, memory=1000)
