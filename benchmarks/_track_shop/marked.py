"""Malformed events of known visitors, with marks of what may never be kept, in every place that an event has.

An e-mail address and an IP address stand in keys, values, types, addresses and at any depth; the visitors are known by
their cookies, so that erasing one of them must reach that one's dead letters and no others.
"""

from __future__ import annotations

import http.client
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

__all__ = ["letters_of", "marks_in", "send", "visitors"]

PATH = "/api/ml/track/"
EMAILS = ("{name}@{mark}.example", "{name}%40{mark}.example", "mailto:{name}@{mark}.example?subject=x")
ADDRESSES = ("{ip}", "{ip}:8080", "10.0.0.1,{ip}", "[{ip}]", "ip={ip};")
# Not written out: Hypothesis takes the texts that stand in the sources for its own payloads.
MARK = "-".join(("kept", "by", "mistake"))
IP = ".".join(("198", "18"))
"""First half of the marked addresses, of a network that no real visitor has (RFC 2544)."""


def visitors(port: int, count: int) -> list[str]:
    """The cookies of new visitors, one valid request each."""
    found = []
    for number in range(count):
        body = json.dumps({"events": [{"event_type": "page_view", "page_url": f"/{number}"}]}).encode()
        _, cookie = _post(port, body, number, None)
        if cookie is None:
            raise RuntimeError("a visitor's first request brought no cookie")
        found.append(cookie)
    return found


def send(port: int, cookies: list[str], each: int, rng: random.Random) -> Counter[str]:
    """Send so many malformed events for each visitor, in turn; how many were rejected, by anonymous id."""
    rejected: Counter[str] = Counter()
    for _ in range(each):
        for number, cookie in enumerate(cookies):
            body = json.dumps({"events": [_malformed(rng) for _ in range(3)]}).encode()
            said, _ = _post(port, body, number, cookie)
            rejected[cookie.split(".")[1]] += int(said.get("rejected", 0))
    return rejected


def letters_of(folder: Path) -> Counter[str]:
    """Dead letters by the anonymous id of the visitor they came from."""
    from ml_models.adapters.dead_letters import DeadLetters

    found: Counter[str] = Counter()
    for letter in DeadLetters(folder / "ml_data" / "dead_letters"):
        found[str(letter.context.get("anonymous_id"))] += 1
    return found


def marks_in(folder: Path) -> list[str]:
    """Every mark in the bytes of anything below the folder: the file, and what stands around it."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            text = path.read_bytes()
            for mark in re.finditer(re.escape(MARK).encode() + b"|" + re.escape(f"{IP}.").encode(), text):
                around = text[max(0, mark.start() - 300) : mark.end() + 100]
                found.append(f"{path.relative_to(folder)}: {around!r}")
    return found


def _post(port: int, body: bytes, number: int, cookie: str | None) -> tuple[dict[str, Any], str | None]:
    headers = {
        "Content-Type": "application/json",
        "X-Forwarded-For": f"203.0.{number // 250}.{number % 250}",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
    }
    if cookie is not None:
        headers["Cookie"] = f"_ml={cookie}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", PATH, body, headers)
        response = connection.getresponse()
        said = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"a request of a known visitor was answered {response.status}: {said}")
        given = response.getheader("Set-Cookie") or ""
        return said, given.partition("_ml=")[2].partition(";")[0] or None
    finally:
        connection.close()


def _private(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(EMAILS).format(name=rng.choice(("ann", "b.o", "c+d")), mark=MARK)
    return rng.choice(ADDRESSES).format(ip=f"{IP}.{rng.randrange(256)}.{rng.randrange(256)}")


def _deep(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(5 if depth < 5 else 2)
    if kind < 2:
        return f"{rng.choice(('', 'see ', 'x '))}{_private(rng)}"
    if kind == 2:
        return [_deep(rng, depth + 1), rng.random()]
    if kind == 3:
        return {_private(rng): _deep(rng, depth + 1)}
    return {rng.choice(("email", "note", "value")): _deep(rng, depth + 1)}


def _malformed(rng: random.Random) -> Any:
    """An event that is refused, for a reason of its own, whatever else is right about it."""
    event: dict[str, Any] = {"event_type": "custom", "session_id": "s", "data": {"note": _deep(rng)}}
    for name in rng.sample(("page_url", "referrer", "query", "product_id", "placement", "search_id"), 2):
        event[name] = f"https://shop.example/p?q={_private(rng)}" if name.endswith(("url", "rer")) else _private(rng)
    break_ = rng.randrange(6)
    if break_ == 0:
        event["event_type"] = rng.choice(("nonsense", _private(rng)))
    elif break_ == 1:
        event["quantity"] = _private(rng)
    elif break_ == 2:
        event["items"] = {"product_id": _deep(rng)}
    elif break_ == 3:
        event["data"] = {f"{number} {_private(rng)}": number for number in range(30)}
    elif break_ == 4:
        return rng.choice((_private(rng), [_deep(rng)]))
    else:
        del event["event_type"]
    return event
