"""The visitor cookie: no forgery passes; a login binds, a logout rotates, two users are never merged."""

import base64
import hashlib
import hmac
import random
import string
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml_models.core import clock
from ml_models.core.ids import uuid7
from ml_models.data_collection.identity import Identity, decide, set_cookie, sign, verify, visitor_key, visitor_of

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
SECOND = int(NOW.timestamp())
YEAR = 34_128_000


@pytest.fixture(autouse=True)
def _time():
    with clock.use(clock.ManualClock(NOW)):
        yield


def cookie(user=None, issued=SECOND, anonymous=None):
    return sign(Identity(anonymous or uuid7(), user, issued))


def request(value=None, user=None, session=True):
    made = RequestFactory().post("/api/ml/track/")
    if value is not None:
        made.COOKIES["_ml"] = value
    if session:
        made.user = SimpleNamespace(pk=user, is_authenticated=user is not None)
    return made


@given(user=st.one_of(st.none(), st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable())))
def test_what_was_signed_is_read(user):
    identity = Identity(uuid7(), user, SECOND)
    assert verify(sign(identity)) == (identity, True)


@given(st.text(max_size=200))
@hypothesis_settings(max_examples=300)
def test_any_text_is_no_cookie(text):
    assert verify(text) == (None, False)


def test_no_change_of_one_character_passes():
    """Every position of a cookie against several other characters: 0 accepted."""
    rng = random.Random(3)
    tried = accepted = 0
    for user in (None, "1", "42", "0190163d-8694-739b-aea5-966c26f8ad91"):
        value = cookie(user)
        for position, original in enumerate(value):
            for other in rng.sample(string.ascii_letters + string.digits + "-_.=+/ %", 8):
                if other != original:
                    tried += 1
                    accepted += verify(value[:position] + other + value[position + 1 :])[0] is not None
    assert tried > 3000
    assert accepted == 0


def test_no_flipped_bit_passes():
    tried = accepted = 0
    value = cookie("42").encode()
    for position in range(len(value)):
        for bit in range(8):
            changed = bytearray(value)
            changed[position] ^= 1 << bit
            tried += 1
            accepted += verify(changed.decode("latin-1"))[0] is not None
    assert tried == 8 * len(value)
    assert accepted == 0


def test_no_shifted_boundary_passes():
    """The same characters cut at other places; this is what the length before each field is for."""
    accepted = 0
    anonymous = uuid7()
    for user, issued in (("1", 23456789012), ("12", 3456789012), ("123", 456789012)):
        version, id_, _, _, mac = cookie(user, issued, anonymous).split(".")
        for other_user, other_issued in (("1", 23456789012), ("12", 3456789012), ("123", 456789012), ("", 1), ("9", 1)):
            if (other_user, other_issued) != (user, issued):
                encoded = base64.urlsafe_b64encode(other_user.encode()).decode().rstrip("=")
                accepted += verify(f"{version}.{id_}.{encoded}.{other_issued}.{mac}")[0] is not None
    assert accepted == 0


def test_parts_of_two_cookies_do_not_make_a_third():
    first, second = cookie("1").split("."), cookie("2", SECOND - 5).split(".")
    accepted = 0
    for choice in range(1, 31):
        mixed = [second[part] if choice >> part & 1 else first[part] for part in range(5)]
        if mixed not in (first, second):
            accepted += verify(".".join(mixed))[0] is not None
    assert accepted == 0


def test_another_spelling_of_the_same_cookie_does_not_pass():
    version, id_, user, issued, mac = cookie("42").split(".")
    for parts in (
        (version, id_.upper(), user, issued, mac),
        (version, "{" + id_ + "}", user, issued, mac),
        (version, id_.replace("-", ""), user, issued, mac),
        (version, id_, user + "=", issued, mac),
        (version, id_, user, "+" + issued, mac),
        (version, id_, user, "0" + issued, mac),
        (version, id_, user, issued, mac.upper()),
        (version, id_, user, issued, mac + " "),
    ):
        assert verify(".".join(parts)) == (None, False), parts


