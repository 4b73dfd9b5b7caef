"""The state of the system in plain values: models, data and queue, each with what is wrong and what would help.

A *problem* is something broken, with its remedy: it makes the system unhealthy. A *hint* is what is missing for the
next step, such as too little data to train; a new project has hints and no problems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError

from ml_models.adapters.build import get_dead_letters, get_event_store, get_model_store, get_spool, get_versions
from ml_models.adapters.redis_client import Redis
from ml_models.core import clock
from ml_models.core.errors import ArtifactError, InsufficientData, MLError
from ml_models.data_collection import counters, lake_counts, outbox, storage
from ml_models.data_collection.drift import last_drift
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from ml_models.core.ports import VersionRecord

__all__ = ["PARTS", "Part", "data_status", "health_status", "queue_status", "redis_status"]

LATE_FACTOR = 12
"""An event may wait in the spool this many times `flush_interval` before the committer counts as stopped."""
REDIS_TIMEOUT = 2.0
"""Seconds to wait for Redis."""


@dataclass
class Part:
    """One part of the status."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def ask(self, question: Callable[[], Any]) -> Any:
        """The answer, or None and a problem where the answer is an error: a status must say so, not fail."""
        try:
            return question()
        except MLError as error:
            self.problems.append(str(error))
        except DatabaseError as error:
            self.problems.append(f"The database cannot be read: {error}. Run python manage.py migrate.")
        except OSError as error:
            self.problems.append(f"{error}. Check ML_STORAGE and the folder's rights.")
        return None


def _age(moment: datetime) -> float:
    return round((clock.now() - moment) / timedelta(days=1), 2)


def health_status() -> Part:
    """Models: champion, age, metrics, and whether the artifact is there and loads."""
    part = Part()
    enabled = get_settings().models.enabled
    champions = part.ask(lambda: get_versions().champions())
    if champions is None:
        return part
    models: dict[str, Any] = {}
    for name in dict.fromkeys([*enabled, *sorted(champions)]):
        version = champions.get(name)
        record = part.ask(partial(get_versions().get, name, version)) if version else None
        if record is None:
            waiting = part.ask(partial(get_versions().list, name, limit=1)) or []
            latest = waiting[0] if waiting else None
            models[name] = {"enabled": name in enabled, "champion": None, "latest": _latest(latest)}
            if latest is not None and latest.status == "failed":
                part.problems.append(
                    f"The last training of {name} failed: {latest.error or 'no reason was kept'}. "
                    f"Train it again: python manage.py ml_train --model {name}"
                )
            else:
                part.hints.append(f"{name} has no champion yet. Train it: python manage.py ml_train --model {name}")
            continue
        loads = _loads(part, name, record)
        models[name] = {
            "enabled": name in enabled,
            "champion": record.version,
            "kind": record.kind,
            "trained": record.finished_at or record.created_at,
            "age_days": _age(record.finished_at or record.created_at),
            "metrics": _summary(record),
            "interactions": record.data.get("interactions"),
            "artifact": "ok" if loads else "damaged",
        }
    part.values["models"] = models
    part.values["drift"] = drift = part.ask(last_drift)
    for name in (drift or {}).get("drifted", ()):
        found = drift["figures"][name]["psi"]
        part.hints.append(
            f"Visitors turned to other {name.replace('_', ' ')} in the newest week: PSI {found:.2f}, from "
            f"{drift['threshold']:.2f} on a training is advised: python manage.py ml_train --all"
        )
    return part


