"""`manage.py ml_export_person`: everything that is held about one person, for that person."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError

from ml_models.core.errors import MLError
from ml_models.management.base import MLCommand
from ml_models.management.person import add_person, person_of


class Command(MLCommand):
    """Search every place and write what is found."""

    help = "Write everything that is held about a person: to the terminal as JSON, or to a .json or .zip file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_person(parser)
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="a .json or .zip file, for its owner's eyes only"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        from ml_models.data_collection.access import export_person, write_export

        path = options["output"]
        try:
            export = export_person(person_of(options))
            if path is not None:
                write_export(export, path)
        except MLError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error
        if path is None:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(export), indent=1).decode())
            return
        for name, part in export["parts"].items():
            if part["entries"]:
                self.stdout.write(f"{name}: {len(part['entries']):,}")
        self.stdout.write(f"Written to {path}. It is personal data: hand it to the person and delete it here.")
