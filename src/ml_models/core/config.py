"""Model configs: small frozen dataclasses, to and from JSON, every problem reported at once."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

import msgspec

from ml_models.core.errors import ConfigError

__all__ = ["config_dict", "make_config"]

T = TypeVar("T")


def config_dict(config: Any) -> dict[str, Any]:
    """The fields of a config as plain JSON values."""
    result: dict[str, Any] = msgspec.to_builtins(dataclasses.asdict(config))
    return result


def make_config(cls: type[T], values: Mapping[str, Any], model: str = "") -> T:
    """Build a config from plain values; raises `ConfigError` naming every unknown field, wrong type and bad value.

    A config class may define `problems(self) -> list[str]` for ranges.
    """
    assert dataclasses.is_dataclass(cls)  # a programming rule of the model contract, not a user's mistake
    known = [field.name for field in dataclasses.fields(cls)]
    found: list[str] = []
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}."
            found.append(f"{name} is not a field of {model or cls.__name__}; {hint}")
    good: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for name in known:
        if name in values:
            try:
                good[name] = msgspec.convert(values[name], hints[name])
            except msgspec.ValidationError as error:
                found.append(f"{name}: {error}")
    if not found:
        config = cls(**good)
        found = list(getattr(config, "problems", list)())
        if not found:
            return config
    raise ConfigError(f"The config of {model or cls.__name__} is wrong: " + "; ".join(found))
