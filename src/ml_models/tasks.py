"""Celery entry points: each wraps one service call. Importable from settings.py, with and without Celery.

Importing this module reads no settings. Where Celery is not installed the tasks are plain functions, and asking for the
schedule or for `delay` says what to install.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from ml_models.core.errors import ConfigError, MLError
from ml_models.schedule import schedule

try:
    from celery import shared_task
    from celery.exceptions import SoftTimeLimitExceeded
except ImportError:

    class SoftTimeLimitExceeded(Exception):  # type: ignore[no-redef]
        """Never raised where there is no worker."""

    _MISSING = "Celery is not installed, so {what}. Install it: pip install 'bunoraa-ml[celery]'."

    def shared_task(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Keep the function callable; refuse to queue it, in words."""

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            def refuse(*args: Any, **kwargs: Any) -> Any:
                raise ConfigError(_MISSING.format(what=f"{options.get('name', function.__name__)} cannot be queued"))

            for name in ("delay", "apply_async"):
                setattr(function, name, refuse)
            function.name = options.get("name", function.__name__)  # type: ignore[attr-defined]
            return function

        return decorate


__all__ = [
    "auto_training_check_task",
    "check_drift_task",
    "cleanup_old_data_task",
    "evaluate_models_task",
    "export_training_data_task",
    "generate_report_task",
    "get_celery_beat_schedule",
    "process_training_data_task",
    "scheduled_training_task",
    "train_model_task",
]

logger = logging.getLogger("bunoraa.ml.training")

_OWN_RULES = {"acks_late": False, "soft_time_limit": 23 * 3600, "time_limit": 24 * 3600}
"""Options that must not come from the host's Celery settings. A limit made for e-mails would end every training, and
with late acknowledgement one whose worker was killed for its memory would be delivered again for ever; all tasks here
take up what is due when they next run. Seconds."""


