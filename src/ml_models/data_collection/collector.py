"""The accept path: validate -> identity -> durable spool -> recent items. Everything recorded goes through here."""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from ml_models.adapters.build import get_dead_letters, get_online_store, get_spool
from ml_models.core import clock
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import INTERACTION_TYPES, NAMESPACE, Event, EventType, encode_event
from ml_models.core.query import Interaction
from ml_models.data_collection import counters, wire
from ml_models.data_collection.client import Client
from ml_models.data_collection.identity import Decision, visitor_key
from ml_models.settings import MLSettings, get_settings

__all__ = ["collect", "default_currency", "identity_link", "reject", "remember", "store"]

logger = logging.getLogger("bunoraa.ml")


def collect(batch: wire.Batch, decision: Decision, client: Client) -> tuple[int, int]:
    """Take one track request; returns how many events were stored and how many rejected.

    When it returns, the stored ones survive a power cut and the visitor's next list knows them. Raises `SpoolError`
    where the spool cannot take them; then none counts as taken and the client must send all of them again.
    """
    settings = get_settings()
    context = wire.Context(
        received_at=clock.now(),
        site=settings.site,
        anonymous_id=decision.identity.anonymous_id,
        user_id=decision.identity.user_id,
        currency=default_currency(settings),
        ip_prefix=client.ip_prefix,
        ip_address=client.ip_address,
        is_bot=client.is_bot,
        bot_reason=client.bot_reason,
        max_event=settings.api.max_event,
    )
    events: list[Event] = []
    records: list[bytes] = []
    rejected: list[tuple[InvalidEvent, Any]] = []
    for index, raw in enumerate(batch.events):
        try:
            event = wire.validate(raw, context, batch, index)
            records.append(encode_event(event))
        except InvalidEvent as error:
            rejected.append((error, raw))
        else:
            events.append(event)
    accepted = len(events)
    if decision.link:
        link = identity_link(decision.identity.anonymous_id, decision.identity.user_id, settings.site)
        events.insert(0, link)
        records.insert(0, encode_event(link))
    if records:
        get_spool().append(records)
    # After the spool: where it fails, the client sends all of them again, and each bad one must be kept once.
    for error, raw in rejected:
        reject(error, raw)
    remember(events)
    return accepted, len(rejected)


def store(events: Iterable[Event]) -> None:
    """Store finished events of the shop's own code durably and remember them. Raises `SpoolError`."""
    taken: list[Event] = []
    records: list[bytes] = []
    for event in events:
        try:
            records.append(encode_event(event))
        except InvalidEvent as error:
            reject(error, {"event": repr(event)})
        else:
            taken.append(event)
    if records:
        get_spool().append(records)
    remember(taken)


def remember(events: Iterable[Event]) -> None:
    """Put interactions into the online store. Its failure is counted and logged, never raised: the spool has them."""
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
    if not batch and not merges:
        return
    try:
        online = get_online_store()
        for source, target in merges:
            online.merge(source, target)
        online.record_many(batch)
    except Exception:  # the store is any database or server; no failure of it may fail a request whose events are safe
        if counters.add("online.failed") % 1000 == 1:
            logger.exception("Recent items could not be recorded; the events themselves are safe. Counted from here.")


def reject(error: InvalidEvent, payload: msgspec.Raw | bytes | dict[str, Any]) -> None:
    """Keep an event that broke the schema, with the reason, for `ml_collect --replay`; counts it by reason."""
    counters.add(f"rejected.{error.reason}")
    if isinstance(payload, dict):
        payload = msgspec.json.encode(payload, enc_hook=str)
    try:
        get_dead_letters().write(error.reason, error.path, bytes(payload))
    except Exception:  # a full disk: the event is refused either way, and the caller has more to store
        if counters.add("dead_letters.failed") % 1000 == 1:
            logger.exception("A rejected event could not be kept. Counted from here.")


def identity_link(anonymous_id: str | None, user_id: str | None, site: str) -> Event:
    """The fact that a guest turned out to be a user; its id follows from both, so that a repeat adds nothing."""
    now = clock.now()
    return Event(
        event_id=str(uuid.uuid5(NAMESPACE, f"identity_link:{site}:{anonymous_id}:{user_id}")),
        event_type=EventType.IDENTITY_LINK.value,
        event_time=now,
        received_at=now,
        source="server",
        site=site,
        anonymous_id=anonymous_id,
        user_id=user_id,
    )


def default_currency(settings: MLSettings) -> str | None:
    """The shop's one currency, where `ML_CATALOG` names it as a literal or as the base currency."""
    mapped = settings.catalog.get("product", {}).get("fields", {}).get("currency")
    return mapped.get("value") if isinstance(mapped, dict) else settings.catalog.get("currency") or None
