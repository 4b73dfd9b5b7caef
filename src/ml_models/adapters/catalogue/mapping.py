"""What `ML_CATALOG` says, ready to read with: its sections as records, its keys and its words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Manager, Model, Q, QuerySet

from ml_models.adapters.catalogue.expressions import Expression, Path
from ml_models.adapters.catalogue.paths import Resolved

__all__ = [
    "DEFAULT_STATUSES",
    "HISTORY_FIELDS",
    "LINE_FIELDS",
    "MEANINGS",
    "ORDER_FIELDS",
    "PRODUCT_FIELDS",
    "PRODUCT_KEYS",
    "ROW_KEYS",
    "TOP_KEYS",
    "Compiled",
    "History",
    "Orders",
    "Problem",
    "Products",
    "Rows",
    "Variants",
    "is_plain",
    "wants_queryset",
]

PRODUCT_FIELDS = (
    "id",
    "name",
    "description",
    "category",
    "categories",
    "tags",
    "brand",
    "price",
    "currency",
    "in_stock",
    "image",
    "url",
    "created",
    "updated",
)
ORDER_FIELDS = ("id", "user", "guest", "when", "updated", "status", "meaning", "currency")
LINE_FIELDS = ("order", "product", "variant", "quantity", "unit_price", "total", "currency")
HISTORY_FIELDS = (
    "product",
    "variant",
    "user",
    "session",
    "guest",
    "when",
    "quantity",
    "unit_price",
    "currency",
    "query",
)
ROW_KEYS = ("model", "manager", "queryset", "filter", "exclude", "select_related", "prefetch_related")
TOP_KEYS = ("preset", "product", "order", "order_line", "history", "currency", "convert", "tax", "statuses")
PRODUCT_KEYS = (*ROW_KEYS, "fields", "attributes", "visible", "variants", "languages", "sold_out")
MEANINGS = ("purchase", "cancelled", "refunded", "pending")
DEFAULT_STATUSES = {
    **dict.fromkeys(("cancelled", "canceled", "void", "voided", "failed", "declined", "rejected"), "cancelled"),
    **dict.fromkeys(("refunded", "returned", "chargeback"), "refunded"),
}
"""Meaning of a status nobody mapped; whatever is not listed is a purchase."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the mapping."""

    code: str
    """Public id of the check message, such as `ml.E103`."""
    where: str
    """The place in the mapping, such as `product.fields.brand`."""
    message: str

    def __str__(self) -> str:
        return f"ML_CATALOG {self.where}: {self.message}" if self.where else f"ML_CATALOG: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Where the rows of a section come from."""

    model: type[Model]
    manager: str = ""
    queryset: Callable[[], QuerySet[Any]] | None = None
    filter: Q = field(default_factory=Q)
    exclude: Q | None = None
    select_related: tuple[str, ...] = ()
    prefetch_related: tuple[Any, ...] = ()

    def base(self) -> QuerySet[Any]:
        """Rows of the manager or callable, unfiltered."""
        if self.queryset is not None:
            return self.queryset()
        manager = getattr(self.model, self.manager) if self.manager else self.model._default_manager
        rows: QuerySet[Any] = manager.all()
        return rows

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """With `filter` and `exclude` applied."""
        if self.filter:
            rows = rows.filter(self.filter)
        return rows.exclude(self.exclude) if self.exclude else rows

    def all(self) -> QuerySet[Any]:
        """The rows that the section is about."""
        return self.narrow(self.base())

    def related(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """With everything the mapping walks fetched in a fixed number of queries."""
        if self.select_related:
            rows = rows.select_related(*self.select_related)
        return rows.prefetch_related(*self.prefetch_related) if self.prefetch_related else rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """How an id of a variant leads to its product."""

    lookup: str
    """From the product to its variants; empty where variants are rows of the product's own model."""
    parent: str
    """From a variant row to its parent, where variants are rows of the product's own model."""
    id_lookup: str
    id_field: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """The section `product`."""

    rows: Rows
    stock_rows: Rows
    """The same, with no more relations than `in_stock` and the mapping itself ask for."""
    fields: Mapping[str, Expression]
    resolved: Mapping[str, Resolved]
    attributes: Mapping[str, Expression]
    id_lookup: str
    id_field: Any
    created_lookup: str
    updated_lookup: str
    visible: Q | Callable[..., Any] | None
    stock_filter: Q | None
    """Stock as SQL; None where it must be evaluated in Python or is not asked."""
    stock_in_python: bool
    variants: Variants | None
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The sections `order` and `order_line`, or `order_line` alone."""

    rows: Rows
    """Orders where `order` is mapped, else lines."""
    fields: Mapping[str, Expression]
    """Of the order: on the order row, or on the line row."""
    line_fields: Mapping[str, Expression]
    lines: Path | None
    """From the order to its lines; None where rows are lines."""
    id_lookup: str
    id_nullable: bool
    """Whether an order may have no id yet, such as a number that is given with the payment."""
    id_field: Any
    when_lookup: str
    updated_lookup: str
    statuses: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One table of the section `history`."""

    rows: Rows
    event: Expression
    events: Mapping[str, str]
    fields: Mapping[str, Expression]
    data: Mapping[str, Expression]
    when_lookup: str


@dataclass(slots=True, kw_only=True)
class Compiled:
    """The whole mapping, ready to read with."""

    product: Products | None = None
    orders: Orders | None = None
    history: list[History] = field(default_factory=list)
    currency: str = ""
    convert: Callable[..., Any] | None = None
    problems: list[Problem] = field(default_factory=list)


def wants_queryset(function: Callable[..., Any]) -> bool:
    """Whether a `visible` function takes the queryset (and returns one) or nothing."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


_WRITES = frozenset(
    f"{a}{name}"
    for name in ("create", "bulk_create", "bulk_update", "update", "delete", "get_or_create", "update_or_create")
    for a in ("", "a")
)


def is_plain(manager: Any) -> bool:
    """Whether a manager gives the same rows at any time and to everybody, as Django's own does.

    One of the shop's may look at the tenant or at the clock in `get_queryset`, or through a queryset class that
    changes what Django's reads with. Methods beside Django's own, and writes, change no read.
    """
    kind, rows = type(manager), manager._queryset_class
    if any(getattr(kind, name) is not getattr(Manager, name) for name in ("get_queryset", "all")):
        return False
    own = (name for cls in rows.__mro__ if not issubclass(QuerySet, cls) for name in vars(cls))
    return not any(callable(getattr(QuerySet, name, None)) and name not in _WRITES for name in own)
