"""Products as the surface meets them: an instance of the shop's model, or an id of any type."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.db.models import Model

from ml_models.settings import get_settings

__all__ = ["external_id", "id_path", "product_model"]

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
