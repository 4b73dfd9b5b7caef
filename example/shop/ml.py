"""What the shop tells the ML app beyond the field mapping in ML_CATALOG."""

from django.db.models import Q


def visible() -> Q:
    """What may be shown: active and in stock."""
    return Q(is_active=True, stock__gt=0)
