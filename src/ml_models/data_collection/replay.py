"""Replay of dead letters: offer what was refused once more, after a fix."""

from __future__ import annotations

from ml_models.adapters.dead_letters import Letter, Replayed
from ml_models.core.errors import InvalidEvent, StoreError
from ml_models.core.event import Event, decode_event, encode_event
from ml_models.data_collection import outbox
from ml_models.data_collection.order_events import MONEY

__all__ = ["replay_dead_letters"]


def replay_dead_letters() -> Replayed:
    """Put every dead letter that is valid now into the spool, an order into the outbox; the others stay.

    An event comes back with the id, the visitor and the times it would have had.
    """
    from ml_models.adapters.build import get_dead_letters, get_spool

    spool = get_spool()

    def accept(letter: Letter) -> None:
        event = _event(letter)
        if letter.kind == "event" and event.event_type in MONEY:  # its id is to follow from the order's
            if not outbox.put(event):
                raise StoreError("The outbox cannot be written. Run ml_collect --replay outside a broken transaction.")
        else:
            spool.append([encode_event(event)])

    return get_dead_letters().replay(accept)


def _event(letter: Letter) -> Event:
    if letter.kind == "record":
        return decode_event(letter.raw)
    if letter.kind == "event":
        from ml_models.data_collection.collector import rebuild

        return rebuild(letter)
    raise InvalidEvent(
        "not_replayable", letter.path, "correct the file and import it again; the rest of it is not doubled"
    )
