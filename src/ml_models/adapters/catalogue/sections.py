"""What every section of `ML_CATALOG` is read with; problems are collected, and reading goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError, ValidationError
from django.db.models import Model, Prefetch, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.utils.module_loading import import_string

from ml_models.adapters.catalogue.expressions import Expression, ExpressionError, Path, parse
from ml_models.adapters.catalogue.mapping import (
    Problem,
    Rows,
)
from ml_models.adapters.catalogue.paths import Resolved, resolve, suggest

__all__ = [
    "Sections",
]


class Sections:
    """Reads parts of the mapping against the models."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self.mapping = mapping
        self.problems: list[Problem] = []
        self.tax = "in"

    def problem(self, code: str, where: str, message: str) -> None:
        """Note one thing that is wrong."""
        self.problems.append(Problem(f"ml.{code}", where, message))

    def keys(self, where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
        """Unknown keys are problems."""
        for key in given:
            if key not in known:
                self.problem(
                    "E101",
                    f"{where}.{key}" if where else str(key),
                    f"{key!r} is no key here.{suggest(str(key), known)}",
                )

    def section(self, where: str, value: Any) -> Mapping[str, Any] | None:
        """The value where it is a dictionary."""
        if isinstance(value, Mapping):
            return value
        self.problem("E105", where, f"must be a dictionary, not {type(value).__name__}")
        return None

    def imported(self, where: str, value: Any) -> Any:
        """What a dotted path names; anything else as it is. None when it cannot be imported."""
        if not isinstance(value, str):
            return value
        try:
            return import_string(value)
        except ImportError as error:
            self.problem("E105", where, f"{value!r} cannot be imported: {error}")
            return None

    def model(self, where: str, section: Mapping[str, Any]) -> type[Model] | None:
        """The model that `model` names."""
        label = section.get("model")
        if isinstance(label, type) and issubclass(label, Model):
            return label
        if not isinstance(label, str) or not label:
            self.problem("E102", f"{where}.model", "name the shop's model, such as 'catalog.Product'")
            return None
        try:
            return apps.get_model(label)
        except (LookupError, ValueError):
            labels = [m._meta.label for m in apps.get_models()]
            hint = suggest(label, labels)
            self.problem("E102", f"{where}.model", f"there is no installed model {label!r}.{hint}")
            return None

    def condition(self, where: str, value: Any) -> Q | None:
        """A dictionary of lookups or a Q, as a Q."""
        if value is None:
            return None
        if isinstance(value, Q):
            return value
        if isinstance(value, Mapping):
            return Q(**value)
        self.problem("E105", where, f"must be a dictionary of lookups or a Q, not {type(value).__name__}")
        return None

    def names(self, where: str, value: Any) -> tuple[Any, ...]:
        """One name or several."""
        if isinstance(value, str):
            return (value,)
        if isinstance(value, Iterable):
            return tuple(value)
        self.problem("E105", where, f"must be a list of relations, not {type(value).__name__}")
        return ()

    def rows(self, where: str, section: Mapping[str, Any]) -> Rows | None:
        """Model, manager, conditions and relations of a section."""
        model = self.model(where, section)
        if model is None:
            return None
        manager = section.get("manager", "")
        if manager and not hasattr(getattr(model, str(manager), None), "get_queryset"):
            known = [m.name for m in model._meta.managers]
            self.problem(
                "E105",
                f"{where}.manager",
                f"{model._meta.label} has no manager {manager!r}; it has {', '.join(known)}."
                f"{suggest(str(manager), known)}",
            )
            manager = ""
        queryset = self.imported(f"{where}.queryset", section.get("queryset"))
        if queryset is not None and not callable(queryset):
            self.problem("E105", f"{where}.queryset", "must be a function that returns a queryset, or its dotted path")
            queryset = None
        if queryset is not None and not self._makes(f"{where}.queryset", queryset, model):
            queryset = None
        plain = Rows(model=model, manager=manager, queryset=queryset)
        # What does not fit is reported and left out, so that the rest is checked too.
        conditions: dict[str, Q | None] = {}
        for key in ("filter", "exclude"):
            condition = self.condition(f"{where}.{key}", section.get(key))
            conditions[key] = condition if condition and self._tries(f"{where}.{key}", plain, condition) else None
        return Rows(
            model=model,
            manager=manager,
            queryset=queryset,
            filter=conditions["filter"] or Q(),
            exclude=conditions["exclude"],
            select_related=self._selected(f"{where}.select_related", model, section.get("select_related", ())),
            prefetch_related=self._prefetched(f"{where}.prefetch_related", model, section.get("prefetch_related", ())),
        )

    def _makes(self, where: str, queryset: Callable[[], Any], model: type[Model]) -> bool:
        try:
            made = queryset()
        except Exception as error:  # noqa: BLE001 (the shop's own function: whatever it raises is reported)
            self.problem("E105", where, f"the function raised {error!r}")
            return False
        if not isinstance(made, QuerySet) or made.model is not model:
            self.problem("E105", where, f"must return a queryset of {model._meta.label}")
            return False
        return True

    def _selected(self, where: str, model: type[Model], given: Any) -> tuple[str, ...]:
        names = self.names(where, given)
        try:
            if names:
                str(model._base_manager.select_related(*names).query)
        except (FieldError, TypeError) as error:
            self.problem("E103", where, str(error))
            return ()
        return names

    def _prefetched(self, where: str, model: type[Model], given: Any) -> tuple[Any, ...]:
        names = self.names(where, given)
        for name in names:
            first = (name.prefetch_through if isinstance(name, Prefetch) else str(name)).split(LOOKUP_SEP)[0]
            if not hasattr(model, first):
                known = [f.name for f in model._meta.get_fields()]
                self.problem("E103", where, f"{model._meta.label} has no {first!r}.{suggest(first, known)}")
                return ()
        return names

    def _tries(self, where: str, rows: Rows, condition: Q) -> bool:
        try:
            rows.base().filter(condition)
        except (FieldError, ValidationError, ValueError, TypeError) as error:
            names = [f.name for f in rows.model._meta.get_fields()]
            keyword = str(error).split("'")[1] if "'" in str(error) else ""
            self.problem("E108", where, f"{error}{suggest(keyword, names)}")
            return False
        return True

    def expression(self, where: str, rows: Rows, spec: Any) -> tuple[Expression, Resolved] | None:
        """One field, parsed and walked over the model."""
        try:
            parsed = parse(spec, tax=self.tax)
        except ExpressionError as error:
            self.problem("E104", where, str(error))
            return None
        annotations = self.annotations(rows)
        resolved = Resolved(computed="expression")
        good = True
        for path in parsed.paths():
            found = resolve(rows.model, path, annotations)
            if found.problem:
                self.problem("E103", where, found.problem)
                good = False
            resolved = Resolved(
                lookup=found.lookup if isinstance(parsed, Path) else "",
                field=found.field if isinstance(parsed, Path) else None,
                nullable=found.nullable,
                many=found.many,
                select=resolved.select + found.select,
                prefetch=resolved.prefetch + found.prefetch,
                computed=found.computed or ("" if isinstance(parsed, Path) else resolved.computed),
            )
        return (parsed, resolved) if good else None

    @staticmethod
    def annotations(rows: Rows) -> tuple[str, ...]:
        """Names that the manager's or the callable's own queryset adds."""
        return tuple(rows.base().query.annotations)

    def expressions(
        self, where: str, rows: Rows, given: Mapping[str, Any]
    ) -> tuple[dict[str, Expression], dict[str, Resolved]]:
        """All fields of a section that are right."""
        parsed: dict[str, Expression] = {}
        resolved: dict[str, Resolved] = {}
        for name, spec in given.items():
            if spec is None:  # unmapped on purpose, over a preset
                continue
            found = self.expression(f"{where}.{name}", rows, spec)
            if found is not None:
                parsed[name], resolved[name] = found
        return parsed, resolved

    @staticmethod
    def fetched(rows: Rows, resolved: Iterable[Resolved], under: str = "") -> Rows:
        """Rows that also fetch every relation the paths walk, unless the mapping already says how."""
        said = [p.prefetch_to if isinstance(p, Prefetch) else str(p) for p in rows.prefetch_related]
        select, prefetch = list(rows.select_related), list(rows.prefetch_related)
        for one in resolved:
            for name in one.select:
                full = f"{under}{LOOKUP_SEP}{name}" if under else name
                if under:
                    if full not in said:
                        said.append(full)
                        prefetch.append(full)
                elif full not in select:
                    select.append(full)
            for name in one.prefetch:
                full = f"{under}{LOOKUP_SEP}{name}" if under else name
                if not any(s == full or s.startswith(full + LOOKUP_SEP) for s in said):
                    said.append(full)
                    prefetch.append(full)
        return Rows(
            model=rows.model,
            manager=rows.manager,
            queryset=rows.queryset,
            filter=rows.filter,
            exclude=rows.exclude,
            select_related=tuple(select),
            prefetch_related=tuple(prefetch),
        )

    @staticmethod
    def single(resolved: Resolved | None) -> str:
        """The lookup where it leads to one value, else empty."""
        return resolved.lookup if resolved is not None and not resolved.many else ""

    def required(self, where: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
        """Fields without which the section cannot be read."""
        for name in names:
            if given.get(name) is None:
                self.problem("E106", f"{where}.{name}", "must be mapped")
