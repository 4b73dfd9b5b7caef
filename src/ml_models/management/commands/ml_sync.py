"""`manage.py ml_sync`: the shop's orders into the lake."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand


class Command(MLCommand):
    """Reads orders since the last run, or all of them, and writes what the lake does not hold yet."""

    help = "Bring the shop's orders (ML_CATALOG order, order_line) into the lake. Harmless to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--full", action="store_true", help="read every order again, not only the recent ones")
        parser.add_argument("--json", action="store_true", help="print the summary as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        from ml_models.adapters.build import get_catalogue
        from ml_models.data_collection.sync import sync_orders
        from ml_models.settings import get_settings

        try:
            if not get_settings().enabled:
                raise CommandError("ML_ENABLED is False, so nothing is synchronised. Set it to True in settings.py.")
            if not getattr(get_catalogue(), "has_orders", True):
                raise CommandError(
                    'ML_CATALOG maps no orders. Map "order_line" (python manage.py ml_init proposes it) and run again.'
                )
            with _Bar(shown=not options["json"] and self.stderr.isatty()) as bar:
                result = sync_orders(bar.update, full=options["full"])
        except MLError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(result.as_dict()))
            return
        self.stdout.write(str(result))
        if result.watermark is not None:
            self.stdout.write(f"The next run goes on from {result.watermark:%Y-%m-%d %H:%M} UTC, less an overlap.")


class _Bar:
    """A progress line on a terminal: orders and the day reached."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._progress: Any = None

    def __enter__(self) -> _Bar:
        if self._shown:
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task("reading orders", total=None)
            self._progress.start()
        return self

    def update(self, orders: int, reached: datetime) -> None:
        """Called after each commit."""
        if self._progress is not None:
            self._progress.update(self._task, description=f"{orders:,} orders, up to {reached:%Y-%m-%d}")

    def __exit__(self, *exc: object) -> None:
        if self._progress is not None:
            self._progress.stop()
