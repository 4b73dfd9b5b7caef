"""`POST track/`: the guide's request and response, partial acceptance, limits, and what a host may not do to it."""

import gzip
import json
import uuid
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError
from django.test import Client, RequestFactory
from django.urls import resolve

from ml_models.api_track import track
from ml_models.core import clock
from ml_models.core.errors import InvalidEvent
from ml_models.core.event import NAMESPACE
from ml_models.data_collection import collector, counters, privacy, wire
from tests.api.conftest import URL
from tests.recorded import FullSpool

GUIDE = {
    "events": [
        {
            "event_type": "page_view",
            "timestamp": "2024-01-15T10:30:00Z",
            "session_id": "abc123",
            "page_url": "/products/shoe-123",
        }
    ],
    "meta": {"batch_id": "batch-456"},
}
VIEW = {"event_type": "product_view", "product_id": "7"}

pytestmark = pytest.mark.django_db


def test_the_guides_request_gets_the_guides_response(client, recorded):
    moment = datetime(2024, 1, 15, 10, 30, 5, tzinfo=UTC)
    with clock.use(clock.ManualClock(moment)):
        response = client.post(URL, json.dumps(GUIDE), content_type="application/json")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "processed": 1})
    (event,) = recorded.events
    assert event.event_id == str(uuid.uuid5(NAMESPACE, "batch:6:abc123:9:batch-456:1:0"))
    assert (event.event_type, event.session_id, event.page_url) == ("page_view", "abc123", "/products/shoe-123")
    assert (event.event_time, event.received_at) == (datetime(2024, 1, 15, 10, 30, tzinfo=UTC), moment)
    assert (event.source, event.user_id) == ("js", None)
    assert uuid.UUID(event.anonymous_id).version == 7


def test_a_retried_batch_has_the_same_ids(client, recorded):
    for _ in range(2):
        client.post(URL, json.dumps(GUIDE), content_type="application/json")
    first, second = recorded.events
    assert first.event_id == second.event_id


def test_bad_events_of_a_batch_are_kept_aside_with_the_reason(send, recorded):
    response = send(VIEW, {"event_type": "nonsense"}, {"event_type": "product_view"}, 5, VIEW)
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "processed": 2, "rejected": 3}
    assert [(letter.reason, letter.path) for letter in recorded.dead.letters] == [
        ("unknown_type", "event_type"),
        ("missing", "product_id"),
        ("not_an_object", ""),
    ]
    assert json.loads(recorded.dead.letters[0].raw) == {"event_type": "nonsense"}
    assert counters.snapshot()["rejected.unknown_type"] == 1


