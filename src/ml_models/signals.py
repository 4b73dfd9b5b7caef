"""Events from the shop's views: `emit_product_view`, `emit_cart_add`, ... Recording never breaks a page.

Each takes the request first (Django's or a REST framework's; None outside a request), puts one event into the
background queue and returns. None waits, touches the session or raises; what goes wrong is counted and logged under
`bunoraa.ml`. None runs a query but those about orders placed and refunded (`emit_purchase`, `emit_refund`,
`record_order`), which write one row in the transaction that is open, so that no order is lost and none that was rolled
back is counted. `product` is an instance of the shop's model or an id of any type. Prices are in major units
(`Decimal("99.99")`). Further keyword arguments are kept in the event's `data`.

Logging in gives the guest's recent items to the user, here; the cookie and the lake follow with the next track request.
Logging out ends the visitor's cookie, with the middleware's help (see `data_collection.identity`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models import Model

from ml_models.core.event import NAMESPACE, EventType
from ml_models.data_collection import counters, privacy
from ml_models.data_collection.client import Client
from ml_models.data_collection.collector import withdrawal
from ml_models.data_collection.events import record
from ml_models.data_collection.identity import Identity, read_cookie, verify, visitor_key
from ml_models.data_collection.known import known_user, page_view_id, user_key
from ml_models.data_collection.order_events import MONEY
from ml_models.data_collection.outbox import order_number
from ml_models.data_collection.products import external_id, product_ids
from ml_models.data_collection.queue import queue
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
    "emit_click",
    "emit_consent_change",
    "emit_custom",
    "emit_form_interaction",
    "emit_page_view",
    "emit_product_click",
    "emit_product_list_view",
    "emit_product_view",
    "emit_purchase",
    "emit_rec_click",
    "emit_rec_impression",
    "emit_rec_served",
    "emit_refund",
    "emit_review_submit",
    "emit_search",
    "emit_search_click",
    "emit_wishlist_add",
    "emit_wishlist_remove",
    "order_saved",
    "record_order",
]

logger = logging.getLogger("bunoraa.ml")


def _emit(
    request: HttpRequest | None, event_type: EventType, named: Mapping[str, Any], more: Mapping[str, Any]
) -> str | None:
    """Record one event of the request's visitor; keys that are no columns go to `data`.

    `more` is what the caller gave beside the named fields; a name that both have is the named field's.
    """
    try:
        fields = {**more, **named}
        event_id, user_id = fields.pop("event_id", None), fields.pop("user_id", None)
        user_id = None if user_id is None else user_key(user_id)
        if fields.get("order_id") is not None:
            fields["order_id"] = order_number(fields["order_id"])
        elif event_type in MONEY:
            raise ValueError("The order has no id. Save it first, or all such orders would pass for one.")
        if event_type is EventType.PRODUCT_VIEW and request is not None:
            getattr(request, "_request", request).__dict__["ml_product_viewed"] = (
                True  # the middleware then adds no copy
            )
        fields = _named(fields)
        if isinstance(fields.get("items"), Iterable) and not isinstance(fields["items"], str | Mapping):
            fields["items"] = [_item(one) for one in fields["items"]]
        client, consent, identity = None, None, Identity()
        if event_type is EventType.CONSENT_CHANGE:
            consent = privacy.GRANTED  # whatever the request's cookie said before
        elif request is not None and not privacy.may_record(consent := _consent(request)):
            counters.add(f"consent.{consent}")
            if event_type not in MONEY:
                return None
            # An order is the contract with a customer and no behaviour: it is kept, and nothing of the visit.
            user_id = known_user(request) if user_id is None else user_id
            request = consent = None
        if request is not None:
            client = Client.of(request.META)
            identity = read_cookie(request) or identity
            user_id = known_user(request) if user_id is None else user_id
            fields.setdefault("page_view_id", page_view_id(request))
            fields.setdefault("page_url", request.path)
        if user_id is not None and identity.user_id not in (None, user_id):
            identity = Identity()  # the cookie still names the user before this one, or one who has logged out
        return record(
            event_type,
            fields,
            user_id=identity.user_id if user_id is None else user_id or None,
            anonymous_id=identity.anonymous_id,
            client=client,
            event_id=event_id,
            consent=consent,
        )
    except Exception:  # whatever a shop's objects do when asked for an id must not break its page
        counters.add("emit.failed")
        logger.exception("An event (%s) could not be recorded.", event_type)
        return None


def _consent(request: HttpRequest) -> str:
    plain: HttpRequest = getattr(request, "_request", request)  # a REST framework's request wraps Django's
    return privacy.consent_of(plain.COOKIES, plain.META)


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields, with ids for a `product` and a `variant`, which may be instances.

    An instance, a UUID or a number as variant is an id; text is kept as the guide shows it, a label in `data`.
    """
    fields = dict(given)
    if "product" in fields:
        product = fields.pop("product")
        if product is not None:
            fields["product_id"], of_variant = product_ids(product)
            if of_variant is not None:
                fields.setdefault("variant_id", of_variant)
    elif isinstance(fields.get("product_id"), Model):
        fields["product_id"] = product_ids(fields["product_id"])[0]
    variant = fields.get("variant")
    if variant is not None and not isinstance(variant, str):
        fields["variant_id"] = external_id(fields.pop("variant"))
    return fields


