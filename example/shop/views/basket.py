"""Cart and checkout."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from ml_models.signals import emit_cart_add, emit_cart_remove
from shop import orders
from shop.cart import Cart
from shop.forms import AddForm, CheckoutForm
from shop.models import Order, Product, Variant


def _summary(cart: Cart) -> dict[str, Any]:
    lines = cart.lines()
    total = sum((line.total for line in lines), Decimal(0))
    saved = sum(((line.product.list_price - line.product.price) * line.quantity for line in lines), Decimal(0))
    return {
        "lines": lines,
        "total": total,
        "saved": saved,
        "full": total + saved,
        "currency": lines[0].product.currency if lines else "EUR",
        "pieces": sum(line.quantity for line in lines),
    }


@require_safe
def cart(request: HttpRequest) -> HttpResponse:
    summary = _summary(Cart(request))
    return render(request, "shop/cart.html", {**summary, "in_cart": [line.product.pk for line in summary["lines"]]})


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    form = AddForm(request.POST)
    if not form.is_valid():
        messages.error(request, "That could not be added to the cart.")
        return redirect("shop:cart")
    product = get_object_or_404(Product.objects.shown(), pk=form.cleaned_data["product"])
    sku, quantity = form.cleaned_data["variant"], form.cleaned_data["quantity"]
    variant = get_object_or_404(Variant, product=product, sku=sku) if sku else None
    Cart(request).add(product, variant, quantity)
    emit_cart_add(request, product=product, quantity=quantity, variant=sku or None)
    messages.success(request, f"{product.name} is in your cart.")
    return redirect("shop:cart")


@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Set the quantity of a line; 0 removes it."""
    key, quantity = request.POST.get("line", ""), request.POST.get("quantity", "")
    wanted = int(quantity) if quantity.isascii() and quantity.isdecimal() else 0
    before = Cart(request).set(key, wanted)
    if before is not None and before != wanted:
        number, _, sku = key.partition(":")
        product = Product.objects.filter(pk=number).first()
        if product is not None and wanted < before:
            emit_cart_remove(request, product=product, quantity=before - wanted, variant=sku or None)
        elif product is not None:
            emit_cart_add(request, product=product, quantity=wanted - before, variant=sku or None)
    return redirect("shop:cart")


def checkout(request: HttpRequest) -> HttpResponse:
    held = Cart(request)
    lines = held.lines()
    if not lines:
        messages.info(request, "Your cart is empty.")
        return redirect("shop:cart")
    initial = {}
    if request.user.is_authenticated:
        initial = {"email": request.user.email, "name": request.user.get_full_name()}
    form = CheckoutForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        order = orders.place(lines, request.user, form.cleaned_data)
        held.clear()
        request.session["last_order"] = order.number
        return redirect("shop:thanks")
    return render(request, "shop/checkout.html", {"form": form, **_summary(held)})


@require_safe
def thanks(request: HttpRequest) -> HttpResponse:
    number = request.session.get("last_order", "")
    order = get_object_or_404(Order.objects.prefetch_related("lines__product", "lines__variant"), number=number)
    pieces = sum(line.quantity for line in order.lines.all())
    tracked = {"order_id": order.number, "order_value": float(order.total), "items_count": pieces}
    return render(request, "shop/thanks.html", {"order": order, "tracked": tracked})
