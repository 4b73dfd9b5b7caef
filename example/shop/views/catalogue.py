"""Looking at products."""

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from shop.art import Spec, draw
from shop.forms import FilterForm
from shop.models import Category, Product

PAGE_SIZE = 24


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    sale = Product.objects.shown().on_sale().select_related("category").order_by("?")[:6]
    return render(request, "shop/home.html", {"sale": sale, "total": Product.objects.shown().count()})


def _page(request: HttpRequest, products: QuerySet[Product]) -> tuple[FilterForm, Page]:
    form = FilterForm(request.GET)
    found = form.apply(products.select_related("category"))
    return form, Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))


@require_safe
def category(request: HttpRequest, slug: str) -> HttpResponse:
    here = get_object_or_404(Category.objects.select_related("parent"), slug=slug)
    form, page = _page(request, Product.objects.shown().in_category(here))
    siblings = (here.parent or here).children.all()
    context = {"category": here, "siblings": siblings, "form": form, "page": page}
    return render(request, "shop/category.html", context)


@require_safe
def product(request: HttpRequest, slug: str) -> HttpResponse:
    here = get_object_or_404(
        Product.objects.select_related("category__parent").prefetch_related("variants").filter(is_active=True),
        slug=slug,
    )
    tracked = {
        "product_id": str(here.pk),
        "product_name": here.name,
        "category": here.category.name,
        "price": float(here.price),
        "discount": here.discount,
        "is_new_arrival": here.is_new,
    }
    # Not render(): the tracking middleware recognises a product page by the response's context.
    return TemplateResponse(request, "shop/product.html", {"product": here, "tracked": tracked})


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    words = request.GET.get("q", "").strip()[:100]
    products = Product.objects.shown() if words else Product.objects.none()
    for word in words.split():
        products = products.filter(
            Q(name__icontains=word) | Q(category__name__icontains=word) | Q(brand__icontains=word)
        )
    form, page = _page(request, products)
    tracked = {"query": words, "results_count": page.paginator.count, "sort_by": request.GET.get("sort", "sold")}
    return render(request, "shop/search.html", {"words": words, "form": form, "page": page, "tracked": tracked})


@require_safe
def picture(request: HttpRequest, slug: str) -> HttpResponse:
    """A drawing. The address says everything about it, so it may be kept for ever."""
    spec = Spec.parse(slug)
    if spec is None:
        raise Http404("There is no such picture.")
    return HttpResponse(
        draw(spec),
        content_type="image/svg+xml",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
