"""`GET recommendations/`: the request, the response and what a host may not do to them."""

import json

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

from ml_models.core import clock
from ml_models.core.errors import CatalogueError
from ml_models.core.ids import uuid7
from ml_models.data_collection.identity import Identity, sign

URL = "/api/ml/recommendations/"
IDS = [f"p{number}" for number in range(30)]


@pytest.fixture(autouse=True)
def _no_statistics(monkeypatch):
    monkeypatch.setattr("ml_models.serving.stats.ProductRanking._read", lambda self, k: [])


@pytest.fixture
def stocked(shop):
    shop.catalogue.products = dict.fromkeys(IDS, True)
    return shop


@pytest.fixture
def guest(client):
    """Key of the visitor that the client's cookie names."""
    identity = Identity(uuid7(), None, int(clock.now().timestamp()))
    client.cookies["_ml"] = sign(identity)
    return identity.key


def test_the_response_is_the_guides(client, stocked):
    stocked.promote_popular({"p3": 4, "p4": 2})
    response = client.get(URL, {"type": "popular", "limit": 2})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.content) == {
        "status": "ok",
        "recommendations": [{"product_id": "p3", "score": 1.0}, {"product_id": "p4", "score": 0.51}],
        "meta": {
            "type": "popular",
            "sources": [{"source": "popular", "model": "popular", "version": 1, "items": 2}],
            "fallback": False,
        },
    }


def test_no_parameters_mean_ten_personal_products(client, stocked):
    body = client.get(URL).json()
    assert body["meta"]["type"] == "personalized"
    assert [item["product_id"] for item in body["recommendations"]] == [f"p{n}" for n in range(29, 19, -1)]


def test_the_cookies_visitor_is_asked_for(client, stocked, guest, viewed):
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9})
    stocked.online.add(guest, *viewed("p1"))
    assert client.get(URL, {"limit": 1}).json()["recommendations"][0]["product_id"] == "p7"


def test_a_forged_cookie_is_nobody(client, stocked, guest, viewed):
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9})
    stocked.online.add(guest, *viewed("p1"))
    good = client.cookies["_ml"].value
    client.cookies["_ml"] = good[:-1] + ("0" if good[-1] != "0" else "1")
    assert client.get(URL, {"limit": 1}).json()["recommendations"][0]["product_id"] == "p29"
    assert stocked.online.asked == 0


def test_a_client_cannot_name_a_visitor(client, stocked, guest, viewed):
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9})
    stocked.online.add("u:1", *viewed("p1"))
    body = client.get(URL, {"limit": 1, "visitor": "u:1", "user_id": "1"}).json()
    assert body["recommendations"][0]["product_id"] == "p29"


def test_exclude_by_comma_and_repeated(client, stocked):
    response = client.get(f"{URL}?type=new&limit=3&exclude=p29,p28&exclude=p26&exclude=&exclude=%20p25%20")
    assert [item["product_id"] for item in response.json()["recommendations"]] == ["p27", "p24", "p23"]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"limit": "0"}, "limit must be a whole number from 1 to 100, not '0'."),
        ({"limit": "101"}, "limit must be a whole number from 1 to 100, not '101'."),
        ({"limit": "-1"}, "limit must be a whole number from 1 to 100, not '-1'."),
        ({"limit": "ten"}, "limit must be a whole number from 1 to 100, not 'ten'."),
        ({"limit": ""}, "limit must be a whole number from 1 to 100, not ''."),
        ({"limit": "1e1"}, "limit must be a whole number from 1 to 100, not '1e1'."),
        ({"limit": "٣"}, "limit must be a whole number from 1 to 100, not '٣'."),
        ({"limit": "9" * 5000}, "limit must be a whole number from 1 to 100, not '99999999999999999999'."),
        ({"type": "personal"}, "There is no list of type 'personal'. Did you mean personalized?"),
        ({"type": "similar"}, "A list of type 'similar' needs product_id: the product that the others are similar to."),
        ({"type": "similar", "product_id": "x" * 201}, "A product id has at most 200 printable characters."),
        ({"exclude": "a\x00b"}, "A product id has at most 200 printable characters."),
        ({"exclude": ",".join(map(str, range(1001)))}, "exclude names 1001 products, but may name at most 1000."),
    ],
)
def test_wrong_parameters_are_400_with_a_sentence(client, stocked, parameters, sentence):
    response = client.get(URL, parameters)
    assert response.status_code == 400
    assert response.json() == {"status": "error", "error": sentence}
    assert response.headers["Cache-Control"] == "private, no-store"


def test_only_get(client, stocked):
    for method in ("post", "put", "patch", "delete"):
        response = getattr(client, method)(URL)
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"
        assert response.json()["status"] == "error"
    assert client.head(URL).status_code == 200


def test_a_wrong_method_is_405_where_the_host_checks_csrf(stocked, settings):
    settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware", *settings.MIDDLEWARE]
    response = Client(enforce_csrf_checks=True).post(URL)
    assert (response.status_code, response.json()["status"]) == (405, "error")


def test_no_cache_keeps_or_shares_it(client, stocked):
    headers = client.get(URL).headers
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["Vary"] == "Cookie"
    assert "Set-Cookie" not in headers


def test_switched_off_is_404(client, shop, settings):
    settings.ML_ENABLED = False
    shop.install()
    response = client.get(URL)
    assert response.status_code == 404
    assert response.json()["status"] == "error"
    assert shop.catalogue.asked == 0


@pytest.mark.parametrize("error", [CatalogueError("ML_CATALOG maps no product."), OperationalError("secret host")])
def test_an_unreadable_shop_is_503_and_says_nothing_private(client, stocked, monkeypatch, caplog, error):
    def down(*args):
        raise error

    monkeypatch.setattr(stocked.catalogue, "newest", down)
    response = client.get(URL, {"type": "new"})
    assert response.status_code == 503
    assert response.json() == {
        "status": "error",
        "error": "The shop's products cannot be read right now. Try again later.",
    }
    assert str(error) in caplog.text
    assert "manage.py check" in caplog.text


def test_wrong_settings_are_503_too(client, settings, caplog):
    settings.ML_SERVING = {"histry": 3}
    response = client.get(URL)
    assert response.status_code == 503
    assert response.json()["status"] == "error"
    assert "histry" not in response.content.decode()
    assert "ML_SERVING" in caplog.text


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ]
)
def test_a_login_wall_of_the_host_does_not_stop_it(client, shop):
    shop.install()
    shop.catalogue.products = {"p1": True}
    assert client.get(URL).json()["recommendations"] == [{"product_id": "p1", "score": 1.0}]


def test_it_opens_no_transaction_of_the_request(rf):
    from ml_models.api_views import recommendations

    assert recommendations._non_atomic_requests == {"default"}
