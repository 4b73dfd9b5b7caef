"""Messages of `manage.py check`, each with a public id, a sentence and the fix.

`ml.E001` unknown option, `ml.E002` wrong type, `ml.E003` impossible value, `ml.E004` a class that cannot be found,
`ml.E005` unknown model, `ml.E006` the app's tables are not loaded from `ml_models.orm`, `ml.E007` unknown source or
list type of `ML_SERVING`, `ml.W001` a foreign `ML_*` setting, `ml.W010` whole addresses are kept, `ml.W011` the geo
database cannot be read, `ml.W020` a Redis that cannot be reached or may lose events (with `--database`). Those of the
catalogue begin at 100, see
`ml_models.adapters.catalogue.checks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from ml_models import settings as ml_settings
from ml_models.core.validation import did_you_mean

__all__ = [
    "check_catalogue",
    "check_classes",
    "check_models",
    "check_redis",
    "check_serving",
    "check_settings",
    "check_tables",
]

_IDS = {"unknown": "ml.E001", "type": "ml.E002", "value": "ml.E003"}


def _active() -> ml_settings.MLSettings | None:
    """The settings where the app is on and they hold; otherwise there is nothing further to check."""
    settings, problems = ml_settings.read()
    return settings if settings.enabled and not problems else None


@register("ml")
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Every problem with the settings at once; a foreign `ML_*` name is a warning."""
    settings, problems = ml_settings.read()
    if not settings.enabled:
        return []
    messages: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint, id=_IDS[problem.kind]) for problem in problems
    ]
    for name, hint in ml_settings.foreign_names().items():
        text = f"{name} is not a setting of this app and has no effect on it."
        own = "If it is the shop's own, add ml.W001 to SILENCED_SYSTEM_CHECKS."
        messages.append(checks.Warning(text, hint=f"{hint} {own}".strip(), id="ml.W001"))
    return messages


@register("ml")
def check_classes(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The storage classes must exist. Their modules are looked for and not imported: some are heavy."""
    settings = _active()
    messages: list[CheckMessage] = []
    for name in ("spool", "event_store", "model_store", "online_store") if settings else ():
        path: str = getattr(settings.storage, name)  # type: ignore[union-attr]
        module = path.rpartition(".")[0]
        if not path:  # the app's own
            continue
        try:
            found = find_spec(module) is not None
        except ImportError:
            found = False
        if not found:
            text = f'ML_STORAGE["{name}"] names {path!r}, but there is no module {module!r}.'
            messages.append(Error(text, hint="Correct the path or install the package it is in.", id="ml.E004"))
    return messages


@register("ml")
def check_redis(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """With `--database`, whether the Redis of `REDIS_URL` answers and keeps what it accepts."""
    settings = _active()
    if settings is None or not settings.redis_url or not databases:
        return []
    from ml_models.adapters.redis_client import Redis
    from ml_models.core.errors import MLError

    server = Redis(settings.redis_url, MLError)
    try:
        found = server.worries()
    except MLError as error:
        found = [str(error)]
    finally:
        server.close()
    return [checks.Warning(text, hint="See docs/transport.md.", id="ml.W020") for text in found]


@register("ml")
def check_models(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """`ML_MODELS` may name only models that have a file in `ml_models.models`."""
    from ml_models import models

    settings = _active()
    if settings is None:
        return []
    known = [module.name for module in iter_modules(models.__path__) if not module.name.startswith("_")]
    named = [(f'ML_MODELS["enabled"][{place}]', name) for place, name in enumerate(settings.models.enabled)]
    named += [(f'ML_MODELS["config"]["{name}"]', name) for name in settings.models.config]
    return [
        Error(f"{where} names {name!r}, which is not a model.", hint=did_you_mean(name, known), id="ml.E005")
        for where, name in named
        if name not in known
    ]


@register("ml")
def check_serving(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """`ML_SERVING["sources"]` may name only built-in sources and models, `exclude_seen` only list types that there are.

    A source that is neither would be taken for a model that was never promoted, and stay silent for ever.
    """
    from ml_models import models
    from ml_models.serving.sources import BUILT_IN, DEFAULT_SOURCES

    settings = _active()
    if settings is None:
        return []
    serving = settings.serving
    known = [*BUILT_IN, *models.names()]
    types = [*DEFAULT_SOURCES, *serving.sources]
    messages: list[CheckMessage] = [
        Error(
            f'ML_SERVING["sources"]["{name}"][{place}] names {source!r}, which is no model and no built-in source.',
            hint=did_you_mean(source, known),
            id="ml.E007",
        )
        for name, sources in serving.sources.items()
        for place, source in enumerate(sources)
        if source not in known
    ]
    return messages + [
        Error(
            f'ML_SERVING["exclude_seen"] names {name!r}, but there is no such type of list.',
            hint=did_you_mean(name, types),
            id="ml.E007",
        )
        for name in serving.exclude_seen
        if name not in types
    ]


@register("ml")
def check_privacy(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What follows from keeping whole addresses, and whether places can be looked up."""
    from ml_models.data_collection import geo

    settings = _active()
    if settings is None:
        return []
    collection = settings.data_collection
    messages: list[CheckMessage] = []
    if not collection.anonymize_ip:
        days = f"{collection.retention_days:,} days"
        text = (
            'ML_DATA_COLLECTION["anonymize_ip"] is False: the whole IP address of every visitor is kept, in the column '
            f"ip_address of the lake. That is personal data. It leaves the lake with its event after {days} "
            '(ML_DATA_COLLECTION["retention_days"]); from orders, which stay, it is removed then; manage.py ml_forget '
            "removes it at once."
        )
        hint = "Set it to True, unless the shop has a reason in law to keep addresses; then silence ml.W010."
        messages.append(checks.Warning(text, hint=hint, id="ml.W010"))
    if collection.collect_location and collection.geo_database:
        try:
            geo.open_file(Path(collection.geo_database)).close()
        except ImportError:
            text = 'ML_DATA_COLLECTION["geo_database"] is set, but the package maxminddb is not installed.'
            hint = "Install it: pip install bunoraa-ml[geo]. Until then no place is recorded."
            messages.append(checks.Warning(text, hint=hint, id="ml.W011"))
        except (OSError, ValueError) as error:
            text = f'The file that ML_DATA_COLLECTION["geo_database"] names cannot be read: {error}'
            hint = "Put a country or city file in MaxMind's format there. Until then no place is recorded."
            messages.append(checks.Warning(text, hint=hint, id="ml.W011"))
    return messages


@register("ml")
def check_tables(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Fails loudly should a future Django stop calling `AppConfig.import_models`."""
    module = apps.get_app_config("ml").models_module
    name = getattr(module, "__name__", None)
    if name == "ml_models.orm":
        return []
    text = f"The tables of the app are read from {name}, not from ml_models.orm."
    hint = "This Django version is not supported yet: pin the one before it and report this message."
    return [Error(text, hint=hint, id="ml.E006")]


@register("ml")
def check_catalogue(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """What of the shop is mapped, what is not, and what follows; with `--database`, from a sample of its products."""
    if _active() is None:
        return []
    from ml_models.adapters.catalogue.checks import catalogue_messages

    return catalogue_messages(databases=databases)
