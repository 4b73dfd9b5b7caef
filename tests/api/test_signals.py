"""`emit_*`: the guide's calls, products of any kind, and a page that never breaks."""

from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Model
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from ml_models import signals
from ml_models.core.event import EventType
from ml_models.data_collection import counters
from ml_models.data_collection.identity import Identity, sign
from tests.shop.models import Category, OrderItem, Product, SlugProduct, UuidProduct, Variant

A = "01953f3c-1111-7000-8000-000000000001"


class Untouchable:
    def __getattribute__(self, name):
        raise AssertionError(f"request.{name} was touched")


@pytest.fixture
def request_():
    made = RequestFactory().get("/products/7/")
    made.session = Untouchable()
    made.COOKIES["_ml"] = sign(Identity(A, None, 4_000_000_000))
    return made


@pytest.fixture(autouse=True)
def _cookie_time():
    from datetime import UTC, datetime

    from ml_models.core import clock

    with clock.use(clock.ManualClock(datetime.fromtimestamp(4_000_000_000, UTC))):
        yield


def test_the_guides_product_view(recorded, request_):
    signals.emit_product_view(request_, product=Product(pk=7), source_page="category", position=1)
    (event,) = recorded.events
    assert (event.event_type, event.product_id, event.position, event.source) == ("product_view", "7", 1, "server")
    assert (event.anonymous_id, event.user_id, event.page_url) == (A, None, "/products/7/")
    assert event.data == {"source_page": "category"}
    assert [one.item_id for one in recorded.online.recent(f"a:{A}")] == ["7"]


def test_the_guides_cart_add(recorded, request_):
    signals.emit_cart_add(request_, product=Product(pk=7), quantity=2, variant="blue-large")
    (event,) = recorded.events
    assert (event.event_type, event.product_id, event.quantity, event.variant_id) == ("cart_add", "7", 2, None)
    assert event.data == {"variant": "blue-large"}


def test_ids_of_any_kind(recorded, request_, settings):
    unsaved_uuid = UuidProduct()
    for product in (SlugProduct(slug="tea"), unsaved_uuid, "sku-1", 36948, unsaved_uuid.pk):
        if isinstance(product, Model):
            settings.ML_CATALOG = {"product": {"model": product._meta.label}}
            recorded.install()
        signals.emit_cart_remove(request_, product=product)
    assert [event.product_id for event in recorded.events] == [
        "tea",
        str(unsaved_uuid.pk),
        "sku-1",
        "36948",
        str(unsaved_uuid.pk),
    ]


VARIANTS = {"product": {"model": "shop.Product", "variants": {"path": "variants[]", "id": "sku"}}}


def test_what_belongs_to_a_product_stands_for_it(recorded, request_, settings):
    """A variant or a line of an order given as the product: its own key is that of something else."""
    settings.ML_CATALOG = VARIANTS
    recorded.install()
    signals.emit_cart_add(request_, Variant(pk=2, product_id=7, sku="tea-red"))
    signals.emit_product_list_view(request_, [OrderItem(pk=3, product_id=8), {"product": Variant(product_id=9)}])
    added, listed = recorded.events
    assert (added.product_id, added.variant_id) == ("7", "tea-red")
    assert [(one.product_id, one.variant_id) for one in listed.items] == [("8", None), ("9", None)]


def test_the_id_of_a_product_by_another_field_is_no_foreign_key(recorded, request_, settings, caplog):
    settings.ML_CATALOG = {"product": {"model": "shop.Product", "fields": {"id": "name"}}}
    recorded.install()
    signals.emit_cart_add(request_, Variant(product=Product(pk=7, name="tea")))
    assert recorded.events[0].product_id == "tea"
    caplog.set_level("CRITICAL", "bunoraa.ml")
    signals.emit_cart_add(request_, Variant(product_id=7))
    assert len(recorded.events) == 1, "a query would tell, and none is run"


def test_an_instance_of_something_else_is_no_product(recorded, request_, caplog):
    signals.emit_product_view(request_, Category(pk=7))
    assert recorded.events == []
    assert "is a Category and no Product" in caplog.text