def _item(one: Any) -> dict[str, Any]:
    """An item as a mapping, from a mapping, a product, one of its variants, a line of an order, or an id."""
    return _named(one if isinstance(one, Mapping) else {"product": one})


def emit_page_view(request: HttpRequest | None, page_url: str | None = None, **data: Any) -> str | None:
    """A page was shown that the middleware does not see, such as one that a script puts together.

    In a request that the middleware records as well, both are one row.
    """
    event_id = None
    try:
        if request is not None:
            event_id = str(uuid.uuid5(NAMESPACE, f"middleware:page_view:{page_view_id(request)}"))
    except Exception:  # a request of a shop's own making; the event is then recorded without its page view
        counters.add("emit.no_page_view")
        logger.exception("The id of a page view could not be made.")
    address = {} if page_url is None else {"page_url": page_url}
    return _emit(request, EventType.PAGE_VIEW, {"event_id": event_id, **address}, data)


def emit_click(request: HttpRequest | None, target: str, **data: Any) -> str | None:
    """A link or button was clicked that leads through the server; `target` says where to, without personal data."""
    return _emit(request, EventType.CLICK, {"target": target}, data)


def emit_form_interaction(
    request: HttpRequest | None, form: str, fields_count: int | None = None, **data: Any
) -> str | None:
    """A form was posted: its id and how many fields were filled in, never values."""
    return _emit(request, EventType.FORM_INTERACTION, {"form_id": form, "fields_count": fields_count}, data)


def emit_consent_change(request: HttpRequest | None, consent: str, **data: Any) -> str | None:
    """The visitor has decided in a form of the shop's: `granted` or `denied`.

    A denial is kept once, with the visitor it ends and nothing else. The shop sets the cookie that holds from then on
    (`ML_PRIVACY["consent_cookie"]`).
    """
    if consent == privacy.DENIED:
        return _withdraw(request)
    return _emit(request, EventType.CONSENT_CHANGE, {"state": consent}, data)


def _withdraw(request: HttpRequest | None) -> str | None:
    try:
        settings = get_settings()
        if request is None or not (settings.enabled and settings.data_collection.enabled):
            return None
        plain: HttpRequest = getattr(request, "_request", request)
        cookie, _ = verify(plain.COOKIES.get(settings.api.cookie_name))
        if cookie is None:
            return None
        event = withdrawal(cookie.anonymous_id, settings.site)
        return event.event_id if queue.put(lambda: event) else None
    except Exception:  # as in `_emit`
        counters.add("emit.failed")
        logger.exception("A denial of consent could not be recorded.")
        return None


