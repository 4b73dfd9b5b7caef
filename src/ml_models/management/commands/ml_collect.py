"""`manage.py ml_collect`: bring queued events into the lake, refresh profiles and product figures, export."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand
from ml_models.settings import get_settings


class Command(MLCommand):
    help = (
        "Bring queued events into the lake (--process), refresh user profiles (--profiles) and product figures "
        "(--products), write the lake as Parquet files (--export), take dead letters again (--replay), or drop what is "
        "older than retention_days (--cleanup)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--process", action="store_true", help="bring what waits in the spool into the lake")
        parser.add_argument("--profiles", action="store_true", help="collect user profiles from the lake")
        parser.add_argument("--products", action="store_true", help="collect product figures from the lake")
        parser.add_argument("--export", action="store_true", help="write the lake as Parquet, one folder a day")
        parser.add_argument("--replay", action="store_true", help="offer dead letters again, after a fix")
        parser.add_argument("--cleanup", action="store_true", help="drop what is older than retention_days")
        parser.add_argument(
            "--include-imported", action="store_true", help="with --cleanup: imported history is no exception"
        )
        parser.add_argument("--limit", type=int, help="with --process: take at most this many events")

    def handle(self, *args: Any, **options: Any) -> None:
        steps = {
            "replay": self._replay,
            "process": lambda: self._process(options["limit"]),
            "profiles": self._profiles,
            "products": self._products,
            "cleanup": lambda: self._cleanup(options["include_imported"]),
            "export": self._export,
        }
        chosen = [name for name in steps if options[name]]
        if not chosen:
            raise CommandError("Say what to do: --process, --profiles, --products, --export, --replay or --cleanup.")
        if not get_settings().enabled:
            self.stdout.write("ML_ENABLED is False: nothing is collected.")
            return
        for name in chosen:
            try:
                steps[name]()
            except MLError as error:
                raise CommandError(str(error)) from error

    def _bar(self) -> Progress:
        # To the error stream, so that a pipe gets the result only; nothing at all where that is no terminal.
        console = Console(stderr=True)
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def _counted(self, title: str, work: Callable[[Callable[[int, int], None]], Any]) -> Any:
        """Run `work(progress)` under a bar; `progress(done, total)`."""
        with self._bar() as bar:
            task = bar.add_task(title, total=None)
            return work(lambda done, total: bar.update(task, completed=done, total=total))

    def _process(self, limit: int | None) -> None:
        from ml_models.adapters.build import get_spool
        from ml_models.data_collection.outage import settle
        from ml_models.data_collection.outbox_drain import drain_outbox
        from ml_models.data_collection.process import process_events

        spool = get_spool()
        insist = getattr(spool, "insist", None)
        if insist is not None:  # someone is asking: what waits in files for Redis to come back need not wait longer
            insist()
        waiting = spool.stats()["records"]
        total = waiting if limit is None else min(limit, waiting)
        with self._bar() as bar:
            task = bar.add_task("Processing events", total=total)
            result = process_events(limit=limit, progress=lambda so_far: bar.update(task, completed=so_far.read))
        self.stdout.write(
            f"Processed {result.read} events: {result.written} new in the lake, {result.duplicates} known already, "
            f"{result.dead} dead letters, {result.commits} commits, {result.seconds:.1f} s."
        )
        if result.dead:
            self.stdout.write("Dead letters are kept with their reason; after a fix: manage.py ml_collect --replay")
        orders = drain_outbox()
        if orders.read:
            self.stdout.write(
                f"Outbox: {orders.read} orders told of, {orders.written} rows new in the lake, {orders.known} known "
                f"already, {orders.unknown} not in the shop's table, {orders.dead} dead letters."
            )
        if trouble := settle():
            raise CommandError(f"{trouble} Only what was kept in files is in the lake; run this again when it is back.")

    def _profiles(self) -> None:
        from ml_models.data_collection.user_profile import collect_profiles

        result = self._counted("Collecting profiles", lambda progress: collect_profiles(progress=progress))
        self.stdout.write(str(result))

    def _products(self) -> None:
        from ml_models.data_collection.product_analytics import collect_products

        result = self._counted("Collecting products", lambda progress: collect_products(progress=progress))
        self.stdout.write(str(result))

    def _cleanup(self, include_imported: bool) -> None:
        from ml_models.data_collection.retention import apply_retention

        result = apply_retention(include_imported=include_imported)
        self.stdout.write(
            f"Older than {result.older_than:%Y-%m-%d %H:%M} UTC: {result.events} events dropped, {result.keyed} orders "
            f"given keyed ids, {result.recent} recent items and {result.letters} dead letters dropped. "
            f"{result.compaction['vacuumed']} old files left the disk."
        )
        if result.events or result.keyed:  # nobody's profile is to outlive what it was made of
            self._profiles()

    def _export(self) -> None:
        from ml_models.data_collection.export import export_training_data

        result = self._counted("Exporting days", lambda progress: export_training_data(progress=progress))
        self.stdout.write(
            f"Exported {result.rows} events in {result.days} days to {result.folder}; "
            f"{result.unchanged} days were up to date, {result.removed} removed."
        )

    def _replay(self) -> None:
        from ml_models.data_collection.replay import replay_dead_letters

        result = replay_dead_letters()
        self.stdout.write(f"Replayed dead letters: {result.accepted} accepted, {result.refused} still refused.")
