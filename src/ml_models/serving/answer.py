"""What comes back: the items with their scores, and who made them."""

import msgspec

__all__ = ["Answer", "Recommendation", "SourceUse"]


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """One item of an answer."""

    product_id: str
    """External id of a product that was visible when the answer was made."""
    score: float
    """Finite, in (0, 1], never rising down the list; comparable within one answer only."""


class SourceUse(msgspec.Struct, frozen=True, gc=False):
    """What one source gave. An answer's items come source by source, in the order of its `sources`."""

    source: str
    """Name of the source: a model's name or a built-in such as `trending`."""
    model: str | None
    """Model that scored, None for a built-in."""
    version: int | None
    """Version of that model, None for a built-in."""
    items: int
    """Items of the answer that came from it; count, >= 1."""


class Answer(msgspec.Struct, frozen=True):
    """An answered query."""

    type: str
    """The kind of list that was asked for."""
    items: tuple[Recommendation, ...] = ()
    """Best first, no product twice, at most `limit`."""
    sources: tuple[SourceUse, ...] = ()
    """Who made it, in the order of the items."""
    fallback: bool = False
    """True when none of the type's own sources had anything to show and the newest products stand in."""

    @property
    def product_ids(self) -> list[str]:
        """The external ids, best first."""
        return [item.product_id for item in self.items]
