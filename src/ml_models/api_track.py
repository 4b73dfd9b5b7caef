"""`POST /api/ml/track/`: what the tracker sends, exactly as the guide shows it. A plain Django view on purpose.

It depends on no global of the host: no REST framework (its permissions, throttles, parsers and authentication would
apply), no CSRF token (a beacon cannot send one; origin and `Sec-Fetch-Site` are checked instead), any content type
(`sendBeacon` posts text/plain), and no transaction of the request (`ATOMIC_REQUESTS`).

The cheapest question comes first, so that a flood costs little: method and origin, the network's limit, the cookie and
its visitor's limit, and only then is the body read.
"""

from __future__ import annotations

import json
import logging
import math
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from ml_models.core.errors import InvalidEvent, SpoolError
from ml_models.data_collection import collector, counters, privacy, wire
from ml_models.data_collection.client import Client, network_of
from ml_models.data_collection.identity import SeenCookie, decide, release_session, seen_cookie, set_cookie
from ml_models.data_collection.limits import limits
from ml_models.data_collection.recent import recent
from ml_models.settings import ApiSettings, get_settings

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["track"]

logger = logging.getLogger("bunoraa.ml")

RETRY_AFTER = 10
"""What a client is asked to wait while events cannot be stored; seconds."""


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    """The client went away before its request was whole."""


class _EveryDatabase(set[str]):
    """What `non_atomic_requests` leaves on a view, for all of the host's databases, whatever their names."""

    def __contains__(self, alias: object) -> bool:
        return True


def _refused(status: int, sentence: str, *, reason: str = "", retry_after: float = 0) -> HttpResponse:
    counters.add(f"track.{status}.{reason}" if reason else f"track.{status}")
    recent.wake()  # its thread writes the counts
    response = HttpResponse(_sentence(sentence), content_type="application/json", status=status)
    if retry_after:
        response["Retry-After"] = str(math.ceil(retry_after))
    # It is counted. A line of Django's log for each would let anybody fill the shop's disk.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@lru_cache(maxsize=32)
def _sentence(text: str) -> bytes:
    return json.dumps({"status": "error", "error": text}).encode()


def _body(request: HttpRequest, limit: int) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > limit:
        raise _TooLarge
    # Not `request.body`: the host's DATA_UPLOAD_MAX_MEMORY_SIZE is a limit for its own forms.
    try:
        body = request.read(limit + 1)
    except OSError as error:  # Django's UnreadablePostError
        raise _Gone from error
    if request.META.get("HTTP_CONTENT_ENCODING", "").lower() == "gzip":
        unpack = zlib.decompressobj(wbits=31)
        try:
            body = unpack.decompress(body, limit + 1)
        except zlib.error as error:
            raise InvalidEvent("malformed", "", "the body is said to be gzip and is not") from error
    if len(body) > limit:
        raise _TooLarge
    return body


def _origin(request: HttpRequest, api: ApiSettings) -> tuple[bool, str | None]:
    """Whether the request may post events, and the foreign origin to answer with CORS headers, if it is one."""
    origin = request.META.get("HTTP_ORIGIN")  # `request.headers` would parse all of them
    if origin and origin.rstrip("/") in {one.rstrip("/") for one in api.allowed_origins}:
        return True, origin
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site:  # the browser's own judgement, right behind any proxy
        return site in ("same-origin", "none"), None
    # Compared without the scheme: TLS may end at a proxy that Django was not told of.
    try:
        return origin is None or urlsplit(origin).netloc == request.get_host(), None
    except ValueError:  # a header may hold anything; no browser sends an origin that is no address
        return False, None


