"""Routes of the API: `path('api/ml/', include('ml.api.urls'))`."""

from django.urls import path

from ml_models.api_track import track
from ml_models.api_views import recommendations

__all__ = ["app_name", "urlpatterns"]

app_name = "ml"
urlpatterns = [
    path("track/", track, name="track"),
    path("track", track),  # a client that forgot the slash: Django's redirect would lose what it posted
    path("recommendations/", recommendations, name="recommendations"),
]
