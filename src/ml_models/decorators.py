"""Marks on a shop's views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["product_page"]

View = TypeVar("View", bound=Callable[..., Any])


def product_page(arg: str = "pk") -> Callable[[View], View]:
    """Mark a view as the page of one product; `arg` is the keyword of its URL that holds the product's id.

    ```python
    @product_page(arg="product_id")
    def product(request, product_id): ...
    ```

    The id is the one `ML_CATALOG` names. Where the URL holds something else (a slug beside a numeric id), call
    `emit_product_view(request, product=product)` in the view instead. On a class-based view use
    `@method_decorator(product_page(arg="pk"), name="dispatch")`; a `DetailView` of the mapped model needs no mark.
    """

    def mark(view: View) -> View:
        view.ml_product_arg = arg  # type: ignore[attr-defined]
        return view

    return mark
