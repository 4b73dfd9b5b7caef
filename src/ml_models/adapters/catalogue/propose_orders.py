"""Guesses about orders, their lines and what the shop recorded of its visitors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    EmailField,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
)

from ml_models.adapters.catalogue.guess import (
    CREATED,
    EMAIL,
    NUMBER,
    PLACED,
    QUANTITY,
    STATUS,
    TOTAL,
    UNIT_PRICE,
    UPDATED,
    WHEN,
    Candidate,
    Proposal,
    asked,
    columns,
    of_type,
    pick,
)
from ml_models.adapters.catalogue.mapping import DEFAULT_STATUSES
from ml_models.adapters.catalogue.paths import names_of

__all__ = ["as_line", "history", "order_section"]


def _leads_to_product(model: type[Model], product: type[Model], section: dict[str, Any]) -> tuple[str, str]:
    """(field that names the product or its variant, 'product' or 'variant')."""
    fields = columns(model)
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


@dataclass(frozen=True, slots=True)
class _Link:
    """How a line and its order find each other."""

    order: Any
    field: str = ""
    """The line's foreign key to the order."""
    lines: str = ""
    """The order's many-to-many relation to its lines."""


def _link(model: type[Model], product: type[Model]) -> _Link | None:
    user = get_user_model()

    def is_order(other: Any) -> bool:
        return (
            isinstance(other, type)
            and other not in (product, user)
            and bool(of_type(other, (DateField,)))
            and re.search(r"order|purchase|invoice|sale|checkout", other.__name__, re.IGNORECASE) is not None
        )

    for one in columns(model).values():
        if isinstance(one, ForeignKey) and is_order(one.related_model):
            return _Link(one.related_model, field=one.name)
    for relation in model._meta.related_objects:
        if relation.many_to_many and is_order(relation.related_model):
            return _Link(relation.related_model, lines=relation.field.name)
    return None


def as_line(model: type[Model], product: type[Model], section: dict[str, Any]) -> Candidate:
    """How much a model looks like a line of an order."""
    evidence: list[str] = []
    score = 0
    path, _ = _leads_to_product(model, product, section)
    link = _link(model, product)
    if not path or link is None:
        return Candidate(model, 0, [])
    score += 4
    evidence.append(
        f"{path} leads to the product, {link.field or link.order._meta.label + '.' + link.lines} to the order"
    )
    if re.search(r"line|item|product|entry|detail", model.__name__, re.IGNORECASE):
        score += 2
        evidence.append(f"it is called {model.__name__}")
    if pick(columns(model), QUANTITY):
        score += 2
        evidence.append("a quantity")
    if pick(asked(columns(model), UNIT_PRICE), UNIT_PRICE):
        score += 1
        evidence.append("a price")
    return Candidate(model, score, evidence)


def _buyer(order: Any) -> tuple[str, str]:
    """Paths from an order to the user's id and to the e-mail, over a customer where there is one."""
    user = get_user_model()
    fields = columns(order)
    email = pick(of_type(order, (EmailField, CharField)), EMAIL)
    direct = next((f.name for f in fields.values() if f.related_model is user), "")
    if direct:
        return f"{direct}_id", email
    for one in fields.values():
        related = one.related_model
        if isinstance(one, ForeignKey) and isinstance(related, type) and issubclass(related, Model):
            account = next((f.name for f in columns(related).values() if f.related_model is user), "")
            if account:
                theirs = pick(of_type(related, (EmailField, CharField)), EMAIL)
                return f"{one.name}.{account}_id", email or (f"{one.name}.{theirs}" if theirs else "")
    return "", email


def _order_fields(order: Any, proposal: Proposal) -> dict[str, str]:
    """Fields of the order, as paths from it."""
    fields = columns(order)
    dates = of_type(order, (DateField,))
    when = pick(dates, WHEN) or dates[0]
    updated = pick(dates, UPDATED) or next((d for d in dates if getattr(fields[d], "auto_now", False)), "")
    user, email = _buyer(order)
    if not user and not email:
        proposal.notes.append(f"{order._meta.label} names no user and no e-mail: purchases stay without a buyer.")
    found = {
        "user": user,
        "guest": email,
        "when": when,
        "updated": updated if updated != when else "",
        "status": pick(of_type(order, (CharField, BooleanField, IntegerField)), STATUS),
        "currency": "currency" if "currency" in fields else "",
    }
    return {name: path for name, path in found.items() if path}


