"""The tracking middleware: what it records, and that a page neither waits for it nor changes because of it."""

import asyncio

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from ml_models.data_collection import counters
from ml_models.data_collection.identity import Identity, sign
from ml_models.data_collection.queue import queue
from ml_models.decorators import product_page
from ml_models.middleware import MLProductTrackingMiddleware, MLTrackingMiddleware
from tests.shop.models import Product

A = "01953f3c-1111-7000-8000-000000000001"


@pytest.fixture(autouse=True)
def _urls(settings, recorded):
    settings.ROOT_URLCONF = "tests.api.urls"


def timing(response):
    return response["Server-Timing"].split('ml;desc="')[1].rstrip('"')


def test_a_page_view(client, recorded):
    response = client.get("/?q=tea", headers={"Referer": "https://search.example/?x=1", "User-Agent": "Browser/1.0"})
    (event,) = recorded.events
    assert (event.event_type, event.source, event.page_url) == ("page_view", "middleware", "/?q=tea")
    assert event.referrer == "https://search.example/"
    assert event.page_view_id == timing(response)
    assert (event.anonymous_id, event.user_id, event.product_id) == (None, None, None)
    assert event.ip_prefix == "127.0.0.0/24"
    assert not response.cookies
    assert "Vary" not in response


def test_the_visitor_comes_from_the_cookie_where_it_is_genuine(client, recorded):
    import time

    client.cookies["_ml"] = sign(Identity(A, "5", int(time.time())))
    client.get("/")
    client.cookies["_ml"] = "1." + A + ".NQ." + "1700000000." + "0" * 64
    client.get("/")
    assert [(event.anonymous_id, event.user_id) for event in recorded.events] == [(A, "5"), (None, None)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/detail/{}/", "/bare/{}/", "/emits/{}/", "/marked/{}/", "/marked-view/{}/", "/plainly/{}/", "/shown/{}/"]
)
def test_product_pages_of_every_make(client, recorded, path):
    product = Product.objects.create(name="Tea")
    response = client.get(path.format(product.pk))
    assert {event.event_type for event in recorded.events} == {"page_view", "product_view"}
    products = recorded.of_type("product_view")
    assert [event.product_id for event in products] == [str(product.pk)], "once"
    assert {event.page_view_id for event in recorded.events} == {timing(response)}
    assert response["Server-Timing"].count("ml;desc=") == 1


@pytest.mark.django_db
def test_a_list_of_products_is_no_product_page(client, recorded):
    Product.objects.create(name="Tea")
    client.get("/list/")
    assert [event.event_type for event in recorded.events] == ["page_view"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/category/{}/", "/edit/{}/", "/delete/{}/", "/review/{}/", "/size-guide/{}/"])
def test_a_page_that_only_names_a_product_is_no_product_page(client, recorded, path):
    response = client.get(path.format(Product.objects.create(name="Tea").pk))
    assert response.status_code == 200
    assert [event.event_type for event in recorded.events] == ["page_view"]


@pytest.mark.django_db
def test_a_product_page_from_the_page_cache_is_still_one(client, recorded, settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "pages"}}
    path = f"/cached/{Product.objects.create(name='Tea').pk}/"
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    assert len(queries) == 0, "the page comes from the cache"
    seen = sorted((event.event_type, event.product_id) for event in recorded.events)
    assert seen == [("page_view", None)] * 2 + [("product_view", path.split("/")[2])] * 2
    assert len({event.page_view_id for event in recorded.events}) == 2


def test_a_wrong_mark_is_refused():
    with pytest.raises(TypeError, match="keyword of the URL"):
        product_page(5)


@pytest.mark.parametrize("path", ["/json/", "/moved/", "/missing/", "/admin/x/", "/nowhere/"])
def test_what_is_no_page_is_not_recorded(client, recorded, path):
    response = client.get(path)
    assert recorded.events == []
    assert "Server-Timing" not in response


