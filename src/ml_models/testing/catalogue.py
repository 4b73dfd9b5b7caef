"""The contract of every catalogue: subclass, say how to make a shop, and pytest runs it.

class TestMine(CatalogueContract):
    def make(self, products):
        return MyCatalogue(...), {product.key: id}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ml_models.core.ports import Catalogue

__all__ = ["CatalogueContract", "ShopProduct"]

STRANGE = (
    "",
    " ",
    "0",
    "-1",
    "x",
    "1.5",
    "'; DROP TABLE",
    "\x00",
    "\ud800",
    "9" * 40,
    "NaN",
    "None",
    "\uff11\uff12",
    "a" * 5000,
)
"""Ids a client may send that no product has."""


@dataclass(frozen=True, slots=True)
class ShopProduct:
    """A product the contract wants the shop to hold; those named first are older."""

    key: str
    hidden: bool = False
    stock: int = 1
    price: Decimal = Decimal("9.99")


class CatalogueContract:
    """What serving, synchronisation and training rely on."""

    PRODUCTS = (
        ShopProduct("old"),
        ShopProduct("hidden", hidden=True),
        ShopProduct("sold-out", stock=0),
        ShopProduct("oversold", stock=-2),
        ShopProduct("dear", price=Decimal("1234.50")),
        ShopProduct("new"),
    )
    SHOWN = ("new", "dear", "old")
    """Keys that may be shown, newest first."""

    def make(self, products: Sequence[ShopProduct]) -> tuple[Catalogue, Mapping[str, str]]:
        """A catalogue of a shop with just these products, and the id each key got."""
        raise NotImplementedError

    def test_only_what_may_be_shown_is_visible(self) -> None:
        """Hidden and sold-out products are not."""
        catalogue, ids = self.make(self.PRODUCTS)
        assert catalogue.visible(list(ids.values())) == {ids[key] for key in self.SHOWN}
        assert catalogue.visible([ids["hidden"]]) == set()
        assert catalogue.visible([]) == set()

    def test_strange_ids_are_ignored(self) -> None:
        """They are neither visible nor an error."""
        catalogue, ids = self.make(self.PRODUCTS)
        assert catalogue.visible([*STRANGE, ids["old"]]) == {ids["old"]}
        assert set(catalogue.get([*STRANGE, ids["old"]])) == {ids["old"]}
        assert catalogue.canonical(list(STRANGE)) == {one: one for one in STRANGE}

    def test_newest_come_first(self) -> None:
        """And only as many as asked for, less those excluded."""
        catalogue, ids = self.make(self.PRODUCTS)
        shown = [ids[key] for key in self.SHOWN]
        assert catalogue.newest(10) == shown
        assert catalogue.newest(1) == shown[:1]
        assert catalogue.newest(0) == []
        assert catalogue.newest(2, exclude=[shown[0], "x"]) == shown[1:]
        assert catalogue.newest(5, exclude=shown) == []

    def test_one_visible_product_is_always_found(self) -> None:
        """However many hidden ones are newer."""
        many = (ShopProduct("only"), *(ShopProduct(f"sold-{n}", stock=0) for n in range(150)))
        catalogue, ids = self.make(many)
        assert catalogue.newest(3) == [ids["only"]]

    def test_products_are_read_whether_visible_or_not(self) -> None:
        """Id as text, price as Decimal, stock as it is."""
        catalogue, ids = self.make(self.PRODUCTS)
        found = catalogue.get([ids["dear"], ids["hidden"], ids["sold-out"]])
        assert set(found) == {ids["dear"], ids["hidden"], ids["sold-out"]}
        assert found[ids["dear"]].id == ids["dear"]
        assert found[ids["dear"]].price == Decimal("1234.50")
        assert found[ids["dear"]].in_stock
        assert not found[ids["sold-out"]].in_stock

    def test_products_lists_each_once(self) -> None:
        """All that the shop shows are there."""
        catalogue, ids = self.make(self.PRODUCTS)
        listed = [product.id for product in catalogue.products()]
        assert len(listed) == len(set(listed))
        assert {ids[key] for key in self.SHOWN} <= set(listed)

    def test_ids_of_products_are_canonical(self) -> None:
        """What is no variant maps to itself."""
        catalogue, ids = self.make(self.PRODUCTS)
        assert catalogue.canonical([ids["old"], "nothing"]) == {ids["old"]: ids["old"], "nothing": "nothing"}

    def test_an_empty_shop_is_no_error(self) -> None:
        """Nothing in, nothing out."""
        catalogue, _ = self.make(())
        assert catalogue.visible(["1"]) == set()
        assert catalogue.newest(5) == []
        assert catalogue.get(["1"]) == {}
        assert list(catalogue.products()) == []
        assert list(catalogue.orders()) == []
        assert list(catalogue.orders(ids=["1", "nothing"])) == []
        assert list(catalogue.history()) == []
