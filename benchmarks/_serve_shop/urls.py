"""The API, and beside it the two floors it is measured against, behind the same middleware."""

from itertools import cycle

import numpy as np
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from benchmarks._serve_shop import search

ANSWER = (settings.BASE_DIR / "answer.json").read_bytes()
SEARCH = search.METHODS[(settings.BASE_DIR / "method").read_text()](np.load(settings.BASE_DIR / "vectors.npy"))
QUERIES = cycle(np.load(settings.BASE_DIR / "queries.npy"))


def constant(request: HttpRequest) -> HttpResponse:
    """Floor (a): an answer of the usual size that costs nothing to make."""
    return HttpResponse(ANSWER, content_type="application/json")


def bare_search(request: HttpRequest) -> HttpResponse:
    """Floor (b): the same after one exact search of the best 200."""
    SEARCH(next(QUERIES))
    return HttpResponse(ANSWER, content_type="application/json")


urlpatterns = [
    path("api/ml/", include("ml.api.urls")),
    path("floor/constant/", constant),
    path("floor/search/", bare_search),
]
