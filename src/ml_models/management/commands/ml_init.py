"""`manage.py ml_init`: look at the installed models and print settings to paste."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ml_models.core.errors import MLError

WIDTH = 100


def literal(value: Any, indent: int = 0) -> str:
    """Python source of nested dictionaries, lists and plain values, broken where a line would be longer than 100."""
    flat = repr(value).replace("'", '"') if _plain(value) else repr(value)
    if isinstance(value, dict | list) and value and len(flat) + indent > WIDTH:
        pad = " " * (indent + 4)
        if isinstance(value, dict):
            inner = [f"{literal(key)}: {literal(one, indent + 4)}" for key, one in value.items()]
        else:
            inner = [literal(one, indent + 4) for one in value]
        opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
        lines = "".join(f"{pad}{one},\n" for one in inner)
        return f"{opening}\n{lines}{' ' * indent}{closing}"
    return flat


def _plain(value: Any) -> bool:
    """Whether no text in it holds a quote, so that quotes may be exchanged."""
    if isinstance(value, dict):
        return all(_plain(k) and _plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return not isinstance(value, str) or not set("'\"\\") & set(value)


class Command(BaseCommand):
    """Proposes `ML_CATALOG` with its evidence, or checks the one in force."""

    help = "Propose ML_CATALOG from the installed models, with the evidence, as settings to paste."
    requires_system_checks = ()
    """A wrong ML_CATALOG is what this command is for, so it must not stop it."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--preset", help="print a ready mapping: oscar")
        parser.add_argument("--product", default="", metavar="APP.MODEL", help="the model of a product")
        parser.add_argument("--order-line", default="", metavar="APP.MODEL", help="the model of a line of an order")
        parser.add_argument("--json", action="store_true", help="print the proposal as JSON")
        parser.add_argument(
            "--check", action="store_true", help="check the ML_CATALOG in force against the shop's rows"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["check"]:
                self._check()
            elif options["preset"]:
                self._preset(options["preset"], as_json=options["json"])
            else:
                self._propose(options)
        except MLError as error:
            raise CommandError(str(error)) from error

    def _preset(self, name: str, *, as_json: bool, reason: str = "") -> None:
        from ml_models.adapters.catalogue.presets import preset
        from ml_models.adapters.catalogue.reader import DjangoCatalogue

        preset(name)  # a sentence of its own where there is none of that name
        mapping = {"preset": name}
        DjangoCatalogue(mapping)
        if as_json:
            self.stdout.write(json.dumps({"ML_CATALOG": mapping, "evidence": {}, "notes": [reason] if reason else []}))
            return
        if reason:
            self.stdout.write(f"# {reason}")
        self._settings(mapping)
        self.stdout.write(
            "\n# Whatever you add lies over the preset, field by field; None takes a field away:\n"
            f'# ML_CATALOG = {{"preset": "{name}", "product": {{"fields": {{"brand": "attr.brand"}}}}}}'
        )

    def _propose(self, options: dict[str, Any]) -> None:
        from django.apps import apps

        from ml_models.adapters.catalogue.propose import propose, samples

        if not options["product"] and apps.is_installed("oscar"):
            self._preset("oscar", as_json=options["json"], reason="django-oscar is installed: its preset fits.")
            return
        proposal = propose(options["product"], options["order_line"])
        if not proposal.mapping:
            raise CommandError(
                " ".join(proposal.notes)
                + " Name the model yourself: python manage.py ml_init --product app.Model (docs/catalogue.md)."
            )
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {"ML_CATALOG": proposal.mapping, "evidence": proposal.evidence, "notes": proposal.notes},
                    default=str,
                )
            )
            return
        section = proposal.mapping["product"]
        values = samples(section, section["model"])
        self._comment(f"Product: {section['model']} ({proposal.evidence['product.model']})")
        for name, spec in section["fields"].items():
            shown = ", ".join(str(v)[:40] for v in values.get(name, [])[:2])
            reason = proposal.evidence.get(f"product.fields.{name}", "")
            self._comment(f"  {name:<12} {spec!s:<32} {reason}{'; such as ' + shown if shown else ''}")
        for place, reason in proposal.evidence.items():
            if not place.startswith(("product.fields", "product.model")):
                self._comment(f"{place}: {reason}")
        for note in proposal.notes:
            self._comment(f"LOOK AT THIS: {note}")
        self.stdout.write("")
        self._settings(proposal.mapping)
        self.stderr.write(
            "Paste the above into settings.py, then: python manage.py check --database default", self.style.SUCCESS
        )

    def _comment(self, text: str) -> None:
        self.stdout.write("# " + " ".join(text.split("\n")))

    def _settings(self, mapping: dict[str, Any]) -> None:
        self.stdout.write(f"ML_CATALOG = {literal(mapping)}")

    def _check(self) -> None:
        from django.core.checks import ERROR
        from django.db import connections

        from ml_models.adapters.catalogue.checks import catalogue_messages

        messages = catalogue_messages(databases=list(connections))
        for message in messages:
            style = self.style.ERROR if message.level >= ERROR else self.style.WARNING if message.level >= 30 else str
            self.stdout.write(f"{message.id} {message.msg}", style)
            if message.hint:
                self.stdout.write(f"       {message.hint}")
        if any(message.level >= ERROR for message in messages):
            raise CommandError("ML_CATALOG does not fit the shop's models.")
