"""What every model store and every version table promises.

class TestMyStore(ModelStoreContract):
    def make(self): return MyStore(...)
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ml_models.core import artifact, clock
from ml_models.core.errors import ArtifactError, MLError, ModelNotFound, PromotionConflict, StoreError
from ml_models.core.ports import ModelStore, VersionRecord, VersionTable
from ml_models.core.query import Query

__all__ = ["ModelStoreContract", "VersionTableContract", "small_artifact"]

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def small_artifact(directory: Path, *, model: str = "popular", scores: tuple[float, ...] = (3.0, 1.0, 2.0)) -> Path:
    """A folder with a tiny artifact."""
    artifact.write(
        directory,
        kind="static",
        model=model,
        config={},
        item_ids=[f"i{place}" for place in range(len(scores))],
        arrays={"scores": np.array(scores, dtype=np.float32)},
        params={},
    )
    return directory


class ModelStoreContract:
    """Subclass it with `make()`."""

    def make(self) -> ModelStore:
        """An empty store."""
        raise NotImplementedError

    def test_what_is_put_is_there_and_the_folder_is_taken(self, tmp_path: Path) -> None:
        store = self.make()
        folder = small_artifact(tmp_path / "a")
        digest = store.put("popular", 1, folder)
        assert len(digest) == 64
        assert not folder.exists()
        assert artifact.load(store.path("popular", 1)).top(Query(), 3)[0] == ["i0", "i2", "i1"]

    def test_equal_content_has_an_equal_sum_and_other_content_another(self, tmp_path: Path) -> None:
        store = self.make()
        sums = [
            store.put("popular", number, small_artifact(tmp_path / str(number), scores=scores))
            for number, scores in enumerate([(1.0, 2.0), (1.0, 2.0), (2.0, 1.0)], start=1)
        ]
        assert sums[0] == sums[1] != sums[2]

    def test_versions_ascend_and_are_apart_by_name(self, tmp_path: Path) -> None:
        store = self.make()
        assert store.versions("popular") == []
        for number in (10, 2, 1):
            store.put("popular", number, small_artifact(tmp_path / str(number)))
        store.put("ease", 4, small_artifact(tmp_path / "e"))
        assert store.versions("popular") == [1, 2, 10]
        assert store.versions("ease") == [4]

    def test_a_version_never_changes(self, tmp_path: Path) -> None:
        store = self.make()
        store.put("popular", 1, small_artifact(tmp_path / "a"))
        with pytest.raises(StoreError, match="exists already"):
            store.put("popular", 1, small_artifact(tmp_path / "b", scores=(9.0,)))
        assert artifact.load(store.path("popular", 1)).item_ids == ["i0", "i1", "i2"]

    def test_half_an_artifact_is_refused(self, tmp_path: Path) -> None:
        store = self.make()
        folder = small_artifact(tmp_path / "a")
        (folder / "manifest.json").unlink()
        with pytest.raises(ArtifactError, match="manifest"):
            store.put("popular", 1, folder)
        changed = small_artifact(tmp_path / "b")
        content = bytearray((changed / "scores.npy").read_bytes())
        content[-1] ^= 1
        (changed / "scores.npy").write_bytes(content)
        with pytest.raises(ArtifactError, match="checksum"):
            store.put("popular", 1, changed)
        assert store.versions("popular") == []

    def test_a_missing_version_is_said_with_the_remedy(self) -> None:
        with pytest.raises(ArtifactError, match="ml_train --model popular"):
            self.make().path("popular", 7)

    def test_delete_is_thorough_and_may_be_repeated(self, tmp_path: Path) -> None:
        store = self.make()
        store.put("popular", 1, small_artifact(tmp_path / "a"))
        store.delete("popular", 1)
        store.delete("popular", 1)
        assert store.versions("popular") == []
        with pytest.raises(ArtifactError):
            store.path("popular", 1)

    @pytest.mark.parametrize(("name", "version"), [("../x", 1), ("Upper", 1), ("", 1), ("popular", 0), (".hidden", 1)])
    def test_odd_names_are_refused(self, tmp_path: Path, name: str, version: int) -> None:
        with pytest.raises(StoreError):
            self.make().put(name, version, small_artifact(tmp_path / "a"))


class VersionTableContract:
    """Subclass it with `make()`."""

    def make(self) -> VersionTable:
        """An empty table."""
        raise NotImplementedError

    def record(self, name: str = "ease", *, minutes: int = 0) -> VersionRecord:
        """A record as a training begins it."""
        return VersionRecord(
            name=name,
            version=0,
            created_at=NOW + timedelta(minutes=minutes),
            seed=42,
            config={"regularization": 100.0},
            data={"interactions": 3, "hash": "abc"},
            code_version="0.1.0",
        )

    def ready(self, table: VersionTable, name: str = "ease", *, minutes: int = 0) -> int:
        """Number of a new ready version."""
        version = table.create(self.record(name, minutes=minutes)).version
        table.update(name, version, status="ready", sha256="f" * 64, finished_at=NOW)
        return version

    def test_numbers_grow_by_one_within_a_name(self) -> None:
        table = self.make()
        assert [table.create(self.record(name)).version for name in ("ease", "ease", "popular", "ease")] == [1, 2, 1, 3]

    def test_everything_given_comes_back(self) -> None:
        table = self.make()
        made = table.create(self.record())
        assert made.status == "training"
        changed = table.update(
            "ease",
            1,
            status="ready",
            kind="item_item",
            metrics={"ndcg": {"value": 0.25}},
            sha256="a" * 64,
            finished_at=NOW,
        )
        assert table.get("ease", 1) == changed
        assert changed.metrics == {"ndcg": {"value": 0.25}}
        assert changed.config == {"regularization": 100.0}
        assert (changed.seed, changed.data["hash"], changed.finished_at) == (42, "abc", NOW)
        assert json.dumps(changed.data)

    def test_unknown_versions(self) -> None:
        table = self.make()
        assert table.get("ease", 1) is None
        with pytest.raises(ModelNotFound):
            table.update("ease", 1, status="ready")
        with pytest.raises(ModelNotFound):
            table.promote("ease", 1, by="test", reason="")

    def test_identity_cannot_be_changed(self) -> None:
        table = self.make()
        table.create(self.record())
        with pytest.raises(StoreError, match="created_at"):
            table.update("ease", 1, created_at=NOW)

    def test_the_list_is_newest_first(self) -> None:
        table = self.make()
        for minutes, name in enumerate(["ease", "popular", "ease"]):
            table.create(self.record(name, minutes=minutes))
        assert [(row.name, row.version) for row in table.list()] == [("ease", 2), ("popular", 1), ("ease", 1)]
        assert [row.version for row in table.list("ease")] == [2, 1]
        assert len(table.list(limit=1)) == 1

    def test_only_a_ready_version_is_promoted(self) -> None:
        table = self.make()
        version = table.create(self.record()).version
        for status in ("training", "failed", "deleted"):
            table.update("ease", version, status=status)
            with pytest.raises(MLError, match="cannot serve"):
                table.promote("ease", version, by="test", reason="")
        assert table.champions() == {}
        assert list(table.promotions("ease")) == []

    def test_the_pointer_moves_and_its_history_stays(self) -> None:
        table = self.make()
        first, second, other = self.ready(table), self.ready(table, minutes=1), self.ready(table, "popular")
        with clock.use(clock.ManualClock(NOW)) as manual:
            table.promote("ease", first, by="me", reason="first version")
            assert isinstance(manual, clock.ManualClock)
            manual.advance(hours=1)
            table.promote("ease", second, by="me", reason="better")
            table.promote("popular", other, by="me", reason="first version")
        assert table.champions() == {"ease": second, "popular": other}
        newest, oldest = table.promotions("ease")
        assert (newest["version"], newest["previous"], newest["reason"]) == (second, first, "better")
        assert (oldest["version"], oldest["previous"], oldest["by"]) == (first, None, "me")
        assert newest["at"] - oldest["at"] == timedelta(hours=1)

    def test_pointing_where_the_pointer_is_changes_nothing(self) -> None:
        table = self.make()
        version = self.ready(table)
        table.promote("ease", version, by="me", reason="a")
        table.promote("ease", version, by="me", reason="b")
        assert [row["reason"] for row in table.promotions("ease")] == ["a"]

    def test_a_promotion_over_a_version_needs_that_version_to_serve(self) -> None:
        table = self.make()
        first, second, third = (self.ready(table, minutes=minutes) for minutes in range(3))
        table.promote("ease", first, by="me", reason="first version", over=None)
        table.promote("ease", second, by="me", reason="better", over=first)
        for over in (first, None):
            with pytest.raises(PromotionConflict, match=f"version {second} serves now"):
                table.promote("ease", third, by="me", reason="better", over=over)
        assert table.champions() == {"ease": second}
        assert len(table.promotions("ease")) == 2

    def test_numbers_begin_above_the_records_own(self) -> None:
        table = self.make()
        assert table.create(replace(self.record(), version=7)).version == 8
        assert table.create(self.record()).version == 9
