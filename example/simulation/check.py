"""Do the recommendations know what the shoppers like? Measured against the planted tastes."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth import get_user_model
from shop.models import Product

from ml_models.services import recommend_for

from .plan import Plan

__all__ = ["TasteCheck", "check_tastes"]


@dataclass(frozen=True)
class TasteCheck:
    """Shares of the first ten products of a list, averaged over the shoppers asked; 0 to 1."""

    shoppers: int
    in_favourites: float
    """Products of "for you" that are in the shopper's own favourite categories."""
    popular_in_favourites: float
    """The same for "popular": what one gets without knowing the shopper."""
    in_style: float
    """Products of "for you" in the shopper's style."""
    popular_in_style: float
    catalogue_in_favourites: float
    """The same for products drawn blindly from the catalogue."""


def check_tastes(plan: Plan, most: int = 200) -> TasteCheck:
    """Ask for the lists of up to `most` shoppers with an account who came at least about four times."""
    users = dict(get_user_model().objects.values_list("username", "pk"))
    asked = [s for s in plan.people() if s.has_account and s.visits * plan.days / 30 * (1 - s.starts) >= 4][:most]
    products = {
        str(pk): (slug, tags[0]) for pk, slug, tags in Product.objects.values_list("pk", "category__slug", "tags")
    }
    sums = [0.0] * 5
    for shopper in asked:
        for offset, kind in ((0, "personalized"), (2, "popular")):
            ids = recommend_for(f"u:{users[shopper.email]}", kind, limit=10).product_ids
            found = [products[item] for item in ids]
            sums[offset] += sum(slug in shopper.favourites for slug, _ in found) / max(1, len(found))
            sums[offset + 1] += sum(style == shopper.style for _, style in found) / max(1, len(found))
        sums[4] += sum(slug in shopper.favourites for slug, _ in products.values()) / len(products)
    count = max(1, len(asked))
    mine, mine_style, popular, popular_style, blind = (value / count for value in sums)
    return TasteCheck(len(asked), mine, popular, mine_style, popular_style, blind)