@pytest.mark.parametrize("method", ["post", "head", "put", "options"])
def test_other_methods_are_not_page_views(client, recorded, method):
    getattr(client, method)("/")
    assert recorded.events == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("Sec-Fetch-Dest", "iframe"),
        ("Sec-Fetch-Dest", "empty"),
        ("X-Requested-With", "XMLHttpRequest"),
    ],
)
def test_what_no_person_is_shown_is_not_recorded(client, recorded, header, value):
    client.get("/", headers={header: value})
    assert recorded.events == []
    client.get("/", headers={"Sec-Fetch-Dest": "document"})
    assert len(recorded.events) == 1


def test_a_browser_inside_an_app_is_a_browser(client, recorded):
    client.get("/", headers={"X-Requested-With": "com.instagram.android", "Sec-Fetch-Dest": "document"})
    assert len(recorded.events) == 1


def test_streams_and_other_timings_are_left_alone(client, recorded):
    assert b"".join(client.get("/stream/").streaming_content) == b"<html></html>"
    assert client.get("/timed/")["Server-Timing"].startswith('db;dur=5, ml;desc="')
    assert len(recorded.events) == 2


def test_a_page_from_a_cache_announces_the_view_it_is_now(recorded):
    def cached(request):
        return HttpResponse("<html>", headers={"Server-Timing": 'db;desc="a,b", ml;desc="another-view", xml;desc="x"'})

    response = MLProductTrackingMiddleware(MLTrackingMiddleware(cached))(RequestFactory().get("/"))
    (event,) = recorded.events
    assert response["Server-Timing"] == f'db;desc="a,b", ml;desc="{event.page_view_id}", xml;desc="x"'


