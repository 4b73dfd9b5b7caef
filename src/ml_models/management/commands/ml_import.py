"""`manage.py ml_import`: bring history into the lake, from the shop's own tables or from files; each event once."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.management.base import CommandError

from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from ml_models.data_collection.importer.mapping import ColumnMap
    from ml_models.data_collection.importer.presets import Preset
    from ml_models.data_collection.importer.run import ImportFile, ImportResult


class Command(MLCommand):
    """Import history; running it again, also after it was killed, never doubles an event."""

    help = "Import past events into the lake: the shop's own orders and history tables, or files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("paths", nargs="*", type=Path, help="files, or a preset's folder; together one export")
        own = parser.add_argument_group("the shop's own tables, through ML_CATALOG")
        own.add_argument("--orders", action="store_true", help="all past orders (the ids of ml_sync)")
        own.add_argument("--history", action="store_true", help="the tables of ML_CATALOG['history']")
        files = parser.add_argument_group("files")
        files.add_argument("--preset", help="ready mapping of a known data set; --preset list shows all")
        files.add_argument("--format", default="", help="csv, tsv, columns, jsonl or parquet; else by the extension")
        files.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="NAME=COLUMN,...",
            help="user, anonymous, session, item, variant, time, type, quantity, price, total, currency, order, "
            "query, url or data.KEY = column of the file",
        )
        files.add_argument("--type", default="", help="event type of every row, such as product_view")
        files.add_argument("--type-map", action="append", default=[], metavar="WORD=TYPE,...", help="the file's words")
        files.add_argument("--currency", default="", help="currency of every price, such as EUR")
        files.add_argument("--timezone", default="", help="zone of times without one (default: TIME_ZONE)")
        files.add_argument("--time-format", default="", help="auto, iso, epoch_s, epoch_ms, epoch_us or strptime")
        files.add_argument("--decimal", default="", choices=["", ".", ","], help="decimal sign of text files")
        files.add_argument("--delimiter", default="", help="of a CSV file (default: found in its first line)")
        files.add_argument("--encoding", default="utf-8", help="of a text file")
        files.add_argument("--header", default="", metavar="NAME,...", help="column names of a file without header")
        files.add_argument("--source", default="", help="where the rows come from; part of their ids")
        files.add_argument("--dry-run", action="store_true", help="read and judge everything, write nothing")
        files.add_argument("--again", action="store_true", help="read files once more that were imported completely")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        self._quiet = options["verbosity"] == 0
        if options["preset"] == "list":
            self._list_presets()
            return
        if not (options["paths"] or options["orders"] or options["history"]):
            raise CommandError(
                "Nothing to import: give files (ml_import events.csv --map ... ), --orders or --history. "
                "ml_import --help shows all options."
            )
        try:
            if not get_settings().enabled:
                raise CommandError("ML_ENABLED is False, so nothing is imported. Set it to True in settings.py.")
            if options["orders"]:
                self._orders()
            if options["history"]:
                self._history()
            if options["paths"]:
                self._files(options)
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. Nothing is half done: run the same command again and it goes on where it was.",
                returncode=130,
            ) from None
        except MLError as error:
            raise CommandError(str(error)) from error

    # -- the shop's own tables ---------------------------------------------------------------------

    def _orders(self) -> None:
        from ml_models.adapters.build import get_catalogue
        from ml_models.data_collection.sync import sync_orders

        if not getattr(get_catalogue(), "has_orders", True):
            raise CommandError(
                'ML_CATALOG maps no orders. Map "order_line" (python manage.py ml_init proposes it) and run again.'
            )

        with _bars(self._quiet) as tell:
            result = sync_orders(lambda done, reached: tell("orders", done, 0), full=True)
        self.stdout.write(str(result))

    def _history(self) -> None:
        from ml_models.data_collection.importer.history import import_history

        with _bars(self._quiet) as tell:
            result = import_history(progress=lambda done: tell("history", done, 0))
        self._summary(result)

    # -- files -------------------------------------------------------------------------------------

    def _files(self, options: dict[str, Any]) -> None:
        from ml_models.data_collection.importer.presets import get_preset
        from ml_models.data_collection.importer.run import import_files

        preset = get_preset(options["preset"]) if options["preset"] else None
        files = _import_files(options, preset)
        columns = _column_map(options, preset)
        if preset is not None:
            self.stdout.write(f"{preset.title}\n{preset.note}".strip())
        with _bars(self._quiet) as tell:
            result = import_files(
                files,
                columns,
                source=options["source"] or (options["preset"] or "import").replace("-", "_"),
                again=options["again"],
                dry_run=options["dry_run"],
                progress=tell,
            )
        self._summary(result)

    def _summary(self, result: ImportResult) -> None:
        write = self.stdout.write
        if result.done_before:
            write(
                f"{result.source}: imported before, with the same mapping: 0 rows added. "
                "(--again reads the files once more; what the lake holds is left out all the same.)"
            )
            return
        from rich.console import Console
        from rich.table import Table

        title = f"{result.source} (dry run: nothing written)" if result.dry_run else result.source
        table = Table(title=title, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for name, value in (
            ("rows read", result.rows),
            ("events", result.events),
            *(() if result.dry_run else (("added to the lake", result.written), ("already there", result.present))),
        ):
            table.add_row(name, f"{value:,}")
        for reason, count in result.skipped.items():
            table.add_row(f"left out: {reason}", f"{count:,}")
        for reason, count in result.bad.items():
            table.add_row(f"bad row: {reason}", f"{count:,}", style="yellow")
        if result.first and result.last:
            table.add_row("from", f"{result.first:%Y-%m-%d %H:%M}")
            table.add_row("to", f"{result.last:%Y-%m-%d %H:%M}")
        rate = f" ({result.rows / result.seconds:,.0f} rows/s)" if result.seconds > 0 else ""
        table.add_row("time", f"{result.seconds:,.1f} s{rate}")
        Console(file=cast("IO[str]", self.stdout)).print(table)
        if result.resumed:
            write("An earlier run had been interrupted; this one went on where it was.")
        if result.bad and not result.dry_run:
            write("The bad rows are in the dead letters with line number and reason: manage.py ml_status --queue.")
        if result.dry_run:
            for row in result.sample:
                write("  " + ", ".join(f"{name}={value}" for name, value in row.items() if value is not None))

    def _list_presets(self) -> None:
        from ml_models.data_collection.importer.presets import PRESETS

        for name, preset in PRESETS.items():
            self.stdout.write(f"{name:16} {preset.title} ({preset.file})")


def _import_files(options: dict[str, Any], preset: Preset | None) -> list[ImportFile]:
    from ml_models.data_collection.importer.readers import detect_format
    from ml_models.data_collection.importer.run import ImportFile

    paths = preset.files(options["paths"]) if preset else options["paths"]
    for path in paths:
        if path.is_dir():
            raise MLError(f"{path} is a folder. Name its files, or say which data set it is with --preset.")
    given = tuple(name.strip() for name in options["header"].split(",") if name.strip())
    files = []
    for path in paths:
        own = preset is not None and path.name.removesuffix(".gz") == preset.file
        files.append(
            ImportFile(
                path=path,
                format=options["format"] or (preset.format_of(path) if preset else detect_format(path)),
                delimiter=options["delimiter"].replace("\\t", "\t"),
                encoding=options["encoding"],
                header=given or (preset.header if preset and own else ()),
            )
        )
    return files


def _column_map(options: dict[str, Any], preset: Preset | None) -> ColumnMap:
    from dataclasses import replace

    from django.utils.timezone import get_default_timezone_name

    from ml_models.data_collection.importer.mapping import ColumnMap, parse_pairs

    given: dict[str, Any] = {
        "event_type": options["type"],
        "currency": options["currency"].upper(),
        "timezone": options["timezone"],
        "time_format": options["time_format"],
        "decimal": options["decimal"],
    }
    given = {name: value for name, value in given.items() if value}
    columns = parse_pairs(options["map"], "--map")
    types = parse_pairs(options["type_map"], "--type-map")
    if preset is not None:
        return replace(
            preset.map, columns={**preset.map.columns, **columns}, types={**preset.map.types, **types}, **given
        )
    given.setdefault("timezone", get_default_timezone_name())
    return ColumnMap(columns=columns, types=types, **given)


@contextmanager
def _bars(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars on standard error, one a stage; nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    words = {"check": "checking files", "read": "reading", "write": "writing", "orders": "orders", "history": "history"}
    bars = Progress(
        TextColumn("{task.description:14}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(words.get(stage, stage), total=total or None, count="")
        count = f"{done:,} rows" if stage in ("write", "orders", "history") else f"{done / 1e6:,.0f} MB"
        bars.update(tasks[stage], completed=done, total=total or None, count=count)

    with bars:
        yield tell
