"""Who is no person: self-declared crawlers and monitors, automated browsers, and a pace no person keeps.

A flag with a reason, never a refusal: nothing is dropped because of it when it arrives. Training, profiles and product
statistics leave flagged events out while `ML_TRACKING["exclude_bots"]` is True.

============== ==================================================================================================
reason         sign
============== ==================================================================================================
`user_agent`   the agent is in the list of `crawler-user-agents`, or calls itself a bot, crawler, spider, ...
`automation`   the agent or its client hints name a headless or remote-controlled browser
`bare_request` a page was asked for without any cookie and without `Accept-Language`, which every browser sends
`pace`         more pages in a minute than a person looks at (`PAGES`, or `PAGES_WITHOUT_COOKIE` of one address)
============== ==================================================================================================
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ml_models.core.errors import ConfigError

__all__ = ["PAGES", "PAGES_WITHOUT_COOKIE", "Pace", "pace", "reason_of"]

PAGES = 60
"""Pages a minute up to which one visitor cookie passes for a person."""
PAGES_WITHOUT_COOKIE = 120
"""The same for one address and agent without the cookie: several people may share both."""

# Beside the list, which names every crawler singly: those that call themselves one. Cubot makes telephones.
_SELF_DECLARED = re.compile(
    r"(?<!cu)bot\b|(?<!cu)bot[/;_-]|crawl|spider|slurp|mediapartners|archiver|lighthouse|pingdom|uptime"
    r"|(?:link|page|site|uri|url|web)[ _-]?preview|^(?:java/|node\b|undici\b|postmanruntime/|lynx/)",
    re.IGNORECASE,
)
_BROWSERS = re.compile(r"SogouMobileBrowser/[\d.]*")
"""Browsers of persons whose names contain a crawler's."""
_AUTOMATION = re.compile(r"headless|phantomjs|slimerjs|selenium|webdriver|puppeteer|playwright|cypress", re.IGNORECASE)
_APPS = ("okhttp",)
"""Patterns of the list that are no crawler's here: the library by which every Android app speaks to its shop."""


class _Crawler(msgspec.Struct):
    pattern: str


@lru_cache(maxsize=1)
def _crawlers() -> re.Pattern[str]:
    """The list as one expression.

    The package itself is not imported: it would hold every example of an agent, which takes ten times the memory.
    """
    found = find_spec("crawleruseragents")
    if found is None or found.origin is None:
        raise ConfigError("The package crawler-user-agents is not installed. Install it: pip install bunoraa-ml")
    listed = (Path(found.origin).parent / "crawler-user-agents.json").read_bytes()
    patterns = (one.pattern for one in msgspec.json.decode(listed, type=list[_Crawler]))
    return re.compile("|".join(pattern for pattern in patterns if pattern not in _APPS))


@lru_cache(maxsize=1024)
def reason_of(agent: str, hints: str = "") -> str | None:
    """Why this user agent (and `Sec-CH-UA`) is no person's browser, or None."""
    if _AUTOMATION.search(agent) or _AUTOMATION.search(hints):
        return "automation"
    agent = _BROWSERS.sub("", agent)
    if agent and (_SELF_DECLARED.search(agent) or _crawlers().search(agent)):
        return "user_agent"
    return None


class Pace:
    """Pages a minute of each sender, in memory only, for the `size` senders seen last. Safe in several threads."""

    def __init__(self, *, size: int = 20_000, window: float = 60.0) -> None:
        """Build one without senders; `window` in seconds."""
        self._size, self._window = size, window
        self._seen: OrderedDict[Hashable, tuple[float, int, bool]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Senders that are remembered."""
        return len(self._seen)

    def page(self, sender: Hashable, moment: float, most: int) -> bool:
        """Count a page at `moment` (seconds of any steady clock); whether the sender is faster than `most` a window.

        Once too fast, a sender stays flagged until it has been slow for a whole window.
        """
        with self._lock:
            start, count, fast = self._seen.pop(sender, (moment, 0, False))
            if moment - start >= self._window:
                # Slow in the window that has ended, or silent since: a person again.
                fast = fast and count > most and moment - start < 2 * self._window
                start, count = moment, 0
            count += 1
            fast = fast or count > most
            self._seen[sender] = (start, count, fast)
            if len(self._seen) > self._size:
                self._seen.popitem(last=False)
            return fast

    def too_fast(self, sender: Hashable) -> bool:
        """Whether the sender was too fast at its last page."""
        found = self._seen.get(sender)
        return found is not None and found[2]

    def reset(self) -> None:
        """Forget every sender."""
        with self._lock:
            self._seen.clear()


pace = Pace()
"""Of this process."""
