"""The section `product`, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import BooleanField, Exists, Field, IntegerField, Model, OuterRef, Prefetch, Q
from django.db.models.constants import LOOKUP_SEP

from ml_models.adapters.catalogue.expressions import Aggregate, Expression, Literal, Path
from ml_models.adapters.catalogue.mapping import (
    PRODUCT_FIELDS,
    PRODUCT_KEYS,
    Products,
    Rows,
    Variants,
    is_plain,
)
from ml_models.adapters.catalogue.paths import Resolved, relations, resolve
from ml_models.adapters.catalogue.sections import Sections

__all__ = [
    "ProductSection",
]


class ProductSection(Sections):
    """Products: where they are, what they are called, which may be shown."""

    def product(self) -> Products | None:
        section = self.section("product", self.mapping["product"])
        if section is None:
            return None
        self.keys("product", section, PRODUCT_KEYS)
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
            stock_filter, stock_in_python = self.stock(rows, fields["in_stock"], resolved["in_stock"])
        return Products(
            rows=self.fetched(rows, [*resolved.values(), *more.values()]),
            stock_rows=self.fetched(rows, [found for name, found in resolved.items() if name == "in_stock"]),
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
    def stock(rows: Rows, expression: Expression, resolved: Resolved) -> tuple[Q | None, bool]:
        """Stock in SQL where a column or `any|max|count` of a relation says it; else True for Python.

        SQL joins whole tables. Where the shop's related managers or a `Prefetch` leave rows out (deleted variants),
        only Python sees what the shop sees.
        """
        model = rows.model

        def positive(lookup: str, column: Any) -> Q | None:
            if isinstance(column, BooleanField):
                return Q(**{lookup: True})
            return Q(**{f"{lookup}__gt": 0}) if isinstance(column, Field) and _numeric(column) else None

        if isinstance(expression, Literal):
            return (None, False) if expression.value else (Q(pk__in=[]), False)
        if isinstance(expression, Path) and resolved.lookup and not resolved.many and _whole(rows, expression):
            condition = positive(resolved.lookup, resolved.field)
            if condition is not None:
                return condition, False
        if (
            isinstance(expression, Aggregate)
            and expression.name in ("any", "max", "count")
            and isinstance(expression.inner, Path)
        ):
            inner = resolve(model, expression.inner)
            every = all(s.many == "[]" for s in expression.inner.segments if s.many)
            if inner.lookup and inner.many and every and _whole(rows, expression.inner):
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


def _whole(rows: Rows, path: Path) -> bool:
    """Whether every relation of the path is read whole, as a join reads it."""
    model: type[Model] = rows.model
    walked: list[str] = []
    for segment in path.segments:
        field = relations(model).get(segment.name)
        related = getattr(field, "related_model", None)
        if field is None or related is None or segment.name == getattr(field, "attname", None) != field.name:
            break
        walked.append(segment.name)
        many = field.many_to_many or field.one_to_many
        if not is_plain(related._default_manager if many else related._base_manager):
            return False
        model = related
    narrowed = [p.prefetch_to for p in rows.prefetch_related if isinstance(p, Prefetch) and p.queryset is not None]
    return not any(LOOKUP_SEP.join(walked[: n + 1]) in narrowed for n in range(len(walked)))


def _numeric(column: Field[Any, Any]) -> bool:
    return isinstance(column, IntegerField) or column.get_internal_type() in ("DecimalField", "FloatField")
