"""`manage.py ml_status`: models, data and queue at a glance; exit code 1 when something is broken."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.management.base import CommandError

from ml_models import __version__
from ml_models.core import clock
from ml_models.core.errors import MLError
from ml_models.data_collection.storage import size
from ml_models.management.base import MLCommand
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from ml_models.data_collection.status import Part


SHOWN = ("ndcg", "hr", "coverage")
"""Metrics of the table; `--json` has all."""


class Command(MLCommand):
    """Shows the state; changes nothing."""

    help = "Show the state of models, data and queue. Exit code 1 when something is broken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--health", action="store_true", help="models only")
        parser.add_argument("--data", action="store_true", help="data only")
        parser.add_argument("--queue", action="store_true", help="queue, dead letters and Redis only")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        from ml_models.data_collection.status import PARTS

        try:
            enabled = get_settings().enabled
        except MLError as error:
            raise CommandError(str(error)) from error
        wanted = [name for name in PARTS if options[name]] or list(PARTS)
        parts = {name: PARTS[name]() for name in wanted} if enabled else {}
        problems = [problem for part in parts.values() for problem in part.problems]
        hints = [hint for part in parts.values() for hint in part.hints]
        if options["json"]:
            answer = {
                "version": __version__,
                "at": clock.now(),
                "enabled": enabled,
                "healthy": not problems,
                "problems": problems,
                "hints": hints,
                **{name: part.values for name, part in parts.items()},
            }
            self.stdout.write(json.dumps(answer, default=_plain, ensure_ascii=False, indent=2))
        else:
            self._print(parts, enabled=enabled)
            for hint in hints:
                self.stdout.write(self.style.WARNING(f"Note: {hint}"))
        if problems:
            raise CommandError("\n".join(["Not healthy.", *problems]))
        if not options["json"] and enabled:
            self.stdout.write(self.style.SUCCESS("Healthy."))

    def _print(self, parts: Mapping[str, Part], *, enabled: bool) -> None:
        from rich.console import Console

        if not enabled:
            self.stdout.write("ML_ENABLED is False: the app does nothing. Set it to True in settings.py.")
            return
        console = Console(file=cast("IO[str]", self.stdout))
        tables = {"health": _health, "data": _data, "queue": _queue}
        for name, part in parts.items():
            if part.values:
                console.print(tables[name](part.values))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return str(value)


def _pairs(title: str, rows: list[tuple[str, object]]) -> Table:
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right", overflow="fold")
    for name, value in rows:
        table.add_row(name, _text(value))
    return table


def _health(values: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    table = Table(title="Models", title_justify="left")
    for name in ("model", "champion", "age", "trained on", "metrics", "artifact"):
        table.add_column(name, overflow="fold")
    for name, model in values["models"].items():
        if model["champion"] is None:
            latest = model["latest"]
            state = f"v{latest['version']} {latest['status']}" if latest else "not trained"
            table.add_row(name, state, "-", "-", "-", "-", style="yellow")
            continue
        shown = [key for start in SHOWN for key in model["metrics"] if key.lower().startswith(start)]
        metrics = ", ".join(f"{key} {model['metrics'][key]:.4f}" for key in shown)
        table.add_row(
            name,
            f"v{model['champion']}",
            f"{model['age_days']:,.1f} days",
            f"{_text(model['interactions'])} interactions",
            metrics or "-",
            model["artifact"],
            style="red" if model["artifact"] != "ok" else None,
        )
    return Group(table, drift) if (drift := _drift(values.get("drift"))) else table


def _drift(values: Mapping[str, Any] | None) -> Table | None:
    """What the last check for drift found; nothing where none ran yet."""
    if values is None:
        return None
    rows: list[tuple[str, object]] = [("checked", datetime.fromisoformat(values["at"]))]
    if "skipped" in values:
        return _pairs("Drift", [*rows, ("not compared", values["skipped"])])
    rows.append(("newest week against", f"{values['champion']} v{values['version']}"))
    for name, found in values["figures"].items():
        text = "too little data" if found["psi"] is None else f"PSI {found['psi']:.3f} of {values['threshold']:.2f}"
        rows.append((name.replace("_", " "), text))
    return _pairs("Drift", rows)


def _data(values: Mapping[str, Any]) -> Table:
    least, tracker, disk = values["minimums"], values["tracker"], values.get("storage")
    rows: list[tuple[str, object]] = [("events in the lake", values["events"])]
    for kind in ("by_type", "by_source"):
        rows += [(f"  {name}", count) for name, count in sorted(values[kind].items(), key=lambda one: -one[1])]
        if kind == "by_type":
            rows.append(("by source", ""))
    if tracker and tracker["share"] is not None:
        text = f"{tracker['share']:.0%} of {tracker['seen']:,} in 7 days"
        rows.append(("page views the tracker confirmed", text))
    rows += [
        ("first event", values["first"]),
        ("last event", values["last"]),
        ("interactions to train on", f"{values['interactions']:,} (at least {least['interactions']:,})"),
        ("users", f"{values['users']:,} (at least {least['users']:,})"),
        ("products", f"{values['items']:,} (at least {least['products']:,})"),
        ("counted", values["counted"]),
        ("enough to train", values["enough_to_train"]),
        ("lake", f"{size(values['lake_bytes'])} in {values['lake_files']:,} files"),
        ("behaviour is kept", f"{values['retention_days']:,} days"),
    ]
    if disk:
        limit = f"{size(disk['limit'])} ({'storage_bytes' if disk['own_limit'] else 'the disk'})"
        rows += [("used", f"{size(disk['used'])} of {limit}"), ("forecast", disk["forecast"])]
    return _pairs("Data", rows)


def _queue(values: Mapping[str, Any]) -> Table:
    rows: list[tuple[str, object]] = [("Redis", values["redis"])]
    if spool := values.get("spool"):
        rows += [
            ("spool", spool["kind"]),
            ("  events that wait", spool["records"]),
            ("    of these in files", spool["in_files"]),
            ("  size", size(spool["bytes"])),
            ("  oldest", f"{spool['oldest_age_s']:,.0f} s" if spool["records"] else "-"),
        ]
    if committer := values.get("committer"):
        last = committer["last"]
        rows += [
            ("last run of the committer", f"{committer['age_s']:,.0f} s ago, in {last.get('seconds', 0):,.1f} s"),
            ("  events read, written", f"{last.get('read', 0):,}, {last.get('written', 0):,}"),
            ("committed in all", ""),
        ]
        rows += [(f"  {name}", count) for name, count in committer["totals"].items()]
    if (orders := values.get("outbox")) is not None:
        rows.append(("orders that wait in the outbox", orders["waiting"]))
        rows.append(("  oldest", f"{orders['oldest_age_s']:,.0f} s" if orders["waiting"] else "-"))
    if letters := values.get("dead_letters"):
        rows.append(("dead letters", letters["letters"]))
        rows += [(f"  {reason}", count) for reason, count in letters["by_reason"].items()]
        rows.append(("  dropped for age or number", letters["dropped"]))
    if counted := values.get("counters"):
        rows.append(("counted in the last seven days", ""))
        rows += [(f"  {reason}", count) for reason, count in counted.items()]
    return _pairs("Queue", rows)
