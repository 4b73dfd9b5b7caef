"""The lake's columns, derived from the `Event` struct, and the way from events to a frame of them.

One column per field of `Event`, in its order, and `event_date` (UTC day of `event_time`, the partition) at the end.
`items` is a list of structs, null when empty; `data` is JSON text, null when empty. Worker side only: imports Polars.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import polars as pl
from msgspec.structs import astuple

from ml_models.core.errors import InvalidEvent
from ml_models.core.event import Event, EventItem, is_json

__all__ = ["ITEM", "KEY", "LAKE_SCHEMA", "PARTITION", "STATISTICS", "empty_frame", "frame_of_records", "to_frame"]

KEY = ("event_id", "revision")
"""What makes a row: the lake holds each pair once."""
PARTITION = "event_date"
STATISTICS = ("event_id", "event_time", "event_type", "product_id")
"""The only columns with statistics in the table's log: a log outlives DELETE, and these name no person."""

_SIMPLE: dict[Any, pl.DataType] = {
    str: pl.String(),
    int: pl.Int64(),
    bool: pl.Boolean(),
    datetime: pl.Datetime("us", "UTC"),
    dict: pl.String(),
}


def _dtype(hint: Any) -> pl.DataType:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _dtype(arguments[0])
    if origin in (types.UnionType, typing.Union):
        (inner,) = (a for a in arguments if a is not type(None))
        return _dtype(inner)
    if origin is list:
        return pl.List(_dtype(arguments[0]))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return pl.Struct(_columns(hint))
    return _SIMPLE[origin or hint]


def _columns(struct: type[msgspec.Struct]) -> dict[str, pl.DataType]:
    hints = typing.get_type_hints(struct, include_extras=True)
    return {name: _dtype(hints[name]) for name in struct.__struct_fields__}


ITEM = pl.Struct(_columns(EventItem))
LAKE_SCHEMA = pl.Schema({**_columns(Event), PARTITION: pl.Date()})
"""Column name -> Polars type, in column order."""

_encode_lines = msgspec.json.Encoder().encode_lines
_zone = attrgetter("tzinfo")


def empty_frame() -> pl.DataFrame:
    """No rows, every column."""
    return pl.DataFrame(schema=LAKE_SCHEMA)


def _times(values: list[Any]) -> pl.Series:
    if None in map(_zone, values):
        raise ValueError("a time without a time zone")
    # Three times as fast as handing datetimes to Polars, and exact to the microsecond from 1833 to 2106.
    seconds = np.fromiter(map(datetime.timestamp, values), dtype=np.float64, count=len(values))
    if np.abs(seconds).max() >= 2**32:
        return pl.Series(values, dtype=pl.Datetime("us", "UTC"))
    return pl.Series(np.rint(seconds * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))


def _json(values: list[Any]) -> pl.Series:
    filled = [value for value in values if value]
    if not filled:
        return _nulls(pl.String(), len(values))
    # In one call, a line each: JSON has no line break inside.
    lines = iter(_encode_lines(filled).decode().split("\n"))
    return pl.Series([next(lines) if value else None for value in values], dtype=pl.String)


def _items(values: list[Any]) -> pl.Series:
    flat: list[EventItem] = list(chain.from_iterable(values))
    if not flat:
        return _nulls(pl.List(ITEM), len(values))
    lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    structs = pl.DataFrame(
        {name: [getattr(item, name) for item in flat] for name in EventItem.__struct_fields__},
        schema=dict(ITEM.to_schema()),
    ).to_struct("items")
    rows = np.arange(len(values))
    grouped = pl.DataFrame({"row": np.repeat(rows, lengths), "items": structs}).group_by("row", maintain_order=True)
    filled = lengths > 0
    place = pl.Series(np.cumsum(filled) - 1).set(pl.Series(~filled), None)  # of the row's list; null without one
    return grouped.agg("items").get_column("items").gather(place)


def _nulls(dtype: pl.DataType, count: int) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, count)


