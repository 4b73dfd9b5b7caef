import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml_models.core import artifact
from ml_models.core.errors import ArtifactError
from ml_models.core.query import Interaction, Query

NOW = datetime(2024, 5, 1, tzinfo=UTC)
VIEW = {"weights": {"product_view": 1.0, "purchase": 3.0}}


def write(folder, kind="static", items=("a", "b", "c"), arrays=None, params=VIEW):
    arrays = {"scores": np.array([1, 3, 2], dtype=np.float32)} if arrays is None else arrays
    artifact.write(folder, kind=kind, model="m", config={"x": 1}, item_ids=list(items), arrays=arrays, params=params)
    return folder


def seen(*items, event_type="product_view", step=timedelta(0)):
    return tuple(Interaction(item, event_type, NOW + place * step) for place, item in enumerate(items))


def as_csr(dense):
    dense = np.asarray(dense, dtype=np.float32)
    rows, columns = np.nonzero(dense)
    return {
        "indptr": np.searchsorted(rows, np.arange(len(dense) + 1)).astype(np.int64),
        "indices": columns.astype(np.int32),
        "data": dense[rows, columns],
    }


# -- kinds ------------------------------------------------------------------------------------------------


def test_static_scores_and_named_scores(tmp_path):
    arrays = {"scores": np.array([1, 3, 2], np.float32), "trending": np.array([9, 0, 1], np.float32)}
    loaded = artifact.load(write(tmp_path / "a", arrays=arrays))
    assert loaded.top(Query(), 2)[0] == ["b", "c"]
    assert loaded.top(Query(type="trending"), 2)[0] == ["a", "c"]
    assert loaded.top(Query(), 3, frozenset({"b", "zzz"}))[0] == ["c", "a"]
    assert loaded.top(Query(), 3)[0] == ["b", "c", "a"]  # the exclusion before left nothing behind
    np.testing.assert_array_equal(loaded.score(Query(), ["c", "x", "a"]), np.array([2, np.nan, 1], np.float32))


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_item_item_adds_the_rows_of_the_history(tmp_path, form):
    weights = [[0, 0.5, 0.25], [0.5, 0, 0], [0, 0, 0]]
    arrays = {"weights": np.array(weights, np.float32)} if form == "dense" else as_csr(weights)
    loaded = artifact.load(write(tmp_path / "a", "item_item", arrays=arrays))
    np.testing.assert_allclose(loaded.score(Query(history=seen("a")), ["a", "b", "c"]), [0, 0.5, 0.25])
    bought = Query(history=seen("a", event_type="purchase"))
    np.testing.assert_allclose(loaded.score(bought, ["a", "b", "c"]), [0, 1.5, 0.75])
    assert loaded.top(Query(history=seen("a")), 9)[0] == ["b", "c"]  # an item without evidence is no recommendation
    assert loaded.top(Query(), 9) == ([], pytest.approx([]))
    assert np.isnan(loaded.score(Query(), ["a"])).all()
    similar = Query(type="similar", product_id="a", history=seen("b"))
    assert loaded.top(similar, 9)[0] == ["b", "c"]
    assert loaded.top(Query(type="similar", product_id="new"), 9)[0] == []


def test_two_tower_takes_the_weighted_mean(tmp_path):
    vectors = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    loaded = artifact.load(write(tmp_path / "a", "two_tower", arrays={"vectors": vectors}))
    history = (*seen("a"), *seen("b", event_type="purchase"))
    np.testing.assert_allclose(loaded.score(Query(history=history), ["a", "b", "c"]), [0.25, 0.75, 1.0])
    assert loaded.top(Query(type="similar", product_id="a"), 2)[0] == ["c", "b"]


# -- the input ----------------------------------------------------------------------------------------------


def test_history_inputs_by_hand():
    index = {"a": 0, "b": 1}
    history = (
        Interaction("a", "product_view", NOW - timedelta(days=10)),
        Interaction("b", "purchase", NOW - timedelta(days=5)),
        Interaction("a", "purchase", NOW),
        Interaction("a", "page_view", NOW + timedelta(days=9)),  # no weight: does not count, nor as the newest
        Interaction("zzz", "purchase", NOW + timedelta(days=9)),  # unknown: likewise
    )

    def values(**more):
        items, weights = artifact.history_inputs(history, index, {**VIEW, **more})
        return items.tolist(), weights.tolist()

    assert values() == ([0, 1], [4.0, 3.0])
    assert values(combine="max") == ([0, 1], [3.0, 3.0])
    assert values(step_decay=0.5) == ([0, 1], [4.0, 1.5])
    items, weights = values(half_life_days=5.0)
    assert items == [0, 1]
    assert weights == pytest.approx([3.25, 1.5])