def test_a_batch_of_bad_events_alone_is_not_an_error_to_retry(send, recorded):
    assert send({"event_type": "nonsense"}).json() == {"status": "ok", "processed": 0, "rejected": 1}
    assert recorded.events == []


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b'{"events": 5}', b'{"meta": {}}', b"\xff\xfe", b'{"events": [NaN]}', b"null"]
)
def test_a_malformed_request_is_refused_with_a_sentence(client, recorded, body):
    response = client.post(URL, body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["status"] == "error"
    assert "malformed" in response.json()["error"]
    assert recorded.events == []


def test_what_is_too_large_is_413(client, send, recorded, settings):
    settings.ML_API = {"max_events": 3, "max_body": 2000, "max_event": 1000}
    recorded.install()
    assert send(*[VIEW] * 3).status_code == 200
    assert send(*[VIEW] * 4).status_code == 413
    assert send({**VIEW, "data": {"x": "y" * 2000}}).status_code == 413
    packed = gzip.compress(json.dumps({"events": [{**VIEW, "x": "y" * 100_000}]}).encode())
    assert len(packed) < 2000
    headers = {"Content-Encoding": "gzip"}
    assert client.post(URL, packed, content_type="application/json", headers=headers).status_code == 413
    assert len(recorded.events) == 3


def test_a_single_event_that_is_too_large_costs_only_itself(send, recorded):
    big = {**VIEW, "data": {str(key): "y" * 1000 for key in range(17)}}
    assert send(VIEW, big).json() == {"status": "ok", "processed": 1, "rejected": 1}
    (letter,) = recorded.dead.letters
    assert letter.reason == "too_large"
    assert json.loads(letter.payload.rpartition(",")[0] + "}")["event_type"] == "product_view"
    assert "yy" not in letter.payload
    assert len(letter.payload) <= 1024
    assert "it has 17," in letter.detail


def test_one_request_cannot_push_out_everybody_elses_letters(send, recorded):
    bad = {"event_type": "search", "timestamp": "?", "data": {str(key): "y" * 1000 for key in range(15)}}
    assert send(*[bad] * 14).json() == {"status": "ok", "processed": 0, "rejected": 14}
    sizes = [len(letter.payload) for letter in recorded.dead.letters]
    assert len(sizes) == 14  # none without a letter
    assert sum(sizes) <= 32_768 + 12 * 256
    assert counters.snapshot()["dead_letters.cut"] == 12
    assert "cut from 15," in recorded.dead.letters[-1].detail
    assert sizes[-1] <= 256
    assert recorded.dead.letters[-1].payload.startswith('{"event_type": "search", "timestamp": "[text]"')
    assert counters.snapshot()["rejected.bad_time"] == 14


def test_a_deep_event_costs_only_itself(client, recorded):
    deep = '{"event_type": "search", "data": {"x": ' + '{"a":' * 600 + "1" + "}" * 600 + "}}"
    deeper = '{"event_type": "search", "data": {"password": "hunter2", "x": ' + "[" * 5000 + "]" * 5000 + "}}"
    body = f'{{"events": [{{"event_type": "nonsense"}}, {deep}, {deeper}]}}'
    answer = client.post(URL, body, content_type="application/json")
    if answer.status_code == 400:  # the parser's own limit
        answer = client.post(URL, body.replace(f", {deeper}", ""), content_type="application/json")
    assert answer.json()["processed"] == 0
    assert len(recorded.dead.letters) == answer.json()["rejected"]
    assert "[too deep]" in recorded.dead.letters[1].payload
    assert not any("hunter2" in letter.payload for letter in recorded.dead.letters)
    assert "dead_letters.failed" not in counters.snapshot()


def test_a_letter_that_no_rule_foresaw_costs_only_itself(send, recorded, monkeypatch):
    real = privacy.clean_payload
    monkeypatch.setattr(privacy, "clean_payload", lambda raw, reason: 1 / 0 if b"odd" in raw else real(raw, reason))
    send({"event_type": "odd"}, {"event_type": "nonsense"})
    assert [json.loads(letter.payload) for letter in recorded.dead.letters] == [{"event_type": "nonsense"}]
    assert counters.snapshot()["dead_letters.failed"] == 1


def test_the_address_without_a_slash_is_taken_too(client, recorded):
    body = json.dumps({"events": [VIEW]})
    assert client.post(URL.rstrip("/"), body, content_type="application/json").json()["processed"] == 1


@pytest.mark.parametrize("headers", [{}, {"Cookie": "a=b"}, {"User-Agent": "Shop/1.0 (Android)"}])
def test_who_posts_without_name_or_cookie_is_no_bot(recorded, headers):
    body = json.dumps({"events": [VIEW]})
    assert Client(headers=headers).post(URL, body, content_type="application/json").status_code == 200
    (event,) = recorded.events
    assert (event.is_bot, event.bot_reason) == (False, None)


def test_two_visitors_with_the_same_batch_keep_their_events(recorded):
    body = json.dumps({"events": [VIEW], "meta": {"batch_id": "batch-1"}})
    posts = [Client(headers={"User-Agent": agent}) for agent in ("Firefox", "Chrome")]
    for browser in (*posts, *posts):  # the second time with their cookies, as another batch of that name
        browser.post(URL, body, content_type="application/json")
    Client(headers={"User-Agent": "Firefox"}).post(URL, body, content_type="application/json")  # again, as the first
    ids = [event.event_id for event in recorded.events]
    assert len(set(ids)) == 4
    assert ids[4] == ids[0]


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head", "options"])
def test_other_methods_are_405(client, recorded, method):
    response = getattr(client, method)(URL)
    assert response.status_code == 405
    assert response["Allow"] == "POST"


def test_a_switched_off_app_has_no_endpoint(send, settings, recorded):
    settings.ML_ENABLED = False
    assert send(VIEW).status_code == 404
    assert recorded.events == []


def test_with_collection_off_nothing_is_kept_and_no_cookie_set(send, settings, recorded):
    settings.ML_DATA_COLLECTION = {"enabled": False}
    recorded.install()
    response = send(VIEW)
    assert response.json() == {"status": "ok", "processed": 0}
    assert not response.cookies
    assert recorded.events == []


def test_a_full_disk_asks_the_client_to_come_back(send, recorded):
    recorded.install(spool=FullSpool())
    response = send(VIEW)
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert not response.cookies, "nothing happened, so nothing is remembered"
    assert recorded.dead.letters == []


def test_a_failing_online_store_does_not_fail_the_request(send, recorded):
    class Broken:
        def record_many(self, batch):
            raise DatabaseError("gone")

    recorded.install(online_store=Broken())
    assert send(VIEW).json() == {"status": "ok", "processed": 1}
    assert counters.snapshot()["online.failed"] == 1
    assert len(recorded.events) == 1


def test_a_failing_dead_letter_does_not_fail_the_request(send, recorded):
    class Broken:
        def write_all(self, letters):
            raise OSError("disk full")

    recorded.install(dead_letters=Broken())
    assert send({"event_type": "nonsense"}, VIEW).json() == {"status": "ok", "processed": 1, "rejected": 1}
    assert counters.snapshot()["dead_letters.failed"] == 1


def test_the_next_page_knows_what_was_viewed(send, recorded):
    send(VIEW, {"event_type": "search", "query": "shoes"}, {**VIEW, "product_id": 8})
    anonymous = recorded.events[0].anonymous_id
    assert [one.item_id for one in recorded.online.recent(f"a:{anonymous}")] == ["7", "8"]


# -- nothing the client says about itself -----------------------------------------------------------


def test_what_only_the_server_may_say_is_not_read(send, recorded):
    forged = {
        **VIEW,
        **dict.fromkeys(("user_id", "anonymous_id", "source", "site", "ip_prefix", "ip_address", "country"), "forged"),
        **dict.fromkeys(("received_at", "event_time"), "2001-01-01T00:00:00Z"),
        "is_bot": True,
        "bot_reason": "forged",
        "consent": "granted",
        "revision": 9,
        "os": "x",
        "browser": "y",
    }
    send(forged, headers={"User-Agent": "Firefox"})
    (event,) = recorded.events
    assert (event.user_id, event.source, event.site, event.revision) == (None, "js", "default", 0)
    assert event.is_bot is False
    assert event.received_at.year > 2001
    assert "forged" not in repr(event)


def test_a_browsers_purchase_is_only_seen(send, recorded):
    order = {"order_id": "ORD-12345", "order_value": 199.98, "items_count": 2, "coupon": "SAVE10"}
    send({"event_type": "purchase", "data": order}, {"event_type": "Order Completed", "order_id": "2"})
    assert [(event.event_type, event.order_id) for event in recorded.events] == [
        ("purchase_seen", "ORD-12345"),
        ("purchase_seen", "2"),
    ]
    assert recorded.events[0].data == {"order_value": 199.98, "items_count": 2, "coupon": "SAVE10"}


@pytest.mark.parametrize("event_type", ["identity_link", "rec_served", "refund", "Order Refunded"])
def test_types_of_the_server_are_refused(send, recorded, event_type):
    assert send({"event_type": event_type, "order_id": "1"}).json()["rejected"] == 1
    assert recorded.dead.letters[0].reason == "server_only"


def test_crawlers_are_flagged_and_kept(send, recorded):
    send(VIEW, headers={"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"})
    send(VIEW, headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"})
    assert [(event.is_bot, event.bot_reason) for event in recorded.events] == [(True, "user_agent"), (False, None)]


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("", None),
    ],
)
def test_addresses_are_cut(send, recorded, address, prefix):
    send(VIEW, REMOTE_ADDR=address)
    (event,) = recorded.events
    assert (event.ip_prefix, event.ip_address) == (prefix, None)


