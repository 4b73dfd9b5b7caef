"""`python -m benchmarks._shopping.build`: fill the folder that BUNORAA_STATE names. Prints what is in it as JSON."""

import json
import os
import sys

PRODUCTS, CATEGORIES = 24, 3
PASSWORD = "a-long-password"
PICTURE = "mug-aabbcc-112233-plain-1"
VISITORS = ("ada", "ben", "cleo", "dora", "emil", "finn")


def main() -> None:
    """Tables, products with and without variants, and an account for every visitor."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._shopping.settings")
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from shop.models import Category, Product, Variant

    call_command("migrate", verbosity=0)
    department = Category.objects.create(name="Things", slug="things", picture=PICTURE)
    categories = [
        Category.objects.create(name=f"Kind {n}", slug=f"kind-{n}", parent=department, picture=PICTURE)
        for n in range(CATEGORIES)
    ]
    products = [
        Product.objects.create(
            name=f"Thing {n}",
            slug=f"thing-{n}",
            category=categories[n % CATEGORIES],
            price=n + 1,
            list_price=n + 1,
            picture=PICTURE,
        )
        for n in range(PRODUCTS)
    ]
    for product in products[::3]:
        for size in ("s", "m"):
            Variant.objects.create(product=product, sku=f"{product.pk}-{size}", name=size)
    users = {
        name: get_user_model().objects.create_user(f"{name}@example.com", f"{name}@example.com", PASSWORD).pk
        for name in VISITORS
    }
    paths = {product.get_absolute_url(): str(product.pk) for product in products}
    lists = [category.get_absolute_url() for category in (department, *categories)]
    sys.stdout.write(json.dumps({"products": paths, "lists": lists, "users": users}))


if __name__ == "__main__":
    main()
