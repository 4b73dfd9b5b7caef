"""What `manage.py check` says about `ML_CATALOG`, in words: what is wrong, what is unmapped and what follows from it.

Errors `ml.E100` to `ml.E108` and `ml.E110` come from the mapping alone. With a database at hand (`manage.py check
--database default`, `ml_init --check`) a sample of products is read too: values, share of empty ones, queries per
product.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error, Info
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, connections, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from ml_models.adapters.catalogue.expressions import is_empty
from ml_models.adapters.catalogue.mapping import Compiled, Products
from ml_models.adapters.catalogue.paths import Resolved
from ml_models.adapters.catalogue.reader import DjangoCatalogue, compile_checked
from ml_models.core.errors import CatalogueError, ConfigError
from ml_models.core.ids import MAX_ID

__all__ = ["CONSEQUENCES", "catalogue_messages", "data_messages", "mapping_messages"]

CONSEQUENCES: dict[str, str] = {
    "name": "products have no name: search finds nothing and reports show ids",
    "description": "models that read text have only the name",
    "category": "lists cannot be diversified by category, and a new product has no neighbours to borrow from",
    "categories": "only one category of a product is known",
    "tags": "new products cannot be placed by their tags",
    "brand": "lists cannot be diversified by brand",
    "price": "prices cannot be predicted or shown in reports",
    "in_stock": "sold-out products are shown unless `visible` leaves them out",
    "image": "blocks of recommendations have no pictures of their own",
    "url": "blocks of recommendations cannot link to a product",
    "created": "`new` lists go by the primary key",
    "updated": "changes are found by a scan of all products",
}
"""Field of `product` that may be unmapped -> what follows from it."""
_WEIGHTY = ("name", "price", "in_stock", "category")
_ORDER_CONSEQUENCES = {
    "user": "no purchase can be joined with what its buyer looked at",
    "guest": "the orders of one guest are strangers to each other",
    "updated": "a change of status is seen only while the order is younger than the overlap (ml_sync --full sees all)",
    "status": "a cancelled order counts as a purchase",
    "unit_price": "revenue is unknown",
    "quantity": "every line counts as one piece",
    "currency": "amounts have no currency",
}
SAMPLE = 30
"""Products read by the checks."""
_EMPTY_SHARE = 0.5


def catalogue_messages(
    mapping: Mapping[str, Any] | None = None, databases: Sequence[str] | None = None
) -> list[CheckMessage]:
    """All messages about the mapping in force, or a given one.

    Reads a sample of products when their database is in `databases`. `migrate` names databases too, at a time when
    tables may not be there yet and nobody asked about the catalogue, so there nothing is read.
    """
    if mapping is None:
        from ml_models.settings import get_settings

        try:
            mapping = get_settings().catalog
        except ConfigError:  # reported by the checks of the settings
            return []
    messages = mapping_messages(mapping)
    if databases and mapping and sys.argv[1:2] != ["migrate"] and not any(message.is_serious() for message in messages):
        messages += data_messages(mapping, databases)
    return messages


def mapping_messages(mapping: Mapping[str, Any]) -> list[CheckMessage]:
    """What can be said without reading a row."""
    if not mapping:
        return [
            checks.Warning(
                "ML_CATALOG is not set: the shop's products are unknown, so no list can be filled.",
                hint="python manage.py ml_init looks at the installed models and prints a mapping to paste.",
                id="ml.W101",
            )
        ]
    try:
        compiled = compile_checked(mapping)
    except CatalogueError as error:
        return [Error(str(error), id="ml.E100")]
    if compiled.problems:
        return [
            Error(str(problem), hint="python manage.py ml_init proposes a mapping.", id=problem.code)
            for problem in compiled.problems
        ]
    return [*_product_messages(compiled), *_order_messages(compiled)]


def _product_messages(compiled: Compiled) -> list[CheckMessage]:
    product = compiled.product
    if product is None:
        return [
            checks.Warning(
                'ML_CATALOG has no "product": no list can be filled.',
                hint="python manage.py ml_init proposes a mapping.",
                id="ml.W101",
            )
        ]
    messages: list[CheckMessage] = []
    unmapped = [name for name in CONSEQUENCES if name not in product.fields]
    if "in_stock" in unmapped and product.visible is not None:
        unmapped.remove("in_stock")  # the shop's own rule says what may be shown
    weighty = [name for name in unmapped if name in _WEIGHTY]
    for names, kind, code in (
        (weighty, checks.Warning, "ml.W102"),
        ([name for name in unmapped if name not in _WEIGHTY], Info, "ml.I101"),
    ):
        if names:
            what = "; ".join(f"{name} is unmapped: {CONSEQUENCES[name]}" for name in names)
            messages.append(kind(f"ML_CATALOG product: {what}.", hint='Map it in "fields".', id=code))
    if product.stock_in_python:
        messages.append(
            Info(
                "ML_CATALOG product.fields.in_stock is computed in Python, so every list loads the rows of its "
                "candidates instead of their ids.",
                hint="Map a column, or max(variants[].stock) where no manager hides some of the variants; or, where "
                '`visible` already leaves sold-out products out, write "sold_out": "show".',
                id="ml.I102",
            )
        )
    messages += _long_ids("fields.id", product.id_field)
    if product.variants is not None:
        messages += _long_ids("variants", product.variants.id_field)
    newest = product.created_lookup or product.updated_lookup
    if newest and "__" not in newest and not _indexed(product.rows.model, newest):
        messages.append(
            Info(
                f"ML_CATALOG product: {product.rows.model._meta.label}.{newest} has no index, so a list of new "
                "products sorts them all.",
                hint="Add db_index=True, or an index in Meta, where there are more than about 10,000 products.",
                id="ml.I107",
            )
        )
    return messages


def _long_ids(where: str, column: Any) -> list[CheckMessage]:
    """An id that is longer than ours makes its events refused; a column that could hold one is told beforehand."""
    while getattr(column, "remote_field", None) is not None and getattr(column, "target_field", None) is not None:
        column = column.target_field
    most = getattr(column, "max_length", None)
    if most is None or most <= MAX_ID:
        return []
    return [
        Error(
            f"ML_CATALOG product.{where} is the column {column}, which holds up to {most} characters; an id may have "
            f"{MAX_ID}, and events about a product with a longer one are refused.",
            hint="Map another column, such as 'pk', or shorten it; where no id is longer, add ml.E110 to "
            "SILENCED_SYSTEM_CHECKS.",
            id="ml.E110",
        )
    ]


def _indexed(model: type[Model], name: str) -> bool:
    try:
        column = model._meta.get_field(name)
    except FieldDoesNotExist:  # an annotation of the shop's own queryset
        return True
    leading = [index.fields[0].removeprefix("-") for index in model._meta.indexes if index.fields]
    return bool(getattr(column, "db_index", False) or getattr(column, "unique", False) or name in leading)


def _order_messages(compiled: Compiled) -> list[CheckMessage]:
    orders = compiled.orders
    if orders is None:
        return [
            checks.Warning(
                "ML_CATALOG maps no orders: purchases are unknown, and models learn from what visitors look at alone.",
                hint='Map "order_line"; python manage.py ml_init proposes it.',
                id="ml.W103",
            )
        ]
    messages: list[CheckMessage] = []
    mapped = {*orders.fields, *orders.line_fields}
    if "total" in mapped:
        mapped.add("unit_price")
    if compiled.currency:
        mapped.add("currency")
    if "meaning" in mapped:
        mapped.add("status")
    missing = [name for name in _ORDER_CONSEQUENCES if name not in mapped]
    if missing:
        what = "; ".join(f"{name} is unmapped: {_ORDER_CONSEQUENCES[name]}" for name in missing)
        messages.append(Info(f"ML_CATALOG orders: {what}.", id="ml.I103"))
    status = orders.fields.get("status")
    words = {str(path).split(".")[-1] for path in status.paths()} if status is not None else set()
    conditions = f"{orders.rows.filter} {orders.rows.exclude or ''}"
    if any(re.search(rf"(?:__|\W){re.escape(word)}(?:__|\W)", conditions) for word in words):
        messages.append(
            checks.Warning(
                "ML_CATALOG filters orders by their status: an order that is cancelled later is no longer read, and is "
                "taken for cancelled only while it is recent.",
                hint='Drop the filter and map the words instead: "statuses": {"cancelled": "cancelled"}.',
                id="ml.W104",
            )
        )
    product = compiled.product
    resolved = _line_product(compiled)
    if product is not None and resolved is not None and resolved.field is not None and product.variants is None:
        target = getattr(resolved.field, "related_model", None)
        if target is product.rows.model and not getattr(product.id_field, "primary_key", False):
            messages.append(
                checks.Warning(
                    "ML_CATALOG order_line.fields.product gives the primary key of the product, while "
                    f"product.fields.id is {product.id_lookup!r}: orders and products do not meet.",
                    hint=f"Map the product of a line through the relation, such as 'product.{product.id_lookup}'.",
                    id="ml.W105",
                )
            )
    return messages


def _line_product(compiled: Compiled) -> Resolved | None:
    from ml_models.adapters.catalogue.expressions import Path
    from ml_models.adapters.catalogue.paths import resolve

    orders = compiled.orders
    expression = None if orders is None else orders.line_fields.get("product")
    if orders is None or not isinstance(expression, Path) or orders.lines is not None:
        return None
    return resolve(orders.rows.model, expression)


# -- with a database ------------------------------------------------------------------------------------


def data_messages(mapping: Mapping[str, Any], databases: Sequence[str]) -> list[CheckMessage]:
    """What a sample of the shop's rows says about the mapping."""
    catalogue = DjangoCatalogue(mapping)
    product = catalogue.compiled.product
    if product is None:
        return []
    using = product.rows.base().db
    if using not in databases:
        return []
    connection = connections[using]
    try:
        with transaction.atomic(using=using):  # a failing query must not spoil the caller's transaction
            if product.rows.model._meta.db_table not in connection.introspection.table_names():
                return [
                    Info(
                        f"ML_CATALOG product: the table of {product.rows.model._meta.label} does not exist yet.",
                        hint="python manage.py migrate",
                        id="ml.I104",
                    )
                ]
            return [*_sampled(catalogue, product, using), *_order_sample(catalogue)]
    except DatabaseError as error:
        return [
            checks.Warning(
                f"ML_CATALOG product: the rows cannot be read: {str(error).strip()}.",
                hint="python manage.py migrate; then python manage.py check --database default",
                id="ml.W106",
            )
        ]
    except CatalogueError as error:
        return [Error(str(error), id="ml.E109")]