def test_a_foreign_key_and_the_bare_secret_do_not_pass(settings):
    rng = random.Random(5)
    own = cookie("1")
    for _ in range(500):
        settings.SECRET_KEY = f"{rng.getrandbits(128):x}"
        assert verify(own) == (None, False)
    settings.SECRET_KEY = "tests-only"
    assert verify(own)[0] is not None
    version, id_, user, issued, _ = own.split(".")
    for message in (f"{id_}.{user}.{issued}", f"{version}.{id_}.{user}.{issued}", f"{id_}1{issued}"):
        mac = hmac.new(b"tests-only", message.encode(), hashlib.sha256).hexdigest()
        assert verify(f"{version}.{id_}.{user}.{issued}.{mac}") == (None, False)


@pytest.mark.parametrize(
    ("age", "valid"), [(0, True), (YEAR, True), (YEAR + 1, False), (-3600, True), (-2 * 86_400, False)]
)
def test_expiry_is_honoured_by_the_server(age, valid):
    assert (verify(cookie(issued=SECOND - age))[0] is not None) == valid


def test_keys_rotate_by_fallbacks(settings):
    old = cookie("1", SECOND - 5)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["older", "tests-only"]
    identity, current = verify(old)
    assert (identity.user_id, current) == ("1", False)
    decision = decide(request(old, "1"))
    assert decision.issue, "a cookie of a fallback key is issued anew"
    assert verify(sign(decision.identity))[1]
    settings.SECRET_KEY_FALLBACKS = []
    assert verify(old) == (None, False)


def test_the_cookie_is_locked_down():
    from django.http import HttpResponse

    made, response = request(), HttpResponse()
    set_cookie(made, response, Identity(uuid7(), None, SECOND))
    morsel = response.cookies["_ml"]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["max-age"]) == (True, "Lax", "/", YEAR)
    assert not morsel["secure"]
    made = RequestFactory().post("/", secure=True)
    set_cookie(made, response, Identity(uuid7(), None, SECOND))
    assert response.cookies["_ml"]["secure"]


# -- the table of the module ------------------------------------------------------------------------

A = "01953f3c-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("session_user", "cookie_user", "keeps_id", "user", "issue", "link"),
    [
        (None, None, True, None, False, None),
        (None, "1", False, None, True, None),  # logged out
        ("1", None, False, "1", True, "old"),  # logged in: the guest's past is theirs, the guest's id is not
        ("1", "1", True, "1", False, None),
        ("2", "1", False, "2", True, "new"),  # another user on the same device
    ],
)
def test_session_and_cookie_decide(session_user, cookie_user, keeps_id, user, issue, link):
    decision = decide(request(cookie(cookie_user, anonymous=A), session_user))
    assert (decision.identity.anonymous_id == A) == keeps_id
    assert (decision.identity.user_id, decision.issue) == (user, issue)
    assert decision.link == {None: None, "old": A, "new": decision.identity.anonymous_id}[link]


@pytest.mark.parametrize("value", [None, "forged", "1.x.y.z.w"])
@pytest.mark.parametrize("user", [None, "1"])
def test_without_a_valid_cookie_the_visitor_is_new(value, user):
    decision = decide(request(value, user))
    found = decision.identity.anonymous_id
    assert (decision.identity.user_id, decision.issue, decision.link) == (user, True, found if user else None)


# -- requests under way together --------------------------------------------------------------------


def newcomer(session_id="s1", *, address="203.0.113.7", agent="Firefox", user=None, at=NOW):
    made = request(user=user)
    made.META |= {"REMOTE_ADDR": address, "HTTP_USER_AGENT": agent}
    with clock.use(clock.ManualClock(at)):
        return decide(made, None, session_id).identity.anonymous_id


