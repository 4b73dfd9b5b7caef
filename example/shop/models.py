"""Tables of the shop."""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


class Category(models.Model):
    """Two levels: departments (without a parent) and their categories."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80, unique=True)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="children")
    position = models.PositiveSmallIntegerField(default=0)
    blurb = models.CharField(max_length=200, blank=True)
    picture = models.CharField(max_length=80)

    class Meta:
        verbose_name_plural = "categories"
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:category", args=[self.slug])

    @property
    def picture_url(self) -> str:
        return reverse("shop:picture", args=[self.picture])

    def path_names(self) -> list[str]:
        """Names from the department down."""
        return [self.parent.name, self.name] if self.parent else [self.name]


class ProductQuerySet(models.QuerySet["Product"]):
    def shown(self) -> "ProductQuerySet":
        """What a customer may see and buy."""
        return self.filter(is_active=True, stock__gt=0)

    def on_sale(self) -> "ProductQuerySet":
        """Products below their list price."""
        return self.filter(price__lt=models.F("list_price"))

    def in_category(self, category: Category) -> "ProductQuerySet":
        """Products of a category, or of all categories of a department."""
        if category.parent_id is None:
            return self.filter(category__parent=category)
        return self.filter(category=category)


class Product(models.Model):
    name = models.CharField(max_length=160)
    slug = models.SlugField(max_length=180, unique=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    brand = models.CharField(max_length=60, blank=True)
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=9, decimal_places=2)
    list_price = models.DecimalField(max_digits=9, decimal_places=2, help_text="The price outside of any sale.")
    currency = models.CharField(max_length=3, default="EUR")
    stock = models.PositiveIntegerField(default=50)
    sold = models.PositiveIntegerField(default=0, help_text="Pieces sold in the last 30 days, by the nightly job.")
    is_active = models.BooleanField(default=True)
    tags = models.JSONField(default=list, blank=True)
    attributes = models.JSONField(default=dict, blank=True)
    picture = models.CharField(max_length=80)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProductQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["category", "-sold"], name="shop_product_sold"),
            models.Index(fields=["category", "-created_at"], name="shop_product_newest"),
            models.Index(fields=["category", "price"], name="shop_product_price"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:product", args=[self.slug])

    @property
    def picture_url(self) -> str:
        return reverse("shop:picture", args=[self.picture])

    @property
    def in_stock(self) -> bool:
        return self.stock > 0

    @property
    def discount(self) -> int:
        """Percent off the list price, 0 outside of a sale."""
        if self.price >= self.list_price:
            return 0
        return round(100 * (1 - self.price / self.list_price))

    @property
    def is_new(self) -> bool:
        return (timezone.now() - self.created_at).days < 21


class Variant(models.Model):
    """A size or colour of a product. Price and stock are the product's."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="variants")
    sku = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=40)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.product} ({self.name})"


class Sale(models.Model):
    """A percentage off a category for some days, applied to the products' prices by `shop.nightly`."""

    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="sales")
    percent = models.PositiveSmallIntegerField()
    starts = models.DateField()
    ends = models.DateField(help_text="The last day.")

    def __str__(self) -> str:
        return f"{self.percent} % off {self.category}"


class Order(models.Model):
    class Status(models.TextChoices):
        PAID = "paid", "Paid"
        SHIPPED = "shipped", "Shipped"
        CANCELLED = "cancelled", "Cancelled"

    number = models.CharField(max_length=32, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="orders")
    email = models.EmailField()
    name = models.CharField(max_length=100)
    address = models.CharField(max_length=200)
    city = models.CharField(max_length=80)
    postcode = models.CharField(max_length=16)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PAID)
    currency = models.CharField(max_length=3, default="EUR")
    total = models.DecimalField(max_digits=10, decimal_places=2, default=Decimal(0))
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.number

    def get_absolute_url(self) -> str:
        return reverse("shop:order", args=[self.number])


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    variant = models.ForeignKey(Variant, on_delete=models.SET_NULL, null=True, related_name="+")
    quantity = models.PositiveIntegerField(default=1)
    unit_price = models.DecimalField(max_digits=9, decimal_places=2)

    def __str__(self) -> str:
        return f"{self.quantity} x {self.product}"

    @property
    def total(self) -> Decimal:
        return self.unit_price * self.quantity
