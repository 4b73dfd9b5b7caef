"""Training as a service: read the lake, judge on the newest days, fit on everything, store, promote.

The judgement is a paired one: model, baselines and the champion's recipe are fitted on the same days and asked about
the same visitors of the newest days. What is promoted is the same recipe fitted on all days.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_models import __version__, models
from ml_models.adapters.build import get_event_store, get_model_store, get_versions
from ml_models.adapters.model_store import sweep
from ml_models.core import artifact, clock
from ml_models.core.config import config_dict
from ml_models.core.errors import ArtifactError, ConfigError, InsufficientData, MLError, PromotionConflict
from ml_models.core.event import AHEAD
from ml_models.core.ports import VersionRecord
from ml_models.core.registry import Registry, plain
from ml_models.core.run import Run
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from ml_models.core.data_loader import Dataset
    from ml_models.core.evaluation import Evaluation
    from ml_models.core.recommender import Recommender
    from ml_models.core.splits import Split

__all__ = [
    "BASELINES",
    "TrainingData",
    "automatic",
    "get_registry",
    "model_config",
    "prepare",
    "rollback",
    "shop_day",
    "train",
]

log = logging.getLogger("bunoraa.ml.training")

BASELINES = ("popular", "item_knn")
"""Models that every other one is compared with."""
MAX_EVALUATED = 20_000
"""Most visitors asked in an evaluation; a larger holdout is sampled with the seed."""
KEEP = 5
"""Ready versions of a name whose artifacts stay, besides the champion and the one before it."""

Progress = Callable[[str, float], None]


def get_registry() -> Registry:
    """The registry over the model store and the version table in force."""
    return Registry(get_model_store(), get_versions())


def automatic() -> str | None:
    """Why automatic training is off, in words; None where it is on."""
    settings = get_settings()
    switches = {
        "PRODUCTION": settings.production,
        "ML_AUTO_TRAINING": settings.auto_training,
        'ML_AUTO_TRAINING_CONFIG["enabled"]': settings.auto_training_config.enabled,
    }
    off = [name for name, on in switches.items() if not on]
    return f"{' and '.join(off)} {'is' if len(off) == 1 else 'are'} False" if off else None


def model_config(name: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All config fields of a model: defaults, then `ML_MODELS["config"][name]`, then `overrides`."""
    values = {**get_settings().models.config.get(name, {}), **(overrides or {})}
    return config_dict(models.get(name)(values).config)


@dataclass(slots=True)
class TrainingData:
    """The interactions of one or more trainings, read once, with the evaluations made on them so far."""

    full: Dataset
    staged: Dataset
    """The same interactions, visitors known only by what was known before the newest days."""
    split: Split | None
    """Everything before the newest days, and what came in them; None where the data is too short for that."""
    lake_version: int | None = None
    seed: int = 42
    history: int | None = None
    _evaluations: dict[str, Evaluation] = field(default_factory=dict)

    def evaluate(self, name: str, config: Mapping[str, Any], progress: Progress | None = None) -> Evaluation | None:
        """A recipe, fitted before the newest days and asked about them. Remembered.

        None without a split, and where the days before are too few for this model: all days may still be enough.
        """
        from ml_models.core.evaluation import evaluate

        if self.split is None:
            return None
        key = json.dumps([name, dict(config)], sort_keys=True)
        if key not in self._evaluations:
            try:
                model = models.get(name)(dict(config)).fit(self.split.train, Run(seed=self.seed, progress=progress))
            except InsufficientData as error:
                log.warning("%s cannot be judged on the newest days. %s", name, error)
                return None
            self._evaluations[key] = evaluate(
                model, self.split, history=self.history, max_users=MAX_EVALUATED, seed=self.seed
            )
        return self._evaluations[key]


def shop_day(moment: datetime) -> str:
    """The day of a moment as people in the shop say it (its `TIME_ZONE`), such as 2026-03-29."""
    from django.utils.timezone import get_default_timezone

    return moment.astimezone(get_default_timezone()).date().isoformat()


