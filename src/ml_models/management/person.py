"""The options by which a command is told which person it is about."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_models.data_collection.person import Person

__all__ = ["add_person", "person_of"]


def add_person(parser: ArgumentParser) -> None:
    """Declare `--user`, `--visitor` and `--email`, each any number of times: together they are one person."""
    person = parser.add_argument_group("the person; all that is given is one and the same")
    person.add_argument("--user", action="append", default=[], metavar="ID", help="primary key of the shop's user")
    person.add_argument("--visitor", action="append", default=[], metavar="ID", help="anonymous id of a cookie")
    person.add_argument("--email", action="append", default=[], metavar="ADDRESS", help="address of a guest's orders")


def person_of(options: Mapping[str, Any]) -> Person:
    """The person of the options. Raises `InvalidQuery` where none is named."""
    from ml_models.data_collection.person import Person

    return Person(tuple(options["user"]), tuple(options["visitor"]), tuple(options["email"]))
