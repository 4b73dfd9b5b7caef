import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.serving.rank import banded


def test_one_source_keeps_its_proportions():
    assert banded([8.0, 6.0, 4.0], [3]) == [1.0, 0.755, 0.51]


def test_each_source_has_a_band_of_its_own():
    assert banded([8.0, 4.0, 900.0, 100.0, -3.0], [2, 2, 1]) == [1.0, 0.51, 0.5, 0.255, 0.25]


def test_equal_scores_stay_equal():
    assert banded([7.0, 7.0], [2]) == [1.0, 1.0]
    assert banded([], []) == []


def test_scores_out_of_order_do_not_rise():
    assert banded([2.0, 1.0, 3.0], [3]) == pytest.approx([1.0, 0.51, 0.51])


@given(
    st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=20), max_size=8)
)
def test_always_finite_in_range_and_never_rising(sources):
    ordered = [sorted(scores, reverse=True) for scores in sources]
    result = banded([score for scores in ordered for score in scores], [len(scores) for scores in ordered])
    assert len(result) == sum(map(len, sources))
    assert all(math.isfinite(score) and 0 < score <= 1 for score in result)
    assert result == sorted(result, reverse=True)
