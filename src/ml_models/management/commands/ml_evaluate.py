"""`manage.py ml_evaluate`: the serving models beside the baselines, with intervals; a report on request."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import CommandError

from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand


class Command(MLCommand):
    help = (
        "Evaluate the serving models' recipes on the newest days, or on a held-out file, beside the baselines: the "
        "full catalogue, 95 % intervals over visitors."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", metavar="NAME", help="evaluate only this model (and the baselines)")
        parser.add_argument("--report", action="store_true", help="write the figures as JSON and as an HTML page")
        parser.add_argument("--output", metavar="FILE", help="where to write the JSON (default: ml_report.json)")
        parser.add_argument("--k", type=int, default=10, help="places judged (default: 10)")
        parser.add_argument(
            "--history",
            type=int,
            metavar="N",
            help='newest interactions in a query, 0 = all (default: ML_SERVING["history"])',
        )
        parser.add_argument("--target", metavar="TYPE", action="append", help="judge only by these event types")
        parser.add_argument(
            "--live",
            action="store_true",
            help="as the shop serves: the model stops before the newest days, the histories do not (the first half of "
            "a visitor's newest days is known, the second is judged)",
        )
        parser.add_argument("--exclude-seen", action="store_true", help="leave out products the visitor met before")
        parser.add_argument(
            "--holdout",
            metavar="FILE",
            help="CSV with columns user_id and item_id that never were in the lake: judge the serving artifacts by it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from ml_models.reports import evaluate_models, write_report
        from ml_models.settings import get_settings

        if options["k"] < 1:
            raise CommandError("--k must be 1 or more.")
        if options["live"] and options["holdout"]:
            raise CommandError("--live is about the newest days in the lake; leave --holdout or --live out.")
        history = -1 if options["history"] is None else options["history"] or None
        try:
            if not get_settings().enabled:
                raise MLError("ML_ENABLED is False, so nothing is evaluated. Set it to True.")
            report = evaluate_models(
                [options["model"]] if options["model"] else None,
                k=options["k"],
                history=history,
                exclude_seen=options["exclude_seen"],
                live=options["live"],
                target_types=options["target"],
                holdout=_pairs(options["holdout"]) if options["holdout"] else None,
            )
        except MLError as error:
            raise CommandError(str(error)) from error
        self._table(report)
        if options["report"] or options["output"]:
            written = write_report(report, Path(options["output"] or "ml_report.json"))
            self.stdout.write("Written: " + ", ".join(str(path) for path in written))
            if len(written) == 1:
                self.stdout.write("The HTML page needs Matplotlib: pip install 'bunoraa-ml[report]'.")

    def _table(self, report: dict[str, Any]) -> None:
        from rich.console import Console
        from rich.table import Table

        console = Console(file=cast("IO[str]", self.stdout._out), width=None if self.stdout.isatty() else 160)
        protocol = report["protocol"]
        what = "held-out list" if protocol["cutoff"] is None else f"from {protocol['first_day']} on"
        table = Table(
            title=f"{protocol['visitors']:,} visitors, {protocol['items']:,} products, {what}", title_justify="left"
        )
        k = protocol["k"]
        for column in (
            "Model",
            "Version",
            f"NDCG@{k}",
            f"HR@{k}",
            "Coverage",
            "Novelty",
            "Diversity",
            "NDCG against popular",
        ):
            table.add_column(column, justify="left" if column == "Model" else "right")
        for model in report["models"]:
            gap = next(
                (
                    row
                    for row in report["comparisons"]
                    if (row["model"], row["baseline"], row["metric"]) == (model["name"], "popular", "ndcg")
                ),
                None,
            )
            figures = model["metrics"]
            table.add_row(
                model["name"],
                str(model["version"] or "untrained"),
                *(
                    f"{figures[name]['value']:.4f} [{figures[name]['low']:.4f}, {figures[name]['high']:.4f}]"
                    for name in ("ndcg", "hr", "coverage")
                ),
                f"{figures['novelty']['value']:.2f}",
                f"{figures['diversity']['value']:.3f}",
                "" if gap is None else f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]",
            )
        console.print(table)
        for model in report["not_judged"]:
            self.stdout.write(f"Not judged: {model['name']} {model['version'] or 'untrained'}. {model['reason']}")


def _pairs(path: str) -> list[tuple[str, str]]:
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if not {"user_id", "item_id"} <= set(rows.fieldnames or ()):
                raise CommandError(f"{path} needs the columns user_id and item_id; it has {rows.fieldnames}.")
            return [(f"u:{row['user_id']}", row["item_id"]) for row in rows]
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error}.") from error
