"""The one request that every list of items answers: a frozen `Query`, for user, session, product page and cart."""

from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Interaction", "Query"]


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing a visitor did with an item."""

    item_id: str
    """External item id (canonical parent id, not a variant)."""
    event_type: str
    """A name of `ml_models.core.event.EventType`, such as `product_view`."""
    at: datetime
    """When, aware UTC."""


@dataclass(frozen=True, slots=True)
class Query:
    """Who asks, what for, and what is known at this moment."""

    type: str = "personalized"
    """The kind of list: personalized, similar, popular, trending, new, recently_viewed, ..."""
    limit: int = 10
    """Items wanted, 1 to `ML_API["max_limit"]`."""
    visitor: str | None = None
    """Key of the visitor: `u:<user id>` for a known user, `a:<anonymous id>` for a guest, None for nobody."""
    history: tuple[Interaction, ...] = ()
    """Recent interactions, oldest first."""
    product_id: str | None = None
    """The product page the list stands on (external); serving puts the product in place of a variant."""
    cart: tuple[str, ...] = ()
    """External ids in the cart."""
    exclude: frozenset[str] = field(default_factory=frozenset)
    """External ids that must not be in the answer."""
    placement: str = ""
    """Name of the block on the page, for attribution."""
    now: datetime | None = None
    """Time of the request, aware UTC; None means the clock's now."""