def _sampled(catalogue: DjangoCatalogue, product: Products, using: str) -> list[CheckMessage]:
    rows = product.rows.related(product.rows.all().order_by("-pk"))
    connection = connections[using]
    with CaptureQueriesContext(connection) as few:
        _evaluate(product, list(rows[:1]))
    with CaptureQueriesContext(connection) as many:
        kept = list(rows[:SAMPLE])
        values = _evaluate(product, kept)
    if not kept:
        return [Info(f"ML_CATALOG product: {product.rows.model._meta.label} has no rows yet.", id="ml.I104")]
    messages = _values(product, values, len(kept))
    each = (len(many) - len(few)) / (len(kept) - 1) if len(kept) > 1 else 0.0
    if each >= 0.5:
        messages.append(_prefetch_message(product, many.captured_queries, each))
    shown = catalogue.newest(1)
    if not shown:
        messages.append(
            checks.Warning(
                "ML_CATALOG product: not one product may be shown, so every list is empty.",
                hint="Look at `filter`, `exclude`, `visible` and `in_stock`.",
                id="ml.W107",
            )
        )
    if catalogue.failures:
        what = ", ".join(f"{where} ({count})" for where, count in catalogue.failures.items())
        messages.append(checks.Warning(f"ML_CATALOG: fields that could not be read: {what}.", id="ml.W108"))
    return messages


