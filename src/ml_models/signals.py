"""Events from the shop's views: `emit_product_view`, `emit_cart_add`, ... Recording never breaks a page.

Each takes the request first (Django's or a REST framework's; None outside a request), puts one event into the
background queue and returns. None waits, runs a query, touches the session or raises; what goes wrong is counted and
logged under `bunoraa.ml`. `product` is an instance of the shop's model or an id of any type. Prices are in major units
(`Decimal("99.99")`). Further keyword arguments are kept in the event's `data`.

Logging in gives the guest's recent items to the user, here; the cookie and the lake follow with the next track request
(see `data_collection.identity`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_in
from django.db.models import Model

from ml_models.core.event import EventType, purchase_id
from ml_models.data_collection import counters
from ml_models.data_collection.client import Client
from ml_models.data_collection.events import record
from ml_models.data_collection.identity import Identity, read_cookie, visitor_key
from ml_models.data_collection.known import known_user, page_view_id
from ml_models.data_collection.products import external_id
from ml_models.data_collection.recent import recent
from ml_models.settings import get_settings

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = [
    "emit_cart_add",
    "emit_cart_remove",
    "emit_cart_update",
    "emit_cart_view",
    "emit_checkout_start",
    "emit_checkout_step",
    "emit_custom",
    "emit_product_click",
    "emit_product_list_view",
    "emit_product_view",
    "emit_purchase",
    "emit_refund",
    "emit_review_submit",
    "emit_search",
    "emit_wishlist_add",
    "emit_wishlist_remove",
]

logger = logging.getLogger("bunoraa.ml")


def _emit(request: HttpRequest | None, event_type: EventType, **fields: Any) -> str | None:
    """Record one event of the request's visitor; keys that are no columns go to `data`."""
    try:
        event_id, user_id = None, fields.pop("user_id", None)
        if fields.get("order_id") is not None:
            fields["order_id"] = external_id(fields["order_id"])
        elif event_type in (EventType.PURCHASE, EventType.REFUND):
            raise ValueError("The order has no id. Save it first, or all such orders would pass for one.")
        if event_type is EventType.PURCHASE:
            event_type, event_id = _purchase(fields["order_id"])
        elif event_type is EventType.PRODUCT_VIEW and request is not None:
            getattr(request, "_request", request).__dict__["ml_product_viewed"] = (
                True  # the middleware then adds no copy
            )
        if "product" in fields:
            product = fields.pop("product")
            fields["product_id"] = None if product is None else external_id(product)
        if isinstance(fields.get("items"), Iterable) and not isinstance(fields["items"], str | Mapping):
            fields["items"] = [_item(one) for one in fields["items"]]
        client, identity = None, Identity()
        if request is not None:
            client = Client.of(request.META)
            identity = read_cookie(request) or identity
            user_id = known_user(request) if user_id is None else user_id
            fields.setdefault("page_view_id", page_view_id(request))
            fields.setdefault("page_url", request.path)
        if user_id is not None and identity.user_id not in (None, str(user_id)):
            identity = Identity()  # the cookie still names the user before this one, or one who has logged out
        return record(
            event_type,
            fields,
            user_id=identity.user_id if user_id is None else str(user_id) or None,
            anonymous_id=identity.anonymous_id,
            client=client,
            event_id=event_id,
        )
    except Exception:  # whatever a shop's objects do when asked for an id must not break its page
        counters.add("emit.failed")
        logger.exception("An event (%s) could not be recorded.", event_type)
        return None


def _item(one: Any) -> dict[str, Any]:
    """An item as a mapping, from a mapping, a product or an id."""
    if not isinstance(one, Mapping):
        return {"product_id": external_id(one)}
    given = dict(one)
    if "product" in given:
        given["product_id"] = external_id(given.pop("product"))
    elif isinstance(given.get("product_id"), Model):
        given["product_id"] = external_id(given["product_id"])
    return given


def emit_product_view(
    request: HttpRequest | None, product: Any, source_page: str | None = None, position: int | None = None, **data: Any
) -> str | None:
    """A product page was shown; `source_page` and `position` say where the visitor came from."""
    return _emit(request, EventType.PRODUCT_VIEW, product=product, source_page=source_page, position=position, **data)


def emit_product_click(
    request: HttpRequest | None, product: Any, position: int | None = None, **data: Any
) -> str | None:
    """A product was clicked in a list."""
    return _emit(request, EventType.PRODUCT_CLICK, product=product, position=position, **data)


def emit_product_list_view(request: HttpRequest | None, products: Iterable[Any] = (), **data: Any) -> str | None:
    """A list of products was shown. Give products that are loaded: a lazy queryset is evaluated here."""
    return _emit(request, EventType.PRODUCT_LIST_VIEW, items=products, **data)


def emit_search(
    request: HttpRequest | None, query: str, results_count: int | None = None, search_id: str | None = None, **data: Any
) -> str | None:
    """A search was answered."""
    return _emit(request, EventType.SEARCH, query=query, results_count=results_count, search_id=search_id, **data)


