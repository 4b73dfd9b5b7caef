"""A tutorial shop of Django 2.2 times: float prices, a cart that is an order not yet ordered, lines by many-to-many."""

from django.conf import settings
from django.db import models

CATEGORIES = (("S", "Shirt"), ("SW", "Sport wear"), ("OW", "Outwear"))


class Item(models.Model):
    title = models.CharField(max_length=100)
    price = models.FloatField()
    discount_price = models.FloatField(blank=True, null=True)
    category = models.CharField(choices=CATEGORIES, max_length=2)
    slug = models.SlugField()
    description = models.TextField()
    image = models.ImageField()

    def get_absolute_url(self):
        return f"/product/{self.slug}/"

    def get_add_to_cart_url(self):
        return f"/add-to-cart/{self.slug}/"


class OrderItem(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    ordered = models.BooleanField(default=False)
    item = models.ForeignKey(Item, on_delete=models.CASCADE)
    quantity = models.IntegerField(default=1)

    def get_final_price(self):
        return self.quantity * (self.item.discount_price or self.item.price)


class Order(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    ref_code = models.CharField(max_length=20, blank=True, null=True)
    items = models.ManyToManyField(OrderItem)
    start_date = models.DateTimeField(auto_now_add=True)
    ordered_date = models.DateTimeField()
    ordered = models.BooleanField(default=False)
    refund_granted = models.BooleanField(default=False)
