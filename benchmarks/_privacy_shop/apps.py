"""The app of the users."""

from django.apps import AppConfig


class PrivacyShopConfig(AppConfig):
    """Label `privacy_shop`."""

    name = "benchmarks._privacy_shop"
    label = "privacy_shop"
