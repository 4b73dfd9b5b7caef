"""Pages, a form, and views that hand to `emit_*` what no view should."""

import uuid

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from ml_models import signals
from ml_models.decorators import product_page


def _page(title: str) -> HttpResponse:
    return HttpResponse(f"<!doctype html><title>{title}</title>")


@product_page(arg="product")
def product(request: HttpRequest, product: str) -> HttpResponse:
    """A product's page."""
    return _page(product)


def home(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Any other page; its path may hold anything."""
    return _page("page")


@csrf_exempt
def form(request: HttpRequest) -> HttpResponse:
    """A form whose view is careless: everything posted goes into events."""
    posted = {name: value for name, value in request.POST.items() if name != "form"}
    signals.emit_form_interaction(request, request.POST.get("form", "contact"), fields_count=len(posted), **posted)
    signals.emit_search(request, posted.get("email", ""), results_count=0)
    signals.emit_custom(request, "contact", address=request.META["REMOTE_ADDR"], mail=posted.get("email", ""))
    # Refused, and said in the log.
    signals.emit_product_view(request, product=posted.get("email", "x") * 20)
    signals.emit_cart_add(request, product="1", quantity=posted.get("email", "x"))  # type: ignore[arg-type]
    signals.emit_custom(request, "broken", value=complex(1, 2), mail=posted.get("email", ""))
    return _page("thanks")


@csrf_exempt
def order(request: HttpRequest) -> HttpResponse:
    """An order of a guest or of the user who is logged in."""
    from tests.shop.models import Order, OrderItem, Product

    with transaction.atomic():
        placed = Order.objects.create(
            number=uuid.uuid4().hex[:20],
            user=request.user if request.user.is_authenticated else None,
            email=request.POST["email"],
            created_at=timezone.now(),
        )
        item = Product.objects.order_by("pk").first()
        OrderItem.objects.create(order=placed, product=item, quantity=1, unit_price="9.99")
        signals.emit_purchase(request, placed, note=request.POST["email"], phone=request.META["REMOTE_ADDR"])
    return HttpResponse(placed.number)


urlpatterns = [
    path("api/ml/", include("ml.api.urls")),
    path("product/<str:product>/", product),
    path("form/", form),
    path("order/", order),
    path("", home),
    path("<path:rest>", home),
]
