"""Products of the shop: what may be shown now, what is new, what they are."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connections, router
from django.db.models import BooleanField, F, Func, Q, QuerySet
from django.utils import translation

from ml_models.adapters.catalogue.expressions import Expression, is_empty
from ml_models.adapters.catalogue.mapping import Products, is_plain, wants_queryset
from ml_models.adapters.catalogue.values import (
    IdCodec,
    to_bool,
    to_column,
    to_date_time,
    to_decimal,
    to_json,
    to_text,
    to_texts,
    to_url,
)
from ml_models.adapters.compiled import compiled_rows
from ml_models.core import clock
from ml_models.core.errors import CatalogueError
from ml_models.core.ports import Product

__all__ = ["ProductReader", "Reader", "as_is"]

logger = logging.getLogger("bunoraa.ml.catalogue")

CHUNK = 500
"""Rows read at a time: a chunk of products with its relations stays below a few megabytes."""
FEW = 100
"""Ids for which the SQL is kept, one per number of ids; more are rare and compiled each time."""
IN_LIMIT = 5_000
"""Ids in one IN list on databases without a limit of their own."""
_TRANSLATED = ("name", "description", "category", "categories", "tags")


def as_is(value: Any) -> Any:
    """No conversion."""
    return value


class Reader:
    """What readers of all sections share: failures are counted and logged once a field, never lost."""

    def __init__(self, currency: str, convert: Callable[..., Any] | None) -> None:
        self.currency = currency
        self.convert = convert
        self.failures: Counter[str] = Counter()

    def value(self, where: str, expression: Expression | None, row: Any, to: Callable[[Any], Any] = as_is) -> Any:
        """The value, turned into what the port promises; `to(None)` where the shop's own code or value fails on it."""
        if expression is None:
            return to(None)
        try:
            return to(expression.evaluate(row))
        except Exception as error:  # noqa: BLE001 (whatever the shop's code raises; counted and logged)
            self.failed(where, error)
            return to(None)

    def failed(self, where: str, error: object, count: int = 1) -> None:
        """Count a field that could not be read, and log the first of its kind."""
        first = where not in self.failures
        self.failures[where] += count
        if first:
            logger.warning("ML_CATALOG %s left empty: %s", where, error)

    def money(self, where: str, amount: Decimal | None, currency: str, when: datetime) -> tuple[Decimal | None, str]:
        """Amount and currency, in the base currency where the shop has a `convert` function.

        None where that fails (a currency without a rate), as for any other field that cannot be read.
        """
        currency = currency.upper() or self.currency
        if self.convert is None or amount is None or currency == self.currency:
            return amount, self.currency if self.convert is not None and amount is None else currency
        try:
            converted = to_decimal(self.convert(amount, currency, self.currency, when))
        except Exception as error:  # noqa: BLE001 (the shop's own function; counted and logged)
            self.failed(where, f"convert failed for {amount} {currency} to {self.currency} at {when}: {error!r}")
            return None, self.currency
        return converted, self.currency


def chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Slices of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def duplicates(rows: QuerySet[Any]) -> bool:
    """Whether a filter joins a relation to many, so that one row may come back several times."""
    joins = (getattr(join, "join_field", None) for join in rows.query.alias_map.values())
    return any(join is not None and (join.many_to_many or join.one_to_many) for join in joins)


class _InIntegers(Func):
    """`column IN (1, 2, 3)` with the integers written out.

    Django handles every parameter of an IN list five times over; for the 200 candidates of a list that is most of the
    query's cost. Written-out integers need none of it, cannot carry anything but digits, and count towards no
    database's limit of parameters.
    """

    output_field = BooleanField()

    def __init__(self, lookup: str, numbers: Sequence[int]) -> None:
        super().__init__(F(lookup))
        self.numbers = ",".join(map(str, map(int, numbers)))

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **kwargs: Any) -> Any:
        """The condition; the column's own parameters are kept."""
        column, parameters = compiler.compile(self.source_expressions[0])
        return f"{column} IN ({self.numbers})", parameters


