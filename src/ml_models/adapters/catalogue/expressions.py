"""The mapping grammar: what may stand behind a field name in `ML_CATALOG`, parsed once and evaluated on rows.

"category.parent.name"            dotted path over foreign keys, properties, zero-argument methods and dict keys
"get_colour_display"              the label of a choice field (a zero-argument method)
"images[0].image.url"             the first of a manager, queryset, many-to-many or list
"tags[].name"                     all of them
"min(variants[].price)"           min, max, sum, any, count, join; `join(tags[].name, " / ")` names its separator
["description", "teaser"]         the first that is not empty
{"value": "EUR"}                  a literal
{"in": "gross", "out": "net"}     by the option `tax` of the catalogue
"call:shop.ml.colour"             a function of the row (a function itself works too)
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.db.models.fields.files import FieldFile
from django.db.models.manager import BaseManager
from django.utils.module_loading import import_string

from ml_models.core.errors import CatalogueError

__all__ = [
    "AGGREGATES",
    "Aggregate",
    "Call",
    "Expression",
    "ExpressionError",
    "FirstOf",
    "Literal",
    "Path",
    "Segment",
    "is_empty",
    "parse",
]

AGGREGATES = ("min", "max", "sum", "any", "count", "join")
_SEGMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<many>\[\]|\[0\])?\Z")
_AGGREGATE = re.compile(r"(?P<name>[a-z]+)\((?P<inner>.*)\)\Z", re.DOTALL)
_JOIN = re.compile(r"""(?P<path>[^,]+?)\s*,\s*(?P<quote>['"])(?P<separator>.*)(?P=quote)\s*\Z""", re.DOTALL)
_NO_FILE = "has no file associated with it"


class ExpressionError(CatalogueError):
    """A field of `ML_CATALOG` is not written in the grammar."""


def is_empty(value: Any) -> bool:
    """None, an empty string, list, tuple or file; 0 and False are values."""
    return value is None or (isinstance(value, str | list | tuple | set | dict | FieldFile) and not value)


class Expression(ABC):
    """One field of the mapping."""

    @abstractmethod
    def evaluate(self, row: Any) -> Any:
        """The field's value for one row; None where a relation or a file is missing.

        Raises `CatalogueError` where the shop's code raises, naming the path and the row.
        """

    @abstractmethod
    def paths(self) -> Iterator[Path]:
        """The paths this expression reads."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One step of a path: a name, and whether all (`[]`) or the first (`[0]`) of many are taken."""

    name: str
    many: str = ""

    def __str__(self) -> str:
        return self.name + self.many


@dataclass(frozen=True, slots=True)
class Path(Expression):
    """A dotted path."""

    segments: tuple[Segment, ...]
    many: bool = field(init=False)
    """Whether the value is a list."""
    plain: bool = field(init=False)
    """Whether every step is one value, as in most paths."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "many", any(segment.many == "[]" for segment in self.segments))
        object.__setattr__(self, "plain", not any(segment.many for segment in self.segments))

    def __str__(self) -> str:
        return ".".join(map(str, self.segments))

    def paths(self) -> Iterator[Path]:
        """Itself."""
        yield self

    def evaluate(self, row: Any) -> Any:
        """One value, or a flat list of those that are there when any segment takes many."""
        if self.plain:
            value = row
            for segment in self.segments:
                value = self._step(value, segment.name, row)
                if value is None:
                    return None
                self._one(value, segment, row)
            return value
        values = [row]
        for segment in self.segments:
            following: list[Any] = []
            for value in values:
                found = self._step(value, segment.name, row)
                if segment.many:
                    following.extend(self._items(found, segment, row))
                elif found is not None:
                    self._one(found, segment, row)
                    following.append(found)
            values = following
        if self.many:
            return [value for value in values if not is_empty(value)]
        return values[0] if values else None

    def _one(self, value: Any, segment: Segment, row: Any) -> None:
        if isinstance(value, BaseManager | QuerySet):
            raise self._error(row, f"{segment.name!r} holds many rows: write {segment.name}[] or [0]")

    def _step(self, value: Any, name: str, row: Any) -> Any:
        try:
            found = value.get(name) if isinstance(value, dict) else getattr(value, name)
            # Related managers are callable too; what has `all` is read below, never called.
            if callable(found) and not hasattr(found, "all") and not isinstance(found, type):
                if getattr(found, "alters_data", False):
                    raise self._error(row, f"{name!r} changes data and is never called")
                found = found()
        except ObjectDoesNotExist:
            return None
        except AttributeError as error:
            if error.obj is None and error.name is not None:  # a shop's property that walked over a missing relation
                return None
            raise self._error(row, str(error)) from error
        except ValueError as error:
            if _NO_FILE in str(error):  # a shop's property that took the url of an empty file
                return None
            raise self._error(row, repr(error)) from error
        except CatalogueError:
            raise
        except Exception as error:
            raise self._error(row, repr(error)) from error
        return None if isinstance(found, FieldFile) and not found else found

    def _items(self, value: Any, segment: Segment, row: Any) -> Iterable[Any]:
        if value is None:
            return []
        try:
            if hasattr(value, "all"):
                value = value.all()
                # Without a prefetched result, the first row costs a LIMIT 1 and not the whole relation.
                if segment.many == "[0]" and value._result_cache is None and not value.query.is_sliced:
                    value = value[:1]
            elif isinstance(value, Mapping):
                value = value.values()
            elif isinstance(value, str | bytes):
                value = [value] if value else []
            items = [item for item in value if item is not None]
        except TypeError as error:
            raise self._error(row, f"{segment.name!r} is one value, not many: drop the {segment.many}") from error
        return items[:1] if segment.many == "[0]" else items

    def _error(self, row: Any, detail: str) -> CatalogueError:
        return CatalogueError(
            f"ML_CATALOG path {str(self)!r} cannot be read on {type(row).__name__} {getattr(row, 'pk', '')}: {detail}."
        )


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """The same value for every row."""

    value: Any

    def evaluate(self, row: Any) -> Any:
        """The value."""
        return self.value

    def paths(self) -> Iterator[Path]:
        """None."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A function of the row."""

    function: Callable[[Any], Any]
    name: str

    def evaluate(self, row: Any) -> Any:
        """What the function returns."""
        try:
            return self.function(row)
        except Exception as error:
            raise CatalogueError(
                f"ML_CATALOG function {self.name} failed on {type(row).__name__} {getattr(row, 'pk', '')}: {error!r}."
            ) from error

    def paths(self) -> Iterator[Path]:
        """None that can be seen."""
        return iter(())


@dataclass(frozen=True, slots=True)
class FirstOf(Expression):
    """The first of several that is not empty."""

    options: tuple[Expression, ...]

    def evaluate(self, row: Any) -> Any:
        """Tries one after the other, and asks no further than it must."""
        for option in self.options:
            value = option.evaluate(row)
            if not is_empty(value):
                return value
        return None

    def paths(self) -> Iterator[Path]:
        """Those of all options."""
        for option in self.options:
            yield from option.paths()


@dataclass(frozen=True, slots=True)
class Aggregate(Expression):
    """min, max, sum, any, count or join over many values."""

    name: str
    inner: Expression
    separator: str = ", "

    def evaluate(self, row: Any) -> Any:
        """None for min, max and join of nothing; 0 for sum and count; False for any."""
        value = self.inner.evaluate(row)
        values = list(value) if isinstance(value, list | tuple | set) else [] if value is None else [value]
        if self.name == "count":
            return len(values)
        if self.name == "any":
            # A stock of -1 is no stock.
            return any(v > 0 if isinstance(v, int | float | Decimal) else bool(v) for v in values)
        if self.name == "sum":
            return sum(values)
        if not values:
            return None
        if self.name == "join":
            return self.separator.join(str(v) for v in values)
        return min(values) if self.name == "min" else max(values)

    def paths(self) -> Iterator[Path]:
        """Those of the inner expression."""
        return self.inner.paths()


def parse(spec: Any, *, tax: str = "in") -> Expression:
    """Read one field of the mapping; raises `ExpressionError` with what is wrong and how to write it."""
    if isinstance(spec, str):
        return _parse_text(spec)
    if isinstance(spec, list | tuple):
        if not spec:
            raise ExpressionError("an empty list names no field: list at least one path")
        return FirstOf(tuple(parse(option, tax=tax) for option in spec))
    if isinstance(spec, Mapping):
        if set(spec) == {"value"}:
            return Literal(spec["value"])
        if spec and set(spec) <= {"in", "out"}:
            return parse(spec.get(tax, next(iter(spec.values()))), tax=tax)
        raise ExpressionError(
            f"{dict(spec)!r} is no expression: a literal is {{'value': ...}}, a choice by tax {{'in': ..., 'out': ...}}"
        )
    if callable(spec):
        return Call(spec, getattr(spec, "__qualname__", repr(spec)))
    raise ExpressionError(f"{spec!r} is no expression: a literal is written {{'value': {spec!r}}}")


def _parse_text(text: str) -> Expression:
    text = text.strip()
    if text.startswith("call:"):
        dotted = text.removeprefix("call:").strip()
        try:
            function = import_string(dotted)
        except ImportError as error:
            raise ExpressionError(f"{text!r} cannot be imported: {error}") from error
        if not callable(function):
            raise ExpressionError(f"{text!r} is not a function")
        return Call(function, dotted)
    aggregate = _AGGREGATE.match(text)
    if aggregate:
        name, inner = aggregate["name"], aggregate["inner"].strip()
        if name not in AGGREGATES:
            raise ExpressionError(f"{text!r}: {name!r} is none of {', '.join(AGGREGATES)}")
        joined = _JOIN.match(inner) if name == "join" else None
        if joined:
            return Aggregate(name, _parse_text(joined["path"]), joined["separator"])
        return Aggregate(name, _parse_text(inner))
    segments = []
    for part in text.split("."):
        match = _SEGMENT.match(part)
        if match is None:
            raise ExpressionError(
                f"{text!r} is no path: {part!r} should be a name, name[] (all) or name[0] (the first), joined by dots"
            )
        segments.append(Segment(match["name"], match["many"] or ""))
    return Path(tuple(segments))
