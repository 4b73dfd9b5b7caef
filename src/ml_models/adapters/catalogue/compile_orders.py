"""The sections `order`, `order_line` and `history`, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Prefetch
from django.db.models.constants import LOOKUP_SEP

from ml_models.adapters.catalogue.expressions import Expression, Literal, Path
from ml_models.adapters.catalogue.mapping import (
    DEFAULT_STATUSES,
    HISTORY_FIELDS,
    LINE_FIELDS,
    MEANINGS,
    ORDER_FIELDS,
    ROW_KEYS,
    History,
    Orders,
    Rows,
)
from ml_models.adapters.catalogue.paths import suggest
from ml_models.adapters.catalogue.sections import Sections
from ml_models.core.event import ALIASES, EventType

__all__ = [
    "HistorySection",
    "OrderSections",
]


class OrderSections(Sections):
    """Orders with a section of their own, or lines that name their order."""

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
        self.keys("order_line", line, (*ROW_KEYS, "fields", "statuses"))
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
            id_nullable=resolved["order"].nullable,
            id_field=resolved["order"].field,
            when_lookup=resolved["when"].lookup,
            updated_lookup=self.single(resolved.get("updated")),
            statuses=statuses,
        )

    def orders_with_lines(
        self, order: Mapping[str, Any], line_rows: Rows | None, line_given: dict[str, Any], statuses: Mapping[str, str]
    ) -> Orders | None:
        self.keys("order", order, (*ROW_KEYS, "fields", "lines", "statuses"))
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
            id_nullable=resolved["id"].nullable,
            id_field=resolved["id"].field,
            when_lookup=resolved["when"].lookup,
            updated_lookup=self.single(resolved.get("updated")),
            statuses=statuses,
        )

    def lines(self, rows: Rows, line_rows: Rows, given: Any) -> Path | None:
        if given is None:
            found = [
                str(relation.get_accessor_name())
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


class HistorySection(Sections):
    """Tables in which the shop recorded behaviour itself."""

    def history(self, where: str, table: Any) -> History | None:
        section = self.section(where, table)
        if section is None:
            return None
        self.keys(where, section, (*ROW_KEYS, "event", "data", *HISTORY_FIELDS))
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
