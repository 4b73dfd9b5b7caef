"""Token buckets: how many requests pass, when the next one does, and how much memory the senders take."""

import pytest

from ml_models.data_collection import counters
from ml_models.data_collection.limits import Buckets, Limits, limits


def test_a_bucket_gives_its_burst_and_then_its_rate():
    buckets = Buckets(rate=2.0, burst=3)
    assert [buckets.take("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a", 100.0) == pytest.approx(0.5)
    assert buckets.take("a", 100.4) == pytest.approx(0.1)
    assert buckets.take("a", 100.5) == 0.0
    assert buckets.take("a", 100.5) == pytest.approx(0.5)


def test_what_is_refused_costs_nothing():
    buckets = Buckets(rate=1.0, burst=1)
    assert buckets.take("a", 0.0) == 0.0
    for _ in range(1000):
        assert buckets.take("a", 0.5) == pytest.approx(0.5)
    assert buckets.take("a", 1.0) == 0.0


def test_a_bucket_never_holds_more_than_its_burst():
    buckets = Buckets(rate=1.0, burst=2)
    buckets.take("a", 0.0)
    assert [buckets.take("a", 1e6) == 0.0 for _ in range(3)] == [True, True, False]


def test_senders_do_not_share_a_bucket():
    buckets = Buckets(rate=1.0, burst=1)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.0) > 0


def test_the_number_of_senders_remembered_is_bounded_and_a_busy_one_is_not_forgotten():
    buckets = Buckets(rate=0.001, burst=2, most=100)
    assert [buckets.take("flood", 0.0) for _ in range(2)] == [0.0, 0.0]
    for number in range(10_000):
        buckets.take(f"n{number}", 0.0)
        assert len(buckets) <= 100
        if number % 20 == 0:
            buckets.take("flood", 0.0)
    # Refused requests do not keep a bucket alive: it has aged out with the crowd and is full again.
    assert buckets.take("flood", 0.0) == 0.0


@pytest.fixture
def limited(settings):
    def build(**values):
        settings.ML_LIMITS = {
            "network_rate": 1.0,
            "network_burst": 1,
            "visitor_rate": 1.0,
            "visitor_burst": 2,
            **values,
        }
        return Limits()

    return build


def test_a_network_and_a_visitor_have_limits_of_their_own(limited):
    both = limited()
    there = "203.0.113.0/24"
    assert [both.network(there) == 0.0 for _ in range(2)] == [True, False]
    assert [both.visitor("v") == 0.0 for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("prefix", [None, "127.0.0.0/24", "10.1.2.0/24", "192.168.7.0/24", "::/48", "fd00:1:2::/48"])
def test_an_unnamed_proxy_of_the_shop_is_not_taken_for_one_sender(limited, prefix):
    both = limited()
    assert [both.network(prefix) for _ in range(5)] == [0.0] * 5


@pytest.mark.parametrize("prefix", [None, "127.0.0.0/24", "10.1.2.0/24"])
def test_behind_an_unnamed_proxy_the_one_it_forwards_for_is_the_sender(limited, prefix):
    counters.reset()
    both = limited()
    assert [both.network(prefix, "9.9.9.9, 203.0.113.7") == 0.0 for _ in range(2)] == [True, False]
    assert both.network(prefix, "203.0.113.250") > 0, "the same /24"
    assert both.network(prefix, "203.0.113.7, 198.51.100.4") == 0.0, "another"
    assert counters.snapshot()["limits.unnamed_proxy"] == 4
    # Where it says nothing that helps, all visitors together must not be one.
    for forwarded in ("", None, "unknown", "10.0.0.7", "203.0.113.7, 127.0.0.1", "x" * 9000):
        assert [both.network(prefix, forwarded) for _ in range(3)] == [0.0] * 3


def test_the_word_of_a_sender_from_outside_is_not_believed(limited):
    both = limited()
    answers = [both.network("203.0.113.0/24", f"198.51.{n}.4") == 0.0 for n in range(3)]
    assert answers == [True, False, False]


@pytest.mark.parametrize("prefix", ["10.1.2.0/24", "fd00:1:2::/48"])
def test_behind_a_named_proxy_a_private_network_is_a_sender_like_any_other(limited, prefix):
    both = limited(trusted_proxies=1)
    assert [both.network(prefix) == 0.0 for _ in range(2)] == [True, False]


def test_changed_settings_start_with_full_buckets(recorded, settings):
    settings.ML_LIMITS = {"visitor_burst": 1, "visitor_rate": 0.1}
    assert [limits().visitor("v") == 0.0 for _ in range(2)] == [True, False]
    settings.ML_LIMITS = {"visitor_burst": 2, "visitor_rate": 0.1}
    assert limits().visitor("v") == 0.0