def test_two_requests_of_one_newcomer_are_one_visitor():
    first, second = newcomer(), newcomer(at=NOW + timedelta(seconds=2))
    assert first == second
    made = uuid.UUID(first)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert NOW - timedelta(minutes=1) <= datetime.fromtimestamp((made.int >> 80) / 1000, UTC) <= NOW


def test_newcomers_are_told_apart_by_session_address_agent_user_and_time():
    """By the session alone they must not be: who read it somewhere would be given the other's id, signed."""
    found = [
        newcomer(),
        newcomer("s2"),
        newcomer(address="203.0.113.8"),
        newcomer(agent="Chrome"),
        newcomer(user="1"),
        newcomer(at=NOW + timedelta(minutes=2)),
        newcomer("", agent="s1Firefox"),
    ]
    assert len(set(found)) == len(found)


def test_newcomers_depend_on_the_key(settings):
    first = newcomer()
    settings.SECRET_KEY = "another"
    assert newcomer() != first


@pytest.mark.parametrize("session_id", [None, ""])
def test_without_a_session_two_newcomers_of_one_address_are_two(session_id):
    assert newcomer(session_id) != newcomer(session_id)


@pytest.mark.parametrize("second", range(0, 60, 5))
def test_a_session_of_the_tracker_is_not_parted_at_a_full_minute(second):
    began = NOW + timedelta(seconds=second, milliseconds=-100)
    session_id = uuid7(began)
    at = [began + timedelta(milliseconds=n) for n in (0, 99, 101, 5000, 25_000)]
    assert len({newcomer(session_id, at=moment) for moment in at}) == 1


@pytest.mark.parametrize(("cookie_user", "user"), [(None, "1"), ("1", None), ("1", "2")])
def test_requests_around_a_login_or_logout_are_one_visitor(cookie_user, user):
    old = cookie(cookie_user, anonymous=A)
    first, second = decide(request(old, user)), decide(request(old, user))
    assert first.identity == second.identity
    assert uuid.UUID(first.identity.anonymous_id).version == 7
    others = [("1", "3"), (None, "3"), ("3", None)]
    ids = {decide(request(cookie(had, anonymous=A), now)).identity.anonymous_id for had, now in others}
    assert len(ids - {first.identity.anonymous_id, A}) == 3


@pytest.mark.parametrize("cookie_user", [None, "1"])
def test_a_shop_without_sessions_keeps_the_cookie(cookie_user):
    decision = decide(request(cookie(cookie_user, anonymous=A), session=False))
    assert (decision.identity.anonymous_id, decision.identity.user_id) == (A, cookie_user)
    assert not decision.issue


def test_a_returning_visitors_cookie_is_issued_anew_once_a_day():
    assert not decide(request(cookie(issued=SECOND - 3600))).issue
    decision = decide(request(cookie(issued=SECOND - 90_000, anonymous=A)))
    assert decision.issue
    assert (decision.identity.anonymous_id, decision.identity.issued_at) == (A, SECOND)


@pytest.mark.parametrize(
    ("session_user", "cookie_user", "key"),
    [
        (None, None, f"a:{A}"),
        (None, "1", None),  # logged out: the next person sees nothing of theirs
        ("1", None, "u:1"),
        ("1", "1", "u:1"),
        ("2", "1", "u:2"),
    ],
)
def test_who_is_shown_something(session_user, cookie_user, key):
    assert visitor_of(request(cookie(cookie_user, anonymous=A), session_user)).key == key


def test_nobody_has_no_key():
    assert visitor_of(request()).key is None
    assert visitor_key(None, None) is None


def test_ids_sort_by_time():
    ids = []
    with clock.use(clock.ManualClock(NOW)) as manual:
        for _ in range(50):
            ids.append(uuid7())
            manual.set(manual.now() + timedelta(milliseconds=1))
    assert ids == sorted(ids)
