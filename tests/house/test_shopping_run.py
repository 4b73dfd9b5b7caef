"""The verdict of the shopping run: it can fail, and says at what."""

from benchmarks._shopping.walk import Truth
from benchmarks.harness import Report
from benchmarks.shopping_run import _judge


def row(kind, source="js", authority="fact", **more):
    values = {
        "event_type": kind,
        "source": source,
        "authority": authority,
        "anonymous_id": "a",
        "user_id": None,
        "session_id": "s",
    }
    values |= {"page_view_id": "v", "page_url": "/", "product_id": "7", "quantity": 1, "order_id": None, "items": None}
    return {**values, "data": None, **more}


def judged(*rows):
    truth = Truth()
    truth.views["ada", "/"] += 2
    truth.products["ada", "7"] += 1
    truth.carts["ada", "cart_add", "7", 1] += 1
    truth.orders["N1"] = ("purchase", frozenset({("7", 2)}))
    truth.steps["product"] += 1
    report = Report()
    _judge(report, "pass", truth, list(rows), {"a": "ada"}, 1)
    return {figure.name.removeprefix("pass: "): figure.value for figure in report.figures if figure.ok is False}


RIGHT = [
    row("page_view"),
    row("page_view"),
    row("page_view", "middleware", "copy"),
    row("product_view"),
    row("product_view", "middleware", "copy"),
    row("cart_add", "server"),
    row("cart_add", "js", "intent"),
    row("purchase", "sync", order_id="N1", items=[{"product_id": "7", "quantity": 2}], data='{"meaning": "purchase"}'),
]


def test_the_truth_and_its_copies_pass():
    assert judged(*RIGHT) == {}


def test_what_is_missing_and_what_is_too_much_is_missed():
    assert judged(*RIGHT[1:]) == {"page views missing": 1}
    assert judged(*RIGHT, row("product_view")) == {"product views extra": 1}
    assert judged(*RIGHT, row("refund", "outbox", order_id="N1")) == {"refunds extra": 1}
    other = {**RIGHT[5], "quantity": 2}
    assert judged(*RIGHT[:5], other, *RIGHT[6:]) == {"cart changes missing": 1, "cart changes extra": 1}
    lost = {**RIGHT[3], "anonymous_id": "b"}
    assert judged(*RIGHT[:3], lost, *RIGHT[4:]) == {}  # of the same session
    nobodys = {**lost, "session_id": "t"}
    assert judged(*RIGHT[:3], nobodys, *RIGHT[4:]) == {"product views missing": 1, "product views extra": 1}
    cancelled = {**RIGHT[7], "data": '{"meaning": "cancelled"}'}
    assert judged(*RIGHT[:7], cancelled) == {"purchases missing": 1, "purchases extra": 1}


def test_a_way_of_recording_that_was_off_is_missed():
    assert judged(*(one for one in RIGHT if one["authority"] != "intent")) == {"cart_add rows of js set aside": 0}
