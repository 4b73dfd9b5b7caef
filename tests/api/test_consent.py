"""Consent: what a visitor who denied, or has not said yet, leaves behind. Nothing, and orders."""

import pytest
from django.contrib.auth import get_user_model
from django.test import RequestFactory

from ml_models import signals
from ml_models.core import clock
from ml_models.core.event import decode_event
from ml_models.data_collection import counters
from ml_models.data_collection.identity import Identity, sign, visitor_of
from ml_models.data_collection.recent import recent
from ml_models.orm import OutboxEvent
from tests.shop.models import Product

A = "01953f3c-1111-7000-8000-000000000001"
VIEW = {"event_type": "product_view", "product_id": "7"}
DENIAL = {"event_type": "consent_change", "data": {"state": "denied"}, "page_url": "/p", "session_id": "s"}
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)


def be_known(client):
    client.cookies["_ml"] = sign(Identity(A, None, int(clock.now().timestamp())))


def consent(client, state):
    client.cookies["_ml_consent"] = state


@pytest.mark.parametrize(("cookie", "column"), [(None, "implied"), ("granted", "granted")])
def test_the_consent_in_force_is_kept_with_each_event(client, send, recorded, cookie, column):
    if cookie:
        consent(client, cookie)
    send(VIEW)
    client.get("/")
    request = RequestFactory().get("/", headers={"Cookie": f"_ml_consent={cookie}"} if cookie else {})
    signals.emit_search(request, "tea")
    signals.emit_search(None, "tea")
    assert [event.consent for event in recorded.events] == [column, column, column, None]


@pytest.mark.parametrize(
    ("rules", "cookie", "headers", "state"),
    [
        ({}, "denied", {}, "denied"),
        ({}, None, {"Sec-GPC": "1"}, "denied"),
        ({"consent": "required"}, None, {}, "pending"),
    ],
)
def test_nothing_is_recorded(client, send, recorded, settings, rules, cookie, headers, state):
    settings.ML_PRIVACY = rules
    recorded.install()
    if cookie:
        consent(client, cookie)
    response = send(VIEW, {"event_type": "nonsense"}, headers=headers)
    assert response.json() == {"status": "ok", "processed": 0, "consent": state}
    assert not response.cookies
    page = client.get("/", headers=headers)
    assert page.status_code == 200
    assert "Server-Timing" not in page
    request = RequestFactory().get("/", headers={**headers, **({"Cookie": f"_ml_consent={cookie}"} if cookie else {})})
    assert signals.emit_cart_add(request, product=Product(pk=7)) is None
    assert recorded.events == recorded.dead.letters == []
    assert counters.snapshot() == {f"consent.{state}": 4}


def test_the_browsers_general_word_counts_only_where_the_shop_respects_it(client, send, recorded, settings):
    settings.ML_PRIVACY = {"respect_gpc": False}
    recorded.install()
    assert send(VIEW, headers={"Sec-GPC": "1"}).json()["processed"] == 1


@pytest.mark.parametrize("first", ["implied", "denied"])
def test_a_denial_is_kept_once_and_ends_the_visitor(client, send, recorded, first):
    """Whether the tracker's request or the cookie reaches the server first is chance."""
    be_known(client)
    if first == "denied":
        consent(client, "denied")
    response = send(VIEW, DENIAL) if first == "implied" else send(DENIAL)
    assert response.cookies["_ml"].value == ""
    assert response.cookies["_ml"]["max-age"] == 0
    (event,) = recorded.of_type("consent_change")
    assert (event.anonymous_id, event.data) == (A, {"state": "denied"})
    assert (event.user_id, event.session_id, event.page_url, event.ip_prefix, event.consent) == (None,) * 5
    # Sent again, by the offline queue or another tab, it is the same event.
    be_known(client)
    consent(client, "denied")
    send(DENIAL)
    assert {one.event_id for one in recorded.of_type("consent_change")} == {event.event_id}


@pytest.mark.parametrize("first", ["implied", "denied"])
@pytest.mark.parametrize(
    "denial",
    [
        {"event": "consent_change", "properties": {"state": "denied"}},
        {"event": "consent_change", "params": {"state": "denied"}},
        {"event_type": "consent_change", "state": "denied"},
    ],
)
def test_a_denial_ends_the_visitor_in_every_form_that_is_taken(client, send, recorded, first, denial):
    be_known(client)
    if first == "denied":
        consent(client, "denied")
    assert send(denial).cookies["_ml"].value == ""
    assert [event.data for event in recorded.of_type("consent_change")] == [{"state": "denied"}]


