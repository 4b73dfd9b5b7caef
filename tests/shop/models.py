"""A small shop of the usual shape, for tests. Product ids come as int, UUID and slug."""

import uuid

from django.conf import settings
from django.db import models


class Category(models.Model):
    name = models.CharField(max_length=100)


class AbstractProduct(models.Model):
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, null=True)
    brand = models.CharField(max_length=100, blank=True)
    price = models.DecimalField(max_digits=10, decimal_places=2, default="1.00")
    stock = models.IntegerField(default=10)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    @property
    def in_stock(self):
        return self.stock > 0

    def get_absolute_url(self):
        return f"/products/{self.pk}/"


class Product(AbstractProduct):
    tags = models.JSONField(default=list)


class UuidProduct(AbstractProduct):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class SlugProduct(AbstractProduct):
    slug = models.SlugField(primary_key=True)


class Order(models.Model):
    number = models.CharField(max_length=32, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True)
    email = models.EmailField(blank=True)
    status = models.CharField(max_length=20, default="paid")
    currency = models.CharField(max_length=3, default="EUR")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField(auto_now=True)


class OrderItem(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    quantity = models.PositiveIntegerField(default=1)
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)
