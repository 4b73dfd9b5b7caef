"""Puts a generated catalogue, its shoppers and its sales into the shop's tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import transaction
from shop.models import Category, Product, Sale, Variant

from .tastes import ARCHETYPES

if TYPE_CHECKING:
    from .catalogue import GeneratedCategory, GeneratedProduct
    from .plan import Plan

__all__ = ["DEMO_PASSWORD", "fill", "put_catalogue", "put_superuser"]

DEMO_PASSWORD = "bunoraa-demo"


def put_catalogue(
    categories: Iterable[GeneratedCategory], products: Iterable[GeneratedProduct], currency: str
) -> dict[str, Category]:
    """Insert categories, products and variants; returns the categories by slug."""
    by_slug: dict[str, Category] = {}
    for position, category in enumerate(categories):
        by_slug[category.slug] = Category.objects.create(
            name=category.name,
            slug=category.slug,
            parent=by_slug[category.department] if category.department else None,
            position=position,
            blurb=category.blurb,
            picture=category.picture,
        )
    products = list(products)
    rows = Product.objects.bulk_create(
        [
            Product(
                name=product.name,
                slug=product.slug,
                category=by_slug[product.category],
                brand=product.brand,
                description=product.description,
                price=product.price,
                list_price=product.price,
                currency=currency,
                stock=product.stock,
                tags=list(product.tags),
                attributes=product.attributes,
                picture=product.picture,
                created_at=product.created_at,
            )
            for product in products
        ],
        batch_size=500,
    )
    Variant.objects.bulk_create(
        [
            Variant(product=row, sku=f"P{row.pk}-{name}", name=name, position=position)
            for row, product in zip(rows, products, strict=True)
            for position, name in enumerate(product.variants)
        ],
        batch_size=1000,
    )
    return by_slug


def put_superuser() -> None:
    """The account for the shop's desk (`/admin/`): `admin` with the demo's password."""
    User.objects.create_superuser("admin", "admin@bunoraa.example", DEMO_PASSWORD)


@transaction.atomic
def fill(plan: Plan) -> dict[str, int]:
    """Fill empty tables from the plan; returns how many rows of what."""
    categories, products = plan.catalogue()
    by_slug = put_catalogue(categories, products, "EUR")
    Sale.objects.bulk_create(
        Sale(category=by_slug[sale.category], percent=sale.percent, starts=sale.starts, ends=sale.ends)
        for sale in plan.sales()
    )
    put_superuser()
    people = [shopper for shopper in plan.people() if shopper.has_account]
    # One shopper for each of the tastes can be logged in as, the one that comes most often.
    known = {}
    for shopper in people:
        if shopper.likes not in known or shopper.visits > known[shopper.likes].visits:
            known[shopper.likes] = shopper
    chosen = {shopper.number for shopper in known.values()}
    password = make_password(DEMO_PASSWORD)
    rows = User.objects.bulk_create(
        [
            User(
                username=shopper.email,
                email=shopper.email,
                first_name=shopper.name,
                last_name=f"likes {shopper.likes}" if shopper.number in chosen else "",
                password=password if shopper.number in chosen else make_password(None),
            )
            for shopper in people
        ],
        batch_size=500,
    )
    group = Group.objects.create(name="Demo shoppers")
    order = list(ARCHETYPES)
    demo = [(order.index(s.likes), row) for s, row in zip(people, rows, strict=True) if s.number in chosen]
    group.user_set.add(*(row for _, row in sorted(demo, key=lambda one: one[0])))
    return {"categories": len(categories), "products": len(products), "shoppers": len(people)}
