"""The app's own tables as a worker reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from django.db import connections, router
from django.db.models import Model, QuerySet

__all__ = ["primary", "upsert"]

Row = TypeVar("Row", bound=Model)


def primary(model: type[Row]) -> QuerySet[Row]:
    """All rows of one of our tables, from the database that it is written to.

    A worker acts on what it reads and writes the outcome: a replica that lags would show it rows that are gone and hide
    those it wrote a moment ago. Pages read where the shop's router sends them.
    """
    return model._default_manager.using(router.db_for_write(model))


def upsert(rows: QuerySet[Row], new: Sequence[Row], key: str, fields: Sequence[str]) -> None:
    """Insert rows, and give those of the same `key` the new values of `fields`; one statement.

    MySQL and MariaDB find the row by whatever unique key it collides with, and refuse to be told which.
    """
    told = connections[rows.db].features.supports_update_conflicts_with_target
    rows.bulk_create(new, update_conflicts=True, unique_fields=[key] if told else None, update_fields=fields)
