"""Tracking middleware: page and product views of HTML pages, without the page waiting for it.

Neither class runs a query, waits, raises, sets a cookie or touches `request.user` and `request.session` (that would add
`Vary: Cookie` and cost the shop its page cache); the answer to a logout alone ends the visitor's cookie. Both add the
id of the page view as `Server-Timing: ml;desc="<id>"`: the tracker in the page sends the same id, and where its row
arrives the row of the middleware is not read (`ml_models.core.authority`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.views.generic.detail import SingleObjectMixin
from django.views.generic.edit import DeletionMixin, ModelFormMixin
from django.views.generic.list import MultipleObjectMixin

from ml_models.data_collection import counters
from ml_models.data_collection.privacy import consent_of, may_record
from ml_models.data_collection.products import external_id, id_path, product_model
from ml_models.data_collection.queue import queue
from ml_models.data_collection.sighting import Fact, Sighting, Views
from ml_models.settings import TrackingSettings, get_settings

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from django.urls import ResolverMatch

__all__ = ["MLProductTrackingMiddleware", "MLTrackingMiddleware"]

logger = logging.getLogger("bunoraa.ml")

_OURS = re.compile(r'(?<![\w-])ml;desc="[^"]*"')
_SEEN = "ml_sighting"
"""Where a request keeps its sighting: where the two classes stand apart, the second need not look again."""
_PAGE_VIEW: Fact = ("page_view", None)
_PRODUCT = "ml_product_id"
"""Where a response keeps the product it shows: an attribute outlives the page cache, which drops the context."""


class _Tracking:
    """What both have in common: run the page, then record what it says."""

    sync_capable = True
    async_capable = True
    get_response: Callable[[HttpRequest], Any]

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._is_async = iscoroutinefunction(get_response)
        self._parts: tuple[_Tracking, ...] = (self,)
        # Where the other of the two stands directly inside, as the guide has it, one pass records for both: Django
        # wraps each middleware once more, and a page pays for every layer.
        inner = getattr(get_response, "__wrapped__", None)
        if isinstance(inner, _Tracking) and type(inner) is not type(self) and inner._is_async == self._is_async:
            get_response = inner.get_response
            self._parts = (*inner._parts, self)
        self.get_response = get_response
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
            if "ml_logged_out" in request.__dict__:
                _end_visitor(request, response)
            # The cheapest question first: most of what a shop answers beside pages ends here.
            if response.status_code != 200 or request.method != "GET":
                return
            settings = get_settings()
            if not (settings.enabled and settings.data_collection.enabled):
                return
            tracking = settings.tracking
            facts = [fact for part in self._parts if (fact := part._fact(request, response, tracking))]
            if not facts:
                return
            sighting = request.__dict__.get(_SEEN)
            if sighting is None:
                if not _is_page(request, response, tracking):
                    return
                consent = consent_of(request.COOKIES, request.META, settings)
                if not may_record(consent):
                    counters.add(f"consent.{consent}", len(facts))
                    return
                sighting = request.__dict__[_SEEN] = Sighting.of(request, settings, consent)
                _announce(response, sighting.view_id)
            queue.put(Views(facts, sighting))
        except Exception:  # recording must never break a page, whatever a shop's views and responses are made of
            if counters.add("middleware.failed") % 1000 == 1:
                logger.exception("A page view could not be recorded. Counted from here.")

    def _fact(self, request: HttpRequest, response: HttpResponseBase, tracking: TrackingSettings) -> Fact | None:
        """What this page says to this class, None for nothing."""
        raise NotImplementedError


class MLTrackingMiddleware(_Tracking):
    """Records a `page_view` for each HTML page a browser was shown."""

    def _fact(self, request: HttpRequest, response: HttpResponseBase, tracking: TrackingSettings) -> Fact | None:
        return _PAGE_VIEW if tracking.track_page_views else None


class MLProductTrackingMiddleware(_Tracking):
    """Records a `product_view` for each product page.

    A product page is one whose view is marked with `decorators.product_page`, or whose class-based view or template
    context shows one object of the model `ML_CATALOG` maps, without a form that edits or deletes it. A view that calls
    `emit_product_view` itself has said so already.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if self._is_async:  # Django would otherwise send each page of a template through a thread
            self.process_template_response = self._aprocess_template_response  # type: ignore[method-assign]

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        """Note the product that the context names, before a page cache stores the response without its context."""
        try:
            product_id = _of_context(request.resolver_match, response)
            if product_id:
                response.ml_product_id = product_id
        except Exception:  # as in `_record`
            if counters.add("middleware.failed") % 1000 == 1:
                logger.exception("The product of a page could not be told. Counted from here.")
        return response

    async def _aprocess_template_response(self, request: HttpRequest, response: Any) -> Any:
        return MLProductTrackingMiddleware.process_template_response(self, request, response)

    def _fact(self, request: HttpRequest, response: HttpResponseBase, tracking: TrackingSettings) -> Fact | None:
        product_id = _product_id(request, response) if tracking.track_product_views else ""
        return ("product_view", product_id) if product_id else None


