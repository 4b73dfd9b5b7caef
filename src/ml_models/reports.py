"""Evaluation for people: the champions' recipes beside the baselines, as plain figures, as JSON and as a page."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_models import models
from ml_models.adapters.build import get_model_store
from ml_models.auto_training import (
    BASELINES,
    MAX_EVALUATED,
    TrainingData,
    get_registry,
    model_config,
    prepare,
    shop_day,
)
from ml_models.core import artifact, clock
from ml_models.core.errors import ArtifactError, ConfigError, InsufficientData, MLError, ModelNotFound
from ml_models.core.registry import plain
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from ml_models.core.ports import VersionRecord
    from ml_models.core.splits import Split

__all__ = ["evaluate_models", "report_page", "write_report"]

SHOWN = ("ndcg", "hr", "recall", "mrr", "map", "coverage", "novelty", "diversity", "popularity_lift")
LABELS = {
    "ndcg": "NDCG",
    "hr": "HR",
    "recall": "Recall",
    "mrr": "MRR",
    "map": "MAP",
    "coverage": "Coverage",
    "novelty": "Novelty (bits)",
    "diversity": "Diversity",
    "popularity_lift": "Popularity lift",
}


def evaluate_models(
    names: Sequence[str] | None = None,
    *,
    k: int = 10,
    history: int | None = -1,
    exclude_seen: bool = False,
    target_types: Collection[str] | None = None,
    holdout: Sequence[tuple[str, str]] | None = None,
    live: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Evaluate the champions beside the baselines; figures with intervals and paired differences, plain JSON values.

    Without `holdout`, each champion's recipe (config and seed) is fitted on the days before the newest
    `ML_MODELS["test_days"]` and asked about those: the promoted artifact itself has seen them. With `holdout`, pairs of
    visitor key and item id that never were in the lake, the promoted artifacts themselves are asked. `history`: newest
    interactions in a query, None = all, -1 = `ML_SERVING["history"]`. A model that cannot be judged (too few days, a
    config or a file of another release, a damaged artifact) stands under `not_judged` with the reason; the error is
    raised where no model is left. Raises `ModelNotFound` for an untrained name.
    """
    from ml_models.core.evaluation import Evaluation, compare, evaluate
    from ml_models.core.run import Run
    from ml_models.core.splits import Split, given_holdout

    settings = get_settings()
    registry = get_registry()
    champions = registry.versions.champions()
    for name in names or ():
        models.get(name)
        if name not in champions:
            raise ModelNotFound(name)
    chosen = list(names or sorted(champions))
    if not chosen:
        raise ModelNotFound(settings.models.enabled[0] if settings.models.enabled else "any")
    beside = [name for name in BASELINES if name not in chosen]
    data = prepare(force=True)
    newest = settings.serving.history if history == -1 else history
    split = Split(data.full, given_holdout(data.full, holdout)) if holdout is not None else data.split
    if split is None:
        raise InsufficientData(
            f"no visitor is known both before and in the newest {settings.models.test_days} days",
            'Collect for longer, import history with python manage.py ml_import, or lower ML_MODELS["test_days"].',
        )
    if holdout is None and (live or target_types is not None):
        split = _resplit(data, split, target_types, live)
    evaluations: dict[str, Evaluation] = {}
    described: list[dict[str, Any]] = []
    unjudged: list[dict[str, Any]] = []
    failed: MLError | None = None

    def ranker(name: str, champion: VersionRecord | None, config: Mapping[str, Any]) -> Any:
        if holdout is not None and champion is not None:
            return artifact.load(get_model_store().path(name, champion.version))
        return models.get(name)(config).fit(split.train, Run(seed=data.seed, progress=progress))

    for name in [*chosen, *beside]:
        champion = registry.champion(name)
        version = champion.version if champion else None
        if progress is not None:
            progress(f"{name}: fit", 0.0)
        try:
            config = dict(champion.config) if champion else model_config(name)
            ready = ranker(name, champion, config)
        except (ArtifactError, ConfigError, InsufficientData, ModelNotFound) as error:
            failed = failed or error
            unjudged.append({"name": name, "version": version, "reason": str(error)})
            continue
        evaluation = evaluations[name] = evaluate(
            ready,
            split,
            k=k,
            history=newest,
            exclude_seen=exclude_seen,
            max_users=MAX_EVALUATED,
            seed=data.seed,
            progress=None if progress is None else partial(progress, f"{name}: ask"),
        )
        described.append(
            {
                "name": name,
                "version": version,
                "baseline": name in BASELINES,
                "config": config,
                "metrics": evaluation.summary(seed=data.seed),
                "segments": evaluation.by_segment(),
            }
        )
    if failed is not None and not evaluations:
        raise failed
    comparisons = [
        {
            "model": name,
            "baseline": baseline,
            "metric": metric,
            **compare(evaluations[name], evaluations[baseline], metric, seed=data.seed).as_dict(),
        }
        for name in evaluations
        for baseline in BASELINES
        if name != baseline and name != "popular" and baseline in evaluations
        for metric in ("ndcg", "hr")
    ]
    first = next(iter(evaluations.values()))
    return {
        "generated_at": clock.now().isoformat(),
        "protocol": {
            "split": "held-out list" if holdout is not None else "global time split" + (", live" if live else ""),
            "cutoff": split.cutoff.isoformat() if split.cutoff else None,
            "first_day": shop_day(split.cutoff) if split.cutoff else None,
            "test_days": None if holdout is not None else settings.models.test_days,
            "catalogue": "full",
            "items": split.train.n_items,
            "visitors": len(first.visitors),
            "visitors_without_history": int((split.test.users < 0).sum()),
            "k": k,
            "history": newest,
            "exclude_seen": exclude_seen,
            "target_types": sorted(target_types) if target_types is not None else None,
            "seed": data.seed,
        },
        "data": {**split.train.lineage(), "lake_version": data.lake_version},
        "models": described,
        "not_judged": unjudged,
        "comparisons": comparisons,
    }


