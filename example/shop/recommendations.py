"""Lists for the shop's pages, from the ML app."""

from dataclasses import dataclass

from django.http import HttpRequest

from ml_models.data_collection.identity import visitor_of
from ml_models.services import recommend_for

from .models import Product


@dataclass(frozen=True)
class Block:
    """Products under a heading, and which sources proposed them."""

    products: list[Product]
    sources: str
    learnt: bool
    """Whether a trained model proposed the first of them."""


def block(request: HttpRequest, kind: str, *, limit: int, product: Product | None = None, exclude=()) -> Block:
    """Up to `limit` products of one kind of list for the visitor of the request.

    What an earlier block of the same page shows is left out, so that no page shows a product twice.
    """
    shown: set[str] = request.__dict__.setdefault("_shown_products", set())
    answer = recommend_for(
        visitor_of(request).key,
        kind,
        limit=limit,
        product_id=product.pk if product else None,
        exclude=frozenset(shown) | frozenset(map(str, exclude)),
        placement=f"{request.resolver_match.url_name if request.resolver_match else 'error'}:{kind}",
    )
    if kind == "recently_viewed" and answer.fallback:
        # The stand-in for an empty list is never what somebody has viewed.
        return Block([], "", False)
    found = Product.objects.select_related("category").in_bulk([int(item) for item in answer.product_ids])
    products = [found[int(item)] for item in answer.product_ids if int(item) in found]
    shown.update(answer.product_ids)
    sources = ", ".join(f"{use.source} v{use.version}" if use.version else use.source for use in answer.sources)
    return Block(products, sources, bool(answer.sources) and answer.sources[0].model is not None)
