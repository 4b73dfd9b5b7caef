"""Check given values against a typed dataclass and collect every problem at once, each with its remedy.

A field's type says what it takes; `Annotated` carries its limits (`Range`, `Matching`, `OneOf`), declared there once:
the check, the message and the documentation all read the same object.
"""

from __future__ import annotations

import difflib
import math
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["Matching", "OneOf", "Problem", "Range", "build", "check", "default_of", "did_you_mean", "limits"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with what was given."""

    kind: str
    """`unknown` (no such name), `type` or `value`."""
    where: str
    """What was given, as written in settings, such as `ML_TRACKING["exclude_bots"]`."""
    message: str
    """A sentence that begins with `where`."""
    hint: str
    """What to write instead."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; None leaves a side open."""

    low: float | None = None
    high: float | None = None

    def accepts(self, value: Any) -> bool:
        """Whether the number is inside."""
        return not ((self.low is not None and value < self.low) or (self.high is not None and value > self.high))

    def __str__(self) -> str:
        if self.high is None:
            return f">= {self.low:,}"
        return f"<= {self.high:,}" if self.low is None else f"{self.low:,} to {self.high:,}"


@dataclass(frozen=True, slots=True)
class Matching:
    """Text that matches a pattern in full, which `words` describes."""

    pattern: str
    words: str

    def accepts(self, value: Any) -> bool:
        """Whether the text matches."""
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a closed list of names."""

    names: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        """Whether the name is known."""
        return value in self.names

    def __str__(self) -> str:
        return "one of " + ", ".join(self.names)


_LIMITS = (Range, Matching, OneOf)
_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a folder (text or a Path)",
    tuple: "a list",
    Mapping: "a dictionary",
}


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str = "Known names: {names}.") -> str:
    """`Did you mean X?` for the nearest known name, else the known names or another text."""
    known = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {folded[close[0]]}?"
    return otherwise.format(names=", ".join(known))


def limits(hint: Any) -> list[Range | Matching | OneOf]:
    """The limits a type hint carries, its items' included."""
    if get_origin(hint) is Annotated:
        base, *extra = get_args(hint)
        return limits(base) + [limit for limit in extra if isinstance(limit, _LIMITS)]
    return [limit for argument in get_args(hint) for limit in limits(argument)]


def build(cls: type[T], given: Any, where: str) -> tuple[T, list[Problem]]:
    """An instance of the dataclass `cls` from a mapping, and every problem found.

    A field with a problem keeps its default, so that the instance is always usable.
    """
    if not isinstance(given, Mapping):
        names = ", ".join(field.name for field in fields(cast(Any, cls)))
        hint = f"Give a dictionary with any of: {names}. Rename the setting if it is the shop's own."
        return cls(), [replace(_wrong_type(where, Mapping, given), hint=hint)]
    hints = get_type_hints(cls, include_extras=True)
    known = {field.name: hints[field.name] for field in fields(cast(Any, cls))}
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in given.items():
        name = f"{where}[{key!r}]".replace("'", '"')
        if key not in known:
            problems.append(
                Problem("unknown", name, f"{name} is not an option of {where}.", did_you_mean(str(key), known))
            )
            continue
        checked, found = check(known[key], value, name)
        problems += found
        if not found:
            values[key] = checked
    return cls(**values), problems


def check(hint: Any, value: Any, where: str) -> tuple[Any, list[Problem]]:
    """The value as its type hint wants it (a list becomes a tuple, text a `Path`), and every problem found."""
    origin = get_origin(hint)
    if hint is Any:
        return value, []
    if origin is Annotated:
        base, *extra = get_args(hint)
        value, problems = check(base, value, where)
        if not problems and value is not None:
            problems = [
                _impossible(where, value, limit)
                for limit in extra
                if isinstance(limit, _LIMITS) and not limit.accepts(value)
            ]
        return value, problems
    if origin in (Union, types.UnionType):
        inner = [argument for argument in get_args(hint) if argument is not type(None)]
        return (None, []) if value is None else check(inner[0], value, where)
    if origin is tuple:
        return _check_items(get_args(hint)[0], value, where)
    if origin is not None and issubclass(origin, Mapping):
        key_hint, value_hint = get_args(hint)
        return _check_mapping(key_hint, value_hint, value, where)
    return _check_plain(hint, value, where)


def _check_items(item: Any, value: Any, where: str) -> tuple[Any, list[Problem]]:
    if not isinstance(value, list | tuple):
        return value, [_wrong_type(where, tuple, value)]
    checked = [check(item, one, f"{where}[{index}]") for index, one in enumerate(value)]
    return tuple(one for one, _ in checked), [problem for _, found in checked for problem in found]


def _check_mapping(key_hint: Any, value_hint: Any, value: Any, where: str) -> tuple[Any, list[Problem]]:
    if not isinstance(value, Mapping):
        return value, [_wrong_type(where, Mapping, value)]
    result: dict[Any, Any] = {}
    problems: list[Problem] = []
    for key, one in value.items():
        name = f"{where}[{key!r}]".replace("'", '"')
        _, wrong_key = check(key_hint, key, f"the key {key!r} of {where}")
        result[key], wrong_value = check(value_hint, one, name)
        problems += wrong_key + wrong_value
    return result, problems


def _check_plain(kind: type, value: Any, where: str) -> tuple[Any, list[Problem]]:
    # True is an int to Python; in settings it is a mistake.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int and number and isinstance(value, int):
        return value, []
    if kind is float and number:
        if math.isfinite(value):
            return float(value), []
        return value, [Problem("value", where, f"{where} is {value!r}, not a finite number.", "Give a finite number.")]
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value), []
    if kind is str and isinstance(value, Path):
        return str(value), []
    if kind in (bool, str) and isinstance(value, kind):
        return value, []
    return value, [_wrong_type(where, kind, value)]


def _wrong_type(where: str, wanted: type, value: Any) -> Problem:
    words = _WORDS[wanted]
    hint = f"Give {words}."
    if wanted is bool and isinstance(value, str):
        hint = (
            f"Give {words}, without quotes: any text counts as true, even 'false'. From an environment variable: "
            'os.environ.get("NAME", "").lower() in ("1", "true", "yes", "on").'
        )
    elif wanted in (int, float) and isinstance(value, str):
        hint = f"Give {words}, without quotes. From an environment variable: {wanted.__name__}(os.environ[...])."
    elif wanted is tuple and isinstance(value, str):
        hint = f"Put it in a list: [{value!r}]."
    return Problem("type", where, f"{where} must be {words}, not {_short(value)} ({type(value).__name__}).", hint)


def _impossible(where: str, value: Any, limit: Range | Matching | OneOf) -> Problem:
    if isinstance(limit, OneOf):
        message, hint = "no known name", did_you_mean(value, limit.names)
    elif isinstance(limit, Range):
        message, hint = "out of range", f"Give a value in the range {limit}."
    else:
        message, hint = f"not {limit}", "Correct it."
    return Problem("value", where, f"{where} is {_short(value)}: {message}.", hint)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def default_of(field: Any) -> Any:
    """The default of a dataclass field."""
    return field.default if field.default is not MISSING else field.default_factory()
