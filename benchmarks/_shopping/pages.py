"""Middleware and a view beside the demo shop's own."""

from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from shop.models import Order

from ml_models.signals import emit_refund

SCRIPT = b'<script src="/static/shopping/cart.js"></script></body>'


def cart_script(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Add the script that tells the tracker of the cart's changes, which the shop's views tell of too."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.content = response.content.replace(b"</body>", SCRIPT)
        return response

    return middleware


def strip_server_timing(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """What some proxies do."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.pop("Server-Timing", None)
        return response

    return middleware


@csrf_exempt
@transaction.atomic
def desk(request: HttpRequest, number: str, status: str) -> HttpResponse:
    """An employee changes an order's status; a refund is told of as well."""
    order = Order.objects.get(number=number)
    order.status = status
    order.save()
    if status == "refunded":
        emit_refund(request, order)
    return HttpResponse("ok", content_type="text/plain")
