"""Marks on a shop's views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

__all__ = ["product_page"]

View = TypeVar("View", bound=Callable[..., Any])


@overload
def product_page(arg: str | None = "pk") -> Callable[[View], View]: ...
@overload
def product_page(arg: View) -> View: ...
def product_page(arg: Any = "pk") -> Any:
    """Mark a view as the page of one product; `arg` is the keyword of its URL that holds the product's id.

    ```python
    @product_page(arg="product_id")
    def product(request, product_id): ...
    ```

    The id is the one `ML_CATALOG` names. Where the URL holds something else (a slug beside a numeric id), call
    `emit_product_view(request, product=product)` in the view instead. On a class-based view use
    `@method_decorator(product_page(arg="pk"), name="dispatch")`; a `DetailView` of the mapped model needs no mark.
    `product_page(None)` says that a view is the page of no product, though its context names one. Raises `TypeError`
    for anything else.
    """
    if callable(arg):  # @product_page without brackets
        return product_page()(arg)
    if arg is not None and not isinstance(arg, str):
        raise TypeError(f"product_page takes the name of a keyword of the URL, not {arg!r}.")

    def mark(view: View) -> View:
        view.ml_product_arg = arg  # type: ignore[attr-defined]
        return view

    return mark
