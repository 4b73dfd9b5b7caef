"""A product page and a list, made from a template, as a shop's are; and the API beside them."""

from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path

from ml_models.decorators import product_page

TEMPLATE = engines["django"].from_string(
    "<!doctype html><html lang=en><head><title>{{ title }}</title></head><body><h1>{{ title }}</h1><ul>"
    '{% for item in items %}<li><a href="/products/{{ item.id }}/">{{ item.name }}</a> {{ item.price }}</li>'
    "{% endfor %}"
    "</ul></body></html>"
)
ITEMS = [{"id": n, "name": f"Product <{n}>", "price": f"{n}.99"} for n in range(24)]


@product_page(arg="product_id")
def product(request: HttpRequest, product_id: str) -> HttpResponse:
    """A product page."""
    return HttpResponse(TEMPLATE.render({"title": f"Product {product_id}", "items": ITEMS}))


@product_page(arg="product_id")
async def product_async(request: HttpRequest, product_id: str) -> HttpResponse:
    """The same as a coroutine."""
    return HttpResponse(TEMPLATE.render({"title": f"Product {product_id}", "items": ITEMS}))


urlpatterns = [
    path("api/ml/", include("ml.api.urls")),
    path("products/<str:product_id>/", product),
    path("async/<str:product_id>/", product_async),
]
