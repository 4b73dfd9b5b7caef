"""What every page needs."""

from typing import Any

from django.http import HttpRequest

from .cart import Cart
from .models import Category


def shop(request: HttpRequest) -> dict[str, Any]:
    """Departments for the navigation, and how much is in the cart."""
    return {
        "departments": Category.objects.filter(parent=None),
        "cart_count": len(Cart(request)) if hasattr(request, "session") else 0,
    }