class Between:
    """A middleware of the shop's own."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


@pytest.mark.parametrize("between", [[], ["tests.api.test_middleware.Between"]], ids=["side by side", "apart"])
@pytest.mark.parametrize("order", [1, -1], ids=["as in the guide", "the other way round"])
def test_the_two_classes_record_one_sighting(client, recorded, settings, between, order):
    first, second = ["ml.middleware.MLTrackingMiddleware", "ml.middleware.MLProductTrackingMiddleware"][::order]
    settings.MIDDLEWARE = [first, *between, second]
    response = client.get("/marked/7/")
    assert sorted(event.event_type for event in recorded.events) == ["page_view", "product_view"]
    assert {event.page_view_id for event in recorded.events} == {timing(response)}
    assert len({event.event_id for event in recorded.events}) == 2
    assert response["Server-Timing"].count("ml;desc=") == 1


def test_the_id_of_an_event_is_the_uuid5_of_its_page_view(client, recorded):
    import uuid

    from ml_models.core.event import NAMESPACE

    view = timing(client.get("/"))
    assert recorded.events[0].event_id == str(uuid.uuid5(NAMESPACE, f"middleware:page_view:{view}"))


def test_a_language_prefix_does_not_hide_excluded_paths(recorded):
    request = RequestFactory().get("/de/admin/x/")
    request.LANGUAGE_CODE = "de"
    MLTrackingMiddleware(lambda request: HttpResponse("<html>"))(request)
    assert recorded.events == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "value", "types"),
    [
        ("ML_TRACKING", {"track_page_views": False}, ["product_view"]),
        ("ML_TRACKING", {"track_product_views": False}, ["page_view"]),
        ("ML_TRACKING", {"exclude_paths": ["/marked/"]}, []),
        ("ML_DATA_COLLECTION", {"enabled": False}, []),
        ("ML_ENABLED", False, []),
    ],
)
def test_the_switches(client, recorded, settings, setting, value, types):
    setattr(settings, setting, value)
    recorded.install()
    client.get("/marked/1/")
    assert [event.event_type for event in recorded.events] == types


@pytest.mark.django_db
def test_no_query_no_session_no_cookie(client, recorded):
    client.force_login(get_user_model().objects.create_user("ada"))
    with CaptureQueriesContext(connection) as queries:
        response = client.get("/marked/1/")
    assert len(queries) == 0
    assert "Vary" not in response
    assert not response.cookies
    assert len(recorded.events) == 2


@pytest.mark.django_db
def test_a_user_that_the_page_has_read_is_known(client, recorded):
    user = get_user_model().objects.create_user("ada")
    client.force_login(user)
    client.get("/account/")
    assert recorded.events[0].user_id == str(user.pk)


@pytest.mark.django_db
def test_the_page_after_a_logout_is_nobodys(client, recorded):
    """The cookie names the user until the next track request; a page that read the session knows better."""
    import time

    client.cookies["_ml"] = sign(Identity(A, "5", int(time.time())))
    client.get("/account/")
    assert [(event.anonymous_id, event.user_id) for event in recorded.events] == [(None, None)]
    client.cookies["_ml"] = sign(Identity(A, None, int(time.time())))
    client.get("/account/")
    assert (recorded.events[1].anonymous_id, recorded.events[1].user_id) == (A, None)


@pytest.mark.django_db
def test_a_logout_ends_the_visitor(client, recorded, settings):
    import time

    user = get_user_model().objects.create_user("ada")
    client.force_login(user)
    client.cookies["_ml"] = sign(Identity(A, str(user.pk), int(time.time())))
    assert client.get("/logout/").cookies["_ml"].value == ""
    client.get("/")
    assert [(event.anonymous_id, event.user_id) for event in recorded.events] == [(None, None)] * 2
    client.cookies["_ml"] = sign(Identity(A, None, int(time.time())))
    assert "_ml" not in client.get("/logout/").cookies, "a guest at that address stays who it was"


@pytest.mark.django_db(transaction=True)
def test_the_product_of_an_asynchronous_page(async_client, recorded):
    path = f"/ashown/{Product.objects.create(name='Tea').pk}/"
    assert asyncio.run(async_client.get(path)).status_code == 200
    assert [event.product_id for event in recorded.of_type("product_view")] == [path.split("/")[2]]


def test_an_asynchronous_page_takes_no_thread_for_its_template():
    async def get_response(request):
        return HttpResponse("<html>")

    assert iscoroutinefunction(MLProductTrackingMiddleware(get_response).process_template_response)
    assert not iscoroutinefunction(
        MLProductTrackingMiddleware(lambda request: HttpResponse()).process_template_response
    )


@pytest.mark.django_db
def test_asynchronous_pages(async_client, recorded):
    assert asyncio.run(async_client.get("/async/")).status_code == 200
    assert [event.event_type for event in recorded.events] == ["page_view"]


@pytest.mark.parametrize("middleware", [MLTrackingMiddleware, MLProductTrackingMiddleware])
def test_an_asynchronous_chain_stays_asynchronous(recorded, middleware):
    async def get_response(request):
        return HttpResponse("<html>")

    made = middleware(get_response)
    assert iscoroutinefunction(made)
    assert asyncio.run(made(RequestFactory().get("/"))).status_code == 200


def test_the_shops_own_errors_pass_through(client):
    with pytest.raises(RuntimeError, match="own mistake"):
        client.get("/broken/")


def test_nothing_of_ours_breaks_a_page(client, recorded, monkeypatch, caplog):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    monkeypatch.setattr(queue, "put", lambda entry: 1 / 0)
    assert client.get("/").status_code == 200
    assert counters.snapshot()["middleware.failed"] == 1


def test_a_wrong_setting_does_not_break_a_page(client, recorded, settings, caplog):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    settings.ML_TRACKING = {"track_page_view": True}
    assert client.get("/").status_code == 200


def test_bytes_that_are_no_text_are_storable(client, recorded):
    client.get("/", HTTP_REFERER="https://x/\udcff\ud800", QUERY_STRING="q=\udcff")
    (event,) = recorded.events
    assert (event.page_url, event.referrer) == ("/?q=?", "https://x/")
