"""The nightly price job: sales that run today set the prices."""

from datetime import date
from decimal import Decimal

from django.db.models import F, Q
from django.db.models.functions import Round

from .models import Product, Sale


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
