"""Facade of `ml_models.api_urls`."""

from ml_models.api_urls import app_name, urlpatterns

__all__ = ["app_name", "urlpatterns"]
