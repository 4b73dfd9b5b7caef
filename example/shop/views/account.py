"""Accounts and past orders."""

from django.contrib.auth import get_user_model, login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from shop.forms import LoginForm, RegisterForm


class Login(LoginView):
    template_name = "shop/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs):
        # The shoppers that the demo's builder gave a password (`simulation`); the last name says what they like.
        known = get_user_model().objects.filter(groups__name="Demo shoppers").order_by("pk")
        return super().get_context_data(**kwargs, demo_shoppers=known)


def register(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("shop:account")
    form = RegisterForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.save())
        return redirect("shop:account")
    return render(request, "shop/register.html", {"form": form})


@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    orders = request.user.orders.prefetch_related("lines__product")
    return render(request, "shop/account.html", {"page": Paginator(orders, 10).get_page(request.GET.get("page"))})


@login_required
@require_safe
def order(request: HttpRequest, number: str) -> HttpResponse:
    found = get_object_or_404(request.user.orders.prefetch_related("lines__product", "lines__variant"), number=number)
    return render(request, "shop/order.html", {"order": found})
