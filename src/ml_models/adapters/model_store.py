"""Artifacts of model versions, as folders on disk or in memory."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
import uuid
from pathlib import Path

from ml_models.core import artifact
from ml_models.core.errors import ArtifactError, StoreError
from ml_models.core.registry import STALE_AFTER

__all__ = ["FolderModelStore", "MemoryModelStore", "sweep"]

log = logging.getLogger("bunoraa.ml.models")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def _digest(directory: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _missing(name: str, version: int) -> ArtifactError:
    return ArtifactError(
        f"Version {version} of {name} is not in the model store. Train it again (python manage.py ml_train "
        f"--model {name}) or go back to an earlier version."
    )


def _checked(name: str, version: int) -> None:
    if not _NAME.fullmatch(name) or version < 1:
        raise StoreError(f"{name!r} version {version} cannot be a model version. Names are lower-case, versions >= 1.")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(beside: Path, *prefixes: str) -> None:
    """Remove what killed processes left: folders beside a new one that begin so and are older than `STALE_AFTER`.

    Ages are by the file system's own clock. What cannot be removed is logged.
    """
    now = beside.stat().st_mtime
    for path in beside.parent.iterdir():
        if not path.name.startswith(prefixes):
            continue
        try:
            if now - path.stat().st_mtime > STALE_AFTER.total_seconds():
                shutil.rmtree(path)
        except FileNotFoundError:  # another process removes it too
            continue
        except OSError as error:
            log.warning("%s was left by a killed training and cannot be removed: %s", path, error)


class FolderModelStore:
    """Folders `<folder>/<name>/<version>/`. A version appears by one rename of synced files: whole or not at all."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._verified: set[tuple[str, int]] = set()

    def put(self, name: str, version: int, directory: Path) -> str:
        """Take a finished folder over atomically (it is gone afterwards); returns its sha256.

        The sha256 is over the sorted names and contents. Raises `ArtifactError` for a folder that is no whole
        artifact, `StoreError` when the version exists or the disk fails.
        """
        _checked(name, version)
        artifact.verify(directory)
        target = self._path(name, version)
        if target.exists():
            raise StoreError(f"Version {version} of {name} exists already in {self.folder}. Versions never change.")
        coming = target.parent / f".coming-{uuid.uuid4().hex}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = _digest(Path(directory))
            # A folder of our own and not the given one: that may be private to this user, as temporary folders are,
            # and the web process is often another.
            coming.mkdir()
            sweep(coming, ".coming-", ".going-")
            for path in Path(directory).iterdir():
                _sync(Path(shutil.move(path, coming)))  # a rename on one file system, else a copy
            Path(directory).rmdir()
            _sync(coming)
            coming.rename(target)
            _sync(target.parent)
            _sync(self.folder)
        except OSError as error:
            shutil.rmtree(coming, ignore_errors=True)
            raise StoreError(
                f"The model store {self.folder} cannot take version {version} of {name}: {error}. Check that the "
                "folder is writable and the disk has room."
            ) from error
        return digest

    def path(self, name: str, version: int) -> Path:
        """The version's folder, checked against its checksums at first use in this process. Raises `ArtifactError`."""
        _checked(name, version)
        target = self._path(name, version)
        if not target.is_dir():
            raise _missing(name, version)
        if (name, version) in self._verified:
            artifact.read_manifest(target)
        else:
            artifact.verify(target)
            self._verified.add((name, version))
        return target

    def versions(self, name: str) -> list[int]:
        """Versions present, ascending."""
        folder = self.folder / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            return []
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())

    def delete(self, name: str, version: int) -> None:
        """Remove one version; processes that have it open keep reading it."""
        _checked(name, version)
        target = self._path(name, version)
        self._verified.discard((name, version))
        if target.is_dir():
            going = target.parent / f".going-{uuid.uuid4().hex}"
            target.rename(going)
            shutil.rmtree(going)

    def _path(self, name: str, version: int) -> Path:
        return self.folder / name / str(version)


class MemoryModelStore:
    """The twin for tests: file contents in memory, written out to a temporary folder when asked for."""

    def __init__(self, folder: Path | str = "") -> None:
        self._files: dict[tuple[str, int], dict[str, bytes]] = {}
        self._out: dict[tuple[str, int], tempfile.TemporaryDirectory[str]] = {}
        self._lock = threading.Lock()

    def put(self, name: str, version: int, directory: Path) -> str:
        """As `FolderModelStore.put`."""
        _checked(name, version)
        artifact.verify(directory)
        with self._lock:
            if (name, version) in self._files:
                raise StoreError(f"Version {version} of {name} exists already. Versions never change.")
            digest = _digest(Path(directory))
            self._files[name, version] = {path.name: path.read_bytes() for path in Path(directory).iterdir()}
        shutil.rmtree(directory)
        return digest

    def path(self, name: str, version: int) -> Path:
        """As `FolderModelStore.path`."""
        _checked(name, version)
        with self._lock:
            files = self._files.get((name, version))
            if files is None:
                raise _missing(name, version)
            out = self._out.get((name, version))
            if out is None:
                out = self._out[name, version] = tempfile.TemporaryDirectory(prefix="ml-model-")
                for file, content in files.items():
                    (Path(out.name) / file).write_bytes(content)
        artifact.verify(Path(out.name))
        return Path(out.name)

    def versions(self, name: str) -> list[int]:
        """Versions present, ascending."""
        return sorted(version for found, version in list(self._files) if found == name)

    def delete(self, name: str, version: int) -> None:
        """Remove one version."""
        _checked(name, version)
        with self._lock:
            self._files.pop((name, version), None)
            out = self._out.pop((name, version), None)
        if out is not None:
            out.cleanup()

    def close(self) -> None:
        """Remove the temporary folders."""
        for out in self._out.values():
            out.cleanup()
        self._out.clear()
