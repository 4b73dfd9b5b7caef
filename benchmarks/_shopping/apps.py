"""The order's own signal, wired as the guide to events shows it."""

from django.apps import AppConfig


class ShoppingConfig(AppConfig):
    """Its static files hand the cart's changes to the tracker; its receiver tells of orders."""

    name = "benchmarks._shopping"
    label = "shopping"

    def ready(self) -> None:
        """Tell of every order stored or changed."""
        from django.db.models.signals import post_save
        from shop.models import Order

        from ml_models.signals import order_saved

        post_save.connect(order_saved, sender=Order, dispatch_uid="shopping.order_saved")
