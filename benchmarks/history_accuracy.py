"""Real history through the product's own commands, beside an independent computation.

`ml_import`, `ml_train --all` and `ml_evaluate` in a temporary project: once with the product's defaults (the figures of
the table), once without decay and shrinkage, so that RecTools can compute the same thing from the raw files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import HERE, ROOT, Report, Skip

TITLE = "history through ml_import, ml_train and ml_evaluate: accuracy on real shops, and RecTools agrees"

MODELS = ("popular", "item_knn", "ease")
NEIGHBOURS = 200
REGULARIZATION = 100.0
MIN_EVENTS = {"popular": 1, "item_knn": 10, "ease": 3}
"""Without shrinkage, items that one visitor alone met have cosine 1 with each other: on all of RetailRocket 55 % of the
lists would be cut inside such a tie, and no two programs break ties alike. From ten events on there are several
visitors behind an item."""
PLAIN = {
    "popular": {"half_life_days": 0.0},
    "item_knn": {
        "neighbours": NEIGHBOURS,
        "min_events": MIN_EVENTS["item_knn"],
        "shrinkage": 0.0,
        "repeat": 0.0,
        "popularity": 0.0,
        "combine": "max",
        "fit_half_life_days": 0.0,
        "half_life_days": 0.0,
    },
    "ease": {
        "min_events": MIN_EVENTS["ease"],
        "regularization": REGULARIZATION,
        "repeat": 0.0,
        "popularity": 0.0,
        "combine": "max",
        "fit_half_life_days": 0.0,
        "half_life_days": 0.0,
    },
}
"""No decay, no shrinkage, no repeats: what RecTools has too."""
SETTINGS = """
from pathlib import Path
BASE_DIR = Path({base!r})
SECRET_KEY = "benchmark"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "ml"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}}}
ML_STORAGE = {{"data": {data!r}}}
ML_MODELS = {{"history_days": {days}, "test_days": 14, "enabled": {models!r}, "config": {config!r}}}
"""
SETS = {
    # history_days holds all of RetailRocket (138 days); Online Retail reads the product's default, a year
    "retailrocket": ("retailrocket_events", 365),
    "online_retail": ("online_retail", 365),
}


class Project:
    """A bare Django project with the app in it."""

    def __init__(self, folder: Path, data: Path, days: int, config: dict[str, Any], models: tuple[str, ...]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        text = SETTINGS.format(base=str(folder), data=str(data), days=days, config=config, models=list(models))
        (folder / "bench_settings.py").write_text(text, encoding="utf-8")
        self.manage("migrate", "-v", "0")

    def manage(self, *command: str) -> float:
        """Run a management command; returns its seconds."""
        path = os.pathsep.join([str(self.folder), str(ROOT / "src")])
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-m", "django", *command],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "bench_settings", "PYTHONPATH": path, "COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
        return time.perf_counter() - began

    def evaluate(self, *options: str) -> dict[str, Any]:
        """`ml_evaluate` with a report; its JSON."""
        out = self.folder / "report.json"
        self.manage("ml_evaluate", "--report", "--output", str(out), *options)
        return json.loads(out.read_text(encoding="utf-8"))


def _rows(title: str, report: dict[str, Any]) -> list[list[Any]]:
    def cell(figure: dict[str, float]) -> str:
        return f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"

    rows = []
    for model in report["models"]:
        metrics = model["metrics"]
        gap = _gap(report, model["name"])
        rows.append(
            [
                title,
                model["name"],
                f"{metrics['ndcg']['n']:,}",
                *(cell(metrics[name]) for name in ("ndcg", "hr", "coverage")),
                "" if gap is None else f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]",
            ]
        )
    return rows


def _gap(report: dict[str, Any], model: str) -> dict[str, float] | None:
    return next(
        (
            row
            for row in report["comparisons"]
            if (row["model"], row["baseline"], row["metric"]) == (model, "popular", "ndcg")
        ),
        None,
    )


def _best(report: dict[str, Any], models: tuple[str, ...]) -> dict[str, float]:
    """The paired difference to popular of the model whose interval reaches least far down."""
    gaps = [gap for model in models[1:] if (gap := _gap(report, model)) is not None]
    return max(gaps, key=lambda gap: gap["low"])


def _compare(ctx: Any, job: dict[str, Any], ours: dict[str, Any], folder: Path, report: Report) -> list[list[Any]]:
    python = ctx.venv("rectools", ["rectools==0.19.0", "pyarrow==17.0.0"])
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    done = subprocess.run(
        [str(python), str(HERE / "_rectools.py"), str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"RecTools failed:\n{done.stderr}")
    theirs = json.loads(done.stdout.splitlines()[-1])
    if "ease_as_shipped" in theirs:
        shipped = theirs["ease_as_shipped"]
        report.note(
            f"RecTools 0.19 learns the weights of EASE as its paper does but ranks by their transpose; the table "
            f"scores its weights as the paper does. As shipped, on {job['set']}: NDCG@10 {shipped['ndcg']:.4f}, HR@10 "
            f"{shipped['hr']:.4f}."
        )
    rows = []
    for model in ours["models"]:
        other = theirs[model["name"]]
        if int(other["n"]) != model["metrics"]["ndcg"]["n"]:
            raise RuntimeError(f"{job['set']}: {other['n']} visitors there, {model['metrics']['ndcg']['n']} here")
        for metric in ("ndcg", "hr", "coverage"):
            here, there = model["metrics"][metric]["value"], other[metric]
            rows.append([job["set"], model["name"], metric, here, there, abs(here - there) / max(there, 1e-12)])
    return rows


def run(ctx: Any) -> Report:
    """See the module."""
    if not ctx.data.is_dir():
        raise Skip(f"the real data sets are not here: {ctx.data}")
    report = Report()
    rows: list[list[Any]] = []
    agreement: list[list[Any]] = []
    seconds: list[list[Any]] = []
    sets = {"retailrocket": SETS["retailrocket"]} if ctx.quick else SETS
    models = MODELS[:2] if ctx.quick else MODELS
    with tempfile.TemporaryDirectory(prefix="ml-history-") as temporary:
        for name, (folder, days) in sets.items():
            base = Path(temporary) / name
            held = ctx.data / folder / "test_buys.csv"
            ctx.progress(f"{name}: import")
            shop = Project(base / "defaults", base / "lake", days, {}, models)
            took = [shop.manage("ml_import", str(ctx.data / folder), "--preset", name)]
            ctx.progress(f"{name}: train")
            took.append(shop.manage("ml_train", "--all"))
            ctx.progress(f"{name}: evaluate")
            began = time.perf_counter()
            judged = shop.evaluate()
            took.append(time.perf_counter() - began)
            seconds.append([name, *(f"{value:.1f}" for value in took)])
            rows += _rows(f"{name}, newest 14 days", judged)
            live = shop.evaluate("--live")
            rows += _rows(f"{name}, newest 14 days, live histories", live)
            figure = "best of item_knn and ease over popular, NDCG@10, low end"
            report.figure(f"{name}: {figure}", _best(judged, models)["low"], None if ctx.quick else (">", 0))
            report.figure(
                f"{name}, live histories: {figure}", _best(live, models)["low"], None if ctx.quick else (">", 0)
            )
            (ctx.out / f"{name}.html").write_bytes((shop.folder / "report.html").read_bytes())
            if held.is_file():
                buys = shop.evaluate("--holdout", str(held))
                rows += _rows(f"{name}, held-out buys", buys)
                report.figure(f"{name}, held-out buys: {figure}", _best(buys, models)["low"], (">", 0))
            if ctx.quick:
                continue
            ctx.progress(f"{name}: train without decay, and RecTools on the raw files")
            plain = Project(base / "plain", base / "lake", days, PLAIN, models)
            plain.manage("ml_train", "--all")
            job = {
                "set": name,
                "data": str(ctx.data),
                "history_days": days,
                "min_events": MIN_EVENTS,
                "models": [*models, "ease_as_shipped"] if name == "online_retail" else models,
                "neighbours": NEIGHBOURS,
                "regularization": REGULARIZATION,
            }
            here = plain.evaluate("--history", "0")
            agreement += _compare(ctx, {**job, "cutoff": here["protocol"]["cutoff"][:19]}, here, base, report)
            if held.is_file():
                here = plain.evaluate("--history", "0", "--holdout", str(held))
                both = _compare(ctx, {**job, "cutoff": None}, here, base, report)
                agreement += [[f"{row[0]} held-out", *row[1:]] for row in both]
    columns = ["set", "model", "n", "NDCG@10", "HR@10", "coverage", "NDCG against popular, paired"]
    report.table("Product defaults, full catalogue, seen items stay, 95 % intervals", columns, rows)
    report.table("Seconds", ["set", "ml_import", "ml_train --all", "ml_evaluate"], seconds)
    if agreement:
        shown = [[*row[:3], f"{row[3]:.4f}", f"{row[4]:.4f}", f"{100 * row[5]:.2f} %"] for row in agreement]
        report.table("Without decay, beside RecTools", ["set", "model", "metric", "here", "RecTools", "apart"], shown)
        worst = max(row[5] for row in agreement)
        report.figure("largest relative difference from RecTools", 100 * worst, ("<=", 2.0), "%")
    else:
        report.note("The quick form leaves out ease, online_retail and the independent computation.")
    return report
