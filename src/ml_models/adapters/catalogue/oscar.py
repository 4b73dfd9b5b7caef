"""The mapping of django-oscar 4.x: `ML_CATALOG = {"preset": "oscar"}`.

Views name the parent product, baskets and orders the child; a child's title and categories are its parent's. Models and
the price strategy are asked of Oscar's own registry, so forked apps work. Price and stock come from the Strategy for
nobody in particular. Nothing of Oscar is imported before the mapping is read.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db.models import Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from ml_models.core.errors import CatalogueError

__all__ = [
    "currency",
    "in_stock",
    "mapping",
    "orders",
    "price_excl_tax",
    "price_incl_tax",
    "visible",
]

_HERE = "ml_models.adapters.catalogue.oscar"


def _model(app_label: str, name: str) -> Any:
    from oscar.core.loading import get_model

    return get_model(app_label, name)


def _strategy() -> Any:
    from oscar.core.loading import get_class

    return get_class("partner.strategy", "Selector")().strategy()


def _stock_is_standard(strategy: Any) -> bool:
    """Whether the shop kept Oscar's own rules of which stock record counts and when a product can be bought."""
    from oscar.apps.partner import strategy as oscar

    kind = type(strategy)
    rules = (
        ("select_stockrecord", oscar.UseFirstStockRecord),
        ("availability_policy", oscar.StockRequired),
        ("parent_availability_policy", oscar.StockRequired),
        ("select_children_stockrecords", oscar.Structured),
        ("fetch_for_parent", oscar.Structured),
        ("fetch_for_product", oscar.Structured),
    )
    return all(getattr(kind, name, None) is getattr(standard, name) for name, standard in rules)


def _info(product: Any) -> Any:
    """Oscar's PurchaseInfo of a product, asked once a row."""
    info = getattr(product, "_ml_purchase_info", None)
    if info is None:
        strategy = _strategy()
        info = strategy.fetch_for_parent(product) if product.is_parent else strategy.fetch_for_product(product)
        product._ml_purchase_info = info
    return info


def price_incl_tax(product: Any) -> Decimal | None:
    """Price with tax; without it where the tax is not known before checkout."""
    price = _info(product).price
    if not price.exists:
        return None
    amount: Decimal | None = price.incl_tax if price.is_tax_known else price.excl_tax
    return amount


def price_excl_tax(product: Any) -> Decimal | None:
    """Price without tax."""
    price = _info(product).price
    amount: Decimal | None = price.excl_tax if price.exists else None
    return amount


def currency(product: Any) -> str:
    """Currency of the price."""
    return str(getattr(_info(product).price, "currency", None) or "")


def in_stock(product: Any) -> bool:
    """Whether the Strategy lets one be bought."""
    return bool(_info(product).availability.is_available_to_buy)


def _first_record() -> QuerySet[Any]:
    records: QuerySet[Any] = _model("partner", "StockRecord").objects.filter(product=OuterRef("pk")).order_by("pk")
    return records


def _buyable(rows: QuerySet[Any], product_class: str) -> QuerySet[Any]:
    """Oscar's standard rule in SQL: the first stock record has some left, or stock is not tracked."""
    left = _first_record().annotate(_ml_left=F("num_in_stock") - Coalesce(F("num_allocated"), 0))
    buyable: QuerySet[Any] = rows.alias(_ml_left=Subquery(left.values("_ml_left")[:1])).filter(
        Q(_ml_left__gt=0) | Q(Exists(_first_record()), **{f"{product_class}__track_stock": False})
    )
    return buyable


def visible(rows: QuerySet[Any]) -> QuerySet[Any]:
    """What Oscar lets a visitor browse and, under its standard Strategy, buy."""
    model = rows.model
    browsable = getattr(rows, "browsable", None)
    rows = rows.filter(parent=None, is_public=True) if browsable is None else browsable()
    if not _stock_is_standard(_strategy()):
        return rows
    children = _buyable(model._base_manager.filter(is_public=True), "parent__product_class").values("parent")
    alone = _buyable(model._base_manager.filter(pk=OuterRef("pk")), "product_class")
    return rows.filter(Q(structure=model.PARENT, pk__in=children) | Q(~Q(structure=model.PARENT), Exists(alone)))


