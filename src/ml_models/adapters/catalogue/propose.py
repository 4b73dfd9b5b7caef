"""A first mapping of a shop, guessed from its models, with the evidence for every guess. What `ml_init` prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections, transaction
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    EmailField,
    Field,
    FileField,
    FloatField,
    ForeignKey,
    IntegerField,
    JSONField,
    Model,
    TextField,
)

from ml_models.adapters.catalogue.expressions import is_empty, parse
from ml_models.adapters.catalogue.mapping import DEFAULT_STATUSES
from ml_models.adapters.catalogue.paths import names_of
from ml_models.adapters.catalogue.reader import compile_checked
from ml_models.core.errors import CatalogueError

__all__ = ["Candidate", "Proposal", "propose"]

_OURS = (
    "ml",
    "admin",
    "auth",
    "contenttypes",
    "sessions",
    "sites",
    "messages",
    "staticfiles",
    "flatpages",
    "redirects",
)
_PRODUCT_NAMES = ("product", "item", "article", "goods", "book", "sku", "merchandise", "produkt", "producto", "produit")
_NOT_PRODUCTS = re.compile(
    r"(order|cart|basket|line|image|photo|review|rating|categor|tag|attribute|option|variant|wish|view|stat|log|comment"
    r"|recommend|class|type|price|stock|discount|offer|coupon|collection)",
    re.IGNORECASE,
)
_PRICE = (
    "current_price",
    "sale_price",
    "final_price",
    "price",
    "get_price",
    "unit_price",
    "cost_price_gross",
    "amount",
)
_NAMES = ("name", "title", "product_name", "label", "headline")
_TEXTS = ("description", "short_description", "summary", "body", "content", "details", "text", "excerpt")
_STOCK = (
    "is_in_stock",
    "in_stock",
    "is_available",
    "available",
    "stock",
    "stock_quantity",
    "quantity",
    "inventory",
    "count",
)
_BRAND = ("brand", "manufacturer", "artisan", "vendor", "designer", "author", "maker", "supplier", "publisher")
_IMAGES = ("image", "main_image", "photo", "picture", "thumbnail", "img", "cover", "image_url")
_CREATED = ("created_at", "created", "date_created", "created_on", "pub_date", "published_at", "date_added", "added")
_UPDATED = ("updated_at", "updated", "date_updated", "modified", "modified_at", "updated_on", "last_modified")
_ACTIVE = ("is_active", "active", "is_published", "published", "is_visible", "is_public", "available", "is_available")
_WHEN = (
    "placed_at",
    "date_placed",
    "created_at",
    "created",
    "ordered_date",
    "order_date",
    "date_ordered",
    "date",
    "placed",
)
_NUMBER = ("order_number", "number", "reference", "ref", "ref_code", "code")
_EMAIL = ("email", "guest_email", "customer_email", "contact_email")
_STATUS = ("status", "state", "order_status", "paid", "is_paid")
_QUANTITY = ("quantity", "qty", "count", "amount", "units")
_UNIT_PRICE = ("unit_price", "price", "price_at_purchase", "item_price", "unit_price_incl_tax")
_TOTAL = ("line_total", "total", "total_price", "subtotal", "line_price", "get_total", "get_cost")


@dataclass(slots=True)
class Candidate:
    """A model that could be meant."""

    model: type[Model]
    score: int
    evidence: list[str]
    rows: int | None = None

    @property
    def label(self) -> str:
        """Such as `catalog.Product`."""
        return self.model._meta.label


@dataclass(slots=True)
class Proposal:
    """What was found."""

    mapping: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    """Place in the mapping -> why."""
    products: list[Candidate] = field(default_factory=list)
    """Models that look like products, the likeliest first."""
    lines: list[Candidate] = field(default_factory=list)
    """Models that look like lines of orders, the likeliest first."""
    notes: list[str] = field(default_factory=list)
    """What could not be found and what to look at."""


def propose(product: str = "", order_line: str = "") -> Proposal:
    """Look at the installed models; `product` and `order_line` name models where the guess would be another."""
    proposal = Proposal()
    models = [
        m for m in apps.get_models() if m._meta.app_label not in _OURS and not m._meta.proxy and not m._meta.swapped
    ]
    proposal.products = _chosen(product, [c for c in map(_as_product, models) if c.score >= 6])
    if not proposal.products:
        proposal.notes.append("No installed model looks like a product: none has a name, a price and a fitting name.")
        return proposal
    best = proposal.products[0]
    section = _product_section(best, proposal)
    proposal.mapping["product"] = section
    proposal.lines = _chosen(
        order_line,
        [c for c in (_as_line(m, best.model, section) for m in models if m is not best.model) if c.score >= 6],
    )
    if proposal.lines:
        _order_section(proposal.lines[0], best.model, section, proposal)
    else:
        proposal.notes.append(
            f"No model looks like a line of an order: none has a foreign key to {best.label}, a quantity and an order."
        )
    _history(models, best.model, section, proposal)
    _drop_what_fails(proposal)
    return proposal


def _chosen(label: str, found: list[Candidate]) -> list[Candidate]:
    if label:
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError) as error:
            raise CatalogueError(f"There is no installed model {label!r}. Write it as 'app.Model'.") from error
        return [Candidate(model, 99, ["named on the command line"], _count(model))]
    for candidate in found:
        candidate.rows = _count(candidate.model)
        if candidate.rows:
            candidate.evidence.append(f"{candidate.rows:,} rows")
    return sorted(found, key=lambda c: (-c.score, -(c.rows or 0), c.label))


def _count(model: type[Model]) -> int | None:
    """Rows, None where the table cannot be read (not migrated yet, no database)."""
    using = model._default_manager.db
    try:
        with transaction.atomic(using=using):
            if model._meta.db_table not in connections[using].introspection.table_names():
                return None
            return model._default_manager.count()
    except DatabaseError:
        return None


# -- fields by name and type ------------------------------------------------------------------------------


def _fields(model: type[Model]) -> dict[str, Field[Any, Any]]:
    return {f.name: f for f in model._meta.get_fields() if isinstance(f, Field)}


def _first(names: Iterable[str], known: Sequence[str]) -> str:
    """The first known name that is there, then one that ends in a known name."""
    have = list(names)
    for name in known:
        if name in have:
            return name
    for name in known:
        for one in have:
            if one.endswith("_" + name):
                return one
    return ""


def _typed(model: type[Model], kinds: tuple[type[Any], ...]) -> list[str]:
    return [name for name, f in _fields(model).items() if isinstance(f, kinds) and not f.is_relation]


def _price_of(model: type[Model]) -> str:
    fields = _fields(model)
    numbers = [n for n in _typed(model, (DecimalField, FloatField, IntegerField)) if n != model._meta.pk.name]
    # A computed price (sale price, discount) is what the customer sees, so a property of a better name goes first.
    others = [n for n in names_of(model) if n not in fields]
    foreign = [n for n, f in fields.items() if type(f).__name__ in ("MoneyField",)]
    found = _first([*foreign, *numbers, *others], _PRICE)
    return found or next((n for n in numbers if "price" in n), "")


def _name_of(model: type[Model]) -> str:
    texts = [n for n in _typed(model, (CharField, TextField)) if not _fields(model)[n].choices]
    translated = [n for n in names_of(model) if n not in _fields(model)]
    return _first([*texts, *translated], _NAMES)


def _as_product(model: type[Model]) -> Candidate:
    evidence: list[str] = []
    score = 0
    name = model.__name__
    if name.casefold() in _PRODUCT_NAMES:
        score += 5
        evidence.append(f"it is called {name}")
    elif any(word in name.casefold() for word in _PRODUCT_NAMES) and not _NOT_PRODUCTS.search(name):
        score += 3
        evidence.append(f"its name holds a word for product: {name}")
    if _NOT_PRODUCTS.search(name):
        score -= 4
    price, title = _price_of(model), _name_of(model)
    if price:
        score += 3
        evidence.append(f"price: {price}")
    if title:
        score += 2
        evidence.append(f"name: {title}")
    fields = _fields(model)
    if "slug" in fields:
        score += 1
        evidence.append("slug")
    if hasattr(model, "get_absolute_url"):
        score += 1
        evidence.append("get_absolute_url")
    if any("categor" in f for f in fields):
        score += 1
        evidence.append("a category")
    sellers = [
        relation.related_model.__name__
        for relation in model._meta.related_objects
        if relation.one_to_many and _first(_fields(relation.related_model), _QUANTITY)
    ]
    if sellers:
        score += 2
        evidence.append(f"named with a quantity by {', '.join(sorted(set(sellers)))}")
    if not title and not price:
        score = 0
    return Candidate(model, score, evidence)


# -- the product ------------------------------------------------------------------------------------------


def _product_section(candidate: Candidate, proposal: Proposal) -> dict[str, Any]:
    model, fields = candidate.model, _fields(candidate.model)
    names = names_of(model)
    found: dict[str, Any] = {"id": "pk"}
    why: dict[str, str] = {"id": f"primary key, {type(model._meta.pk).__name__}"}

    def take(target: str, spec: Any, reason: str) -> None:
        if spec:
            found[target] = spec
            why[target] = reason

    name = _name_of(model)
    take("name", name, _typed_as(fields, name))
    texts = [n for n in _TEXTS if n in fields and isinstance(fields[n], CharField | TextField) and n != name]
    take("description", texts[0] if len(texts) == 1 else texts, "text fields, the first that is not empty")
    _categories(model, take)
    _tags(model, take)
    brand = _first(fields, _BRAND)
    if brand:
        related = fields[brand].related_model
        label = _name_of(related) if isinstance(related, type) and issubclass(related, Model) else ""
        take(
            "brand",
            f"{brand}.{label}" if label and not fields[brand].many_to_many else "" if related else brand,
            "by name",
        )
    price = _price_of(model)
    take("price", price, _typed_as(fields, price))
    if price and type(fields.get(price)).__name__ == "MoneyField":
        take("price", f"{price}.amount", "a MoneyField")
        take("currency", f"{price}_currency", "the currency of the MoneyField")
    elif "currency" in fields:
        take("currency", "currency", _typed_as(fields, "currency"))
    else:
        proposal.notes.append('The currency was not found: write "currency": {"value": "EUR"}, with your own code.')
    _stock(model, take)
    _image(model, take)
    if hasattr(model, "get_absolute_url"):
        take("url", "get_absolute_url", "method")
    dates = _typed(model, (DateField,))
    created = _first(dates, _CREATED) or next((d for d in dates if getattr(fields[d], "auto_now_add", False)), "")
    take("created", created, _typed_as(fields, created))
    updated = _first(dates, _UPDATED) or next((d for d in dates if getattr(fields[d], "auto_now", False)), "")
    take("updated", updated, _typed_as(fields, updated))
    section: dict[str, Any] = {"model": candidate.label}
    active = _first(_typed(model, (BooleanField,)), _ACTIVE)
    if active and found.get("in_stock") != active:
        section["filter"] = {active: True}
        proposal.evidence["product.filter"] = f"{active} is a yes/no column: only products with it are shown"
    section["fields"] = found
    proposal.evidence["product.model"] = "; ".join(candidate.evidence)
    for target, reason in why.items():
        proposal.evidence[f"product.fields.{target}"] = reason
    parent = next((f.name for f in fields.values() if f.name == "parent" and f.related_model is model), "")
    if parent:
        section["variants"] = {"parent": parent}
        proposal.evidence["product.variants"] = (
            "the model points to itself by `parent`: variants are rows of the same table"
        )
    else:
        for relation in model._meta.related_objects:
            if relation.one_to_many and "variant" in relation.related_model.__name__.casefold():
                section["variants"] = {"path": f"{relation.get_accessor_name()}[]", "id": "pk"}
                proposal.evidence["product.variants"] = f"{relation.related_model._meta.label} points to it"
    for other in proposal.products[1:4]:
        proposal.notes.append(
            f"{other.label} could be the product too ({'; '.join(other.evidence)}): ml_init --product {other.label}"
        )
    del names
    return section


def _typed_as(fields: dict[str, Field[Any, Any]], name: str) -> str:
    return f"{type(fields[name]).__name__} {name}" if name in fields else f"property or method {name}"


def _categories(model: type[Model], take: Any) -> None:
    fields = _fields(model)
    names = [n for n in fields if "categor" in n or n in ("department", "collection", "genre", "type", "kind")]
    many = next((n for n in names if fields[n].many_to_many), "")
    one = _first([n for n in names if isinstance(fields[n], ForeignKey)], ("primary_category", "category"))
    one = one or next((n for n in names if isinstance(fields[n], ForeignKey)), "")
    for name, suffix, target in ((one, "", "category"), (many, "[]", "categories")):
        if name:
            label = _name_of(fields[name].related_model)  # type: ignore[arg-type]
            if label:
                take(target, f"{name}{suffix}.{label}", f"relation to {fields[name].related_model._meta.label}")  # type: ignore[union-attr]
    if not one and many:
        label = _name_of(fields[many].related_model)  # type: ignore[arg-type]
        if label:
            take("category", f"{many}[0].{label}", "the first of the categories")
    plain = next((n for n in names if isinstance(fields[n], CharField)), "")
    if not one and not many and plain:
        if fields[plain].choices:
            take("category", f"get_{plain}_display", f"the label of the choice {plain}")
        else:
            take("category", plain, _typed_as(fields, plain))


def _tags(model: type[Model], take: Any) -> None:
    fields = _fields(model)
    name = next((n for n in fields if n in ("tags", "labels", "keywords", "topics")), "")
    if not name and "tags" in names_of(model):
        name = "tags"
    if not name:
        return
    tags = fields.get(name)
    related = getattr(tags, "related_model", None)
    if isinstance(tags, JSONField):
        take("tags", f"{name}[]", "a list in a JSON column")
    elif related is not None:
        take("tags", f"{name}[].{_name_of(related) or 'name'}", f"relation to {related._meta.label}")
    elif isinstance(tags, CharField | TextField):
        take("tags", name, "text")


def _stock(model: type[Model], take: Any) -> None:
    fields = _fields(model)
    columns = _typed(model, (BooleanField, IntegerField))
    name = _first([n for n in columns if n != model._meta.pk.name], _STOCK)
    if name:
        take("in_stock", name, f"{_typed_as(fields, name)}, filtered in SQL")
        return
    for relation in model._meta.related_objects:
        if relation.one_to_many and "variant" in relation.related_model.__name__.casefold():
            stock = _first(_typed(relation.related_model, (BooleanField, IntegerField)), _STOCK)
            if stock:
                take(
                    "in_stock",
                    f"any({relation.get_accessor_name()}[].{stock})",
                    f"stock of {relation.related_model._meta.label}",
                )
                return
    computed = _first([n for n in names_of(model) if n not in fields], _STOCK[:4])
    take("in_stock", computed, f"property or method {computed}")


def _image(model: type[Model], take: Any) -> None:
    files = _typed(model, (FileField,))
    name = _first(files, _IMAGES) or (files[0] if files else "")
    if name:
        take("image", name, f"{type(_fields(model)[name]).__name__} {name}")
        return
    for relation in model._meta.related_objects:
        label = relation.related_model.__name__.casefold()
        if relation.one_to_many and any(word in label for word in ("image", "photo", "picture")):
            inner = _typed(relation.related_model, (FileField,))
            if inner:
                path = f"{relation.get_accessor_name()}[0].{_first(inner, _IMAGES) or inner[0]}"
                take("image", path, f"the first {relation.related_model._meta.label}")
                return
    plain = _first([n for n in _typed(model, (CharField,)) if "image" in n or "photo" in n], _IMAGES)
    take("image", plain, "text")


# -- orders -----------------------------------------------------------------------------------------------


def _leads_to_product(model: type[Model], product: type[Model], section: dict[str, Any]) -> tuple[str, str]:
    """(field that names the product or its variant, 'product' or 'variant')."""
    fields = _fields(model)
    direct = next((f.name for f in fields.values() if isinstance(f, ForeignKey) and f.related_model is product), "")
    if direct:
        return direct, "product"
    path = section.get("variants", {}).get("path", "")
    for relation in product._meta.related_objects:
        if path and relation.get_accessor_name() == path.removesuffix("[]"):
            variant = next(
                (
                    f.name
                    for f in fields.values()
                    if isinstance(f, ForeignKey) and f.related_model is relation.related_model
                ),
                "",
            )
            if variant:
                return f"{variant}.{relation.field.name}_id", "variant"
    return "", ""


def _order_of(model: type[Model], product: type[Model]) -> str:
    user = get_user_model()
    for one in _fields(model).values():
        related = one.related_model
        if not isinstance(one, ForeignKey) or related in (product, user) or not isinstance(related, type):
            continue
        if _typed(related, (DateField,)) and re.search(r"order|purchase|invoice|sale|checkout", related.__name__, re.I):
            return one.name
    return ""


def _as_line(model: type[Model], product: type[Model], section: dict[str, Any]) -> Candidate:
    evidence: list[str] = []
    score = 0
    path, _ = _leads_to_product(model, product, section)
    order = _order_of(model, product)
    if not path or not order:
        return Candidate(model, 0, [])
    score += 4
    evidence.append(f"{path} leads to the product, {order} to the order")
    if re.search(r"line|item|product|entry|detail", model.__name__, re.I):
        score += 2
        evidence.append(f"it is called {model.__name__}")
    if _first(_fields(model), _QUANTITY):
        score += 2
        evidence.append("a quantity")
    if _first(_fields(model), _UNIT_PRICE):
        score += 1
        evidence.append("a price")
    return Candidate(model, score, evidence)


def _order_section(candidate: Candidate, product: type[Model], section: dict[str, Any], proposal: Proposal) -> None:
    model = candidate.model
    fields = _fields(model)
    path, kind = _leads_to_product(model, product, section)
    order = _order_of(model, product)
    if not path or not order:
        proposal.notes.append(f"{candidate.label} has no foreign key to a product and to an order, so it was left out.")
        return
    parent: Any = fields[order].related_model
    parent_fields = _fields(parent)
    dates = _typed(parent, (DateField,))
    number = _first([n for n in _typed(parent, (CharField,)) if parent_fields[n].unique], _NUMBER)
    user = next((f.name for f in parent_fields.values() if f.related_model is get_user_model()), "")
    email = _first(_typed(parent, (EmailField, CharField)), _EMAIL)
    status = _first(_typed(parent, (CharField, BooleanField, IntegerField)), _STATUS)
    when = _first(dates, _WHEN) or dates[0]
    updated = _first(dates, _UPDATED) or next((d for d in dates if getattr(parent_fields[d], "auto_now", False)), "")
    quantity = _first(_typed(model, (IntegerField, DecimalField)), _QUANTITY)
    price = _first(_typed(model, (DecimalField, FloatField, IntegerField)), _UNIT_PRICE)
    total = "" if price else _first(names_of(model), _TOTAL)
    found: dict[str, Any] = {
        "order": f"{order}.{number}" if number else f"{order}_id",
        "product": f"{path}_id" if kind == "product" else path,
    }
    if kind == "variant":
        found["variant"] = f"{path.split('.')[0]}_id"
    optional = (
        ("quantity", quantity),
        ("unit_price", price),
        ("total", total),
        ("currency", f"{order}.currency" if "currency" in parent_fields else ""),
        ("user", f"{order}.{user}_id" if user else ""),
        ("guest", f"{order}.{email}" if email else ""),
        ("when", f"{order}.{when}"),
        ("updated", f"{order}.{updated}" if updated and updated != when else ""),
        ("status", f"{order}.{status}" if status else ""),
    )
    found.update({target: spec for target, spec in optional if spec})
    lines: dict[str, Any] = {"model": candidate.label, "fields": found}
    statuses = _statuses(parent, status)
    if statuses:
        lines["statuses"] = statuses
        proposal.evidence["order_line.statuses"] = f"the values of {parent._meta.label}.{status}"
    proposal.mapping["order_line"] = lines
    proposal.evidence["order_line.model"] = "; ".join(candidate.evidence)
    if section["fields"].get("id") != "pk":
        proposal.notes.append("The id of a product is not its primary key: check order_line.fields.product.")
    if not user and not email:
        proposal.notes.append(f"{parent._meta.label} names no user and no e-mail: purchases stay without a buyer.")
    for other in proposal.lines[1:3]:
        proposal.notes.append(
            f"{other.label} could hold the lines too ({'; '.join(other.evidence)}): ml_init --order-line {other.label}"
        )


def _statuses(order: Any, status: str) -> dict[str, str]:
    """What the shop's own words mean, where they can be told; all others are purchases."""
    if not status:
        return {}
    column = order._meta.get_field(status)
    if isinstance(column, BooleanField):
        return {"True": "purchase", "False": "pending"}
    found: dict[str, str] = {}
    for value, label in column.flatchoices:
        for text in (str(value), str(label)):
            words = re.findall(r"[a-z]+", text.casefold())
            meaning = next((DEFAULT_STATUSES[w] for w in words if w in DEFAULT_STATUSES), "")
            if not meaning and any(w in ("pending", "unpaid", "draft", "new", "created", "awaiting") for w in words):
                meaning = "pending" if any(w in ("unpaid", "draft", "awaiting") for w in words) else ""
            if meaning:
                found[str(value)] = meaning
    return found


