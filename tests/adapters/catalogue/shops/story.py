"""Fill one of the shops, take what `ml_init` prints as settings, and say what the catalogue reads. Prints JSON."""

import json
import os
import sys
from io import StringIO

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.adapters.catalogue.shops.settings"

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from ml_models.adapters.catalogue import DjangoCatalogue  # noqa: E402
from ml_models.adapters.catalogue.checks import catalogue_messages  # noqa: E402

SHOP = os.environ["ML_TEST_SHOP"]


def model(name):
    return apps.get_model(SHOP, name)


def fill_uuidshop():
    category = model("Category").objects.create(name="Pottery")
    artisan = model("Artisan").objects.create(name="Mina")
    tag = model("Tag").objects.create(name="blue")
    made = []
    for n, more in enumerate(
        ({}, {"is_active": False}, {"stock_quantity": 0}, {"is_deleted": True}, {"sale_price": 5})
    ):
        values = {"name": f"p{n}", "slug": f"p{n}", "price": 10, "stock_quantity": 3, "primary_category": category}
        made.append(model("Product").objects.create(artisan=artisan, **{**values, **more}))
        made[-1].tags.add(tag)
    variant = model("ProductVariant").objects.create(product=made[0], sku="x")
    user = get_user_model().objects.create(username="u")
    for number, status in (("N1", "delivered"), ("N2", "cancelled")):
        order = model("Order").objects.create(order_number=number, user=user, email="a@b.de", status=status)
        model("OrderItem").objects.create(order=order, product=made[0], variant=variant, quantity=2, unit_price="9.50")
    model("ProductView").objects.create(product=made[4], session_key="s")


def fill_tutorial():
    category = model("Category").objects.create(name="Tea", slug="tea")
    made = [
        model("Product").objects.create(category=category, name=f"p{n}", slug=f"p{n}", price="4.20", available=n != 1)
        for n in range(3)
    ]
    for paid in (True, False):
        order = model("Order").objects.create(first_name="A", email="A@b.de ", paid=paid)
        model("OrderItem").objects.create(order=order, product=made[0], price="4.20", quantity=3)


def fill_classic():
    user = get_user_model().objects.create(username="u")
    made = [
        model("Item").objects.create(title=f"p{n}", price=19.99, category="S", slug=f"p{n}", discount_price=d)
        for n, d in enumerate((None, 9.5))
    ]
    for ordered in (True, False):
        order = model("Order").objects.create(user=user, ordered=ordered, ordered_date=timezone.now())
        for item in made:
            order.items.add(model("OrderItem").objects.create(user=user, item=item, quantity=2, ordered=ordered))


def by_id(catalogue, **which):
    return {order.id: order for order in catalogue.orders(**which)}


def main():
    call_command("migrate", run_syncdb=True, verbosity=0)
    fill = globals().get(f"fill_{SHOP}")
    if fill is not None:
        fill()
    printed = StringIO()
    try:
        call_command("ml_init", stdout=printed, stderr=StringIO())
    except CommandError as error:
        json.dump({"error": str(error)}, sys.stdout)
        return
    pasted = {}
    exec(printed.getvalue(), pasted)  # as a person would paste it
    mapping = pasted["ML_CATALOG"]
    as_json = StringIO()
    call_command("ml_init", "--json", stdout=as_json)
    catalogue = DjangoCatalogue(mapping)
    products = sorted(catalogue.products(), key=lambda p: p.name)
    names = {product.id: product.name for product in products}
    json.dump(
        {
            "mapping": mapping,
            "same_as_json": json.loads(as_json.getvalue())["ML_CATALOG"] == mapping,
            "checks": [[m.id, m.level, m.msg] for m in catalogue_messages(mapping, ["default"])],
            "newest": sorted(names[one] for one in catalogue.newest(10)),
            "visible": sorted(names[one] for one in catalogue.visible(list(names))),
            "products": [
                {
                    "name": p.name,
                    "category": p.category,
                    "brand": p.brand,
                    "tags": p.tags,
                    "price": str(p.price),
                    "currency": p.currency,
                    "in_stock": p.in_stock,
                    "url": p.url,
                }
                for p in products
            ],
            "orders": [
                {
                    "id": o.id,
                    "meaning": o.meaning,
                    "user": o.user_id,
                    "guest": bool(o.guest),
                    "currency": o.currency,
                    "items": [
                        [names[i.product_id], bool(i.variant_id), i.quantity, str(i.unit_price)] for i in o.items
                    ],
                }
                for o in catalogue.orders()
            ],
            "read_by_id": by_id(catalogue) == by_id(catalogue, ids=[o.id for o in catalogue.orders()]),
            "history": [[e.event_type, names[e.product_id], e.session_id] for e in catalogue.history()],
            "failures": dict(catalogue.failures),
        },
        sys.stdout,
        indent=1,
    )


if __name__ == "__main__":
    main()
