"""The options by which a command is told which person it is about."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

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
    """The person of the options. Raises `InvalidQuery` where none is named.

    An id is looked for as it is given and as the shop's user model writes it: a UUID in capitals is the same user.
    """
    from ml_models.data_collection.person import Person

    users = dict.fromkeys(name for given in options["user"] for name in (given, _as_stored(given)))
    return Person(tuple(users), tuple(options["visitor"]), tuple(options["email"]))


def _as_stored(user: str) -> str:
    key = get_user_model()._meta.pk
    try:
        return user if key is None else str(key.to_python(user.strip()))
    except ValidationError:  # not a key of this model, such as of an imported history
        return user
