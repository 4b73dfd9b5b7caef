"""Every setting of the app: typed, documented, with its default. The only reader of `django.conf` besides `checks`.

`get_settings()` is the one way in; it reads Django's settings at first use and again after `setting_changed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "ApiSettings",
    "AutoTrainingSettings",
    "DataCollectionSettings",
    "MLSettings",
    "ModelSettings",
    "ServingSettings",
    "StorageSettings",
    "TrackingSettings",
    "get_settings",
    "reset",
]


@dataclass(frozen=True, slots=True)
class AutoTrainingSettings:
    """`ML_AUTO_TRAINING_CONFIG`: when models are trained by themselves."""

    enabled: bool = True
    """Whether automatic training runs at all (together with `ML_AUTO_TRAINING` and `PRODUCTION`)."""
    min_interactions: int = 1000
    """Interactions the lake must hold before the first training; count, >= 0."""
    min_users: int = 100
    """Distinct visitors the lake must hold before the first training; count, >= 0."""
    min_products: int = 50
    """Distinct products with interactions before the first training; count, >= 0."""
    new_interactions_threshold: int = 5000
    """New interactions since the last training that make a retraining due; count, >= 1."""
    max_days_between_training: int = 7
    """Days after which a retraining is due in any case; days, >= 1."""
    training_hour: int = 2
    """Hour of scheduled training in the shop's `TIME_ZONE`; 0 to 23."""
    enable_drift_detection: bool = True
    """Whether drift is looked for daily."""
    drift_threshold: float = 0.15
    """Drift score from which a retraining is due; 0 to 1."""
    max_concurrent_trainings: int = 2
    """Trainings that may run at once over all hosts; count, >= 1."""


@dataclass(frozen=True, slots=True)
class DataCollectionSettings:
    """`ML_DATA_COLLECTION`: what is collected and for how long."""

    enabled: bool = True
    """Whether events are collected."""
    batch_size: int = 100
    """Events handled as one batch by the collector; count, 1 to 10,000."""
    flush_interval: int = 300
    """Longest time an event waits in the spool before it is due for the lake; seconds, 1 to 86,400."""
    retention_days: int = 90
    """Days behavioural events are kept, counted from `received_at`; days, >= 1. Purchases and refunds stay."""
    anonymize_ip: bool = True
    """Cut addresses to /24 (IPv4) or /48 (IPv6) before anything touches disk. False keeps the address in one column."""
    collect_location: bool = True
    """Look the country up in the shop's own GeoIP file, where one is configured."""
    collect_device_info: bool = True
    """Keep device type, browser and operating system of an event."""


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """`ML_TRACKING`: what the middleware records by itself."""

    track_page_views: bool = True
    """Record a `page_view` for each HTML page."""
    track_product_views: bool = True
    """Record a `product_view` for each product page."""
    exclude_paths: tuple[str, ...] = ("/admin/", "/api/ml/", "/static/", "/media/")
    """Path prefixes that are never recorded."""
    exclude_bots: bool = True
    """Keep known bots out of training (they are flagged, not dropped)."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """`ML_STORAGE`: where things live. Relative paths are relative to `BASE_DIR`."""

    models: Path = Path("ml_models/saved_models")
    """Folder of trained model versions."""
    data: Path = Path("ml_data")
    """Folder of the spool, the lake, dead letters and exports."""
    lake: str = ""
    """URI of the lake (a folder or `s3://...`); empty means `<data>/lake`."""
    lake_options: Mapping[str, Any] = field(default_factory=dict)
    """Storage options of the lake's object store."""
    spool: str = "ml_models.adapters.spool_file.FileSpool"
    """Dotted path of the spool."""
    event_store: str = "ml_models.adapters.event_store.DeltaEventStore"
    """Dotted path of the event store."""
    model_store: str = "ml_models.adapters.model_store.FolderModelStore"
    """Dotted path of the model store."""
    online_store: str = "ml_models.adapters.online_store.DatabaseOnlineStore"
    """Dotted path of the online store."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`ML_MODELS`: which models are trained, and how."""

    enabled: tuple[str, ...] = ("popular", "item_knn", "ease")
    """Models that `ml_train --all` trains and the server serves."""
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Config fields per model, such as `{"ease": {"regularization": 300}}`."""
    seed: int = 42
    """Seed of every training; integer."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Implicit weight per event type, laid over the defaults; >= 0, 0 leaves a type out."""
    test_days: int = 14
    """Newest days held out for evaluation; days, >= 1."""
    history_days: int = 365
    """Days of interactions a training reads; days, >= 1."""


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """`ML_SERVING`: how lists are made."""

    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Order of sources per list type, laid over the defaults of `ml_models.serving.sources`."""
    candidates: int = 200
    """Candidates asked of each source; count, 1 to 10,000."""
    history: int = 50
    """Recent interactions that make up a query; count, 1 to 500."""
    refresh_seconds: float = 5.0
    """How often a process looks for newly promoted versions; seconds, 0.1 to 60."""
    exclude_seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Event types whose items a list leaves out, per list type, laid over the defaults."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`ML_API`: the endpoints."""

    default_limit: int = 10
    """Items in an answer when `limit` is not given; 1 to `max_limit`."""
    max_limit: int = 100
    """Most items in one answer; 1 to 1,000."""
    max_events: int = 100
    """Most events in one track request; 1 to 1,000."""
    max_body: int = 262_144
    """Largest track request; bytes, >= 1,024."""
    max_event: int = 16_384
    """Largest single event; bytes, >= 256."""
    cookie_name: str = "_ml"
    """Name of the visitor cookie."""
    cookie_age: int = 34_128_000
    """Lifetime of the visitor cookie; seconds, >= 60 (395 days)."""
    allowed_origins: tuple[str, ...] = ()
    """Further origins that may post events, such as `https://www.example.com`; same origin always may."""


