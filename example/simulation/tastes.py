"""What the simulated shoppers like: planted, so that what the models find can be checked against it.

A product's pull on a shopper is a sum: its own appeal, the shopper's brands, style and price level, the sale it is in
and how new it is. What a shopper looks at is drawn from the favourite category's products by that pull (Gumbel trick).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .assortment import STYLES
from .catalogue import GeneratedCategory, GeneratedProduct

__all__ = ["ARCHETYPES", "Shelf", "Shopper", "make_shoppers", "season_factor"]

ARCHETYPES: dict[str, tuple[str, ...]] = {
    "cooking": ("Mugs", "Pans", "Kitchen knives", "Cutting boards", "Storage jars", "Teapots"),
    "having guests": ("Plates", "Bowls", "Glasses", "Cutlery", "Table linen", "Candles"),
    "running and training": ("Running shoes", "Bottles", "Weights", "Yoga mats", "Trainers", "Balls"),
    "the garden": ("Plants", "Planters", "Watering cans", "Garden tools", "Bird houses", "Lanterns"),
    "toys for the children": ("Toy vehicles", "Soft toys", "Puzzles", "Building blocks", "Board games"),
    "furnishing a flat": ("Chairs", "Tables", "Shelves", "Sofas", "Rugs", "Floor lamps", "Stools"),
    "cosy evenings": ("Cushions", "Throws", "Candles", "Slippers", "Table lamps", "String lights"),
    "paper and pens": ("Notebooks", "Pens", "Cards", "Gift boxes", "Desk organisers"),
    "dressing up": ("Dresses", "Handbags", "Jewellery", "Sunglasses", "Scarves", "Sandals", "Watches"),
    "the outdoors": ("Tents", "Backpacks", "Boots", "Jackets", "Bottles", "Hats"),
    "everyday clothes": ("T-shirts", "Shirts", "Jumpers", "Trousers", "Trainers", "Hats"),
    "light and fabric": ("Pendant lights", "Curtains", "Towels", "String lights", "Rugs", "Table lamps"),
}
"""What people are after -> the categories they look in."""

_FIRST_NAMES = (
    "Ada", "Ben", "Carla", "Deniz", "Emil", "Fatima", "Greta", "Hugo", "Ines", "Jonas", "Kim", "Lea", "Mateo", "Nora",
    "Omar", "Paula", "Quentin", "Rosa", "Sami", "Tilda", "Umut", "Vera", "Wim", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip


@dataclass(frozen=True)
class Shopper:
    number: int
    name: str
    likes: str
    """Key of `ARCHETYPES`."""
    favourites: tuple[str, ...]
    """Slugs of categories, favourite first."""
    weights: tuple[float, ...]
    """How visits are shared among the favourites; sums to 1."""
    brands: frozenset[str]
    style: str
    price_level: float
    """Wanted price in standard deviations of the category's log prices; about -1.5 to 1.5."""
    visits: float
    """Mean number of visits in 30 days."""
    buys: float
    """How readily a viewed product is put into the cart; 0 to 1."""
    has_account: bool
    starts: float
    """Share of the simulated time after which this shopper first appears; 0 to 1."""

    @property
    def email(self) -> str:
        return f"{self.name.lower()}{self.number}@bunoraa.example"


def make_shoppers(
    seed: int, count: int, categories: list[GeneratedCategory], products: list[GeneratedProduct]
) -> list[Shopper]:
    """The shoppers; the same for the same arguments."""
    rng = np.random.default_rng([seed, 2])
    slug_of = {category.name: category.slug for category in categories if category.department}
    brands_in: dict[str, list[str]] = {}
    for product in products:
        brands_in.setdefault(product.category, [])
        if product.brand not in brands_in[product.category]:
            brands_in[product.category].append(product.brand)
    kinds, styles = list(ARCHETYPES), list(STYLES)
    shoppers = []
    for number in range(count):
        likes = kinds[int(rng.integers(len(kinds)))]
        own = [slug_of[name] for name in ARCHETYPES[likes]]
        other = [slug_of[name] for name in ARCHETYPES[kinds[int(rng.integers(len(kinds)))]]]
        chosen = [*rng.permutation(own)[:3], rng.choice(other)]
        favourites = tuple(dict.fromkeys(map(str, chosen)))
        weights = np.array([0.46, 0.26, 0.18, 0.10][: len(favourites)])
        brands: set[str] = set()
        for slug in favourites:
            pool = brands_in[slug]
            brands.add(pool[int(rng.integers(len(pool)))])
        shoppers.append(
            Shopper(
                number=number,
                name=_FIRST_NAMES[int(rng.integers(len(_FIRST_NAMES)))],
                likes=likes,
                favourites=favourites,
                weights=tuple(weights / weights.sum()),
                brands=frozenset(brands),
                style=styles[int(rng.integers(len(styles)))],
                price_level=float(np.clip(rng.normal(0, 0.8), -1.5, 1.5)),
                visits=float(np.clip(rng.gamma(1.6, 1.25), 0.35, 9.0)),
                buys=float(rng.uniform(0.08, 0.26)),
                has_account=bool(rng.random() < 0.75),
                starts=float(rng.beta(1.0, 2.2)),
            )
        )
    return shoppers


def season_factor(peak: int, month: float) -> float:
    """How much more a category is looked at, with its peak in month `peak` (0: no season); 0.55 to 2.0."""
    if not peak:
        return 1.0
    distance = min(abs(month - peak), 12 - abs(month - peak))
    return float(np.interp(distance, [0, 1.5, 4, 6], [2.0, 1.4, 0.7, 0.55]))


class Shelf:
    """The products of one category, as arrays."""

    def __init__(self, products: list[GeneratedProduct], positions: list[int]) -> None:
        self.positions = np.array(positions)
        """Places of these products in the whole list."""
        self._brands = np.array([product.brand for product in products])
        self._styles = np.array([product.style for product in products])
        self._appeal = np.log([product.appeal for product in products])
        logs = np.log([float(product.price) for product in products])
        self._prices = (logs - logs.mean()) / (logs.std() + 1e-9)
        self._created = np.array([product.created_at.timestamp() for product in products])

    def pull(self, shopper: Shopper) -> NDArray[np.float64]:
        """What does not change with time, shape (products,)."""
        return (
            0.7 * self._appeal
            + 1.2 * np.isin(self._brands, list(shopper.brands))
            + 1.5 * (self._styles == shopper.style)
            - 0.9 * (self._prices - shopper.price_level) ** 2
        )

    def look(
        self, pull: NDArray[np.float64], discount: float, at: float, count: int, rng: np.random.Generator
    ) -> list[int]:
        """Places (in the whole list) of the products looked at, in order; without repeats."""
        age = (at - self._created) / 86_400
        value = pull + 2.0 * discount + 0.8 * (age < 21) + rng.gumbel(size=len(pull))
        value[age < 0] = -np.inf
        order = np.argsort(-value)[:count]
        return [int(place) for place in self.positions[order[np.isfinite(value[order])]]]
