from django.contrib.auth.views import LogoutView
from django.urls import path

from .views import account, basket, catalogue

app_name = "shop"

urlpatterns = [
    path("", catalogue.home, name="home"),
    path("shop/<slug:slug>/", catalogue.category, name="category"),
    path("products/<slug:slug>/", catalogue.product, name="product"),
    path("search/", catalogue.search, name="search"),
    path("pictures/<slug:slug>.svg", catalogue.picture, name="picture"),
    path("cart/", basket.cart, name="cart"),
    path("cart/add/", basket.add, name="cart-add"),
    path("cart/change/", basket.change, name="cart-change"),
    path("checkout/", basket.checkout, name="checkout"),
    path("checkout/thanks/", basket.thanks, name="thanks"),
    path("account/", account.account, name="account"),
    path("account/login/", account.Login.as_view(), name="login"),
    path("account/logout/", LogoutView.as_view(), name="logout"),
    path("account/register/", account.register, name="register"),
    path("account/orders/<slug:number>/", account.order, name="order"),
]
