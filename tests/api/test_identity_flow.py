"""A visitor's way through login, logout and a shared device, over the track endpoint."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.signing import Signer
from django.test import Client

from ml_models.core import clock
from ml_models.core.data_loader import interaction_frame
from ml_models.core.lake_schema import to_frame
from ml_models.data_collection import counters
from ml_models.data_collection.identity import verify

VIEW = {"event_type": "product_view", "product_id": "7"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def users():
    make = get_user_model().objects.create_user
    return make("ada", password="a"), make("bob", password="b")


def cookie_of(client):
    return verify(client.cookies["_ml"].value)[0]


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = "tests.api.urls"


def login(client, user):
    """Through a page: the test client's own login brings no cookies along."""
    assert client.post(f"/login/{user.pk}/").status_code == 200


def logout(client):
    assert client.post("/logout/").status_code == 200


def items(recorded, key):
    return [one.item_id for one in recorded.online.recent(key)]


def test_the_cookie_comes_once(client, send):
    assert "_ml" in send(VIEW).cookies
    assert "_ml" not in send(VIEW).cookies


def test_login_gives_the_guests_history_to_the_user(client, send, recorded, users):
    ada, _ = users
    send(VIEW)
    guest = cookie_of(client)
    login(client, ada)
    # At once, for the page after the login:
    assert items(recorded, f"u:{ada.pk}") == ["7"]
    assert items(recorded, f"a:{guest.anonymous_id}") == []
    # With the next track request, for the lake:
    send({**VIEW, "product_id": "8"})
    bound = cookie_of(client)
    assert bound.user_id == str(ada.pk)
    assert bound.anonymous_id != guest.anonymous_id
    (link,) = recorded.of_type("identity_link")
    assert (link.anonymous_id, link.user_id, link.source) == (guest.anonymous_id, str(ada.pk), "server")
    assert items(recorded, f"u:{ada.pk}") == ["7", "8"]
    send(VIEW)
    assert len(recorded.of_type("identity_link")) == 1, "written once"


def test_logout_starts_a_new_visitor(client, send, recorded, users):
    ada, _ = users
    login(client, ada)
    send(VIEW)
    before = cookie_of(client)
    logout(client)
    send({**VIEW, "product_id": "guest"})
    after = cookie_of(client)
    assert after.anonymous_id != before.anonymous_id
    assert after.user_id is None
    assert items(recorded, f"u:{ada.pk}") == ["7"]
    assert items(recorded, f"a:{after.anonymous_id}") == ["guest"]


def test_two_users_of_one_device_are_never_merged(client, send, recorded, users):
    ada, bob = users
    send({**VIEW, "product_id": "guest"})
    login(client, ada)
    send({**VIEW, "product_id": "ada"})
    logout(client)
    login(client, bob)  # no track request between the two
    send({**VIEW, "product_id": "bob"})
    assert items(recorded, f"u:{ada.pk}") == ["guest", "ada"]
    assert items(recorded, f"u:{bob.pk}") == ["bob"]
    links = recorded.of_type("identity_link")
    assert [link.user_id for link in links] == [str(ada.pk), str(bob.pk)]
    assert len({link.anonymous_id for link in links}) == 2


def test_who_planted_the_guests_cookie_does_not_become_the_user(client, send, recorded, users):
    ada, _ = users
    send(VIEW, headers={"User-Agent": "Firefox"})
    planted = client.cookies["_ml"].value
    login(client, ada)
    send({**VIEW, "product_id": "8"})
    stranger = Client()
    stranger.cookies["_ml"] = planted
    body = json.dumps({"events": [{**VIEW, "product_id": "evil"}]})
    stranger.post("/api/ml/track/", body, content_type="application/json")
    later = recorded.events[-1]
    assert (later.product_id, later.user_id) == ("evil", None)
    assert items(recorded, f"u:{ada.pk}") == ["7", "8"]
    after = clock.now() + timedelta(hours=1)
    later.event_time = later.received_at = after
    rows = to_frame([*recorded.events[:-1], later]).lazy()
    frame = interaction_frame(rows).collect()
    assert sorted(zip(frame["visitor"], frame["item"], strict=True)) == [
        (f"a:{verify(planted)[0].anonymous_id}", "evil"),
        (f"u:{ada.pk}", "7"),
        (f"u:{ada.pk}", "8"),
    ]


def test_two_first_requests_under_way_together_are_one_visitor(recorded):
    event = {**VIEW, "session_id": "0195500a-2c00-7000-8000-000000000001"}
    answers = [
        Client(headers={"User-Agent": "Firefox"}).post(
            "/api/ml/track/", json.dumps({"events": [{**event, "product_id": item}]}), content_type="application/json"
        )
        for item in ("1", "2")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    first, second = recorded.events
    assert first.anonymous_id == second.anonymous_id
    assert {verify(answer.cookies["_ml"].value)[0].anonymous_id for answer in answers} == {first.anonymous_id}


def test_a_failing_store_does_not_break_the_login(client, send, recorded, users):
    class Broken:
        def merge(self, source, target):
            raise RuntimeError("gone")

        def record_many(self, batch):
            raise RuntimeError("gone")

    recorded.install(online_store=Broken())
    send(VIEW)
    login(client, users[0])
    assert counters.snapshot()["login.merge_failed"] == 1
    assert client.session["_auth_user_id"] == str(users[0].pk)


def test_a_forged_cookie_gets_a_new_visitor(client, send, recorded, users):
    client.cookies["_ml"] = Signer().sign(f"1.01953f3c-1111-7000-8000-000000000001.{users[0].pk}")
    send(VIEW)
    (event,) = recorded.events
    assert event.user_id is None
    assert cookie_of(client).anonymous_id == event.anonymous_id


@pytest.mark.parametrize("path", ["/api/ml/track/", "/api/ml/recommendations/"])
def test_an_answer_that_was_asked_for_before_the_login_does_not_undo_it(users, path, recorded):
    client, late = Client(), Client()
    session = client.session
    session["cart"] = {"7": 1}
    session.save()
    late.cookies = client.cookies.copy()  # under way while the login gives the session a new key
    login(client, users[0])
    assert late.cookies["sessionid"].value != client.cookies["sessionid"].value
    if path.endswith("track/"):
        answer = late.post(path, json.dumps({"events": [VIEW]}), content_type="application/json")
    else:
        answer = late.get(path)
    assert "sessionid" not in answer.cookies


def test_where_every_request_saves_its_session_ours_overwrites_none(client, send, settings, users, monkeypatch):
    from ml_models import api_track

    settings.SESSION_SAVE_EVERY_REQUEST = True
    login(client, users[0])
    send(VIEW)
    accept = api_track._accept

    def slow(request, api):
        answer = accept(request, api)
        session = client.session  # meanwhile another request puts something into the cart
        session["cart"] = {"7": 1}
        session.save()
        return answer

    monkeypatch.setattr(api_track, "_accept", slow)
    send(VIEW)
    assert client.session["cart"] == {"7": 1}
