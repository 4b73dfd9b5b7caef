"""The stages of a list: sources -> filter -> arrange -> rank -> answer.

Candidates are drawn from the sources in order, only as many as needed. The last step before an answer is always the
shop's own word on what may be shown right now: no score, cache or fallback comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ml_models.adapters.build import get_catalogue
from ml_models.core.query import Query
from ml_models.serving.answer import Answer, Recommendation, SourceUse
from ml_models.serving.filters import excluded, seen
from ml_models.serving.loaded import get_models
from ml_models.serving.rank import banded
from ml_models.serving.sources import BUILT_IN, get_source, sources_for
from ml_models.settings import get_settings

__all__ = ["make_list"]

DEEPER = 4
"""How many times more candidates a source is asked for when the shop hides too many of them."""
SLACK = 10
"""Candidates drawn beyond the limit at first, so that a few hidden products cost no second query; count."""
MOST_CHECKED = 1000
"""Most products asked about in one query of the shop."""


class _Candidate(NamedTuple):
    item: str
    score: float
    """On its source's own scale."""
    source: int
    """Place of its source in the type's order."""


class _Used(NamedTuple):
    name: str
    is_model: bool
    version: int | None


def make_list(query: Query) -> Answer:
    """Answer a query whose history is filled in.

    Up to `query.limit` products that the shop shows now, none twice, none of `query.exclude` nor the page's own
    product. Never empty while the shop shows one that is not excluded: when the type's sources have nothing, the newest
    products stand in, and those the visitor has already seen before an empty list.

    Costs one query of the shop's products, more only where hidden products have to be replaced or ids may be variants'.
    """
    query = _of_products(query)
    never = excluded(query)
    passed_over = seen(query)
    used: list[_Used] = []
    found = _arrange(_draw(query, sources_for(query.type), never | passed_over, used), query.limit)
    fallback = not found
    if fallback:
        for exclude in (never | passed_over, never) if passed_over else (never,):
            used = []
            found = _arrange(_draw(query, ("new",), exclude, used), query.limit)
            if found:
                break
    return _answer(query, found, used, fallback and bool(found))


def _of_products(query: Query) -> Query:
    """The query with products in place of their variants: the page's, those of the history, those excluded.

    A variant that is excluded, or that the page is about, stays excluded beside its product. An id that a model of the
    list knows is a product's, since models learn from products alone: only others are looked up, all at once, and only
    where the shop maps variants.
    """
    catalogue = get_catalogue()
    given = query.exclude.union(event.item_id for event in query.history)
    if query.product_id is not None:
        given |= {query.product_id}
    if not given or not getattr(catalogue, "has_variants", True):
        return query
    unknown = set(given)
    for name in sources_for(query.type):
        model = get_models().get(name) if name not in BUILT_IN else None
        if model is not None:
            unknown = {one for one in unknown if one not in model.artifact.index}
            if not unknown:
                return query
    products = {one: product for one, product in catalogue.canonical(sorted(unknown)).items() if product != one}
    if not products:
        return query
    exclude = query.exclude.union(products[one] for one in query.exclude if one in products)
    about = query.product_id
    if about is not None and about in products:
        exclude, about = exclude | {about}, products[about]
    history = tuple(
        replace(event, item_id=products[event.item_id]) if event.item_id in products else event
        for event in query.history
    )
    return replace(query, product_id=about, history=history, exclude=exclude)


def _draw(
    query: Query, names: Sequence[str], exclude: frozenset[str], used: list[_Used]
) -> Iterator[_Candidate | None]:
    """Candidates of the named sources one after the other, without the excluded and without repeats.

    None stands where drawing on means asking a source, the next one or the same for more than its first `candidates`.
    """
    of_model = max(get_settings().serving.candidates, query.limit + SLACK)
    drawn: set[str] = set()
    for place, name in enumerate(names):
        source, is_model = get_source(name)
        k = of_model if is_model else query.limit + SLACK
        used.append(_Used(name, is_model, None))
        more = True
        while more:
            yield None
            candidates = source(query, k, exclude)
            if candidates.version is not None:
                used[place] = _Used(name, is_model, candidates.version)
            for item, score in zip(candidates.ids, candidates.scores, strict=True):
                if item not in drawn and item not in exclude:
                    drawn.add(item)
                    yield _Candidate(item, score, place)
            more = candidates.more
            k *= DEEPER


def _arrange(candidates: Iterator[_Candidate | None], limit: int) -> list[_Candidate]:
    """The first `limit` candidates that the shop shows right now."""
    visible: Callable[[Sequence[str]], set[str]] = get_catalogue().visible
    chosen: list[_Candidate] = []
    size = limit + SLACK
    while len(chosen) < limit:
        asked: list[_Candidate] = []
        for candidate in candidates:
            if candidate is not None:
                asked.append(candidate)
                if len(asked) == size:
                    break
            elif len(asked) >= limit - len(chosen):
                break
        if not asked:
            break
        shown = visible([candidate.item for candidate in asked])
        chosen += [candidate for candidate in asked if candidate.item in shown]
        size = min(size * 2, MOST_CHECKED)
    return chosen[:limit]


def _answer(query: Query, chosen: list[_Candidate], used: list[_Used], fallback: bool) -> Answer:
    counts: dict[int, int] = {}
    for candidate in chosen:
        counts[candidate.source] = counts.get(candidate.source, 0) + 1
    scores = banded([candidate.score for candidate in chosen], list(counts.values()))
    sources = tuple(
        SourceUse(name, name if is_model else None, version, counts[place])
        for place, (name, is_model, version) in enumerate(used)
        if place in counts
    )
    items = tuple(Recommendation(candidate.item, score) for candidate, score in zip(chosen, scores, strict=True))
    return Answer(query.type, items, sources, fallback)
