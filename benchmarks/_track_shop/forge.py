"""`python -m benchmarks._track_shop.forge COUNT SEED`: forged identities among honest ones, through endpoint and lake.

Every request carries one event with a mark of its own. An honest one says which visitor and user its event must have in
the lake; a forged one says so too: what the server knew without the forgery, which is a fresh visitor, or the sender's
own. What the lake says otherwise is an accepted forgery, or a honest event that was attributed wrongly.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HONEST = 40
"""Visitors that send honestly, every second one logged in."""
FORGED_PER_HONEST = 5
PATH = "/api/ml/track/"


@dataclass(slots=True)
class Try:
    """One forged request."""

    cookie: str | None = None
    """Value of the visitor cookie; None sends the forger's own, an honest one."""
    cookies: dict[str, str] = field(default_factory=dict)
    """Further cookies."""
    headers: dict[str, str] = field(default_factory=dict)
    event: dict[str, Any] = field(default_factory=dict)
    """Further fields of the event."""
    meta: dict[str, Any] = field(default_factory=dict)
    own: bool = False
    """Whether the forger's own cookie is untouched, so that the event is his."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody known to the server."""

    anonymous_id: str
    user_id: str | None
    cookie: str
    session: str | None


class Forger:
    """Knows everything but the key: ids, users, issue times, and the exact signature of a cookie of his own."""

    def __init__(self, rng: random.Random, own: Visitor, victims: list[Visitor], now: int) -> None:
        self.rng, self.own, self.victims, self.now = rng, own, victims, now
        self.kinds: list[Callable[[Visitor], Try]] = [
            *(self.claims_in_the_body, self.claims_in_headers, self.other_cookies, self.foreign_key, self.bit_flip),
            *(self.boundary, self.spelling, self.expired, self.removed_key, self.spliced, self.server_types),
        ]

    def one(self) -> tuple[str, Try]:
        """A forged request and the name of its kind."""
        kind = self.rng.choice(self.kinds)
        return kind.__name__, kind(self.rng.choice(self.victims))

    def _claim(self, victim: Visitor) -> str:
        return self.rng.choice([str(victim.user_id), victim.anonymous_id, f"u:{victim.user_id}", "1", "admin"])

    def claims_in_the_body(self, victim: Visitor) -> Try:
        names = (
            "user_id",
            "anonymous_id",
            "userId",
            "user",
            "uid",
            "distinct_id",
            "client_id",
            "anonymousId",
            "visitor",
        )
        claim = {self.rng.choice(names): self._claim(victim) for _ in range(3)}
        where = self.rng.randrange(4)
        if where == 0:
            return Try(event=claim, own=True)
        if where == 1:
            return Try(event={"data": claim}, own=True)
        if where == 2:
            return Try(event={"properties": {**claim, "context": claim}}, own=True)
        return Try(meta=claim, own=True)

    def claims_in_headers(self, victim: Visitor) -> Try:
        names = ("X-User-Id", "X-Anonymous-Id", "X-Remote-User", "Remote-User", "Authorization", "X-Visitor", "User-Id")
        return Try(headers={self.rng.choice(names): self._claim(victim) for _ in range(3)}, own=True)

    def other_cookies(self, victim: Visitor) -> Try:
        # The victim's true value under another name, as a shop of another name on the same host would set it.
        names = ("_ml2", "ml", "__Host-_ml", "_ML", "_ml_other", "user_id", "_ml_consent")
        guess = uuid.UUID(int=self.rng.getrandbits(128)).hex
        return Try(cookies={self.rng.choice(names): victim.cookie, "sessionid": guess}, own=True)

    def foreign_key(self, victim: Visitor) -> Try:
        text = self.rng.choice(["", "secret", "django-insecure", "track-shop", "track-shop-old", victim.anonymous_id])
        key = self.rng.choice(
            [
                text.encode(),
                hashlib.sha256(text.encode()).digest(),
                self.rng.randbytes(32),
                b"ml_models.visitor-cookie.1",
            ]
        )
        return Try(cookie=_encode(victim.anonymous_id, victim.user_id, self.now, key))

    def bit_flip(self, victim: Visitor) -> Try:
        raw = bytearray(self.rng.choice([victim.cookie, self.own.cookie]).encode())
        at = self.rng.randrange(len(raw))
        while True:
            changed = raw[at] ^ 1 << self.rng.randrange(7)
            # What ends or quotes a cookie cannot stand in its value.
            if 0x21 <= changed < 0x7F and chr(changed) not in ';,"\\':
                raw[at] = changed
                return Try(cookie=raw.decode())
            at = self.rng.randrange(len(raw))

    def boundary(self, victim: Visitor) -> Try:
        version, anonymous, user, issued, mac = self.own.cookie.split(".")
        body = f"{anonymous}{user}{issued}"
        first, second = sorted(self.rng.sample(range(len(body) + 1), 2))
        shifted = [body[:first], body[first:second], body[second:]]
        if shifted == [anonymous, user, issued]:
            shifted = [anonymous, issued, user]
        wanted = base64.urlsafe_b64encode(str(victim.user_id).encode()).decode().rstrip("=")
        choices = [shifted, [anonymous, wanted, issued], [victim.anonymous_id, user, issued], [anonymous, "", ""]]
        return Try(cookie=".".join([version, *self.rng.choice(choices), mac]))

    def spelling(self, victim: Visitor) -> Try:
        version, anonymous, user, issued, mac = victim.cookie.split(".")
        spelled = [
            [version, anonymous.upper(), user, issued, mac],
            [version, anonymous.replace("-", ""), user, issued, mac],
            [version, "{" + anonymous + "}", user, issued, mac],
            [version, f"urn:uuid:{anonymous}", user, issued, mac],
            [version, anonymous, user + "=", issued, mac],
            [version, anonymous, user + "==", issued, mac],
            [version, anonymous, (user or "A") + "A", issued, mac],
            [version, anonymous, user, "0" + issued, mac],
            [version, anonymous, user, "+" + issued, mac],
            [version, anonymous, user, f"{issued[:3]}_{issued[3:]}", mac],
            [version, anonymous, user, issued, mac.upper()],
            [version, anonymous, user, issued, mac + "0"],
            [version, anonymous, user, issued, mac[:-1]],
            [version, anonymous, user, issued, ""],
            ["01", anonymous, user, issued, mac],
            ["2", anonymous, user, issued, mac],
            [version, anonymous, user, issued, mac, ""],
            [version, anonymous, user, issued + "." + mac],
        ]
        return Try(cookie=".".join(self.rng.choice([one for one in spelled if ".".join(one) != victim.cookie])))

    def expired(self, victim: Visitor) -> Try:
        # With the true key: what the victim's own old browser would send, or a cookie from the future.
        old = self.now - self.rng.choice([34_128_001, 40_000_000, 10**9])
        ahead = self.now + self.rng.choice([86_500, 10**7])
        issued = self.rng.choice([old, ahead])
        return Try(cookie=_encode(victim.anonymous_id, victim.user_id, issued, _derived("track-shop")))

    def removed_key(self, victim: Visitor) -> Try:
        name = self.rng.choice(["track-shop-removed", "track-shop-before"])
        return Try(cookie=_encode(victim.anonymous_id, victim.user_id, self.now, _derived(name)))

    def spliced(self, victim: Visitor) -> Try:
        # Fields of one true cookie with the signature of another.
        mac = self.own.cookie.rpartition(".")[2]
        return Try(cookie=f"{victim.cookie.rpartition('.')[0]}.{mac}")

    def server_types(self, victim: Visitor) -> Try:
        # A statement that the forger is the victim; refused, and the event beside it stays the forger's.
        claim = {"anonymous_id": self.own.anonymous_id, "user_id": victim.user_id}
        link = {"event_type": "identity_link", **claim, "data": claim}
        return Try(meta={"beside": link}, own=True)


