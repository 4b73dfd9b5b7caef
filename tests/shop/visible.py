from django.db.models import Q


def visible():
    return Q(stock__gt=0)