def _product_id(request: HttpRequest, response: HttpResponseBase) -> str:
    if "ml_product_viewed" in request.__dict__:
        return ""
    match = request.resolver_match
    if match is not None:
        arg = getattr(match.func, "ml_product_arg", "")
        if arg is None:
            return ""
        if arg:
            return str(match.kwargs.get(arg, ""))
    found: str | None = response.__dict__.get(_PRODUCT)
    if found is not None or match is None:
        return found or ""
    shown = getattr(match.func, "view_class", None)
    if shown is not None and "pk" in match.kwargs:
        model = product_model()
        if model is not None and _shows(shown, model):
            key = model._meta.pk
            if id_path() in ("pk", key.name if key else "pk"):
                return str(match.kwargs["pk"])
    return ""


def _of_context(match: ResolverMatch | None, response: Any) -> str:
    """The product that a `TemplateResponse` shows by its context, "" for none; no template is looked into."""
    context, model = getattr(response, "context_data", None), product_model()  # none on a page from a cache
    if model is None or not isinstance(context, dict):
        return ""
    if match is not None:
        shown = getattr(match.func, "view_class", None)
        if "admin" in match.app_names or (isinstance(shown, type) and issubclass(shown, _NOT_SHOWN)):
            return ""
    for name in ("object", "product"):
        found = context.get(name)
        # Not isinstance on anything lazy: asking a lazy object for its class runs its query.
        if issubclass(type(found), model):
            return external_id(found)
    return ""


def _end_visitor(request: HttpRequest, response: HttpResponseBase) -> None:
    """Take the visitor's cookie away with the answer to a logout, which ends the session's cookie as well."""
    name = get_settings().api.cookie_name
    if name in request.COOKIES:
        response.delete_cookie(name, path="/", samesite="Lax")


def _path(request: HttpRequest) -> str:
    """The path as the shop's URLs have it: without the prefix of a mount point or a language."""
    path, language = request.path_info, request.__dict__.get("LANGUAGE_CODE")
    return path[len(language) + 1 :] if language and path.startswith(f"/{language}/") else path


def _is_page(request: HttpRequest, response: HttpResponseBase, tracking: TrackingSettings) -> bool:
    """Whether a person is shown this page now: not a part of one fetched by a script, not fetched ahead of time."""
    if not response.headers.get("Content-Type", "").startswith("text/html"):
        return False
    if _path(request).startswith(tracking.exclude_paths):
        return False
    meta = request.META
    if meta.get("HTTP_SEC_FETCH_DEST", "document") != "document":
        return False
    # A browser inside an app names the app there, on every page.
    if meta.get("HTTP_X_REQUESTED_WITH", "").lower() == "xmlhttprequest":
        return False
    return "prefetch" not in meta.get("HTTP_SEC_PURPOSE", "") and "prefetch" not in meta.get("HTTP_PURPOSE", "")


def _announce(response: HttpResponseBase, view_id: str) -> None:
    ours, others = f'ml;desc="{view_id}"', response.headers.get("Server-Timing")
    if others is None:
        response.headers["Server-Timing"] = ours
    elif _OURS.search(others):  # the page comes from a cache, with the id of the view it was made for
        response.headers["Server-Timing"] = _OURS.sub(ours, others)
    else:
        response.headers["Server-Timing"] = f"{others}, {ours}"


_NOT_SHOWN = (ModelFormMixin, DeletionMixin, MultipleObjectMixin)
"""Views that name a product to edit or delete it, to write a review of it, or to list things that belong to it."""


def _shows(view: type, model: type) -> bool:
    """Whether a class-based view is the page of one object of the model, so that its `pk` is that object's."""
    if not issubclass(view, SingleObjectMixin) or issubclass(view, _NOT_SHOWN):
        return False
    shown = getattr(view, "model", None)
    if shown is None:
        shown = getattr(getattr(view, "queryset", None), "model", None)
    return isinstance(shown, type) and issubclass(shown, model)
