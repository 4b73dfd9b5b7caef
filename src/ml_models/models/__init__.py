"""The folder is the registry: one model, one file, and the file's name is the model's name.

`names()` lists the folder without importing anything; `get(name)` imports one file when asked for by name.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_models.core.recommender import Recommender

__all__ = ["get", "names"]


def names() -> list[str]:
    """Names of all models, sorted; files that begin with `_` hold shared blocks and are no models."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def get(name: str) -> type[Recommender]:
    """The model of that name. Raises `ModelNotFound`, naming the known ones."""
    from ml_models.core.errors import MLError, ModelNotFound
    from ml_models.core.recommender import Recommender

    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise ModelNotFound(name, f"{hint}Known models: {', '.join(known)}.")
    module = import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Recommender) and value.__module__ == module.__name__:
            return value
    raise MLError(
        f"{module.__name__} defines no Recommender. Add a subclass of ml_models.core.recommender.Recommender."
    )