def emit_product_view(
    request: HttpRequest | None, product: Any, source_page: str | None = None, position: int | None = None, **data: Any
) -> str | None:
    """A product page was shown; `source_page` and `position` say where the visitor came from."""
    return _emit(
        request, EventType.PRODUCT_VIEW, {"product": product, "source_page": source_page, "position": position}, data
    )


def emit_product_click(
    request: HttpRequest | None, product: Any, position: int | None = None, **data: Any
) -> str | None:
    """A product was clicked in a list."""
    return _emit(request, EventType.PRODUCT_CLICK, {"product": product, "position": position}, data)


def emit_product_list_view(request: HttpRequest | None, products: Iterable[Any] = (), **data: Any) -> str | None:
    """A list of products was shown. Give products that are loaded: a lazy queryset is evaluated here."""
    return _emit(request, EventType.PRODUCT_LIST_VIEW, {"items": products}, data)


def emit_search(
    request: HttpRequest | None, query: str, results_count: int | None = None, search_id: str | None = None, **data: Any
) -> str | None:
    """A search was answered."""
    return _emit(
        request, EventType.SEARCH, {"query": query, "results_count": results_count, "search_id": search_id}, data
    )


def emit_search_click(
    request: HttpRequest | None,
    query: str,
    product: Any,
    position: int | None = None,
    search_id: str | None = None,
    **data: Any,
) -> str | None:
    """A product was clicked in the results of a search."""
    return _emit(
        request,
        EventType.SEARCH_CLICK,
        {"query": query, "product": product, "position": position, "search_id": search_id},
        data,
    )


def emit_rec_served(
    request: HttpRequest | None,
    products: Iterable[Any],
    placement: str | None = None,
    rec_id: str | None = None,
    **data: Any,
) -> str | None:
    """A list of recommendations was put into a page or an e-mail."""
    return _emit(request, EventType.REC_SERVED, {"items": products, "placement": placement, "rec_id": rec_id}, data)


def emit_rec_impression(
    request: HttpRequest | None,
    products: Iterable[Any],
    placement: str | None = None,
    rec_id: str | None = None,
    **data: Any,
) -> str | None:
    """Recommended products were seen; only code that knows so, such as an app's backend, should say it."""
    return _emit(request, EventType.REC_IMPRESSION, {"items": products, "placement": placement, "rec_id": rec_id}, data)


def emit_rec_click(
    request: HttpRequest | None,
    product: Any,
    placement: str | None = None,
    rec_id: str | None = None,
    position: int | None = None,
    **data: Any,
) -> str | None:
    """A recommended product was clicked, such as in an e-mail whose links lead through the shop."""
    return _emit(
        request,
        EventType.REC_CLICK,
        {"product": product, "placement": placement, "rec_id": rec_id, "position": position},
        data,
    )


def emit_cart_add(
    request: HttpRequest | None, product: Any, quantity: int = 1, variant: Any = None, **data: Any
) -> str | None:
    """A product was put into the cart. `variant` is an instance, an id or a label such as `blue-large`."""
    return _emit(request, EventType.CART_ADD, {"product": product, "quantity": quantity, "variant": variant}, data)


def emit_cart_remove(
    request: HttpRequest | None, product: Any, quantity: int = 1, variant: Any = None, **data: Any
) -> str | None:
    """A product was taken out of the cart."""
    return _emit(request, EventType.CART_REMOVE, {"product": product, "quantity": quantity, "variant": variant}, data)


def emit_cart_update(
    request: HttpRequest | None, product: Any, quantity: int, variant: Any = None, **data: Any
) -> str | None:
    """The quantity of a product in the cart was set to `quantity`."""
    return _emit(request, EventType.CART_UPDATE, {"product": product, "quantity": quantity, "variant": variant}, data)


def emit_cart_view(request: HttpRequest | None, **data: Any) -> str | None:
    """The cart was looked at."""
    return _emit(request, EventType.CART_VIEW, {}, data)


def emit_checkout_start(request: HttpRequest | None, **data: Any) -> str | None:
    """The checkout was entered."""
    return _emit(request, EventType.CHECKOUT_START, {}, data)