@csrf_exempt
@login_not_required
def track(request: HttpRequest) -> HttpResponse:
    """Take a batch of events; answers 200 only when those that are valid survive a power cut.

    `{"status": "ok", "processed": n}`, with `rejected` where events of the batch broke the schema (they wait in the
    dead letters), and with `consent` (`pending` or `denied`) where the visitor may not be recorded, so that none was
    stored. 400 malformed, 403 foreign origin, 405 not POST, 413 too large, 429 too many requests of the visitor
    or the network, 503 the spool cannot take events; the last two with `Retry-After`.
    """
    settings = get_settings()
    if not settings.enabled:
        return _refused(404, "ML is switched off in this shop (ML_ENABLED is False).")
    allowed, foreign = _origin(request, settings.api)
    if not allowed:
        return _refused(403, 'Events are taken from this site only. Name further origins in ML_API["allowed_origins"].')
    if request.method == "OPTIONS" and foreign:
        response: HttpResponse = HttpResponse(status=204)
        response["Access-Control-Allow-Methods"] = "POST"
        response["Access-Control-Allow-Headers"] = "Content-Type, Content-Encoding"
        response["Access-Control-Max-Age"] = "86400"
    elif request.method != "POST":
        response = _refused(405, "Events are sent by POST.")
        response["Allow"] = "POST"
    else:
        response = _accept(request, settings.api)
        release_session(request)
    response["Cache-Control"] = "no-store"
    if foreign:
        response["Access-Control-Allow-Origin"] = foreign
        response["Access-Control-Allow-Credentials"] = "true"
    if settings.api.allowed_origins:
        response["Vary"] = "Origin"
    return response


track._non_atomic_requests = _EveryDatabase({"default"})  # type: ignore[attr-defined]


def _limited(of: str, seconds: float) -> HttpResponse:
    sentence = f"Too many requests of this {of}. Send them again later, and more events at once."
    return _refused(429, sentence, reason=of, retry_after=seconds)


def _accept(request: HttpRequest, api: ApiSettings) -> HttpResponse:
    meta = request.META
    wait = limits().network(network_of(meta), meta.get("HTTP_X_FORWARDED_FOR"))
    if wait:
        return _limited("network", wait)
    seen = seen_cookie(request)
    wait = limits().visitor(seen.anonymous_id)
    if wait:
        return _limited("visitor", wait)
    try:
        batch = wire.parse(_body(request, api.max_body))
    except _TooLarge:
        return _refused(413, f"The request is larger than {api.max_body} bytes. Send fewer events at once.")
    except InvalidEvent as error:
        return _refused(400, f"The request is malformed ({error}). Send {{'events': [...], 'meta': {{...}}}} as JSON.")
    except _Gone:
        return _refused(400, "The request ended before it was whole.", reason="gone")
    if len(batch.events) > api.max_events:
        return _refused(413, f"The batch has more than {api.max_events} events. Send fewer at once.")
    if not get_settings().data_collection.enabled:
        return JsonResponse({"status": "ok", "processed": 0})
    consent = privacy.consent_of(request.COOKIES, meta)
    if not privacy.may_record(consent):
        return _unrecorded(request, api, consent, batch, seen)
    decision = decide(request, seen, None if seen.identity else wire.session_of(batch))
    client = Client.of(meta)
    try:
        processed, rejected, withdrawn = collector.collect(batch, decision, client, consent)
    except SpoolError:
        logger.exception("Events could not be stored; the client was asked to send them again.")
        sentence = "Events cannot be stored at the moment. Send them again later."
        return _refused(503, sentence, retry_after=RETRY_AFTER)
    answer: dict[str, object] = {"status": "ok", "processed": processed}
    if rejected:
        answer["rejected"] = rejected
    response = JsonResponse(answer)
    if withdrawn:
        _forget_cookie(request, response, api)
    elif decision.issue:
        set_cookie(request, response, decision.identity)
    return response


def _unrecorded(
    request: HttpRequest, api: ApiSettings, consent: str, batch: wire.Batch, seen: SeenCookie
) -> HttpResponse:
    """Answer a visitor who may not be recorded: nothing is stored but, once, that the visitor of the cookie ended.

    The answer says why, so that a tracker may keep what was sent until the visitor has been asked.
    """
    counters.add(f"consent.{consent}", len(batch.events))
    if consent == privacy.DENIED and seen.identity is not None and collector.withdraws(batch):
        try:
            collector.store([collector.withdrawal(seen.identity.anonymous_id, get_settings().site)])
        except SpoolError:
            logger.exception("A denial could not be stored; nothing of the visitor is recorded all the same.")
    response = JsonResponse({"status": "ok", "processed": 0, "consent": consent})
    if consent == privacy.DENIED:
        _forget_cookie(request, response, api)
    return response


def _forget_cookie(request: HttpRequest, response: HttpResponse, api: ApiSettings) -> None:
    if api.cookie_name in request.COOKIES:
        response.delete_cookie(api.cookie_name, path="/", samesite="Lax")