def _evaluate(product: Products, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Values of every mapped field; a failing one is the error itself."""
    values: dict[str, list[Any]] = {name: [] for name in product.fields}
    for row in rows:
        for name, expression in product.fields.items():
            try:
                values[name].append(expression.evaluate(row))
            except CatalogueError as error:
                values[name].append(error)
    return values


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _values(product: Products, values: Mapping[str, list[Any]], count: int) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    lines = []
    for name, found in values.items():
        errors = [value for value in found if isinstance(value, CatalogueError)]
        if errors:
            messages.append(
                checks.Warning(
                    f"ML_CATALOG product.fields.{name} cannot be read for {len(errors)} of {count} products: "
                    f"{errors[0]}",
                    id="ml.W108",
                )
            )
        empty = sum(is_empty(value) for value in found)
        sample = next((value for value in found if not is_empty(value) and not isinstance(value, CatalogueError)), None)
        share = f", {100 * empty // count} % empty" if empty else ""
        lines.append(f"  {name}: {_short(sample)}{share}")
        if empty / count > _EMPTY_SHARE and not errors:
            messages.append(
                checks.Warning(
                    f"ML_CATALOG product.fields.{name} is empty for {100 * empty // count} % of {count} products.",
                    hint=f"Is it the right field? Empty means: {CONSEQUENCES.get(name, 'the value is unknown')}.",
                    id="ml.W109",
                )
            )
    listed = "\n".join(lines)
    messages.append(Info(f"ML_CATALOG product: a sample of {count} products reads\n{listed}", id="ml.I105"))
    return messages


_FROM = re.compile(r'\bFROM\s+["`\[]?(\w+)["`\]]?', re.IGNORECASE)


def _prefetch_message(product: Products, queries: Sequence[Mapping[str, Any]], each: float) -> CheckMessage:
    tables = Counter(match[1] for query in queries if (match := _FROM.search(str(query.get("sql", "")))))
    repeated = [table for table, count in tables.most_common(5) if count > 2]
    advice = []
    for relation in product.rows.model._meta.get_fields():
        model = getattr(relation, "related_model", None)
        if not relation.is_relation or model is None or model == "self" or model._meta.db_table not in repeated:
            continue
        many = relation.one_to_many or relation.many_to_many
        accessor = relation.get_accessor_name() if hasattr(relation, "get_accessor_name") else relation.name
        if accessor:
            advice.append(f'"{accessor}" to {"prefetch_related" if many else "select_related"}')
    return checks.Warning(
        f"ML_CATALOG product: {each:.1f} queries per product, on {', '.join(repeated) or 'several tables'}.",
        hint=(f"Add {' and '.join(advice)}. " if advice else "")
        + "Where a property filters a relation, prefetching it does not help: map a path, or a call: over the "
        "prefetched rows.",
        id="ml.W110",
    )


def _order_sample(catalogue: DjangoCatalogue) -> list[CheckMessage]:
    if not catalogue.has_orders:
        return []
    orders = [order for order, _ in zip(catalogue.orders(), range(SAMPLE), strict=False)]
    if not orders:
        return [Info("ML_CATALOG orders: there are none yet.", id="ml.I106")]
    ids = list(dict.fromkeys(item.product_id for order in orders for item in order.items))
    known = catalogue.get(ids)
    unknown = [one for one in ids if one not in known]
    messages: list[CheckMessage] = [
        Info(
            f"ML_CATALOG orders: the oldest reads {orders[0].id!r} of {orders[0].when:%Y-%m-%d}, "
            f"{len(orders[0].items)} lines, status {orders[0].status!r} meaning {orders[0].meaning}.",
            id="ml.I106",
        )
    ]
    if ids and len(unknown) > len(ids) / 2:
        messages.append(
            checks.Warning(
                f"ML_CATALOG orders: {len(unknown)} of {len(ids)} products in a sample of orders are no ids of "
                f"products, such as {unknown[0]!r}.",
                hint="order_line.fields.product must give what product.fields.id gives; map `variants` where lines "
                "name variants.",
                id="ml.W111",
            )
        )
    return messages