def emit_checkout_step(
    request: HttpRequest | None, step: int | None = None, step_name: str | None = None, **data: Any
) -> str | None:
    """A step of the checkout was reached."""
    return _emit(request, EventType.CHECKOUT_STEP, {"step": step, "step_name": step_name}, data)


def emit_purchase(
    request: HttpRequest | None,
    order_id: Any,
    items: Iterable[Any] = (),
    currency: str | None = None,
    user_id: Any = None,
    **data: Any,
) -> str | None:
    """An order was placed. Call it in the transaction that stores the order.

    `order_id` is the order itself or its id; `items` are products, ids or mappings (`product`, `quantity`, `price`,
    `variant_id`). One row in the outbox, kept or rolled back with the order, and in the lake after the next run of
    `ml.process_training_data`. Where `ML_CATALOG` maps the orders they are the truth: the order is then read from the
    shop's table, and the call says which visitor placed it. Where it does not, this is the purchase; told of again with
    other contents it is its next revision. Either way its id follows from the order's. Returns that id.
    """
    return _emit(
        request,
        EventType.PURCHASE,
        {"order_id": order_id, "items": items, "currency": currency, "user_id": user_id},
        data,
    )


def emit_refund(
    request: HttpRequest | None,
    order_id: Any,
    items: Iterable[Any] = (),
    currency: str | None = None,
    user_id: Any = None,
    **data: Any,
) -> str | None:
    """An order, or the given items of it, was refunded. Call it in the transaction that stores the refund.

    An order has one refund, whichever way it arrives: what a later call or the shop's own table says otherwise is its
    next revision, so give all items that were refunded so far.
    """
    return _emit(
        request,
        EventType.REFUND,
        {"order_id": order_id, "items": items, "currency": currency, "user_id": user_id},
        data,
    )


def record_order(order: Any, request: HttpRequest | None = None, items: Iterable[Any] = (), **data: Any) -> str | None:
    """An order was stored or changed: its present state reaches the lake with the next run, without a full sync.

    For shops whose orders `ML_CATALOG` maps; call it in the order's own transaction, as often as the order changes. It
    is `emit_purchase` with the order first, for code without a request.
    """
    return emit_purchase(request, order, items=items, **data)


def order_saved(sender: object, instance: Any = None, **kwargs: object) -> None:
    """Receiver for `post_save` of the shop's order: `post_save.connect(order_saved, sender=Order)`.

    The row says only that the order is there; its lines are read when the transaction is over, so it does not matter
    that they are stored after it.
    """
    if not kwargs.get("raw"):  # loaddata: the table may be half there
        record_order(instance)


def emit_wishlist_add(request: HttpRequest | None, product: Any, **data: Any) -> str | None:
    """A product was put on a wish list."""
    return _emit(request, EventType.WISHLIST_ADD, {"product": product}, data)


def emit_wishlist_remove(request: HttpRequest | None, product: Any, **data: Any) -> str | None:
    """A product was taken off a wish list."""
    return _emit(request, EventType.WISHLIST_REMOVE, {"product": product}, data)


def emit_review_submit(
    request: HttpRequest | None, product: Any, rating: float | None = None, **data: Any
) -> str | None:
    """A review was written; its text is no business of the lake."""
    return _emit(request, EventType.REVIEW_SUBMIT, {"product": product, "rating": rating}, data)


def emit_custom(request: HttpRequest | None, action: str, **data: Any) -> str | None:
    """Anything else the shop wants to know."""
    return _emit(request, EventType.CUSTOM, {"data": {"action": action, **data}}, {})


# -- login and logout ---------------------------------------------------------------------------------


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


def _end_visitor(sender: object, request: HttpRequest | None = None, user: Any = None, **kwargs: object) -> None:
    """Let the middleware end the visitor's cookie: whoever uses the browser next is another visitor."""
    state = getattr(getattr(request, "_request", request), "__dict__", None)
    if state is not None and user is not None:  # a guest at the address of the logout stays who it was
        state["ml_logged_out"] = True


user_logged_out.connect(_end_visitor, dispatch_uid="ml_models.end_visitor")
