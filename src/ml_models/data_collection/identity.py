"""Who is asking: the signed visitor cookie, and the user of the shop's own session.

The cookie carries an anonymous id (UUIDv7), the user it is bound to (or nothing) and the second it was issued. Nothing
a browser says about itself is believed beyond that signature.

How a login reaches the cookie: only the track response may set one (an HTML page with `Set-Cookie` costs a shop its
page cache), so binding and rotating happen at the first track request after the login or logout, which the tracker
sends with the next page. The answer to a logout ends the cookie at once where the middleware sees it. At the track
request the session's user is compared with the user inside the cookie:

====================  ==================  ====================================================================
session               cookie              outcome
====================  ==================  ====================================================================
guest                 none or not valid   new anonymous id
guest                 not bound           kept
guest                 bound to a user     logged out: new anonymous id, so that the next person is nobody's heir
user U                none or not valid   new anonymous id bound to U, `identity_link`
user U                not bound           new anonymous id bound to U; `identity_link` of the guest's id: what the guest
                                          did until now becomes U's
user U                bound to U          kept
user U                bound to another    new anonymous id bound to U, `identity_link`: two users are never merged
not known             any                 kept, or new where there is none (no session in this shop, or it failed)
====================  ==================  ====================================================================

Why a login changes the id: the guest's cookie stays valid. Whoever planted it in this browser, or finds it later, would
go on writing as U. So the link gives U what the guest did up to the login (`core.data_loader`) and nothing after it.

Where the id is new, it follows from what the request brought (`_newcomer`, `_successor`): two requests that are under
way together, both without the cookie that either answer brings, become one visitor, and no server remembers anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ml_models.core import clock
from ml_models.core.ids import uuid7, uuid7_from
from ml_models.data_collection import counters
from ml_models.data_collection.client import address_of
from ml_models.data_collection.privacy import consent_of, may_record
from ml_models.settings import get_settings, secret_keys, session_cookie

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

__all__ = [
    "Decision",
    "Identity",
    "decide",
    "read_cookie",
    "release_session",
    "seen_cookie",
    "set_cookie",
    "sign",
    "verify",
    "visitor_key",
    "visitor_of",
]

logger = logging.getLogger("bunoraa.ml")

REISSUE_AFTER = 86_400
"""Age from which a cookie is issued anew, so that a returning visitor's never expires; seconds."""
CLOCK_SKEW = 86_400
"""How far in the future a cookie may have been issued (web hosts whose clocks differ); seconds."""
UNKNOWN = object()
"""The session cannot say who this is."""

_CONTEXT = b"ml_models.visitor-cookie.1"
_NEWCOMER, _SENDER, _SUCCESSOR = b"ml_models.newcomer.1", b"ml_models.sender.1", b"ml_models.successor.1"
_WINDOW = 60_000
"""How long requests of one newcomer may take to be known for one; milliseconds."""
_DAY = 86_400_000
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def visitor_key(user_id: str | None, anonymous_id: str | None) -> str | None:
    """`u:<user id>` for a known user, `a:<anonymous id>` for a guest, None for nobody."""
    if user_id:
        return f"u:{user_id}"
    return f"a:{anonymous_id}" if anonymous_id else None


@dataclass(frozen=True, slots=True)
class Identity:
    """A visitor, as far as the server knows."""

    anonymous_id: str | None = None
    user_id: str | None = None
    issued_at: int = 0
    """When the cookie was issued; seconds since 1970, 0 without a cookie."""

    @property
    def key(self) -> str | None:
        """Key of the online store and of `Query.visitor`."""
        return visitor_key(self.user_id, self.anonymous_id)


# -- the cookie -------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _derived(secrets: tuple[str | bytes, ...]) -> tuple[bytes, ...]:
    encoded = (one.encode() if isinstance(one, str) else one for one in secrets)
    return tuple(hmac.digest(one, _CONTEXT, "sha256") for one in encoded)


def _keys() -> tuple[bytes, ...]:
    """Keys from `SECRET_KEY`, then `SECRET_KEY_FALLBACKS`."""
    return _derived(secret_keys())


