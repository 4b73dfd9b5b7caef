"""The API of the site under fire."""

from django.urls import include, path

urlpatterns = [path("api/ml/", include("ml.api.urls"))]
