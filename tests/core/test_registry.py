import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from ml_models.adapters.model_store import FolderModelStore, MemoryModelStore
from ml_models.adapters.versions import DatabaseVersions, MemoryVersions
from ml_models.core import artifact, clock
from ml_models.core.errors import ArtifactError, MLError, ModelNotFound
from ml_models.core.registry import Registry, plain
from ml_models.testing.model_stores import small_artifact

NOW = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def registry():
    store = MemoryModelStore()
    yield Registry(store, MemoryVersions())
    store.close()


def trained(registry, folder, name="popular"):
    record = registry.begin(name, seed=7, config={"a": 1}, data={"hash": "h"}, code_version="0.1")
    return registry.finish(record, small_artifact(folder), kind="static", metrics={"n": 3})


def test_begin_finish_promote(registry, tmp_path):
    record = trained(registry, tmp_path / "a")
    assert (record.status, record.seed, record.data["hash"], len(record.sha256)) == ("ready", 7, "h", 64)
    assert registry.champion("popular") is None
    registry.promote("popular", 1, by="test", reason="first version")
    assert registry.champion("popular") == record


def test_only_whole_and_ready_versions_are_promoted(registry, tmp_path):
    record = registry.begin("popular")
    with pytest.raises(MLError, match="training and cannot serve"):
        registry.promote("popular", record.version, by="test", reason="")
    with pytest.raises(ModelNotFound):
        registry.promote("popular", 9, by="test", reason="")
    trained(registry, tmp_path / "a")
    registry.store.delete("popular", 2)
    with pytest.raises(ArtifactError, match="not in the model store"):
        registry.promote("popular", 2, by="test", reason="")
    assert registry.champion("popular") is None


def test_rollback_goes_to_the_one_before_and_once_more(registry, tmp_path):
    for number in (1, 2, 3):
        trained(registry, tmp_path / str(number))
        registry.promote("popular", number, by="test", reason="newer")
    assert registry.rollback("popular", by="test").version == 2
    assert registry.rollback("popular", by="test").version == 1
    with pytest.raises(MLError, match="no earlier version"):
        registry.rollback("popular", by="test")
    with pytest.raises(ModelNotFound, match="Model not found: ease"):
        registry.rollback("ease", by="test")


def test_rollback_passes_over_what_is_gone(registry, tmp_path):
    for number in (1, 2, 3):
        trained(registry, tmp_path / str(number))
        registry.promote("popular", number, by="test", reason="newer")
    registry.versions.update("popular", 2, status="deleted")
    assert registry.rollback("popular", by="test").version == 1


def test_a_training_that_died_is_marked_and_swept(registry, tmp_path):
    with clock.use(clock.ManualClock(NOW)) as manual:
        record = registry.begin("popular")
        registry.store.put("popular", record.version, small_artifact(tmp_path / "a"))  # killed right after
        assert registry.expire(timedelta(hours=6)) == []
        manual.advance(hours=7)
        alive = registry.begin("popular")
        assert [row.version for row in registry.expire(timedelta(hours=6))] == [record.version]
    assert registry.versions.get("popular", record.version).status == "failed"
    assert registry.versions.get("popular", alive.version).status == "training"
    assert registry.store.versions("popular") == []


VICTIM = """
import os, pathlib, shutil, signal, sys
from pathlib import Path
from ml_models.adapters import model_store
from ml_models.core import artifact
from ml_models.testing.model_stores import small_artifact

store, work, point = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
def after(function):
    def both(*args, **kwargs):
        function(*args, **kwargs)
        die()
    return both
if point == "half exported":
    artifact.json.dumps = die  # the arrays are written, the manifest is not
elif point == "before the move":
    shutil.move = die
elif point == "moved":
    shutil.move = after(shutil.move)
elif point == "before the rename":
    pathlib.Path.rename = die
elif point == "renamed":
    pathlib.Path.rename = after(pathlib.Path.rename)
model_store.FolderModelStore(store).put("popular", 1, small_artifact(work / "export"))
die()
"""


@pytest.mark.parametrize(
    ("point", "there"),
    [
        ("half exported", []),
        ("before the move", []),
        ("moved", []),
        ("before the rename", []),
        ("renamed", [1]),
        ("after the put", [1]),
    ],
)
def test_a_killed_training_never_leaves_half_a_version(tmp_path, point, there):
    versions = MemoryVersions()
    registry = Registry(FolderModelStore(tmp_path / "store"), versions)
    with clock.use(clock.ManualClock(NOW)) as manual:
        record = registry.begin("popular")
        done = subprocess.run(
            [sys.executable, "-c", VICTIM, str(tmp_path / "store"), str(tmp_path), point],
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == -signal.SIGKILL
        assert registry.store.versions("popular") == there
        for version in there:  # there at all means there whole
            artifact.verify(registry.store.path("popular", version))
        with pytest.raises(MLError, match="cannot serve"):
            registry.promote("popular", record.version, by="test", reason="")
        assert versions.champions() == {}
        manual.advance(hours=25)
        registry.expire()
        again = trained(registry, tmp_path / "again")
        registry.promote("popular", again.version, by="test", reason="second try")
    assert registry.store.versions("popular") == [2]
    assert registry.champion("popular").version == 2


def test_figures_that_are_no_numbers_are_none():
    given = {"diversity": {"value": float("nan"), "n": 0}, "list": [float("inf"), 1.5, "x"]}
    assert plain(given) == {"diversity": {"value": None, "n": 0}, "list": [None, 1.5, "x"]}


def test_numbers_go_on_where_the_store_has_versions_that_the_table_forgot(tmp_path):
    store = FolderModelStore(tmp_path / "store")
    trained(Registry(store, MemoryVersions()), tmp_path / "a")
    anew = Registry(store, MemoryVersions())
    assert trained(anew, tmp_path / "b").version == 2
    assert store.versions("popular") == [1, 2]


def test_the_table_keeps_metrics_without_a_number(db, tmp_path):
    made = Registry(FolderModelStore(tmp_path / "store"), DatabaseVersions())
    record = made.begin("popular")
    metrics = {"model": {"diversity": {"value": float("nan")}}}
    made.finish(record, small_artifact(tmp_path / "a"), kind="static", metrics=metrics)
    assert made.versions.get("popular", 1).metrics == {"model": {"diversity": {"value": None}}}
