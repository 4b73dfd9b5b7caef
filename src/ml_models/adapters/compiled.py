"""Queries whose SQL is written once: Django builds and compiles the queryset, later runs only bind other parameters.

For the two queries of every list, building and compiling costs several times what the database does. The SQL is
Django's own for the connection in use, and every run is a live query through the connection's cursor (so it is
logged, counted and wrapped as any other).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet

__all__ = ["compiled_rows"]

MOST = 64
"""Compiled queries a thread keeps; count. The oldest goes first."""

_kept = threading.local()


class _Compiled:
    """The SQL of one queryset on one connection, with a slot for parameters that change."""

    def __init__(self, rows: QuerySet[Any, Any], slot: Sequence[Any]) -> None:
        self.connection = connections[rows.db]
        self._compiler = rows.query.get_compiler(connection=self.connection)
        self._sql, found = self._compiler.as_sql()
        parameters = list(found)
        length = len(slot)
        starts = [n for n in range(len(parameters) - length + 1) if parameters[n : n + length] == list(slot)]
        self.usable = len(starts) == 1
        """Whether the slot's values stand in the parameters, as they are and at one place."""
        if self.usable:
            self._before, self._after = parameters[: starts[0]], parameters[starts[0] + length :]
        self._converters = self._compiler.get_converters([column for column, _, _ in self._compiler.select])

    def run(self, slot: Sequence[Any]) -> list[Sequence[Any]]:
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql, [*self._before, *slot, *self._after])
            rows: list[Sequence[Any]] = cursor.fetchall()
        if self._converters:
            rows = list(self._compiler.apply_converters(rows, self._converters))
        return rows


def compiled_rows(
    key: Hashable, using: str, slot: Sequence[Any], build: Callable[[], QuerySet[Any, Any]]
) -> list[Sequence[Any]]:
    """Rows of the `values_list` queryset (not a flat one) that `build` makes, which is called once a thread for a key.

    `key` must say everything the queryset depends on but the values of `slot`: parameters that stand side by side in
    the SQL as they are given (texts, integers), and only whose number may not change under one key. Where Django
    transforms them, the queryset is run the ordinary way every time.
    """
    kept: dict[Any, _Compiled] = _kept.__dict__.setdefault("queries", {})
    found = kept.get((key, using))
    if found is None or found.connection is not connections[using]:
        try:
            found = _Compiled(build(), slot)
        except EmptyResultSet:
            return []
        while len(kept) >= MOST:
            del kept[next(iter(kept))]
        kept[key, using] = found
    return found.run(slot) if found.usable else list(build())