def orders() -> QuerySet[Any]:
    """Orders with the time of their last change of status, which Oscar keeps in a table of its own."""
    changes = _model("order", "OrderStatusChange").objects.filter(order=OuterRef("pk")).order_by("-date_created")
    rows: QuerySet[Any] = _model("order", "Order").objects.annotate(
        ml_updated=Coalesce(Subquery(changes.values("date_created")[:1]), F("date_placed"))
    )
    return rows


def _history() -> list[dict[str, Any]]:
    tables: list[tuple[str, str, dict[str, Any]]] = [
        ("analytics", "UserProductView", {"event": "product_view", "product": "product_id", "user": "user_id"}),
        ("analytics", "UserSearch", {"event": "search", "query": "query", "user": "user_id"}),
        (
            "basket",
            "Line",
            {
                "event": "cart_add",
                "product": "product_id",
                "user": "basket.owner_id",
                "quantity": "quantity",
                "unit_price": {"in": ["price_incl_tax", "price_excl_tax"], "out": "price_excl_tax"},
                "currency": "price_currency",
            },
        ),
        (
            "reviews",
            "ProductReview",
            {
                "event": "review_submit",
                "product": "product_id",
                "user": "user_id",
                "guest": "email",
                "data": {"score": "score"},
            },
        ),
    ]
    labels = {model._meta.label for model in apps.get_models()}
    return [
        {"model": f"{app}.{name}", "when": "date_created", **rest}
        for app, name, rest in tables
        if f"{app}.{name}" in labels
    ]


def mapping() -> dict[str, Any]:
    """The whole mapping; raises `CatalogueError` where Oscar is not installed."""
    if not apps.is_installed("oscar"):
        raise CatalogueError(
            "ML_CATALOG preset 'oscar' needs django-oscar: 'oscar.config.Shop' is not in INSTALLED_APPS."
        )
    product, category = _model("catalogue", "Product"), _model("catalogue", "Category")
    public_children = product.objects.filter(is_public=True).prefetch_related("stockrecords")
    browsable = {"queryset": category.objects.browsable(), "to_attr": "_prefetched_browsable_categories"}
    return {
        "product": {
            "model": product._meta.label,
            # Children are variants: they are sold through their parent.
            "filter": {"parent": None},
            "select_related": ["product_class", "parent__product_class"],
            "prefetch_related": [
                "stockrecords",
                "images",
                Prefetch("categories", **browsable),
                Prefetch("parent__categories", **browsable),
                Prefetch("children", public_children, to_attr="_prefetched_public_children"),
            ],
            "fields": {
                "id": "pk",
                "name": "get_title",
                "description": ["description", "parent.description"],
                "category": "get_categories[0].name",
                "categories": "get_categories[].name",
                "price": {"in": f"call:{_HERE}.price_incl_tax", "out": f"call:{_HERE}.price_excl_tax"},
                "currency": f"call:{_HERE}.currency",
                "in_stock": f"call:{_HERE}.in_stock",
                "image": ["images[0].original", "parent.images[0].original"],
                "url": "get_absolute_url",
                "created": "date_created",
                "updated": "date_updated",
            },
            "attributes": {
                "upc": "upc",
                "product_class": ["product_class.name", "parent.product_class.name"],
                "rating": "rating",
            },
            "visible": f"{_HERE}.visible",
            # The standard rules are in `visible`, as SQL; others are asked of the Strategy, row by row.
            "sold_out": "show" if _stock_is_standard(_strategy()) else "hide",
            "variants": {"parent": "parent"},
        },
        "order": {
            "model": _model("order", "Order")._meta.label,
            "queryset": f"{_HERE}.orders",
            "lines": "lines[]",
            "fields": {
                "id": "number",
                "user": "user_id",
                "guest": "guest_email",
                "when": "date_placed",
                "updated": "ml_updated",
                "status": "status",
                "currency": "currency",
            },
        },
        "order_line": {
            "model": _model("order", "Line")._meta.label,
            "fields": {
                "product": "product_id",
                "quantity": "quantity",
                "unit_price": {"in": "unit_price_incl_tax", "out": "unit_price_excl_tax"},
                "total": {"in": "line_price_incl_tax", "out": "line_price_excl_tax"},
            },
        },
        "history": _history(),
    }
