"""The accept path: validate -> identity -> durable spool -> recent items. Everything recorded goes through here."""

from __future__ import annotations

import logging
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import msgspec
from django.urls import get_script_prefix

from ml_models.adapters.build import get_dead_letters, get_spool
from ml_models.adapters.dead_letters import DeadLetters, Letter
from ml_models.core import clock
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import INTERACTION_TYPES, NAMESPACE, Event, EventType, encode_event
from ml_models.core.ids import uuid7
from ml_models.core.query import Interaction
from ml_models.core.scrub import scrub
from ml_models.data_collection import bots, counters, privacy, wire
from ml_models.data_collection.client import Client
from ml_models.data_collection.identity import Decision, visitor_key
from ml_models.data_collection.recent import recent
from ml_models.settings import MLSettings, get_settings

__all__ = [
    "Collected",
    "collect",
    "default_currency",
    "identity_link",
    "keep_aside",
    "rebuild",
    "remember",
    "store",
    "withdrawal",
    "withdraws",
]

logger = logging.getLogger("bunoraa.ml")


MAX_LETTERS = 32_768
"""Bytes of refused events kept whole of one request: one sender must not push everybody else's letters out."""
CUT_LETTER = 256
"""What is kept of each event beyond that; bytes. Keys and types tell what was wrong; it cannot be offered again."""


class Collected(NamedTuple):
    """What became of a track request."""

    processed: int
    """Events stored."""
    rejected: int
    """Events that broke the schema."""
    withdrawn: bool
    """Whether the visitor denied consent in it."""


def collect(batch: wire.Batch, decision: Decision, client: Client, consent: str | None = None) -> Collected:
    """Take one track request.

    What `ML_TRACKING` switches off is neither: it is counted (`off.track_clicks`, ...) and not stored.

    When it returns, the stored ones survive a power cut and the visitor's next list knows them. Raises `SpoolError`
    where the spool cannot take them; then none counts as taken and the client must send all of them again.
    """
    settings = get_settings()
    if bots.pace.too_fast(decision.identity.anonymous_id):
        client = client.flagged("pace")
    context = wire.Context(
        received_at=clock.now(),
        site=settings.site,
        anonymous_id=decision.identity.anonymous_id,
        user_id=decision.identity.user_id,
        currency=default_currency(settings),
        sender=decision.sender,
        **client.columns(),
        consent=consent,
        max_event=settings.api.max_event,
    )
    events: list[Event] = []
    records: list[bytes] = []
    rejected: list[tuple[InvalidEvent, int]] = []
    withdrawn = False
    prefix = get_script_prefix()
    for index, raw in enumerate(batch.events):
        try:
            event = wire.validate(raw, context, batch, index)
            if _denies(event):
                withdrawn = True
                event = withdrawal(decision.identity.anonymous_id, settings.site)
            elif off := privacy.switched_off(event.event_type, event.page_url, settings, prefix):
                counters.add(f"off.{off}")
                continue
            records.append(encode_event(event))
        except InvalidEvent as error:
            rejected.append((error, index))
        else:
            events.append(event)
    accepted = len(events)
    if decision.link:
        link = identity_link(decision.link, decision.identity.user_id, settings.site)
        events.insert(0, link)
        records.insert(0, encode_event(link))
    if records:
        get_spool().append(records)
    # After the spool: where it fails, the client sends all of them again, and each bad one must be kept once.
    if rejected:
        keep_aside(rejected, batch, context)
    remember(events)
    return Collected(accepted, len(rejected), withdrawn)


def withdraws(batch: wire.Batch) -> bool:
    """Whether the visitor denies consent in a batch of which nothing is stored."""
    context = wire.Context(received_at=clock.now(), max_event=get_settings().api.max_event)
    for index, raw in enumerate(batch.events):
        try:
            if _denies(wire.validate(raw, context, batch, index)):
                return True
        except InvalidEvent:
            continue  # nothing of this batch is stored, so nothing of it is refused either
    return False


def _denies(event: Event) -> bool:
    return event.event_type == EventType.CONSENT_CHANGE and event.data.get("state") == privacy.DENIED


def store(events: Iterable[Event]) -> None:
    """Store finished events of the shop's own code durably and remember them. Raises `SpoolError`."""
    taken: list[Event] = []
    records: list[bytes] = []
    for event in events:
        try:
            records.append(encode_event(event))
        except InvalidEvent as error:
            counters.add(f"rejected.{error.reason}")
            logger.warning("An event of the shop's own code was refused: %s", error)
        else:
            taken.append(event)
    if records:
        get_spool().append(records)
    remember(taken)


def remember(events: Iterable[Event]) -> None:
    """Make interactions known to the next answer, written behind (`recent`). Never raises: the spool has them."""
    batch: defaultdict[str, list[Interaction]] = defaultdict(list)
    merges: list[tuple[str, str]] = []
    for event in events:
        if event.event_type == EventType.IDENTITY_LINK:
            merges.append((f"a:{event.anonymous_id}", f"u:{event.user_id}"))
            continue
        key = visitor_key(event.user_id, event.anonymous_id)
        if key is None or event.event_type not in INTERACTION_TYPES:
            continue
        ids = [event.product_id] if event.product_id else [item.product_id for item in event.items]
        batch[key] += [Interaction(item_id, event.event_type, event.event_time) for item_id in ids]
    for source, target in merges:
        try:
            recent.merge(source, target)
        except Exception:  # the store is any database or server; no failure of it may fail a request of safe events
            if counters.add("online.failed") % 1000 == 1:
                logger.exception("Recent items could not be merged; the events themselves are safe. Counted from here.")
    recent.put(batch)


