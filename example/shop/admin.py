from django.contrib import admin

from .models import Category, Order, OrderLine, Product, Sale, Variant


class VariantInline(admin.TabularInline):
    model = Variant
    extra = 0


class LineInline(admin.TabularInline):
    model = OrderLine
    extra = 0
    raw_id_fields = ["product", "variant"]


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    list_display = ["name", "parent", "position"]


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "category", "brand", "price", "stock", "is_active"]
    list_filter = ["is_active", "category__parent"]
    search_fields = ["name", "brand"]
    inlines = [VariantInline]


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["number", "email", "total", "status", "created_at"]
    list_filter = ["status"]
    search_fields = ["number", "email"]
    raw_id_fields = ["user"]
    inlines = [LineInline]


admin.site.register(Sale)
