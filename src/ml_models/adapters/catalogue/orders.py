"""Orders and recorded behaviour of the shop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Min, Model, Q, QuerySet

from ml_models.adapters.catalogue.expressions import Expression, Path
from ml_models.adapters.catalogue.mapping import MEANINGS, History, Orders
from ml_models.adapters.catalogue.products import Reader, as_is
from ml_models.adapters.catalogue.values import (
    IdCodec,
    guest_key,
    to_column,
    to_date_time,
    to_decimal,
    to_json,
    to_text,
)
from ml_models.core.money import pieces
from ml_models.core.ports import HistoryEvent, Order, OrderItem

__all__ = ["HistoryReader", "OrderReader"]

CHUNK = 500
"""Orders or rows loaded at a time."""
KEYS = 50_000
"""Keys read at a time: a table without an index on its time is sorted once for so many rows."""

_DIGITS = 15
"""A quantity with more digits before its point is a mistake, and would fit no column."""

Canonical = Callable[[Sequence[str]], dict[str, str]]


def _id(value: Any) -> str | None:
    """An id as text, None where there is none; a related row stands for its primary key."""
    value = getattr(value, "pk", value)
    return None if value is None or value == "" else str(value)


def _quantity(value: Any) -> Decimal:
    """A quantity as the shop has it; what cannot be read counts as one."""
    number = to_decimal(value)
    return Decimal(1) if number is None or number.adjusted() > _DIGITS else number


def _quantity_or_none(value: Any) -> Decimal | None:
    return None if value is None else _quantity(value)


def key_chunks(rows: QuerySet[Any], when: str, identity: str, *, repeated: bool = False) -> Iterator[list[Any]]:
    """Values of `identity` by (time, identity), each once, `CHUNK` at a time; rows without one of the two are left out.

    `repeated` says that several rows may share an identity: its time is the earliest of theirs then. Pages are found
    by the last key and not by an offset, so rows that come in meanwhile shift nothing.
    """
    keys = rows.filter(**{f"{when}__isnull": False, f"{identity}__isnull": False})
    if repeated and rows.query.group_by is None:  # rows that the shop itself aggregates cannot be aggregated again
        keys, when = keys.values(identity).annotate(_first=Min(when)), "_first"
    keys = keys.order_by(when, identity).values_list(when, identity).distinct()
    last: tuple[Any, Any] | None = None
    while True:
        part = keys
        if last is not None:
            part = keys.filter(Q(**{f"{when}__gt": last[0]}) | Q(**{when: last[0], f"{identity}__gt": last[1]}))
        found = list(part[:KEYS])
        if not found:
            return
        last = found[-1]
        for start in range(0, len(found), CHUNK):
            yield [key for _, key in found[start : start + CHUNK]]


class _RowReader(Reader):
    """What the two readers of this module share."""

    canonical: Canonical

    def resolve(
        self, products: Sequence[str | None], variants: Sequence[str | None]
    ) -> list[tuple[str | None, str | None]]:
        """(product, variant) ids with every variant led back to its product."""
        known = self.canonical([p for p in products if p is not None])
        pairs: list[tuple[str | None, str | None]] = []
        for product, variant in zip(products, variants, strict=True):
            parent = None if product is None else known.get(product, product)
            pairs.append((parent, variant or (product if parent != product else None)))
        return pairs


class OrderReader(_RowReader):
    """The sections `order` and `order_line`."""

    def __init__(
        self, mapping: Orders, canonical: Canonical, currency: str = "", convert: Callable[..., Any] | None = None
    ) -> None:
        super().__init__(currency, convert)
        self.mapping = mapping
        self.canonical = canonical

    def orders(self, since: datetime | None = None, ids: Sequence[str] | None = None) -> Iterator[Order]:
        """Oldest first, in chunks by time and id, so that a reader may stop and go on from a time.

        With `ids` those of the mapping's orders, in no order.
        """
        if ids is None:
            chunks = self._chunks(self._since(since))
        else:
            column = self.mapping.id_field  # None for an annotation, whose values nobody can check
            keys = list(ids) if column is None else IdCodec(column, self.mapping.rows.base().db).parse_all(ids)
            chunks = (self._fetch(keys[start : start + CHUNK]) for start in range(0, len(keys), CHUNK))
        for chunk in chunks:
            yield from self._read(chunk)

    def order_id(self, order: Model) -> str | None:
        """The id that the mapping gives an instance of the shop's order, None where it is of another model.

        Where `order_line` alone is mapped, its path leads from a line over the order: what follows the order is read.
        """
        path = self.mapping.fields["id"]
        if isinstance(order, self.mapping.rows.model):
            return _id(path.evaluate(order))
        if not isinstance(path, Path) or not path.segments:
            return None
        first, *rest = (segment.name for segment in path.segments)
        try:
            step = self.mapping.rows.model._meta.get_field(first.removesuffix("_id"))
        except FieldDoesNotExist:
            return None
        if not (step.is_relation and step.related_model and isinstance(order, step.related_model)):
            return None
        value: Any = order
        for name in rest:
            value = getattr(value, name)
        return _id(value)

    def _since(self, since: datetime | None) -> QuerySet[Any]:
        rows = self.mapping.rows.all()
        if since is None:
            return rows
        condition = Q()
        for lookup in filter(None, (self.mapping.when_lookup, self.mapping.updated_lookup)):
            condition |= Q(**{f"{lookup}__gte": to_column(since, rows, lookup)})
        return rows.filter(condition)

    def _chunks(self, rows: QuerySet[Any]) -> Iterator[list[tuple[Any, list[Any]]]]:
        """Lists of (row that carries the order's fields, its lines)."""
        when, identity = self.mapping.when_lookup, self.mapping.id_lookup
        if self.mapping.id_nullable and (without := rows.filter(**{f"{identity}__isnull": True}).count()):
            label = self.mapping.rows.model._meta.label
            self.failed("order.fields.id", f"{without:,} rows of {label} have none yet and are left out", without)
        for part in key_chunks(rows, when, identity, repeated=self.mapping.lines is None):
            yield self._fetch(part)

    def _fetch(self, ids: list[Any]) -> list[tuple[Any, list[Any]]]:
        mapping = self.mapping
        # All lines of an order, not only those that changed since.
        rows = mapping.rows.all().filter(**{f"{mapping.id_lookup}__in": ids})
        if mapping.lines is not None:
            rows = mapping.rows.related(rows.order_by(mapping.when_lookup, mapping.id_lookup))
            unique = {row.pk: row for row in rows}.values()
            return [(row, list(self.value("order.lines", mapping.lines, row) or ())) for row in unique]
        # The earliest line stands for the order; those of two orders may lie between each other.
        earliest = F(mapping.when_lookup).asc(nulls_last=True)
        rows = mapping.rows.related(rows.order_by(earliest, mapping.id_lookup, "pk"))
        orders: dict[str, list[Any]] = {}
        for row in {row.pk: row for row in rows}.values():
            orders.setdefault(str(mapping.fields["id"].evaluate(row)), []).append(row)
        return [(lines[0], lines) for lines in orders.values()]

    def _read(self, chunk: list[tuple[Any, list[Any]]]) -> Iterator[Order]:
        fields = self.mapping.line_fields
        lines = [line for _, members in chunk for line in members]
        products = [self.value("order_line.fields.product", fields["product"], line, _id) for line in lines]
        variants = [self.value("order_line.fields.variant", fields.get("variant"), line, _id) for line in lines]
        pairs = iter(self.resolve(products, variants))
        for row, members in chunk:
            order = self._order(row, members, [next(pairs) for _ in members])
            if order is not None:
                yield order

    def _order(self, row: Any, lines: list[Any], pairs: list[tuple[str | None, str | None]]) -> Order | None:
        fields = self.mapping.fields

        def read(name: str, to: Callable[[Any], Any] = as_is) -> Any:
            return self.value(f"order.fields.{name}", fields.get(name), row, to)

        identity, when = read("id", _id), read("when", to_date_time)
        if identity is None or when is None:
            self.failed("order", f"the order of {row!r} has no id or no time and is left out")
            return None
        user = read("user", _id)
        status = read("status", to_text)
        currency = read("currency", to_text)
        items = []
        for line, (product, variant) in zip(lines, pairs, strict=True):
            if product is None:  # the product was deleted and the line kept
                continue
            worth, line_currency = self._worth(line, currency, when)
            items.append(OrderItem(product_id=product, variant_id=variant, **worth))
            currency = currency or line_currency
        return Order(
            id=identity,
            when=when,
            items=tuple(items),
            currency=self.currency if self.convert is not None else currency.upper() or self.currency,
            user_id=user,
            guest=None if user is not None else read("guest", guest_key),
            status=status,
            meaning=self._meaning(status, read("meaning")),
            updated=read("updated", to_date_time),
        )

    def _worth(self, line: Any, currency: str, when: datetime) -> tuple[dict[str, Any], str]:
        """`quantity`, `unit_price` and `total` of a line, and its currency."""
        fields = self.mapping.line_fields
        quantity: Decimal = self.value("order_line.fields.quantity", fields.get("quantity"), line, _quantity)
        count = pieces(quantity)
        place = "unit_price"
        raw = self.value("order_line.fields.unit_price", fields.get(place), line)
        amount, total = to_decimal(raw), None
        if amount is None and "total" in fields:
            place = "total"
            raw = self.value("order_line.fields.total", fields[place], line)
            total = to_decimal(raw)
        elif amount is not None and count != quantity:  # of a kilogram; the lake has the price of a piece
            total = amount * quantity
        own = self.value("order_line.fields.currency", fields.get("currency"), line, to_text)
        currency = own or currency or to_text(getattr(raw, "currency", ""))
        where = f"order_line.fields.{place}"
        if total is None or count == 0:
            amount, currency = self.money(where, amount, currency, when)
            return {"quantity": count, "unit_price": amount}, currency
        total, currency = self.money(where, total, currency, when)
        amount = None if total is None else total / count
        return {"quantity": count, "unit_price": amount, "total": total}, currency

    def _meaning(self, status: str, given: Any) -> str:
        if given is not None and str(given) in MEANINGS:
            return str(given)
        return self.mapping.statuses.get(status.casefold(), "purchase")


class HistoryReader(_RowReader):
    """One table of the section `history`."""

    def __init__(
        self, mapping: History, canonical: Canonical, currency: str, convert: Callable[..., Any] | None
    ) -> None:
        super().__init__(currency, convert)
        self.mapping = mapping
        self.canonical = canonical

    def events(self, since: datetime | None = None) -> Iterator[HistoryEvent]:
        """Oldest first, in chunks by time and primary key."""
        when = self.mapping.when_lookup
        rows = self.mapping.rows.all()
        chosen = rows if since is None else rows.filter(**{f"{when}__gte": to_column(since, rows, when)})
        for part in key_chunks(chosen, when, "pk"):
            found = self.mapping.rows.related(rows.filter(pk__in=part)).order_by(when, "pk")
            yield from self._read(list({row.pk: row for row in found}.values()))

    def _read(self, rows: list[Any]) -> Iterator[HistoryEvent]:
        fields = self.mapping.fields
        label = self.mapping.rows.model._meta.label

        def read(name: str, row: Any, to: Callable[[Any], Any] = as_is) -> Any:
            expression: Expression | None = fields.get(name)
            return self.value(f"history {label}.{name}", expression, row, to)

        pairs = self.resolve([read("product", r, _id) for r in rows], [read("variant", r, _id) for r in rows])
        for row, (product, variant) in zip(rows, pairs, strict=True):
            kind = self.value(f"history {label}.event", self.mapping.event, row, to_text)
            if self.mapping.events:
                kind = self.mapping.events.get(kind, "")
            when = read("when", row, to_date_time)
            if not kind or when is None:
                continue
            user = read("user", row, _id)
            raw = read("unit_price", row)
            currency = read("currency", row, to_text)
            amount, currency = self.money(f"history {label}.unit_price", to_decimal(raw), currency, when)
            quantity: Decimal | None = read("quantity", row, _quantity_or_none)
            count = None if quantity is None else pieces(quantity)
            if amount is not None and quantity is not None and count:  # of a kilogram; here the price of a piece
                amount = amount * quantity / count
            yield HistoryEvent(
                id=f"{label}:{row.pk}",
                event_type=kind,
                when=when,
                product_id=product,
                variant_id=variant,
                user_id=user,
                session_id=read("session", row, to_text) or None,
                guest=None if user is not None else read("guest", row, guest_key),
                quantity=count,
                unit_price=amount,
                currency=currency,
                query=read("query", row, to_text) or None,
                data={
                    name: self.value(f"history {label}.data.{name}", expression, row, to_json)
                    for name, expression in self.mapping.data.items()
                },
            )
