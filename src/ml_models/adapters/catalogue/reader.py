"""The catalogue over the shop's own tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db.models import Model

from ml_models.adapters.catalogue.compiler import compile_catalogue
from ml_models.adapters.catalogue.mapping import Compiled
from ml_models.adapters.catalogue.orders import HistoryReader, OrderReader
from ml_models.adapters.catalogue.presets import expand
from ml_models.adapters.catalogue.products import ProductReader
from ml_models.core.errors import CatalogueError
from ml_models.core.ports import HistoryEvent, Order, Product

__all__ = ["DjangoCatalogue", "compile_checked"]


def compile_checked(mapping: Mapping[str, Any]) -> Compiled:
    """The mapping with its preset filled in, compiled; what is wrong with it is in `problems`."""
    if not apps.ready:
        raise CatalogueError("ML_CATALOG is read before Django is set up. Call django.setup() first.")
    return compile_catalogue(expand(mapping))


class DjangoCatalogue:
    """`ports.Catalogue` through `ML_CATALOG`. With an empty mapping it is an empty shop.

    Raises `CatalogueError` with every problem of the mapping at once.
    """

    def __init__(self, mapping: Mapping[str, Any] | None = None) -> None:
        self.compiled: Compiled = compile_checked(mapping or {})
        if self.compiled.problems:
            lines = "\n".join(f"- {problem}" for problem in self.compiled.problems)
            raise CatalogueError(
                f"ML_CATALOG does not fit the shop's models:\n{lines}\n"
                "Correct it in settings.py; python manage.py ml_init proposes a mapping."
            )
        options = (self.compiled.currency, self.compiled.convert)
        self._products = None if self.compiled.product is None else ProductReader(self.compiled.product, *options)
        self._orders = (
            None if self.compiled.orders is None else OrderReader(self.compiled.orders, self.canonical, *options)
        )
        self._history = [HistoryReader(table, self.canonical, *options) for table in self.compiled.history]

    @property
    def has_products(self) -> bool:
        """Whether `product` is mapped."""
        return self._products is not None

    @property
    def has_orders(self) -> bool:
        """Whether orders are mapped."""
        return self._orders is not None

    @property
    def has_variants(self) -> bool:
        """Whether some ids may be those of variants."""
        return self.compiled.product is not None and self.compiled.product.variants is not None

    @property
    def orders_have_updated(self) -> bool:
        """Whether a changed order can be told by its time."""
        return self.compiled.orders is not None and bool(self.compiled.orders.updated_lookup)

    @property
    def failures(self) -> Counter[str]:
        """Fields that could not be read since the process began, by place in the mapping."""
        total: Counter[str] = Counter()
        for reader in (self._products, self._orders, *self._history):
            if reader is not None:
                total.update(reader.failures)
        return total

    def visible(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that may be shown and bought right now; one query."""
        return set() if self._products is None else self._products.visible(ids)

    def newest(self, limit: int, exclude: Iterable[str] = ()) -> list[str]:
        """Visible ids, newest first; one query. Non-empty while the shop shows one product not excluded."""
        return [] if self._products is None else self._products.newest(limit, exclude)

    def get(self, ids: Sequence[str]) -> dict[str, Product]:
        """Products by id, visible or not; a fixed number of queries."""
        return {} if self._products is None else self._products.get(ids)

    def products(self, *, since: datetime | None = None) -> Iterator[Product]:
        """Every product of the mapping in chunks; with `since` those updated after it, where `updated` is mapped."""
        return iter(()) if self._products is None else self._products.products(since)

    def canonical(self, ids: Sequence[str]) -> dict[str, str]:
        """Variant id -> parent product id for the ids that are variants; others map to themselves."""
        return {one: one for one in ids} if self._products is None else self._products.canonical(ids)

    def orders(self, *, since: datetime | None = None, ids: Sequence[str] | None = None) -> Iterator[Order]:
        """Orders, oldest first; with `since` those created or updated since then; with `ids` those, in any order."""
        return iter(()) if self._orders is None else self._orders.orders(since, ids)

    def order_id(self, order: Model) -> str | None:
        """The id that the mapping gives an instance of the shop's order, None for what it maps no orders to."""
        return None if self._orders is None else self._orders.order_id(order)

    def history(self, *, since: datetime | None = None) -> Iterator[HistoryEvent]:
        """Behaviour the shop recorded itself, table by table, oldest first."""
        for table in self._history:
            yield from table.events(since)
