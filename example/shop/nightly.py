"""The nightly jobs: sales that run today set the prices, and what sold lately comes first."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Q, Sum
from django.db.models.functions import Round

from .models import Order, OrderLine, Product, Sale


def apply_sales(today: date) -> int:
    """Set every price to what holds today; returns how many products changed."""
    running: dict[int, int] = {}
    for sale in Sale.objects.filter(starts__lte=today, ends__gte=today):
        running[sale.category_id] = max(sale.percent, running.get(sale.category_id, 0))
    changed = (
        Product.objects.exclude(price=F("list_price"))
        .exclude(Q(category__in=running) | Q(category__parent__in=running))
        .update(price=F("list_price"))
    )
    for category, percent in running.items():
        reduced = Round(F("list_price") * Decimal(100 - percent) / Decimal(100), 2)
        products = Product.objects.filter(Q(category=category) | Q(category__parent=category))
        changed += products.exclude(price=reduced).update(price=reduced)
    return changed


@transaction.atomic
def count_sales(now: datetime) -> int:
    """Count the pieces sold in the last 30 days, for the order of the category pages; returns how many sold at all."""
    lines = OrderLine.objects.filter(order__created_at__gte=now - timedelta(days=30)).exclude(
        order__status=Order.Status.CANCELLED
    )
    sold = dict(lines.values_list("product").annotate(Sum("quantity")))
    Product.objects.exclude(sold=0).update(sold=0)
    products = [Product(pk=pk, sold=pieces) for pk, pieces in sold.items()]
    Product.objects.bulk_update(products, ["sold"], batch_size=500)
    return len(products)
