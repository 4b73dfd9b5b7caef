"""`manage.py ml_train`: train models from the lake, judge them on the newest days, let the good ones serve."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import CommandError

from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand


class Command(MLCommand):
    help = (
        "Train models: read the lake, evaluate on the newest days beside the baselines, fit on everything, store the "
        "version, and promote it when it is not worse than the one that serves."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", metavar="NAME", help="train only this model")
        parser.add_argument(
            "--all", action="store_true", help='train every model of ML_MODELS["enabled"] (the default)'
        )
        parser.add_argument("--epochs", type=int, metavar="N", help="passes over the data, for models that make passes")
        parser.add_argument("--async", action="store_true", dest="queue", help="queue the training for a Celery worker")
        parser.add_argument("--force", action="store_true", help="train below the minimums of ML_AUTO_TRAINING_CONFIG")

    def handle(self, *args: Any, **options: Any) -> None:
        from ml_models import models
        from ml_models.settings import get_settings

        if options["model"] and options["all"]:
            raise CommandError("Choose --model NAME or --all, not both.")
        if options["epochs"] is not None and options["epochs"] < 1:
            raise CommandError("--epochs must be 1 or more.")
        try:
            if not get_settings().enabled:
                raise MLError("ML_ENABLED is False, so nothing is trained. Set it to True.")
            names = [options["model"]] if options["model"] else list(get_settings().models.enabled)
            for name in names:
                if not models.get(name).uses_epochs and options["epochs"] is not None:
                    self.stdout.write(f"{name} is solved in closed form: --epochs has no effect on it.")
            if options["queue"]:
                self._queue(names, options["epochs"], options["force"])
            else:
                self._train(names, options["epochs"], options["force"])
        except MLError as error:
            raise CommandError(str(error)) from error

    def _queue(self, names: list[str], epochs: int | None, force: bool) -> None:
        from ml_models.tasks import train_model_task

        for name in names:
            config = {} if epochs is None else {"epochs": epochs}
            try:
                result = train_model_task.apply_async(args=(name, config, "manual", force), retry=False)
            except MLError:
                raise
            except Exception as error:  # each broker's client has errors of its own; all mean that it is unreachable
                raise CommandError(
                    f"Could not connect to Redis (or another Celery broker): {error}. Check that it runs (redis-cli "
                    "ping) and that REDIS_URL and CELERY_BROKER_URL are right, or train here, without --async."
                ) from error
            self.stdout.write(f"{name}: queued as task {result.id}")

    def _train(self, names: list[str], epochs: int | None, force: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from ml_models.auto_training import prepare, train

        console = Console(file=cast("IO[str]", self.stdout._out), width=None if self.stdout.isatty() else 160)
        done: list[tuple[Any, float]] = []
        failed: list[str] = []
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("reading the lake", total=None)
            data = prepare(force=force)
            for name in names:

                def show(what: str, share: float, name: str = name) -> None:
                    bar.update(task, description=f"{name}: {what}", total=1.0, completed=share)

                bar.update(task, description=f"{name}: evaluate", total=None)
                began = time.perf_counter()
                try:
                    done.append((train(name, epochs=epochs, progress=show, data=data), time.perf_counter() - began))
                except MLError as error:
                    failed.append(f"{name}: {error}")
        if done:
            self._table(console, data, done)
        if failed:
            raise CommandError("\n".join(failed))

    def _table(self, console: Any, data: Any, done: list[tuple[Any, float]]) -> None:
        from rich.table import Table

        from ml_models.auto_training import shop_day

        full = data.full
        days = "" if data.split is None else f", judged from {shop_day(data.split.cutoff)} on"
        table = Table(
            title=f"{len(full):,} interactions, {full.n_users:,} visitors, {full.n_items:,} products{days}",
            title_justify="left",
        )
        for column in ("Model", "Version", "n", "NDCG@10", "HR@10", "Coverage", "against popular", "Serves", "Seconds"):
            table.add_column(column, justify="left" if column in {"Model", "Serves"} else "right")
        for record, seconds in done:
            judged = record.metrics.get("model", {})
            gap = record.metrics.get("difference", {}).get("popular")
            table.add_row(
                record.name,
                str(record.version),
                f"{record.metrics.get('n', 0):,}",
                *(_interval(judged.get(metric)) for metric in ("ndcg", "hr", "coverage")),
                "" if gap is None else f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]",
                ("yes: " if record.metrics["promoted"] else "no: ") + record.metrics["reason"],
                f"{seconds:.1f}",
            )
        console.print(table)


def _interval(figure: dict[str, float] | None) -> str:
    return "" if figure is None else f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"
