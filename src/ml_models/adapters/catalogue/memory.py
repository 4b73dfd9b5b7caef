"""The catalogue in memory, for tests and simulations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from ml_models.core.ports import HistoryEvent, Order, Product

__all__ = ["MemoryCatalogue"]

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class MemoryCatalogue:
    """`ports.Catalogue` over given products and orders. What it holds may be changed in place."""

    def __init__(
        self,
        products: Iterable[Product] = (),
        *,
        hidden: Iterable[str] = (),
        variants: Mapping[str, str] | None = None,
        orders: Iterable[Order] = (),
        history: Iterable[HistoryEvent] = (),
    ) -> None:
        self.by_id = {product.id: product for product in products}
        self.hidden = set(hidden)
        self.variants = dict(variants or {})
        self.all_orders = list(orders)
        self.all_history = list(history)

    def _shown(self, product: Product) -> bool:
        return product.in_stock and product.id not in self.hidden

    def visible(self, ids: Sequence[str]) -> set[str]:
        """Known, in stock and not hidden."""
        return {one for one in ids if one in self.by_id and self._shown(self.by_id[one])}

    def newest(self, limit: int, exclude: Iterable[str] = ()) -> list[str]:
        """By `created`, else `updated`, latest added first among equals."""
        out = set(exclude)
        shown = [p for p in reversed(self.by_id.values()) if self._shown(p) and p.id not in out]
        shown.sort(key=lambda p: p.created or p.updated or _BEGINNING, reverse=True)
        return [product.id for product in shown[: max(0, limit)]]

    def get(self, ids: Sequence[str]) -> dict[str, Product]:
        """By id, visible or not."""
        return {one: self.by_id[one] for one in ids if one in self.by_id}

    def products(self, *, since: datetime | None = None) -> Iterator[Product]:
        """All, or those updated after a time."""
        for product in list(self.by_id.values()):
            if since is None or product.updated is None or product.updated > since:
                yield product

    def canonical(self, ids: Sequence[str]) -> dict[str, str]:
        """A product's own id wins over a variant's."""
        return {one: one if one in self.by_id else self.variants.get(one, one) for one in ids}

    def orders(self, *, since: datetime | None = None, ids: Sequence[str] | None = None) -> Iterator[Order]:
        """Oldest first; with `ids` those."""
        wanted = None if ids is None else set(ids)
        for order in sorted(self.all_orders, key=lambda o: (o.when, o.id)):
            if wanted is not None:
                if order.id in wanted:
                    yield order
                continue
            if since is None or order.when >= since or (order.updated is not None and order.updated >= since):
                yield order

    def history(self, *, since: datetime | None = None) -> Iterator[HistoryEvent]:
        """Oldest first."""
        for event in sorted(self.all_history, key=lambda e: (e.when, e.id)):
            if since is None or event.when >= since:
                yield event
