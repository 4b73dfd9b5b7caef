"""The app's own tables as a worker reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from django.db import connections, router
from django.db.models import F, Model, QuerySet

__all__ = ["lock", "primary", "upsert"]

Row = TypeVar("Row", bound=Model)


def primary(model: type[Row]) -> QuerySet[Row]:
    """All rows of one of our tables, from the database that it is written to.

    A worker acts on what it reads and writes the outcome: a replica that lags would show it rows that are gone and hide
    those it wrote a moment ago. Pages read where the shop's router sends them.
    """
    return model._default_manager.using(router.db_for_write(model))


def lock(rows: QuerySet[Row], field: str) -> int:
    """Lock rows for the rest of the transaction, by an UPDATE that changes nothing; how many there are.

    As the first statement of a transaction. SQLite locks nothing for a SELECT: where two transactions have read and
    both want to write, it fails one of them at once, without waiting its timeout.
    """
    return rows.update(**{field: F(field)})


def upsert(rows: QuerySet[Row], new: Sequence[Row], key: str, fields: Sequence[str]) -> None:
    """Insert rows, and give those of the same `key` the new values of `fields`; one statement.

    MySQL and MariaDB find the row by whatever unique key it collides with, and refuse to be told which.
    """
    told = connections[rows.db].features.supports_update_conflicts_with_target
    rows.bulk_create(new, update_conflicts=True, unique_fields=[key] if told else None, update_fields=fields)