class ProductReader(Reader):
    """The section `product`."""

    def __init__(self, mapping: Products, currency: str = "", convert: Callable[..., Any] | None = None) -> None:
        super().__init__(currency, convert)
        self.mapping = mapping
        self.codec = IdCodec(mapping.id_field, mapping.rows.base().db)
        self._base: QuerySet[Any] | None = None
        rows, rule = mapping.rows, mapping.visible
        # A callable or a manager of the shop's own may depend on the tenant; Django's plain manager cannot.
        self._plain = rows.queryset is None and not rows.manager and is_plain(rows.model._default_manager)
        self._comparable = self._plain and not mapping.stock_in_python
        self._comparable &= not callable(rule) or not wants_queryset(rule)

    # -- what may be shown ----------------------------------------------------------------------------

    def shown(self) -> QuerySet[Any]:
        """Rows that may be shown, less the stock that only Python knows.

        Built once where nothing in it can change; a callable is asked each time, for it may look at the clock or at
        the tenant.
        """
        mapping = self.mapping
        if self._base is not None:
            return self._base
        rows = mapping.rows.all()
        if mapping.stock_filter is not None:
            rows = rows.filter(mapping.stock_filter)
        rows = self._visible(rows).order_by()
        if self._plain and not callable(mapping.visible):
            self._base = rows
        return rows

    def _visible(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        rule = self.mapping.visible
        if rule is None:
            return rows
        if isinstance(rule, Q):
            return rows.filter(rule)
        answer = rule(rows) if wants_queryset(rule) else rule()
        if isinstance(answer, QuerySet):
            return answer if wants_queryset(rule) else rows.filter(pk__in=answer.values("pk"))
        if isinstance(answer, Mapping):
            return rows.filter(**answer)
        if isinstance(answer, Q):
            return rows.filter(answer)
        raise CatalogueError(
            f"ML_CATALOG product.visible must return a Q or a queryset; {rule!r} returned {type(answer).__name__}."
        )

    def _parts(self, rows: QuerySet[Any], keys: Sequence[Any]) -> Iterator[QuerySet[Any]]:
        """The rows with these ids, in as many parts as the database needs."""
        lookup = self.mapping.id_lookup
        if self.codec.integer:
            for part in chunks(keys, IN_LIMIT):
                yield rows.filter(_InIntegers(lookup, part))
        else:
            for part in chunks(keys, self._limit(rows.db)):
                yield rows.filter(**{f"{lookup}__in": part})

    def _limit(self, using: str) -> int:
        # Some room for the parameters of the shop's own filters.
        most = connections[using].features.max_query_params
        return IN_LIMIT if most is None else max(1, most - 100)

    def visible(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that may be shown; one query up to the database's parameter limit."""
        keys = self.codec.parse_all(ids)
        if not keys:
            return set()
        few = self._visible_few(keys) if self._comparable and len(keys) <= FEW else None
        if few is not None:
            return few.intersection(ids)
        found: set[str] = set()
        for chosen in self._parts(self.shown(), keys):
            if self.mapping.stock_in_python:
                rows = self.mapping.stock_rows.related(chosen)
                found.update(str(self._id(row)) for row in rows if self._in_stock(row))
            else:
                found.update(map(str, chosen.values_list(self.mapping.id_lookup, flat=True)))
        return found.intersection(ids)

    def _visible_few(self, keys: Sequence[Any]) -> set[str] | None:
        """The same for few ids, with the SQL of the last time where the shop's condition is still the same.

        A callable `visible` is asked every time; None where its answer cannot be compared with the one before.
        """
        mapping = self.mapping
        rule = mapping.visible() if callable(mapping.visible) else mapping.visible
        if rule is not None and not isinstance(rule, Q):
            return None
        try:
            hash(rule)
        except TypeError:  # a value in the condition that has no hash
            return None

        def rows() -> QuerySet[Any, Any]:
            found = mapping.rows.all()
            for condition in (mapping.stock_filter, rule):
                if condition is not None:
                    found = found.filter(condition)
            chosen = found.order_by().filter(**{f"{mapping.id_lookup}__in": keys})
            return chosen.values_list(mapping.id_lookup)

        using = router.db_for_read(mapping.rows.model)
        return {str(row[0]) for row in compiled_rows((self, rule, len(keys)), using, keys, rows)}

    def newest(self, limit: int, exclude: Iterable[str] = ()) -> list[str]:
        """Visible ids, newest first by `created`, else `updated`, else the primary key."""
        if limit <= 0:
            return []
        out = set(exclude)
        rows = self.shown()
        if duplicates(rows):
            rows = self.mapping.rows.model._base_manager.using(rows.db).filter(pk__in=rows.values("pk"))
        rows = rows.order_by(*self._order())
        if not self.mapping.stock_in_python:
            wanted = limit + len(out)
            ids = map(str, rows.values_list(self.mapping.id_lookup, flat=True)[:wanted])
            return [one for one in ids if one not in out][:limit]
        found: list[str] = []
        start, size = 0, max(2 * limit, 50) + len(out)
        rows = self.mapping.stock_rows.related(rows)
        while True:
            part = list(rows[start : start + size])
            for row in part:
                one = str(self._id(row))
                if one not in out and self._in_stock(row):
                    found.append(one)
                    if len(found) == limit:
                        return found
            if len(part) < size:
                return found
            start, size = start + size, size * 2

    def _order(self) -> list[Any]:
        lookup = self.mapping.created_lookup or self.mapping.updated_lookup
        if not lookup:
            return ["-pk"]
        resolved = self.mapping.resolved["created" if self.mapping.created_lookup else "updated"]
        # NULLS LAST keeps a plain descending index from being used, so it is asked only where there can be nulls.
        nullable = "__" in lookup or resolved.field is None or resolved.field.null
        return [F(lookup).desc(nulls_last=True) if nullable else f"-{lookup}", "-pk"]

    def _in_stock(self, row: Any) -> bool:
        """A product whose stock cannot be read is not shown."""
        return bool(self.value("product.fields.in_stock", self.mapping.fields["in_stock"], row, to_bool))

    def _id(self, row: Any) -> Any:
        return self.mapping.fields["id"].evaluate(row)

    # -- what they are --------------------------------------------------------------------------------

    def get(self, ids: Sequence[str]) -> dict[str, Product]:
        """Products by id, visible or not and filtered or not; a fixed number of queries."""
        keys = self.codec.parse_all(ids)
        wanted = set(ids)
        found: dict[str, Product] = {}
        for chosen in self._parts(self.mapping.rows.base().order_by(), keys):
            for product in self._read(self.mapping.rows.related(chosen)):
                if product.id in wanted:
                    found[product.id] = product
        return found

    def products(self, since: datetime | None = None) -> Iterator[Product]:
        """Every product of the mapping, hidden ones too, in chunks by primary key."""
        rows = self.mapping.rows.all()
        updated = self.mapping.updated_lookup
        if since is not None and updated:
            rows = rows.filter(**{f"{updated}__gt": to_column(since, rows, updated)})
        rows = self.mapping.rows.related(rows.order_by("pk"))
        last: Any = None
        while True:
            part = list((rows if last is None else rows.filter(pk__gt=last))[:CHUNK])
            if not part:
                return
            last = part[-1].pk
            for product in self._read({row.pk: row for row in part}.values()):
                if since is None or updated or product.updated is None or product.updated > since:
                    yield product

    def _read(self, rows: Iterable[Any]) -> list[Product]:
        languages = self.mapping.languages
        if not languages:
            return [self._product(row) for row in rows]
        with translation.override(languages[0]):
            kept = list(rows)
            products = [self._product(row) for row in kept]
        for language in languages[1:]:
            with translation.override(language):
                texts = [self._texts(row) for row in kept]
            for product, text in zip(products, texts, strict=True):
                changed = {k: v for k, v in text.items() if v and v != getattr(product, k)}
                if changed:
                    product.attributes.setdefault("translations", {})[language] = to_json(changed)  # type: ignore[attr-defined]
        return products

    def _texts(self, row: Any) -> dict[str, Any]:
        fields = self.mapping.fields
        return {
            name: self.value(
                f"product.fields.{name}", fields[name], row, to_texts if name in ("categories", "tags") else to_text
            )
            for name in _TRANSLATED
            if name in fields
        }

    def _product(self, row: Any) -> Product:
        fields = self.mapping.fields

        def read(name: str, to: Callable[[Any], Any] = as_is) -> Any:
            return self.value(f"product.fields.{name}", fields.get(name), row, to)

        texts = self._texts(row)
        raw_price = read("price")
        currency = read("currency", to_text) or to_text(getattr(raw_price, "currency", ""))
        updated = read("updated", to_date_time)
        price, currency = self.money("product.fields.price", to_decimal(raw_price), currency, updated or clock.now())
        attributes = {
            name: value
            for name, expression in self.mapping.attributes.items()
            if not is_empty(value := self.value(f"product.attributes.{name}", expression, row, to_json))
        }
        return Product(
            id=str(self._id(row)),
            price=price,
            currency=currency,
            brand=read("brand", to_text),
            in_stock=read("in_stock", to_bool) if "in_stock" in fields else True,
            image=read("image", to_url),
            url=read("url", to_text),
            created=read("created", to_date_time),
            updated=updated,
            attributes=attributes,
            **texts,
        )

    # -- variants -------------------------------------------------------------------------------------

    def canonical(self, ids: Sequence[str]) -> dict[str, str]:
        """Variant id -> product id; an id that is a product's own wins over a variant's; the rest map to themselves."""
        answer = {one: one for one in ids}
        variants = self.mapping.variants
        if variants is None:
            return answer
        model = self.mapping.rows.model
        identity = self.mapping.id_lookup
        rows = model._base_manager.using(self.mapping.rows.base().db)
        if variants.parent:
            for part in chunks(self.codec.parse_all(ids), self._limit(rows.db)):
                chosen = rows.filter(**{f"{identity}__in": part, f"{variants.parent}__isnull": False})
                for child, parent in chosen.values_list(identity, f"{variants.parent}__{identity}"):
                    if str(child) in answer:
                        answer[str(child)] = str(parent)
            return answer
        own: set[str] = set()
        for part in chunks(self.codec.parse_all(ids), self._limit(rows.db)):
            own.update(map(str, rows.filter(**{f"{identity}__in": part}).values_list(identity, flat=True)))
        rest = [one for one in ids if one not in own]
        codec = IdCodec(variants.id_field, rows.db)
        lookup = f"{variants.lookup}__{variants.id_lookup}"
        for part in chunks(codec.parse_all(rest), self._limit(rows.db)):
            for variant, product in rows.filter(**{f"{lookup}__in": part}).values_list(lookup, identity):
                if str(variant) in answer:
                    answer[str(variant)] = str(product)
        return answer
