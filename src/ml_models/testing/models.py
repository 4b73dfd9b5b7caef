"""What every model promises.

A new model is done when these tests pass:

class TestMyModel(ModelContract):
    name = "my_model"
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_models import models
from ml_models.core import artifact
from ml_models.core.config import config_dict
from ml_models.core.data_loader import Dataset
from ml_models.core.errors import ConfigError, InsufficientData, MLError
from ml_models.core.evaluation import compare, evaluate
from ml_models.core.query import Interaction, Query
from ml_models.core.recommender import Recommender
from ml_models.core.run import Run
from ml_models.testing.planted import START, TASTES, checkerboard, planted_tastes

__all__ = ["ModelContract"]

FORBID = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ImportError(name + " must not be imported here")
sys.meta_path.insert(0, Refuse())
"""


def _alone(names: tuple[str, ...], code: str) -> None:
    """Run code in a fresh process in which importing any of `names` raises."""
    done = subprocess.run(
        [sys.executable, "-c", FORBID.format(names=names) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class ModelContract:
    """Subclass it with the model's `name`; `config` where the defaults do not fit small data."""

    name: str
    config: Mapping[str, Any] = {}
    personal: bool = True
    """Whether lists depend on the visitor's history; popularity's do not."""

    def make(self, seed: int = 1, data: Dataset | None = None) -> Recommender:
        """A model fitted on data with planted tastes."""
        data = planted_tastes().train if data is None else data
        return models.get(self.name)(self.config).fit(data, Run(seed=seed))

    def query(self, data: Dataset, user: int = 0) -> Query:
        """What the shop would ask for a visitor."""
        return Query(visitor=data.user_ids.names[user], history=data.history(user))

    # -- learning ---------------------------------------------------------------------------------------

    def test_finds_the_withheld_item_of_a_checkerboard(self) -> None:
        split = checkerboard()
        model = self.make(data=split.train)
        if self.personal:
            assert evaluate(model, split, k=1, exclude_seen=True).values["hr"].mean() == 1.0
        else:
            lists = evaluate(model, split, k=5).lists
            assert (lists == lists[0]).all(), "a list that is not personal is the same for everybody"

    def test_beats_popular_on_planted_tastes(self) -> None:
        split = planted_tastes()
        if not self.personal:
            # Popularity cannot beat itself: it must find what was planted as popular, the first item of each taste.
            first, _ = self.make().top(self.query(split.train), TASTES)
            assert set(first) == {f"i{taste}" for taste in range(TASTES)}
            return
        popular = models.get("popular")().fit(split.train, Run(seed=1))
        assert compare(evaluate(self.make(), split), evaluate(popular, split)).low > 0

    def test_refit_forgets(self) -> None:
        first, second = planted_tastes(seed=1).train, checkerboard().train
        model = self.make(data=first).fit(second, Run(seed=1))
        fresh = self.make(data=second)
        names = second.item_ids.names
        query = self.query(second)
        np.testing.assert_array_equal(model.score(query, names), fresh.score(query, names))
        gone = sorted(set(first.item_ids.names) - set(names))
        assert np.isnan(model.score(query, gone)).all()

    def test_same_seed_same_scores(self) -> None:
        data = planted_tastes().train
        scores = [self.make(seed=5, data=data).score(self.query(data), data.item_ids.names) for _ in range(2)]
        np.testing.assert_array_equal(scores[0], scores[1])

    def test_nothing_to_learn_from_is_said_in_words(self) -> None:
        nothing = planted_tastes().train
        nothing = nothing.select(np.zeros(len(nothing), dtype=bool))
        with pytest.raises(InsufficientData, match="Insufficient data for training"):
            models.get(self.name)(self.config).fit(nothing, Run(seed=1))

    def test_scoring_before_fitting_is_said_in_words(self) -> None:
        with pytest.raises(MLError, match="fit"):
            models.get(self.name)(self.config).score(Query(), ["i1"])

    # -- scoring ----------------------------------------------------------------------------------------

    def test_an_unknown_item_is_nan(self) -> None:
        data = planted_tastes().train
        scores = self.make().score(self.query(data), ["no such item", data.item_ids.names[0], ""])
        assert np.isnan(scores[[0, 2]]).all()
        assert np.isfinite(scores[1])
        assert scores.dtype == np.float32

    def test_unknown_items_in_the_history_change_nothing(self) -> None:
        data = planted_tastes().train
        model, query = self.make(), self.query(data)
        strange = Interaction("no such item", "product_view", query.history[0].at)
        more = Query(visitor=query.visitor, history=(strange, *query.history))
        names = data.item_ids.names
        np.testing.assert_array_equal(model.score(query, names), model.score(more, names))

    def test_an_empty_history_does_not_raise(self) -> None:
        model = self.make()
        for query in (Query(), Query(history=(Interaction("no such item", "product_view", START),))):
            scores = model.score(query, model.scorer.item_ids)
            assert scores.shape == (len(model.scorer.item_ids),)
            names, values = model.top(query, 5)
            assert len(names) == len(values)
            assert not np.isnan(values).any()

    def test_top_is_the_best_of_score(self) -> None:
        data = planted_tastes().train
        model = self.make()
        for user in (0, 1, 50):
            query = self.query(data, user)
            names, values = model.top(query, 7)
            assert list(values) == sorted(values, reverse=True)
            np.testing.assert_allclose(values, model.score(query, names), atol=1e-6)
            rest = [name for name in model.scorer.item_ids if name not in names]
            assert np.nanmax(model.score(query, rest)) <= values[-1] + 1e-6
            assert len(set(names)) == 7

    def test_top_leaves_out_what_is_excluded(self) -> None:
        data = planted_tastes().train
        model, query = self.make(), self.query(data)
        first, _ = model.top(query, 3)
        after, _ = model.top(query, 3, frozenset(first[:2]))
        assert after[0] == first[2]
        assert not set(first[:2]) & set(after)

    def test_a_list_of_similar_items_leaves_the_product_itself_out(self) -> None:
        model = self.make()
        product = model.scorer.item_ids[0]
        names, _ = model.top(Query(type="similar", product_id=product), 5)
        assert names
        assert product not in names

    # -- artifact ---------------------------------------------------------------------------------------

    def test_what_is_exported_scores_the_same(self, tmp_path: Path) -> None:
        data = planted_tastes().train
        model = self.make()
        written = model.export(tmp_path / "artifact")
        loaded = artifact.load(written.directory)
        assert (loaded.model, loaded.kind) == (self.name, model.kind)
        for user in range(0, data.n_users, 30):
            query = self.query(data, user)
            names = [*data.item_ids.names, "no such item"]
            np.testing.assert_allclose(loaded.score(query, names), model.score(query, names), atol=1e-4)
            assert loaded.top(query, 10)[0] == model.top(query, 10)[0]

    def test_equal_models_export_equal_bytes(self, tmp_path: Path) -> None:
        first = self.make(seed=3).export(tmp_path / "a")
        second = self.make(seed=3).export(tmp_path / "b")
        assert first.files == second.files

    def test_the_artifact_is_served_without_torch_scipy_polars_or_django(self, tmp_path: Path) -> None:
        self.make().export(tmp_path / "artifact")
        _alone(
            ("torch", "scipy", "polars", "django", "celery"),
            f"""
            from ml_models.core import artifact
            from ml_models.core.query import Query
            loaded = artifact.load({str(tmp_path / "artifact")!r})
            loaded.top(Query(type="similar", product_id=loaded.item_ids[0]), 5)
            """,
        )

    def test_the_file_imports_without_django(self) -> None:
        _alone(("django", "celery"), f"import ml_models.models.{self.name}")

    # -- config -----------------------------------------------------------------------------------------

    def test_config_round_trips_through_json(self) -> None:
        cls = models.get(self.name)
        config = cls(self.config).config
        again = cls(json.loads(json.dumps(config_dict(config)))).config
        assert again == config
        assert dataclasses.is_dataclass(config)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, dataclasses.fields(config)[0].name, None)

    def test_a_wrong_config_names_every_problem(self) -> None:
        first = dataclasses.fields(models.get(self.name).Config)[0].name
        with pytest.raises(ConfigError) as caught:
            models.get(self.name)({first + "z": 1, first: "a word"})
        assert f"did you mean {first}" in str(caught.value)
        assert f"{first}:" in str(caught.value)

    def test_every_config_field_is_documented(self) -> None:
        tree = ast.parse(textwrap.dedent(inspect.getsource(models.get(self.name).Config)))
        (body,) = [node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert said, f"{node.target.id} has no docstring with unit and range"
