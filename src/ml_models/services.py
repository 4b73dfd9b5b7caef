"""One function per question a shop may ask. A service never sees a request; it takes a `Query` and gives an answer."""

from __future__ import annotations

import logging
from dataclasses import replace

from django.db import Error as DatabaseError

from ml_models.core import clock
from ml_models.core.errors import InvalidQuery, MLError
from ml_models.core.query import Interaction, Query
from ml_models.data_collection import counters
from ml_models.data_collection.recent import recent
from ml_models.serving.answer import Answer
from ml_models.serving.pipeline import make_list
from ml_models.serving.sources import sources_for
from ml_models.settings import get_settings

__all__ = ["recommend", "recommend_for"]

log = logging.getLogger("bunoraa.ml.serving")


def recommend(query: Query) -> Answer:
    """A list of products for the query.

    The history is read from the online store when the query brings none and names a visitor, so what a visitor did a
    second ago counts. The answer says which sources and model versions made it; it is empty only where the shop shows
    no product that is not excluded, or `ML_ENABLED` is False. Scores: see `Answer`.

    Raises `InvalidQuery` with a sentence for an unknown type, a limit outside 1 to `ML_API["max_limit"]` or a `similar`
    list without `product_id`, and `CatalogueError` when the shop's products are not mapped.
    """
    settings = get_settings()
    sources_for(query.type)
    most = settings.api.max_limit
    if not 1 <= query.limit <= most:
        raise InvalidQuery(f"limit is {query.limit}, but must be 1 to {most}. Ask for fewer products at a time.")
    if query.type == "similar" and not query.product_id:
        raise InvalidQuery("A list of type 'similar' needs product_id: the product that the others are similar to.")
    if not settings.enabled:
        return Answer(query.type)
    history = query.history
    if not history and query.visitor is not None:
        history = _recent(query.visitor, settings.serving.history)
    return make_list(replace(query, history=history, now=query.now or clock.now()))


def recommend_for(
    visitor: str | None,
    type: str = "personalized",
    *,
    limit: int | None = None,
    product_id: object | None = None,
    exclude: frozenset[str] | list[str] | tuple[str, ...] = frozenset(),
    placement: str = "",
) -> Answer:
    """`recommend` with plain arguments, for views and template tags.

    `visitor` is `ml_models.data_collection.identity.visitor_of(request).key`, or None for nobody. Ids may be of any
    type; they are taken as text. `limit` None means `ML_API["default_limit"]`.
    """
    return recommend(
        Query(
            type=type,
            limit=get_settings().api.default_limit if limit is None else limit,
            visitor=visitor,
            product_id=None if product_id is None else str(product_id),
            exclude=frozenset(map(str, exclude)),
            placement=placement,
        )
    )


def _recent(visitor: str, limit: int) -> tuple[Interaction, ...]:
    try:
        return tuple(recent.read(visitor, limit))
    except (DatabaseError, MLError, OSError) as error:
        # A list for nobody in particular is better than no list.
        counters.add("serving.history_unread")
        log.error("Recent interactions cannot be read (%s); the list is not personal. See: manage.py ml_status", error)
        return ()
