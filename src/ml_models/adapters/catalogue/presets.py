"""Ready mappings of known shops, and how a shop's own settings lie over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ml_models.adapters.catalogue.paths import suggest
from ml_models.core.errors import CatalogueError

__all__ = ["PRESETS", "expand", "preset"]

PRESETS = {"oscar": "ml_models.adapters.catalogue.oscar"}
"""Name of a preset -> module with a function `mapping()`."""


def preset(name: str) -> dict[str, Any]:
    """The mapping of a preset; raises `CatalogueError` where there is none of that name."""
    if name not in PRESETS:
        raise CatalogueError(
            f"ML_CATALOG preset {name!r} does not exist; there is {', '.join(PRESETS)}.{suggest(str(name), PRESETS)}"
        )
    build: Callable[[], dict[str, Any]] = import_module(PRESETS[name]).mapping
    return build()


def expand(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping with its preset filled in: what the shop writes wins, field by field; None takes a field away."""
    if "preset" not in mapping:
        return mapping
    base = preset(mapping["preset"])
    return _over(base, {key: value for key, value in mapping.items() if key != "preset"})


def _over(base: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in given.items():
        below = base.get(key)
        # Sections, fields and attributes are laid over each other; conditions and single fields are replaced.
        if isinstance(value, Mapping) and isinstance(below, dict) and key in _LAYERED:
            merged[key] = _over(below, value)
        else:
            merged[key] = value
    return merged


_LAYERED = ("product", "order", "order_line", "fields", "attributes", "statuses")
