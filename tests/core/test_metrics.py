import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ml_models.core import metrics

LOG3 = np.log2(3)


def rank(lists, rows, items, sizes):
    lists = np.array(lists)
    hits = metrics.relevance(lists, np.array(rows, dtype=np.int64), np.array(items, dtype=np.int64))
    return {name: values.tolist() for name, values in metrics.ranking_metrics(hits, np.array(sizes)).items()}


def test_three_places_one_target():
    # one visitor each: the target first, second, third, nowhere
    found = rank([[7, 1, 2], [1, 7, 2], [1, 2, 7], [1, 2, 3]], [0, 1, 2, 3], [7, 7, 7, 7], [1, 1, 1, 1])
    assert found["hr"] == [1, 1, 1, 0]
    assert found["recall"] == [1, 1, 1, 0]
    assert found["ndcg"] == pytest.approx([1, 1 / LOG3, 0.5, 0])
    assert found["mrr"] == pytest.approx([1, 1 / 2, 1 / 3, 0])
    assert found["map"] == pytest.approx([1, 1 / 2, 1 / 3, 0])
    assert found["precision"] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_three_places_two_of_four_targets():
    found = rank([[5, 6, 7]], [0, 0, 0], [5, 7, 9], [4])  # four targets, one of them unknown to the training
    assert found["recall"] == [0.5]
    assert found["recall_capped"] == pytest.approx([2 / 3])
    assert found["ndcg"] == pytest.approx([(1 + 1 / 2) / (1 + 1 / LOG3 + 1 / 2)])
    assert found["map"] == pytest.approx([(1 + 2 / 3) / 3])


def test_a_target_of_another_visitor_is_no_hit():
    found = rank([[1, 2, 3], [1, 2, 3]], [1], [2], [1, 1])
    assert found["hr"] == [0, 1]


def test_padding_is_no_item():
    found = rank([[3, -1, -1], [-1, -1, -1]], [0, 1], [3, 0], [1, 1])
    assert found["ndcg"] == [1, 0]
    assert rank([[-1, -1, -1]], [0], [0], [1])["hr"] == [0]


@given(st.lists(st.permutations(range(6)), min_size=1, max_size=5), st.data())
def test_against_a_loop(lists, data):
    targets = [data.draw(st.sets(st.integers(0, 8), min_size=1)) for _ in lists]
    rows = [row for row, items in enumerate(targets) for _ in items]
    items = [item for row in targets for item in sorted(row)]
    cut = [order[:3] for order in lists]
    found = rank(cut, rows, items, [len(row) for row in targets])
    for row, (order, wanted) in enumerate(zip(cut, targets, strict=True)):
        gains = [1 / np.log2(place + 2) for place, item in enumerate(order) if item in wanted]
        ideal = sum(1 / np.log2(place + 2) for place in range(min(3, len(wanted))))
        assert found["ndcg"][row] == pytest.approx(sum(gains) / ideal)
        assert found["hr"][row] == float(bool(gains))


def test_coverage_counts_items_once():
    figure = metrics.coverage(np.array([[0, 1], [0, 1], [0, -1]]), 4)
    assert figure.value == 0.5
    assert (figure.low, figure.high) == (0.5, 0.5)  # no list holds an item alone
    assert metrics.coverage(np.array([[0, 1], [2, 3]]), 4).value == 1.0


def test_novelty_in_bits():
    found = metrics.novelty(np.array([[0, 1], [1, -1], [-1, -1]]), np.array([0.5, 0.25]))
    assert found[:2].tolist() == [1.5, 2.0]
    assert np.isnan(found[2])


def test_popularity_lift():
    found = metrics.popularity_lift(np.array([[0, 1], [1, 1]]), np.array([0.6, 0.2]), np.array([0.2, 0.2]))
    assert found.tolist() == pytest.approx([1.0, 0.0])


def test_diversity_by_hand():
    matrix = sparse.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32))
    found = metrics.diversity(np.array([[0, 1], [0, 2], [0, -1]]), matrix)
    assert found[:2].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert np.isnan(found[2])


def test_bootstrap_of_a_known_distribution():
    values = np.random.default_rng(1).normal(3.0, 2.0, 2500)
    figure = metrics.bootstrap(values)
    error = values.std() / np.sqrt(2500)
    assert figure.value == pytest.approx(values.mean())
    assert figure.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert figure.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)
    assert metrics.bootstrap(values) == figure
    assert metrics.bootstrap(np.array([2.0, 2.0, np.nan])) == metrics.Interval(2.0, 2.0, 2.0, 2)
    assert metrics.bootstrap(np.array([np.nan])).n == 0


def test_pairing_sees_what_two_intervals_cannot():
    noise = np.random.default_rng(2).normal(0, 1, 400)
    better = noise + 0.05
    figure = metrics.paired_bootstrap(better, noise)
    assert (figure.low, figure.high) == pytest.approx((0.05, 0.05))
    apart = metrics.bootstrap(better).low - metrics.bootstrap(noise).high
    assert apart < 0  # unpaired, the intervals overlap


def test_diversity_of_too_many_lists_is_measured_evenly_over_the_visitors():
    lists = np.arange(40).reshape(20, 2)  # 20 distinct pairs, of which 5 may be looked at
    values = metrics.diversity(lists, sparse.csr_matrix(np.eye(40)), max_pairs=5)
    measured = np.flatnonzero(~np.isnan(values))
    assert measured.tolist() == [0, 4, 9, 14, 19]
    assert values[measured].tolist() == [1.0] * 5
