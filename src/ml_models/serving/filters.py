"""What a list leaves out before the shop is asked: what the caller excludes, the page's own product, what was seen."""

from __future__ import annotations

from ml_models.core.query import Query
from ml_models.settings import get_settings

__all__ = ["DEFAULT_EXCLUDE_SEEN", "excluded", "seen"]

DEFAULT_EXCLUDE_SEEN: dict[str, tuple[str, ...]] = {
    "personalized": ("product_view", "product_click", "cart_add"),
}
"""Event types whose items a list leaves out, per list type; a type that is not named leaves out nothing.

"For you" does not repeat the products just looked at: they have a list of their own, `recently_viewed`. A purchase by
itself removes nothing, because repeat purchases belong to many shops. Only the recent interactions of the query
count (`ML_SERVING["history"]` of them), not a visitor's whole past.
"""

_NOTHING: frozenset[str] = frozenset()


def excluded(query: Query) -> frozenset[str]:
    """Ids that may not be in the answer whatever happens: the caller's, and the product the page is about."""
    if query.product_id is None:
        return query.exclude
    return query.exclude | {query.product_id}


def seen(query: Query) -> frozenset[str]:
    """Ids of the query's history that this type of list passes over, as long as anything else can be shown."""
    if not query.history:
        return _NOTHING
    types = get_settings().serving.exclude_seen.get(query.type)
    if types is None:
        types = DEFAULT_EXCLUDE_SEEN.get(query.type, ())
    return frozenset(event.item_id for event in query.history if event.event_type in types)
