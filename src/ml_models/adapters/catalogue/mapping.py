"""`ML_CATALOG` read, checked against the shop's models and compiled once, with every problem found at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError, ValidationError
from django.db.models import BooleanField, Exists, Field, IntegerField, Model, OuterRef, Prefetch, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.utils.module_loading import import_string

from ml_models.adapters.catalogue.expressions import (
    Aggregate,
    Expression,
    ExpressionError,
    Literal,
    Path,
    parse,
)
from ml_models.adapters.catalogue.paths import Resolved, resolve, suggest
from ml_models.core.event import ALIASES, EventType

__all__ = [
    "LINE_FIELDS",
    "ORDER_FIELDS",
    "PRODUCT_FIELDS",
    "Compiled",
    "History",
    "Orders",
    "Problem",
    "Products",
    "Rows",
    "Variants",
    "compile_catalogue",
]

PRODUCT_FIELDS = (
    "id",
    "name",
    "description",
    "category",
    "categories",
    "tags",
    "brand",
    "price",
    "currency",
    "in_stock",
    "image",
    "url",
    "created",
    "updated",
)
ORDER_FIELDS = ("id", "user", "guest", "when", "updated", "status", "meaning", "currency")
LINE_FIELDS = ("order", "product", "variant", "quantity", "unit_price", "total", "currency")
HISTORY_FIELDS = (
    "product",
    "variant",
    "user",
    "session",
    "guest",
    "when",
    "quantity",
    "unit_price",
    "currency",
    "query",
)
_ROW_KEYS = ("model", "manager", "queryset", "filter", "exclude", "select_related", "prefetch_related")
_TOP_KEYS = ("preset", "product", "order", "order_line", "history", "currency", "convert", "tax", "statuses")
_PRODUCT_KEYS = (*_ROW_KEYS, "fields", "attributes", "visible", "variants", "languages", "sold_out")
MEANINGS = ("purchase", "cancelled", "refunded", "pending")
DEFAULT_STATUSES = {
    **dict.fromkeys(("cancelled", "canceled", "void", "voided", "failed", "declined", "rejected"), "cancelled"),
    **dict.fromkeys(("refunded", "returned", "chargeback"), "refunded"),
}
"""Meaning of a status nobody mapped; whatever is not listed is a purchase."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the mapping."""

    code: str
    """Public id of the check message, such as `ml.E103`."""
    where: str
    """The place in the mapping, such as `product.fields.brand`."""
    message: str

    def __str__(self) -> str:
        return f"ML_CATALOG {self.where}: {self.message}" if self.where else f"ML_CATALOG: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Where the rows of a section come from."""

    model: type[Model]
    manager: str = ""
    queryset: Callable[[], QuerySet[Any]] | None = None
    filter: Q = field(default_factory=Q)
    exclude: Q | None = None
    select_related: tuple[str, ...] = ()
    prefetch_related: tuple[Any, ...] = ()

    def base(self) -> QuerySet[Any]:
        """Rows of the manager or callable, unfiltered."""
        if self.queryset is not None:
            return self.queryset()
        manager = getattr(self.model, self.manager) if self.manager else self.model._default_manager
        rows: QuerySet[Any] = manager.all()
        return rows

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """With `filter` and `exclude` applied."""
        if self.filter:
            rows = rows.filter(self.filter)
        return rows.exclude(self.exclude) if self.exclude else rows

    def all(self) -> QuerySet[Any]:
        """The rows that the section is about."""
        return self.narrow(self.base())

    def related(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """With everything the mapping walks fetched in a fixed number of queries."""
        if self.select_related:
            rows = rows.select_related(*self.select_related)
        return rows.prefetch_related(*self.prefetch_related) if self.prefetch_related else rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """How an id of a variant leads to its product."""

    lookup: str
    """From the product to its variants; empty where variants are rows of the product's own model."""
    parent: str
    """From a variant row to its parent, where variants are rows of the product's own model."""
    id_lookup: str
    id_field: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """The section `product`."""

    rows: Rows
    fields: Mapping[str, Expression]
    resolved: Mapping[str, Resolved]
    attributes: Mapping[str, Expression]
    id_lookup: str
    id_field: Any
    created_lookup: str
    updated_lookup: str
    visible: Q | Callable[..., Any] | None
    stock_filter: Q | None
    """Stock as SQL; None where it must be evaluated in Python or is not asked."""
    stock_in_python: bool
    variants: Variants | None
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The sections `order` and `order_line`, or `order_line` alone."""

    rows: Rows
    """Orders where `order` is mapped, else lines."""
    fields: Mapping[str, Expression]
    """Of the order: on the order row, or on the line row."""
    line_fields: Mapping[str, Expression]
    lines: Path | None
    """From the order to its lines; None where rows are lines."""
    id_lookup: str
    when_lookup: str
    updated_lookup: str
    statuses: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One table of the section `history`."""

    rows: Rows
    event: Expression
    events: Mapping[str, str]
    fields: Mapping[str, Expression]
    data: Mapping[str, Expression]
    when_lookup: str


@dataclass(slots=True, kw_only=True)
class Compiled:
    """The whole mapping, ready to read with."""

    product: Products | None = None
    orders: Orders | None = None
    history: list[History] = field(default_factory=list)
    currency: str = ""
    convert: Callable[..., Any] | None = None
    problems: list[Problem] = field(default_factory=list)


class _Compiler:
    """Collects problems while it reads."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self.mapping = mapping
        self.problems: list[Problem] = []
        self.tax = "in"

    # -- helpers --------------------------------------------------------------------------------------

    def problem(self, code: str, where: str, message: str) -> None:
        self.problems.append(Problem(f"ml.{code}", where, message))

    def keys(self, where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in given:
            if key not in known:
                self.problem(
                    "E101",
                    f"{where}.{key}" if where else str(key),
                    f"{key!r} is no key here.{suggest(str(key), known)}",
                )

    def section(self, where: str, value: Any) -> Mapping[str, Any] | None:
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
        if value is None:
            return None
        if isinstance(value, Q):
            return value
        if isinstance(value, Mapping):
            return Q(**value)
        self.problem("E105", where, f"must be a dictionary of lookups or a Q, not {type(value).__name__}")
        return None

    def names(self, where: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            return (value,)
        if isinstance(value, Iterable):
            return tuple(value)
        self.problem("E105", where, f"must be a list of relations, not {type(value).__name__}")
        return ()

    def rows(self, where: str, section: Mapping[str, Any]) -> Rows | None:
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

    # -- sections -------------------------------------------------------------------------------------

    def compile(self) -> Compiled:
        compiled = Compiled()
        self.keys("", self.mapping, _TOP_KEYS)
        self.tax = self.mapping.get("tax", "in")
        if self.tax not in ("in", "out"):
            self.problem("E105", "tax", f"must be 'in' (what the customer pays) or 'out', not {self.tax!r}")
            self.tax = "in"
        compiled.currency = self.currency()
        convert = self.imported("convert", self.mapping.get("convert"))
        if convert is not None and not callable(convert):
            self.problem("E105", "convert", "must be a function (amount, currency, base, when), or its dotted path")
            convert = None
        if convert is not None and not compiled.currency:
            self.problem("E106", "currency", "convert needs the base currency to convert to, such as 'EUR'")
        compiled.convert = convert
        if self.mapping.get("product") is not None:
            compiled.product = self.product()
        if self.mapping.get("order") is not None or self.mapping.get("order_line") is not None:
            compiled.orders = self.orders()
        history = self.mapping.get("history") or ()
        if isinstance(history, Mapping):
            history = (history,)
        for number, table in enumerate(history):
            one = self.history(f"history[{number}]", table)
            if one is not None:
                compiled.history.append(one)
        compiled.problems = self.problems
        return compiled

    def currency(self) -> str:
        currency = self.mapping.get("currency", "")
        if not isinstance(currency, str) or (currency and len(currency) != 3):
            self.problem("E105", "currency", f"must be a code of three letters such as 'EUR', not {currency!r}")
            return ""
        return currency.upper()

    def product(self) -> Products | None:
        section = self.section("product", self.mapping["product"])
        if section is None:
            return None
        self.keys("product", section, _PRODUCT_KEYS)
        given = dict(self.section("product.fields", section.get("fields", {})) or {})
        self.keys("product.fields", given, PRODUCT_FIELDS)
        languages = self.names("product.languages", section.get("languages", ()))
        sold_out = section.get("sold_out", "hide")
        if sold_out not in ("hide", "show"):
            self.problem("E105", "product.sold_out", f"must be 'hide' or 'show', not {sold_out!r}")
        visible = self.visible(section.get("visible"))
        rows = self.rows("product", section)
        if rows is None:
            return None
        if isinstance(visible, Q):
            self._tries("product.visible", rows, visible)
        given.setdefault("id", "pk")
        fields, resolved = self.expressions(
            "product.fields", rows, {k: v for k, v in given.items() if k in PRODUCT_FIELDS}
        )
        attributes, more = self.expressions(
            "product.attributes", rows, dict(self.section("product.attributes", section.get("attributes", {})) or {})
        )
        identity = resolved.get("id")
        if identity is None:
            return None
        if not identity.lookup or identity.many or identity.field is None:
            self.problem(
                "E107", "product.fields.id", "the id must be a column of the model, such as 'pk', 'sku' or 'slug'"
            )
            return None
        stock_filter, stock_in_python = None, False
        if "in_stock" in fields and sold_out == "hide":
            stock_filter, stock_in_python = self.stock(rows.model, fields["in_stock"], resolved["in_stock"])
        return Products(
            rows=self.fetched(rows, [*resolved.values(), *more.values()]),
            fields=fields,
            resolved=resolved,
            attributes=attributes,
            id_lookup=identity.lookup,
            id_field=identity.field,
            created_lookup=self.single(resolved.get("created")),
            updated_lookup=self.single(resolved.get("updated")),
            visible=visible,
            stock_filter=stock_filter,
            stock_in_python=stock_in_python,
            variants=self.variants(rows, identity, section.get("variants")),
            languages=tuple(str(language) for language in languages),
        )

    @staticmethod
    def single(resolved: Resolved | None) -> str:
        return resolved.lookup if resolved is not None and not resolved.many else ""

    def visible(self, value: Any) -> Q | Callable[..., Any] | None:
        if isinstance(value, Mapping):
            return Q(**value)
        value = self.imported("product.visible", value)
        if value is None or isinstance(value, Q):
            return value
        if not callable(value):
            self.problem("E105", "product.visible", "must be a Q, a dictionary of lookups or a function returning one")
            return None
        function: Callable[..., Any] = value
        return function

    @staticmethod
    def stock(model: type[Model], expression: Expression, resolved: Resolved) -> tuple[Q | None, bool]:
        """Stock in SQL where a column or `any|max|count` of a relation says it; else True for Python."""

        def positive(lookup: str, column: Any) -> Q | None:
            if isinstance(column, BooleanField):
                return Q(**{lookup: True})
            return Q(**{f"{lookup}__gt": 0}) if isinstance(column, Field) and _numeric(column) else None

        if isinstance(expression, Literal):
            return (None, False) if expression.value else (Q(pk__in=[]), False)
        if isinstance(expression, Path) and resolved.lookup and not resolved.many:
            condition = positive(resolved.lookup, resolved.field)
            if condition is not None:
                return condition, False
        if (
            isinstance(expression, Aggregate)
            and expression.name in ("any", "max", "count")
            and isinstance(expression.inner, Path)
        ):
            inner = resolve(model, expression.inner)
            if inner.lookup and inner.many and all(s.many == "[]" for s in expression.inner.segments if s.many):
                condition = (
                    Q(**{f"{inner.lookup}__isnull": False})
                    if expression.name == "count"
                    else positive(inner.lookup, inner.field)
                )
                if condition is not None:
                    return Q(Exists(model._base_manager.filter(condition, pk=OuterRef("pk")))), False
        return None, True

    def variants(self, rows: Rows, identity: Resolved, value: Any) -> Variants | None:
        if value is None:
            return None
        section = self.section("product.variants", value)
        if section is None:
            return None
        self.keys("product.variants", section, ("path", "id", "parent"))
        if ("path" in section) == ("parent" in section):
            self.problem(
                "E106",
                "product.variants",
                "name either 'path' (from the product to its variants, such as 'variants[]') or 'parent' (from a "
                "variant to its product, where both are rows of one model)",
            )
            return None
        key = "path" if "path" in section else "parent"
        found = self.expression(f"product.variants.{key}", rows, section[key])
        if found is None:
            return None
        parsed, resolved = found
        related = getattr(resolved.field, "related_model", None)
        if not isinstance(parsed, Path) or not resolved.lookup or related is None or resolved.many != (key == "path"):
            self.problem(
                "E107",
                f"product.variants.{key}",
                "must be a relation to many, such as 'variants[]'" if key == "path" else "must be a foreign key",
            )
            return None
        if key == "parent":
            return Variants(lookup="", parent=resolved.lookup, id_lookup=identity.lookup, id_field=identity.field)
        inner = self.expression("product.variants.id", Rows(model=related), section.get("id", "pk"))
        if inner is None:
            return None
        if not inner[1].lookup or inner[1].many:
            self.problem("E107", "product.variants.id", f"must be a column of {related._meta.label}")
            return None
        return Variants(lookup=resolved.lookup, parent="", id_lookup=inner[1].lookup, id_field=inner[1].field)

    def statuses(self, *sections: Any) -> Mapping[str, str]:
        given: dict[str, str] = {}
        for where, section in (("statuses", self.mapping.get("statuses")), *sections):
            if section is None:
                continue
            for status, meaning in (self.section(where, section) or {}).items():
                if meaning not in MEANINGS:
                    self.problem(
                        "E105",
                        f"{where}.{status}",
                        f"{meaning!r} is none of {', '.join(MEANINGS)}.{suggest(str(meaning), MEANINGS)}",
                    )
                else:
                    given[str(status).casefold()] = meaning
        return {**DEFAULT_STATUSES, **given}

    def orders(self) -> Orders | None:
        line_section = self.mapping.get("order_line")
        order_section = self.mapping.get("order")
        if line_section is None:
            self.problem("E106", "order_line", "map the lines too: they say what was bought")
            return None
        line = self.section("order_line", line_section)
        order = None if order_section is None else self.section("order", order_section)
        if line is None or (order_section is not None and order is None):
            return None
        self.keys("order_line", line, (*_ROW_KEYS, "fields", "statuses"))
        statuses = self.statuses(
            ("order.statuses", (order or {}).get("statuses")), ("order_line.statuses", line.get("statuses"))
        )
        line_rows = self.rows("order_line", line)
        given = dict(self.section("order_line.fields", line.get("fields", {})) or {})
        allowed = LINE_FIELDS if order is not None else (*LINE_FIELDS, *(f for f in ORDER_FIELDS if f != "id"))
        self.keys("order_line.fields", given, allowed)
        if order is not None:
            return self.orders_with_lines(order, line_rows, given, statuses)
        self.required("order_line.fields", given, ("order", "product", "when"))
        if line_rows is None:
            return None
        fields, resolved = self.expressions(
            "order_line.fields", line_rows, {k: v for k, v in given.items() if k in allowed}
        )
        for name in ("order", "when"):
            if name in resolved and not self.single(resolved[name]):
                self.problem("E107", f"order_line.fields.{name}", "must be a column, to read orders in their order")
        if not {"order", "product", "when"} <= set(fields):
            return None
        return Orders(
            rows=self.fetched(line_rows, resolved.values()),
            fields={("id" if k == "order" else k): v for k, v in fields.items() if k == "order" or k in ORDER_FIELDS},
            line_fields={k: v for k, v in fields.items() if k in LINE_FIELDS},
            lines=None,
            id_lookup=resolved["order"].lookup,
            when_lookup=resolved["when"].lookup,
            updated_lookup=self.single(resolved.get("updated")),
            statuses=statuses,
        )

    def required(self, where: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            if given.get(name) is None:
                self.problem("E106", f"{where}.{name}", "must be mapped")

    def orders_with_lines(
        self, order: Mapping[str, Any], line_rows: Rows | None, line_given: dict[str, Any], statuses: Mapping[str, str]
    ) -> Orders | None:
        self.keys("order", order, (*_ROW_KEYS, "fields", "lines", "statuses"))
        rows = self.rows("order", order)
        given = dict(self.section("order.fields", order.get("fields", {})) or {})
        self.keys("order.fields", given, ORDER_FIELDS)
        given.setdefault("id", "pk")
        self.required("order.fields", given, ("when",))
        self.required("order_line.fields", line_given, ("product",))
        if rows is None or line_rows is None:
            return None
        line_given.pop("order", None)
        fields, resolved = self.expressions("order.fields", rows, {k: v for k, v in given.items() if k in ORDER_FIELDS})
        line_fields, line_resolved = self.expressions(
            "order_line.fields", line_rows, {k: v for k, v in line_given.items() if k in LINE_FIELDS}
        )
        for name in ("id", "when"):
            if name in resolved and not self.single(resolved[name]):
                self.problem("E107", f"order.fields.{name}", "must be a column, to read orders in their order")
        lines = self.lines(rows, line_rows, order.get("lines"))
        if lines is None or not {"id", "when"} <= set(fields) or "product" not in line_fields:
            return None
        under = LOOKUP_SEP.join(segment.name for segment in lines.segments)
        narrowed = line_rows.filter or line_rows.exclude or line_rows.manager or line_rows.queryset
        fetched = self.fetched(rows, resolved.values())
        # The lines are fetched as the section `order_line` says: its manager, filters and relations.
        lines_query = self.fetched(line_rows, line_resolved.values())
        if len(lines.segments) == 1:
            plain = tuple(p for p in fetched.prefetch_related if p != under)
            queryset = lines_query.related(lines_query.all().order_by("pk"))
            prefetch = (*plain, Prefetch(under, queryset=queryset))
        else:
            if narrowed:
                self.problem("E105", "order.lines", "filters of order_line need a path of one step, such as 'lines[]'")
            prefetch = (*fetched.prefetch_related, under)
        fetched = Rows(
            model=rows.model,
            manager=rows.manager,
            queryset=rows.queryset,
            filter=rows.filter,
            exclude=rows.exclude,
            select_related=fetched.select_related,
            prefetch_related=prefetch,
        )
        return Orders(
            rows=fetched,
            fields=fields,
            line_fields=line_fields,
            lines=lines,
            id_lookup=resolved["id"].lookup,
            when_lookup=resolved["when"].lookup,
            updated_lookup=self.single(resolved.get("updated")),
            statuses=statuses,
        )

    def lines(self, rows: Rows, line_rows: Rows, given: Any) -> Path | None:
        if given is None:
            found = [
                relation.get_accessor_name()
                for relation in rows.model._meta.related_objects
                if relation.related_model is line_rows.model and relation.one_to_many and relation.get_accessor_name()
            ]
            if len(found) != 1:
                self.problem(
                    "E106",
                    "order.lines",
                    f"name the relation from the order to its lines, such as 'lines[]'; found "
                    f"{', '.join(found) or 'none'}",
                )
                return None
            given = f"{found[0]}[]"
        parsed = self.expression("order.lines", rows, given)
        if parsed is None:
            return None
        if not isinstance(parsed[0], Path) or not parsed[0].many:
            self.problem("E107", "order.lines", "must be a relation to many, such as 'lines[]'")
            return None
        return parsed[0]

    def history(self, where: str, table: Any) -> History | None:
        section = self.section(where, table)
        if section is None:
            return None
        self.keys(where, section, (*_ROW_KEYS, "event", "data", *HISTORY_FIELDS))
        self.required(where, section, ("event", "when"))
        rows = self.rows(where, section)
        event, events = self.event(f"{where}.event", rows, section.get("event"))
        if rows is None:
            return None
        given = {k: section[k] for k in HISTORY_FIELDS if k in section}
        fields, resolved = self.expressions(where, rows, given)
        data, more = self.expressions(
            f"{where}.data", rows, dict(self.section(f"{where}.data", section.get("data", {})) or {})
        )
        if "when" in resolved and not self.single(resolved["when"]):
            self.problem("E107", f"{where}.when", "must be a column, to read the table in its order")
        if event is None or "when" not in fields:
            return None
        return History(
            rows=self.fetched(rows, [*resolved.values(), *more.values()]),
            event=event,
            events=events,
            fields=fields,
            data=data,
            when_lookup=resolved["when"].lookup,
        )

    def event(self, where: str, rows: Rows | None, given: Any) -> tuple[Expression | None, Mapping[str, str]]:
        """A literal type, or `{"path": "kind", "values": {"viewed": "product_view"}}`."""
        types = {str(t) for t in EventType}

        def name(value: Any) -> str | None:
            known = ALIASES.get(str(value), str(value))
            if known in types:
                return known
            self.problem("E105", where, f"{value!r} is no event type.{suggest(str(value), [*types, *ALIASES])}")
            return None

        if given is None:
            return None, {}
        if isinstance(given, str):
            known = name(given)
            return (None if known is None else Literal(known)), {}
        section = self.section(where, given)
        if section is None or rows is None:
            return None, {}
        self.keys(where, section, ("path", "values"))
        found = self.expression(f"{where}.path", rows, section.get("path"))
        values = {str(k): known for k, v in dict(section.get("values", {})).items() if (known := name(v))}
        return (None if found is None else found[0]), values


def _numeric(column: Field[Any, Any]) -> bool:
    return isinstance(column, IntegerField) or column.get_internal_type() in ("DecimalField", "FloatField")


def wants_queryset(function: Callable[..., Any]) -> bool:
    """Whether a `visible` function takes the queryset (and returns one) or nothing."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def compile_catalogue(mapping: Mapping[str, Any]) -> Compiled:
    """Read the mapping; `problems` of the result holds everything wrong with it."""
    return _Compiler(mapping).compile()
