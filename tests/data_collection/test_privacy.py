"""What of an event may be kept, by the privacy rules of the settings."""

import json
import logging

import msgspec
import pytest

from ml_models.core.event import EventItem
from ml_models.data_collection import privacy
from ml_models.data_collection.privacy import clean_event, clean_payload, clean_url, consent_of
from ml_models.settings import get_settings

GPC = {"HTTP_SEC_GPC": "1"}


# -- consent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "cookie", "meta", "state"),
    [
        ({}, None, {}, "implied"),
        ({}, "granted", {}, "granted"),
        ({}, "denied", {}, "denied"),
        ({}, "GRANTED", {}, "implied"),
        ({}, "", {}, "implied"),
        ({}, None, GPC, "denied"),
        ({}, "granted", GPC, "granted"),  # said on this site, after the browser's general word
        ({}, "denied", {"HTTP_SEC_GPC": "0"}, "denied"),
        ({}, None, {"HTTP_SEC_GPC": "0"}, "implied"),
        ({"respect_gpc": False}, None, GPC, "implied"),
        ({"consent": "required"}, None, {}, "pending"),
        ({"consent": "required"}, "granted", {}, "granted"),
        ({"consent": "required"}, "denied", {}, "denied"),
        ({"consent": "required"}, None, GPC, "denied"),
        ({"consent": "required", "respect_gpc": False}, None, GPC, "pending"),
    ],
)
def test_the_state_of_a_request(settings, rules, cookie, meta, state):
    settings.ML_PRIVACY = rules
    cookies = {} if cookie is None else {"_ml_consent": cookie}
    assert consent_of(cookies, meta) == state
    assert privacy.may_record(state) == (state in ("granted", "implied"))


def test_the_cookie_has_the_name_of_the_settings(settings):
    settings.ML_PRIVACY = {"consent_cookie": "cookies_ok"}
    assert consent_of({"_ml_consent": "denied", "cookies_ok": "granted"}, {}) == "granted"


# -- events -----------------------------------------------------------------------------------------


def cleaned(event_type, fields=None, data=None):
    fields, data = dict(fields or {}), dict(data or {})
    clean_event(event_type, fields, data)
    return fields, data


def test_query_keys_are_those_of_the_settings(settings):
    assert clean_url("/p?page=2&ref=x") == "/p?page=2"
    settings.ML_PRIVACY = {"query_keys": ["ref"]}
    assert clean_url("/p?page=2&ref=x") == "/p?ref=x"


def test_a_long_address_is_cut_where_it_cannot_split_a_person():
    assert clean_url("/p?q=" + "x" * 5000 + "john@example.com") == "/p"
    assert clean_url("/" + "a/" * 3000) == "/" + "a/" * 511 + "a"
    assert clean_url(None) == clean_url("") == ""


def test_columns_lose_persons_and_keep_ids():
    fields, _ = cleaned(
        "search",
        {
            "query": "john@example.com 12 2021",
            "session_id": "jane@example.com",
            "product_id": "4006381333931",
            "order_id": "0171-1234567",  # whatever it looks like, it is the shop's number
            "variant_id": "john@example.com",
            "position": 3,
        },
    )
    assert fields == {
        "query": "[email] 12 2021",
        "session_id": "[email]",
        "product_id": "4006381333931",
        "order_id": "0171-1234567",
        "variant_id": "[email]",
        "position": 3,
    }


def test_items_lose_persons():
    items = [EventItem(product_id="1"), EventItem(product_id="john@example.com", variant_id="v", quantity=2)]
    fields, _ = cleaned("cart_view", {"items": items})
    assert fields["items"] == [items[0], EventItem(product_id="[email]", variant_id="v", quantity=2)]


@pytest.mark.parametrize(
    ("page", "referrer", "kept"),
    [
        ("/p", "/cart?page=2&x=1", "/cart?page=2"),
        ("/p", "https://search.example/s?q=me", "https://search.example/s"),
        ("https://shop.example/p", "https://shop.example/s?q=tea&x=1", "https://shop.example/s?q=tea"),
        ("https://shop.example/p", "https://search.example/s?q=me", "https://search.example/s"),
        ("https://shop.example/p", "about:blank", None),
    ],
)
def test_referrers(page, referrer, kept):
    assert cleaned("page_view", {"page_url": page, "referrer": referrer})[0]["referrer"] == kept


