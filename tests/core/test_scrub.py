"""Free text without persons: what must go, and what must stay."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.scrub import is_card, scrub, scrub_email, scrub_id, scrub_value
from tests.core.growth import grows_no_faster_than_the_text

PERSONS = {
    "john.doe@example.com": "[email]",
    "mail me at a+b@sub.example.co.uk now": "mail me at [email] now",
    "x%40example.com": "[email]",
    "<john@example.com>, jane@example.org": "<[email]>, [email]",
    "jörg@müller.example": "[email]",
    "4111 1111 1111 1111": "[card]",
    "4111111111111111": "[card]",
    "pay 5500-0000-0000-0004!": "pay [card]!",
    "3782 822463 10005": "[card]",
    "378282246310005": "[card]",
    "6011111111111117": "[card]",
    '"john doe"@example.com': "[email]",
    "john&#64;example.com": "[email]",
    "john&#x40;example.com": "[email]",
    "john&commat;example.com": "[email]",
    "john%2540example.com": "[email]",
    "john%EF%BC%A0example.com": "[email]",
    "john\uff20example.com": "[email]",
    r"john\u0040example.com": "[email]",
    "j%C3%B6rg%40example%2Ecom": "[email]",
    f"{'long.' * 40}name@example.com": "[email]",
    "ip 203.0.113.7": "ip [ip]",
    "203.0.113.7,198.51.100.4": "[ip],[ip]",
    "ip203.0.113.7": "ip[ip]",
    "203.0.113.7_x": "[ip]_x",
    "203.0.113.7-1": "[ip]-1",
    "203.0%2E113%2e7": "[ip]",
    "203%252E0%252E113%252E7": "[ip]",
    "from 2001:db8:1:2::3 ok": "from [ip] ok",
    "http://203.0.113.7/x": "http://[ip]/x",
    "203.0.113.7:8080": "[ip]:8080",
    "203.0.113.7.": "[ip].",
    "(203.0.113.7)": "([ip])",
    "fe80::1": "[ip]",
    "::ffff:203.0.113.7": "[ip]",
    "2001:db8:1:2:3:4:5:6": "[ip]",
    "+4915112345678": "[phone]",
    "+49 151 12345678": "[phone]",
    "+33 (0)1 23 45 67 89": "[phone]",
    "+44 20 7946 0958": "[phone]",
    "+1 (555) 123-4567": "[phone]",
    "0049 151 1234567": "[phone]",
    "(555) 123-4567": "[phone]",
    "555-123-4567": "[phone]",
    "555.123.4567": "[phone]",
    "1-800-555-0199": "[phone]",
    "0171-1234567": "[phone]",
    "030/1234567": "[phone]",
    "030 123 45 67": "[phone]",
    "0171/123 45 67": "[phone]",
    "01 23 45 67 89": "[phone]",
    "01.23.45.67.89": "[phone]",
    "tel 5551234567": "tel [phone]",
    "Tel.: 089 123456": "Tel.: [phone]",
    "phone: 5551234567": "phone: [phone]",
    "call me 555 123 4567": "call me [phone]",
}
NOBODY = [
    *("iphone 12 2021", "iPhone 15 Pro 256 GB 1999", "phone 12 2021", "phone 12 128 2021", "lego 75192", "5 + 3"),
    *("4006381333931", "012345678905", "ean 0012345678905", "SKU 0012-3456", "978-3-16-148410-0", "9783161484100"),
    *("order 10023-4", "ORD-12345", "114-1234567-1234567", "DE89370400440532013000", "100 200 300 400", "1000000"),
    *("2026-11-25T03:33:47.123456Z", "2026-11-25 03:33:47+01:00", "25.11.2026 10:30", "01.02.2021 10:30"),
    *("01-02-2021 10", "2021/11/25", "11/25/2021", "10:30:00", "03:33:47", "1732500000", "1732500000123"),
    *("1732500000123456", "1.299,00", "12.345.678,90", "1,299.00 EUR", "50.000.000", "-20 %", "16:9", "3.14.15"),
    *("01933c1e-7a2b-7cde-8f01-23456789abcd", "12345678-1234-4123-8123-123456789012", "aa:bb:cc:dd:ee:ff"),
    *("v1.2.3.4", "1.2.3.4.5", "10.0.19041.1", "192.168", "120 x 200 x 18", "size 10-12 2020", "12 34 56", "2 @ 5 EUR"),
    *("std::vector", "add::bad", "(2021) 100", "4111111111111112", "1234567890123456", ""),
]


@pytest.mark.parametrize(("text", "scrubbed"), PERSONS.items())
def test_persons_go(text, scrubbed):
    assert scrub(text) == scrubbed
    assert scrub(scrubbed) == scrubbed


@pytest.mark.parametrize("text", NOBODY)
def test_what_is_no_person_stays(text):
    assert scrub(text) == text


def test_card_numbers_are_those_of_the_published_test_cards():
    published = ["4242424242424242", "5555555555554444", "2223003122003222", "371449635398431", "30569309025904"]
    published += ["3566002020360505", "6200000000000005", "6011000990139424", "6205500000000000004"]
    assert all(map(is_card, published))
    assert not any(is_card(card[:-1] + str((int(card[-1]) + 1) % 10)) for card in published)
    assert not is_card("4006381333931")  # a barcode, though its check digit is right for a card of old too


def test_ids_lose_addresses_only():
    assert scrub_email("john@example.com") == "[email]"
    assert scrub_email("0171-1234567") == "0171-1234567"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("203.0.113.7", "[ip]"),
        ("2001:db8::1", "[ip]"),
        ("203.0.113.7:8080", "[ip]:8080"),
        ("[203.0.113.7]", "[[ip]]"),
        ("[2001:db8::1]:443", "[[ip]]:443"),
        ("10.0.0.1,203.0.113.7", "[ip],[ip]"),
        ("ip=203.0.113.7;", "ip=[ip];"),
        ("clip=203.0.113.7", "clip=203.0.113.7"),
        ("203.0.113.7-blue", "203.0.113.7-blue"),
        ("12:34:56", "12:34:56"),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("john%40example.com", "[email]"),
        ("4006381333931", "4006381333931"),
        ("1.2.3", "1.2.3"),
        ("SKU-1.2.3.4", "SKU-1.2.3.4"),
        ("0171-1234567", "0171-1234567"),
        ("gid://shopify/Product/7", "gid://shopify/Product/7"),
    ],
)
def test_an_id_is_no_person(text, kept):
    assert scrub_id(text) == kept


HOSTILE = {
    "an at sign before digits": ("x@", "0", ""),
    "nothing but at signs": ("", "@", ""),
    "mailboxes without a domain": ("", "1-", "@a"),
    "half addresses": ("", "a.a@", ""),
    "addresses without mailboxes": ("", "@a.b", ""),
    "encoded at signs": ("", "%40", ""),
    "encoded many times": ("", "%25", "40a.b"),
    "half an encoded letter": ("", "52", "B@a.b"),
    "quotation marks": ("", '"', "@a.b"),
    "one long mailbox": ("", "a", "@a.b"),
    "one long domain": ("a@", "a.", "@"),
    "dots": ("", "1.", ""),
    "addresses of five parts": ("", "1.1.1.1.1 ", ""),
    "colons": ("", "a:", ""),
    "plus signs": ("", "+1(", ""),
    "telephones": ("", "0171 ", ""),
    "calls": ("call", " ", ""),
    "many calls": ("", "call ", ""),
    "cards": ("", "4111 1111 1111 111 ", ""),
}


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE)
def test_no_text_costs_more_than_its_length(parts):
    before, repeated, after = parts
    for function in (scrub, scrub_id):
        grows_no_faster_than_the_text(function, lambda size: before + repeated * (size // len(repeated)) + after)


def test_what_lies_too_deep_is_not_looked_into():
    value = "john@example.com"
    for _ in range(5000):
        value = [value]
    kept = scrub_value({"a": value, "b": "john@example.com"})
    assert "john" not in repr(kept)
    assert "[too deep]" in repr(kept)
    assert kept["b"] == "[email]"


def test_values_inside_values():
    value = {"a": ["john@example.com", {"b": "203.0.113.7"}], "card": 4111111111111111, "n": 5, "x@y.example": True}
    assert scrub_value(value) == {"a": ["[email]", {"b": "[ip]"}], "card": "[card]", "n": 5, "[email]": True}
    assert scrub_value([1.5, None, 1732500000123456, "blue"]) == [1.5, None, 1732500000123456, "blue"]


def barcode(digits):
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return digits + str(-weighted % 10)


MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
SHOP_TALK = st.one_of(
    st.uuids().map(str),
    MOMENTS.map(lambda moment: moment.isoformat()),
    MOMENTS.map(lambda moment: moment.strftime("%d.%m.%Y")),
    MOMENTS.map(lambda moment: moment.strftime("%Y-%m-%d")),
    MOMENTS.map(lambda moment: moment.strftime("%H:%M:%S")),
    MOMENTS.map(lambda moment: str(int(moment.timestamp() * 1000))),
    st.integers(1, 10**12).map(str),
    st.decimals(0, 99_999, places=2).map("{:.2f}".format),
    st.decimals(0, 9_999_999, places=2).map("{:,.2f}".format),
    st.text("0123456789", min_size=12, max_size=12).map(barcode),
    st.integers(1, 10**9).map("ORD-{}".format),
    st.integers(1, 10**7).map("SKU{}".format),
    st.tuples(st.integers(100, 999), st.integers(10**6, 10**7 - 1), st.integers(10**6, 10**7 - 1)).map(
        lambda parts: "{}-{}-{}".format(*parts)
    ),
    st.sampled_from(["blue", "shoes", "iphone", "12 GB", "size", "no.", "2021", "1/2", "4K", "&", "A4"]),
)


@given(st.lists(SHOP_TALK, min_size=1, max_size=5), st.sampled_from([", ", "; ", " | "]))
def test_shop_talk_stays(words, between):
    text = between.join(words)
    assert scrub(text) == text


@given(SHOP_TALK, st.sampled_from(list(PERSONS)), SHOP_TALK)
def test_persons_go_out_of_shop_talk(before, person, after):
    assert scrub(f"{before}, {person}; {after}") == f"{before}, {PERSONS[person]}; {after}"


@given(st.text(max_size=300))
def test_any_text_is_scrubbed_once_and_for_all(text):
    once = scrub(text)
    assert scrub(once) == once


def test_keys_are_texts_too():
    given = {"key 203.0.113.7": {"ann@example.com": "2024-01-02"}, "size_42": 1}
    assert scrub_value(given) == {"key [ip]": {"[email]": "2024-01-02"}, "size_42": 1}


def test_a_mailbox_with_a_tag_goes_whole_in_any_spelling():
    assert scrub("ann.lee%2Btag%40example.com") == "[email]"
    assert scrub("to Ann+tag@example.com now") == "to [email] now"
