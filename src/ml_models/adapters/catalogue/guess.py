"""Words and types by which a shop's fields are recognised, and what a guess is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import CharField, DecimalField, Field, FloatField, IntegerField, Model, TextField

from ml_models.adapters.catalogue.paths import names_of

__all__ = [
    "ACTIVE",
    "BRAND",
    "CREATED",
    "EMAIL",
    "IMAGES",
    "NAMES",
    "NUMBER",
    "PLACED",
    "PRICE",
    "QUANTITY",
    "SALE",
    "STATUS",
    "STOCK",
    "TEXTS",
    "TOTAL",
    "UNIT_PRICE",
    "UPDATED",
    "WHEN",
    "Candidate",
    "Proposal",
    "asked",
    "columns",
    "name_of",
    "of_type",
    "pick",
    "price_of",
]

PRICE = (
    "current_price",
    "sale_price",
    "final_price",
    "selling_price",
    "price",
    "get_price",
    "unit_price",
    "retail_price",
    "regular_price",
    "amount",
)
_INSIDE = re.compile(r"(^|_)(cost|purchas|buy(?!_now|_it|out|er)|wholesale|margin)")
"""Words of what the shop itself pays: no customer may see it, and no list or report of ours may show it."""
NAMES = ("name", "title", "product_name", "label", "headline")
TEXTS = ("description", "short_description", "summary", "body", "content", "details", "text", "excerpt")
STOCK = (
    "is_in_stock",
    "in_stock",
    "is_available",
    "available",
    "stock",
    "stock_quantity",
    "quantity",
    "inventory",
    "count",
)
BRAND = ("brand", "manufacturer", "artisan", "vendor", "designer", "author", "maker", "supplier", "publisher")
IMAGES = ("image", "main_image", "photo", "picture", "thumbnail", "img", "cover", "image_url")
CREATED = ("created_at", "created", "date_created", "created_on", "pub_date", "published_at", "date_added", "added")
UPDATED = ("updated_at", "updated", "date_updated", "modified", "modified_at", "updated_on", "last_modified")
ACTIVE = ("is_active", "active", "is_published", "published", "is_visible", "is_public", "available", "is_available")
WHEN = (
    "placed_at",
    "date_placed",
    "created_at",
    "created",
    "ordered_date",
    "order_date",
    "date_ordered",
    "date",
    "placed",
)
NUMBER = ("order_number", "number", "reference", "ref", "ref_code", "code")
EMAIL = ("email", "guest_email", "customer_email", "contact_email")
PLACED = ("ordered", "is_ordered", "complete", "completed", "is_complete", "placed", "is_placed")
STATUS = ("status", "state", "order_status", "paid", "is_paid")
SALE = ("discount_price", "sale_price", "discounted_price", "special_price", "offer_price")
QUANTITY = ("quantity", "qty", "count", "amount", "units")
UNIT_PRICE = ("unit_price", "price", "price_at_purchase", "item_price", "unit_price_incl_tax")
TOTAL = (
    "line_total",
    "total",
    "total_price",
    "subtotal",
    "line_price",
    "get_total",
    "get_cost",
    "get_final_price",
    "get_total_item_price",
)


@dataclass(slots=True)
class Candidate:
    """A model that could be meant."""

    model: type[Model]
    score: int
    evidence: list[str]
    rows: int | None = None

    @property
    def label(self) -> str:
        """Such as `catalog.Product`."""
        return self.model._meta.label


@dataclass(slots=True)
class Proposal:
    """What was found."""

    mapping: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    """Place in the mapping -> why."""
    products: list[Candidate] = field(default_factory=list)
    """Models that look like products, the likeliest first."""
    lines: list[Candidate] = field(default_factory=list)
    """Models that look like lines of orders, the likeliest first."""
    notes: list[str] = field(default_factory=list)
    """What could not be found and what to look at."""


def columns(model: type[Model]) -> dict[str, Field[Any, Any]]:
    """Columns and relations of the model's own, by name."""
    return {f.name: f for f in model._meta.get_fields() if isinstance(f, Field)}


def pick(names: Iterable[str], known: Sequence[str]) -> str:
    """The first known name that is there, then one that ends in a known name."""
    have = list(names)
    for name in known:
        if name in have:
            return name
    for name in known:
        for one in have:
            if one.endswith("_" + name):
                return one
    return ""


def asked(names: Iterable[str], known: Sequence[str] = ()) -> list[str]:
    """Names of amounts that the customer is asked for: none of the shop's own costs, unless a known name says so."""
    return [name for name in names if name in known or not _INSIDE.search(name)]


def of_type(model: type[Model], kinds: tuple[type[Any], ...]) -> list[str]:
    """Names of plain columns of the given types."""
    return [name for name, f in columns(model).items() if isinstance(f, kinds) and not f.is_relation]


def price_of(model: type[Model]) -> str:
    """The column or property that is the price, empty where there is none."""
    fields = columns(model)
    numbers = [n for n in of_type(model, (DecimalField, FloatField, IntegerField)) if n != model._meta.pk.name]
    # A computed price (sale price, discount) is what the customer sees, so a property of a better name goes first.
    others = [n for n in names_of(model) if n not in fields]
    foreign = [n for n, f in fields.items() if type(f).__name__ in ("MoneyField",)]
    asked_for = asked(numbers)
    # A sale price that may be empty is no price by itself: the proposal puts it before the price.
    always = [n for n in asked_for if not (n in SALE and fields[n].null)] or asked_for
    found = pick([*foreign, *always, *asked(others)], PRICE)
    return found or next((n for n in always if "price" in n), "")


def name_of(model: type[Model]) -> str:
    """The column or property that is the name, empty where there is none."""
    texts = [n for n in of_type(model, (CharField, TextField)) if not columns(model)[n].choices]
    translated = [n for n in names_of(model) if n not in columns(model)]
    return pick([*texts, *translated], NAMES)