def test_data_loses_persons_at_any_depth():
    _, data = cleaned(
        "custom",
        data={
            "title": "Mail from john@example.com",
            "href": "/account?email=john&page=1",
            "next": "https://shop.example/p?token=abc",
            "list": [{"url": "/x?session=1"}, "203.0.113.7", 5],
            "card": 4111111111111111,
            "price": 99.99,
            "john@example.com": "x",
            "when": "2026-11-25T03:33:47Z",
        },
    )
    assert data == {
        "title": "Mail from [email]",
        "href": "/account?page=1",
        "next": "https://shop.example/p",
        "list": [{"url": "/x"}, "[ip]", 5],
        "card": "[card]",
        "price": 99.99,
        "[email]": "x",
        "when": "2026-11-25T03:33:47Z",
    }


def test_no_value_of_a_form_and_no_text_of_a_link():
    form = {
        "form_id": "signup",
        "fields": {"name": "Ann", "mail": "x"},
        "stage": "submit",
        "name": "Ann",
        "values": ["Ann"],
    }
    assert cleaned("form_interaction", data=form)[1] == {"form_id": "signup", "fields": 2, "stage": "submit"}
    link = {"tag": "a", "href": "/p?x=1", "text": "Dear Ann", "value": "Ann"}
    assert cleaned("click", data=link)[1] == {"tag": "a", "href": "/p"}


def test_an_allowed_key_of_a_form_is_no_allowed_value():
    form = {"form_id": "f", "fields": "hunter2", "field_count": "3", "step": {"iban": "x"}, "stage": "my name is Ann"}
    assert cleaned("form_interaction", data=form)[1] == {"form_id": "f", "field_count": 3}
    form = {"fields": 2, "step": 3, "stage": "submit", "duration_ms": 12.5, "fields_count": True}
    kept = {"fields": 2, "step": 3, "stage": "submit", "duration_ms": 12.5}
    assert cleaned("form_interaction", data=form)[1] == kept
    assert cleaned("form_interaction", data={"step": "delivery-2", "form_name": ["Ann"]})[1] == {"step": "delivery-2"}
    assert cleaned("click", data={"tag": "a", "position": {"text": "Ann"}, "id": ["Ann"]})[1] == {"tag": "a"}


def test_an_address_is_no_id():
    fields, _ = cleaned("cart_view", {"product_id": "203.0.113.7", "items": [EventItem(product_id="2001:db8::1")]})
    assert fields == {"product_id": "[ip]", "items": [EventItem(product_id="[ip]")]}


# -- dead letters -----------------------------------------------------------------------------------


def test_a_refused_event_is_kept_by_the_same_rules():
    raw = {
        "event_type": "serch",
        "event_id": "01933c1e-7a2b-7cde-8f01-23456789abcd",
        "timestamp": 1732500000123,
        "page_url": "/reset/MQ/abc-123?token=1&page=2",
        "referrer": "https://search.example/?q=me",
        "query": "john@example.com",
        "product_id": "0171-1234567",
        "note": "call +49 151 12345678",
        "data": {"mail": "john@example.com", "price": 5},
    }
    assert msgspec.json.decode(clean_payload(msgspec.json.encode(raw))) == {
        **{name: raw[name] for name in ("event_type", "event_id", "timestamp", "product_id")},
        "page_url": "/reset/[token]/[token]?page=2",
        "referrer": "https://search.example/",
        "query": "[email]",
        "note": "call [phone]",
        "data": {"mail": "[email]", "price": 5},
    }


def test_a_refused_form_is_kept_without_its_values():
    raw = {"event_type": "form_interaction", "name": "Ann", "data": {"form_id": "f", "fields": ["Ann"], "name": "Ann"}}
    assert msgspec.json.decode(clean_payload(msgspec.json.encode(raw))) == {
        "event_type": "form_interaction",
        "data": {"form_id": "f", "fields": 1},
    }


@pytest.mark.parametrize(
    "raw", [b'{"page_url": "/x?token=secret", "mail": "john@example.com', b"\xff\xfe john@example.com"]
)
def test_what_is_no_json_is_kept_as_text(raw):
    kept = clean_payload(raw)
    assert b"john" not in kept
    assert b"secret" not in kept
    assert b"[email]" in kept


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b'["hunter2", 1, {"password": "x"}]', b'["[text]","[number]",{"password":"[text]"}]'),
        (b'"see /p?token=abc"', b'"[text]"'),
        (b"null", b"null"),
    ],
)
def test_of_what_is_no_object_the_kinds_are_kept(raw, kept):
    assert clean_payload(raw, "not_an_object") == clean_payload(raw) == kept


