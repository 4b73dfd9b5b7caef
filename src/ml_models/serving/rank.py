"""The scores of a list whose items come from several sources."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["banded"]


def banded(scores: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Scores in (0, 1], never rising, from the scores of `len(counts)` sources on scales of their own.

    `scores` stand source by source, `counts` says how many each gave. Scores of different sources say nothing about
    each other, so each source has a band below the one before it: [0.51, 1], [0.255, 0.5], ... Its best item stands at
    the top of its band, its last at the bottom, the others in proportion; equal scores all stand at the top.
    """
    result: list[float] = []
    start, top, last = 0, 1.0, 1.0
    for count in counts:
        own = scores[start : start + count]
        high, low = own[0], min(own)
        spread = high - low
        scale = 0.49 * top / spread if math.isfinite(spread) and spread > 0 else 0.0
        for score in own:
            # A source asked a second time with a newer model may give scores out of order: the list's order stands.
            last = min(last, top - (high - score) * scale)
            result.append(float(f"{last:.4g}"))
        start += count
        top /= 2
        last = min(last, top)
    return result
