"""Addresses: path and allowed query keys stay, persons and secrets go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.addresses import clean_address, host_of, path_of
from tests.core.growth import grows_no_faster_than_the_text

KEYS = frozenset({"q", "page", "utm_source"})
UUID = "01933c1e-7a2b-7cde-8f01-23456789abcd"


def clean(address, **how):
    return clean_address(address, 1024, KEYS, **how)


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/products/shoe-123",
        f"/products/{UUID}/",
        "/catalogue/the-shellcoders-handbook_209/",
        "/blue-running-shoes-for-men-2021-edition-42",
        "/products/sony-wh1000xm4-wireless-noise-cancelling-headphones/",
        "/dp/B08N5WRWNW",
        "/sku/4006381333931",
        "/orders/114-1234567-1234567",
        "/p?q=iphone+12+2021&page=2",
        "/caf%C3%A9/cr%C3%A8me",
        "/schuhe/größe-42",
        "/authors/jane-austen",
        "/invitation-cards/red-42",
        "/login/",
        "/accounts/password/reset/done/",
        "https://shop.example",
        "https://shop.example:8443/p?q=a%20b",
        "http://127.0.0.1:8000/p?q=1",
        "http://192.168.1.5/p",
        "android-app://com.google.android.gm/",
    ],
)
def test_what_is_no_secret_stays(address):
    assert clean(address) == address


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("/p?q=blue+shoes&token=abc&page=2#frag", "/p?q=blue+shoes&page=2"),
        ("/p?token=abc", "/p"),
        ("/p?%71=tea&Q=x", "/p?%71=tea"),
        ("/p#access_token=abc", "/p"),
        ("https://user:pw@Shop.Example/p?x=1", "https://shop.example/p"),
        ("HTTP://SHOP.example/X", "http://shop.example/X"),
        ("//cdn.example/x?q=1", "//cdn.example/x?q=1"),
        ("/s;jsessionid=ABCDEF0123", "/s"),
        ("/;x/evil.example/p", "/evil.example/p"),
        # persons
        ("/u/john.doe@example.com/orders", "/u/[email]/orders"),
        ("/u/john.doe%40example.com", "/u/[email]"),
        ("/u/john%2540example.com", "/u/[email]"),
        ("/p?q=john%40example.com", "/p?q=[email]"),
        ("/p?q=call+%2B49+151+12345678", "/p?q=call%20[phone]"),
        ("/tel/+4915112345678", "/tel/[phone]"),
        ("/o/203.0.113.7/x", "/o/[ip]/x"),
        ("http://203.0.113.7:80/x", "http://[ip]:80/x"),
        ("http://[2001:db8::1]/x", "http://[ip]/x"),
        # secrets
        ("/accounts/reset/MQ/c3abcd-0123456789abcdef0123456789abcdef/", "/accounts/reset/[token]/[token]/"),
        ("/accounts/reset/MQ/set-password/", "/accounts/reset/[token]/set-password/"),
        ("/password-reset/confirm/NDI/5x1-abcdef0123456789/", "/password-reset/confirm/[token]/[token]/"),
        ("/accounts/confirm-email/MTox:1rAbCd:Zx9_q/", "/accounts/confirm-email/[token]/"),
        ("/verify/482913", "/verify/[token]"),
        (f"/magic-link/{UUID}", "/magic-link/[token]"),
        ("/share/dQw4w9WgXcQa8fJk2LmN9p", "/share/[token]"),
        ("/d/0123456789abcdef0123456789abcdef", "/d/[token]"),
        ("/x/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "/x/[token]"),
        ("/p?q=0123456789abcdef0123456789abcdef", "/p?q=[token]"),
        # no addresses of the web
        ("mailto:john@example.com", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("file:///home/john", None),
        ("", None),
    ],
)
def test_persons_and_secrets_go(address, kept):
    assert clean(address) == kept


def test_of_another_site_only_origin_and_path():
    assert clean("https://search.example/s?q=me", foreign=True) == "https://search.example/s"
    assert clean("https://search.example/s?q=me", own="shop.example") == "https://search.example/s"
    assert clean("https://shop.example/s?q=me", own="shop.example") == "https://shop.example/s?q=me"
    assert clean("/s?q=me", own="shop.example", foreign=True) == "/s?q=me"
    # The shop's own host may be an address; a visitor's machine may be one too.
    assert clean("http://203.0.113.7/s", own="203.0.113.7") == "http://203.0.113.7/s"


def test_it_is_cut_after_it_was_cleaned():
    assert clean_address("/u/john.doe@example.com", 12, KEYS) == "/u/[email]"
    assert clean_address("/products/shoe-123", 9, KEYS) == "/products"


def test_hosts_and_paths():
    assert host_of("https://user@Shop.example:8443/p") == "shop.example:8443"
    assert host_of("/p") is host_of(None) is host_of("") is None
    assert path_of("https://shop.example/p/q?x#y") == "/p/q"
    assert path_of("/p") == "/p"


@given(st.text(max_size=200))
def test_any_text_is_cleaned_once_and_for_all(address):
    once = clean(address)
    assert once is None or clean(once) in (once, None)


@given(
    st.sampled_from(["", "https://shop.example", "//shop.example"]),
    st.lists(st.from_regex(r"[a-z]{1,12}(-[a-z]{1,12}){0,4}", fullmatch=True) | st.integers(1, 10**9).map(str)),
    st.dictionaries(
        st.sampled_from([*sorted(KEYS), "token", "email", "fbclid"]), st.from_regex(r"[a-z]{1,9}\d?", fullmatch=True)
    ),
)
def test_paths_of_words_and_numbers_stay(origin, segments, query):
    guards = ("reset", "passw", "activat", "verif", "confirm", "invit", "unsubscri", "token", "magic", "secret")
    words = [one for one in segments if not any(g in one for g in (*guards, "otp", "auth", "login", "session"))]
    path = "/" + "/".join(words)
    pairs = "&".join(f"{key}={value}" for key, value in query.items())
    kept = "&".join(f"{key}={value}" for key, value in query.items() if key in KEYS)
    assert clean(f"{origin}{path}?{pairs}#x") == f"{origin}{path}" + (f"?{kept}" if kept else "")


def test_a_plus_in_a_mailbox_is_no_space():
    for written in ("ann+tag@example.com", "ann%2Btag%40example.com", "ann+tag%40example.com"):
        assert clean_address(f"/search?q={written}", 1024, frozenset({"q"})) == "/search?q=[email]"
    assert clean_address("/search?q=red+shoes", 1024, frozenset({"q"})) == "/search?q=red+shoes"


@pytest.mark.parametrize(
    "part",
    [
        "/",
        "/a",
        "/a-b",
        "/1",
        "a",
        "a-",
        "/login",
        "login",
        "set_",
        "0f",
        "aB1",
        "%",
        "%2540",
        "?",
        "&q=",
        "&q=a@",
        "+",
        ";",
        "(",
    ],
)
@pytest.mark.parametrize("before", ["/", "//", "https://h/p?q=", "/reset/"])
def test_no_address_costs_more_than_its_length(before, part):
    grows_no_faster_than_the_text(clean, lambda size: before + part * (size // len(part)), size=32_768)