def test_of_an_unknown_type_keys_and_facts_of_products_are_kept():
    raw = {
        "event_type": "form_submit",
        "event_id": "01933c1e-7a2b-7cde-8f01-23456789abcd",
        "page_url": "/p?token=abc&page=2",
        "session_id": {"password": "hunter2"},
        "product_id": "john@example.com",
        "variant_id": "from 203.0.113.7",
        "query": "hunter2",
        "data": {"password": "hunter2", "pin": 1234, "quantity": 2, "items": [{"product_id": "7", "note": "Ann"}]},
    }
    assert msgspec.json.decode(clean_payload(msgspec.json.encode(raw), "unknown_type")) == {
        "event_type": "form_submit",
        "event_id": raw["event_id"],
        "page_url": "/p?page=2",
        "session_id": {"password": "[text]"},
        "product_id": "[email]",
        "variant_id": "from [ip]",
        "query": "[text]",
        "data": {
            "password": "[text]",
            "pin": "[number]",
            "quantity": 2,
            "items": [{"product_id": "7", "note": "[text]"}],
        },
    }


def test_a_refused_form_keeps_no_value_in_any_place():
    raw = {"event_type": "form_interaction", "query": {"password": "hunter2"}, "fields": "hunter2", "step": ["hunter2"]}
    assert clean_payload(msgspec.json.encode({**raw, "data": "hunter2"})) == b'{"event_type":"form_interaction"}'


def test_of_an_event_that_is_too_large_keys_and_type_are_kept():
    raw = {
        "event_type": "form_submit",
        "data": {"password": "hunter2", 'a"b': 'x"y', "pin": 1234, "john@example.com": 1},
    }
    text = msgspec.json.encode({**raw, "more": "z" * 300_000})
    assert clean_payload(text, "too_large").decode() == (
        '{"event_type":"form_submit","data":{"password":"[text]","a\\"b":"[text]","pin":[number],"[email]":[number]},'
        '"more":'
    )


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 600 + b"1" + b"}" * 600])
def test_what_is_nested_deeply_is_kept_in_part(raw):
    assert len(clean_payload(raw)) <= 100_000


# -- our own log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bunoraa.ml", "bunoraa.ml.api", "bunoraa.ml.sync"])
def test_log_lines_and_tracebacks_lose_persons(name, caplog):
    caplog.set_level("INFO")
    caplog.handler.setFormatter(logging.Formatter("%(message)s"))
    try:
        raise ValueError("no such user: john@example.com")
    except ValueError:
        logging.getLogger(name).exception("Failed for %s from %s", "jane@example.com", "203.0.113.7")
    lines = caplog.handler.format(caplog.records[0])
    assert lines.startswith("Failed for [email] from [ip]\nTraceback")
    assert "no such user: [email]" in lines
    assert "jane" not in lines


def test_switches(settings):
    settings.ML_TRACKING = {"track_clicks": False, "exclude_paths": ["/intern/"]}
    now = get_settings()
    assert privacy.switched_off("click", "/p", now) == "track_clicks"
    assert privacy.switched_off("form_interaction", "/p", now) is None
    assert privacy.switched_off("cart_add", "https://shop.example/intern/x", now) == "exclude_paths"
    assert privacy.switched_off("cart_add", None, now) is None


@pytest.mark.parametrize(
    ("path", "prefix", "off"),
    [
        ("/checkout/x", "/", True),
        ("/de/checkout/x", "/", True),
        ("/pt-br/checkout/", "/", True),
        ("/shop/checkout/x", "/shop/", True),
        ("/shop/de/checkout/x", "/shop/", True),
        ("/shop/checkout/x", "/", False),
        ("/blog/checkout/x", "/", False),
        ("/de/blog/", "/", False),
        ("/de", "/", False),
        ("/intern/de/x", "/", True),
    ],
)
def test_excluded_paths_behind_a_mount_point_or_a_language(settings, path, prefix, off):
    settings.LANGUAGES = [("de", "German"), ("pt-br", "Portuguese")]
    settings.ML_TRACKING = {"exclude_paths": ["/checkout/", "/intern/"]}
    found = privacy.switched_off("cart_add", f"https://shop.example{path}", get_settings(), prefix)
    assert found == ("exclude_paths" if off else None)


@pytest.mark.parametrize("event_type", [[], {"a": 1}, 5, None])
def test_a_refused_event_whose_type_is_no_text_is_kept(event_type):
    raw = json.dumps({"event_type": event_type, "note": "x@example.com", "data": {"a": 1}}).encode()
    kept = json.loads(clean_payload(raw))
    assert kept["event_type"] == event_type
    assert "example.com" not in json.dumps(kept)