@dataclass(frozen=True, slots=True)
class MLSettings:
    """All settings in force."""

    enabled: bool = True
    """`ML_ENABLED`: False makes the whole app inert."""
    production: bool = False
    """`PRODUCTION`: automatic training runs only where this is True."""
    redis_url: str | None = None
    """`REDIS_URL`: Redis for the event stream and recent items; None uses files and the database."""
    auto_training: bool = True
    """`ML_AUTO_TRAINING`: the main switch of automatic training."""
    auto_retrain_on_drift: bool = True
    """`ML_AUTO_RETRAIN_ON_DRIFT`: retrain when drift is found."""
    site: str = "default"
    """`ML_SITE`: name of this shop in event ids and rows, where several share a lake."""
    auto_training_config: AutoTrainingSettings = field(default_factory=AutoTrainingSettings)
    data_collection: DataCollectionSettings = field(default_factory=DataCollectionSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    catalog: Mapping[str, Any] = field(default_factory=dict)
    """`ML_CATALOG`: the mapping of the shop's models; see the catalogue page of the docs."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    models: ModelSettings = field(default_factory=ModelSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    api: ApiSettings = field(default_factory=ApiSettings)


_current: MLSettings | None = None

_SECTIONS: dict[str, tuple[str, type]] = {
    "ML_AUTO_TRAINING_CONFIG": ("auto_training_config", AutoTrainingSettings),
    "ML_DATA_COLLECTION": ("data_collection", DataCollectionSettings),
    "ML_TRACKING": ("tracking", TrackingSettings),
    "ML_STORAGE": ("storage", StorageSettings),
    "ML_MODELS": ("models", ModelSettings),
    "ML_SERVING": ("serving", ServingSettings),
    "ML_API": ("api", ApiSettings),
}
_SCALARS = {
    "ML_ENABLED": "enabled",
    "PRODUCTION": "production",
    "REDIS_URL": "redis_url",
    "ML_AUTO_TRAINING": "auto_training",
    "ML_AUTO_RETRAIN_ON_DRIFT": "auto_retrain_on_drift",
    "ML_SITE": "site",
    "ML_CATALOG": "catalog",
}


def _load() -> MLSettings:
    from django.conf import settings

    values: dict[str, Any] = {}
    for name, attribute in _SCALARS.items():
        if hasattr(settings, name):
            values[attribute] = getattr(settings, name)
    for name, (attribute, cls) in _SECTIONS.items():
        given = dict(getattr(settings, name, {}))
        if cls is TrackingSettings and "exclude_paths" in given:
            given["exclude_paths"] = tuple(given["exclude_paths"])
        if cls is StorageSettings:
            base = Path(getattr(settings, "BASE_DIR", Path.cwd()))
            for key in ("models", "data"):
                given[key] = base / given.get(key, getattr(StorageSettings(), key))
            given["lake"] = str(given.get("lake") or given["data"] / "lake")
        values[attribute] = cls(**given)
    return MLSettings(**values)


def get_settings() -> MLSettings:
    """The settings in force; raises `ConfigError` with every problem at once when they are wrong."""
    global _current
    if _current is None:
        _current = _load()
    return _current


def reset(**kwargs: Any) -> None:
    """Forget what was read; the next `get_settings()` reads again. A receiver of `setting_changed`."""
    global _current
    _current = None