def _resplit(data: TrainingData, split: Split, target_types: Collection[str] | None, live: bool) -> Split:
    from ml_models.core.splits import global_time_split, live_split

    known = set(data.staged.type_names)
    unknown = sorted(set(target_types or ()) - known)
    if unknown:
        raise ConfigError(f"{', '.join(unknown)} is no event type that trains. Known: {', '.join(sorted(known))}.")
    if live and split.cutoff is not None:
        return live_split(data.staged, split.cutoff, target_types=target_types)
    return global_time_split(data.staged, cutoff=split.cutoff, target_types=target_types)


def write_report(report: Mapping[str, Any], path: Path) -> list[Path]:
    """Write the JSON at `path` and the page beside it; returns what was written.

    The page needs Matplotlib (`pip install 'bunoraa-ml[report]'`); without it only the JSON is written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    try:
        page = report_page(report)
    except ModuleNotFoundError:
        return [path]
    other = path.with_suffix(".html")
    other.write_text(page, encoding="utf-8")
    return [path, other]


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733}"
    "h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.35rem .6rem;border-bottom:1px solid #d9e0e6;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}small{color:#5c6b78;display:block}svg{width:100%;height:auto}"
    "div{overflow-x:auto}"
)


def report_page(report: Mapping[str, Any]) -> str:
    """The report as one HTML page without any outside file: figures, plots with intervals, differences, segments."""
    protocol, described = report["protocol"], report["models"]
    k = protocol["k"]
    what = (
        "a held-out list of interactions"
        if protocol["cutoff"] is None
        else f"the newest {protocol['test_days']} days (from {protocol['first_day']})"
    )
    history = "all interactions" if protocol["history"] is None else f"the newest {protocol['history']} interactions"
    lead = (
        f"{protocol['visitors']:,} visitors, {protocol['items']:,} products, full catalogue ranked, first {k} places."
        f" Judged on {what}; a query carries {history}; products seen before are "
        f"{'left out' if protocol['exclude_seen'] else 'not left out'}. Intervals are 95 %, over visitors."
    )
    head = "".join(f"<th>{LABELS[name]}</th>" for name in SHOWN)
    rows = "".join(
        f"<tr><td>{html.escape(_title(model))}</td>"
        + "".join(f"<td>{_cell(model['metrics'][name])}</td>" for name in SHOWN)
        + "</tr>"
        for model in described
    )
    left_out = "".join(
        f"<p>Not judged: {html.escape(_title(model))}. {html.escape(model['reason'])}</p>"
        for model in report.get("not_judged", ())
    )
    gaps = "".join(
        f"<tr><td>{html.escape(row['model'])} against {html.escape(row['baseline'])}</td>"
        f"<td>{LABELS[row['metric']]}</td><td>{row['value']:+.4f}</td><td>{row['low']:+.4f} to {row['high']:+.4f}</td>"
        f"<td>{'better' if row['low'] > 0 else 'worse' if row['high'] < 0 else 'no difference shown'}</td></tr>"
        for row in report["comparisons"]
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Model evaluation</title><style>{_STYLE}</style>'
        f"<h1>Model evaluation</h1><p>{lead}</p>"
        f"<p><small>Made {html.escape(report['generated_at'][:19])} UTC.</small></p>"
        f"<h2>Side by side</h2>{_plot(described, k)}"
        f"<div><table><tr><th>Model</th>{head}</tr>{rows}</table></div>{left_out}"
        "<h2>Paired differences</h2><div><table><tr><th>Models</th><th>Metric</th><th>Difference</th><th>95 % interval"
        f"</th><th>Verdict</th></tr>{gaps}</table></div>"
        f"<h2>By visitor segment</h2>{_segments(described, k)}</html>\n"
    )


def _title(model: Mapping[str, Any]) -> str:
    return f"{model['name']} v{model['version']}" if model["version"] else f"{model['name']} (baseline)"


def _cell(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.4f}<small>{figure['low']:.4f}-{figure['high']:.4f}</small>"


def _svg(figure: Any) -> str:
    out = StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    return out.getvalue()[out.getvalue().index("<svg") :]


def _bars(axes: Any, labels: Sequence[str], figures: Sequence[Mapping[str, float]], title: str) -> None:
    values = [figure["value"] for figure in figures]
    spread = [
        [max(0.0, figure["value"] - figure["low"]) for figure in figures],
        [max(0.0, figure["high"] - figure["value"]) for figure in figures],
    ]
    axes.barh(labels, values, xerr=spread, color="#4c78a8", ecolor="#1c2733", capsize=3)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _plot(described: Sequence[Mapping[str, Any]], k: int) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.2 + 0.45 * len(described)))
    for axes, metric in zip(figure.subplots(1, 3, sharey=True), ("ndcg", "hr", "coverage"), strict=True):
        labels = [model["name"] for model in described]
        _bars(axes, labels, [model["metrics"][metric] for model in described], f"{LABELS[metric]}@{k}")
    return _svg(figure)


def _segments(described: Sequence[Mapping[str, Any]], k: int) -> str:
    from matplotlib.figure import Figure

    names = [name for name in described[0]["segments"] if all(name in model["segments"] for model in described)]
    if not names:
        return "<p>No segment holds a visitor.</p>"
    figure = Figure(figsize=(10, 1.2 + 0.45 * len(described)))
    for axes, name in zip(figure.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True):
        parts = [model["segments"][name] for model in described]
        labels = [model["name"] for model in described]
        _bars(axes, labels, parts, f"{name}, n={parts[0]['n']:,}: NDCG@{k}")
    return _svg(figure)
