import polars as pl
import pytest

from ml_models import models
from ml_models.core.data_loader import Dataset
from ml_models.core.query import Query
from ml_models.core.run import Run

DAY = 86_400_000_000


def fit(rows, **config):
    data = Dataset.from_frame(
        pl.DataFrame(
            [(v, i, int(d * DAY), t) for v, i, d, t in rows], schema=["visitor", "item", "time", "type"], orient="row"
        )
    )
    return models.get("popular")(config).fit(data, Run())


def test_a_visitor_counts_once_with_the_strongest():
    rows = [("fan", "a", 0, "product_view")] * 50 + [("u1", "b", 0, "product_view"), ("u2", "b", 0, "purchase")]
    assert fit(rows, half_life_days=0).score(Query(), ["a", "b"]).tolist() == [1.0, 4.0]


def test_half_life_and_window():
    rows = [("u1", "a", 0, "product_view"), ("u2", "b", 10, "product_view")]
    assert fit(rows, half_life_days=5).score(Query(), ["a", "b"]).tolist() == [0.25, 1.0]
    assert fit(rows, half_life_days=0, window_days=10).score(Query(), ["a", "b"]).tolist() == [0.0, 1.0]


def test_trending_is_more_than_was_to_be_expected():
    rows = [(f"s{n}", "steady", n, "product_view") for n in range(36)]
    rows += [(f"r{n}", "rising", 30 + n % 6, "product_view") for n in range(6)]
    model = fit(rows, trending_days=7, trending_base_days=28)
    steady, rising = model.score(Query(type="trending"), ["steady", "rising"])
    assert steady == pytest.approx(0.0)  # 7 in the newest 7 days, 28 in the 28 before: as expected
    assert rising == pytest.approx(6.0)  # 6 where 0 were expected: 6 / sqrt(1)
