"""`ML_CATALOG` read, checked against the shop's models and compiled once, with every problem found at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_models.adapters.catalogue.compile_orders import HistorySection, OrderSections
from ml_models.adapters.catalogue.compile_product import ProductSection
from ml_models.adapters.catalogue.mapping import (
    TOP_KEYS,
    Compiled,
)

__all__ = [
    "compile_catalogue",
]


class _Compiler(ProductSection, OrderSections, HistorySection):
    """The whole mapping."""

    def compile(self) -> Compiled:
        compiled = Compiled()
        self.keys("", self.mapping, TOP_KEYS)
        self.tax = self.mapping.get("tax", "in")
        if self.tax not in ("in", "out"):
            self.problem("E105", "tax", f"must be 'in' (what the customer pays) or 'out', not {self.tax!r}")
            self.tax = "in"
        compiled.currency = self.currency()
        convert = self.imported("convert", self.mapping.get("convert"))
        if convert is not None and not callable(convert):
            self.problem("E105", "convert", "must be a function (amount, currency, base, when), or its dotted path")
            convert = None
        if convert is not None and not compiled.currency:
            self.problem("E106", "currency", "convert needs the base currency to convert to, such as 'EUR'")
        compiled.convert = convert
        if self.mapping.get("product") is not None:
            compiled.product = self.product()
        if self.mapping.get("order") is not None or self.mapping.get("order_line") is not None:
            compiled.orders = self.orders()
        history = self.mapping.get("history") or ()
        if isinstance(history, Mapping):
            history = (history,)
        for number, table in enumerate(history):
            one = self.history(f"history[{number}]", table)
            if one is not None:
                compiled.history.append(one)
        compiled.problems = self.problems
        return compiled

    def currency(self) -> str:
        currency = self.mapping.get("currency", "")
        if not isinstance(currency, str) or (currency and len(currency) != 3):
            self.problem("E105", "currency", f"must be a code of three letters such as 'EUR', not {currency!r}")
            return ""
        return currency.upper()


def compile_catalogue(mapping: Mapping[str, Any]) -> Compiled:
    """Read the mapping; `problems` of the result holds everything wrong with it."""
    return _Compiler(mapping).compile()