@pytest.mark.parametrize(
    "event",
    [
        {"event_type": "consent_change", "data": {"state": "granted"}},
        {"event_type": "consent_change"},
        {"event_type": "consent_change", "data": 5},
        {"event_type": "custom", "data": {"state": "denied", "action": "consent_change"}},
    ],
)
def test_what_is_no_denial_ends_nobody(client, send, recorded, event):
    be_known(client)
    assert "_ml" not in send(event).cookies


def test_what_came_with_the_denial_and_before_it_is_kept(client, send, recorded):
    be_known(client)
    assert send(VIEW, DENIAL).json()["processed"] == 2
    assert [event.event_type for event in recorded.events] == ["product_view", "consent_change"]


def test_a_denial_of_nobody_leaves_nothing(client, send, recorded):
    consent(client, "denied")
    assert send(DENIAL).json() == {"status": "ok", "processed": 0, "consent": "denied"}
    assert recorded.events == []


def test_a_consent_given_again_begins_as_somebody_else(client, send, recorded):
    be_known(client)
    consent(client, "denied")
    send(DENIAL)
    consent(client, "granted")
    send({"event_type": "consent_change", "data": {"state": "granted"}}, VIEW)
    change, view = recorded.events[1:]
    assert change.data == {"state": "granted"}
    assert change.consent == view.consent == "granted"
    assert view.anonymous_id not in (None, A)


@pytest.mark.django_db
def test_a_login_does_not_bring_a_denied_visitor_back(client, send, recorded):
    be_known(client)
    send(VIEW)
    recent.flush()
    consent(client, "denied")
    client.cookies["_ml"] = sign(Identity(A, None, int(clock.now().timestamp())))
    user = get_user_model().objects.create_user("ann")
    request = RequestFactory().get("/")
    request.COOKIES = {name: cookie.value for name, cookie in client.cookies.items()}
    request.user = user
    signals._merge_at_login(None, request, user)
    assert recorded.online.recent(f"u:{user.pk}") == []
    assert visitor_of(request) == Identity(None, str(user.pk))
    client.force_login(user)
    send(VIEW)
    client.logout()  # forgets every cookie of this client
    consent(client, "denied")
    send(VIEW)
    assert [event.event_type for event in recorded.events] == ["product_view"]


@pytest.mark.django_db
@pytest.mark.parametrize("mapped", [True, False])
def test_an_order_is_kept_and_nothing_of_the_visit(recorded, settings, mapped):
    if not mapped:
        settings.ML_CATALOG = {}
        recorded.install()
    request = RequestFactory().get("/thanks/", headers={"Cookie": "_ml_consent=denied", "User-Agent": CHROME})
    request.COOKIES["_ml"] = sign(Identity(A, None, int(clock.now().timestamp())))
    signals.emit_purchase(request, order_id=5, items=[{"product_id": 7, "price": "9.99"}], currency="EUR", user_id=3)
    signals.emit_refund(request, order_id=5, items=[7])
    purchase, refund = (decode_event(bytes(row.record)) for row in OutboxEvent.objects.order_by("pk"))
    assert (purchase.event_type, purchase.order_id, purchase.user_id) == ("purchase", "5", "3")
    for event in (purchase, refund):
        left = (event.anonymous_id, event.page_url, event.page_view_id, event.ip_prefix, event.device_type)
        assert left == (None,) * 5
        assert event.consent is None


@pytest.mark.django_db
def test_an_order_of_a_recorded_visit_names_it(recorded):
    request = RequestFactory().get("/thanks/", headers={"Cookie": "_ml_consent=granted", "User-Agent": CHROME})
    request.COOKIES["_ml"] = sign(Identity(A, None, int(clock.now().timestamp())))
    signals.emit_purchase(request, order_id=5, items=[7])
    event = decode_event(bytes(OutboxEvent.objects.get().record))
    assert (event.anonymous_id, event.page_url, event.consent) == (A, "/thanks/", "granted")


def test_the_shops_own_form_may_deny_and_grant(recorded):
    request = RequestFactory().post("/consent/", headers={"Cookie": "_ml_consent=denied", "User-Agent": CHROME})
    assert signals.emit_consent_change(request, "denied") is None  # of nobody
    request.COOKIES["_ml"] = sign(Identity(A, "3", int(clock.now().timestamp())))
    assert signals.emit_consent_change(request, "denied")
    assert signals.emit_consent_change(request, "granted")
    denied, granted = recorded.events
    assert (denied.anonymous_id, denied.user_id, denied.page_url, denied.data) == (A, None, None, {"state": "denied"})
    assert (granted.anonymous_id, granted.consent, granted.data) == (None, "granted", {"state": "granted"})
