"""Who is no person, and what of the device is kept."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from ml_models.data_collection import bots, devices

PEOPLE = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36": (
        *("desktop", "Chrome 120", "Windows 10"),
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0": ("desktop", "Firefox 121", "Linux"),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 "
    "Safari/605.1.15": ("desktop", "Safari 17", "Mac OS X 10"),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 "
    "Edg/120.0.2210.91": ("desktop", "Edge 120", "Windows 10"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 "
    "Mobile/15E148 Safari/604.1": ("mobile", "Mobile Safari 17", "iOS 17"),
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 "
    "Safari/604.1": ("tablet", "Mobile Safari 16", "iOS 16"),
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile "
    "Safari/537.36": ("mobile", "Chrome Mobile 120", "Android 14"),
    "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36": (
        *("tablet", "Chrome 119", "Android 13"),
    ),
    # Cubot makes telephones.
    "Mozilla/5.0 (Linux; Android 9; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Mobile "
    "Safari/537.36": ("mobile", "Chrome Mobile 110", "Android 9"),
    "Opera/9.80 (Android; Opera Mini/36.2/119.132; U; id) Presto/2.12.423 Version/12.16": (
        *("mobile", "Opera Mini 36", "Android"),
    ),
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36": (
        *("other", "Safari 6", "Tizen 6"),
    ),
    # A browser with a crawler's name in its own.
    "Mozilla/5.0 (Linux; Android 10; Redmi Note 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0.0.0 Mobile "
    "Safari/537.36 SogouMobileBrowser/5.30.16": ("mobile", "Chrome Mobile 100", "Android 10"),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 "
    "Safari/605.1.15 (Technology Preview)": ("desktop", "Safari 17", "Mac OS X 10"),
    "okhttp/4.12.0": ("other", "okhttp 4", None),  # the library of Android apps
    "Nothing/1.0": ("other", None, None),
    "": (None, None, None),
}
ROBOTS = {
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "user_agent",
    "facebookexternalhit/1.1": "user_agent",
    "curl/8.5.0": "user_agent",
    "python-requests/2.31.0": "user_agent",
    "SomeNewSpider/0.1": "user_agent",
    "Java/17.0.2": "user_agent",
    "node": "user_agent",
    "undici": "user_agent",
    "PostmanRuntime/7.36.0": "user_agent",
    "Lynx/2.8.9rel.1 libwww-FM/2.14": "user_agent",
    "SkypeUriPreview Preview/0.5": "user_agent",
    "NewLinkPreview/1.0": "user_agent",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36": (
        "automation"
    ),
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1": (
        "automation"
    ),
}


@pytest.mark.parametrize(("agent", "device"), PEOPLE.items())
def test_people(agent, device):
    assert bots.reason_of(agent) is None
    found = devices.of(agent)
    assert (found.type, found.browser, found.os) == device


@pytest.mark.parametrize(("agent", "reason"), ROBOTS.items())
def test_robots(agent, reason):
    assert bots.reason_of(agent) == reason


def test_every_example_of_the_list_is_recognised():
    folder = Path(find_spec("crawleruseragents").origin).parent
    listed = json.loads((folder / "crawler-user-agents.json").read_text(encoding="utf-8"))
    agents = [agent for one in listed for agent in one["instances"] if one["pattern"] != "okhttp"]
    assert len(agents) > 1000
    assert [agent for agent in agents if bots.reason_of(agent) is None] == []


def test_client_hints_give_a_headless_browser_away():
    chrome = next(iter(PEOPLE))
    assert bots.reason_of(chrome, '"HeadlessChrome";v="120"') == "automation"
    assert bots.reason_of(chrome, '"Chromium";v="120", "Google Chrome";v="120"') is None


def pages(pace, sender, moments, most=60):
    return [pace.page(sender, moment, most) for moment in moments]


def test_a_pace_no_person_keeps():
    pace = bots.Pace()
    assert not any(pages(pace, "person", range(0, 600, 2)))  # one page in two seconds, for ten minutes
    fast = pages(pace, "robot", [place / 2 for place in range(100)])
    assert fast == [False] * 60 + [True] * 40
    assert pace.too_fast("robot")
    assert not pace.too_fast("person")
    assert not pace.too_fast("nobody")


def test_it_stays_a_robot_until_it_was_slow_for_a_minute():
    pace = bots.Pace()
    pages(pace, "robot", [0.0] * 61)
    assert pages(pace, "robot", [60, 61, 62]) == [True] * 3  # the window before was fast
    assert pages(pace, "robot", [121]) == [False]  # and that one was slow
    pages(pace, "robot", [121.0] * 70)
    assert pages(pace, "robot", [500]) == [False]


def test_the_memory_of_senders_is_bounded():
    pace = bots.Pace(size=3)
    pages(pace, "robot", [0.0] * 61)
    for sender in ("a", "b"):
        pace.page(sender, 1.0, 60)
    assert pace.too_fast("robot")
    pace.page("c", 1.0, 60)
    assert len(pace) == 3
    assert not pace.too_fast("robot")
    pace.reset()
    assert len(pace) == 0
