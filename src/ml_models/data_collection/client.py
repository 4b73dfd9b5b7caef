"""What the connection says about the sender: the cut address, and whether it calls itself a crawler."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ml_models.settings import get_settings

__all__ = ["Client"]

# Self-declared crawlers, link previews and monitors. A flag only: nothing is dropped because of it.
_CRAWLER = re.compile(
    r"bot\b|bot[/;_-]|crawl|spider|slurp|facebookexternalhit|mediapartners|preview|archiver|lighthouse|pingdom|uptime",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Client:
    """The sender of a request."""

    ip_prefix: str | None = None
    """The address cut to /24 (IPv4) or /48 (IPv6), such as `203.0.113.0/24`."""
    ip_address: str | None = None
    """The whole address, only where the shop sets `anonymize_ip` False."""
    is_bot: bool = False
    bot_reason: str | None = None

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Client:
        """From `request.META`: the peer's address and user agent."""
        return _client(
            meta.get("REMOTE_ADDR") or "",
            (meta.get("HTTP_USER_AGENT") or "")[:512],
            get_settings().data_collection.anonymize_ip,
        )


@lru_cache(maxsize=1024)
def _client(address: str, agent: str, anonymize: bool) -> Client:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has no address
        prefix = whole = None
    else:
        if parsed.version == 6 and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        bits = 24 if parsed.version == 4 else 48
        prefix = str(ipaddress.ip_network(f"{parsed}/{bits}", strict=False))
        whole = None if anonymize else str(parsed)
    crawler = bool(_CRAWLER.search(agent))
    return Client(prefix, whole, crawler, "user_agent" if crawler else None)
