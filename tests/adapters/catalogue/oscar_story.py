"""A small Oscar shop, and what the preset says of it; run by `test_oscar.py` in a process of its own. Prints JSON."""

import json
import os
import sys
from decimal import Decimal

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.adapters.catalogue.oscar_settings"

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402
from oscar.core.loading import get_class, get_model  # noqa: E402

from ml_models.adapters.build import get_catalogue  # noqa: E402
from ml_models.adapters.catalogue.oscar import in_stock  # noqa: E402
from ml_models.data_collection import products as pages  # noqa: E402

Product, ProductClass = get_model("catalogue", "Product"), get_model("catalogue", "ProductClass")
Category, Partner = get_model("catalogue", "Category"), get_model("partner", "Partner")
StockRecord, User = get_model("partner", "StockRecord"), get_model("auth", "User")
Order, Line = get_model("order", "Order"), get_model("order", "Line")


def stock(product, count, price="10.00", allocated=None):
    StockRecord.objects.create(
        product=product,
        partner=Partner.objects.get_or_create(name="P", code="p")[0],
        partner_sku=f"sku-{product.pk}-{product.stockrecords.count()}",
        price=Decimal(price),
        price_currency="GBP",
        num_in_stock=count,
        num_allocated=allocated,
    )


def build():
    tracked = ProductClass.objects.create(name="Shirt")
    untracked = ProductClass.objects.create(name="Download", track_stock=False, requires_shipping=False)
    root = Category.add_root(name="Clothes")
    made = {}

    def add(name, structure=Product.STANDALONE, kind=tracked, **more):
        made[name] = Product.objects.create(
            title="" if structure == Product.CHILD else name,
            structure=structure,
            product_class=None if structure == Product.CHILD else kind,
            **more,
        )
        if structure != Product.CHILD:
            made[name].categories.add(root)
        return made[name]

    stock(add("plain"), 5)
    stock(add("sold-out"), 0)
    stock(add("allocated"), 3, allocated=3)
    stock(add("hidden", is_public=False), 5)
    add("no-record")
    stock(add("download", kind=untracked), 0)
    second = add("second-record-only")
    stock(second, 0)
    stock(second, 9)
    parent = add("parent", structure=Product.PARENT)
    stock(add("small", structure=Product.CHILD, parent=parent), 0, "7.00")
    stock(add("large", structure=Product.CHILD, parent=parent), 2, "8.00")
    empty = add("parent-empty", structure=Product.PARENT)
    stock(add("gone", structure=Product.CHILD, parent=empty), 0)
    secret = add("parent-of-hidden", structure=Product.PARENT)
    stock(add("hidden-child", structure=Product.CHILD, parent=secret, is_public=False), 4)
    return made


def place_order(number, lines, user=None, email="", status="Pending"):
    order = Order.objects.create(
        number=number,
        user=user,
        guest_email=email,
        currency="GBP",
        status=status,
        date_placed=timezone.now(),
        total_incl_tax=1,
        total_excl_tax=1,
    )
    for product, quantity, price in lines:
        total = Decimal(price) * quantity
        Line.objects.create(
            order=order,
            product=product,
            title="x",
            partner_sku="x",
            quantity=quantity,
            line_price_incl_tax=total,
            line_price_excl_tax=total,
            line_price_before_discounts_incl_tax=total,
            line_price_before_discounts_excl_tax=total,
            unit_price_incl_tax=price,
            unit_price_excl_tax=price,
            num_allocated=0,
        )
    return order


def main():
    call_command("migrate", run_syncdb=True, verbosity=0)
    made = build()
    names = {str(product.pk): name for name, product in made.items()}
    ids = list(names)
    catalogue = get_catalogue()
    user = User.objects.create(username="u", email="u@example.com")
    place_order("1001", [(made["large"], 2, "8.00"), (made["plain"], 1, "10.00")], user=user)
    place_order("1002", [(made["plain"], 1, "10.00")], email="Guest@Example.com")
    place_order("1003", [(made["plain"], 1, "10.00")], status="Cancelled")
    get_model("analytics", "UserProductView").objects.create(user=user, product=made["parent"])
    with CaptureQueriesContext(
        connection,
    ) as seen:
        visible = catalogue.visible(ids)
    with CaptureQueriesContext(connection) as newest_queries:
        newest = catalogue.newest(20)
    with CaptureQueriesContext(connection) as few:
        catalogue.get([str(made[name].pk) for name in ("plain", "parent", "small")])
    with CaptureQueriesContext(connection) as many:
        products = catalogue.get(ids)
    strategy = get_class("partner.strategy", "Selector")().strategy()
    by_strategy = [
        name
        for name, product in made.items()
        if product.is_public and not product.is_child and in_stock(Product.objects.get(pk=product.pk))
    ]
    parent = products[str(made["parent"].pk)]
    json.dump(
        {
            "strategy": type(strategy).__name__,
            "visible": sorted(names[one] for one in visible),
            "visible_queries": len(seen),
            "newest": [names[one] for one in newest],
            "newest_queries": len(newest_queries),
            "by_strategy": sorted(by_strategy),
            "get_queries": [len(few), len(many)],
            "canonical": {names[k]: names[v] for k, v in catalogue.canonical(ids).items() if k != v},
            "parent": {
                "name": parent.name,
                "category": parent.category,
                "price": str(parent.price),
                "currency": parent.currency,
                "in_stock": parent.in_stock,
                "url": parent.url,
            },
            "listed": sorted(product.name for product in catalogue.products()),
            "orders": [
                {
                    "id": o.id,
                    "user": o.user_id == str(user.pk),
                    "guest": o.guest,
                    "meaning": o.meaning,
                    "currency": o.currency,
                    "updated": o.updated is not None,
                    "items": [
                        [names[i.product_id], i.variant_id and names[i.variant_id], i.quantity, str(i.unit_price)]
                        for i in o.items
                    ],
                }
                for o in catalogue.orders()
            ],
            "history": [[e.event_type, names[e.product_id]] for e in catalogue.history()],
            "failures": dict(catalogue.failures),
            "page_model": pages.product_model()._meta.label,
            "page_id": pages.external_id(Product.objects.first()) == str(Product.objects.first().pk),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
