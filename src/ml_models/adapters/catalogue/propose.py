"""A first mapping of a shop, guessed from its models, with the evidence for every guess. What `ml_init` prints."""

from __future__ import annotations

import re
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections, transaction
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    Field,
    FileField,
    ForeignKey,
    IntegerField,
    JSONField,
    Model,
    TextField,
)

from ml_models.adapters.catalogue.expressions import is_empty, parse
from ml_models.adapters.catalogue.guess import (
    ACTIVE,
    BRAND,
    CREATED,
    IMAGES,
    QUANTITY,
    SALE,
    STOCK,
    TEXTS,
    UPDATED,
    Candidate,
    Proposal,
    columns,
    name_of,
    of_type,
    pick,
    price_of,
)
from ml_models.adapters.catalogue.paths import names_of
from ml_models.adapters.catalogue.propose_orders import as_line, history, order_section
from ml_models.adapters.catalogue.reader import compile_checked
from ml_models.core.errors import CatalogueError

__all__ = ["propose", "samples"]

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
        [c for c in (as_line(m, best.model, section) for m in models if m is not best.model) if c.score >= 6],
    )
    if proposal.lines:
        order_section(proposal.lines[0], best.model, section, proposal)
    else:
        proposal.notes.append(
            f"No model looks like a line of an order: none has a foreign key to {best.label}, a quantity and an order."
        )
    history(models, best.model, section, proposal)
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
    price, title = price_of(model), name_of(model)
    if price:
        score += 3
        evidence.append(f"price: {price}")
    if title:
        score += 2
        evidence.append(f"name: {title}")
    fields = columns(model)
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
        if relation.one_to_many and pick(columns(relation.related_model), QUANTITY)
    ]
    if sellers:
        score += 2
        evidence.append(f"named with a quantity by {', '.join(sorted(set(sellers)))}")
    if not title or not (price or sellers):  # a blog post has a name too
        score = 0
    return Candidate(model, score, evidence)


# -- the product ------------------------------------------------------------------------------------------


def _product_section(candidate: Candidate, proposal: Proposal) -> dict[str, Any]:
    model, fields = candidate.model, columns(candidate.model)
    found: dict[str, Any] = {"id": "pk"}
    why: dict[str, str] = {"id": f"primary key, {type(model._meta.pk).__name__}"}

    def take(target: str, spec: Any, reason: str) -> None:
        if spec:
            found[target] = spec
            why[target] = reason

    name = name_of(model)
    take("name", name, _typed_as(fields, name))
    texts = [n for n in TEXTS if n in fields and isinstance(fields[n], CharField | TextField) and n != name]
    take("description", texts[0] if len(texts) == 1 else texts, "text fields, the first that is not empty")
    _categories(model, take)
    _tags(model, take)
    brand = pick(fields, BRAND)
    if brand:
        related = fields[brand].related_model
        label = name_of(related) if isinstance(related, type) and issubclass(related, Model) else ""
        take(
            "brand",
            f"{brand}.{label}" if label and not fields[brand].many_to_many else "" if related else brand,
            "by name",
        )
    price = price_of(model)
    sale = next((n for n in SALE if n in fields and n != price and fields[n].null), "") if price in fields else ""
    take(
        "price",
        [sale, price] if sale else price,
        _typed_as(fields, price) + (f", less while {sale} is set" if sale else ""),
    )
    if price and type(fields.get(price)).__name__ == "MoneyField":
        take("price", f"{price}.amount", "a MoneyField")
        take("currency", f"{price}_currency", "the currency of the MoneyField")
    elif "currency" in fields:
        take("currency", "currency", _typed_as(fields, "currency"))
    else:
        proposal.notes.append(
            'The currency was not found: write "currency": "EUR" (your own code) at the top of ML_CATALOG.'
        )
    _stock(model, take)
    _image(model, take)
    if hasattr(model, "get_absolute_url"):
        take("url", "get_absolute_url", "method")
    dates = of_type(model, (DateField,))
    created = pick(dates, CREATED) or next((d for d in dates if getattr(fields[d], "auto_now_add", False)), "")
    take("created", created, _typed_as(fields, created))
    updated = pick(dates, UPDATED) or next((d for d in dates if getattr(fields[d], "auto_now", False)), "")
    take("updated", updated, _typed_as(fields, updated))
    section: dict[str, Any] = {"model": candidate.label}
    active = pick(of_type(model, (BooleanField,)), ACTIVE)
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
    return section


