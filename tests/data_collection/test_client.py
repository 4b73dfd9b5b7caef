"""The sender of a request: whose address, cut how, from where."""

import sys
from datetime import UTC, datetime

import pytest

from ml_models.core import clock
from ml_models.data_collection import counters, geo
from ml_models.data_collection.client import Client, network_of
from tests.data_collection import mmdb

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
PROXY = "10.0.0.1"


def meta(peer=PROXY, forwarded=None, agent=CHROME, **more):
    headers = {"REMOTE_ADDR": peer, "HTTP_USER_AGENT": agent, **more}
    return headers if forwarded is None else {**headers, "HTTP_X_FORWARDED_FOR": forwarded}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "prefix"),
    [
        (0, "203.0.113.7", "10.0.0.0/24"),  # nobody's word but the peer's
        (1, "203.0.113.7", "203.0.113.0/24"),
        (1, "198.51.100.1, 203.0.113.7", "203.0.113.0/24"),  # the left one is the sender's invention
        (2, "198.51.100.1, 203.0.113.7", "198.51.100.0/24"),
        (2, "192.0.2.9,198.51.100.1,203.0.113.7", "198.51.100.0/24"),
        (2, "203.0.113.7", "10.0.0.0/24"),  # fewer places than proxies: past them
        (3, " , ,203.0.113.7", "10.0.0.0/24"),
        (1, "", "10.0.0.0/24"),
        (1, None, "10.0.0.0/24"),
        (1, "unknown", "10.0.0.0/24"),
        (1, "203.0.113.7, garbage", "10.0.0.0/24"),
        (1, "999.1.1.1", "10.0.0.0/24"),
        (1, "203.0.113.7:4711", "203.0.113.0/24"),
        (1, "[2001:db8:1:2::3]:4711", "2001:db8:1::/48"),
        (1, "[2001:db8:1:2::3]", "2001:db8:1::/48"),
        (1, "2001:db8:1:2::3", "2001:db8:1::/48"),
        (1, "::ffff:203.0.113.7", "203.0.113.0/24"),
        (1, "[::ffff:203.0.113.7]:80", "203.0.113.0/24"),
        (1, "fe80::1%eth0", "fe80::/48"),
        (1, "1" * 5000, "10.0.0.0/24"),
    ],
)
def test_the_address_is_taken_from_the_right_place(settings, proxies, forwarded, prefix):
    settings.ML_LIMITS = {"trusted_proxies": proxies}
    assert Client.of(meta(forwarded=forwarded)).ip_prefix == prefix
    assert network_of(meta(forwarded=forwarded)) == prefix


def test_the_header_forwarded_is_not_believed(settings):
    settings.ML_LIMITS = {"trusted_proxies": 1}
    assert Client.of(meta(HTTP_FORWARDED="for=203.0.113.7")).ip_prefix == "10.0.0.0/24"


def test_a_unix_socket_has_no_address():
    assert Client.of({}).columns() == Client().columns()
    assert network_of({"REMOTE_ADDR": ""}) is None


def test_the_whole_address_only_where_the_shop_says_so(settings):
    assert "203.0.113.7" not in repr(Client.of(meta("203.0.113.7")))
    settings.ML_DATA_COLLECTION = {"anonymize_ip": False}
    client = Client.of(meta("203.0.113.7"))
    assert (client.ip_address, client.ip_prefix) == ("203.0.113.7", "203.0.113.0/24")


def test_the_user_agent_is_kept_nowhere():
    assert "AppleWebKit" not in repr(Client.of(meta()))


def test_device_info_only_where_the_shop_collects_it(settings):
    assert (Client.of(meta()).device_type, Client.of(meta()).browser, Client.of(meta()).os) == (
        "desktop",
        "Chrome 120",
        "Windows 10",
    )
    settings.ML_DATA_COLLECTION = {"collect_device_info": False}
    client = Client.of(meta())
    assert (client.device_type, client.browser, client.os) == (None, None, None)
    assert Client.of(meta(agent="Googlebot/2.1")).is_bot  # what is no person must be known all the same


# -- places -----------------------------------------------------------------------------------------


BAVARIA = {"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BY"}]}


@pytest.fixture
def database(tmp_path, settings):
    counters.reset()
    geo.reset()
    settings.ML_DATA_COLLECTION = {"geo_database": str(tmp_path / "city.mmdb")}
    yield tmp_path / "city.mmdb"
    geo.reset()


@pytest.fixture
def clock_in_hand(database):
    with clock.use(clock.ManualClock(datetime(2026, 3, 1, tzinfo=UTC))) as manual:
        yield manual


def place(address):
    client = Client.of(meta(address))
    return client.country, client.region


def test_places_are_looked_up_before_the_cut(database):
    # Two halves of one /24: only the whole address can tell them apart.
    mmdb.write(
        database,
        {
            "203.0.113.0/25": BAVARIA,
            "203.0.113.128/25": {"country": {"iso_code": "FR"}},
            "2001:db8::/32": {"registered_country": {"iso_code": "JP"}},
            "198.51.100.0/24": {"country": {"names": {"en": "?"}}},
        },
    )
    assert place("203.0.113.7") == ("DE", "DE-BY")
    assert place("203.0.113.200") == ("FR", None)
    assert place("::ffff:203.0.113.200") == ("FR", None)
    assert place("2001:db8::1") == ("JP", None)
    assert place("198.51.100.1") == (None, None)
    assert place("192.0.2.1") == (None, None)
    assert place("") == (None, None)


def test_no_place_where_the_shop_does_not_want_one(database, settings):
    mmdb.write(database, {"203.0.113.0/24": BAVARIA})
    settings.ML_DATA_COLLECTION = {"geo_database": str(database), "collect_location": False}
    assert place("203.0.113.7") == (None, None)
    settings.ML_DATA_COLLECTION = {}
    assert place("203.0.113.7") == (None, None)


def test_the_path_is_relative_to_the_project(database, settings):
    mmdb.write(database, {"203.0.113.0/24": BAVARIA})
    settings.BASE_DIR = database.parent
    settings.ML_DATA_COLLECTION = {"geo_database": "city.mmdb"}
    assert place("203.0.113.7") == ("DE", "DE-BY")


def test_a_replaced_file_is_opened_again(database, clock_in_hand):
    mmdb.write(database, {"203.0.113.0/24": BAVARIA})
    assert place("203.0.113.7") == ("DE", "DE-BY")
    mmdb.write(database, {"203.0.113.0/24": {"country": {"iso_code": "AT"}}})
    clock_in_hand.advance(seconds=geo.LOOK_AGAIN + 1)
    assert place("203.0.113.7") == ("AT", None)


@pytest.mark.parametrize("content", [None, b"not a database"])
def test_a_missing_or_broken_file_costs_the_place_only(database, content, clock_in_hand):
    if content:
        database.write_bytes(content)
    assert Client.of(meta("203.0.113.7")).ip_prefix == "203.0.113.0/24"
    assert place("203.0.113.8") == (None, None)
    assert counters.snapshot() == {"geo.missed": 2}
    mmdb.write(database, {"203.0.113.0/24": BAVARIA})
    clock_in_hand.advance(seconds=geo.LOOK_AGAIN + 1)
    assert place("203.0.113.7") == ("DE", "DE-BY")


def test_a_missing_package_costs_the_place_only(database, monkeypatch):
    mmdb.write(database, {"203.0.113.0/24": BAVARIA})
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    assert place("203.0.113.7") == (None, None)
    assert counters.snapshot() == {"geo.missed": 1}
