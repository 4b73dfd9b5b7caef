"""`manage.py ml_tail`: events as they arrive. Reads only."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.core.management.base import CommandError
from django.utils.timezone import get_default_timezone

from ml_models.core import clock
from ml_models.core.errors import MLError
from ml_models.core.event import Event, EventType
from ml_models.data_collection.tail import Wanted, arriving, history, line, silence, trouble
from ml_models.management.base import MLCommand
from ml_models.settings import get_settings

QUIET = timedelta(seconds=5)
"""Silence after which the command says why nothing comes."""
MOST = 10_000
"""Newest events of the lake that `--lake` shows."""
_SPAN = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str) -> datetime:
    """A moment: `10m`, `2h`, `1d` ago, or an ISO time, of the shop's time zone where it names none; aware UTC."""
    if found := _SPAN.fullmatch(text):
        return clock.now() - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time. Give one such as 10m, 2h, 1d or 2025-03-01T12:00.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=get_default_timezone())).astimezone(UTC)


class Command(MLCommand):
    """Shows events; moves no position, so nothing is lost to the lake."""

    help = "Show events as they arrive, until Ctrl-C. Reads the spool, whichever it is, and moves nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--type", action="append", default=[], choices=[str(one) for one in EventType])
        parser.add_argument("--source", action="append", default=[], help="js, middleware, server, outbox, sync")
        parser.add_argument("--visitor", default="", help="u:<user id>, a:<anonymous id>, an id alone or a session id")
        parser.add_argument("--product", default="", help="id of a product")
        parser.add_argument("--since", type=since, help="begin earlier: 10m, 2h, 1d or 2025-03-01T12:00")
        parser.add_argument("--lake", action="store_true", help="with --since: what is in the lake already, first")
        parser.add_argument("--lines", type=int, help="end after this many events")
        parser.add_argument("--json", action="store_true", help="one JSON object a line, with every field")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        if options["lake"] and options["since"] is None:
            raise CommandError("--lake needs --since, such as --since 1h.")
        wanted = Wanted(
            types=frozenset(options["type"]),
            sources=frozenset(options["source"]),
            product=options["product"],
            visitor=options["visitor"],
            since=options["since"],
        )
        self._left = options["lines"]
        self._json = options["json"]
        self._last: datetime | None = None
        self._said = False
        self._trouble = ""
        self._quiet_since = clock.now()
        try:
            if not get_settings().enabled:
                self.stderr.write(silence(None))
                return
            self._follow(wanted, lake=options["lake"])
        except MLError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            return

    def _follow(self, wanted: Wanted, *, lake: bool) -> None:
        shown: set[str] = set()
        if lake:
            for event in history(wanted, most=MOST):
                shown.add(event.event_id)
                if not self._show(event):
                    return
        for event in arriving(wanted, idle=self._idle):
            # What the lake took a moment ago may still be in the spool.
            if event.event_id not in shown and not self._show(event):
                return

    def _show(self, event: Event) -> bool:
        """Print it; False where it was the last one asked for."""
        self.stdout.write(msgspec.json.encode(event).decode() if self._json else line(event))
        self.stdout.flush()
        self._last, self._quiet_since, self._said = event.received_at, clock.now(), False
        if self._left is not None:
            self._left -= 1
        return self._left is None or self._left > 0

    def _idle(self) -> bool:
        """Say once why nothing comes, and that Redis is away. Never an end by itself."""
        found = trouble()
        if found and not self._trouble:
            self.stderr.write(found)
        self._trouble = found
        if found:
            return False
        if not self._said and clock.now() - self._quiet_since >= QUIET:
            self._said = True
            if text := silence(self._last):
                self.stderr.write(text)
        return False
