"""How much one sender may send: a bucket of tokens per network and one per visitor, in this process's memory.

A bucket holds `burst` tokens and gets `rate` new ones a second; a track request takes one. It is kept as a single
number, the time at which it would be full again (the generic cell rate algorithm), so a check costs the same whatever
was sent before. Senders not heard of for long are forgotten, and so are the least recent ones where there are too many;
a forgotten bucket is a full one. Each worker process counts for itself: with four, a sender gets up to four times as
much.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from ml_models.adapters.build import shared
from ml_models.core import clock
from ml_models.data_collection import counters
from ml_models.data_collection.client import forwarded_network
from ml_models.settings import get_settings

__all__ = ["Buckets", "Limits", "limits"]

MOST = 100_000
"""Senders of either kind that are remembered; count. About 150 bytes each."""

# Where no proxy is trusted, such a peer is most often a proxy of the shop's own that ML_LIMITS does not name: one
# bucket for it would be one for all visitors together.
_LOCAL = [
    ipaddress.ip_network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
        *("::/48", "fc00::/7", "fe80::/10"),
    )
]


class Buckets:
    """Buckets by key."""

    def __init__(self, rate: float, burst: int, most: int = MOST) -> None:
        """Build with every bucket full. `rate`: tokens a second; `burst`: tokens a bucket holds; `most`: buckets."""
        self._gap = 1.0 / rate
        self._room = (burst - 1) * self._gap
        # Two generations: what is asked for moves to the younger; when that is full, the older one is dropped whole.
        # Each step is one operation on a dictionary, so threads need no lock; two at the same moment may share a token.
        self._half = max(1, most // 2)
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}

    def __len__(self) -> int:
        """Buckets remembered."""
        return len(self._young) + len(self._old)

    def take(self, key: str, now: float) -> float:
        """Take a token at the monotonic second `now`: 0 where there was one, else the seconds until there is."""
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._old.get(key, now)
        ahead = full_at - now
        if ahead > self._room:
            return ahead - self._room
        if len(self._young) >= self._half and key not in self._young:
            self._old, self._young = self._young, {}
        self._young[key] = (full_at if ahead > 0 else now) + self._gap
        return 0.0


class Limits:
    """Both kinds of buckets, by `ML_LIMITS`."""

    def __init__(self) -> None:
        settings = get_settings().limits
        self._networks = Buckets(settings.network_rate, settings.network_burst)
        self._visitors = Buckets(settings.visitor_rate, settings.visitor_burst)
        self._proxied = settings.trusted_proxies > 0

    def network(self, prefix: str | None, forwarded: str | None = None) -> float:
        """Charge a sender's network (/24, /48); seconds to wait, 0 where the request may go on.

        Where no proxy is trusted, a sender with an address of a private network or without any (a Unix socket) is taken
        for a proxy that nobody named: the last place of `forwarded` (`X-Forwarded-For`), which such a proxy writes, is
        charged instead. That is for the limit alone: the worst that an invented one does is what no limit would.
        Where that is local too, or missing, nobody is charged.
        """
        if not self._proxied and (prefix is None or _is_local(prefix)):
            if not forwarded:
                return 0.0
            counters.add("limits.unnamed_proxy")
            prefix = forwarded_network(forwarded)
            if prefix is None or _is_local(prefix):
                return 0.0
        if prefix is None:
            return 0.0
        return self._networks.take(prefix, clock.current().monotonic())

    def visitor(self, anonymous_id: str | None) -> float:
        """Charge a visitor whose cookie was verified; seconds to wait, 0 where the request may go on."""
        return 0.0 if anonymous_id is None else self._visitors.take(anonymous_id, clock.current().monotonic())


@lru_cache(maxsize=4096)
def _is_local(prefix: str) -> bool:
    network = ipaddress.ip_network(prefix)
    return any(network.version == local.version and network.subnet_of(local) for local in _LOCAL)  # type: ignore[arg-type]


def limits() -> Limits:
    """The process's buckets, full again after a setting changed."""
    found: Limits = shared("limits", Limits)
    return found