def _task(name: str) -> Callable[[Callable[..., Any]], Any]:
    """A task of this app, which does nothing, and says why, where the app is switched off."""

    def decorate(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            from ml_models.settings import get_settings

            # A worker's schedule may know nothing of the switch.
            return function(*args, **kwargs) if get_settings().enabled else {"skipped": "ML_ENABLED is False"}

        return shared_task(name=name, **_OWN_RULES)(run)

    return decorate


@_task("ml.process_training_data")
def process_training_data_task() -> dict[str, Any]:
    """Bring the outbox into the lake, read new orders, bring the spool into the lake; then profiles, product figures.

    Money first: neither traffic nor a spool that cannot be read must hold it up. The spool is worked on for
    `flush_interval`; what is left is the next run's. Any number may run at once: of two that read the same events, one
    commits and the other starts over. Profiles and product figures come when they are due (`data_collection.figures`),
    and are missing in the answer of the other runs. Raises the first failure, whatever its kind, after every step was
    tried. The answer has `trouble`, in words, where Redis is away.
    """
    from django.db import close_old_connections

    from ml_models.data_collection.figures import refresh_products, refresh_profiles
    from ml_models.data_collection.outage import settle
    from ml_models.data_collection.outbox_drain import drain_outbox
    from ml_models.data_collection.process import process_events
    from ml_models.data_collection.sync import sync_orders
    from ml_models.settings import get_settings

    seconds = get_settings().data_collection.flush_interval
    steps: dict[str, Callable[[], Any]] = {
        "outbox": drain_outbox,
        "orders": sync_orders,
        "events": lambda: process_events(seconds=seconds),
        "profiles": refresh_profiles,
        "products": refresh_products,
    }
    done: dict[str, Any] = {}
    failures: list[Exception] = []
    for name, step in steps.items():
        try:
            if (result := step()) is not None:
                done[name] = _plain(result)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # a shop's table may raise anything, and the other steps do not need it
            where = not isinstance(error, MLError)  # ours are sentences with the remedy in them
            logger.error("Step %s of ml.process_training_data failed: %s", name, error, exc_info=where)
            failures.append(error)
            close_old_connections()  # the next step must not ask through a connection that broke
    if failures:
        raise failures[0]
    trouble = settle()
    return {**done, "trouble": trouble} if trouble else done


@_task("ml.train_model")
def train_model_task(
    model: str, config: dict[str, Any] | None = None, trigger: str = "manual", force: bool = False
) -> dict[str, Any]:
    """Train one model; `config` holds config fields and, for models with epochs, `epochs`; `force` as in `train`."""
    from ml_models.auto_training import train

    values = dict(config or {})
    epochs = values.pop("epochs", None)
    return _said(train(model, config=values, trigger=trigger, epochs=epochs, force=force))


@_task("ml.scheduled_training")
def scheduled_training_task() -> list[dict[str, Any]] | dict[str, str]:
    """Train every enabled model on data read once, where automatic training is on.

    A model that fails stands in the result with its `error` and stops no other; where all fail, so does the task.
    """
    from ml_models.auto_training import automatic, prepare
    from ml_models.settings import get_settings

    if (off := automatic()) is not None:
        return {"skipped": off}
    return _train_each([(name, "scheduled") for name in get_settings().models.enabled], prepare())


def _train_each(chosen: list[tuple[str, str]], data: Any) -> list[dict[str, Any]]:
    """Train models (name, trigger); one that fails stands in the result with its `error`. Raises where all fail."""
    from ml_models.auto_training import train

    done: list[dict[str, Any]] = []
    for name, trigger in chosen:
        try:
            done.append(_said(train(name, trigger=trigger, data=data)))
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # a model may raise anything; its version row says failed, and why
            logger.exception("%s could not be trained (%s)", name, trigger)
            done.append({"model": name, "error": str(error) or type(error).__name__})
    if done and all("error" in one for one in done):
        raise MLError("No model could be trained: " + "; ".join(f"{one['model']}: {one['error']}" for one in done))
    return done


@_task("ml.auto_training_check")
def auto_training_check_task() -> dict[str, Any]:
    """Train what is due by the triggers of `training_check`, where automatic training is on.

    The answer says of each enabled model which `trigger` applies and the `reason`, and in `trained` what came of it; in
    `skipped`, in words, why nothing was trained although something is due.
    """
    from ml_models.auto_training import automatic, prepare
    from ml_models.core.errors import InsufficientData
    from ml_models.settings import get_settings
    from ml_models.training_check import decide, trainings_under_way

    if (off := automatic()) is not None:
        return {"skipped": off}
    decisions = decide()
    answer: dict[str, Any] = {"models": [_plain(one) for one in decisions], "trained": []}
    due = [(one.model, one.trigger) for one in decisions if one.trigger is not None]
    if not due:
        return answer
    under_way, most = trainings_under_way(), get_settings().auto_training_config.max_concurrent_trainings
    if under_way >= most:
        return {**answer, "skipped": f"{under_way} trainings run already, of at most {most}"}
    try:
        data = prepare()
    except InsufficientData as error:
        return {**answer, "skipped": str(error)}
    return {**answer, "trained": _train_each(due, data)}


@_task("ml.check_drift")
def check_drift_task() -> dict[str, Any]:
    """Compare the newest days with what the champion was trained on, and count the lake, for `ml_status`."""
    from ml_models.data_collection import lake_counts
    from ml_models.data_collection.drift import check_drift

    lake_counts.refresh()
    return check_drift()


@_task("ml.evaluate_models")
def evaluate_models_task() -> dict[str, Any]:
    """Evaluate the champions' recipes on the newest days."""
    from ml_models.reports import evaluate_models

    return evaluate_models()


@_task("ml.export_training_data")
def export_training_data_task() -> dict[str, Any]:
    """Write the days of the lake that changed as Parquet files."""
    from ml_models.data_collection.export import export_training_data

    return {"export": _plain(export_training_data())}


@_task("ml.generate_report")
def generate_report_task() -> list[str]:
    """Write the evaluation of what serves to `<data>/reports/<day>.json` and `.html`; returns the paths.

    The day is the shop's (`TIME_ZONE`).
    """
    from django.utils import timezone

    from ml_models.core import clock
    from ml_models.reports import evaluate_models, write_report
    from ml_models.settings import get_settings

    # The day people mean: a report made at 6 in the morning in Dhaka is not yesterday's.
    day = timezone.localtime(clock.now()).date()
    target = get_settings().storage.data / "reports" / f"{day.isoformat()}.json"
    return [str(path) for path in write_report(evaluate_models(), target)]


@_task("ml.cleanup_old_data")
def cleanup_old_data_task() -> dict[str, Any]:
    """Drop behavioural events older than `ML_DATA_COLLECTION["retention_days"]`, and what profiles say of them."""
    from ml_models.data_collection.retention import apply_retention
    from ml_models.data_collection.user_profile import collect_profiles

    return {"retention": _plain(apply_retention()), "profiles": _plain(collect_profiles())}


def _said(record: Any) -> dict[str, Any]:
    return {
        "model": record.name,
        "version": record.version,
        "status": record.status,
        "promoted": record.metrics.get("promoted"),
        "reason": record.metrics.get("reason"),
    }


def _plain(result: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(result, enc_hook=str)


def get_celery_beat_schedule(flush_interval: int = 300) -> dict[str, dict[str, Any]]:
    """Entries for `CELERY_BEAT_SCHEDULE`, in the time zone of Celery's `timezone`; reads no settings.

    The whole table of the guide. A shop whose `ML_DATA_COLLECTION["flush_interval"]` is below 300 gives it here too:
    then the spool is read as often.
    """
    try:
        from celery.schedules import crontab
    except ImportError as error:
        raise ConfigError(
            _MISSING.format(what="there is no schedule") + " Or run python manage.py ml_worker, which needs none."
        ) from error
    return {
        f"ml.{name}": {
            "task": f"ml.{name}",
            "schedule": crontab(minute=times.minute, hour=times.hour, day_of_week=times.day_of_week),
        }
        for name, times in schedule(flush_interval).items()
    }
