"""Addresses of the demo shop."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/ml/", include("ml.api.urls")),
    path("", include("shop.urls")),
]