def keep_aside(rejected: Sequence[tuple[InvalidEvent, int]], batch: wire.Batch, context: wire.Context) -> None:
    """Keep the events of a batch that broke the schema, with reasons and all it takes to accept them later.

    `rejected`: (why, place in the batch). Counts them; never raises.
    """
    known = {name: value for name, value in asdict(context).items() if name in _KEPT and value is not None}
    if context.source != "js":
        known["source"] = context.source
    known["received_at"] = context.received_at.isoformat()
    known["sent_at"] = batch.sent_at and batch.sent_at.isoformat()
    known["batch_id"] = batch.batch_id or uuid7()  # the id of an event without one follows from it, at every replay
    for error, _ in rejected:
        counters.add(f"rejected.{error.reason}")
    letters: list[Letter] = []
    room = MAX_LETTERS if context.source == "js" else sys.maxsize  # the shop's own orders are as large as they are
    for error, index in rejected:
        try:
            raw = bytes(batch.events[index])
            letter = _letter(error, raw, {**known, "index": index})
            if len(letter.payload) > max(room, CUT_LETTER):
                letter = _cut(letter, raw)
                counters.add("dead_letters.cut")
        except Exception:  # what no rule foresaw costs this letter, and none of the others
            if counters.add("dead_letters.failed") % 1000 == 1:
                logger.exception("A rejected event could not be kept. Counted from here.")
            continue
        room -= len(letter.payload)
        letters.append(letter)
    try:
        if letters:
            get_dead_letters().write_all(letters)
    except Exception:  # a full disk: they are refused either way, and the others are stored
        if counters.add("dead_letters.failed", len(letters)) % 1000 <= len(letters):
            logger.exception("Rejected events could not be kept. Counted from here.")


def _letter(error: InvalidEvent, raw: bytes, context: dict[str, object]) -> Letter:
    detail = scrub(str(error))
    if error.reason == "too_large":
        detail += f"; it has {len(raw):,}"
    payload = privacy.clean_payload(raw, error.reason)
    return DeadLetters.letter(error.reason, scrub(error.path), payload, detail=detail, context=context)


def _cut(letter: Letter, raw: bytes) -> Letter:
    """Without values: half of an id could not be recognised by those who look for a person in the letters."""
    detail = f"{letter.detail}; cut from {len(letter.payload):,} characters".removeprefix("; ")
    payload = privacy.clean_payload(raw, "too_large")[:CUT_LETTER].decode(errors="ignore")
    context = {name: value for name, value in letter.context.items() if name != "received_at"}  # not to be replayed
    return msgspec.structs.replace(
        letter, payload=payload, path=letter.path[:CUT_LETTER], detail=detail, context=context
    )


_KEPT = ("site", "anonymous_id", "user_id", "currency", "consent", "sender", *Client().columns())


def rebuild(letter: Letter) -> Event:
    """The event of a dead letter, where it is valid by now. Raises `InvalidEvent`.

    It has the id, the visitor and the times it would have had, so a letter offered twice is one event.
    """
    if "received_at" not in letter.context:
        raise InvalidEvent("not_replayable", letter.path, "what the server knew of the event was not kept with it")
    known = dict(letter.context)
    received_at, sent_at = wire.parse_time(known.pop("received_at")), known.pop("sent_at", None)
    batch = wire.Batch([], known.pop("batch_id"), sent_at and wire.parse_time(sent_at))
    index = known.pop("index")
    # The limit is one for browsers; an order of the shop's own code is as large as it is.
    most = get_settings().api.max_event if "source" not in known else len(letter.raw)
    context = wire.Context(received_at=received_at, max_event=most, **known)
    return wire.validate(letter.raw, context, batch, index)


def identity_link(anonymous_id: str | None, user_id: str | None, site: str) -> Event:
    """The fact that a guest turned out to be a user; its id follows from both and the day, so a repeat adds nothing."""
    now = clock.now()
    return Event(
        event_id=str(uuid.uuid5(NAMESPACE, f"identity_link:{site}:{anonymous_id}:{user_id}:{now:%Y%m%d}")),
        event_type=EventType.IDENTITY_LINK.value,
        event_time=now,
        received_at=now,
        source="server",
        site=site,
        anonymous_id=anonymous_id,
        user_id=user_id,
    )


def withdrawal(anonymous_id: str | None, site: str) -> Event:
    """The fact that a visitor denied consent: whom it ends and no more; a repeat has the same id and adds nothing."""
    now = clock.now()
    return Event(
        event_id=str(uuid.uuid5(NAMESPACE, f"consent_denied:{site}:{anonymous_id}")),
        event_type=EventType.CONSENT_CHANGE.value,
        event_time=now,
        received_at=now,
        site=site,
        anonymous_id=anonymous_id,
        data={"state": privacy.DENIED},
    )


def default_currency(settings: MLSettings) -> str | None:
    """The shop's one currency (ISO 4217), where `ML_CATALOG` names it as a literal or as the base currency."""
    catalog = settings.catalog
    fields = _mapping(_mapping(catalog.get("product")).get("fields"))  # None takes a part of a preset away
    mapped = fields.get("currency")
    if isinstance(mapped, Mapping) and mapped.keys() <= {"in", "out"}:
        mapped = mapped.get(catalog.get("tax", "in"), next(iter(mapped.values()), None))
    named = _mapping(mapped).get("value") or catalog.get("currency")
    return named.upper() if isinstance(named, str) and named else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
