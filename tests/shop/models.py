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


class Label(models.Model):
    name = models.CharField(max_length=50)


class Product(AbstractProduct):
    class Colour(models.TextChoices):
        BLUE = "b", "Blue"
        GREEN = "g", "Green"

    tags = models.JSONField(default=list)
    labels = models.ManyToManyField(Label, blank=True)
    colour = models.CharField(max_length=1, choices=Colour.choices, blank=True)
    cost = models.DecimalField(max_digits=10, decimal_places=2, null=True)

    @property
    def cover(self):
        """What many shops write: it raises where there is no image."""
        return self.images.all()[0].image.url if self.images.all() else self.images.model().image.url

    @property
    def category_name(self):
        return self.category.name  # type: ignore[union-attr]

    def cheapest(self):
        return min((variant.price for variant in self.variants.all()), default=None)

    def discounted(self, percent):
        return self.price * percent / 100


class ProductImage(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="images")
    image = models.FileField(blank=True)

    class Meta:
        ordering = ["pk"]


class Variant(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="variants")
    sku = models.CharField(max_length=40, unique=True)
    price = models.DecimalField(max_digits=10, decimal_places=2, default="1.00")
    stock = models.IntegerField(default=1)


class UuidProduct(AbstractProduct):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class UuidVariant(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    product = models.ForeignKey(UuidProduct, on_delete=models.CASCADE, related_name="variants")


class SlugProduct(AbstractProduct):
    slug = models.SlugField(primary_key=True)


class TreeProduct(AbstractProduct):
    """Variants are rows of the same table, as in Oscar."""

    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="children")


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


class ProductView(models.Model):
    """What the shop recorded before it had anything else."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True)
    session_key = models.CharField(max_length=40, blank=True)
    kind = models.CharField(max_length=20, default="view")
    term = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
