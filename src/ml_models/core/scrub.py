"""Free text without persons: e-mail, telephone, card numbers and IP addresses become `[email]`, `[phone]`, `[card]`,
`[ip]`.

Order numbers, SKUs, prices, dates, times and UUIDs stay: a number is taken for a person's only where its form says so.

- card: 14 to 19 digits, bare or in groups, that begin as an issuer's do and pass the check digit. A bare number of
  13 digits is a barcode and stays.
- telephone: after a `+` or `00`; in groups with the leading 0 of a national number; as (555) 123-4567 or
  555-123-4567; or after a word such as `tel`. A bare run of digits stays.
- IP: four numbers up to 255 that stand alone; an IPv6 address.

What this cannot know is a name or a postal address. Fields that could hold one are not collected.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Any

__all__ = ["is_card", "scrub", "scrub_email", "scrub_value"]

SHORT = 64
"""Longest text whose answer is remembered; characters."""
EMAIL, PHONE, CARD, IP = "[email]", "[phone]", "[card]", "[ip]"

# Nothing of a person without one of these: an at sign, a longer number, two colons. One pass over the text.
_SUSPICIOUS = re.compile(r"@|%40|\uff20|\d[\d .()/-]{5}|\d\.\d+\.\d+\.\d|:[0-9a-fA-F]{0,4}:")
# What is often in an event and is none of it: a UUID, a time.
_PLAIN = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\d[T ][\d:.]{5,18}[Z\d:+-]{0,6}"
)

# Bounded on the left of the at sign, so that a long text without one costs no more than its length.
_EMAIL = re.compile(
    r"(?:[\w.!#$&'*+/=?^`{|}~-]|%2B){1,64}(?:@|%40|\uff20)(?:\[[\da-fA-F.:]+\]|[\w-]+(?:\.[\w-]+)+)", re.IGNORECASE
)
_CARD = re.compile(r"(?<![\w.,+-])(?:\d{14,19}|\d{4}([ -])\d{4,6}\1\d{4,5}(?:\1\d{1,4}){0,2})(?![\w-]|[.,]\d)")
_ISSUER = re.compile(r"4|5[1-5]|2[2-7]|3[4-9]|30|6")
_IPV4 = re.compile(r"(?<![\w.])(?<!\d,)(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d|-\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4})(?![\w:])")
_PHONE = re.compile(
    r"""(?<![\w.,:/+-])(?:
        (?:\+|00(?=[1-9]\d{0,2}[ ]))[ ]?(?P<world>[1-9](?:[ ./-]?\(?\d\)?){6,14})     # +49 171 1234567
      | (?P<trunk>\(?0[1-9]\d{0,4}\)?(?P<sep>[ ]?/[ ]?|[ ]|-)\d{2,8}(?:[ -]\d{2,8}){0,4})  # 0171/123 45 67
      | (?P<french>0[1-9](?:\.\d{2}){4})                                               # 01.23.45.67.89
      | (?:1[ -])?(?:\(\d{3}\)[ ]?\d{3}[ -]\d{4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})  # (555) 123-4567
      )(?![\w]|[-.,:/]\d)""",
    re.VERBOSE,
)
_CALLED = re.compile(
    r"\b((?:tel|telefon|telephone|fon|fax|whatsapp|call(?:\s+me)?|(?:phone|mobile|handy)(?:\s*(?:no|number|nr)\b|[:=]))"
    r"\.?\s{0,3}[:=]?\s{0,3})(\(?\d(?:[ ./()-]{0,2}\d){6,14})(?![\w]|[-.,:/]\d)",
    re.IGNORECASE,
)
_CALLING = re.compile(r"(?i)tel|fon|fax|whatsapp|call|phone|mobile|handy")
_DATE = re.compile(r"\d{2}([ -])\d{2}\1\d{4}")


def scrub(text: str) -> str:
    """The text without what identifies a person."""
    return _remembered(text) if len(text) <= SHORT else _scrubbed(text)


def _scrubbed(text: str) -> str:
    if _SUSPICIOUS.search(text) is None or _PLAIN.fullmatch(text):
        return text
    if "@" in text or "%40" in text or "\uff20" in text:
        text = _EMAIL.sub(EMAIL, text)
    text = _CARD.sub(_card, text)
    if text.count(":") > 1:
        text = _IPV6.sub(_ip, text)
    if text.count(".") > 2:
        text = _IPV4.sub(_ip, text)
    text = _PHONE.sub(_phone, text)
    return _CALLED.sub(_called, text) if _CALLING.search(text) else text


_remembered = lru_cache(maxsize=4096)(_scrubbed)  # sessions, pages and searches come again and again


def scrub_email(text: str) -> str:
    """An id without e-mail addresses; whatever numbers are in an id are its own."""
    return _EMAIL.sub(EMAIL, text) if "@" in text or "%40" in text else text


def scrub_value(value: Any) -> Any:
    """A value of JSON with every text inside scrubbed, keys included, and numbers that are a card's."""
    kind = type(value)
    if kind is str:
        return scrub(value)
    if kind is dict:
        return {scrub(key): scrub_value(inner) for key, inner in value.items()}
    if kind is list:
        return [scrub_value(inner) for inner in value]
    if kind is int and value > 10**13 and is_card(str(value)):
        return CARD
    return value


def is_card(digits: str) -> bool:
    """Whether digits are a payment card's: an issuer's beginning, its length, and the check digit (Luhn)."""
    if not 14 <= len(digits) <= 19 or _ISSUER.match(digits) is None:
        return False
    # Only the lengths that are issued; so most long ids with such a beginning are none.
    first = digits[0]
    if first == "3" and len(digits) not in ((15,) if digits[1] in "47" else (14, 16)):
        return False
    if first in "25" and len(digits) != 16:
        return False
    if first == "4" and len(digits) not in (16, 19):
        return False
    if first == "6" and len(digits) < 16:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _card(match: re.Match[str]) -> str:
    found = match.group()
    return CARD if is_card(found.replace(" ", "").replace("-", "")) else found


def _ip(match: re.Match[str]) -> str:
    found = match.group()
    if ":" in found and not any(map(str.isdigit, found)):
        return found  # words with colons between them, such as add::bad
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return found
    return IP


def _phone(match: re.Match[str]) -> str:
    found = match.group()
    digits = sum(map(str.isdigit, found))
    if match["trunk"]:
        # A date and the time after it, or two short numbers, are no telephone number.
        if not 9 <= digits <= 12 or _DATE.match(found):
            return found
    elif match["world"] and not 8 <= digits <= 17:
        return found
    return PHONE


def _called(match: re.Match[str]) -> str:
    return f"{match[1]}{PHONE}"