def _typed_as(fields: dict[str, Field[Any, Any]], name: str) -> str:
    return f"{type(fields[name]).__name__} {name}" if name in fields else f"property or method {name}"


def _categories(model: type[Model], take: Any) -> None:
    fields = columns(model)
    names = [n for n in fields if "categor" in n or n in ("department", "collection", "genre", "type", "kind")]
    many = next((n for n in names if fields[n].many_to_many), "")
    one = pick([n for n in names if isinstance(fields[n], ForeignKey)], ("primary_category", "category"))
    one = one or next((n for n in names if isinstance(fields[n], ForeignKey)), "")
    for name, suffix, target in ((one, "", "category"), (many, "[]", "categories")):
        if name:
            label = name_of(fields[name].related_model)  # type: ignore[arg-type]
            if label:
                take(target, f"{name}{suffix}.{label}", f"relation to {fields[name].related_model._meta.label}")  # type: ignore[union-attr]
    if not one and many:
        label = name_of(fields[many].related_model)  # type: ignore[arg-type]
        if label:
            take("category", f"{many}[0].{label}", "the first of the categories")
    plain = next((n for n in names if isinstance(fields[n], CharField)), "")
    if not one and not many and plain:
        if fields[plain].choices:
            take("category", f"get_{plain}_display", f"the label of the choice {plain}")
        else:
            take("category", plain, _typed_as(fields, plain))


def _tags(model: type[Model], take: Any) -> None:
    fields = columns(model)
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
        take("tags", f"{name}[].{name_of(related) or 'name'}", f"relation to {related._meta.label}")
    elif isinstance(tags, CharField | TextField):
        take("tags", name, "text")


def _stock(model: type[Model], take: Any) -> None:
    fields = columns(model)
    plain = of_type(model, (BooleanField, IntegerField))
    name = pick([n for n in plain if n != model._meta.pk.name], STOCK)
    if name:
        take("in_stock", name, f"{_typed_as(fields, name)}, filtered in SQL")
        return
    for relation in model._meta.related_objects:
        if relation.one_to_many and "variant" in relation.related_model.__name__.casefold():
            stock = pick(of_type(relation.related_model, (BooleanField, IntegerField)), STOCK)
            if stock:
                take(
                    "in_stock",
                    f"any({relation.get_accessor_name()}[].{stock})",
                    f"stock of {relation.related_model._meta.label}",
                )
                return
    computed = pick([n for n in names_of(model) if n not in fields], STOCK[:4])
    take("in_stock", computed, f"property or method {computed}")


def _image(model: type[Model], take: Any) -> None:
    files = of_type(model, (FileField,))
    name = pick(files, IMAGES) or (files[0] if files else "")
    if name:
        take("image", name, f"{type(columns(model)[name]).__name__} {name}")
        return
    for relation in model._meta.related_objects:
        label = relation.related_model.__name__.casefold()
        if relation.one_to_many and any(word in label for word in ("image", "photo", "picture")):
            inner = of_type(relation.related_model, (FileField,))
            if inner:
                path = f"{relation.get_accessor_name()}[0].{pick(inner, IMAGES) or inner[0]}"
                take("image", path, f"the first {relation.related_model._meta.label}")
                return
    plain = pick([n for n in of_type(model, (CharField,)) if "image" in n or "photo" in n], IMAGES)
    take("image", plain, "text")


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
