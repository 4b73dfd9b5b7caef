"""Do the recommendations know what the shoppers like? Measured against the planted tastes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from shop.models import Product

from ml_models.adapters.build import get_online_store
from ml_models.services import recommend_for

from .plan import Plan

__all__ = ["TasteCheck", "check_tastes"]


@dataclass(frozen=True)
class TasteCheck:
    """Averages over the shoppers asked, of the first ten products of a list; shares from 0 to 1."""

    shoppers: int
    in_favourites: float
    """Products of "for you" that are in the shopper's own favourite categories."""
    popular_in_favourites: float
    """The same for "popular": what one gets without knowing the shopper."""
    catalogue_in_favourites: float
    """The same for the whole catalogue: what blind choice gets."""
    own_brand_or_style: float
    """Of those in the favourite categories: the share of the shopper's own brands or style."""
    left_own_brand_or_style: float
    """The same for all products of these categories that the shopper has not looked at yet. Shoppers look at what they
    like first, so this is what a choice that knows the categories alone would get."""


def _share(items: Iterable[str], wanted: Callable[[str], bool]) -> float:
    found = [wanted(item) for item in items]
    return sum(found) / len(found) if found else 0.0


def check_tastes(plan: Plan, most: int = 200) -> TasteCheck:
    """Ask for the lists of up to `most` shoppers with an account who came about four times or more."""
    users = dict(get_user_model().objects.values_list("username", "pk"))
    asked = [s for s in plan.people() if s.has_account and s.visits * plan.days / 30 * (1 - s.starts) >= 4][:most]
    rows = Product.objects.values_list("pk", "category__slug", "tags", "brand")
    products = {str(pk): (slug, tags[0], brand) for pk, slug, tags, brand in rows}
    sums = [0.0] * 5
    for shopper in asked:
        visitor = f"u:{users[shopper.email]}"
        mine = recommend_for(visitor, "personalized", limit=10).product_ids
        popular = recommend_for(visitor, "popular", limit=10).product_ids
        seen = {one.item_id for one in get_online_store().recent(visitor, 200)}

        def favourite(item: str, shopper=shopper) -> bool:
            return products[item][0] in shopper.favourites

        def own(item: str, shopper=shopper) -> bool:
            return products[item][1] == shopper.style or products[item][2] in shopper.brands

        left = [item for item in products if favourite(item) and item not in seen]
        values = (
            _share(mine, favourite),
            _share(popular, favourite),
            _share(products, favourite),
            _share(filter(favourite, mine), own),
            _share(left, own),
        )
        sums = [total + value for total, value in zip(sums, values, strict=True)]
    return TasteCheck(len(asked), *(total / max(1, len(asked)) for total in sums))
