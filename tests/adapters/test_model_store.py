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