# -- what the shop recorded itself --------------------------------------------------------------------------


def _history(models: Sequence[type[Model]], product: type[Model], section: dict[str, Any], proposal: Proposal) -> None:
    found = []
    for model in models:
        name = model.__name__.casefold()
        event = next(
            (
                kind
                for word, kind in (
                    ("wish", "wishlist_add"),
                    ("favo", "wishlist_add"),
                    ("review", "review_submit"),
                    ("view", "product_view"),
                    ("visit", "product_view"),
                )
                if word in name
            ),
            "",
        )
        path, kind = _leads_to_product(model, product, section)
        dates = _typed(model, (DateField,))
        if not event or not path or kind != "product" or not dates or model is product:
            continue
        fields = _fields(model)
        table: dict[str, Any] = {"model": model._meta.label, "event": event, "product": f"{path}_id"}
        user = next((f.name for f in fields.values() if f.related_model is get_user_model()), "")
        if user:
            table["user"] = f"{user}_id"
        session = _first(fields, ("session_key", "session_id", "session"))
        if session and not fields[session].is_relation:
            table["session"] = session
        table["when"] = _first(dates, (*_CREATED, "viewed_at", "timestamp", "date")) or dates[0]
        found.append(table)
        proposal.evidence[f"history[{len(found) - 1}]"] = f"{model._meta.label} points to the product and has a time"
    if found:
        proposal.mapping["history"] = found