def emit_cart_add(
    request: HttpRequest | None, product: Any, quantity: int = 1, variant: Any = None, **data: Any
) -> str | None:
    """A product was put into the cart. `variant` is an instance, an id or a label such as `blue-large`."""
    return _emit(request, EventType.CART_ADD, product=product, quantity=quantity, **_variant(variant), **data)


def emit_cart_remove(
    request: HttpRequest | None, product: Any, quantity: int = 1, variant: Any = None, **data: Any
) -> str | None:
    """A product was taken out of the cart."""
    return _emit(request, EventType.CART_REMOVE, product=product, quantity=quantity, **_variant(variant), **data)


def emit_cart_update(
    request: HttpRequest | None, product: Any, quantity: int, variant: Any = None, **data: Any
) -> str | None:
    """The quantity of a product in the cart was set to `quantity`."""
    return _emit(request, EventType.CART_UPDATE, product=product, quantity=quantity, **_variant(variant), **data)


def emit_cart_view(request: HttpRequest | None, **data: Any) -> str | None:
    """The cart was looked at."""
    return _emit(request, EventType.CART_VIEW, **data)


def emit_checkout_start(request: HttpRequest | None, **data: Any) -> str | None:
    """The checkout was entered."""
    return _emit(request, EventType.CHECKOUT_START, **data)


def emit_checkout_step(
    request: HttpRequest | None, step: int | None = None, step_name: str | None = None, **data: Any
) -> str | None:
    """A step of the checkout was reached."""
    return _emit(request, EventType.CHECKOUT_STEP, step=step, step_name=step_name, **data)


def emit_purchase(
    request: HttpRequest | None,
    order_id: Any,
    items: Iterable[Any] = (),
    currency: str | None = None,
    user_id: Any = None,
    **data: Any,
) -> str | None:
    """An order was placed. `items` are products, ids or mappings (`product`, `quantity`, `price`, `variant_id`).

    Where `ML_CATALOG` maps the orders, they are the truth and `ml_sync` reads them: this is then a hint for
    attribution (`purchase_seen`). Where it does not, this is the purchase, with the id that follows from the order's.
    """
    return _emit(
        request,
        EventType.PURCHASE,
        order_id=order_id,
        items=items,
        currency=currency,
        user_id=user_id,
        **data,
    )


def _purchase(order_id: str) -> tuple[EventType, str | None]:
    """Which fact an order placed is, and its id where that follows from the order's."""
    settings = get_settings()
    if "order" in settings.catalog or "order_line" in settings.catalog:
        return EventType.PURCHASE_SEEN, None
    return EventType.PURCHASE, purchase_id(settings.site, order_id)


def emit_refund(request: HttpRequest | None, order_id: Any, items: Iterable[Any] = (), **data: Any) -> str | None:
    """An order, or the given items of it, was refunded."""
    return _emit(request, EventType.REFUND, order_id=order_id, items=items, **data)


def emit_wishlist_add(request: HttpRequest | None, product: Any, **data: Any) -> str | None:
    """A product was put on a wish list."""
    return _emit(request, EventType.WISHLIST_ADD, product=product, **data)


def emit_wishlist_remove(request: HttpRequest | None, product: Any, **data: Any) -> str | None:
    """A product was taken off a wish list."""
    return _emit(request, EventType.WISHLIST_REMOVE, product=product, **data)


def emit_review_submit(
    request: HttpRequest | None, product: Any, rating: float | None = None, **data: Any
) -> str | None:
    """A review was written; its text is no business of the lake."""
    return _emit(request, EventType.REVIEW_SUBMIT, product=product, rating=rating, **data)


def emit_custom(request: HttpRequest | None, action: str, **data: Any) -> str | None:
    """Anything else the shop wants to know."""
    return _emit(request, EventType.CUSTOM, data={"action": action, **data})


def _variant(variant: Any) -> dict[str, Any]:
    """An instance or a UUID or number is an id; text is kept as the guide shows it, a label in `data`."""
    if variant is None:
        return {}
    return {"variant": variant} if isinstance(variant, str) else {"variant_id": external_id(variant)}


# -- login ------------------------------------------------------------------------------------------


def _merge_at_login(sender: object, request: HttpRequest | None = None, user: Any = None, **kwargs: object) -> None:
    """Give the guest's recent items to the user, so that the page after the login knows them."""
    try:
        if request is None or not get_settings().enabled:
            return
        identity = read_cookie(request)
        if identity is None or identity.user_id is not None:
            return
        source = visitor_key(None, identity.anonymous_id)
        target = visitor_key(str(user.pk), None)
        if source and target:
            recent.merge(source, target)
    except Exception:  # a receiver runs inside the shop's login; nothing of ours may stop it
        counters.add("login.merge_failed")
        logger.exception("A guest's recent items could not be given to the user who logged in.")


user_logged_in.connect(_merge_at_login, dispatch_uid="ml_models.merge_at_login")
