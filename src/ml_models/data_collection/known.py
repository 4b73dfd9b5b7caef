"""What a request already knows, read without making it know more: no query, no session access, no `Vary: Cookie`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Model
from django.utils.functional import LazyObject, empty

from ml_models.core.ids import uuid7

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest

__all__ = ["known_user", "page_view_id", "user_key"]


def _state(request: HttpRequest) -> dict[str, Any]:
    state = request.__dict__
    inner = state.get("_request")  # a REST framework's request wraps Django's
    return state if inner is None else inner.__dict__


def known_user(request: HttpRequest) -> str | None:
    """External id of the request's user, "" for a guest, where the shop's own code has already read it; else None."""
    state = _state(request)
    user: Any = state.get("user")
    if isinstance(user, LazyObject):
        user = object.__getattribute__(user, "_wrapped")  # past the one of the proxy, which is slow
        if user is empty:
            user = None
    if user is None:  # what Django keeps beside it, which a login or logout in this request leaves as it was
        user = state.get("_cached_user") or state.get("_acached_user")
    if user is None:
        return None
    return str(user.pk) if getattr(user, "is_authenticated", False) else ""


def user_key(user: Any) -> str:
    """External id of a user, from the user or the id itself; "" for a guest."""
    # Not str() of a user: that may be a name or an e-mail address.
    if isinstance(user, Model | LazyObject) or hasattr(user, "is_authenticated"):
        return "" if user.pk is None else str(user.pk)
    return str(user)


def page_view_id(request: HttpRequest, at: datetime | None = None) -> str:
    """Id of this page view, the same for every event of the request and, by `Server-Timing`, for the tracker.

    `at`: the present, where the caller has asked the clock already.
    """
    state = _state(request)
    found: str | None = state.get("ml_page_view_id")
    if found is None:
        found = state["ml_page_view_id"] = uuid7(at)
    return found