def test_further_arguments_of_any_name_break_nothing(recorded, request_):
    signals.emit_product_view(request_, 7, event_type="x", request_id="r")
    signals.emit_form_interaction(request_, "newsletter", form_id="x", fields="2")
    signals.emit_cart_add(request_, 7, variant=object())
    assert [event.event_type for event in recorded.events] == ["product_view", "form_interaction"]
    assert recorded.events[1].data["form_id"] == "newsletter"


@pytest.mark.django_db
def test_a_user_is_known_by_the_key_and_not_by_the_name(recorded):
    user = get_user_model().objects.create_user("ada@example.org")
    for given in (user, SimpleLazyObject(lambda: user), user.pk):
        signals.emit_cart_view(None, user_id=given)
    assert [event.user_id for event in recorded.events] == [str(user.pk)] * 3


def test_an_instance_as_variant_is_an_id(recorded, request_):
    signals.emit_cart_add(request_, product=1, variant=Product(pk=99))
    assert recorded.events[0].variant_id == "99"


def test_the_id_that_the_catalogue_names_is_taken(recorded, request_, settings):
    settings.ML_CATALOG = {"product": {"model": "shop.Product", "fields": {"id": "name"}}}
    recorded.install()
    recorded.install()
    signals.emit_wishlist_add(request_, product=Product(pk=7, name="by-name"))
    assert recorded.events[0].product_id == "by-name"


def test_every_other_event(recorded, request_):
    signals.emit_product_click(request_, 1, position=3)
    signals.emit_product_list_view(request_, [Product(pk=1), 2, {"product_id": 3, "position": 1}], category="tea")
    signals.emit_search(request_, "blue shoes", results_count=25, filters={"color": "blue"})
    signals.emit_cart_update(request_, 1, quantity=3)
    signals.emit_cart_view(request_, value=Decimal("9.90"))
    signals.emit_checkout_start(request_)
    signals.emit_checkout_step(request_, 1, "shipping")
    signals.emit_wishlist_remove(request_, 1)
    signals.emit_review_submit(request_, 1, rating=4.5)
    signals.emit_custom(request_, "video_play", video_id="456")
    events = recorded.events
    assert [event.event_type for event in events] == [
        "product_click",
        "product_list_view",
        "search",
        "cart_update",
        "cart_view",
        "checkout_start",
        "checkout_step",
        "wishlist_remove",
        "review_submit",
        "custom",
    ]
    assert [item.product_id for item in events[1].items] == ["1", "2", "3"]
    assert (events[2].query, events[2].data) == ("blue shoes", {"results_count": 25, "filters": {"color": "blue"}})
    assert events[4].data == {"value": "9.90"}
    assert events[9].data == {"action": "video_play", "video_id": "456"}
    assert counters.snapshot() == {}


def test_what_a_server_can_know_of_the_rest(recorded, request_):
    view = signals.emit_page_view(request_, title="Home")
    signals.emit_search_click(request_, "shoes", product=Product(pk=3), position=2, search_id="s1")
    signals.emit_click(request_, "https://partner.example/", id="banner")
    signals.emit_form_interaction(request_, "newsletter", fields_count=3)
    signals.emit_consent_change(request_, "granted")
    signals.emit_rec_served(request_, [1, 2], placement="home", rec_id="r1")
    signals.emit_rec_impression(request_, [1], placement="home", rec_id="r1")
    signals.emit_rec_click(request_, 1, placement="home", rec_id="r1", position=1)
    events = recorded.events
    assert [event.event_type for event in events] == [
        "page_view",
        "search_click",
        "click",
        "form_interaction",
        "consent_change",
        "rec_served",
        "rec_impression",
        "rec_click",
    ]
    assert (events[0].event_id, events[0].page_url) == (view, "/products/7/")
    assert (events[1].product_id, events[1].query, events[1].position, events[1].search_id) == ("3", "shoes", 2, "s1")
    assert events[3].data == {"form_id": "newsletter", "fields_count": 3}
    assert events[4].data == {"state": "granted"}
    assert [(event.placement, event.rec_id) for event in events[5:]] == [("home", "r1")] * 3
    assert counters.snapshot() == {}


