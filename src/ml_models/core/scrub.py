"""Free text without persons: e-mail, telephone, card numbers and IP addresses become `[email]`, `[phone]`, `[card]`,
`[ip]`.

Order numbers, SKUs, prices, dates, times and UUIDs stay: a number is taken for a person's only where its form says so.

- card: 14 to 19 digits, bare or in groups, that begin as an issuer's do and pass the check digit. A bare number of
  13 digits is a barcode and stays.
- telephone: after a `+` or `00`; in groups with the leading 0 of a national number; as (555) 123-4567 or
  555-123-4567; or after a word such as `tel`. A bare run of digits stays.
- IP: four numbers up to 255, no more and no fewer, that no `v` stands before (a version); an IPv6 address.

What a client may send is long and hostile, so no expression here may need more than time linear in the text. Each has a
bound on every repetition, or begins with something that none of its repetitions can contain.

What this cannot know is a name or a postal address. Fields that could hold one are not collected.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Any

__all__ = ["is_card", "scrub", "scrub_email", "scrub_id", "scrub_value"]

SHORT = 64
"""Longest text whose answer is remembered; characters."""
MAX_DEPTH = 50
"""Levels of objects and lists that are looked into; what lies deeper becomes `[too deep]`."""
EMAIL, PHONE, CARD, IP, TOO_DEEP = "[email]", "[phone]", "[card]", "[ip]", "[too deep]"

_AT_SIGN = (
    r"@|%(?:25){0,3}(?:40|[Ee][Ff]%(?:25){0,3}[Bb][Cc]%(?:25){0,3}[Aa]0)"
    r"|&(?:\#0{0,4}64|\#[xX]0{0,4}40|commat);|\\u0040|\uff20|\ufe6b"
)
"""An at sign as it is, encoded for a URL (also several times), for HTML or for JSON, and in two full forms."""
_DOT = r"(?:\.|%(?:25){0,3}2[Ee])"
# Nothing of a person without one of these: an at sign, a longer number, two colons. One pass over the text.
_SUSPICIOUS = re.compile(rf"{_AT_SIGN}|\d[\d .()/-]{{5}}|\d{_DOT}\d{{1,3}}{_DOT}\d{{1,3}}{_DOT}\d|:[0-9a-fA-F]{{0,4}}:")
# What is often in an event and is none of it: a UUID, a time.
_PLAIN = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\d[T ][\d:.]{5,18}[Z\d:+-]{0,6}"
)

# The mailbox is looked for to the left of an at sign that has a domain to its right: an expression that begins with the
# mailbox would start again at each character of a long text.
_AT = re.compile(_AT_SIGN)
_DOMAIN = re.compile(r"\[[\da-fA-F.:]+\]|[\w-]+(?:(?:[.\u3002\uff0e\uff61]|%(?:25){0,3}2[Ee])[\w-]+)+")
# Read backwards: letters, or such that are encoded (%2B, %C3%B6), or anything in quotation marks.
_MAILBOX = re.compile(
    r"""(?:(?:[Bb]2|[0-9A-Fa-f][89A-Fa-f])(?:52){0,3}%|[\w.!#$&'*+/=?^`{|}~-])+"""
    r"""|"[^"@\[\]]{1,128}\""""
)
_CARD = re.compile(r"(?<![\w.,+-])(?:\d{14,19}|\d{4}([ -])\d{4,6}\1\d{4,5}(?:\1\d{1,4}){0,2})(?![\w-]|[.,]\d)")
_ISSUER = re.compile(r"4|5[1-5]|2[2-7]|3[4-9]|30|6")
_IPV4 = re.compile(rf"(?<!\d)(?<!\d\.)(?<!(?<![A-Za-z])[vV])(?:\d{{1,3}}{_DOT}){{3}}\d{{1,3}}(?!\d|\.\d)")
_ENCODED_DOT = re.compile(r"%(?:25){0,3}2[Ee]")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4})(?![\w:])")
# An address in an id, with its port, and the name some give it.
_ADDRESS_OF_ID = re.compile(r"\[ip\]\]?(?::\d{1,5}(?!\d))?|\bip\b")
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
    r"\b((?:tel|telefon|telephone|fon|fax|whatsapp|call(?:\s{1,3}me)?|(?:phone|mobile|handy)(?:\s{0,3}(?:no|number|nr)\b|[:=]))"
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
    text = _without_mailboxes(text)
    text = _CARD.sub(_card, text)
    if text.count(":") > 1:
        text = _IPV6.sub(_ip, text)
    if text.count(".") > 2 or "%" in text:
        text = _IPV4.sub(_ip, text)
    text = _PHONE.sub(_phone, text)
    return _CALLED.sub(_called, text) if _CALLING.search(text) else text


_remembered = lru_cache(maxsize=4096)(_scrubbed)  # sessions, pages and searches come again and again


def scrub_email(text: str) -> str:
    """A text without e-mail addresses; whatever numbers are in it stay."""
    return text if text.isalnum() else _without_mailboxes(text)


def scrub_id(text: str) -> str:
    """An id without e-mail addresses, and without IP addresses where it is nothing else: several, or with their ports.

    Whatever numbers are in an id are its own, so nothing else is looked for.
    """
    if text.isalnum():  # most ids, and none of them either
        return text
    text = _without_mailboxes(text)
    if text.count(".") < 3 and text.count(":") < 2:
        return text
    try:
        ipaddress.ip_address(text.strip())
    except ValueError:
        without = _IPV4.sub(_ip, _IPV6.sub(_ip, text))
        nothing_else = not any(map(str.isalnum, _ADDRESS_OF_ID.sub("", without)))
        return without if nothing_else else text
    return IP


def _without_mailboxes(text: str) -> str:
    # The one comparison that most texts need; an expression costs ten of them.
    if "@" not in text and "%" not in text and "&" not in text and "\\" not in text and text.isascii():
        return text
    pieces: list[str] = []
    taken = floor = 0  # what is in `pieces` already; how far to the left a mailbox may reach
    for at in _AT.finditer(text):
        domain = _DOMAIN.match(text, at.end())
        if domain is None or at.start() < floor:
            continue
        mailbox = _MAILBOX.match(text[floor : at.start()][::-1])
        if mailbox is not None:
            pieces += (text[taken : at.start() - mailbox.end()], EMAIL)
            taken = domain.end()
        floor = domain.end() if mailbox is not None else at.end()
    return "".join((*pieces, text[taken:])) if pieces else text


def scrub_value(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A value of JSON with every text inside scrubbed, keys included, and numbers that are a card's.

    What lies more than `depth` levels deep becomes `[too deep]`.
    """
    kind = type(value)
    if kind is str:
        return scrub(value)
    if kind is dict or kind is list:
        if depth == 0:
            return TOO_DEEP
        if kind is dict:
            return {scrub(key): scrub_value(inner, depth - 1) for key, inner in value.items()}
        return [scrub_value(inner, depth - 1) for inner in value]
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
        ipaddress.ip_address(_ENCODED_DOT.sub(".", found) if "%" in found else found)
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