def test_the_clock_does_not_move_the_answer():
    index = {"a": 0, "b": 1}
    early = seen("a", "b", step=timedelta(days=3))
    late = tuple(Interaction(i.item_id, i.event_type, i.at + timedelta(days=400)) for i in early)
    params = {**VIEW, "half_life_days": 2.0}
    for one, other in zip(
        artifact.history_inputs(early, index, params), artifact.history_inputs(late, index, params), strict=True
    ):
        np.testing.assert_array_equal(one, other)


# -- the largest --------------------------------------------------------------------------------------------


@given(
    hnp.arrays(
        np.float32,
        st.integers(0, 400),
        elements=st.one_of(st.integers(-3, 3).map(float), st.just(float("nan")), st.floats(-1, 1, width=32)),
    ),
    st.integers(0, 40),
)
def test_largest_is_a_stable_sort_cut_short(scores, k):
    expected = [place for place in np.argsort(-scores, kind="stable").tolist() if not np.isnan(scores[place])][:k]
    assert artifact.largest(scores, k).tolist() == expected


def test_largest_of_a_hundred_thousand_with_ties():
    scores = np.random.default_rng(0).integers(0, 50, 100_000).astype(np.float32)
    assert artifact.largest(scores, 200).tolist() == np.argsort(-scores, kind="stable")[:200].tolist()


# -- the folder ---------------------------------------------------------------------------------------------


def test_arrays_are_memory_mapped_and_read_only(tmp_path):
    loaded = artifact.load(write(tmp_path / "a"))
    assert isinstance(loaded.arrays["scores"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.arrays["scores"][0] = 5


def test_objects_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write(tmp_path / "a", arrays={"scores": np.array([1, "x", None], dtype=object)})
    folder = write(tmp_path / "b")
    np.save(folder / "scores.npy", np.array([1, "x", None], dtype=object), allow_pickle=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["scores.npy"]["bytes"] = (folder / "scores.npy").stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="ml_train --model m"):
        artifact.load(folder)


def test_every_damage_is_an_artifact_error_with_a_remedy(tmp_path):
    def damaged(name, change):
        folder = write(tmp_path / name)
        change(folder)
        with pytest.raises(ArtifactError, match=r"Train|Update"):
            artifact.load(folder)

    def edit(**values):
        def change(folder):
            manifest = json.loads((folder / "manifest.json").read_text())
            (folder / "manifest.json").write_text(json.dumps({**manifest, **values}))

        return change

    damaged("missing", lambda folder: (folder / "scores.npy").unlink())
    damaged("short", lambda folder: (folder / "scores.npy").write_bytes(b"\x93NUMPY"))
    damaged("no manifest", lambda folder: (folder / "manifest.json").unlink())
    damaged("torn manifest", lambda folder: (folder / "manifest.json").write_text('{"format": 1, "ki'))
    damaged("list", lambda folder: (folder / "manifest.json").write_text("[]"))
    damaged("newer", edit(format=2))
    damaged("kind", edit(kind="pickle"))
    damaged("items", edit(items=4))
    damaged("outside", edit(files={"../../etc/passwd": {"bytes": 1, "sha256": ""}}))
    damaged("files", edit(files={}))


def test_a_folder_is_written_once(tmp_path):
    write(tmp_path / "a")
    with pytest.raises(ArtifactError, match="not empty"):
        write(tmp_path / "a")


def test_what_does_not_fit_together_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="scores should have the shape"):
        write(tmp_path / "a", arrays={"scores": np.zeros(2, np.float32)})
    with pytest.raises(ArtifactError, match="unique"):
        write(tmp_path / "b", items=("a", "a", "b"))
    with pytest.raises(ArtifactError, match="indptr"):
        write(tmp_path / "c", "item_item", arrays={"indices": np.zeros(1), "data": np.zeros(1)})
    with pytest.raises(ArtifactError, match="popularity should have the shape"):
        write(tmp_path / "e", "item_item", arrays={"weights": np.zeros((3, 3)), "popularity": np.zeros(2)})
    with pytest.raises(ArtifactError, match="kind"):
        write(tmp_path / "d", "pickle")
    with pytest.raises(ArtifactError, match="name of an array"):
        write(tmp_path / "e", arrays={"../x": np.zeros(3, np.float32)})


def test_verify_reads_every_byte(tmp_path):
    folder = write(tmp_path / "a")
    artifact.verify(folder)
    content = bytearray((folder / "items.json").read_bytes())
    content[2] = ord("z")
    (folder / "items.json").write_bytes(content)
    artifact.load(folder)  # the size is right
    with pytest.raises(ArtifactError, match=r"items\.json does not match its checksum"):
        artifact.verify(folder)


def test_leaving_an_item_out_of_one_list_leaves_it_in_the_next(tmp_path):
    described = artifact.Artifact(tmp_path, "static", "popular", {}, {}, 2, {})
    scorer = artifact.KINDS["static"](described, ["x", "y"], {"scores": np.array([2, 1], dtype=np.float32)})
    assert scorer.top(Query(), 2, frozenset({"x"}))[0] == ["y"]
    assert scorer.top(Query(), 2)[0] == ["x", "y"]
