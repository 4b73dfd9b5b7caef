"""From a cart to an order."""

import secrets
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from .cart import Line
from .models import Order, OrderLine

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def new_number() -> str:
    """Such as `ORD-261123-7KQ2M9X`; without characters that are easily mistaken."""
    return f"ORD-{timezone.now():%y%m%d}-" + "".join(secrets.choice(ALPHABET) for _ in range(7))


@transaction.atomic
def place(lines: Iterable[Line], user: Any, address: dict[str, str]) -> Order:
    """Store the order with its lines; the demo takes no money, so it counts as paid."""
    lines = list(lines)
    order = Order.objects.create(
        number=new_number(),
        user=user if user.is_authenticated else None,
        currency=lines[0].product.currency,
        total=sum((line.total for line in lines), Decimal(0)),
        **address,
    )
    OrderLine.objects.bulk_create(
        OrderLine(
            order=order,
            product=line.product,
            variant=line.variant,
            quantity=line.quantity,
            unit_price=line.product.price,
        )
        for line in lines
    )
    return order
