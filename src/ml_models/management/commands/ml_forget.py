"""`manage.py ml_forget`: erase a person from every place, with a receipt."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.management.base import CommandError

from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand
from ml_models.management.person import add_person, person_of

if TYPE_CHECKING:
    from ml_models.data_collection.erase import Receipt

_PLACES = {
    "lake": "events in the lake",
    "lake_keyed": "purchases and refunds put under pseudonyms",
    "old_files": "files out of the lake that still held some",
    "outbox": "orders waiting in the outbox",
    "spool": "events waiting in the spool",
    "dead_letters": "dead letters",
    "exports": "exported days",
    "online_store": "recent interactions",
    "profiles": "profiles",
    "import_leftovers": "leftovers of killed imports",
}


class Command(MLCommand):
    """Search, ask, erase, search again. Exit code 0 only where the second search finds nothing."""

    help = (
        "Erase a person from the spool, the lake and its files, dead letters, exports, recent items and profiles, and "
        "print a receipt. Killed half-way, the same command finishes it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        from ml_models.data_collection.tombstones import ORDERS

        add_person(parser)
        parser.add_argument(
            "--orders",
            choices=ORDERS,
            default="key",
            help="purchases and refunds in the lake: key = under pseudonyms (default), keep = as they are, delete",
        )
        parser.add_argument("--dry-run", action="store_true", help="count what there is, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", type=Path, metavar="FILE", help="also write the receipt to a file")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        from ml_models.data_collection.erase import forget

        try:
            person = person_of(options)
            if not options["dry_run"] and not options["yes"]:
                self._show(forget(person, orders=options["orders"], dry_run=True))
                self._ask()
            receipt = forget(
                person, orders=options["orders"], dry_run=options["dry_run"], progress=self._progress(options)
            )
        except MLError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted. Run the same command again: it finishes what was begun.") from error
        self._show(receipt)
        if receipt.nothing:
            self.stderr.write(receipt.nothing, self.style.WARNING)
        if options["json"] is not None:
            self._write(receipt, options["json"])
        if not receipt.dry_run and not receipt.complete:
            left = ", ".join(f"{count} {_PLACES[name]}" for name, count in receipt.remaining.items() if count)
            raise CommandError(f"The second search still found {left}. Run the same command again.")

    def _progress(self, options: dict[str, Any]) -> Any:
        if options["verbosity"] == 0 or not self.stderr.isatty():
            return None
        return lambda text: self.stderr.write(f"{text} ...")

    def _ask(self) -> None:
        try:
            answer = input("Erase all of this for good? Type yes: ")
        except EOFError as error:
            raise CommandError("Nobody is there to ask. Add --yes to erase without a question.") from error
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was erased.")

    def _show(self, receipt: Receipt) -> None:
        write = self.stdout.write
        write(f"{'Found' if receipt.dry_run else 'Receipt'}, {receipt.at:%Y-%m-%d %H:%M:%S} UTC")
        who = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in receipt.person.items() if count)
        write(f"  known by: {who}")
        for name, count in (receipt.found if receipt.dry_run else receipt.erased).items():
            if count:
                write(f"  {'found' if receipt.dry_run else 'erased'}: {count:,} {_PLACES[name]}")
        for title, sentences in (("kept", receipt.kept), ("still leaves", receipt.leaving)):
            for sentence in sentences:
                write(f"  {title}: {sentence}")
        for one in receipt.retrain:
            serving = ", which serves" if one["serving"] else ""
            write(f"  retrain: {one['model']} v{one['version']}{serving}: {one['command']}")
        if not receipt.dry_run:
            found = sum(receipt.remaining.values())
            write(f"  second search: {'nothing found' if not found else f'{found:,} entries found'}")

    def _write(self, receipt: Receipt, path: Path) -> None:
        content = {**msgspec.to_builtins(receipt), "complete": receipt.complete}
        try:
            path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
        except OSError as error:
            raise CommandError(f"The receipt cannot be written to {path}: {error.strerror}.") from error
