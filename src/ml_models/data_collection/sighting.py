"""What a request knew when its page was answered, and the events that follow from it.

The middleware makes a `Sighting` while the page waits, so it only takes references; everything that costs time (the
cookie's signature, the client, ids) happens when the queue's thread builds the events, once for all events of a page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ml_models.core import clock
from ml_models.core.event import NAMESPACE, Event
from ml_models.core.scrub import scrub_email
from ml_models.data_collection import bots
from ml_models.data_collection.client import HEADERS, Client, sender_of
from ml_models.data_collection.identity import Identity, verify
from ml_models.data_collection.known import known_user, page_view_id
from ml_models.data_collection.privacy import clean_url
from ml_models.settings import MLSettings

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["Fact", "Sighting", "Views"]

Fact = tuple[str, str | None]
"""`page_view` or `product_view`, and the product's id."""

_HEADERS = (*HEADERS, "HTTP_REFERER", "QUERY_STRING", "HTTP_COOKIE", "HTTP_ACCEPT_LANGUAGE", "HTTP_HOST")


class Sighting(msgspec.Struct, gc=False):
    """One page that a visitor was shown. Outside garbage collection: thousands may wait, and none forms a cycle."""

    at: datetime
    path: str
    cookie: str | None
    """The visitor cookie, not verified yet."""
    headers: tuple[Any, ...]
    """Values of `_HEADERS`; not the whole of META: sightings wait in memory while the spool refuses."""
    user_id: str | None
    """The user where the page has read it, "" for a guest, None where nobody asked."""
    view_id: str
    consent: str
    settings: MLSettings

    @classmethod
    def of(cls, request: HttpRequest, settings: MLSettings, consent: str) -> Sighting:
        """Of a request whose page was answered; no query, no session access."""
        at = clock.now()
        headers = tuple(map(request.META.get, _HEADERS))
        cookie = request.COOKIES.get(settings.api.cookie_name)
        user_id = known_user(request)
        return cls(at, request.path, cookie, headers, user_id, page_view_id(request, at), consent, settings)

    def events(self, facts: Sequence[Fact]) -> list[Event]:
        """The events of these facts, with the same ids however often they are built."""
        meta = {name: value or "" for name, value in zip(_HEADERS, self.headers, strict=True)}
        identity, query = self._identity(), meta["QUERY_STRING"]
        client = Client.of(meta)
        if not meta["HTTP_COOKIE"] and not meta["HTTP_ACCEPT_LANGUAGE"]:
            client = client.flagged("bare_request")
        sender: object = identity.anonymous_id or sender_of(meta)
        common: dict[str, Any] = {
            "event_time": self.at,
            "received_at": self.at,
            "source": "middleware",
            "site": self.settings.site,
            "anonymous_id": identity.anonymous_id,
            "user_id": self.user_id or identity.user_id,
            "page_view_id": self.view_id,
            "page_url": clean_url(_text(f"{self.path}?{query}" if query else self.path)) or None,
            "referrer": clean_url(_text(meta["HTTP_REFERER"]), own=meta["HTTP_HOST"].lower()) or None,
            "consent": self.consent,
        }
        return [
            Event(
                event_id=_event_id(f"middleware:{event_type}:{self.view_id}"),
                event_type=event_type,
                product_id=product_id and scrub_email(product_id),
                **common,
                **self._paced(client, sender, event_type, known=identity.anonymous_id is not None).columns(),
            )
            for event_type, product_id in facts
        ]

    def _identity(self) -> Identity:
        identity = verify(self.cookie)[0] or Identity()
        if self.user_id is not None and identity.user_id not in (None, self.user_id):
            return Identity()  # the cookie still names the user before this one, or the one who has just logged out
        return identity

    def _paced(self, client: Client, sender: object, event_type: str, *, known: bool) -> Client:
        """The sender, flagged where it is faster than a person."""
        if event_type == "page_view":
            fast = bots.pace.page(sender, self.at.timestamp(), bots.PAGES if known else bots.PAGES_WITHOUT_COOKIE)
        else:
            fast = bots.pace.too_fast(sender)
        return client.flagged("pace") if fast else client


class Views(msgspec.Struct, gc=False):
    """An entry of the background queue: what a sighting was of."""

    facts: list[Fact]
    sighting: Sighting

    def __call__(self) -> list[Event]:
        """The events."""
        return self.sighting.events(self.facts)


def _event_id(name: str) -> str:
    """`uuid.uuid5(NAMESPACE, name)` as text, in a quarter of the time."""
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _text(header: str) -> str:
    # A header may hold any byte; what is no text would not survive the encoding.
    return header.encode("utf-8", "replace").decode()
