"""What the connection says about the sender: the cut address, the place, the device, and whether it is a person.

The address is looked up first and cut before anything touches the disk. The user agent is read here and kept nowhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from ml_models.data_collection import bots, devices, geo
from ml_models.settings import get_settings

__all__ = ["HEADERS", "Client", "address_of", "forwarded_network", "network_of", "sender_of"]

HEADERS = ("REMOTE_ADDR", "HTTP_X_FORWARDED_FOR", "HTTP_USER_AGENT", "HTTP_SEC_CH_UA")
"""What `Client.of` reads of `request.META`."""
MAX_AGENT = 512
"""Characters of a user agent that are looked at."""

MAX_ADDRESS = 64
"""Characters of an address with brackets, zone and port that are looked at."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Client:
    """The sender of a request."""

    ip_prefix: str | None = None
    """The address cut to /24 (IPv4) or /48 (IPv6), such as `203.0.113.0/24`."""
    ip_address: str | None = None
    """The whole address, only where the shop sets `anonymize_ip` False."""
    country: str | None = None
    """ISO 3166-1 code, where `geo_database` knows it."""
    region: str | None = None
    """ISO 3166-2 code, such as `DE-BY`."""
    device_type: str | None = None
    """`desktop`, `mobile`, `tablet`, `bot` or `other`; None where `collect_device_info` is False."""
    browser: str | None = None
    """Family and major version, such as `Chrome 120`."""
    os: str | None = None
    is_bot: bool = False
    bot_reason: str | None = None

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Client:
        """From `request.META`. Never fails: what cannot be told is None."""
        settings = get_settings()
        collection = settings.data_collection
        return _client(
            _address(meta, settings.limits.trusted_proxies),
            (meta.get("HTTP_USER_AGENT") or "")[:MAX_AGENT],
            (meta.get("HTTP_SEC_CH_UA") or "")[:MAX_AGENT],
            collection.anonymize_ip,
            collection.collect_device_info,
            # A new file has a new generation, so that no place from the old one is handed out.
            geo.generation() if collection.collect_location and collection.geo_database else None,
        )

    def flagged(self, reason: str) -> Client:
        """The same sender taken for a bot, unless one is known already."""
        return self if self.is_bot else replace(self, is_bot=True, bot_reason=reason)

    def columns(self) -> dict[str, Any]:
        """The fields of this as columns of `Event`."""
        return {name: getattr(self, name) for name in _COLUMNS}


_COLUMNS = tuple(field.name for field in fields(Client))


def sender_of(meta: Mapping[str, Any]) -> int:
    """A number for address and agent together, for `bots.pace`; it means nothing in another process."""
    proxies = get_settings().limits.trusted_proxies
    return hash((_address(meta, proxies), (meta.get("HTTP_USER_AGENT") or "")[:MAX_AGENT]))


def address_of(meta: Mapping[str, Any]) -> str:
    """The sender's whole address as text, "" without one (a Unix socket); it must not reach the disk."""
    return _address(meta, get_settings().limits.trusted_proxies)


def forwarded_network(forwarded: str) -> str | None:
    """The network of the last place of `X-Forwarded-For`, None where that is no address.

    What the peer wrote: to be believed as far as the peer is, whoever that may be.
    """
    return _network(forwarded.rpartition(",")[2].strip()[:MAX_ADDRESS])


def network_of(meta: Mapping[str, Any]) -> str | None:
    """`Client.of(meta).ip_prefix` without looking at the agent: cheap enough to be asked before any limit."""
    return _network(_address(meta, get_settings().limits.trusted_proxies))


def _address(meta: Mapping[str, Any], proxies: int) -> str:
    """The sender's address as text.

    Only what the shop's own proxies wrote is believed, and they write at the right. Where the header has fewer places
    than there are proxies, the request came past them and the header is the sender's own invention: the peer counts.
    `Forwarded` is not read: proxies pass on what the sender put there.
    """
    peer: str = meta.get("REMOTE_ADDR") or ""
    if not proxies:
        return peer
    places = (meta.get("HTTP_X_FORWARDED_FOR") or "").rsplit(",", proxies)
    place = places[-proxies].strip()[:MAX_ADDRESS] if len(places) >= proxies else ""
    return place if _parse(place) is not None else peer


@lru_cache(maxsize=4096)
def _parse(text: str) -> _Address | None:
    """An address as proxies and servers write it, with a port, brackets or a zone; None where there is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:  # a Unix socket has no address
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


@lru_cache(maxsize=4096)
def _network(address: str) -> str | None:
    parsed = _parse(address)
    if parsed is None:
        return None
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


@lru_cache(maxsize=2048)
def _client(address: str, agent: str, hints: str, anonymize: bool, with_device: bool, generation: int | None) -> Client:
    parsed = _parse(address)
    place = geo.look_up(str(parsed)) if parsed is not None and generation is not None else geo.NOWHERE
    reason = bots.reason_of(agent, hints)
    device = devices.Device()
    if with_device:
        device = devices.of(agent) if reason is None else devices.BOT
    return Client(
        ip_prefix=_network(address),
        ip_address=None if anonymize or parsed is None else str(parsed),
        country=place.country,
        region=place.region,
        device_type=device.type,
        browser=device.browser,
        os=device.os,
        is_bot=reason is not None,
        bot_reason=reason,
    )