def _derived(secret: str) -> bytes:
    return hmac.new(secret.encode(), b"ml_models.visitor-cookie.1", hashlib.sha256).digest()


def _encode(anonymous_id: str, user_id: str | None, issued: int, key: bytes) -> str:
    """A cookie as the server makes it, with any key."""
    user = (user_id or "").encode()
    fields = [anonymous_id.encode(), user, str(issued).encode()]
    signed = b"ml_models.visitor-cookie.1" + b"".join(len(part).to_bytes(4, "big") + part for part in fields)
    mac = hmac.new(key, signed, hashlib.sha256).hexdigest()
    return f"1.{anonymous_id}.{base64.urlsafe_b64encode(user).decode().rstrip('=')}.{issued}.{mac}"


def main() -> None:
    """Send everything, commit it, compare; prints one JSON object."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._track_shop.settings")
    import django

    django.setup()
    print(json.dumps(attack(int(sys.argv[1]), random.Random(int(sys.argv[2])))))


def attack(count: int, rng: random.Random) -> dict[str, Any]:
    """Forge `count` identities among a fifth as many honest requests; what the lake then holds."""
    from ml_models.adapters.build import get_event_store
    from ml_models.core import clock
    from ml_models.data_collection.process import process_events

    visitors = [_visitor(number) for number in range(HONEST)]
    bound = [visitor for visitor in visitors if visitor.user_id]
    now = int(clock.now().timestamp())
    forger = Forger(rng, visitors[0], bound, now)
    known = {visitor.anonymous_id for visitor in visitors}
    expected: dict[str, tuple[str, str | None, str]] = {}
    kinds: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for number in range(count):
        mark = f"forged-{number}"
        kind, one = forger.one()
        kinds[kind] += 1
        status, issued = _send(mark, one, visitors[0])
        statuses[status] += 1
        anonymous_id = visitors[0].anonymous_id if one.own else issued
        expected[mark] = (anonymous_id or "no cookie was issued", None, kind)
        if not one.own and (anonymous_id is None or anonymous_id in known):
            kinds[f"{kind}, believed by the answer"] += 1
        if number % FORGED_PER_HONEST == 0:
            visitor = rng.choice(visitors)
            mark = f"honest-{number}"
            # A fallback key is honest too: that of a cookie issued before the key was changed.
            cookie = visitor.cookie
            if rng.random() < 0.3:
                cookie = _encode(visitor.anonymous_id, visitor.user_id, now, _derived("track-shop-fallback"))
            statuses[_send(mark, Try(cookie=cookie), visitor, session=visitor.session)[0]] += 1
            expected[mark] = (visitor.anonymous_id, visitor.user_id, "honest")
    result = process_events()
    rows = get_event_store().scan(columns=["session_id", "event_type", "anonymous_id", "user_id"]).collect()
    marked = rows.filter(rows["session_id"].is_not_null())
    seen: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    wrong_honest = 0
    for mark, _, anonymous_id, user_id in marked.iter_rows():
        seen[mark] += 1
        if (anonymous_id, user_id) != expected[mark][:2]:
            if expected[mark][2] == "honest":
                wrong_honest += 1
            else:
                accepted[expected[mark][2]] += 1
    links = rows.filter(rows["event_type"] == "identity_link").select("anonymous_id", "user_id").unique().rows()
    true_links = {(visitor.anonymous_id, visitor.user_id) for visitor in bound}
    return {
        "forged": sum(mark.startswith("forged") for mark in expected),
        "honest": sum(mark.startswith("honest") for mark in expected),
        "accepted": accepted.total() + sum(n for kind, n in kinds.items() if kind.endswith("believed by the answer")),
        "accepted_by_kind": dict(accepted),
        "false_links": len(set(links) - true_links),
        "wrong_honest": wrong_honest,
        "missing": sum(mark not in seen for mark in expected),
        "twice": sum(n > 1 for n in seen.values()),
        "not_200": sum(n for status, n in statuses.items() if status != 200),
        "dead": result.dead,
        "kinds": {kind: n for kind, n in kinds.items() if "," not in kind},
    }


def _visitor(number: int) -> Visitor:
    """A visitor as the server knows him after his first request; every second one is logged in."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from ml_models.data_collection.identity import verify

    client = Client()
    if number % 2:
        user = get_user_model().objects.create_user(f"user{number}")
        client.force_login(user)
    body = {"events": [{"event_type": "page_view"}]}
    response = client.post(PATH, json.dumps(body), content_type="application/json")
    cookie = response.cookies["_ml"].value
    identity, _ = verify(cookie)
    assert identity is not None, "the server does not know its own cookie"
    session = client.cookies["sessionid"].value if number % 2 else None
    return Visitor(str(identity.anonymous_id), identity.user_id, cookie, session)


def _send(mark: str, one: Try, own: Visitor, *, session: str | None = None) -> tuple[int, str | None]:
    """Status, and the anonymous id of the cookie that the answer sets, if it sets one."""
    from django.test import Client

    from ml_models.data_collection.identity import verify

    cookies = {**one.cookies, "_ml": own.cookie if one.cookie is None else one.cookie}
    if session is not None:
        cookies["sessionid"] = session
    meta = dict(one.meta)
    beside = meta.pop("beside", None)
    event = {"event_type": "product_view", "product_id": "7", **one.event, "session_id": mark}
    events = [event] if beside is None else [event, beside]
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    response = Client(headers={"Cookie": header, **one.headers}).post(
        PATH, json.dumps({"events": events, "meta": meta}), content_type="application/json"
    )
    issued = response.cookies.get("_ml")
    identity = verify(issued.value)[0] if issued is not None else None
    return response.status_code, identity.anonymous_id if identity else None


if __name__ == "__main__":
    main()
