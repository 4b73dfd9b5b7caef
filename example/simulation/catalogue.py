"""Generates the assortment's products, from a seed. Knows nothing of Django."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from .assortment import COLOURS, DEPARTMENTS, STYLE_PATTERNS, STYLES, CategorySpec

__all__ = ["GeneratedCategory", "GeneratedProduct", "generate", "slugify"]

_SERIES = (
    "Alba", "Birk", "Calla", "Dune", "Elin", "Farrow", "Gustav", "Hale", "Iris", "Juno", "Kell", "Lark", "Milo", "Nell",
    "Olga", "Pell", "Quill", "Rune", "Sorrel", "Tansy", "Ulla", "Vesper", "Wren", "Yarrow", "Zeno", "Anker", "Brise",
    "Corso", "Dell", "Eos", "Fenn", "Garde", "Holm", "Isla", "Jara", "Koto", "Lumi", "Mira", "Nova", "Ode",
)  # fmt: skip

_MADE = {
    "natural": ("Quiet colours and honest material", "Made to age well", "As close to nature as the workshop allows"),
    "classic": ("A shape that has not needed changing", "Plain, well made and easy to combine", "The one you keep"),
    "bright": ("A cheerful piece that lifts a grey day", "Bold colour, careful making", "Not for hiding in a cupboard"),
    "soft": ("Gentle colours for calm rooms", "Soft to the eye and to the hand", "Light, friendly and unfussy"),
}
_FROM = (
    "Made in small runs in Portugal.", "Finished by hand.", "From a family workshop in the third generation.",
    "Packed without plastic.", "Designed in Copenhagen.", "Repairs are free for two years.",
    "Tested in our own homes for a winter.", "The maker's best seller.",
)  # fmt: skip


@dataclass(frozen=True)
class GeneratedCategory:
    name: str
    slug: str
    department: str | None
    """Slug of the department; None for a department itself."""
    blurb: str
    picture: str
    season: int = 0


@dataclass(frozen=True)
class GeneratedProduct:
    name: str
    slug: str
    category: str
    """Slug of the category."""
    brand: str
    description: str
    price: Decimal
    style: str
    tags: tuple[str, ...]
    attributes: dict[str, str]
    picture: str
    created_at: datetime
    stock: int
    appeal: float
    """How much more often it is looked at than an average product of its category."""
    variants: tuple[str, ...] = field(default=())


def slugify(text: str) -> str:
    """Lower case, ASCII, words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("ü", "ue").replace("'", "")).strip("-")


def _price(rng: random.Random, low: float, high: float) -> Decimal:
    raw = low * (high / low) ** min(1.0, max(0.0, rng.gauss(0.42, 0.22)))
    if raw < 20:
        return Decimal(max(2, round(raw * 2))) / 2 - Decimal("0.05")
    if raw < 100:
        return Decimal(round(raw)) - Decimal("0.10")
    return Decimal(5 * round(raw / 5))


def _picture(rng: random.Random, shape: str, style: str) -> tuple[str, str, str]:
    palette = STYLES[style]
    colour, accent = rng.sample(palette, 2)
    pattern = rng.choice(STYLE_PATTERNS[style])
    slug = f"{shape}-{COLOURS[colour]}-{COLOURS[accent]}-{pattern}-{rng.randrange(10**6)}"
    return slug, colour, pattern


def _product(rng: random.Random, spec: CategorySpec, category: str, now: datetime, used: set[str]) -> GeneratedProduct:
    style = rng.choice(tuple(STYLES))
    picture, colour, pattern = _picture(rng, spec.shape, style)
    material, noun, brand = rng.choice(spec.materials), rng.choice(spec.nouns), rng.choice(spec.brands)
    for _ in range(1000):
        name = f"{rng.choice(_SERIES)} {noun.lower()} in {colour}"
        if name not in used:
            break
    used.add(name)
    motif = "" if pattern == "plain" else f" with {pattern}" if pattern != "check" else " with a check"
    description = f"{noun} in {colour}{motif}, {material}. {rng.choice(_MADE[style])}. {rng.choice(_FROM)}"
    attributes = {"material": material.capitalize(), "colour": colour.capitalize(), "pattern": pattern.capitalize()}
    if spec.choice:
        attributes["choice"] = spec.choice_name
    # One in ten arrived during the last months, the rest over the year and a half before.
    age = rng.uniform(0, 110) if rng.random() < 0.10 else rng.uniform(125, 560)
    return GeneratedProduct(
        name=name,
        slug=slugify(name),
        category=category,
        brand=brand,
        description=description,
        price=_price(rng, *spec.prices),
        style=style,
        tags=(style, colour, material),
        attributes=attributes,
        picture=picture,
        created_at=now - timedelta(days=age),
        stock=rng.choice((3, 5, 12, 30, 60, 120)),
        appeal=rng.paretovariate(1.3),
        variants=spec.choice,
    )


def generate(seed: int, now: datetime, size: int = 2200) -> tuple[list[GeneratedCategory], list[GeneratedProduct]]:
    """Departments and categories, and about `size` products spread evenly over the categories."""
    rng = random.Random(f"catalogue {seed}")
    categories: list[GeneratedCategory] = []
    products: list[GeneratedProduct] = []
    specs = [spec for department in DEPARTMENTS for spec in department.categories]
    each = max(6, -(-size // len(specs)))
    used: set[str] = set()
    for department in DEPARTMENTS:
        above = slugify(department.name)
        picture, _, _ = _picture(rng, department.categories[0].shape, "natural")
        categories.append(GeneratedCategory(department.name, above, None, department.blurb, picture))
        for spec in department.categories:
            slug = slugify(spec.name)
            picture, _, _ = _picture(rng, spec.shape, rng.choice(tuple(STYLES)))
            blurb = f"{spec.name} from {spec.brands[0]}, {spec.brands[1]} and others."
            categories.append(GeneratedCategory(spec.name, slug, above, blurb, picture, spec.season))
            products += [_product(rng, spec, slug, now, used) for _ in range(each)]
    return categories, products
