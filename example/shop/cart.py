"""The cart: product, variant and quantity in the visitor's session, prices from the table."""

from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpRequest

from .models import Product, Variant

MOST = 20
"""Most pieces of one line."""


@dataclass(frozen=True)
class Line:
    key: str
    product: Product
    variant: Variant | None
    quantity: int

    @property
    def total(self) -> Decimal:
        return self.product.price * self.quantity


class Cart:
    """`{"<product id>" or "<product id>:<sku>": quantity}` in `request.session["cart"]`."""

    def __init__(self, request: HttpRequest) -> None:
        self._session = request.session
        self._held: dict[str, int] = self._session.get("cart", {})

    def __len__(self) -> int:
        return sum(self._held.values())

    def _save(self) -> None:
        self._session["cart"] = self._held
        self._session.modified = True

    @staticmethod
    def key(product: Product, variant: Variant | None) -> str:
        return f"{product.pk}:{variant.sku}" if variant else str(product.pk)

    def add(self, product: Product, variant: Variant | None, quantity: int) -> None:
        key = self.key(product, variant)
        self._held[key] = min(MOST, self._held.get(key, 0) + quantity)
        self._save()

    def set(self, key: str, quantity: int) -> int | None:
        """Change a line's quantity, 0 removes it; returns what it was, None where there is no such line."""
        before = self._held.get(key)
        if before is None:
            return None
        if quantity > 0:
            self._held[key] = min(MOST, quantity)
        else:
            del self._held[key]
        self._save()
        return before

    def clear(self) -> None:
        self._held = {}
        self._save()

    def lines(self) -> list[Line]:
        """What is in it and can still be bought, in the order it was added."""
        parts = {key: key.partition(":") for key in self._held}
        products = Product.objects.shown().select_related("category")
        products = products.in_bulk({int(product) for product, _, _ in parts.values()})
        skus = [sku for _, _, sku in parts.values() if sku]
        variants = {variant.sku: variant for variant in Variant.objects.filter(sku__in=skus)} if skus else {}
        return [
            Line(key, products[int(product)], variants.get(sku), self._held[key])
            for key, (product, _, sku) in parts.items()
            if int(product) in products
        ]
