"""Tracking middleware: page and product views of HTML pages, without the page waiting for it.

Neither class runs a query, waits, raises, sets a cookie or touches `request.user` and `request.session` (that would add
`Vary: Cookie` and cost the shop its page cache). Both add the id of the page view as `Server-Timing: ml;desc="<id>"`:
the tracker in the page sends the same id, and where its row arrives the row of the middleware is not read
(`ml_models.core.authority`).
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from ml_models.core import clock
from ml_models.core.event import NAMESPACE, Event
from ml_models.data_collection import bots, counters
from ml_models.data_collection.client import HEADERS, Client, sender_of
from ml_models.data_collection.identity import Identity, verify
from ml_models.data_collection.known import known_user, page_view_id
from ml_models.data_collection.privacy import clean_url, consent_of, may_record
from ml_models.data_collection.products import external_id, id_path, product_model
from ml_models.data_collection.queue import queue
from ml_models.settings import MLSettings, get_settings

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["MLProductTrackingMiddleware", "MLTrackingMiddleware"]

logger = logging.getLogger("bunoraa.ml")

_OURS = re.compile(r'(?<![\w-])ml;desc="[^"]*"')
_HEADERS = (*HEADERS, "HTTP_REFERER", "QUERY_STRING")


class _Tracking:
    """What both have in common: run the page, then record."""

    sync_capable = True
    async_capable = True
    event_type: str

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        response: HttpResponseBase = self.get_response(request)
        self._record(request, response)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        self._record(request, response)
        return response

    def _record(self, request: HttpRequest, response: HttpResponseBase) -> None:
        try:
            # The cheapest question first: most of what a shop answers beside pages ends here.
            if response.status_code != 200 or request.method != "GET":
                return
            if not response.headers.get("Content-Type", "").startswith("text/html"):
                return
            settings = get_settings()
            if not (settings.enabled and settings.data_collection.enabled and self._wanted(settings)):
                return
            if _path(request).startswith(settings.tracking.exclude_paths) or not _is_page(request):
                return
            product_id = self._product_id(request, response)
            if product_id == "":
                return
            consent = consent_of(request.COOKIES, request.META, settings)
            if not may_record(consent):
                counters.add(f"consent.{consent}")
                return
            view_id = page_view_id(request)
            _announce(response, view_id)
            queue.put(_Entry(self.event_type, request, settings, view_id, product_id, consent))
        except Exception:  # recording must never break a page, whatever a shop's views and responses are made of
            if counters.add("middleware.failed") % 1000 == 1:
                logger.exception("A page view could not be recorded. Counted from here.")

    def _wanted(self, settings: MLSettings) -> bool:
        raise NotImplementedError

    def _product_id(self, request: HttpRequest, response: HttpResponseBase) -> str | None:
        """The product this page is about, None where that does not matter, "" for nothing to record."""
        raise NotImplementedError


class MLTrackingMiddleware(_Tracking):
    """Records a `page_view` for each HTML page a browser was shown."""

    event_type = "page_view"

    def _wanted(self, settings: MLSettings) -> bool:
        return settings.tracking.track_page_views

    def _product_id(self, request: HttpRequest, response: HttpResponseBase) -> str | None:
        return None


class MLProductTrackingMiddleware(_Tracking):
    """Records a `product_view` for each product page.

    A product page is one whose view is marked with `decorators.product_page`, whose context's object is of the model
    `ML_CATALOG` maps, or whose class-based view shows that model and takes its key from the URL. A view that calls
    `emit_product_view` itself has said so already.
    """

    event_type = "product_view"

    def _wanted(self, settings: MLSettings) -> bool:
        return settings.tracking.track_product_views

    def _product_id(self, request: HttpRequest, response: HttpResponseBase) -> str:
        match = request.resolver_match
        if match is None or "ml_product_viewed" in request.__dict__:
            return ""
        arg = getattr(match.func, "ml_product_arg", None)
        if arg is not None:
            return str(match.kwargs.get(arg, ""))
        model = product_model()
        if model is None:
            return ""
        context = getattr(response, "context_data", None)  # of a TemplateResponse; no template is looked into
        if isinstance(context, dict):
            for name in ("object", "product"):
                found = context.get(name)
                # Not isinstance on anything lazy: asking a lazy object for its class runs its query.
                if issubclass(type(found), model):
                    return external_id(found)
        shown = getattr(match.func, "view_class", None)
        if shown is not None and "pk" in match.kwargs and _shows(shown, model):
            key = model._meta.pk
            if id_path() in ("pk", key.name if key else "pk"):
                return str(match.kwargs["pk"])
        return ""


class _Entry:
    """A view as the request knew it; the event is built by the queue's thread."""

    __slots__ = (
        *("at", "bare", "consent", "cookie", "event_type", "host", "meta", "path", "product_id", "settings"),
        *("user_id", "view_id"),
    )

    def __init__(
        self,
        event_type: str,
        request: HttpRequest,
        settings: MLSettings,
        view_id: str,
        product_id: str | None,
        consent: str,
    ) -> None:
        self.event_type = event_type
        self.at: datetime = clock.now()
        self.cookie = request.COOKIES.get(settings.api.cookie_name)
        # Not the whole of META: entries wait in memory while the spool refuses.
        self.meta = {name: request.META.get(name, "") for name in _HEADERS}
        self.bare = not request.META.get("HTTP_COOKIE") and not request.META.get("HTTP_ACCEPT_LANGUAGE")
        self.consent = consent
        self.host = request.META.get("HTTP_HOST", "").lower()
        self.path = request.path
        self.product_id = product_id
        self.settings = settings
        self.user_id = known_user(request)
        self.view_id = view_id

    def __call__(self) -> Event:
        identity, _ = verify(self.cookie)
        if identity is not None and self.user_id is not None and identity.user_id not in (None, self.user_id):
            identity = None  # the cookie still names the user before this one, or the one who has just logged out
        client = self._client(identity)
        query = self.meta["QUERY_STRING"]
        return Event(
            event_id=str(uuid.uuid5(NAMESPACE, f"middleware:{self.event_type}:{self.view_id}")),
            event_type=self.event_type,
            event_time=self.at,
            received_at=self.at,
            source="middleware",
            site=self.settings.site,
            anonymous_id=identity.anonymous_id if identity else None,
            user_id=self.user_id or (identity.user_id if identity else None),
            page_view_id=self.view_id,
            page_url=clean_url(_text(f"{self.path}?{query}" if query else self.path)) or None,
            referrer=clean_url(_text(self.meta["HTTP_REFERER"]), own=self.host) or None,
            product_id=self.product_id,
            consent=self.consent,
            **client.columns(),
        )

    def _client(self, identity: Identity | None) -> Client:
        """The sender, flagged where it behaves like no person."""
        client = Client.of(self.meta)
        sender: object = identity.anonymous_id if identity else sender_of(self.meta)
        if self.event_type == "page_view":
            most = bots.PAGES if identity else bots.PAGES_WITHOUT_COOKIE
            fast = bots.pace.page(sender, self.at.timestamp(), most)
        else:
            fast = bots.pace.too_fast(sender)
        if self.bare:
            return client.flagged("bare_request")
        return client.flagged("pace") if fast else client


