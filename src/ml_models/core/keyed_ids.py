"""Orders that stay in the lake after their visitor's behaviour has left it: facts of the order, and keyed ids.

A keyed id is `key:` and 32 hexadecimal digits, the first half of HMAC-SHA256 (RFC 2104) of the id under a secret key.
Equal ids have equal keyed ids, so the orders of one customer still belong together; nobody without the key finds the
id, not even by trying all of them. The holder of the key finds it only where the id itself is still known, which is
what `restore_ids` does, so that a customer whose old orders are keyed and whose new events are not is one visitor.

An id that has the form of a keyed id already is taken for one and left as it is.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "ID_COLUMNS",
    "KEPT_COLUMNS",
    "KEPT_DATA",
    "ORDER_TYPES",
    "PREFIX",
    "is_keyed",
    "key_rows",
    "keyed_content",
    "keyed_id",
    "restore_ids",
    "stale",
]

PREFIX = "key:"
_DIGITS = 32

ORDER_TYPES = ("purchase", "refund")
"""Event types that stay in the lake, with keyed ids: they restate the shop's own orders."""
ID_COLUMNS = ("user_id", "anonymous_id")
"""Columns that are replaced by keyed ids."""
KEPT_COLUMNS = frozenset(
    {
        "event_id",
        "event_type",
        "event_time",
        "received_at",
        "source",
        "site",
        "product_id",
        "variant_id",
        "quantity",
        "unit_price",
        "currency",
        "items",
        "order_id",
        "revision",
        "is_bot",
        "event_date",
    }
)
"""Columns that stay as they are. All others are emptied, those that a later version may add included."""
KEPT_DATA = ("meaning", "content", "currency", "total", "totals")
"""Keys of `data` that stay: what the order has become, the hash by which a change is noticed (`keyed_content`), and
its money."""
_MARK = "keyed"
"""Key of `data` that says the row is done."""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


def keyed_id(value: str, key: bytes) -> str:
    """The keyed id of a user's or visitor's id. `key`: at least 32 secret bytes. A keyed id stays what it is."""
    return value if is_keyed(value) else _hash(value, key)


def is_keyed(value: str) -> bool:
    """Whether an id has the form of a keyed one."""
    digits = value[len(PREFIX) :]
    return value.startswith(PREFIX) and len(digits) == _DIGITS and all(digit in "0123456789abcdef" for digit in digits)


def _hash(value: str, key: bytes) -> str:
    return PREFIX + hmac.digest(key, value.encode(), "sha256").hex()[:_DIGITS]


def keyed_content(content: str, key: bytes) -> str:
    """What stands for the hash of an order's content beside keyed ids.

    The plain hash covers the user's id, so whoever knows the rest of the row would find the id by trying all of them.
    """
    return hmac.digest(key, b"content:" + content.encode(), "sha256").hex()[:_DIGITS]


def _keyed(column: str) -> pl.Expr:
    import polars as pl

    return pl.col(column).str.contains(f"^{PREFIX}[0-9a-f]{{{_DIGITS}}}$")


def stale(columns: Sequence[str]) -> pl.Expr:
    """Whether a row of a frame with these columns holds anything that `key_rows` would change."""
    import polars as pl

    filled = [pl.col(name).is_not_null() for name in columns if name not in KEPT_COLUMNS | {*ID_COLUMNS, "data"}]
    plain = [~_keyed(name).fill_null(True) for name in ID_COLUMNS]
    done = pl.col("data").str.json_path_match(f"$.{_MARK}").fill_null("") == "true"
    return pl.any_horizontal(*filled, *plain, ~done)


def key_rows(rows: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """The rows with keyed ids and with nothing else that tells of a person; same schema, same order."""
    import polars as pl

    changes: list[Any] = [
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in rows.schema.items()
        if name not in KEPT_COLUMNS | {*ID_COLUMNS, "data"}
    ]
    for name in ID_COLUMNS:
        names = rows.get_column(name).drop_nulls().unique().to_list()
        changes.append(pl.col(name).replace(names, [keyed_id(one, key) for one in names]))
    data = [_facts(text, key) for text in rows.get_column("data").to_list()]
    return rows.with_columns(*changes, pl.Series("data", data, dtype=pl.String))


def _facts(text: str | None, key: bytes) -> str:
    values = _decode(text) if text else {}
    kept = {name: values[name] for name in KEPT_DATA if name in values}
    if "content" in kept and not values.get(_MARK):
        kept["content"] = keyed_content(str(kept["content"]), key)
    return str(_encode({**kept, _MARK: True}).decode())


def restore_ids(events: pl.LazyFrame, keys: Sequence[bytes]) -> pl.LazyFrame:
    """The events with the plain id in place of every keyed one whose plain id occurs among them, in their order.

    `keys`: those that rows may have been keyed with, the present one first; without any, nothing is looked for. Needs
    the columns `event_type`, `user_id` and `anonymous_id`. Reads these at once, and hashes the ids in them only where
    any order is keyed.
    """
    import polars as pl

    for column in ID_COLUMNS if keys else ():
        wanted = set(
            events.filter(pl.col("event_type").is_in(ORDER_TYPES) & _keyed(column))
            .select(pl.col(column).unique())
            .collect(engine="streaming")
            .to_series()
        )
        if not wanted:
            continue
        plain = events.filter(~_keyed(column)).select(pl.col(column).unique()).collect(engine="streaming").to_series()
        found = {hashed: name for key in keys for name in plain if (hashed := _hash(name, key)) in wanted}
        if found:
            events = events.with_columns(pl.col(column).replace(found))
    return events
