"""Every key of `ML_DATA_COLLECTION` and `ML_TRACKING` makes a difference; here those that a request can show.

`retention_days` is shown in test_retention, `anonymize_ip`, `collect_location`, `collect_device_info` in test_client,
`exclude_bots` in test_user_profile, test_product_analytics and test_auto_training.
"""

import pytest
from django.test import RequestFactory

from ml_models import signals
from ml_models.data_collection import bots, counters
from ml_models.data_collection.events import EventTracker
from ml_models.data_collection.queue import queue

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
PERSON = {"User-Agent": CHROME, "Accept-Language": "de"}


@pytest.fixture(autouse=True)
def _fresh_pace():
    bots.pace.reset()
    yield
    bots.pace.reset()


def use(settings, recorded, **changed):
    for name, value in changed.items():
        setattr(settings, name, value)
    recorded.install()


@pytest.mark.parametrize("on", [True, False])
def test_enabled(client, send, recorded, settings, on):
    use(settings, recorded, ML_DATA_COLLECTION={"enabled": on})
    send({"event_type": "page_view"})
    client.get("/")
    signals.emit_search(RequestFactory().get("/"), "tea")
    EventTracker().track_event(data={"action": "x"})
    assert len(recorded.events) == (4 if on else 0)


@pytest.mark.parametrize("size", [3, 100])
def test_batch_size(recorded, settings, size, monkeypatch):
    use(settings, recorded, ML_DATA_COLLECTION={"batch_size": size})
    batches = []
    append = recorded.spool.append
    monkeypatch.setattr(recorded.spool, "append", lambda records: (batches.append(len(records)), append(records))[1])
    for _ in range(7):
        signals.emit_search(None, "tea")
    queue.flush()
    assert batches == ([3, 3, 1] if size == 3 else [7])


@pytest.mark.parametrize(
    ("key", "event"),
    [
        ("track_clicks", {"event_type": "click", "data": {"tag": "a"}}),
        ("track_forms", {"event_type": "form_interaction", "data": {"form_id": "f", "fields": 3}}),
        ("track_engagement", {"event_type": "page_engagement", "data": {"engaged_ms": 5}}),
        ("track_page_views", {"event_type": "page_view"}),
    ],
)
def test_what_is_switched_off_is_counted_and_not_stored(send, recorded, settings, key, event):
    assert send(event).json() == {"status": "ok", "processed": 1}
    use(settings, recorded, ML_TRACKING={key: False})
    assert send(event, {"event_type": "cart_view"}).json() == {"status": "ok", "processed": 1}
    assert [one.event_type for one in recorded.events] == [event["event_type"], "cart_view"]
    assert counters.snapshot() == {f"off.{key}": 1}
    assert recorded.dead.letters == []


def test_product_views_switched_off_are_those_nobody_asked_for(client, send, recorded, settings):
    use(settings, recorded, ML_TRACKING={"track_product_views": False})
    send({"event_type": "product_view", "product_id": "7"})
    signals.emit_product_view(None, product=7)
    assert [one.source for one in recorded.of_type("product_view")] == ["js", "server"]


def test_excluded_paths_hold_for_the_tracker_too(client, send, recorded, settings):
    use(settings, recorded, ML_TRACKING={"exclude_paths": ["/intern/"]})
    send({"event_type": "page_view", "page_url": "https://shop.example/intern/x"}, {"event_type": "page_view"})
    send({"event_type": "page_view", "page_url": "/admin/"})
    assert [one.page_url for one in recorded.events] == [None, "/admin/"]
    assert counters.snapshot() == {"off.exclude_paths": 1}


# -- the behaviour of robots ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (PERSON, None),
        ({"User-Agent": CHROME, "Cookie": "sessionid=x"}, None),
        ({"User-Agent": CHROME}, "bare_request"),
        ({"User-Agent": "Googlebot/2.1"}, "user_agent"),
    ],
)
def test_a_page_no_browser_asks_for(client, recorded, headers, reason):
    client.get("/", headers=headers)
    (event,) = recorded.events
    assert (event.is_bot, event.bot_reason) == (reason is not None, reason)


def test_an_app_without_cookie_and_language_is_no_robot(send, recorded):
    send({"event_type": "cart_view"}, headers={"User-Agent": "ShopApp/3 CFNetwork/1490"})
    signals.emit_cart_view(RequestFactory().get("/", headers={"User-Agent": "okhttp/4.12.0"}))
    assert [event.is_bot for event in recorded.events] == [False, False]


def test_a_pace_no_person_keeps_is_flagged_on_every_way(client, send, recorded):
    send({"event_type": "cart_view"}, headers=PERSON)  # hands the cookie out
    for _ in range(bots.PAGES + 1):
        client.get("/", headers=PERSON)
    pages = recorded.of_type("page_view")
    assert [event.bot_reason for event in pages] == [None] * bots.PAGES + ["pace"]
    send({"event_type": "product_view", "product_id": "7"}, headers=PERSON)
    assert recorded.events[-1].bot_reason == "pace"


def test_people_behind_one_address_have_a_pace_each(client, send, recorded):
    for _ in range(3):
        client.cookies.clear()
        send({"event_type": "cart_view"}, headers=PERSON)
        for _ in range(bots.PAGES // 2):
            client.get("/", headers=PERSON)
    assert not any(event.is_bot for event in recorded.events)


def test_without_a_cookie_the_pace_is_that_of_address_and_agent(client, recorded):
    for number in range(bots.PAGES_WITHOUT_COOKIE + 1):
        client.get("/", headers=PERSON)
        client.get("/", headers={**PERSON, "User-Agent": CHROME.replace("120", "119")}) if number % 2 else None
    flagged = [event for event in recorded.events if event.is_bot]
    assert [(event.browser, event.bot_reason) for event in flagged] == [("Chrome 120", "pace")]
