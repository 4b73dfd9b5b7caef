"""The tables of the app (label `ml`): small state only; events live in the lake, models in the model store."""

from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ml_models.core.ids import MAX_ID, MAX_VISITOR

__all__ = [
    "Erasure",
    "ModelVersion",
    "OnlineInteraction",
    "OutboxEvent",
    "ProductStats",
    "Promotion",
    "ServingModel",
    "SyncState",
    "UserProfile",
    "UtcDateTimeField",
]


class UtcDateTimeField(models.DateTimeField):
    """A moment: aware UTC in Python, whatever the shop's `USE_TZ` is.

    With `USE_TZ = False` the column holds local times of `TIME_ZONE`, as the shop's own tables do, and databases such
    as SQLite refuse aware times. The hour that the end of daylight saving repeats is read as its first occurrence.
    """

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """The moment as the database takes it."""
        if not prepared:
            value = self.get_prep_value(value)
        # A connection has no time zone where USE_TZ is False.
        if connection.timezone is None and isinstance(value, datetime) and timezone.is_aware(value):
            value = timezone.make_naive(value, timezone.get_default_timezone())
        return super().get_db_prep_value(value, connection, prepared=True)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Aware UTC."""
        if isinstance(value, datetime) and timezone.is_naive(value):
            return timezone.make_aware(value, timezone.get_default_timezone()).astimezone(UTC)
        return value

    def deconstruct(self) -> Any:
        """A plain column to migrations."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs


class ModelVersion(models.Model):
    """One trained version of one model, with its lineage. Written by `adapters.versions` only."""

    name = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=32, blank=True)
    status = models.CharField(max_length=16, default="training")
    created_at = UtcDateTimeField()
    finished_at = UtcDateTimeField(null=True, blank=True)
    trigger = models.CharField(max_length=32, default="manual")
    seed = models.BigIntegerField(default=0)
    config = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    data = models.JSONField(default=dict)
    code_version = models.CharField(max_length=64, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = _("model version")
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="ml_modelversion_name_version")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class ServingModel(models.Model):
    """Pointer to the champion of each model name: one row a name, so there is never a second champion."""

    name = models.CharField(max_length=64, primary_key=True)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    since = UtcDateTimeField()

    class Meta:
        verbose_name = _("serving model")

    def __str__(self) -> str:
        return f"{self.version}"


class Promotion(models.Model):
    """History of the champion pointer."""

    name = models.CharField(max_length=64)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="promotions")
    previous = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    at = UtcDateTimeField()
    by = models.CharField(max_length=150)
    reason = models.TextField(blank=True)

    class Meta:
        verbose_name = _("promotion")
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["name", "-at"], name="ml_promotion_name_at")]

    def __str__(self) -> str:
        return f"{self.version} ({self.reason})"


class OnlineInteraction(models.Model):
    """Recent interactions per visitor, for the next answer; bounded per visitor, older rows are trimmed."""

    visitor = models.CharField(max_length=MAX_VISITOR)
    item_id = models.CharField(max_length=MAX_ID)
    event_type = models.CharField(max_length=32)
    at = UtcDateTimeField()

    class Meta:
        verbose_name = _("online interaction")
        indexes = [models.Index(fields=["visitor", "-at"], name="ml_online_visitor_at")]

    def __str__(self) -> str:
        return f"{self.visitor} {self.event_type} {self.item_id}"


class UserProfile(models.Model):
    """What the lake says about one visitor, for reading online by key in one query."""

    visitor = models.CharField(max_length=MAX_VISITOR, primary_key=True)
    updated_at = UtcDateTimeField()
    first_seen = UtcDateTimeField(null=True)
    last_seen = UtcDateTimeField(null=True)
    last_order = UtcDateTimeField(null=True)
    events = models.PositiveIntegerField(default=0)
    orders = models.PositiveIntegerField(default=0)
    value_minor = models.BigIntegerField(default=0)
    segment = models.CharField(max_length=32, blank=True)
    # Fifths of the shop's customers, 5 the most recent, most frequent and of highest value; 0 without an order.
    rfm_recency = models.PositiveSmallIntegerField(default=0)
    rfm_frequency = models.PositiveSmallIntegerField(default=0)
    rfm_value = models.PositiveSmallIntegerField(default=0)
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("user profile")

    def __str__(self) -> str:
        return self.visitor


class ProductStats(models.Model):
    """Views, carts, purchases and revenue of one product over 1, 7 and 30 days."""

    item_id = models.CharField(max_length=MAX_ID, primary_key=True)
    updated_at = UtcDateTimeField()
    views_30d = models.PositiveIntegerField(default=0)
    carts_30d = models.PositiveIntegerField(default=0)
    purchases_30d = models.PositiveIntegerField(default=0)
    revenue_30d_minor = models.BigIntegerField(default=0)
    trend = models.FloatField(default=0.0)
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("product statistics")
        verbose_name_plural = _("product statistics")
        indexes = [models.Index(fields=["-trend"], name="ml_productstats_trend")]

    def __str__(self) -> str:
        return self.item_id


class OutboxEvent(models.Model):
    """An order placed or refunded that the lake does not hold yet; written in the order's own transaction.

    Not unique by event: two transactions that tell of one order must not wait for each other. The lake sorts it out.
    """

    event_id = models.CharField(max_length=36, db_index=True)
    event_type = models.CharField(max_length=32)
    record = models.BinaryField()
    created_at = UtcDateTimeField()

    class Meta:
        verbose_name = _("outbox event")

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class SyncState(models.Model):
    """Watermark of an incremental reader, such as `orders`."""

    name = models.CharField(max_length=64, primary_key=True)
    watermark = UtcDateTimeField(null=True)
    data = models.JSONField(default=dict)
    updated_at = UtcDateTimeField()

    class Meta:
        verbose_name = _("sync state")

    def __str__(self) -> str:
        return self.name


class Erasure(models.Model):
    """A user or visitor who was forgotten: what of him is still on the way to the lake is dropped when it arrives.

    Written by `data_collection.tombstones` only. `subject` is a keyed hash, so the row names nobody.
    """

    subject = models.CharField(max_length=64, primary_key=True)
    at = UtcDateTimeField()
    expires_at = UtcDateTimeField()
    orders = models.CharField(max_length=8, default="key")
    done_at = UtcDateTimeField(null=True, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("erasure")
        indexes = [models.Index(fields=["expires_at"], name="ml_erasure_expires_at")]

    def __str__(self) -> str:
        return f"{self.subject[:8]} {self.at:%Y-%m-%d}"
