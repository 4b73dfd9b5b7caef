import os
from pathlib import Path

import pytest

from ml_models.adapters.model_store import FolderModelStore, MemoryModelStore
from ml_models.core.errors import ArtifactError, StoreError
from ml_models.testing.model_stores import ModelStoreContract, small_artifact


class TestFolderModelStore(ModelStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory):
        self.folder = tmp_path_factory.mktemp("store")

    def make(self):
        return FolderModelStore(self.folder)

    def test_damage_on_disk_is_found(self, tmp_path):
        self.make().put("popular", 1, small_artifact(tmp_path / "a"))
        path = self.folder / "popular" / "1" / "scores.npy"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"scores\.npy does not match its checksum"):
            self.make().path("popular", 1)
        path.write_bytes(content[:-1])
        with pytest.raises(ArtifactError, match=r"damaged.*ml_train --model popular"):
            self.make().path("popular", 1)

    def test_what_a_killed_put_left_is_no_version(self, tmp_path):
        (self.folder / "popular" / ".coming-0123").mkdir(parents=True)
        assert self.make().versions("popular") == []
        self.make().put("popular", 1, small_artifact(tmp_path / "a"))
        assert self.make().versions("popular") == [1]

    def test_a_version_may_be_read_as_the_umask_says(self, tmp_path):
        """The web process is often another user than the one who trains."""
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        before = os.umask(0o022)
        try:
            self.make().put("popular", 1, small_artifact(private / "a"))
            private.joinpath("b").mkdir(mode=0o700)
            for path in small_artifact(tmp_path / "c").iterdir():
                path.rename(private / "b" / path.name)
            self.make().put("popular", 2, private / "b")
        finally:
            os.umask(before)
        for version in ("1", "2"):
            assert (self.folder / "popular" / version).stat().st_mode & 0o777 == 0o755
        assert list(private.iterdir()) == []

    def test_what_a_killed_put_or_delete_left_goes_after_a_day(self, tmp_path):
        old, young = (self.folder / "popular" / f".{name}" for name in ("coming-old", "coming-young"))
        going = self.folder / "popular" / ".going-old"
        for path in (old, young, going):
            path.mkdir(parents=True)
            (path / "scores.npy").write_text("half")
        now = young.stat().st_mtime
        for path in (old, going):
            os.utime(path, (now - 25 * 3600, now - 25 * 3600))
        self.make().put("popular", 1, small_artifact(tmp_path / "a"))
        assert {path.name for path in (self.folder / "popular").iterdir()} == {"1", ".coming-young"}

    def test_a_folder_that_cannot_be_written_is_said_in_words(self, tmp_path):
        blocked = tmp_path / "file"
        blocked.write_text("not a folder")
        with pytest.raises(StoreError, match="writable"):
            FolderModelStore(blocked).put("popular", 1, small_artifact(tmp_path / "a"))


class TestMemoryModelStore(ModelStoreContract):
    @pytest.fixture(autouse=True)
    def _close(self):
        self.made = []
        yield
        for store in self.made:
            store.close()

    def make(self):
        self.made.append(MemoryModelStore(Path("ignored")))
        return self.made[-1]