def _digest(purpose: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 over length-prefixed parts with the key of the cookie; `purpose` keeps the uses apart."""
    encoded = (part.encode("utf-8", "replace") for part in parts)
    message = purpose + b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
    return hmac.digest(_keys()[0], message, "sha256")


def _encode(identity: Identity, key: bytes) -> str:
    user = (identity.user_id or "").encode()
    fields = [str(identity.anonymous_id).encode(), user, str(identity.issued_at).encode()]
    # A length before each field: no two triples of fields ever give the same signed bytes.
    signed = _CONTEXT + b"".join(len(part).to_bytes(4, "big") + part for part in fields)
    mac = hmac.new(key, signed, hashlib.sha256).hexdigest()
    return f"1.{identity.anonymous_id}.{base64.urlsafe_b64encode(user).decode().rstrip('=')}.{identity.issued_at}.{mac}"


def sign(identity: Identity) -> str:
    """The cookie's value, signed with the current key."""
    return _encode(identity, _keys()[0])


def verify(value: str | None) -> tuple[Identity | None, bool]:
    """Read a cookie's value: the identity, or None where it is absent, forged, damaged or expired.

    The flag says whether the current key signed it (False: a fallback key, so issue it anew). What was read is encoded
    again and compared whole, in constant time: a second spelling of the same fields is not accepted.
    """
    if not value or len(value) > 1024 or not value.isascii():
        return None, False
    parts = value.split(".")
    if len(parts) != 5 or parts[0] != "1":
        return None, False
    try:
        padded = parts[2] + "=" * (-len(parts[2]) % 4)
        user = base64.urlsafe_b64decode(padded).decode()
        identity = Identity(str(uuid.UUID(parts[1])), user or None, int(parts[3]))
    except ValueError:
        return None, False
    current, matched = False, False
    for index, key in enumerate(_keys()):
        if hmac.compare_digest(_encode(identity, key), value):
            current, matched = index == 0, True
            break
    if not matched:
        return None, False
    age = clock.now().timestamp() - identity.issued_at
    if age > get_settings().api.cookie_age or age < -CLOCK_SKEW:
        return None, False
    return identity, current


def read_cookie(request: HttpRequest) -> Identity | None:
    """The identity in the request's cookie, where its signature holds and the visitor may be recorded.

    A visitor who denied is nobody, before and after a login. Touches neither session nor user.
    """
    if not may_record(consent_of(request.COOKIES, request.META)):
        return None
    return verify(request.COOKIES.get(get_settings().api.cookie_name))[0]


@dataclass(frozen=True, slots=True)
class SeenCookie:
    """What the cookie of a track request says."""

    identity: Identity | None
    """None where there is no cookie or its signature does not hold."""
    current: bool = False
    """Whether the current key signed it."""

    @property
    def anonymous_id(self) -> str | None:
        """The verified anonymous id."""
        return self.identity.anonymous_id if self.identity else None


def seen_cookie(request: HttpRequest) -> SeenCookie:
    """The request's cookie, verified once for all questions that follow."""
    return SeenCookie(*verify(request.COOKIES.get(get_settings().api.cookie_name)))


def set_cookie(request: HttpRequest, response: HttpResponse, identity: Identity) -> None:
    """Put the cookie on a response. Called on the track response only."""
    api = get_settings().api
    response.set_cookie(
        api.cookie_name,
        sign(identity),
        max_age=api.cookie_age,
        path="/",
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )


# -- session and cookie together --------------------------------------------------------------------


def release_session(request: HttpRequest) -> None:
    """Leave the session as it was found: an answer of ours neither ends nor overwrites it.

    The tracker sends while a page is left, so often beside the request that logs the visitor in. That gives the session
    a new key; asked for by the old one it is gone, and Django would take the cookie away, which by then is the new one:
    the visitor would be logged out, and the cart with him. Where a shop saves every session with every request, what
    was read here would be written over what the other request has put into it: it is read anew.
    """
    session = getattr(request, "session", None)
    if session is None or getattr(session, "modified", True):
        return
    if session.is_empty():
        request.COOKIES.pop(session_cookie(), None)
    else:
        session.__dict__.pop("_session_cache", None)


def _session_user(request: HttpRequest) -> object:
    """External id of the session's user, None for a guest, UNKNOWN where the request cannot say.

    Reads the session, so only endpoints whose answer depends on the visitor anyway may call it.
    """
    try:
        user = getattr(request, "user", UNKNOWN)
        if user is UNKNOWN or user is None:
            return UNKNOWN
        return str(user.pk) if user.is_authenticated else None  # type: ignore[attr-defined]
    except Exception:  # the shop's session or user backend may fail in any way; the visitor stays known by the cookie
        counters.add("identity.session_failed")
        logger.exception("The session's user could not be read; the visitor stays as the cookie says.")
        return UNKNOWN


@dataclass(frozen=True, slots=True)
class Decision:
    """What a track request means for the visitor's identity."""

    identity: Identity
    issue: bool
    """Whether the response must set the cookie."""
    link: str | None = None
    """Anonymous id whose past has just become the user's."""
    sender: str | None = None
    """The same for a repetition of the request: the verified anonymous id that came with it, else a digest."""


def _newcomer(request: HttpRequest, session_id: str | None, user: str | None) -> str:
    """The anonymous id of a visitor without a cookie; the same for requests that are under way together.

    From the session's id, the whole address and the agent, keyed, within a minute. Never from the session's id alone:
    it is the client's own word, and whoever read it somewhere (it stands in the browser's storage) would be handed a
    signed cookie with the id of another. Without a session's id nothing tells two visitors behind one address apart,
    and the id is drawn by lot.
    """
    if not session_id:
        return uuid7()
    now = int(clock.now().timestamp() * 1000)
    # The tracker's session id says when the session began, by a clock that all its requests share. The windows lie so
    # that the beginning is in the middle of one: an edge at a full minute would part what is sent around it.
    began = int(session_id[:8] + session_id[9:13], 16) - _WINDOW // 2 if _UUID7.fullmatch(session_id) else 0
    window = now - (now - began) % _WINDOW
    agent = request.META.get("HTTP_USER_AGENT") or ""
    digest = _digest(_NEWCOMER, session_id, address_of(request.META), agent, user or "", str(window))
    return uuid7_from(window, digest)


def _successor(cookie: Identity, user: str | None) -> str:
    """The anonymous id after a login or logout; the same for requests that still carry the cookie before it.

    Keyed, so that who knows the old id does not know the new one; and with the user, so that whoever holds a copy of
    the old cookie cannot become the visitor that another's login made of it. Of the time only the day is in it: a
    finer one in both ids would join the person before a logout with the one after it.
    """
    now = int(clock.now().timestamp() * 1000)
    day = now - now % _DAY
    parts = (str(cookie.anonymous_id), cookie.user_id or "", user or "", str(day))
    return uuid7_from(day, _digest(_SUCCESSOR, *parts))


def decide(request: HttpRequest, seen: SeenCookie | None = None, session_id: str | None = None) -> Decision:
    """Compare session and cookie by the table of this module; for the track view only.

    `session_id`: what the events of the request name; needed where there is no cookie.
    """
    seen = seen or seen_cookie(request)
    cookie, current = seen.identity, seen.current
    user = _session_user(request)
    second = int(clock.now().timestamp())
    if cookie is None:
        bound = None if user is UNKNOWN or user is None else str(user)
        found = _newcomer(request, session_id, bound)
        sender: str | None = _digest(_SENDER, address_of(request.META), request.META.get("HTTP_USER_AGENT") or "").hex()
        return Decision(Identity(found, bound, second), True, found if bound else None, sender)
    sender = cookie.anonymous_id
    if user is UNKNOWN or user == cookie.user_id:
        stale = not current or second - cookie.issued_at > REISSUE_AFTER
        kept = Identity(cookie.anonymous_id, cookie.user_id, second if stale else cookie.issued_at)
        return Decision(kept, stale, None, sender)
    now_user = None if user is None else str(user)
    found = _successor(cookie, now_user)
    link = None if now_user is None else cookie.anonymous_id if cookie.user_id is None else found
    return Decision(Identity(found, now_user, second), True, link, sender)


def visitor_of(request: HttpRequest) -> Identity:
    """The visitor of a request that shows something, without changing anything.

    Reads the session, so the response varies by cookie. After a logout or a change of user, and until the next track
    request has rotated the cookie, the old anonymous id is not used: nobody sees another person's history.
    """
    cookie = read_cookie(request) or Identity()
    user = _session_user(request)
    if user is UNKNOWN or user == cookie.user_id:
        return cookie
    if cookie.user_id is None:
        return Identity(cookie.anonymous_id, str(user), cookie.issued_at)
    return Identity(None, None if user is None else str(user))
