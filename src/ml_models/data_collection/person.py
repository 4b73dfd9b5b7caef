"""Who is meant: from what a request for erasure or access names to everything the person's data is found by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_models.core.errors import InvalidQuery, SpoolError
from ml_models.core.event import Event, decode_event
from ml_models.core.keyed_ids import is_keyed, keyed_id
from ml_models.core.traces import Span, Traces

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Person", "describe", "spans_of", "trace", "waiting_events"]

_READ = 5_000
"""Records read from the spool at a time."""
_PAIR = ("anonymous_id", "user_id", "event_time")


@dataclass(frozen=True, slots=True)
class Person:
    """A person as named by somebody: ids of the shop's users, anonymous ids of cookies, e-mail addresses of guests."""

    users: tuple[str, ...] = ()
    visitors: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = [*self.users, *self.visitors, *self.emails]
        if not named or not all(name.strip() for name in named):
            raise InvalidQuery("Name the person: --user ID, --visitor ID or --email ADDRESS, none of them empty.")
        if any(is_keyed(name) for name in named):
            raise InvalidQuery("An id that begins with key: is a pseudonym already. Give the id it was made from.")


def trace(person: Person) -> Traces:
    """Everything the person's data is found by, from the lake and from what waits in the spool.

    A user is followed to the anonymous ids that occur with him and with no other user; a visitor or guest that was
    named is taken as named, with every row that carries the id. What several users share is his for the time he was
    the one logged in (`core.traces`).
    """
    from ml_models.adapters.catalogue.values import guest_keys

    guests = {f"guest:{key}" for email in person.emails for key in guest_keys(email)}
    named = frozenset({*person.visitors, *guests})
    emails = frozenset(email.strip().lower() for email in person.emails)
    traces = Traces(users=frozenset(person.users), visitors=named, emails=emails)
    pairs = _pairs(traces)
    candidates = {visitor for visitor, user, _ in pairs if user in traces.users} - named
    if candidates:
        own: set[str] = set()
        spans: list[Span] = []
        by_visitor: dict[str, list[tuple[datetime, str]]] = {}
        for visitor, user, moment in _pairs(Traces(visitors=frozenset(candidates))):
            by_visitor.setdefault(visitor, []).append((moment, user))
        for visitor, bindings in by_visitor.items():
            found = spans_of(visitor, bindings, traces.users)
            spans += found
            own |= set() if found else {visitor}
        traces = replace(traces, visitors=named | own, spans=tuple(spans))
    return _with_views(_with_keyed(traces))


def spans_of(visitor: str, bindings: list[tuple[datetime, str]], users: Collection[str]) -> list[Span]:
    """The times in which a visitor is one of `users`; none where nobody else occurs. `bindings`: (time, user)."""
    if all(user in users for _, user in bindings):
        return []
    spans: list[Span] = []
    start: datetime | None = None  # the time before the first login belongs to the first who logged in
    mine = None
    for moment, user in sorted(bindings):
        now_mine = user in users
        if mine is None:
            mine = now_mine
        elif now_mine != mine:
            if mine:
                spans.append(Span(visitor, start, moment))
            start, mine = moment, now_mine
    if mine:
        spans.append(Span(visitor, start, None))
    return spans


def _pairs(traces: Traces) -> list[tuple[str, str, datetime]]:
    """(anonymous id, user id, time) of the rows found that have both, from lake and spool; keyed ids left out."""
    from ml_models.adapters.build import get_event_store

    lake = get_event_store().find(traces, columns=list(_PAIR)).drop_nulls(["anonymous_id", "user_id"]).unique()
    rows: list[tuple[str, str, datetime]] = lake.collect(engine="streaming").rows()
    rows += [
        (event.anonymous_id, event.user_id, event.event_time)
        for event in waiting_events()
        if event.anonymous_id and event.user_id and traces.match(event)
    ]
    return [row for row in rows if not is_keyed(row[0]) and not is_keyed(row[1])]


def _with_keyed(traces: Traces) -> Traces:
    from ml_models.adapters.lake_keys import lake_keys

    keys = lake_keys()

    def both(names: frozenset[str]) -> frozenset[str]:
        return names | {keyed_id(name, key) for name in names for key in keys}

    return replace(traces, users=both(traces.users), visitors=both(traces.visitors))


def _with_views(traces: Traces) -> Traces:
    """Sessions and page views of the rows found: the rows of these without any id are his too."""
    from ml_models.adapters.build import get_event_store

    rows = get_event_store().find(traces, columns=["session_id", "page_view_id"]).unique().collect(engine="streaming")
    waiting = [event for event in waiting_events() if traces.match(event)]
    sessions = {*rows.get_column("session_id").drop_nulls(), *(event.session_id for event in waiting)}
    views = {*rows.get_column("page_view_id").drop_nulls(), *(event.page_view_id for event in waiting)}
    return replace(traces, sessions=frozenset(filter(None, sessions)), views=frozenset(filter(None, views)))


def waiting_events() -> Iterator[Event]:
    """Events in the spool that the lake does not have yet; what cannot be decoded is left to the committer."""
    from ml_models.adapters.build import get_event_store, get_spool
    from ml_models.core.errors import InvalidEvent

    spool = get_spool()
    # However young, and without moving anything: a search changes nothing, and waits for nothing.
    sources = getattr(spool, "all_sources", spool.sources)()
    if getattr(spool, "trouble", ""):  # a spool of two that goes on with one; here that would be half an answer
        raise SpoolError(spool.trouble)  # type: ignore[attr-defined]
    if not sources:
        return
    snapshot = get_event_store().snapshot()
    for source in sources:
        after = snapshot.position(source)
        while True:
            found = spool.read(source, after, _READ)
            if not found.records:
                break
            after = found.position
            for record in found.records:
                try:
                    yield decode_event(record)
                except InvalidEvent:  # the committer makes a dead letter of it, and those are searched
                    continue


def describe(event: Event) -> Mapping[str, Any]:
    """An event as plain values, without what is empty."""
    import msgspec

    return {name: value for name, value in msgspec.to_builtins(event).items() if value not in (None, [], {})}
