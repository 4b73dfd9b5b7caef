"""429: who is refused, with what, and that nothing of a refused request is read or kept."""

import json
from datetime import UTC, datetime

import pytest
from django.test import Client

from ml_models.core import clock
from ml_models.data_collection import counters
from tests.api.conftest import URL

VIEW = {"event_type": "product_view", "product_id": "7"}
BODY = json.dumps({"events": [VIEW]})

pytestmark = pytest.mark.django_db


@pytest.fixture
def limited(settings, recorded):
    settings.ML_LIMITS = {"visitor_rate": 0.5, "visitor_burst": 2, "network_rate": 0.2, "network_burst": 4}
    return recorded.install()


@pytest.fixture
def manual():
    with clock.use(clock.ManualClock(datetime(2026, 5, 1, tzinfo=UTC))) as manual:
        yield manual


def post(browser, address="203.0.113.7", body=BODY):
    return browser.post(URL, body, content_type="application/json", REMOTE_ADDR=address)


def test_a_visitor_that_sends_too_much_is_asked_to_wait(limited, manual, client):
    # The first answer sets the cookie; only from then on is there a visitor to charge.
    assert [post(client).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = post(client, address="198.51.100.1")
    assert refused.status_code == 429
    assert refused["Retry-After"] == "2"
    assert refused["Cache-Control"] == "no-store"
    assert counters.snapshot()["track.429.visitor"] == 2
    manual.advance(seconds=2)
    assert post(client, address="198.51.100.1").status_code == 200


def test_requests_without_a_valid_cookie_are_charged_to_their_network(limited, manual):
    answers = [post(Client(headers={"Cookie": f"_ml=1.forged.{n}.0.0"})) for n in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429, 429]
    assert answers[-1]["Retry-After"] == "5"
    assert counters.snapshot()["track.429.network"] == 2
    assert post(Client(), address="203.0.113.250").status_code == 429, "the same /24"
    assert post(Client(), address="203.0.114.7").status_code == 200, "another one is none the worse"


def test_a_shop_behind_an_unnamed_proxy_has_a_limit(limited, manual):
    def through_nginx(address):
        headers = {"X-Forwarded-For": f"1.2.3.4, {address}"}
        return Client().post(URL, BODY, content_type="application/json", REMOTE_ADDR="127.0.0.1", headers=headers)

    assert [through_nginx("203.0.113.7").status_code for _ in range(6)] == [200] * 4 + [429] * 2
    assert through_nginx("198.51.100.4").status_code == 200
    assert counters.snapshot()["limits.unnamed_proxy"] == 7


def test_a_refused_request_is_counted_and_nothing_else(limited, manual, client):
    for _ in range(3):
        post(client)
    before = len(limited.events)
    assert post(client, body=json.dumps({"events": [{"event_type": "nonsense"}]})).status_code == 429
    assert post(client, body="no json at all").status_code == 429, "the body is not looked at"
    assert len(limited.events) == before
    assert limited.dead.letters == []


def test_an_oversized_request_is_counted_and_nothing_else(limited, manual, client):
    assert post(client, body=json.dumps({"events": [{"x": "y" * 300_000}]})).status_code == 413
    assert post(client, body=json.dumps({"events": [VIEW] * 101})).status_code == 413
    assert counters.snapshot()["track.413"] == 2
    assert limited.dead.letters == []
    assert limited.events == []


def test_the_body_of_a_refused_request_is_not_read(limited, manual):
    from django.test import RequestFactory
    from django.urls import resolve

    for _ in range(4):
        post(Client())
    request = RequestFactory().post(URL, BODY, content_type="application/json", REMOTE_ADDR="203.0.113.7")
    assert resolve(URL).func(request).status_code == 429
    assert request.read() == BODY.encode()
