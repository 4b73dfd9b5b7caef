"""Django admin: what the app knows, to be read. Changes go through the commands, which keep lineage and history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ml_models.orm import ModelVersion, ProductStats, Promotion, ServingModel, UserProfile

if TYPE_CHECKING:
    from django.db.models import Model
    from django.http import HttpRequest

__all__ = ["ModelVersionAdmin", "ProductStatsAdmin", "PromotionAdmin", "UserProfileAdmin"]


class ReadOnlyAdmin(admin.ModelAdmin):
    """Lists and pages that can be looked at by whoever may view the table, and changed by nobody."""

    # Counting a large table for the line "x of y" would cost more than the page.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """Trained versions, newest first, with the one that serves marked."""

    list_display = ("name", "version", "serves", "status", "kind", "trigger", "created_at", "finished_at")
    list_filter = ("name", "status", "trigger")
    search_fields = ("name", "sha256")
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Versions with `is_champion`, in one query for the whole page."""
        from django.db.models import Exists, OuterRef

        pointer = ServingModel.objects.filter(version=OuterRef("pk"))
        return super().get_queryset(request).annotate(is_champion=Exists(pointer))

    @admin.display(boolean=True, description=_("serves"))
    def serves(self, version: Any) -> bool:
        """Whether the champion pointer is on this version."""
        return bool(version.is_champion)


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    """Who promoted what, when and why."""

    list_display = ("name", "version", "previous", "at", "by", "reason")
    list_filter = ("name",)
    list_select_related = ("version", "previous")
    search_fields = ("by", "reason")


@admin.register(ProductStats)
class ProductStatsAdmin(ReadOnlyAdmin):
    """Products by what happened to them in 30 days."""

    list_display = ("item_id", "views_30d", "carts_30d", "purchases_30d", "trend", "updated_at")
    search_fields = ("=item_id",)
    ordering = ("-views_30d", "item_id")


@admin.register(UserProfile)
class UserProfileAdmin(ReadOnlyAdmin):
    """Visitors by when they were last seen."""

    list_display = ("visitor", "segment", "events", "orders", "first_seen", "last_seen")
    list_filter = ("segment",)
    search_fields = ("=visitor",)
    ordering = ("-last_seen", "visitor")
