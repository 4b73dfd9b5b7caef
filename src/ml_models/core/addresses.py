"""Addresses without persons and secrets: what of a URL may be kept.

Kept are the path and the query keys of an allowlist (`ML_PRIVACY["query_keys"]`). Fragments, user names, passwords and
every other query key go; of another site's address the whole query. A part of the path that looks like a secret (a link
that resets a password) becomes `[token]`, one that is a person's e-mail address or number `[email]`, `[phone]`, ...
Product ids stay: numbers, slugs, UUIDs.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_plus

from ml_models.core.scrub import IP, scrub, scrub_email

__all__ = ["clean_address", "host_of", "path_of"]

TOKEN = "[token]"
SHORT = 256
"""Longest address whose answer is remembered; characters."""

_SPLIT = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#\\]*))?([^?#]*)(?:\?([^#]*))?", re.DOTALL)
_KEPT_SCHEMES = ("http", "https", "android-app")
# Nothing of a secret or a person without one of these; most paths end here.
_SUSPICIOUS = re.compile(
    r"[@%+:;]|[\d()][\d .()-]{7}|[A-Za-z0-9_-]{16}"
    r"|(?i:reset|passw|activat|verif|confirm|invit|unsubscri|token|magic|secret|one-time|otp|auth|login|session)"
)
# What follows one of these in a path is often a key, however short.
_GUARDED = re.compile(
    r"(?i)(?:[a-z]+[_-])?(?:reset|password|activate|activation|verify|verification|confirm|confirmation|invite"
    r"|invitation|unsubscribe|token|magic|secret|one-time|otp|auth|login|session)"
    r"(?:[_-](?:password|email|account|link|login|token|key|code|reset|confirm))?"
)
# Words and short numbers, none of which begins like one of those: most paths of a shop, seen at one glance.
_WORD = r"(?!reset|passw|activ|verif|confirm|invit|unsub|token|magic|secret|one|otp|auth|login|session)[a-z0-9]{1,15}"
_SIMPLE = re.compile(rf"(?:/(?:(?=[a-z]){_WORD}(?:[_-]{_WORD})*|\d{{1,7}})?)*")
# And these are no keys.
_WORDS = re.compile(
    r"(?i)(?:(?:set|new|reset|change|forgot|confirm|verify|password|email|mail|account|done|complete|sent|success"
    r"|failed|error|invalid|expired|login|logout|signup|register|next|key|link|token|reset|social|inactive)[_-]?)+"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-fA-F]{24,}")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_CHANGES = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])")


def clean_address(
    address: str, limit: int, keys: frozenset[str], *, own: str | None = None, foreign: bool = False
) -> str | None:
    """What of an address may be kept, at most `limit` characters; None where it is no address of the web.

    `keys`: query keys that are kept. With `own` (a host and port) an address of any other host is another site's;
    with `foreign` every address that names a host is.
    """
    if len(address) > SHORT:
        return _cleaned(address, limit, keys, own, foreign)
    return _remembered(address, limit, keys, own, foreign)


def _cleaned(address: str, limit: int, keys: frozenset[str], own: str | None, foreign: bool) -> str | None:
    path, mark, query = address.partition("?")
    if path and _SIMPLE.fullmatch(path) and "#" not in query:
        return (path + _query(query, keys) if mark else path)[:limit]
    scheme, host, path, query = _split(address.strip())
    if scheme and (scheme.lower() not in _KEPT_SCHEMES or host is None):
        return None
    origin = ""
    if host is not None:
        host = host.rpartition("@")[2].lower()
        if own is None or host != own:
            foreign = foreign or own is not None
            host = _public_host(host)
        origin = f"{scheme.lower()}{':' if scheme else ''}//{host}"
    path = _path(path)
    if host is None and path.startswith("//"):
        path = "/" + path.lstrip("/")  # "/;/x" has lost what kept it from naming a host
    cleaned = origin + path
    if query and not (foreign and host is not None):
        cleaned += _query(query, keys)
    return cleaned[:limit].strip() or None


_remembered = lru_cache(maxsize=4096)(_cleaned)  # the same pages again and again


def host_of(address: str | None) -> str | None:
    """Host and port of an absolute address, in lower case; None where it has none."""
    host = _split(address.strip())[1] if address else None
    return host.rpartition("@")[2].lower() if host else None


def path_of(address: str) -> str:
    """The path of an address."""
    return _split(address)[2]


def _split(address: str) -> tuple[str, str | None, str, str]:
    """Scheme, authority (None without one), path and query. The standard library raises for some that browsers send."""
    match = _SPLIT.match(address)
    if match is None:  # cannot be: each part may be missing
        return "", None, "", ""
    scheme, host, path, query = match.groups()
    return scheme or "", host, path, query or ""


def _public_host(host: str) -> str:
    """A host that is named by its address becomes `[ip]`; addresses that only mean something inside a network stay."""
    name, port = host, ""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
    elif host.count(":") == 1:
        name, _, port = host.partition(":")
        port = f":{port}"
    try:
        parsed = ipaddress.ip_address(name)
    except ValueError:
        return scrub(host)
    inside = parsed.is_loopback or any(parsed in one for one in _INSIDE if one.version == parsed.version)
    return host if inside else IP + port


_INSIDE = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


def _path(path: str) -> str:
    if not path or _SUSPICIOUS.search(path) is None:
        return path
    guarded = False
    segments = []
    for segment in path.split("/"):
        segments.append(_segment(segment, guarded))
        # Everything after the word, as far as it is no word itself: /reset/<user>/<key>/.
        guarded = guarded or _GUARDED.fullmatch(segment) is not None
    return "/".join(segments)


def _segment(segment: str, guarded: bool) -> str:
    text = segment.partition(";")[0]  # ;jsessionid=...
    if not text:
        return text
    plain = unquote(text)
    if "%" in plain:
        plain = unquote(plain)  # encoded twice
    scrubbed = scrub(plain)
    if scrubbed != plain:
        return quote(scrubbed, safe="[]@:+,=&$!*'()~ ").replace(" ", "%20")
    if guarded and _WORDS.fullmatch(plain) is None:
        return TOKEN
    return TOKEN if _is_secret(plain) else text


def _is_secret(segment: str) -> bool:
    """Whether a part of a path was drawn by lot: long, and letters and digits in no order that words or SKUs have."""
    if len(segment) < 16 or _UUID.fullmatch(segment):
        return False
    if segment.count(".") == 2 and segment.startswith("eyJ"):
        return True  # a JSON web token
    if _HEX.search(segment) and not segment.isdigit():
        return True
    for piece in _PIECE.findall(segment):
        if len(piece) >= 16 and not piece.isdigit() and len(_CHANGES.findall(piece)) >= 5:
            return True
    return False


def _query(query: str, keys: frozenset[str]) -> str:
    kept = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if name not in keys and unquote_plus(name) not in keys:
            continue
        plain = unquote_plus(value)
        # Mailboxes before a plus becomes a space: it may stand inside their names.
        scrubbed = scrub(unquote_plus(scrub_email(value)) if "+" in value else plain)
        if scrubbed != plain:
            pair = f"{name}{equals}{quote(scrubbed, safe='[]')}"
        elif _is_secret(plain):
            pair = f"{name}{equals}{TOKEN}"
        kept.append(pair)
    return "?" + "&".join(kept) if kept else ""
