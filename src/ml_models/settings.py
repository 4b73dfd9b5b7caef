"""Every setting of the app: typed, documented, with its default. The only reader of `django.conf` besides `checks`.

`get_settings()` is the one way in; it reads Django's settings at first use and again after `setting_changed`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from django.conf import settings as host  # a lazy object: nothing is read before it is asked
from django.core.signals import setting_changed

from ml_models.core.errors import ConfigError
from ml_models.core.event import EventType
from ml_models.core.validation import Matching, OneOf, Problem, Range, build, check, did_you_mean

__all__ = [
    "ApiSettings",
    "AutoTrainingSettings",
    "DataCollectionSettings",
    "LimitSettings",
    "MLSettings",
    "ModelSettings",
    "PrivacySettings",
    "ServingSettings",
    "StorageSettings",
    "TrackingSettings",
    "foreign_names",
    "get_settings",
    "languages",
    "read",
    "reset",
    "secret_keys",
    "session_cookie",
]

_PATH = Matching(r"/.*", "a path that starts with /")
_DOTTED = Matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", "a dotted path such as package.module.Class")
_DOTTED_OR_EMPTY = Matching(r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)+)?", "a dotted path such as package.module.Class")
_QUERY_KEY = Matching(r"[^&=#?\s]{1,64}", "the name of a query key such as page")
_ORIGIN = Matching(r"https?://[^/\s]+", "an origin such as https://www.example.com")
_EVENT_TYPE = OneOf(tuple(str(name) for name in EventType))


@dataclass(frozen=True, slots=True)
class AutoTrainingSettings:
    """`ML_AUTO_TRAINING_CONFIG`: when models are trained by themselves."""

    enabled: bool = True
    """Whether automatic training runs at all (together with `ML_AUTO_TRAINING` and `PRODUCTION`)."""
    min_interactions: Annotated[int, Range(0)] = 1000
    """Interactions the lake must hold before the first training; count, >= 0."""
    min_users: Annotated[int, Range(0)] = 100
    """Distinct visitors the lake must hold before the first training; count, >= 0."""
    min_products: Annotated[int, Range(0)] = 50
    """Distinct products with interactions before the first training; count, >= 0."""
    new_interactions_threshold: Annotated[int, Range(1)] = 5000
    """New interactions since the last training that make a retraining due; count, >= 1."""
    max_days_between_training: Annotated[int, Range(1)] = 7
    """Days after which a retraining is due in any case; days, >= 1."""
    training_hour: Annotated[int, Range(0, 23)] = 2
    """Hour of scheduled training in the shop's `TIME_ZONE`; 0 to 23."""
    enable_drift_detection: bool = True
    """Whether drift is looked for daily."""
    drift_threshold: Annotated[float, Range(0, 1)] = 0.15
    """Drift score from which a retraining is due; 0 to 1."""
    max_concurrent_trainings: Annotated[int, Range(1)] = 2
    """Trainings that may run at once over all hosts; count, >= 1."""


