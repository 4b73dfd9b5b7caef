"""Drawn product pictures: a small SVG per product, from its shape, two colours, a pattern and a seed.

`draw(Spec(...))` is a pure function of its argument, so that a picture can be cached for ever under the
address that `Spec.slug()` gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .brush import Brush, mix
from .garden_play import SHAPES as _GARDEN_PLAY
from .gifts import SHAPES as _GIFTS
from .home import SHAPES as _HOME
from .wear import SHAPES as _WEAR

__all__ = ["PATTERNS", "SHAPES", "Spec", "draw"]

SHAPES = {**_WEAR, **_HOME, **_GARDEN_PLAY, **_GIFTS}
"""Shape name -> function that draws it with a `Brush`."""

PATTERNS = ("plain", "stripes", "dots", "check", "waves", "speckle", "leaves", "diamonds")

_SLUG = re.compile(r"([a-z]+)-([0-9a-f]{6})-([0-9a-f]{6})-([a-z]+)-(\d{1,9})")


@dataclass(frozen=True)
class Spec:
    """What a picture shows."""

    shape: str
    main: str
    """Six hex digits."""
    accent: str
    """Six hex digits."""
    pattern: str = "plain"
    seed: int = 0
    """Chooses among the variants of a shape; 0 to 999,999,999."""

    def slug(self) -> str:
        """The spec as one word of an address."""
        return f"{self.shape}-{self.main}-{self.accent}-{self.pattern}-{self.seed}"

    @classmethod
    def parse(cls, slug: str) -> Spec | None:
        """The spec that a slug names, None where it names none."""
        match = _SLUG.fullmatch(slug)
        if match is None:
            return None
        shape, main, accent, pattern, seed = match.groups()
        if shape not in SHAPES or pattern not in PATTERNS:
            return None
        return cls(shape, main, accent, pattern, int(seed))


_MOTIFS = {
    "stripes": '<pattern id="p" width="26" height="26" patternUnits="userSpaceOnUse"><rect width="26" height="26" '
    'fill="{main}"/><rect y="15" width="26" height="8" fill="{accent}"/></pattern>',
    "dots": '<pattern id="p" width="30" height="30" patternUnits="userSpaceOnUse"><rect width="30" height="30" '
    'fill="{main}"/><circle cx="8" cy="8" r="4.5" fill="{accent}"/><circle cx="23" cy="23" r="4.5" fill="{accent}"/>'
    "</pattern>",
    "check": '<pattern id="p" width="32" height="32" patternUnits="userSpaceOnUse"><rect width="32" height="32" '
    'fill="{main}"/><rect width="14" height="32" fill="{accent}" opacity=".45"/><rect width="32" height="14" '
    'fill="{accent}" opacity=".45"/></pattern>',
    "waves": '<pattern id="p" width="40" height="20" patternUnits="userSpaceOnUse"><rect width="40" height="20" '
    'fill="{main}"/><path d="M0 10 Q10 0 20 10 T40 10" fill="none" stroke="{accent}" stroke-width="3.5"/></pattern>',
    "speckle": '<pattern id="p" width="44" height="44" patternUnits="userSpaceOnUse"><rect width="44" height="44" '
    'fill="{main}"/><g fill="{accent}"><circle cx="6" cy="9" r="2"/><circle cx="24" cy="5" r="1.4"/>'
    '<circle cx="36" cy="17" r="2.2"/><circle cx="15" cy="26" r="1.6"/><circle cx="30" cy="35" r="1.9"/>'
    '<circle cx="8" cy="39" r="1.3"/></g></pattern>',
    "leaves": '<pattern id="p" width="46" height="46" patternUnits="userSpaceOnUse"><rect width="46" height="46" '
    'fill="{main}"/><g fill="{accent}"><path d="M6 20 Q14 2 22 8 Q20 20 6 20Z"/><path d="M28 42 Q30 26 42 26 Q44 38 28 '
    '42Z"/></g></pattern>',
    "diamonds": '<pattern id="p" width="34" height="34" patternUnits="userSpaceOnUse"><rect width="34" height="34" '
    'fill="{main}"/><path d="M17 4 L28 17 L17 30 L6 17Z" fill="{accent}" opacity=".8"/></pattern>',
}


def draw(spec: Spec) -> str:
    """The picture as an SVG document of 1 to 4 KB."""
    brush = Brush("#" + spec.main, "#" + spec.accent, spec.pattern, spec.seed)
    backdrop = mix(mix("#" + spec.main, "#ffffff", 0.80), "#f4efe6", 0.45)
    glow = mix(backdrop, "#ffffff", 0.6)
    motif = _MOTIFS.get(spec.pattern, "").format(main=brush.main, accent=brush.motif)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400">'
        f'<defs><radialGradient id="b" cx=".5" cy=".42" r=".75"><stop offset="0" stop-color="{glow}"/>'
        f'<stop offset="1" stop-color="{backdrop}"/></radialGradient>{motif}</defs>'
        f'<rect width="400" height="400" fill="url(#b)"/>{SHAPES[spec.shape](brush)}</svg>'
    )
