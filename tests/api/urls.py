"""Pages of a shop as the middleware and the tracker meet them."""

from django.contrib.auth import get_user_model, login, logout
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.generic import CreateView, DeleteView, DetailView, ListView, UpdateView

from ml_models.decorators import product_page
from ml_models.signals import emit_product_view
from tests.shop.models import Product

PAGE = """<!doctype html><html><head><title>{title}</title>{head}</head><body>
<script src="/static/js/ml-tracking.js" data-api-url="/api/ml/track/"></script></body></html>"""


def page(title, head=""):
    return HttpResponse(PAGE.format(title=title, head=head))


@product_page(arg="product")
def marked(request, product):
    return page(product, f'<meta name="ml-product-id" content="{product}">')


@method_decorator(product_page(arg="key"), name="dispatch")
class MarkedView(View):
    def get(self, request, key):
        return page(key)


class ProductDetail(DetailView):
    model = Product

    def render_to_response(self, context, **kwargs):
        template = engines["django"].from_string("<html>{{ object.name }}</html>")
        return TemplateResponse(self.request, template, context)


class BareDetail(DetailView):
    """A page that is no TemplateResponse; only its URL says which product it shows."""

    queryset = Product.objects.all()

    def render_to_response(self, context, **kwargs):
        return page(context["object"].name)


class Products(ListView):
    model = Product

    def render_to_response(self, context, **kwargs):
        return page("list")


def templated(request, context):
    return TemplateResponse(request, engines["django"].from_string("<html></html>"), context)


class Templated:
    """Shows its context as a `TemplateResponse` without a template of its own."""

    def render_to_response(self, context, **kwargs):
        return templated(self.request, context)


class ProductsOfCategory(Templated, ListView):
    """`pk` is the category's."""

    model = Product


class EditProduct(Templated, UpdateView):
    model = Product
    fields = ("name",)


class DeleteProduct(Templated, DeleteView):
    model = Product


class WriteReview(Templated, CreateView):
    model = Product
    fields = ("name",)

    def get_context_data(self, **kwargs):
        return super().get_context_data(product=Product.objects.first(), **kwargs)


@product_page
def marked_plainly(request, pk):
    return page(pk)


def shows(request, pk):
    return templated(request, {"product": Product.objects.get(pk=pk)})


async def ashows(request, pk):
    return templated(request, {"product": await Product.objects.aget(pk=pk)})


@product_page(None)
def size_guide(request, pk):
    return shows(request, pk)


def tagged(request):
    template = engines["django"].from_string(
        "{% load ml %}<!doctype html><html><head><title>tagged</title>{% ml_tracking %}</head><body>"
        '<a id="away" href="/">Away</a></body></html>'
    )
    return HttpResponse(template.render({}, request))


def emits(request, pk):
    emit_product_view(request, product=pk, source_page="category")
    return page(pk)


def log_in(request, pk):
    login(request, get_user_model().objects.get(pk=pk), backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse("ok")


def log_out(request):
    logout(request)
    return HttpResponse("ok")


def reads_user(request):
    return page(str(request.user.pk))


async def asynchronous(request):
    return page("async")


def broken(request):
    raise RuntimeError("the shop's own mistake")


urlpatterns = [
    path("api/ml/", include("ml.api.urls")),
    path("", lambda request: page("home")),
    path("account/", reads_user),
    path("async/", asynchronous),
    path("broken/", broken),
    path("admin/x/", lambda request: page("admin")),
    path("json/", lambda request: JsonResponse({})),
    path("moved/", lambda request: HttpResponse(status=302, headers={"Location": "/"})),
    path("missing/", lambda request: HttpResponse("<html></html>", status=404)),
    path("timed/", lambda request: HttpResponse("<html></html>", headers={"Server-Timing": "db;dur=5"})),
    path("stream/", lambda request: StreamingHttpResponse(iter(["<html>", "</html>"]))),
    path("marked/<str:product>/", marked),
    path("marked-view/<slug:key>/", MarkedView.as_view()),
    path("detail/<int:pk>/", ProductDetail.as_view()),
    path("bare/<int:pk>/", BareDetail.as_view()),
    path("plainly/<int:pk>/", marked_plainly),
    path("shown/<int:pk>/", shows),
    path("ashown/<int:pk>/", ashows),
    path("cached/<int:pk>/", cache_page(60)(shows)),
    path("size-guide/<int:pk>/", size_guide),
    path("category/<int:pk>/", ProductsOfCategory.as_view()),
    path("edit/<int:pk>/", EditProduct.as_view()),
    path("delete/<int:pk>/", DeleteProduct.as_view()),
    path("review/<int:pk>/", WriteReview.as_view()),
    path("tagged/", tagged),
    path("list/", Products.as_view()),
    path("emits/<int:pk>/", emits),
    path("login/<int:pk>/", log_in),
    path("logout/", log_out),
]
