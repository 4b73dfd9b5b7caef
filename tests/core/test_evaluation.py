import numpy as np
import pytest

from ml_models import models
from ml_models.core import artifact
from ml_models.core.evaluation import compare, evaluate
from ml_models.core.run import Run
from ml_models.core.splits import Split, given_holdout
from ml_models.testing.planted import checkerboard, planted_tastes


class Fixed:
    """Always the same list."""

    def __init__(self, *names):
        self.names = list(names)
        self.asked = []

    def top(self, query, k, exclude=frozenset()):
        self.asked.append(query)
        names = [name for name in self.names if name not in exclude][:k]
        return names, np.arange(len(names), 0, -1, dtype=np.float32)


def test_each_visitor_is_asked_with_its_own_history():
    split = checkerboard(users=4, items=4)
    ranker = Fixed("i0")
    evaluate(ranker, split, k=1)
    assert [query.visitor for query in ranker.asked] == list(split.test.visitors)
    for query in ranker.asked:
        user = split.train.user_ids.id(query.visitor)
        assert query.history == split.train.history(user)
    evaluate(ranker, split, k=1, history=1)
    assert {len(query.history) for query in ranker.asked[4:]} == {1}


def test_figures_by_hand():
    split = checkerboard(users=4, items=4)  # withheld: u0 i0, u1 i1, u2 i2, u3 i3
    judged = evaluate(Fixed("i0", "i1"), split, k=2)
    assert judged.visitors == ("u:0", "u:1", "u:2", "u:3")
    assert judged.values["hr"].tolist() == [1, 1, 0, 0]
    assert judged.values["ndcg"].tolist() == pytest.approx([1, 1 / np.log2(3), 0, 0])
    assert judged.coverage.value == 0.5
    assert judged.summary()["hr"]["value"] == 0.5
    assert judged.by_segment("hr") == {"light (1-4 items)": pytest.approx(judged.summary()["hr"])}


def test_seen_items_stay_unless_asked():
    split = checkerboard(users=4, items=4)
    assert evaluate(Fixed("i2", "i0"), split, k=1).values["hr"].tolist() == [0, 0, 1, 0]
    assert evaluate(Fixed("i2", "i0"), split, k=1, exclude_seen=True).values["hr"].tolist() == [1, 0, 1, 0]


def test_visitors_the_training_never_met_are_asked_only_on_request():
    split = checkerboard(users=4, items=4)
    test = given_holdout(split.train, [("u:0", "i0"), ("u:new", "i0")])
    ranker = Fixed("i0")
    assert evaluate(ranker, Split(split.train, test), k=1).visitors == ("u:0",)
    both = evaluate(ranker, Split(split.train, test), k=1, include_new=True)
    assert both.visitors == ("u:0", "u:new")
    assert both.by_segment("hr")["new"]["n"] == 1
    assert ranker.asked[-1].history == ()


def test_a_sample_is_of_visitors_and_repeatable():
    split = planted_tastes()
    ranker = Fixed("i0")
    first = evaluate(ranker, split, max_users=50, seed=3)
    assert len(first.visitors) == 50
    assert first.visitors == evaluate(ranker, split, max_users=50, seed=3).visitors
    assert first.visitors != evaluate(ranker, split, max_users=50, seed=4).visitors


def test_model_and_artifact_get_the_same_figures(tmp_path):
    split = planted_tastes()
    model = models.get("item_knn")().fit(split.train, Run())
    model.export(tmp_path / "a")
    one, other = evaluate(model, split), evaluate(artifact.load(tmp_path / "a"), split)
    np.testing.assert_array_equal(one.lists, other.lists)
    assert compare(one, other).value == 0


def test_only_equal_visitors_are_comparable():
    split = planted_tastes()
    with pytest.raises(ValueError, match="same visitors"):
        compare(evaluate(Fixed("i0"), split), evaluate(Fixed("i0"), split, max_users=5))