def prepare(*, force: bool = False) -> TrainingData:
    """Read the lake for training: the newest `ML_MODELS["history_days"]` days, counted from the newest interaction.

    What is dated more than a day ahead is a mistake and left out, or one such row would push all others out.
    Raises `InsufficientData` below the minimums of `ML_AUTO_TRAINING_CONFIG`, unless `force`.
    """
    import polars as pl
    from django.utils.timezone import get_default_timezone

    from ml_models.core.data_loader import type_weights
    from ml_models.core.splits import cutoff_before, global_time_split

    settings = get_settings()
    store = get_event_store()
    types = list(type_weights(settings.models.weights))
    end = clock.now() + AHEAD
    times = store.scan(columns=["event_time"], event_types=types, end=end)
    newest: datetime | None = times.select(pl.col("event_time").max()).collect().item()
    if newest is None:
        raise InsufficientData("the lake holds no interactions")
    start = newest - timedelta(days=settings.models.history_days)
    cutoff = cutoff_before(newest, settings.models.test_days, get_default_timezone())
    full = _load(start, end, None)
    _check_minimums(full, force)
    staged = _load(start, end, cutoff)
    split: Split | None = global_time_split(staged, cutoff=cutoff)
    if split is None or not len(split.train) or not (split.test.users >= 0).any():
        split = None
        log.warning(
            "No visitor is known both before and in the newest %d days: nothing to judge a model by.",
            settings.models.test_days,
        )
    version = store.stats().get("version")
    return TrainingData(full, staged, split, version, settings.models.seed, settings.serving.history)


def _load(start: datetime, end: datetime, known_until: datetime | None) -> Dataset:
    from ml_models.adapters.lake_keys import lake_keys
    from ml_models.core.data_loader import COLUMNS, Dataset, interaction_frame, type_weights
    from ml_models.data_collection.facts import variants

    settings = get_settings()
    weights = settings.models.weights
    types = [*type_weights(weights), "identity_link"]
    scan = get_event_store().scan(columns=COLUMNS, event_types=types, start=start, end=end)
    frame = interaction_frame(
        scan,
        weights=weights,
        canonical=variants(scan),
        known_until=known_until,
        keys=lake_keys(),
        bots=not settings.tracking.exclude_bots,
    ).collect()
    return Dataset.from_frame(frame, weights)


def _check_minimums(data: Dataset, force: bool) -> None:
    least = get_settings().auto_training_config
    counts = (
        ("interactions", len(data), least.min_interactions),
        ("users", data.n_users, least.min_users),
        ("products", data.n_items, least.min_products),
    )
    short = [f"{found:,} {what} of at least {wanted:,}" for what, found, wanted in counts if found < wanted]
    if short and not force:
        raise InsufficientData(", ".join(short))


def train(
    name: str,
    *,
    config: Mapping[str, Any] | None = None,
    trigger: str = "manual",
    epochs: int | None = None,
    progress: Progress | None = None,
    data: TrainingData | None = None,
    force: bool = False,
) -> VersionRecord:
    """Train one model and promote it when it may serve; returns the finished version.

    `config` is laid over `ML_MODELS["config"][name]`; `epochs` counts for models that make passes. `data` shares what
    was read (and evaluated) with other trainings. The version's `metrics` hold the evaluation, the baselines beside
    it, and `promoted` with the `reason`. Raises `ModelNotFound`, `ConfigError`, `InsufficientData` and what the model
    raises; a version that was begun is then marked `failed`.
    """
    cls = models.get(name)
    values = model_config(name, config)
    data = data or prepare(force=force)
    registry = get_registry()
    registry.expire()
    lineage = {**data.full.lineage(), "lake_version": data.lake_version}
    record = registry.begin(
        name, trigger=trigger, seed=data.seed, config=values, data=lineage, code_version=__version__
    )
    try:
        champion = registry.champion(name)
        metrics = _judge(champion, record, data, progress)
        model = cls(values).fit(data.full, Run(seed=data.seed, epochs=epochs, progress=progress))
        with _workspace() as folder:
            model.export(folder)
            _prove(model, folder, data.full)
            record = registry.finish(record, folder, kind=cls.kind, metrics=metrics)
    except BaseException as error:  # also an interrupt: the row must say so, and the error goes on up
        said = str(error) if isinstance(error, MLError) else f"{type(error).__name__}: {error}".removesuffix(": ")
        registry.fail(record, said)
        raise
    while metrics["promoted"]:
        over = champion.version if champion else None
        try:
            registry.promote(name, record.version, by=trigger, reason=metrics["reason"], over=over)
            break
        except PromotionConflict:  # another training of the name was promoted meanwhile: judge against that one
            champion = registry.champion(name)
            metrics = _judge(champion, record, data, progress)
            record = registry.versions.update(name, record.version, metrics=plain(metrics))
    _prune(registry, name)
    log.info("%s version %d trained; promoted: %s (%s)", name, record.version, metrics["promoted"], metrics["reason"])
    return record


