from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from ml_models import models
from ml_models.core.data_loader import Dataset
from ml_models.core.errors import InsufficientData
from ml_models.core.query import Interaction, Query
from ml_models.core.run import Run
from ml_models.testing.planted import planted_tastes

PLAIN = {
    "fit_half_life_days": 0.0,
    "half_life_days": 0.0,
    "repeat": 0.0,
    "popularity": 0.0,
    "weighting": "none",
    "combine": "max",
}


def fit(data, **config):
    return models.get("item_knn")({**PLAIN, **config}).fit(data, Run()).scorer


def dense(scorer):
    n = len(scorer.item_ids)
    result = np.zeros((n, n), dtype=np.float32)
    for row in range(n):
        span = slice(scorer.arrays["indptr"][row], scorer.arrays["indptr"][row + 1])
        result[row, scorer.arrays["indices"][span]] = scorer.arrays["data"][span]
    return result


@pytest.mark.parametrize("shrinkage", [0.0, 25.0])
def test_cosine_with_shrinkage(shrinkage):
    data = planted_tastes().train
    x = data.inputs(combine="max").toarray()
    norms = np.linalg.norm(x, axis=0)
    expected = x.T @ x / (np.outer(norms, norms) + shrinkage)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(dense(fit(data, shrinkage=shrinkage, neighbours=1000)), expected, atol=1e-5)


def test_only_the_nearest_are_kept():
    data = planted_tastes().train
    full, few = dense(fit(data, neighbours=1000)), dense(fit(data, neighbours=5))
    assert ((few > 0).sum(axis=1) <= 5).all()
    for row in range(len(full)):
        np.testing.assert_allclose(np.sort(few[row])[-5:], np.sort(full[row])[-5:], atol=1e-6)


def test_rare_items_take_no_part_where_asked():
    data = planted_tastes().train
    counts = np.bincount(data.items)
    scorer = fit(data, min_events=20)
    assert set(scorer.item_ids) == {data.item_ids.names[item] for item in np.flatnonzero(counts >= 20)}
    with pytest.raises(InsufficientData, match="1000000 or more"):
        fit(data, min_events=1_000_000)


def test_repeat_is_in_units_of_the_nearest_neighbour():
    data = planted_tastes().train
    plain = dense(fit(data))
    np.testing.assert_allclose(np.diagonal(dense(fit(data, repeat=0.5))), 0.5 * plain.max(axis=1), rtol=1e-5)
    assert not np.diagonal(plain).any()


def test_popularity_is_in_units_of_the_best_score_and_of_the_most_popular_item():
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    rows = [(f"v{number}", name, moment, "product_view") for number in range(4) for name in "ab"]
    rows += [(f"w{number}", "c", moment, "product_view") for number in range(2)]
    data = Dataset.from_frame(pl.DataFrame(rows, schema=["visitor", "item", "time", "type"], orient="row"))
    plain, prior = fit(data), fit(data, popularity=0.5)
    query = Query(history=(Interaction("a", "product_view", moment),))
    best = plain.score(query, ["b"])[0]
    # a and b were met by four visitors, c by two: halves of the weight, of the best score.
    np.testing.assert_allclose(
        prior.score(query, ["a", "b", "c"]), plain.score(query, ["a", "b", "c"]) + best * np.array([0.5, 0.5, 0.25])
    )
    similar = Query(type="similar", product_id="a")
    np.testing.assert_allclose(prior.score(similar, ["b", "c"]), plain.score(similar, ["b", "c"]))
    # Who has no history that the model knows is told nothing, as before.
    assert prior.top(Query(), 3)[0] == []


def test_idf_makes_a_visitor_of_everything_say_nothing():
    rows = [("glutton", name, 1, "product_view") for name in "abcdef"]
    rows += [(f"u{n}", name, 1, "product_view") for n in range(3) for name in "ab"]
    data = Dataset.from_frame(pl.DataFrame(rows, schema=["visitor", "item", "time", "type"], orient="row"))
    plain, idf = dense(fit(data, shrinkage=1.0)), dense(fit(data, shrinkage=1.0, weighting="idf"))
    c, d = data.item_ids.id("c"), data.item_ids.id("d")
    a, b = data.item_ids.id("a"), data.item_ids.id("b")
    assert plain[c, d] > 0.4
    assert idf[c, d] < 1e-6
    assert idf[a, b] > 0.5


def test_old_company_counts_less_where_asked():
    day = 86_400_000_000
    rows = [("u1", "a", 0, "product_view"), ("u1", "old", 0, "product_view")]
    rows += [("u2", "a", 100 * day, "product_view"), ("u2", "new", 100 * day, "product_view")]
    data = Dataset.from_frame(pl.DataFrame(rows, schema=["visitor", "item", "time", "type"], orient="row"))
    plain, decayed = fit(data, shrinkage=0.1), fit(data, shrinkage=0.1, fit_half_life_days=10.0)
    query = Query(type="similar", product_id="a")
    same = plain.score(query, ["old", "new"])
    assert same[0] == same[1]
    assert decayed.top(query, 1)[0] == ["new"]
