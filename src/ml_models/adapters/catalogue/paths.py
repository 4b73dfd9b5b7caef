"""What a path means on a model, found out without a row: does it exist, is it a column, what should be prefetched."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, FileField, ForeignObjectRel, JSONField, Manager, Model
from django.db.models.constants import LOOKUP_SEP
from django.db.models.manager import ManagerDescriptor

from ml_models.adapters.catalogue.expressions import Path

__all__ = ["Resolved", "names_of", "relations", "resolve", "suggest"]


def suggest(name: str, known: Iterable[str]) -> str:
    """`Did you mean ...?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A path on a model."""

    problem: str = ""
    """What is wrong, empty when nothing is."""
    lookup: str = ""
    """The ORM lookup when every step is a column or a relation, else empty."""
    field: Any = None
    """The column the lookup ends in."""
    nullable: bool = False
    """Whether a column or relation of the lookup may be empty."""
    many: bool = False
    """Whether the lookup goes through a relation to many."""
    select: tuple[str, ...] = ()
    """Relations to one that the path walks: for `select_related`."""
    prefetch: tuple[str, ...] = ()
    """Relations to many that the path walks: for `prefetch_related`."""
    computed: str = ""
    """The first property or method of the path, whose queries cannot be seen from outside."""


def relations(model: type[Model]) -> dict[str, Any]:
    """Attribute name -> field or reverse relation."""
    found: dict[str, Any] = {}
    for field in model._meta.get_fields(include_hidden=False):
        name = field.get_accessor_name() if isinstance(field, ForeignObjectRel) else field.name
        if name:
            found[name] = field
        attname = getattr(field, "attname", None)
        if attname:
            found[attname] = field
    return found


def names_of(model: type[Model], extra: Iterable[str] = ()) -> list[str]:
    """Every name a path may begin with: columns, relations, properties, zero-argument methods of the shop."""
    names = {"pk", *extra, *relations(model)}
    for cls in model.__mro__:
        if cls.__module__.startswith("django.db.models"):
            continue
        for name, value in vars(cls).items():
            if name.startswith("_") or isinstance(value, type):
                continue
            if isinstance(value, property | cached_property) or (
                inspect.isfunction(value) and not _required(value) and not getattr(value, "alters_data", False)
            ):
                names.add(name)
    return sorted(names)


def _required(function: Any) -> list[str]:
    """Arguments without a default, `self` left out."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]
    except (TypeError, ValueError):
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]


def resolve(model: type[Model], path: Path, annotations: Iterable[str] = ()) -> Resolved:
    """Walk a path over the model's fields, as far as it can be seen without a row."""
    current: type[Model] = model
    lookups: list[str] = []
    select: list[str] = []
    prefetch: list[str] = []
    many = nullable = False
    last: Any = None
    for position, segment in enumerate(path.segments):
        where = current._meta.label
        if position == 0 and segment.name in annotations:
            lookup = segment.name if len(path.segments) == 1 else ""
            return Resolved(lookup=lookup, nullable=True, computed="annotation")
        field = current._meta.pk if segment.name == "pk" else relations(current).get(segment.name)
        if field is None:
            problem = _attribute_problem(current, segment.name, segment.many, annotations if position == 0 else ())
            return Resolved(problem=problem, select=tuple(select), prefetch=tuple(prefetch), computed=segment.name)
        related = getattr(field, "related_model", None)
        nullable = nullable or getattr(field, "null", True)
        to_many = bool(field.many_to_many or field.one_to_many)
        by_column = segment.name == getattr(field, "attname", None) != getattr(field, "name", None)
        if to_many and not segment.many:
            return Resolved(
                problem=f"{segment.name!r} of {where} holds many rows: write {segment.name}[] for all of them or "
                f"{segment.name}[0] for the first"
            )
        if segment.many and not to_many and not isinstance(field, JSONField) and not _listish(field):
            return Resolved(problem=f"{segment.name!r} of {where} is one value: drop the {segment.many}")
        if related is not None and related != "self" and not by_column:
            lookups.append(field.name)
            (prefetch if to_many or many else select).append(LOOKUP_SEP.join(_accessors(path, position)))
            many = many or to_many
            current, last = related, field
            continue
        if related is None and field.is_relation and not by_column:  # a generic foreign key: known only per row
            return Resolved(select=tuple(select), prefetch=tuple(prefetch), computed=segment.name)
        lookups.append(field.attname if by_column else field.name)
        last = field
        if position + 1 < len(path.segments):
            following = path.segments[position + 1].name
            known: Any = field.attr_class if isinstance(field, FileField) else None
            if known is not None and not hasattr(known, following):
                return Resolved(
                    problem=f"{following!r} is no attribute of the file {segment.name!r} of {where}."
                    + suggest(following, ("url", "name", "path", "size"))
                )
            return Resolved(
                select=tuple(select), prefetch=tuple(prefetch), many=many, computed=f"{segment.name}.{following}"
            )
        if segment.many:  # a list in one column
            return Resolved(select=tuple(select), prefetch=tuple(prefetch), many=True)
    return Resolved(
        lookup=LOOKUP_SEP.join(lookups),
        field=last,
        nullable=nullable,
        many=many,
        select=tuple(select),
        prefetch=tuple(prefetch),
    )


def _accessors(path: Path, position: int) -> list[str]:
    return [segment.name for segment in path.segments[: position + 1]]


def _listish(field: Field[Any, Any]) -> bool:
    """Columns that may hold a list: arrays of PostgreSQL and fields of other packages, not the plain ones of Django."""
    return not type(field).__module__.startswith("django.db.models.fields")


def _attribute_problem(model: type[Model], name: str, many: str, extra: Iterable[str]) -> str:
    """Why an attribute that is no field cannot be read, empty when it can."""
    where = model._meta.label
    missing = object()
    found = inspect.getattr_static(model, name, missing)
    if found is missing:
        if any("__getattr__" in vars(cls) for cls in model.__mro__):
            return ""
        return f"{where} has no {name!r}.{suggest(name, names_of(model, extra))}"
    if isinstance(found, Manager | ManagerDescriptor):
        return f"{name!r} of {where} is a manager of the whole table and cannot be read on a row"
    if getattr(found, "alters_data", False):
        return f"{name!r} of {where} changes data and is never called"
    if inspect.isfunction(found):
        required = _required(found)
        if required:
            return (
                f"{name!r} of {where} needs arguments ({', '.join(required)}): wrap it in a function and write call:..."
            )
    return ""


def field_named(model: type[Model], name: str) -> Any:
    """A concrete field by name, `pk` or column attribute; None when there is none."""
    try:
        return model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
