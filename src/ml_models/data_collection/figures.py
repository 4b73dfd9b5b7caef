"""Profiles and product figures as often as they are worth it: a part of every run of `ml.process_training_data`.

Both read much of the lake, which takes a moment of a small one and minutes of a large one. So each is due again when
`SHARE` times as long has passed as it took: whatever the size, a worker spends at most a twentieth of its time on it.
When it began and how long it took stands in the database (sync states `figures:profiles`, `figures:products`), so any
number of workers may run, on any number of hosts, and one of them does it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import IntegrityError, router, transaction

from ml_models.adapters.tables import primary
from ml_models.core import clock
from ml_models.data_collection.product_analytics import ProductResult, collect_products
from ml_models.data_collection.user_profile import ProfileResult, collect_profiles
from ml_models.orm import SyncState

__all__ = ["LEAST", "SHARE", "refresh_products", "refresh_profiles"]

LEAST = timedelta(minutes=4)
"""Time between two beginnings at least; below the five minutes of the schedule, lest a second make it miss a run."""
SHARE = 20

Result = TypeVar("Result")


def refresh_profiles() -> ProfileResult | None:
    """Bring `UserProfile` up to date; None where it is not due yet."""
    return _refresh("profiles", collect_profiles)


def refresh_products() -> ProductResult | None:
    """Bring `ProductStats` up to date; None where it is not due yet."""
    return _refresh("products", collect_products)


def _refresh(name: str, collect: Callable[[], Result]) -> Result | None:
    row = f"figures:{name}"
    if not _claim(row, clock.now()):
        return None
    began = clock.current().monotonic()
    result = collect()
    seconds = clock.current().monotonic() - began
    SyncState.objects.filter(pk=row).update(data={"seconds": round(seconds, 3)})
    return result


def _claim(row: str, now: datetime) -> bool:
    """Take the turn where one is due. Of two that ask at once one gets it: the UPDATE names the turn before."""
    states = primary(SyncState)
    last = states.filter(pk=row).first()
    if last is None:
        try:
            with transaction.atomic(using=router.db_for_write(SyncState)):
                SyncState.objects.create(pk=row, updated_at=now)
        except IntegrityError:  # another was faster
            return False
        return True
    pause = max(LEAST, timedelta(seconds=SHARE * float(last.data.get("seconds", 0))))
    if timedelta() <= now - last.updated_at < pause:  # a time ahead is a clock that was put back
        return False
    return bool(states.filter(pk=row, updated_at=last.updated_at).update(updated_at=now))