def _number(order: Any) -> str:
    fields = columns(order)
    return pick([n for n in of_type(order, (CharField,)) if getattr(fields[n], "unique", False)], NUMBER)


def order_section(candidate: Candidate, product: type[Model], section: dict[str, Any], proposal: Proposal) -> None:
    """Write `order_line`, and `order` where lines do not know their order, into the proposal."""
    model = candidate.model
    path, kind = _leads_to_product(model, product, section)
    link = _link(model, product)
    if not path or link is None:
        proposal.notes.append(f"{candidate.label} has no relation to a product and to an order, so it was left out.")
        return
    proposal.evidence["order_line.model"] = "; ".join(candidate.evidence)
    line = _line_fields(model, product, section, path, kind)
    order = _order_fields(link.order, proposal)
    number = _number(link.order)
    # A cart that is an order not yet placed: only the placed ones are orders.
    placed = pick(of_type(link.order, (BooleanField,)), PLACED)
    target: dict[str, Any] = {"model": candidate.label}
    if link.lines:
        target["fields"] = line
        head: dict[str, Any] = {"model": link.order._meta.label}
        if placed:
            head["filter"] = {placed: True}
        head["lines"] = f"{link.lines}[]"
        head["fields"] = {"id": number or "pk", **order}
        proposal.mapping["order"] = target_of_status = head
        proposal.evidence["order.model"] = f"its many-to-many {link.lines} leads to {candidate.label}"
    else:
        if placed:
            target["filter"] = {f"{link.field}__{placed}": True}
        target["fields"] = {
            "order": f"{link.field}.{number}" if number else f"{link.field}_id",
            **line,
            **{name: f"{link.field}.{spec}" for name, spec in order.items()},
        }
        target_of_status = target
    proposal.mapping["order_line"] = target
    where = "order" if link.lines else "order_line"
    if placed:
        proposal.evidence[f"{where}.filter"] = f"{placed} tells an order from a cart"
    statuses = _statuses(link.order, order.get("status", ""))
    if statuses:
        target_of_status["statuses"] = statuses
        proposal.evidence[f"{where}.statuses"] = f"the values of {link.order._meta.label}.{order['status']}"
    if "updated" not in order:
        proposal.notes.append(
            f"{link.order._meta.label} has no time of its last change: map order updated if there is one."
        )
    for other in proposal.lines[1:3]:
        proposal.notes.append(
            f"{other.label} could hold the lines too ({'; '.join(other.evidence)}): ml_init --order-line {other.label}"
        )


def _line_fields(
    model: type[Model], product: type[Model], section: dict[str, Any], path: str, kind: str
) -> dict[str, str]:
    fields = columns(model)
    found = {"product": f"{path}_id" if kind == "product" else path}
    if kind == "variant":
        found["variant"] = f"{path.split('.')[0]}_id"
    else:
        accessor = section.get("variants", {}).get("path", "").removesuffix("[]")
        variants = next(
            (r.related_model for r in product._meta.related_objects if r.get_accessor_name() == accessor), None
        )
        variant = next((f.name for f in fields.values() if variants is not None and f.related_model is variants), "")
        if variant:
            found["variant"] = f"{variant}_id"
    quantity = pick(of_type(model, (IntegerField, DecimalField)), QUANTITY)
    if quantity:
        found["quantity"] = quantity
    price = pick(asked(of_type(model, (DecimalField, FloatField, IntegerField)), UNIT_PRICE), UNIT_PRICE)
    total = pick([n for n in names_of(model) if n not in found.values()], TOTAL)
    if price:
        found["unit_price"] = price
    elif total:
        found["total"] = total
    return found


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


def history(models: Sequence[type[Model]], product: type[Model], section: dict[str, Any], proposal: Proposal) -> None:
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
        dates = of_type(model, (DateField,))
        if not event or not path or kind != "product" or not dates or model is product:
            continue
        fields = columns(model)
        table: dict[str, Any] = {"model": model._meta.label, "event": event, "product": f"{path}_id"}
        user = next((f.name for f in fields.values() if f.related_model is get_user_model()), "")
        if user:
            table["user"] = f"{user}_id"
        session = pick(fields, ("session_key", "session_id", "session"))
        if session and not fields[session].is_relation:
            table["session"] = session
        table["when"] = pick(dates, (*CREATED, "viewed_at", "timestamp", "date")) or dates[0]
        found.append(table)
        proposal.evidence[f"history[{len(found) - 1}]"] = f"{model._meta.label} points to the product and has a time"
    if found:
        proposal.mapping["history"] = found
