"""A real browser opens pages of a live server: each view arrives exactly once."""

import shutil
import time
from collections import Counter

import pytest

from ml_models.data_collection.queue import queue

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
GENEROUS = 60.0
"""Seconds no working machine needs; only a failure reaches it."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture
def shop(settings, recorded, live_server):
    settings.ROOT_URLCONF = "tests.api.urls"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.api.test_browser.strict_content_policy"]
    return live_server


def strict_content_policy(get_response):
    def middleware(request):
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'none'; script-src 'self'; connect-src 'self'"
        return response

    return middleware


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


def js(recorded):
    # Not `recorded.events`: it would store what the middleware queued, with the browser's event loop in this thread.
    from ml_models.core.event import decode_event

    spool = recorded.spool
    records = [record for source in spool.sources() for record in spool.read(source, 0, 9999).records]
    return [event for event in map(decode_event, records) if event.source == "js"]


def is_error(message):
    return message.type == "error" and not message.location["url"].endswith("/favicon.ico")


def wait_for(page, condition):
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, "nothing arrived"
        page.wait_for_timeout(20)


def test_views_arrive_exactly_once(shop, recorded, browser):
    errors = []
    context = browser.new_context()
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if is_error(message) else None)
    page.goto(f"{shop.url}/marked/tea/")
    wait_for(page, lambda: len(js(recorded)) >= 2)
    assert page.evaluate("Object.keys(window.BunoraaML)") == [
        "trackProductView",
        "trackAddToCart",
        "trackRemoveFromCart",
        "trackCheckout",
        "trackPurchase",
        "trackSearch",
        "track",
        "flush",
    ]
    # An action right before leaving: it must arrive although the page goes.
    page.evaluate("BunoraaML.trackAddToCart({product_id: 'tea', quantity: 2, price: 99.99})")
    page.goto(f"{shop.url}/")
    wait_for(page, lambda: len(js(recorded)) >= 4)
    page.evaluate("BunoraaML.flush()")
    cookie = {one["name"]: one for one in context.cookies()}["_ml"]
    context.close()

    found = js(recorded)
    assert Counter((event.event_type, event.product_id, event.page_url) for event in found) == {
        ("page_view", None, "/marked/tea/"): 1,
        ("product_view", "tea", "/marked/tea/"): 1,
        ("cart_add", "tea", "/marked/tea/"): 1,
        ("page_view", None, "/"): 1,
    }
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert len({event.anonymous_id for event in found}) == 1
    assert len({event.session_id for event in found}) == 1
    assert errors == []
    recent = recorded.online.recent(f"a:{found[0].anonymous_id}")
    assert [(one.item_id, one.event_type) for one in recent] == [("tea", "product_view"), ("tea", "cart_add")]
    assert next(event for event in found if event.event_type == "cart_add").unit_price == 9999

    # The middleware's copies carry the same ids, so that a reader can tell that they are copies.
    queue.flush()
    copies = [event for event in recorded.events if event.source == "middleware"]
    key = [(event.page_view_id, event.event_type) for event in found if event.event_type != "cart_add"]
    assert Counter((event.page_view_id, event.event_type) for event in copies) == Counter(key)