def _drop_what_fails(proposal: Proposal) -> None:
    """Whatever the checks refuse is taken out again, so that the printed settings always pass them."""
    for _ in range(50):
        problems = compile_checked(proposal.mapping).problems
        if not problems:
            return
        for problem in problems:
            where = problem.where
            proposal.notes.append(f"{where} was left out: {problem.message}")
            proposal.evidence.pop(where, None)
            _remove(proposal.mapping, where)


def _remove(mapping: dict[str, Any], where: str) -> None:
    history = re.match(r"history\[(\d+)\]", where)
    if history:
        mapping["history"].pop(int(history[1]))
        if not mapping["history"]:
            del mapping["history"]
        return
    *parents, last = where.split(".")
    below: Any = mapping
    for key in parents:
        below = below.get(key, {})
    if last in below and last not in ("model",):
        del below[last]
        return
    mapping.pop(where.split(".")[0], None)


def samples(mapping: dict[str, Any], label: str, limit: int = 3) -> dict[str, list[Any]]:
    """A few values of every mapped product field; empty where the table cannot be read."""
    model = apps.get_model(label)
    if not _count(model):
        return {}
    rows = list(model._default_manager.all()[:limit])
    found: dict[str, list[Any]] = {}
    for name, spec in mapping["fields"].items():
        expression = parse(spec)
        values = []
        for row in rows:
            try:
                value = expression.evaluate(row)
            except CatalogueError as error:
                value = f"error: {error}"
            if not is_empty(value):
                values.append(value)
        found[name] = values
    return found
