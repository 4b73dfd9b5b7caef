from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("api/ml/", include("ml.api.urls")),
    path("products/<pk>/", lambda request, pk: HttpResponse(f"<html><body>{pk}</body></html>"), name="product"),
    path("", lambda request: HttpResponse("<html><body>home</body></html>"), name="home"),
]
