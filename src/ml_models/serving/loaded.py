"""The models a process has loaded: the champions, swapped for newly promoted versions while requests go on.

The champion pointers are read once every `ML_SERVING["refresh_seconds"]` by the request that finds them due (one tiny
query). A new version is loaded by a short-lived thread while the old one keeps answering; what is loaded is arrays
that are only read, most of them memory-mapped, so that processes forked from one parent share them.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import Any

from django.db import Error as DatabaseError

from ml_models.adapters.build import get_model_store, get_versions, shared
from ml_models.core import clock
from ml_models.core.errors import MLError
from ml_models.data_collection import counters
from ml_models.serving.refresh import Refreshed
from ml_models.settings import get_settings

__all__ = ["Loaded", "LoadedModels", "get_models"]

log = logging.getLogger("bunoraa.ml.serving")

SWAP_WAIT = 0.05
"""How long requests wait for a new version, from the moment its load began, before they get the old one; seconds."""
FIRST_WAIT = 1.0
"""The same where nothing is loaded yet: after it the next source answers; seconds."""
RETRY_SECONDS = 60.0
"""How long a version that could not be loaded is left alone; seconds."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One version of one model, ready to score."""

    name: str
    version: int
    artifact: Any


class LoadedModels:
    """The champions this process has loaded so far; each is loaded when a list first needs it."""

    def __init__(self) -> None:
        self.versions = get_versions()
        self.store = get_model_store()
        self.failures = 0
        """Loads and reads of the pointers that failed since the process started."""
        self._champions = Refreshed(self._read_champions, lambda: get_settings().serving.refresh_seconds)
        self._loaded: dict[str, Loaded] = {}
        self._failed: dict[tuple[str, int], float] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._begun: dict[str, float] = {}
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def get(self, name: str) -> Loaded | None:
        """The champion of a model name, or None where none was trained, or none can be loaded.

        Never raises for a damaged artifact: the version before keeps answering, and the damage is logged and counted.
        """
        version = self._champions.get().get(name)
        loaded = self._loaded.get(name)
        if loaded is not None and loaded.version == version:
            return loaded
        if version is None:
            if loaded is not None:
                self._loaded.pop(name, None)
                log.info("%s is no longer promoted; version %d is not served any more", name, loaded.version)
            return None
        return self._swap(name, version, loaded)

    def status(self) -> dict[str, int]:
        """Model name -> version that this process serves."""
        return {name: loaded.version for name, loaded in dict(self._loaded).items()}

    def _count(self, reason: str) -> None:
        self.failures += 1
        counters.add(reason)

    def _read_champions(self, previous: dict[str, int] | None) -> dict[str, int]:
        try:
            return self.versions.champions()
        except (DatabaseError, MLError, OSError) as error:
            # A list must come even when the tables are away or not yet migrated.
            self._count("serving.pointers_unread")
            log.error(
                "The promoted versions cannot be read (%s); what is loaded keeps serving. "
                "Check the database, and run: python manage.py migrate",
                error,
            )
            return previous or {}

    def _swap(self, name: str, version: int, old: Loaded | None) -> Loaded | None:
        retry_at = self._failed.get((name, version))
        if retry_at is not None and clock.current().monotonic() < retry_at:
            return old
        with self._guard():
            thread = self._threads.get(name)
            if thread is None or not thread.is_alive():
                current = self._loaded.get(name)
                if current is not None and current.version == version:
                    return current
                thread = threading.Thread(target=self._load, args=(name, version), name=f"ml-load-{name}", daemon=True)
                self._threads[name], self._begun[name] = thread, clock.current().monotonic()
                thread.start()
        # With nothing to serve yet it is worth waiting, but not for ever: a large version on a slow disk must not hold
        # every worker of the shop.
        longest = SWAP_WAIT if old is not None else FIRST_WAIT
        thread.join(max(0.0, self._begun[name] + longest - clock.current().monotonic()))
        return self._loaded.get(name, old)

    def _guard(self) -> threading.Lock:
        if self._pid != os.getpid():
            self._threads, self._lock, self._pid = {}, threading.Lock(), os.getpid()
        return self._lock

    def _load(self, name: str, version: int) -> None:
        from ml_models.core.artifact import load

        try:
            artifact = load(self.store.path(name, version))
        except Exception as error:  # a damaged file, a full memory: whatever it is, it is not tried at every request
            self._count("serving.load_failed")
            self._failed[(name, version)] = clock.current().monotonic() + RETRY_SECONDS
            old = self._loaded.get(name)
            log.error(
                "Version %d of %s cannot be loaded (%s); %s. Promote another version, or train it again: "
                "python manage.py ml_train --model %s",
                version,
                name,
                error,
                "the next source answers" if old is None else f"version {old.version} keeps serving",
                name,
                exc_info=not isinstance(error, MLError | OSError),
            )
            return
        self._failed.pop((name, version), None)
        self._loaded[name] = Loaded(name, version, artifact)
        log.info("Serving version %d of %s", version, name)


def get_models() -> LoadedModels:
    """The models of this process."""
    models: LoadedModels = shared("serving.models", LoadedModels)
    if models.versions is not get_versions() or models.store is not get_model_store():
        # Another registry is in force (a test, a simulation): nothing loaded from the old one may answer.
        from ml_models.adapters.build import override

        models = LoadedModels()
        override(**{"serving.models": models})
    return models