def _latest(record: VersionRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {"version": record.version, "status": record.status, "error": record.error}


def _summary(record: VersionRecord) -> dict[str, float]:
    """The few metrics people compare, wherever in the record they stand."""
    found: dict[str, float] = {}

    def walk(values: Any) -> None:
        if not hasattr(values, "items"):
            return
        for key, value in values.items():
            wanted = str(key).lower().startswith(("ndcg", "hr", "recall", "mrr", "coverage"))
            number = value.get("value") if hasattr(value, "get") else value
            if wanted and isinstance(number, int | float) and str(key) not in found:
                found[str(key)] = float(number)
            elif not wanted:
                walk(value)

    walk(record.metrics)
    return found


def _loads(part: Part, name: str, record: VersionRecord) -> bool:
    from ml_models.core import artifact

    try:
        artifact.load(get_model_store().path(name, record.version))
    except (ArtifactError, OSError) as error:
        part.problems.append(f"{name} v{record.version} cannot be served: {error}")
        return False
    return True


def data_status() -> Part:
    """The lake: events by type, interactions, size, retention, and whether it is enough to train."""
    part = Part()
    stats = part.ask(lambda: get_event_store().stats())
    settings = get_settings()
    least = settings.auto_training_config
    if stats is None:
        return part
    counts = part.ask(lambda: lake_counts.interactions(stats["rows"]))
    if counts is None:
        return part
    part.values |= {
        "events": stats["rows"],
        "by_type": stats["by_type"],
        "by_source": stats["by_source"],
        "tracker": part.ask(lake_counts.confirmed),
        "first": stats["first"],
        "last": stats["last"],
        **{name: counts[name] for name in ("interactions", "users", "items")},
        "counted": counts["at"],
        "lake": settings.storage.lake,
        "lake_bytes": stats["bytes"],
        "lake_files": stats["files"],
        "lake_version": stats["version"],
        "retention_days": settings.data_collection.retention_days,
        "minimums": {
            "interactions": least.min_interactions,
            "users": least.min_users,
            "products": least.min_products,
        },
    }
    pairs = (
        ("interactions", counts["interactions"], least.min_interactions),
        ("users", counts["users"], least.min_users),
        ("products", counts["items"], least.min_products),
    )
    short = [f"{found:,} {what} of at least {wanted:,}" for what, found, wanted in pairs if found < wanted]
    part.values["enough_to_train"] = not short
    if short:
        part.hints.append(str(InsufficientData(", ".join(short))))
    _storage(part, stats["day_bytes"])
    return part


def _storage(part: Part, day_bytes: Mapping[date, int]) -> None:
    """Room on the disk, and when it is used up."""
    state = part.ask(lambda: storage.look(day_bytes))
    if state is None:
        return
    part.values["storage"] = {**asdict(state), "forecast": str(state)}
    remedy = 'Free space or raise the limit (ML_LIMITS["storage_bytes"])' if state.own_limit else "Free space"
    text = (
        f'{storage.size(state.used)} of {storage.size(state.limit)} are used below ML_STORAGE["data"]: {state}. '
        f'{remedy}, or lower ML_DATA_COLLECTION["retention_days"] and run python manage.py ml_collect --cleanup'
    )
    if state.near:
        part.problems.append(text)
    elif state.days_left is not None and state.days_left < storage.SOON_DAYS:
        part.hints.append(text)


def queue_status() -> Part:
    """What waits on the way to the lake, what was refused, and Redis."""
    part = Part()
    settings = get_settings()
    part.values["redis"] = redis_status(part)
    spool = part.ask(lambda: get_spool().stats())
    if spool is not None:
        late = LATE_FACTOR * settings.data_collection.flush_interval
        part.values["spool"] = {
            "kind": type(get_spool()).__name__,
            "records": spool["records"],
            "bytes": spool["bytes"],
            "oldest_age_s": round(spool["oldest_age_s"] or 0.0, 1),
            "sources": len(spool["sources"]),
            "damaged_bytes": spool.get("damaged_bytes", 0),
            "in_files": spool.get("in_files", spool["records"]),
        }
        if spool["records"] and (spool["oldest_age_s"] or 0) > late:
            part.problems.append(
                f"{spool['records']:,} events wait in the spool, the oldest for {spool['oldest_age_s'] / 3600:,.1f} "
                "hours: the committer does not run. Start the Celery worker and beat, or run "
                "python manage.py ml_collect --process"
            )
        part.problems += spool.get("denied", ())
        if spool.get("damaged_bytes"):
            part.hints.append(f"{spool['damaged_bytes']:,} bytes of the spool are damaged and were skipped.")
    committer = part.ask(_committer)
    if committer:
        part.values["committer"] = committer
    _outbox(part, LATE_FACTOR * settings.data_collection.flush_interval)
    counted = part.ask(lambda: counters.totals(settings.storage.data / "counters"))
    if counted:
        part.values["counters"] = counted
    letters = part.ask(lambda: get_dead_letters().stats())
    if letters is not None:
        part.values["dead_letters"] = {
            "letters": letters["letters"],
            "bytes": letters["bytes"],
            "oldest": letters["oldest"],
            "by_reason": letters["by_reason"],
            "dropped": letters["dropped"],
        }
        if letters["letters"]:
            part.hints.append(
                f"{letters['letters']:,} dead letters: see their reasons above; after a fix, "
                "python manage.py ml_collect --replay takes them in."
            )
        if letters["dropped"]:
            part.hints.append(f"{letters['dropped']:,} dead letters were dropped for their age or number.")
    return part


def _committer() -> dict[str, Any] | None:
    """What the committer did in all and in its last run; None where it never ran."""
    from ml_models.orm import SyncState

    row = SyncState.objects.filter(pk="committer").first()
    if row is None:
        return None
    age = round((clock.now() - row.updated_at).total_seconds(), 1)
    return {"totals": row.data.get("totals", {}), "last": row.data.get("last", {}), "at": row.updated_at, "age_s": age}


def _outbox(part: Part, late: float) -> None:
    """Orders on their way to the lake; `late`: seconds after which the oldest says that nobody brings them there."""
    found = part.ask(lambda: (outbox.waiting(), outbox.oldest()))
    if found is None:
        return
    waiting, oldest = found
    age = 0.0 if oldest is None else round((clock.now() - oldest).total_seconds(), 1)
    part.values["outbox"] = {"waiting": waiting, "oldest_age_s": age}
    if age > late:
        part.problems.append(
            f"{waiting:,} orders wait in the outbox, the oldest for {age / 3600:,.1f} hours: nobody brings them to the "
            "lake. Start the Celery worker and beat, or run python manage.py ml_collect --process"
        )


def redis_status(part: Part) -> str:
    """Redis in words; a problem where it is configured and cannot be reached."""
    url = get_settings().redis_url
    if not url:
        return "no Redis configured: file spool"
    server = Redis(url, MLError, connect_timeout=REDIS_TIMEOUT, timeout=REDIS_TIMEOUT)
    try:
        server.ping()
    except (MLError, ValueError) as error:
        part.problems.append(f"{error} Until then events are kept in the file spool.")
        return f"could not connect to Redis at {server.where}"
    else:
        part.hints += part.ask(server.worries) or []
        return f"connected to {server.where}"
    finally:
        server.close()


PARTS: dict[str, Callable[[], Part]] = {"health": health_status, "data": data_status, "queue": queue_status}
"""Name of a part -> what gives it."""
