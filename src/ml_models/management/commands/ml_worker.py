"""`manage.py ml_worker`: the whole schedule in one process, without Celery."""

from __future__ import annotations

import logging
import signal
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import FrameType
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ml_models.core import clock
from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand
from ml_models.settings import get_settings
from ml_models.worker import Done, Worker


class Command(MLCommand):
    """Runs what get_celery_beat_schedule() lists, in the shop's time zone."""

    help = (
        "Run every scheduled task of this app in one process, without Celery. Several may run: one leads, the others "
        "wait. Ends on SIGTERM or Ctrl-C after the running task; a second signal ends it at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="run what is due and end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        try:
            if not get_settings().enabled:
                self.stdout.write("ML_ENABLED is False: nothing is scheduled.")
                return
            self._work(once=options["once"])
        except MLError as error:
            raise CommandError(str(error)) from error

    def _work(self, *, once: bool) -> None:
        console = Console()
        screen = _Screen() if console.is_terminal and not once else None
        failed: list[str] = []

        def tell(what: str, about: Any) -> None:
            if isinstance(about, Done) and about.error:
                failed.append(about.name)
            if screen is not None:
                screen.tell(what, about)
            else:
                self.stdout.write(_line(what, about))
                self.stdout.flush()

        worker = Worker(tell=tell)
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def end(number: int, frame: FrameType | None) -> None:
            worker.stop()
            for one in before:  # the next one ends the process at once, whatever it is doing
                signal.signal(one, signal.SIG_DFL)
            running = ", ".join(f"ml.{name}" for name in worker.running)
            logging.getLogger("bunoraa.ml.worker").info("Ending%s.", f" after {running}" if running else "")

        for number in before:
            signal.signal(number, end)
        try:
            if screen is None:
                led = worker.run(once=once)
            else:
                screen.worker = worker
                with Live(get_renderable=screen.table, console=console, refresh_per_second=2):
                    led = worker.run(once=once)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if once and not led:
            self.stdout.write("Another ml_worker leads and runs what is due.")
        if once and failed:
            raise CommandError(f"Failed: {', '.join(f'ml.{name}' for name in failed)}. The log says why.")


def _flat(value: Any, path: str = "") -> Iterator[str]:
    """What is not nothing in a task's result, each with its name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path} {name}".strip())
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner, path)
    elif value:
        yield f"{path} {value}".strip()


def _short(result: Any) -> str:
    text = ", ".join(_flat(result)) or "nothing to do"
    return text if len(text) <= 300 else f"{text[:300]}..."


def _line(what: str, about: Any) -> str:
    if what == "done":
        end = about.error if about.error else _short(about.result)
        text = f"ml.{about.name} {'failed' if about.error else 'done'} in {about.seconds:.1f} s: {end}"
    elif what == "begins":
        text = f"ml.{about} begins"
    else:
        text = "this worker leads" if what == "leads" else f"this worker waits, {about} leads"
    return f"{clock.now():%Y-%m-%d %H:%M:%S} UTC {text}"


class _Screen:
    """The table that a terminal shows."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self._leader = ""
        self._leads = False
        self._done: dict[str, Done] = {}

    def tell(self, what: str, about: Any) -> None:
        """Note what happened."""
        if what == "done":
            self._done[about.name] = about
        elif what != "begins":
            self._leads, self._leader = what == "leads", str(about)

    def _local(self, moment: datetime) -> str:
        assert self.worker is not None
        return f"{moment.astimezone(self.worker.zone):%a %H:%M}"

    def table(self) -> Table:
        """The schedule as it stands."""
        assert self.worker is not None
        title = "This worker leads" if self._leads else f"This worker waits; {self._leader} leads"
        table = Table(title=f"{title} ({self.worker.zone})", title_justify="left")
        for column in ("task", "last", "took", "result", "next"):
            table.add_column(column, overflow="fold" if column == "result" else "ellipsis")
        running = self.worker.running
        for name in self.worker.times:
            last, done = self.worker.last(name), self._done.get(name)
            style = "bold" if name in running else "red" if done is not None and done.error else None
            said = "runs" if name in running else "" if done is None else done.error or _short(done.result)[:120]
            table.add_row(
                f"ml.{name}",
                "-" if last is None else self._local(last),
                "-" if done is None else f"{done.seconds:.1f} s",
                said,
                self._local(self.worker.next(name)),
                style=style,
            )
        return table