def test_every_event_type_can_be_said_by_the_server_or_only_by_others():
    others = {
        "page_engagement": "only a browser knows how long a page was looked at",
        "purchase_seen": "what emit_purchase says beside mapped orders",
        "identity_link": "follows from a login",
    }
    said = {name.removeprefix("emit_") for name in signals.__all__ if name.startswith("emit_")}
    assert said | set(others) == {str(one) for one in EventType}


@pytest.mark.parametrize("emit", [signals.emit_purchase, signals.emit_refund])
def test_an_order_without_an_id_is_refused(recorded, request_, emit, caplog):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    assert emit(request_, None, items=[1]) is None
    assert recorded.events == []
    assert counters.snapshot()["emit.failed"] == 1
    assert signals.emit_checkout_step(request_, step=1, order_id=None)


def test_the_user_is_taken_where_the_view_has_read_it(recorded, request_):
    class User:
        pk, is_authenticated = 5, True

    request_._cached_user = User()
    signals.emit_cart_add(request_, product=1)
    request_.COOKIES["_ml"] = sign(Identity(A, "9", 4_000_000_000))
    signals.emit_cart_add(request_, product=2)
    first, second = recorded.events
    assert (first.user_id, first.anonymous_id) == ("5", A)
    assert (second.user_id, second.anonymous_id) == ("5", None), "the cookie is another user's"


@pytest.mark.django_db
def test_a_lazy_user_stays_asleep(recorded, client, settings):
    from django.contrib.auth.middleware import AuthenticationMiddleware

    def page(request):
        signals.emit_cart_add(request, product=1)
        return HttpResponse("ok")

    request = RequestFactory().get("/")
    request.session = Untouchable()
    with CaptureQueriesContext(connection) as queries:
        AuthenticationMiddleware(page)(request)
        assert len(recorded.events) == 1
    assert len(queries) == 0


def test_a_rest_frameworks_request_is_understood(recorded, request_):
    class Wrapped:
        def __init__(self, inner):
            self._request = inner

        def __getattr__(self, name):
            return getattr(self._request, name)

    signals.emit_product_view(Wrapped(request_), product=1)
    assert recorded.events[0].anonymous_id == A
    assert request_.ml_product_viewed


class Hostile:
    """An object that fails whatever it is asked."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError("str")


EMITTERS = [name for name in signals.__all__ if name.startswith("emit_")]


@pytest.mark.parametrize("name", EMITTERS)
@pytest.mark.parametrize("hostile", ["request", "argument"])
def test_no_call_ever_breaks_a_page(recorded, request_, caplog, name, hostile):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    request = Hostile() if hostile == "request" else request_
    emit = getattr(signals, name)
    needs = emit.__code__.co_argcount - len(emit.__defaults__ or ()) - 1
    assert emit(request, *[Hostile()] * max(needs, 0)) is None or needs <= 0
    recorded.events  # noqa: B018  (storing what was queued must not fail either)


@pytest.mark.parametrize("product", [None, "", Product(), object(), 5.5])
def test_a_product_without_an_id_is_counted(recorded, request_, caplog, product):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    signals.emit_product_view(request_, product=product)
    recorded.events  # noqa: B018
    assert recorded.spool.sources() == []
    assert sum(counters.snapshot().values()) == 1


@pytest.mark.parametrize("off", [{"ML_ENABLED": False}, {"ML_DATA_COLLECTION": {"enabled": False}}])
def test_switched_off_nothing_is_kept(recorded, request_, settings, off):
    for name, value in off.items():
        setattr(settings, name, value)
    recorded.install()
    signals.emit_product_view(request_, product=1)
    assert recorded.events == []


def test_after_a_logout_events_are_nobodys(request_, recorded):
    from django.contrib.auth.models import AnonymousUser

    request_.COOKIES["_ml"] = sign(Identity(A, "5", 4_000_000_000))
    request_._cached_user = AnonymousUser()
    signals.emit_cart_add(request_, product="7")
    request_.COOKIES["_ml"] = sign(Identity(A, None, 4_000_000_000))
    signals.emit_cart_add(request_, product="7")
    assert [(event.anonymous_id, event.user_id) for event in recorded.events] == [(None, None), (A, None)]
