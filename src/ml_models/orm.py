"""The tables of the app (label `ml`): small state only; events live in the lake, models in the model store."""

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = [
    "ModelVersion",
    "OnlineInteraction",
    "ProductStats",
    "Promotion",
    "ServingModel",
    "SyncState",
    "UserProfile",
]


class ModelVersion(models.Model):
    """One trained version of one model, with its lineage. Written by `adapters.versions` only."""

    name = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=32, blank=True)
    status = models.CharField(max_length=16, default="training")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
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
    since = models.DateTimeField()

    class Meta:
        verbose_name = _("serving model")

    def __str__(self) -> str:
        return f"{self.version}"


class Promotion(models.Model):
    """History of the champion pointer."""

    name = models.CharField(max_length=64)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="promotions")
    previous = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()
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

    visitor = models.CharField(max_length=160)
    item_id = models.CharField(max_length=64)
    event_type = models.CharField(max_length=32)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("online interaction")
        indexes = [models.Index(fields=["visitor", "-at"], name="ml_online_visitor_at")]

    def __str__(self) -> str:
        return f"{self.visitor} {self.event_type} {self.item_id}"


class UserProfile(models.Model):
    """What the lake says about one visitor, for reading online by key in one query."""

    visitor = models.CharField(max_length=160, primary_key=True)
    updated_at = models.DateTimeField()
    first_seen = models.DateTimeField(null=True)
    last_seen = models.DateTimeField(null=True)
    last_order = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(default=0)
    orders = models.PositiveIntegerField(default=0)
    value_minor = models.BigIntegerField(default=0)
    segment = models.CharField(max_length=32, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("user profile")

    def __str__(self) -> str:
        return self.visitor


class ProductStats(models.Model):
    """Views, carts, purchases and revenue of one product over 1, 7 and 30 days."""

    item_id = models.CharField(max_length=64, primary_key=True)
    updated_at = models.DateTimeField()
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


class SyncState(models.Model):
    """Watermark of an incremental reader, such as `orders`."""

    name = models.CharField(max_length=64, primary_key=True)
    watermark = models.DateTimeField(null=True)
    data = models.JSONField(default=dict)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = _("sync state")

    def __str__(self) -> str:
        return self.name
