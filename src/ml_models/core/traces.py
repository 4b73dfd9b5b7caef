"""What tells a person's data from everybody else's: the ids to look for, and the one rule by which a row is his.

A row is his that carries one of his users' or visitors' ids, plain or keyed (`core.keyed_ids`). A row without any id
(the first page of a visit, before the visitor has a cookie) is his where it shares the session or the page view with
one of his rows. On a device that several users share, rows without a user are his for the time he was the one logged
in, the time before the first login included.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_models.core.keyed_ids import ORDER_TYPES, is_keyed, stale

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ml_models.core.event import Event

__all__ = ["COLUMNS", "Span", "Traces"]

COLUMNS = ("event_time", "event_type", "user_id", "anonymous_id", "session_id", "page_view_id")
"""Columns of the lake that `Traces.rows` needs."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which rows without a user of a shared device are one user's: `start <= event_time < end`."""

    visitor: str
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Everything a person's data is found by. External ids as text; the keyed forms stand beside the plain ones."""

    users: frozenset[str] = frozenset()
    visitors: frozenset[str] = frozenset()
    """Anonymous ids that are his alone, `guest:` keys of his e-mail addresses included."""
    sessions: frozenset[str] = frozenset()
    """Sessions of his rows: rows of these without any id are his."""
    views: frozenset[str] = frozenset()
    """Page views of his rows: likewise."""
    spans: tuple[Span, ...] = ()
    emails: frozenset[str] = frozenset()
    """Addresses he is known by, lower case; looked for in refused payloads only, nothing else may hold one."""

    @property
    def visitor_keys(self) -> list[str]:
        """Keys of profiles and of the online store, `u:...` and `a:...`, sorted."""
        shared = {span.visitor for span in self.spans}
        return sorted({f"u:{name}" for name in self.users} | {f"a:{name}" for name in self.visitors | shared})

    def __or__(self, other: Traces) -> Traces:
        """What either finds."""
        return Traces(
            users=self.users | other.users,
            visitors=self.visitors | other.visitors,
            sessions=self.sessions | other.sessions,
            views=self.views | other.views,
            spans=tuple(dict.fromkeys((*self.spans, *other.spans))),
            emails=self.emails | other.emails,
        )

    def rows(self) -> pl.Expr:
        """Whether a row of the lake is his; never null. Needs `COLUMNS`."""
        import polars as pl

        def among(column: str, names: frozenset[str]) -> pl.Expr:
            return pl.col(column).is_in(sorted(names)).fill_null(False)

        no_user = pl.col("user_id").is_null()
        nobody = no_user & pl.col("anonymous_id").is_null()
        his = among("user_id", self.users) | among("anonymous_id", self.visitors)
        his |= nobody & (among("session_id", self.sessions) | among("page_view_id", self.views))
        for span in self.spans:
            within = no_user & (pl.col("anonymous_id") == span.visitor).fill_null(False)
            if span.start is not None:
                within &= pl.col("event_time") >= span.start
            if span.end is not None:
                within &= pl.col("event_time") < span.end
            his |= within
        return his

    def due(self, orders: str, before: datetime, columns: Sequence[str]) -> pl.Expr:
        """Whether a row is his, happened or came before a moment, and has to be changed or dropped.

        `orders`, what becomes of purchases and refunds: `keep` leaves them as they are, `key` leaves those that hold
        nothing but keyed ids, `delete` leaves none. `columns`: those of the frame, `received_at` among them.
        """
        import polars as pl

        due = self.rows() & (pl.min_horizontal("event_time", "received_at") <= before)
        is_order = pl.col("event_type").is_in(list(ORDER_TYPES))
        if orders == "keep":
            return due & ~is_order
        return due & ~(is_order & ~stale(columns)) if orders == "key" else due

    def match(self, event: Event) -> bool:
        """The same rule for one event."""
        if event.user_id in self.users or event.anonymous_id in self.visitors:
            return True
        if event.user_id is not None:
            return False
        if event.anonymous_id is None:
            return event.session_id in self.sessions or event.page_view_id in self.views
        return any(
            event.anonymous_id == span.visitor
            and (span.start is None or event.event_time >= span.start)
            and (span.end is None or event.event_time < span.end)
            for span in self.spans
        )

    def counts(self) -> dict[str, int]:
        """How many ids of each kind, pseudonyms left out; for a receipt that names nobody."""
        return {
            "users": sum(not is_keyed(name) for name in self.users),
            "visitors": sum(not is_keyed(name) for name in self.visitors),
            "shared_devices": len({span.visitor for span in self.spans}),
            "emails": len(self.emails),
        }
