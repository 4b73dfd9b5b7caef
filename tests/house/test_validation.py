"""`core.validation`: problems are collected, never raised one by one, and each carries its remedy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.validation import Matching, OneOf, Range, build, check, did_you_mean, limits


@dataclass(frozen=True)
class Options:
    on: bool = True
    count: Annotated[int, Range(1, 10)] = 5
    share: Annotated[float, Range(0)] = 0.5
    name: Annotated[str, Matching(r"[a-z]+", "small letters")] = "x"
    maybe: Annotated[str, Matching(r"[a-z]+", "small letters")] | None = None
    folder: Path = Path("here")
    names: tuple[str, ...] = ()
    weights: Mapping[Annotated[str, OneOf(("a", "b"))], Annotated[float, Range(0)]] = field(default_factory=dict)
    anything: Any = None


def problems(given: Any) -> dict[str, str]:
    return {problem.where: problem.kind for problem in build(Options, given, "X")[1]}


def test_good_values_are_taken_over_and_normalised():
    given = {
        "on": False,
        "count": 10,
        "share": 2,
        "name": "abc",
        "folder": "data",
        "names": ["p", "q"],
        "weights": {"a": 1},
        "maybe": None,
    }
    options, found = build(Options, given, "X")
    assert found == []
    assert options == Options(False, 10, 2.0, "abc", None, Path("data"), ("p", "q"), {"a": 1.0}, None)
    assert isinstance(options.share, float)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("on", "false", "type"),
        ("on", 1, "type"),
        ("count", True, "type"),
        ("count", "5", "type"),
        ("count", 5.0, "type"),
        ("count", 0, "value"),
        ("count", 11, "value"),
        ("share", False, "type"),
        ("share", -0.1, "value"),
        ("share", float("nan"), "value"),
        ("share", float("inf"), "value"),
        ("name", "", "value"),
        ("name", "a1", "value"),
        ("name", None, "type"),
        ("maybe", "A", "value"),
        ("folder", "", "type"),
        ("folder", 3, "type"),
        ("names", "abc", "type"),
        ("names", {"a"}, "type"),
        ("weights", ["a"], "type"),
        ("nmae", "x", "unknown"),
    ],
)
def test_one_bad_value_is_one_problem_and_keeps_its_default(key, value, kind):
    options, found = build(Options, {key: value}, "X")
    assert [(problem.where, problem.kind) for problem in found] == [(f'X["{key}"]', kind)]
    assert options == Options()
    assert found[0].message.startswith(f'X["{key}"]')
    assert found[0].hint


def test_every_problem_is_reported_at_once():
    assert problems({"on": "no", "count": 0, "cuont": 1, "names": ["a", 1], "weights": {"c": 1, "a": -1}}) == {
        'X["on"]': "type",
        'X["count"]': "value",
        'X["cuont"]': "unknown",
        'X["names"][1]': "type",
        "the key 'c' of X[\"weights\"]": "value",
        'X["weights"]["a"]': "value",
    }


@pytest.mark.parametrize("given", [["x"], "x", 3, None, True])
def test_a_foreign_shape_is_one_problem(given):
    options, found = build(Options, given, "X")
    assert options == Options()
    assert [(problem.where, problem.kind) for problem in found] == [("X", "type")]
    assert "on, count" in found[0].hint


def test_keys_that_are_no_text_are_unknown_options():
    assert problems({1: 2, None: 3}) == {"X[1]": "unknown", "X[None]": "unknown"}


def test_the_remedy_of_a_quoted_boolean_shows_how_to_read_the_environment():
    hint = build(Options, {"on": "false"}, "X")[1][0].hint
    assert "without quotes" in hint
    assert "os.environ" in hint
    assert "[..., ]" not in hint
    assert build(Options, {"names": "a"}, "X")[1][0].hint == "Put it in a list: ['a']."


def test_did_you_mean():
    assert did_you_mean("exclude_bot", ["exclude_bots", "batch_size"]) == "Did you mean exclude_bots?"
    assert did_you_mean("ML_TRACKNG", ["ML_TRACKING"]) == "Did you mean ML_TRACKING?"
    assert did_you_mean("BATCH_SIZE", ["exclude_bots", "batch_size"]) == "Did you mean batch_size?"
    assert did_you_mean("zzz", ["b", "a"]) == "Known names: a, b."
    assert did_you_mean("zzz", ["b", "a"], otherwise="") == ""


def test_limits_finds_those_of_items_too():
    assert [str(limit) for limit in limits(Annotated[int, Range(0, 23)])] == ["0 to 23"]
    assert [str(limit) for limit in limits(tuple[Annotated[str, OneOf(("a", "b"))], ...])] == ["one of a, b"]
    assert [str(limit) for limit in limits(Annotated[int, Range(1)])] == [">= 1"]
    assert [str(limit) for limit in limits(Annotated[int, Range(high=1_000)])] == ["<= 1,000"]
    assert limits(Any) == []


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*Options.__dataclass_fields__, "other"]), _values))
def test_whatever_is_given_the_result_holds_its_own_rules(given):
    """Property: a built instance passes its own check, and each bad key is reported under its own name."""
    options, found = build(Options, given, "X")
    again = build(Options, {key: getattr(options, key) for key in Options.__dataclass_fields__}, "X")
    assert again == (options, [])
    for key in given:
        named = any(f'X["{key}"]' in problem.where for problem in found)
        assert named or getattr(options, key) == check(Any, given[key], "")[0] or key in ("folder", "names", "weights")
