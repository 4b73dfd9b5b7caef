"""Whose dead letter is it: refused payloads are searched by what they say, whatever broke in them.

Rather one letter too many than one too few. Long ids (anonymous ids, UUIDs, e-mail addresses) are looked for in the
bytes; short ones, such as a user `7`, are compared whole: with the visitor the server knew, with fields that name a
user, and with the cells of a row that could not be imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from ml_models.adapters.dead_letters import Letter
from ml_models.core.traces import Traces

__all__ = ["holds", "letter_of", "names_in"]

_LONG = 16
"""Length from which an id is looked for anywhere in the bytes."""
_NAMES_A_USER = re.compile(
    r"(user|anonymous|customer|client|visitor|account|member|buyer|guest)[_-]?(id|key|name)?|uid", re.IGNORECASE
)
_TOKEN = re.compile(rf"[0-9a-z][0-9a-z_.:-]{{{_LONG - 1},}}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s\"'<>():,;]+")
_json = msgspec.json.Decoder().decode
_msgpack = msgspec.msgpack.Decoder().decode


def holds(payload: bytes, traces: Traces) -> bool:
    """Whether the bytes contain one of the person's long ids or addresses."""
    text = payload.decode("utf-8", "replace").lower()
    return any(needle in text for needle in _needles(traces))


@lru_cache(maxsize=4)
def _needles(traces: Traces) -> tuple[str, ...]:
    shared = {span.visitor for span in traces.spans}
    long = (name.lower() for name in traces.users | traces.visitors | shared if len(name) >= _LONG)
    return (*long, *traces.emails)


@lru_cache(maxsize=4)
def _names(traces: Traces) -> tuple[frozenset[str], tuple[str, ...]]:
    names = traces.users | traces.visitors
    return names, tuple(name.lower() for name in names)


def letter_of(letter: Letter, traces: Traces) -> bool:
    """Whether a letter is the person's, or about the person."""
    if letter.context.get("user_id") in traces.users or letter.context.get("anonymous_id") in traces.visitors:
        return True
    text = f"{letter.raw.decode('utf-8', 'replace')} {letter.path} {letter.detail}".lower()
    if any(needle in text for needle in _needles(traces)):
        return True
    names, lower = _names(traces)
    # Most letters are somebody else's: read only where a name occurs at all, or may be written in escapes.
    if not any(name in text for name in lower) and "\\" not in text and not letter.binary:
        return False
    found = _value(letter.raw)
    if letter.kind == "row":
        return any(value in names for _, value in _leaves(found))
    return any(value in names and key and _NAMES_A_USER.fullmatch(key) for key, value in _leaves(found))


def names_in(letter: Letter | bytes) -> set[str]:
    """Whatever in a letter, or in half a line of one, may be the id of a user or visitor, for tombstones to judge.

    Guests are named by the keyed hashes of their addresses.
    """
    from ml_models.adapters.catalogue.values import guest_keys

    if isinstance(letter, bytes):
        raw, texts, names = letter, [letter.decode("utf-8", "replace")], set()
    else:
        raw = letter.raw
        texts = [raw.decode("utf-8", "replace"), letter.path, letter.detail]
        names = {str(letter.context[key]) for key in ("user_id", "anonymous_id") if letter.context.get(key)}
        for key, value in _leaves(_value(raw)):
            if len(value) >= _LONG or letter.kind == "row" or (key and _NAMES_A_USER.fullmatch(key)):
                names.add(value)
    for text in texts:
        names |= {*_TOKEN.findall(text), *_UUID.findall(text)}
        names |= {f"guest:{key}" for address in _addresses(text) for key in guest_keys(address)}
    return names | {name.lower() for name in names}


def _addresses(text: str) -> Iterator[str]:
    """What may be e-mail addresses. An expression for all of one takes the square of the time over long words."""
    if "@" not in text:
        return
    for word in _BETWEEN.split(text):
        parts = word.split("@")
        yield from (f"{mailbox}@{domain}" for mailbox, domain in pairwise(parts) if mailbox and domain)


def _value(raw: bytes) -> Any:
    for decode in (_json, _msgpack):
        try:
            return decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):  # broken, which is why it lies here
            continue
    return None


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, value as text) of everything inside that is text or a whole number."""
    stack = [(key, value)]
    while stack:
        name, one = stack.pop()
        if isinstance(one, dict):
            stack += [(str(inner), inside) for inner, inside in one.items()]
        elif isinstance(one, list):
            stack += [(name, inside) for inside in one]
        elif isinstance(one, str | int) and not isinstance(one, bool):
            yield name, str(one)
