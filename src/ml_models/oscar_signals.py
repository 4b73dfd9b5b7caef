"""Ready listeners for django-oscar: what its signals and its basket's lines say, as events.

Connected where Oscar is installed, in force where `ML_CATALOG` has the preset `oscar`. Oscar sends most of its signals
with `send`: whatever escaped a receiver would break the shop's page, so nothing does. Models are asked of Oscar's
registry, for forked apps. What its signals leave open is decided here:

- The basket has a signal for additions only, without a quantity, and none for removals. The lines themselves say both.
  Only lines of an open basket that belongs to a request count: at a login Oscar moves the guest's lines to the user's
  basket before it has a request, and what leaves a basket because it was ordered is no change of mind.
- After an addition Oscar shows the product's page once more. The page that follows itself is no second view.
- Orders are placed inside the shop's transaction and without a request: the outbox. The end of the checkout says who.
- Views name the parent, baskets and orders the child: events name the parent, and the child as variant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from django.db.models.signals import post_delete, post_init, post_save

from ml_models import signals
from ml_models.adapters.build import get_catalogue
from ml_models.data_collection import counters
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["connect"]

logger = logging.getLogger("bunoraa.ml")

_BEFORE = "_ml_before"
"""Attribute of a line: quantity and basket as the database has them."""


def connect() -> None:
    """Listen to Oscar. Harmless to repeat; needs Oscar installed and the models loaded."""
    from oscar.apps.basket.abstract_models import AbstractBasket
    from oscar.apps.catalogue.reviews.signals import review_added
    from oscar.apps.catalogue.signals import product_viewed
    from oscar.apps.checkout.signals import post_checkout, start_checkout
    from oscar.apps.order.signals import order_placed, order_status_changed
    from oscar.apps.search.signals import user_search
    from oscar.core.loading import get_model

    global _OPEN, _SAVED
    _OPEN, _SAVED = AbstractBasket.OPEN, AbstractBasket.SAVED
    line = get_model("basket", "Line")
    for signal, receiver, sender in (
        (product_viewed, _product_viewed, None),
        (user_search, _user_search, None),
        (start_checkout, _start_checkout, None),
        (order_placed, _order_told, None),
        (order_status_changed, _order_told, None),
        (post_checkout, _post_checkout, None),
        (review_added, _review_added, None),
        (post_init, _line_loaded, line),
        (post_save, _line_saved, line),
        (post_delete, _line_deleted, line),
    ):
        signal.connect(receiver, sender=sender, dispatch_uid=f"ml_models.oscar.{receiver.__name__}")


_OPEN = _SAVED = ""


def _safely(receiver: Callable[..., None]) -> Callable[..., None]:
    """In force under the preset only; nothing escapes."""

    @wraps(receiver)
    def guarded(sender: Any, **kwargs: Any) -> None:
        try:
            settings = get_settings()
            if settings.enabled and settings.catalog.get("preset") == "oscar" and not kwargs.get("raw"):
                receiver(sender=sender, **kwargs)
        except Exception:  # Oscar's `send` would hand it to the shop's page
            counters.add("oscar.failed")
            logger.exception("A signal of Oscar (%s) could not be recorded.", receiver.__name__)

    return guarded


def _named(product: Any) -> dict[str, Any]:
    """The parent as `product`, a child as `variant`; asks no relation."""
    parent = getattr(product, "parent_id", None)
    return {"product": product} if parent is None else {"product": str(parent), "variant": product}


# -- signals ------------------------------------------------------------------------------------------


@_safely
def _product_viewed(sender: Any, product: Any, request: HttpRequest, **kwargs: Any) -> None:
    if unquote(urlsplit(request.META.get("HTTP_REFERER", "")).path) == request.path:
        # What the page shows after an addition; the middleware must not take it for a view either.
        request.__dict__["ml_product_viewed"] = True
        return
    named = _named(product)
    child: dict[str, Any] = {"variant_id": str(product.pk)} if "variant" in named else {}
    signals.emit_product_view(request, named["product"], **child)


@_safely
def _user_search(sender: Any, query: str = "", **kwargs: Any) -> None:
    request = getattr(sender, "request", None)  # the view; the signal itself has none
    # The second page of the results is no second search.
    if query and (request is None or request.GET.get("page", "1") == "1"):
        signals.emit_search(request, query)


@_safely
def _start_checkout(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
    signals.emit_checkout_start(request)


@_safely
def _order_told(sender: Any, order: Any, **kwargs: Any) -> None:
    signals.record_order(order)
    cached = order._state.fields_cache.get("basket")
    if cached is not None:
        cached._ml_ordered = True


@_safely
def _post_checkout(sender: Any, order: Any, request: HttpRequest, **kwargs: Any) -> None:
    signals.emit_purchase(request, order)


@_safely
def _review_added(sender: Any, review: Any, request: HttpRequest, **kwargs: Any) -> None:
    product = get_catalogue().canonical([str(review.product_id)])[str(review.product_id)]
    signals.emit_review_submit(request, product, rating=review.score)


# -- lines of the basket ------------------------------------------------------------------------------


def _line_loaded(sender: Any, instance: Any, **kwargs: Any) -> None:
    """Note what the database has; called for every line that is loaded, so it looks at nothing but the instance."""
    state = instance.__dict__
    if "quantity" in state and state.get(sender._meta.pk.attname) is not None:
        state[_BEFORE] = state["quantity"], state.get("basket_id")


@_safely
def _line_saved(sender: Any, instance: Any, created: bool = False, update_fields: Any = None, **kwargs: Any) -> None:
    if update_fields is not None and {"quantity", "basket"}.isdisjoint(update_fields):
        return
    before, basket = instance.__dict__.get(_BEFORE, (0, instance.basket_id))
    instance.__dict__[_BEFORE] = instance.quantity, instance.basket_id
    if created:
        _change(instance, instance.quantity)
    elif basket == instance.basket_id:
        _change(instance, instance.quantity - before)
    elif _request(instance) is not None:  # saved for later, or taken back from there
        now, then = instance.basket, type(instance.basket)._base_manager.filter(pk=basket)
        if now.status == _SAVED:
            _change(instance, -before, status=_SAVED)
        elif then.values_list("status", flat=True).first() == _SAVED:
            _change(instance, instance.quantity)


@_safely
def _line_deleted(sender: Any, instance: Any, **kwargs: Any) -> None:
    before, _ = instance.__dict__.get(_BEFORE, (instance.quantity, None))
    _change(instance, -before)


def _request(line: Any) -> HttpRequest | None:
    """The request that a line's basket was made for."""
    basket = line._state.fields_cache.get("basket")
    strategy = None if basket is None else basket.__dict__.get("_strategy")
    found: HttpRequest | None = getattr(strategy, "request", None)
    return found


def _change(line: Any, by: int, *, status: str | None = None) -> None:
    request = _request(line)
    if by == 0 or request is None or getattr(line.basket, "_ml_ordered", False):
        return
    if line.basket.status != (_OPEN if status is None else status):
        return
    product = line._state.fields_cache.get("product")
    if product is not None:
        named = _named(product)
    else:  # a line that was there before; one query, in a request that has just written to the same tables
        child = str(line.product_id)
        parent = get_catalogue().canonical([child])[child]
        named = {"product": parent} if parent == child else {"product": parent, "variant": line.product_id}
    emit = signals.emit_cart_add if by > 0 else signals.emit_cart_remove
    emit(request, quantity=abs(by), **named)