def _plain(dtype: pl.DataType) -> Callable[[list[Any]], pl.Series]:
    def build(values: list[Any]) -> pl.Series:
        if values[0] is None and values.count(None) == len(values):  # most columns of most batches
            return _nulls(dtype, len(values))
        return pl.Series(values, dtype=dtype, strict=True)

    return build


def _builder(name: str) -> Callable[[list[Any]], pl.Series]:
    dtype = LAKE_SCHEMA[name]
    if name in ("data", "items"):
        return {"data": _json, "items": _items}[name]
    return _times if isinstance(dtype, pl.Datetime) else _plain(dtype)


_BUILDERS = {name: _builder(name) for name in Event.__struct_fields__}


def to_frame(events: Sequence[Event]) -> pl.DataFrame:
    """Events as rows of the lake, in the order given. Raises `InvalidEvent` when a value does not fit its column."""
    if not events:
        return empty_frame()
    values: list[list[Any]] = [[] for _ in _BUILDERS]
    for start in range(0, len(events), 1000):  # a stretch that stays in the processor's cache
        for column, stretch in zip(values, zip(*map(astuple, events[start : start + 1000]), strict=True), strict=True):
            column.extend(stretch)
    columns = {}
    for (name, build), column in zip(_BUILDERS.items(), values, strict=True):
        try:
            columns[name] = build(column)
        except (TypeError, ValueError, OverflowError, AttributeError, pl.exceptions.PolarsError) as error:
            raise InvalidEvent("does_not_fit", name, str(error)) from error
        column.clear()
    return pl.DataFrame(columns).with_columns(pl.col("event_time").dt.date().alias(PARTITION))


# -- from records, without an object per event ------------------------------------------------------

_TIMES = [name for name, dtype in LAKE_SCHEMA.items() if isinstance(dtype, pl.Datetime)]
_FORMAT = "%Y-%m-%dT%H:%M:%S%.fZ"
# Times are read as text first: with a known format that takes a twentieth of the time.
_RECORD_SCHEMA = {
    name: pl.String() if name in _TIMES else dtype for name, dtype in LAKE_SCHEMA.items() if name != PARTITION
}
_REQUIRED = [field.name for field in msgspec.structs.fields(Event) if field.required]
_DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(Event)
    if field.default is not msgspec.NODEFAULT and field.default is not None
}
_ITEM_DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(EventItem)
    if field.default is not msgspec.NODEFAULT and field.default is not None
}


def frame_of_records(records: Sequence[bytes]) -> pl.DataFrame | None:
    """Spool records (`encode_event`) as rows of the lake, in order; None where one of them needs a closer look.

    The same rows as `to_frame(decode_events(records))` gives, most of the work being done outside the interpreter:
    Polars reads the lines and refuses what fits no column. A closer look is needed at records of earlier versions and
    at times that are not in UTC as well. It takes a number for text, which no encoder of events writes.
    """
    if not all(map(is_json, records)):
        return None
    try:
        frame = pl.read_ndjson(b"\n".join(records), schema=_RECORD_SCHEMA)
        times = pl.col(_TIMES).str.to_datetime(_FORMAT, time_unit="us", time_zone="UTC")
        frame = frame.with_columns(times)
    except pl.exceptions.PolarsError:
        return None
    if frame.height != len(records) or any(frame.get_column(name).null_count() for name in _REQUIRED):
        return None
    filled = [pl.col(name).fill_null(value) for name, value in _DEFAULTS.items()]
    items = frame.get_column("items")
    if items.null_count() < len(items):
        inner = [pl.field(name).fill_null(value) for name, value in _ITEM_DEFAULTS.items()]
        if items.explode().struct.field("product_id").null_count() > items.null_count():
            return None
        filled.append(pl.col("items").list.eval(pl.element().struct.with_fields(*inner)))
    return frame.with_columns(*filled, pl.col("event_time").dt.date().alias(PARTITION))
