"""Views of the API: request -> query -> one service call -> JSON.

Plain Django views that pin their own rules, so that nothing global of the host (transactions per request, a login wall,
a REST framework's permissions, throttles and parsers) reaches them.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from django.contrib.auth.decorators import login_not_required
from django.db import Error as DatabaseError
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from ml_models.api_track import track
from ml_models.core.errors import InvalidQuery, MLError
from ml_models.core.ids import MAX_ID
from ml_models.core.query import Query
from ml_models.data_collection.identity import release_session, visitor_of
from ml_models.services import recommend
from ml_models.serving.answer import Answer
from ml_models.settings import get_settings

__all__ = ["recommendations", "track"]

log = logging.getLogger("bunoraa.ml.api")

MAX_EXCLUDE = 1000
"""Most ids in `exclude`; count."""

_encode = msgspec.json.Encoder().encode


@csrf_exempt  # it changes nothing; the host's CSRF page would hide the answer to a wrong method
@login_not_required
@non_atomic_requests
def recommendations(request: HttpRequest) -> HttpResponse:
    """`GET recommendations/?type=&limit=&product_id=&exclude=`: a list of products for the visitor of the cookie.

    200 `{"status": "ok", "recommendations": [{"product_id", "score"}, ...], "meta": {"type", "sources", "fallback"}}`,
    400 for a wrong parameter, 404 where `ML_ENABLED` is False, 405 for another method, 503 where the settings are
    wrong or the shop's products cannot be read; every error is `{"status": "error", "error": "<sentence>"}`.
    """
    try:
        if not get_settings().enabled:
            return _error(404, "ML is switched off in this shop (ML_ENABLED is False).")
        if request.method not in ("GET", "HEAD"):
            response = _error(405, "Recommendations are read with GET.")
            response.headers["Allow"] = "GET, HEAD"
            return response
        query = _query(request)
        release_session(request)
        answer = recommend(query)
    except InvalidQuery as error:
        return _error(400, str(error))
    except (MLError, DatabaseError):
        # The reason is for the log: it may name settings and tables that are no business of the public.
        log.exception("No recommendations can be made. Look for the reason with: python manage.py check")
        return _error(503, "The shop's products cannot be read right now. Try again later.")
    return _json(200, _body(answer))


def _query(request: HttpRequest) -> Query:
    given = request.GET
    list_type = given.get("type") or "personalized"
    return Query(
        type=list_type,
        limit=_limit(given.get("limit")),
        visitor=visitor_of(request).key,
        product_id=_id(given.get("product_id") or ""),
        exclude=_exclude(given.getlist("exclude")),
    )


def _limit(text: str | None) -> int:
    api = get_settings().api
    if text is None:
        return api.default_limit
    # Not int(): it takes "1_0", " 5 " and Arabic-Indic digits.
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= api.max_limit):
        raise InvalidQuery(f"limit must be a whole number from 1 to {api.max_limit}, not {text[:20]!r}.")
    return int(text)


def _id(text: str) -> str | None:
    text = text.strip()
    if len(text) > MAX_ID or not text.isprintable():
        raise InvalidQuery(f"A product id has at most {MAX_ID} printable characters.")
    return text or None


def _exclude(values: list[str]) -> frozenset[str]:
    ids = frozenset(found for value in values for part in value.split(",") if (found := _id(part)))
    if len(ids) > MAX_EXCLUDE:
        raise InvalidQuery(f"exclude names {len(ids)} products, but may name at most {MAX_EXCLUDE}.")
    return ids


def _body(answer: Answer) -> dict[str, Any]:
    return {
        "status": "ok",
        "recommendations": answer.items,
        "meta": {"type": answer.type, "sources": answer.sources, "fallback": answer.fallback},
    }


def _error(status: int, sentence: str) -> HttpResponse:
    return _json(status, {"status": "error", "error": sentence})


def _json(status: int, body: Any) -> HttpResponse:
    return HttpResponse(
        _encode(body),
        status=status,
        content_type="application/json",
        # Made for one visitor at one moment: no cache may keep it, and one that does must not share it.
        headers={"Cache-Control": "private, no-store", "Vary": "Cookie"},
    )
