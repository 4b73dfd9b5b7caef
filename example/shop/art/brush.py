"""Colours and small pieces that every drawing uses."""

from __future__ import annotations

__all__ = ["Brush", "mix", "shadow"]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(colour: str, other: str, share: float) -> str:
    """`colour` with `share` (0 to 1) of `other` in it, both as `#rrggbb`."""
    blended = (round(a + (b - a) * share) for a, b in zip(_rgb(colour), _rgb(other), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in blended)


def _luminance(colour: str) -> float:
    red, green, blue = _rgb(colour)
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


class Brush:
    """The colours of one picture and its choices."""

    def __init__(self, main: str, accent: str, pattern: str, seed: int) -> None:
        # Near-white products get a shade more body, so that they stand out from the backdrop.
        self.main = mix(main, "#b9a98f", 0.12) if _luminance(main) > 0.9 else main
        self.accent = accent
        self.motif = mix(accent, self.main, 0.25)
        self.fill = self.main if pattern == "plain" else "url(#p)"
        self.dark = mix(self.main, "#1d1a26", 0.30)
        self.deep = mix(self.main, "#1d1a26", 0.55)
        self.light = mix(self.main, "#ffffff", 0.38)
        self.accent_dark = mix(accent, "#1d1a26", 0.30)
        self.wood = "#b98a5e"
        self.wood_dark = "#8d6743"
        self.wood_light = "#d6b088"
        self.metal = "#aab2b8"
        self.metal_dark = "#79838b"
        self.metal_light = "#d5dade"
        self.ink = "#3b3a40"
        self.paper = "#fbf7ee"
        self.leaf = "#5d8a5a"
        self.leaf_dark = "#43694a"
        self._seed = seed

    def choose(self, options: int, salt: int = 0) -> int:
        """A number from 0 to `options - 1` that belongs to this product."""
        return (self._seed // 7**salt + salt * 13) % options


def shadow(y: int = 322, width: int = 120, x: int = 200) -> str:
    """A soft shadow on the ground."""
    return f'<ellipse cx="{x}" cy="{y}" rx="{width}" ry="11" fill="#2b2435" opacity=".13"/>'