@dataclass(frozen=True, slots=True)
class DataCollectionSettings:
    """`ML_DATA_COLLECTION`: what is collected and for how long."""

    enabled: bool = True
    """Whether events are collected."""
    batch_size: Annotated[int, Range(1, 10_000)] = 100
    """Events handled as one batch by the collector; count, 1 to 10,000."""
    flush_interval: Annotated[int, Range(1, 86_400)] = 300
    """Longest time an event waits in the spool before it is due for the lake; seconds, 1 to 86,400."""
    retention_days: Annotated[int, Range(1)] = 90
    """Days behavioural events are kept, counted from `received_at`; days, >= 1. Purchases and refunds stay,
    with keyed ids."""
    anonymize_ip: bool = True
    """Cut addresses to /24 (IPv4) or /48 (IPv6) before anything touches disk. False keeps the address in one column."""
    collect_location: bool = True
    """Look country and region up in the shop's own GeoIP file, where `geo_database` names one."""
    geo_database: str = ""
    """Path of the shop's own file in MaxMind's format (country or city), relative to `BASE_DIR`; empty looks nothing
    up."""
    collect_device_info: bool = True
    """Keep device type, browser and operating system of an event."""


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """`ML_TRACKING`: what is recorded without the shop's own code saying so."""

    track_page_views: bool = True
    """Record a `page_view` for each HTML page, by the middleware and by the tracker."""
    track_product_views: bool = True
    """Record a `product_view` for each product page, by the middleware and by the tracker. What `emit_product_view`
    and `trackProductView` say is the shop's own word and recorded all the same."""
    exclude_paths: tuple[Annotated[str, _PATH], ...] = ("/admin/", "/api/ml/", "/static/", "/media/")
    """Path prefixes of pages that are never recorded; each a path that starts with /."""
    exclude_bots: bool = True
    """Keep bots out of training, profiles and product statistics (they are flagged, not dropped)."""
    track_clicks: bool = True
    """Let the tracker record clicks on links and buttons: where they lead and their ids, never text or values."""
    track_forms: bool = True
    """Let the tracker record that a form was used: its id and how many fields, never values."""
    track_engagement: bool = True
    """Let the tracker record engaged time and scroll depth of a page."""


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """`ML_PRIVACY`: what of a visitor may be kept at all."""

    consent: Annotated[str, OneOf(("implied", "required"))] = "implied"
    """`implied`: behaviour is recorded until the visitor denies; `required`: nothing before the visitor grants."""
    respect_gpc: bool = True
    """Take a browser's `Sec-GPC: 1` for a denial, unless the visitor granted consent on this site."""
    query_keys: tuple[Annotated[str, _QUERY_KEY], ...] = (
        *("q", "query", "search", "page", "sort", "order", "category", "brand", "color", "size", "tag"),
        *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
    )
    """Keys of an address's query string that are kept, each the name of a query key such as page; all others are
    dropped, and so are fragments."""
    consent_cookie: Annotated[str, Matching(r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, - and _")] = "_ml_consent"
    """Name of the cookie in which the tracker keeps `granted` or `denied`, nothing else; 1 to 64 letters,
    digits, - and _."""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """`ML_LIMITS`: how much one sender may send; what is over it is answered with 429 and counted, not stored."""

    visitor_rate: Annotated[float, Range(0.1, 100_000)] = 5.0
    """Track requests a second that one visitor cookie may send for long; 0.1 to 100,000."""
    visitor_burst: Annotated[int, Range(1, 1_000_000)] = 60
    """Track requests that one visitor cookie may send at once; count, 1 to 1,000,000."""
    network_rate: Annotated[float, Range(0.1, 1_000_000)] = 50.0
    """Track requests a second that one network (/24, /48) may send for long; 0.1 to 1,000,000."""
    network_burst: Annotated[int, Range(1, 10_000_000)] = 500
    """Track requests that one network may send at once; count, 1 to 10,000,000."""
    trusted_proxies: Annotated[int, Range(0, 10)] = 0
    """Proxies of the shop's own in front of it: the sender's address is that many places from the right of
    `X-Forwarded-For`. 0 takes the peer's address; 0 to 10."""
    storage_bytes: Annotated[int, Range(0)] = 0
    """Bytes that `ML_STORAGE["data"]` should not exceed, >= 0; `ml_status` tells when it will. 0 takes the free
    space of its disk."""


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
    spool: Annotated[str, _DOTTED_OR_EMPTY] = ""
    """The class of the spool; a dotted path such as package.module.Class. Empty takes Redis, with files behind it,
    where `REDIS_URL` is set, else files."""
    event_store: Annotated[str, _DOTTED] = "ml_models.adapters.event_store.DeltaEventStore"
    """The class of the event store; a dotted path such as package.module.Class."""
    model_store: Annotated[str, _DOTTED] = "ml_models.adapters.model_store.FolderModelStore"
    """The class of the model store; a dotted path such as package.module.Class."""
    online_store: Annotated[str, _DOTTED_OR_EMPTY] = ""
    """The class of the online store; a dotted path such as package.module.Class. Empty takes Redis, with the database
    behind it, where `REDIS_URL` is set, else the database."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`ML_MODELS`: which models are trained, and how."""

    enabled: tuple[str, ...] = ("popular", "item_knn", "ease")
    """Models that `ml_train --all` trains and the server serves."""
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Config fields per model, such as `{"ease": {"regularization": 300}}`."""
    seed: int = 42
    """Seed of every training; integer."""
    weights: Mapping[Annotated[str, _EVENT_TYPE], Annotated[float, Range(0)]] = field(default_factory=dict)
    """Implicit weight per event type, laid over the defaults; >= 0, 0 leaves a type out."""
    test_days: Annotated[int, Range(1)] = 14
    """Newest days of the shop's `TIME_ZONE` held out for evaluation; days, >= 1."""
    history_days: Annotated[int, Range(1)] = 365
    """Days of interactions a training reads; days, >= 1."""


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """`ML_SERVING`: how lists are made."""

    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Order of sources per list type, laid over the defaults of `ml_models.serving.sources`."""
    candidates: Annotated[int, Range(1, 10_000)] = 200
    """Candidates asked of each source; count, 1 to 10,000."""
    history: Annotated[int, Range(1, 200)] = 50
    """Recent interactions that make up a query; count, 1 to 200, the most that is kept of a visitor."""
    refresh_seconds: Annotated[float, Range(0.1, 60)] = 5.0
    """How often a process looks for newly promoted versions; seconds, 0.1 to 60."""
    exclude_seen: Mapping[str, tuple[Annotated[str, _EVENT_TYPE], ...]] = field(default_factory=dict)
    """Event types whose items a list leaves out, per list type, laid over the defaults."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`ML_API`: the endpoints."""

    default_limit: Annotated[int, Range(1)] = 10
    """Items in an answer when `limit` is not given; count, >= 1 and at most `max_limit`."""
    max_limit: Annotated[int, Range(1, 1_000)] = 100
    """Most items in one answer; 1 to 1,000."""
    max_events: Annotated[int, Range(1, 1_000)] = 100
    """Most events in one track request; 1 to 1,000."""
    max_body: Annotated[int, Range(1_024)] = 262_144
    """Largest track request; bytes, >= 1,024."""
    max_event: Annotated[int, Range(256)] = 16_384
    """Largest single event; bytes, >= 256 and at most `max_body`."""
    cookie_name: Annotated[str, Matching(r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, - and _")] = "_ml"
    """Name of the visitor cookie; 1 to 64 letters, digits, - and _."""
    cookie_age: Annotated[int, Range(60)] = 34_128_000
    """Lifetime of the visitor cookie; seconds, >= 60 (395 days)."""
    allowed_origins: tuple[Annotated[str, _ORIGIN], ...] = ()
    """Further origins that may post events; each an origin such as https://www.example.com. Same origin always may."""


@dataclass(frozen=True, slots=True)
class MLSettings:
    """All settings in force."""

    enabled: bool = True
    """`ML_ENABLED`: False makes the whole app inert."""
    production: bool = False
    """`PRODUCTION`: automatic training runs only where this is True."""
    redis_url: Annotated[str, Matching(r"(rediss?|unix)://.+|", "a URL such as redis://localhost:6379/0")] | None = None
    """`REDIS_URL`: Redis for the event stream and recent items; a URL such as redis://localhost:6379/0.

    None or empty uses files and the database.
    """
    auto_training: bool = True
    """`ML_AUTO_TRAINING`: the main switch of automatic training."""
    auto_retrain_on_drift: bool = True
    """`ML_AUTO_RETRAIN_ON_DRIFT`: retrain when drift is found."""
    site: Annotated[str, Matching(r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, dots, - and _")] = "default"
    """`ML_SITE`: name of this shop in event ids and rows, where several share a lake.

    1 to 64 letters, digits, dots, - and _.
    """
    auto_training_config: AutoTrainingSettings = field(default_factory=AutoTrainingSettings)
    data_collection: DataCollectionSettings = field(default_factory=DataCollectionSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    catalog: Mapping[str, Any] = field(default_factory=dict)
    """`ML_CATALOG`: the mapping of the shop's models; see the catalogue page of the docs."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    models: ModelSettings = field(default_factory=ModelSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    limits: LimitSettings = field(default_factory=LimitSettings)


SECTIONS: dict[str, tuple[str, type]] = {
    "ML_AUTO_TRAINING_CONFIG": ("auto_training_config", AutoTrainingSettings),
    "ML_DATA_COLLECTION": ("data_collection", DataCollectionSettings),
    "ML_TRACKING": ("tracking", TrackingSettings),
    "ML_STORAGE": ("storage", StorageSettings),
    "ML_MODELS": ("models", ModelSettings),
    "ML_SERVING": ("serving", ServingSettings),
    "ML_API": ("api", ApiSettings),
    "ML_PRIVACY": ("privacy", PrivacySettings),
    "ML_LIMITS": ("limits", LimitSettings),
}
"""Settings that are dictionaries: their name, the field of `MLSettings` and its type."""
SCALARS = {
    "ML_ENABLED": "enabled",
    "PRODUCTION": "production",
    "REDIS_URL": "redis_url",
    "ML_AUTO_TRAINING": "auto_training",
    "ML_AUTO_RETRAIN_ON_DRIFT": "auto_retrain_on_drift",
    "ML_SITE": "site",
    "ML_CATALOG": "catalog",
}
"""Settings that are single values, and `ML_CATALOG`, whose grammar the catalogue checks."""

_current: MLSettings | None = None
_wrong = ""
"""What is wrong with the settings, once read: a page must not pay for reading them again and again."""


def _together(values: Mapping[str, Any]) -> list[Problem]:
    """Problems between two values that are each right by themselves."""
    api = values["api"]
    return [
        Problem(
            "value",
            f'ML_API["{low}"]',
            f'ML_API["{low}"] is {getattr(api, low):,}, more than ML_API["{high}"], {getattr(api, high):,}.',
            "Lower the first or raise the second.",
        )
        for low, high in (("default_limit", "max_limit"), ("max_event", "max_body"))
        if getattr(api, low) > getattr(api, high)
    ]


def _placed(storage: StorageSettings, base: Path) -> StorageSettings:
    """The folders made absolute, and the lake's own default filled in."""
    data = base / storage.data
    lake = storage.lake or str(data / "lake")
    if "://" not in lake:
        lake = str(base / lake)
    return replace(storage, models=base / storage.models, data=data, lake=lake)


def _located(collection: DataCollectionSettings, base: Path) -> DataCollectionSettings:
    """The path of the geo database made absolute."""
    path = collection.geo_database
    return replace(collection, geo_database=str(base / path)) if path else collection


def read() -> tuple[MLSettings, list[Problem]]:
    """The settings as Django has them now, and every problem found; what is wrong has its default instead."""
    from django.conf import settings

    hints = get_type_hints(MLSettings, include_extras=True)
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, attribute in SCALARS.items():
        if hasattr(settings, name):
            value, found = check(hints[attribute], getattr(settings, name), name)
            problems += found
            if not found:
                values[attribute] = value
    for name, (attribute, cls) in SECTIONS.items():
        values[attribute], found = build(cls, getattr(settings, name, {}), name)
        problems += found
    problems += _together(values)
    values["redis_url"] = values.get("redis_url") or None
    base = Path(getattr(settings, "BASE_DIR", Path.cwd()))
    values["storage"] = _placed(values["storage"], base)
    values["data_collection"] = _located(values["data_collection"], base)
    return MLSettings(**values), problems


def languages() -> frozenset[str]:
    """Codes of the host's `LANGUAGES` in lower case, as they may stand first in a path."""
    global _languages
    named = host.LANGUAGES
    if _languages[0] is not named:
        _languages = (named, frozenset(str(code).lower() for code, _ in named))
    return _languages[1]


_languages: tuple[object, frozenset[str]] = (None, frozenset())


def secret_keys() -> tuple[str | bytes, ...]:
    """`SECRET_KEY`, then `SECRET_KEY_FALLBACKS`."""
    return (host.SECRET_KEY, *host.SECRET_KEY_FALLBACKS)


def session_cookie() -> str:
    """Name of the cookie of the shop's sessions."""
    return str(host.SESSION_COOKIE_NAME)


def foreign_names() -> dict[str, str]:
    """Settings named `ML_*` that are not ours, each with a suggestion, which is empty where no name of ours is near."""
    from django.conf import settings

    ours = [*SCALARS, *SECTIONS]
    return {
        name: did_you_mean(name, ours, otherwise="")
        for name in sorted(dir(settings))
        if name.startswith("ML_") and name.isupper() and name not in ours
    }


def get_settings() -> MLSettings:
    """The settings in force; raises `ConfigError` with every problem at once when they are wrong."""
    global _current, _wrong
    if _current is None:
        if _wrong:
            raise ConfigError(_wrong)
        settings, problems = read()
        # Switched off, the app must not be able to hurt: whatever else is wrong waits until it is switched on.
        if problems and (settings.enabled or any(problem.where == "ML_ENABLED" for problem in problems)):
            lines = [f"- {problem.message} {problem.hint}" for problem in problems]
            count = "One setting is" if len(lines) == 1 else f"{len(lines)} settings are"
            _wrong = "\n".join([f"{count} wrong.", *lines])
            raise ConfigError(_wrong)
        _current = settings
    return _current


def reset(*, setting: str | None = None, **kwargs: Any) -> None:
    """Forget what was read; the next `get_settings()` reads again. A receiver of `setting_changed`."""
    global _current, _wrong
    if setting is None or setting in SCALARS or setting in SECTIONS or setting == "BASE_DIR":
        _current, _wrong = None, ""
        # Only where adapters were ever built: this module is the lower one and must not import them.
        adapters = sys.modules.get("ml_models.adapters.build")
        if adapters is not None:
            adapters.reset()


setting_changed.connect(reset, dispatch_uid="ml_models.settings.reset")
