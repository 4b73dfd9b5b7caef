"""The adapters in force, each built once a process from the settings and rebuilt when a setting changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from ml_models.core.errors import ConfigError
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from ml_models.adapters.dead_letters import DeadLetters
    from ml_models.core.ports import Catalogue, EventStore, ModelStore, OnlineStore, Spool, VersionTable

__all__ = [
    "get_catalogue",
    "get_dead_letters",
    "get_event_store",
    "get_model_store",
    "get_online_store",
    "get_spool",
    "get_versions",
    "override",
    "reset",
    "shared",
]

_DEFAULTS = {
    "spool": ("ml_models.adapters.spool_file.FileSpool", "ml_models.adapters.spool_fallback.FallbackSpool"),
    "online_store": (
        "ml_models.adapters.online_store.DatabaseOnlineStore",
        "ml_models.adapters.online_store_redis.FallbackOnlineStore",
    ),
}
"""Storage -> (class without `REDIS_URL`, class with it), where `ML_STORAGE` names none."""

_built: dict[str, Any] = {}
_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)  # another thread may have held it at the fork, and is gone


def _load(path: str, setting: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        return cast("Callable[..., Any]", getattr(import_module(module), name))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{setting} names {path!r}, which cannot be imported: {error}. Correct the path.") from error


def _once(key: str, build: Callable[[], Any]) -> Any:
    built = _built.get(key)
    if built is None:
        with _lock:
            built = _built.get(key)
            if built is None:
                built = _built[key] = build()
    return built


def _default(name: str) -> str:
    """The class of a storage: the one named in `ML_STORAGE`, else the one that fits `REDIS_URL`."""
    settings = get_settings()
    return getattr(settings.storage, name) or _DEFAULTS[name][bool(settings.redis_url)]


def get_spool() -> Spool:
    """The spool; built as `cls(folder)` with the folder `<data>/spool`."""

    def build() -> Any:
        return _load(_default("spool"), 'ML_STORAGE["spool"]')(get_settings().storage.data / "spool")

    return cast("Spool", _once("spool", build))


def get_event_store() -> EventStore:
    """The lake; built as `cls(uri, storage_options)`."""

    def build() -> Any:
        storage = get_settings().storage
        return _load(storage.event_store, 'ML_STORAGE["event_store"]')(storage.lake, dict(storage.lake_options))

    return cast("EventStore", _once("event_store", build))


def get_model_store() -> ModelStore:
    """The model store; built as `cls(folder)` with the folder `ML_STORAGE["models"]`."""

    def build() -> Any:
        storage = get_settings().storage
        return _load(storage.model_store, 'ML_STORAGE["model_store"]')(storage.models)

    return cast("ModelStore", _once("model_store", build))


def get_online_store() -> OnlineStore:
    """The online store; built as `cls()`."""

    def build() -> Any:
        return _load(_default("online_store"), 'ML_STORAGE["online_store"]')()

    return cast("OnlineStore", _once("online_store", build))


def get_catalogue() -> Catalogue:
    """The shop's catalogue through `ML_CATALOG`; built as `DjangoCatalogue(ML_CATALOG)`."""
    path = "ml_models.adapters.catalogue.DjangoCatalogue"
    return cast("Catalogue", _once("catalogue", lambda: _load(path, "the catalogue")(get_settings().catalog)))


def get_versions() -> VersionTable:
    """Rows about model versions; built as `DatabaseVersions()`."""
    path = "ml_models.adapters.versions.DatabaseVersions"
    return cast("VersionTable", _once("versions", lambda: _load(path, "the version table")()))


def get_dead_letters() -> DeadLetters:
    """What could not be taken, with the reason; built as `DeadLetters(folder)` with `<data>/dead_letters`."""
    path = "ml_models.adapters.dead_letters.DeadLetters"
    return cast(
        "DeadLetters",
        _once("dead_letters", lambda: _load(path, "the dead letters")(get_settings().storage.data / "dead_letters")),
    )


def shared(key: str, build: Callable[[], Any]) -> Any:
    """An object of a floor above that lives as long as the adapters, such as the models a process has loaded.

    Built once a process under a name of its own and forgotten by `reset()`, so that no test sees another's.
    """
    return _once(key, build)


def override(**adapters: Any) -> None:
    """Put ready-made adapters in force, such as `override(spool=MemorySpool())`, for tests and simulations."""
    with _lock:
        _built.update(adapters)


def reset() -> None:
    """Forget what was built; adapters with a `close()` are closed."""
    with _lock:
        for adapter in _built.values():
            close = getattr(adapter, "close", None)
            if close is not None:
                close()
        _built.clear()