def _text(header: str) -> str:
    # A header may hold any byte; what is no text would not survive the encoding.
    return header.encode("utf-8", "replace").decode()


def _path(request: HttpRequest) -> str:
    """The path as the shop's URLs have it: without the prefix of a mount point or a language."""
    path, language = request.path_info, request.__dict__.get("LANGUAGE_CODE")
    return path[len(language) + 1 :] if language and path.startswith(f"/{language}/") else path


def _is_page(request: HttpRequest) -> bool:
    """Whether a person is shown this page now: not a part of one fetched by a script, not fetched ahead of time."""
    meta = request.META
    if meta.get("HTTP_SEC_FETCH_DEST", "document") != "document" or "HTTP_X_REQUESTED_WITH" in meta:
        return False
    return "prefetch" not in meta.get("HTTP_SEC_PURPOSE", "") and "prefetch" not in meta.get("HTTP_PURPOSE", "")


def _announce(response: HttpResponseBase, view_id: str) -> None:
    ours, others = f'ml;desc="{view_id}"', response.headers.get("Server-Timing")
    if others is None:
        response.headers["Server-Timing"] = ours
    elif ours in others:  # the other middleware was here
        return
    elif _OURS.search(others):  # the page comes from a cache, with the id of the view it was made for
        response.headers["Server-Timing"] = _OURS.sub(ours, others)
    else:
        response.headers["Server-Timing"] = f"{others}, {ours}"


def _shows(view: type, model: type) -> bool:
    shown = getattr(view, "model", None)
    if shown is None:
        shown = getattr(getattr(view, "queryset", None), "model", None)
    return isinstance(shown, type) and issubclass(shown, model)
