"""A real browser opens pages of a live server: each event arrives, under one id however often it is sent."""

import shutil
import time
from collections import Counter

import pytest

from ml_models.data_collection.queue import queue
from tests.waiting import GENEROUS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

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
        chromium = started.chromium.launch(
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield chromium
        chromium.close()


def js(recorded):
    # Not `recorded.events`: it would store what the middleware queued, with the browser's event loop in this thread.
    from ml_models.core.event import decode_event

    spool = recorded.spool
    records = [record for source in spool.sources() for record in spool.read(source, 0, 9999).records]
    # An event that the page could not wait for is sent a second time; the lake keeps one row of an id.
    return list({event.event_id: event for event in map(decode_event, records) if event.source == "js"}.values())


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
        "consent",
    ]
    # An action right before leaving: it must arrive although the page goes.
    page.evaluate("BunoraaML.trackAddToCart({product_id: 'tea', quantity: 2, price: 99.99})")
    page.goto(f"{shop.url}/")
    wait_for(page, lambda: len(js(recorded)) >= 5)
    page.evaluate("BunoraaML.flush()")
    cookie = {one["name"]: one for one in context.cookies()}["_ml"]
    found = js(recorded)
    context.close()

    assert Counter((event.event_type, event.product_id, event.page_url) for event in found) == {
        ("page_view", None, "/marked/tea/"): 1,
        ("product_view", "tea", "/marked/tea/"): 1,
        ("cart_add", "tea", "/marked/tea/"): 1,
        ("page_engagement", None, "/marked/tea/"): 1,
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
    key = [(event.page_view_id, event.event_type) for event in found if event.event_type.endswith("_view")]
    assert Counter((event.page_view_id, event.event_type) for event in copies) == Counter(key)


def test_what_tabs_recorded_offline_arrives_with_the_next_visit(shop, recorded, browser):
    context = browser.new_context()
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"{shop.url}/tagged/")
    wait_for(tabs[0], lambda: len(js(recorded)) >= 2)
    context.set_offline(True)
    for n in range(30):
        tabs[n % 2].evaluate(f"BunoraaML.track('offline', {{n: {n}}})")
    for tab in tabs:
        with tab.expect_event("close"):
            tab.close(run_before_unload=True)
    assert [event for event in js(recorded) if event.event_type == "custom"] == []
    context.set_offline(False)
    page = context.new_page()
    page.goto(f"{shop.url}/tagged/")
    wait_for(page, lambda: sum(event.event_type == "custom" for event in js(recorded)) >= 30)
    context.close()
    numbers = Counter(event.data["n"] for event in js(recorded) if event.event_type == "custom")
    assert numbers == dict.fromkeys(range(30), 1)


def test_a_page_comes_back_from_memory_as_a_new_view(shop, recorded, browser):
    page = browser.new_page()
    page.add_init_script("addEventListener('pageshow', (event) => { window.persisted = event.persisted; })")
    page.goto(f"{shop.url}/tagged/")
    page.click("#away")
    page.wait_for_url(f"{shop.url}/")
    page.go_back(wait_until="commit")
    page.wait_for_function("window.persisted !== undefined")
    assert page.evaluate("window.persisted") is True
    views = lambda: [event for event in js(recorded) if event.event_type == "page_view"]  # noqa: E731
    wait_for(page, lambda: len(views()) >= 3)
    page.close()
    assert Counter(event.page_url for event in views()) == {"/tagged/": 2, "/": 1}
    assert len({event.page_view_id for event in views()}) == 3
    clicks = [event.data["href"] for event in js(recorded) if event.event_type == "click"]
    assert clicks == ["/"]


def test_before_consent_not_a_byte_leaves_or_stays(shop, settings, recorded, browser):
    settings.ML_PRIVACY = {"consent": "required"}
    recorded.install()  # a change of settings resets what was in force
    context = browser.new_context()
    page = context.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url) if request.method == "POST" else None)
    page.goto(f"{shop.url}/tagged/")
    page.evaluate("BunoraaML.trackAddToCart({product_id: 'tea'})")
    page.evaluate("BunoraaML.flush()")
    page.wait_for_timeout(300)
    stored = "(async () => [localStorage.length, document.cookie, (await indexedDB.databases()).length])()"
    assert (page.evaluate(stored), requests, js(recorded)) == ([0, "", 0], [], [])
    page.evaluate("BunoraaML.consent('granted')")
    wait_for(page, lambda: len(js(recorded)) >= 3)
    cookie = {one["name"]: one for one in context.cookies()}["_ml_consent"]
    assert (cookie["value"], cookie["sameSite"]) == ("granted", "Lax")
    assert [event.event_type for event in js(recorded)] == ["page_view", "cart_add", "consent_change"]
    page.evaluate("BunoraaML.consent('denied')")
    page.evaluate("BunoraaML.trackAddToCart({product_id: 'coffee'})")
    page.wait_for_timeout(300)
    assert page.evaluate("localStorage.length") == 0
    context.close()
    assert [event.product_id for event in js(recorded) if event.event_type == "cart_add"] == ["tea"]