def test_a_shop_may_keep_addresses(send, recorded, settings):
    settings.ML_DATA_COLLECTION = {"anonymize_ip": False}
    recorded.install()
    send(VIEW, REMOTE_ADDR="203.0.113.77")
    assert recorded.events[0].ip_address == "203.0.113.77"


# -- origin -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://testserver"}, 200),
        ({"Origin": "https://testserver"}, 200),  # TLS ends at a proxy
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://testserver.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://[x]"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind-a-proxy.example"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://other.testserver"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://www.partner.example"}, 200),
    ],
)
def test_events_are_taken_from_this_site_only(send, recorded, settings, headers, status):
    settings.ML_API = {"allowed_origins": ["https://www.partner.example"]}
    recorded.install()
    response = send(VIEW, headers=headers)
    assert response.status_code == status
    assert len(recorded.events) == (status == 200)
    foreign = headers.get("Origin") == "https://www.partner.example"
    assert ("Access-Control-Allow-Origin" in response) == foreign


def test_an_allowed_origin_may_ask_first(client, recorded, settings):
    settings.ML_API = {"allowed_origins": ["https://www.partner.example"]}
    response = client.options(URL, headers={"Origin": "https://www.partner.example", "Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 204
    assert response["Access-Control-Allow-Methods"] == "POST"


# -- what a host does to endpoints ------------------------------------------------------------------


def test_a_beacon_without_a_csrf_token_passes_as_text(recorded):
    strict = Client(enforce_csrf_checks=True)
    response = strict.post(URL, json.dumps({"events": [VIEW]}), content_type="text/plain;charset=UTF-8")
    assert response.json() == {"status": "ok", "processed": 1}


def test_a_packed_body_passes(client, recorded):
    body = gzip.compress(json.dumps({"events": [VIEW]}).encode())
    response = client.post(URL, body, content_type="application/json", headers={"Content-Encoding": "gzip"})
    assert response.json()["processed"] == 1
    broken = client.post(URL, b"no gzip", content_type="application/json", headers={"Content-Encoding": "gzip"})
    assert broken.status_code == 400


def test_a_browser_that_hangs_up_is_no_error_of_the_shop(rf, recorded, caplog):
    class Gone:
        def read(self, *given):
            raise OSError("Connection reset by peer")

    request = rf.post(URL, b"{}", content_type="application/json")
    request._stream = Gone()
    assert track(request).status_code == 400
    assert not recorded.events
    assert not caplog.records


def test_the_hosts_upload_limit_is_not_ours(send, recorded, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert send(VIEW).json()["processed"] == 1


def test_a_login_wall_and_a_middleware_that_reads_the_body_change_nothing(send, recorded, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "tests.api.test_track.read_the_body",
    ]
    assert send(VIEW).json()["processed"] == 1


def read_the_body(get_response):
    def middleware(request):
        assert request.body
        return get_response(request)

    return middleware


def test_the_view_is_outside_the_transaction_of_the_request():
    assert resolve(URL).func._non_atomic_requests == {"default"}


def test_without_sessions_and_users_it_works(recorded, settings):
    settings.MIDDLEWARE = []
    settings.ROOT_URLCONF = "ml.api.urls"
    response = Client().post("/track/", json.dumps({"events": [VIEW]}), content_type="application/json")
    assert response.json()["processed"] == 1
    assert "_ml" in response.cookies


def test_it_works_under_asgi(async_client, recorded):
    from asgiref.sync import async_to_sync

    response = async_to_sync(async_client.post)(URL, json.dumps({"events": [VIEW]}), content_type="application/json")
    assert response.json()["processed"] == 1


def test_no_answer_may_be_cached(send, recorded):
    assert send(VIEW)["Cache-Control"] == "no-store"


def test_a_failing_session_backend_leaves_the_visitor_as_known(recorded):
    class Broken:
        @property
        def is_authenticated(self):
            raise RuntimeError("the session store is down")

    request = RequestFactory().post(URL, json.dumps({"events": [VIEW]}), content_type="application/json")
    request.user = Broken()
    response = resolve(URL).func(request)
    assert json.loads(response.content)["processed"] == 1
    assert counters.snapshot()["identity.session_failed"] == 1


def test_a_rejected_event_can_be_taken_later_as_it_would_have_been(send, recorded, monkeypatch):
    monkeypatch.setitem(wire._TYPES, "product_view", None)  # a vocabulary that lacks what a newer tracker sends
    sent = datetime(2025, 3, 1, 12, tzinfo=UTC)
    with clock.use(clock.ManualClock(sent)):
        send({**VIEW, "timestamp": "2025-03-01T11:59:58Z"}, meta={"batch_id": "b1", "sent_at": "2025-03-01T12:00:01Z"})
    (letter,) = recorded.dead.letters
    monkeypatch.undo()
    first, second = collector.rebuild(letter), collector.rebuild(letter)
    assert first == second
    sender = letter.context["sender"]
    assert first.event_id == str(uuid.uuid5(NAMESPACE, f"batch:{len(sender)}:{sender}:2:b1:1:0"))
    assert (first.product_id, first.received_at) == ("7", sent)
    assert first.event_time == datetime(2025, 3, 1, 11, 59, 57, tzinfo=UTC)
    assert first.anonymous_id


def test_a_letter_that_is_still_wrong_stays(send, recorded):
    send({"event_type": "nonsense"})
    with pytest.raises(InvalidEvent):
        collector.rebuild(recorded.dead.letters[0])


@pytest.mark.parametrize(
    ("catalog", "currency"),
    [
        ({}, None),
        ({"product": None}, None),
        ({"product": {"fields": None}, "currency": "usd"}, "USD"),
        ({"product": {"fields": {"currency": None}}}, None),
        ({"product": {"fields": {"currency": "currency"}}, "currency": "EUR"}, "EUR"),
        ({"product": {"fields": {"currency": {"value": "JPY"}}}}, "JPY"),
        ({"product": {"fields": {"currency": {"in": {"value": "EUR"}, "out": {"value": "CHF"}}}}}, "EUR"),
        ({"product": {"fields": {"currency": {"in": {"value": "EUR"}, "out": {"value": "CHF"}}}}, "tax": "out"}, "CHF"),
        ({"product": {"fields": {"currency": {"in": "currency", "out": "currency"}}}, "currency": "EUR"}, "EUR"),
        ({"product": {"fields": {"currency": {"call": "shop.money.currency"}}}, "currency": "EUR"}, "EUR"),
    ],
)
def test_a_price_is_in_the_shops_currency_however_the_mapping_names_it(send, recorded, settings, catalog, currency):
    settings.ML_CATALOG = catalog
    recorded.install()
    assert send({**VIEW, "price": 1200}).status_code == 200
    (event,) = recorded.events
    assert (event.currency, event.unit_price) == (currency, 1200 if currency == "JPY" else 120_000)
