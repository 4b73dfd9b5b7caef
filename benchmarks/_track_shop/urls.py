"""The API, and beside it the floor it is measured against, behind the same middleware."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def constant(request: HttpRequest) -> HttpResponse:
    """The floor: an answer of the same size that costs nothing to make."""
    return HttpResponse(b'{"status": "ok", "processed": 20}', content_type="application/json")


# As deep in the URLs as the endpoint is.
urlpatterns = [path("api/ml/", include("ml.api.urls")), path("floor/", include([path("", constant)]))]