def rollback(name: str, *, by: str = "manual", reason: str = "rolled back") -> VersionRecord:
    """Let the version before the champion serve again."""
    return get_registry().rollback(name, by=by, reason=reason)


def _judge(
    champion: VersionRecord | None, record: VersionRecord, data: TrainingData, progress: Progress | None
) -> dict[str, Any]:
    """Evaluate a recipe beside the baselines and decide whether it may serve in the champion's place."""
    from ml_models.core.evaluation import compare

    name, config = record.name, record.config
    same = champion is not None and dict(champion.config) == dict(config)
    judged = data.evaluate(name, config, progress)
    if champion is not None and champion.version > record.version:
        reason = f"version {champion.version}, begun later, was promoted meanwhile"
        return {"promoted": False, "reason": reason}
    if judged is None or data.split is None:
        may = champion is None or same
        reason = "the data is too short to judge" + ("" if may else ", so the champion stays")
        return {"promoted": may, "reason": reason}
    metrics: dict[str, Any] = {
        "k": judged.k,
        "cutoff": data.split.cutoff.isoformat() if data.split.cutoff else None,
        "n": len(judged.visitors),
        "model": judged.summary(seed=data.seed),
        "segments": judged.by_segment(),
        "baselines": {},
        "difference": {},
    }
    for baseline in BASELINES:
        if baseline == name:
            continue
        beside = data.evaluate(baseline, model_config(baseline), progress)
        if beside is not None:
            metrics["baselines"][baseline] = beside.summary(seed=data.seed)
            metrics["difference"][baseline] = compare(judged, beside, seed=data.seed).as_dict()
    if champion is None:
        return {**metrics, "promoted": True, "reason": "first version"}
    if same:
        return {**metrics, "promoted": True, "reason": f"the recipe of version {champion.version} on newer data"}
    try:
        reigning = data.evaluate(name, champion.config, progress)
    except ConfigError:  # the champion was trained by a release whose config had other fields
        reigning = None
    if reigning is None:
        reason = f"the recipe of version {champion.version} cannot be trained any more, so nothing speaks for it"
        return {**metrics, "promoted": True, "reason": reason}
    gap = compare(judged, reigning, seed=data.seed)
    metrics["difference"]["champion"] = gap.as_dict()
    verdict = f"NDCG@{judged.k} {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] against version {champion.version}"
    return {**metrics, "promoted": gap.high >= 0, "reason": verdict}


def _prove(model: Recommender, folder: Path, data: Dataset) -> None:
    """Load what was exported and compare its lists with the model's, for a few visitors."""
    import numpy as np

    from ml_models.core.query import Query

    loaded = artifact.load(folder)
    for user in range(0, data.n_users, max(1, data.n_users // 5)):
        query = Query(history=data.history(user, 50))
        items = model.top(query, 10)[0] or list(data.item_ids.names[:10])
        if not np.allclose(loaded.score(query, items), model.score(query, items), atol=1e-4, equal_nan=True):
            raise ArtifactError(
                f"The exported {model.name} does not score as the trained one. This is a fault of the model's export; "
                "run its ModelContract test."
            )


@contextmanager
def _workspace() -> Iterator[Path]:
    """An empty folder beside the lake for one export; gone afterwards, whatever happened."""
    base = get_settings().storage.data / "work"
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=base))
    sweep(folder, "export-")
    try:
        yield folder
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def _prune(registry: Registry, name: str) -> None:
    """Drop the artifacts of old versions; rows and metrics stay."""
    history: Sequence[Mapping[str, Any]] = registry.versions.promotions(name, limit=1)
    needed = {registry.versions.champions().get(name), *(row["previous"] for row in history)}
    ready = [row for row in registry.versions.list(name, limit=1000) if row.status == "ready"]
    for row in ready[KEEP:]:
        if row.version not in needed:
            registry.versions.update(name, row.version, status="deleted")
            if registry.versions.champions().get(name) == row.version:  # promoted or rolled back to a moment ago
                registry.versions.update(name, row.version, status="ready")
                continue
            registry.store.delete(name, row.version)
