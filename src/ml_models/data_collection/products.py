"""Products as the surface meets them: an instance of the shop's model, or an id of any type."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.db.models import ForeignKey, ForeignObjectRel, Model

from ml_models.settings import get_settings

__all__ = ["external_id", "id_path", "product_ids", "product_model"]

_PRESETS = {"oscar": "catalogue.Product"}
"""Product model of each preset; a forked app keeps its label."""


def id_path() -> str:
    """Where `ML_CATALOG` says the id of a product stands, such as `pk` or `sku`."""
    given = (_section().get("fields") or {}).get("id")
    return given if isinstance(given, str) else "pk"


def _section() -> Mapping[str, Any]:
    return get_settings().catalog.get("product") or {}


def product_model() -> type[Model] | None:
    """The shop's product model by `ML_CATALOG`, None where it is not mapped or not installed."""
    label = _section().get("model", _PRESETS.get(str(get_settings().catalog.get("preset"))))
    if not isinstance(label, str):
        return None
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):  # `manage.py check` names it
        return None


def external_id(product: Any) -> str:
    """The id as a string, from an instance of any model or from the id itself. Raises `ValueError` for no id."""
    value = product
    if isinstance(product, Model):
        model = product_model()
        path = id_path() if model is not None and isinstance(product, model) else "pk"
        for name in path.split("."):
            value = getattr(value, name)
    elif not isinstance(product, str | int | uuid.UUID) or isinstance(product, bool):
        value = None
    if value is None or isinstance(value, Model) or str(value) == "":
        raise ValueError(f"{product!r} has no id. Give a saved object or its id.")
    return str(value)


def product_ids(product: Any) -> tuple[str, str | None]:
    """The ids of a product and of its variant, None where there is none: of an instance, or of the id itself.

    An instance of another model than the one `ML_CATALOG` maps stands for the product it belongs to: a variant, or a
    line of a cart or an order. No query is run. Raises `ValueError` where it belongs to none, or only a query would
    tell the id: its own id is that of something else.
    """
    model = product_model()
    if model is None or not isinstance(product, Model) or _is(product, model):
        return external_id(product), None
    for field in product._meta.concrete_fields:
        if isinstance(field, ForeignKey) and issubclass(model, field.related_model):
            target, path = field.target_field, id_path()
            if path in (target.name, target.attname) or (path == "pk" and target.primary_key):
                value = getattr(product, field.attname)
            else:
                value = external_id(getattr(product, field.name)) if field.is_cached(product) else None
            if value is not None:
                return str(value), _variant_id(product, model)
    raise ValueError(
        f"{product!r} is a {type(product).__name__} and no {model.__name__}, which ML_CATALOG maps, nor does it name "
        "one without a query. Give the product or its id."
    )


def _is(instance: Model, model: type[Model]) -> bool:
    # A parent by multi-table inheritance, or the model of a proxy, has the same key.
    return isinstance(instance, model) or (id_path() == "pk" and issubclass(model, type(instance)))


def _variant_id(instance: Model, model: type[Model]) -> str | None:
    """Id of an instance where `ML_CATALOG` maps its model as the variants of a product, else None."""
    variants = _section().get("variants") or {}
    name, path = str(variants.get("path", "")).removesuffix("[]"), variants.get("id", "pk")
    for relation in model._meta.get_fields():
        named = relation.get_accessor_name() if isinstance(relation, ForeignObjectRel) else relation.name
        if named == name and isinstance(instance, relation.related_model or ()):
            value = instance
            for part in str(path).split("."):
                value = getattr(value, part)
            return None if value is None else str(value)
    return None
