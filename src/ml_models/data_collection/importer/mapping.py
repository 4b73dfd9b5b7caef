"""From the columns of a file to events: which column means what, and which rows cannot be taken.

All of it works on whole columns. A row is judged by the first rule it breaks; the reasons are short codes:
`missing_time`, `bad_time`, `time_out_of_range`, `missing_visitor`, `unknown_event_type`, `missing_item`,
`bad_quantity`, `bad_price`, `bad_currency`, `id_too_long`, `bad_characters`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from ml_models.core import clock
from ml_models.core.errors import ConfigError
from ml_models.core.event import ALIASES, INTERACTION_TYPES, EventType
from ml_models.core.ids import MAX_ID
from ml_models.core.money import MAX_MINOR, exponent

__all__ = ["FIELDS", "TARGETS", "ColumnMap", "Mapped", "parse_pairs"]

FIELDS: dict[str, pl.DataType] = {
    "event_type": pl.String(),
    "event_time": pl.Datetime("us", "UTC"),
    "user_id": pl.String(),
    "anonymous_id": pl.String(),
    "session_id": pl.String(),
    "product_id": pl.String(),
    "variant_id": pl.String(),
    "quantity": pl.Int64(),
    "unit_price": pl.Int64(),
    "currency": pl.String(),
    "order_id": pl.String(),
    "query": pl.String(),
    "page_url": pl.String(),
    "data": pl.String(),
}
"""What an imported row is made of, in the order in which its content is written down for the event id."""

TARGETS: dict[str, str] = {
    "user": "user_id",
    "anonymous": "anonymous_id",
    "session": "session_id",
    "item": "product_id",
    "variant": "variant_id",
    "order": "order_id",
    "query": "query",
    "url": "page_url",
}
"""Names of `--map` that are taken over as text -> field. Besides them: time, type, quantity, price, total, currency."""

_OTHER = ("time", "type", "quantity", "price", "total", "currency")
_NAMED = {"product": "item", "item_id": "item", "product_id": "item", "user_id": "user", "timestamp": "time"}
_NOT_HISTORY = {EventType.IDENTITY_LINK, EventType.CONSENT_CHANGE}
_NEEDS_ITEM = {*INTERACTION_TYPES, "cart_remove", "cart_update", "wishlist_remove", "review_submit", "search_click"}
_COMMON = {
    "view": "product_view",
    "click": "product_click",
    "cart": "cart_add",
    "addtocart": "cart_add",
    "wishlist": "wishlist_add",
    "favorite": "wishlist_add",
    "buy": "purchase",
    "order": "purchase",
    "transaction": "purchase",
}
"""Words that public data sets use for an event type."""
_LONGEST = {
    **dict.fromkeys(("product_id", "variant_id"), MAX_ID),
    **dict.fromkeys(("user_id", "anonymous_id", "session_id", "order_id"), 150),
}
"""Longest ids taken; characters. They are as wide as the tables that hold them."""
_MAX_TEXT = 1024
_LARGEST = Decimal(10**14)
"""Largest price or quantity that is calculated with; in minor units it still fits 64 bits. Beyond it is no number."""
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_ISO = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d",
)


class Mapped(NamedTuple):
    """What became of a batch."""

    events: pl.DataFrame
    """Rows in the schema of `FIELDS`."""
    bad: pl.DataFrame
    """`index` (of the batch), `reason`, `detail`."""
    skipped: dict[str, int]
    """Rows left out by a cleaning rule of the preset, by rule."""


def parse_pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """`["a=b,c=d", "e=f"]` as a dict; raises `ConfigError` for anything else."""
    found: dict[str, str] = {}
    for text in texts:
        for pair in filter(None, (part.strip() for part in text.split(","))):
            name, sign, value = pair.partition("=")
            if not sign or not name.strip() or not value.strip():
                raise ConfigError(f'{option} takes "name=value,name=value"; {pair!r} is not such a pair.')
            found[name.strip()] = value.strip()
    return found


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """Which column of a file means what."""

    columns: Mapping[str, str]
    """Name of `TARGETS` (or time, type, quantity, price, total, currency, data.KEY) -> column of the file."""
    event_type: str = ""
    """Type of every row, where no column says it."""
    types: Mapping[str, str] = field(default_factory=dict)
    """The file's word for a type -> our name, beside our own names and the known aliases."""
    currency: str = ""
    """Currency of every price, where no column says it; ISO 4217."""
    timezone: str = "UTC"
    """Time zone of times that carry none."""
    time_format: str = "auto"
    """`auto`, `iso`, `epoch_s`, `epoch_ms`, `epoch_us`, `position` or a strptime format.

    `position` means the column counts steps, one hour each from 2000-01-01: for data that has an order but no clock.
    """
    decimal: str = "."
    """Decimal sign of prices and quantities in text files."""
    whole: frozenset[str] = frozenset()
    """Targets whose ids some exports write as `17.0` and which mean `17`."""
    skip: Mapping[str, pl.Expr] = field(default_factory=dict)
    """Cleaning rules: name -> expression over the file's columns that is true for a row to leave out."""
    reads: tuple[str, ...] = ()
    """Further columns that the cleaning rules read."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` with the first thing that does not fit."""
        columns = {_NAMED.get(name, name): column for name, column in self.columns.items()}
        object.__setattr__(self, "columns", columns)
        known = [*TARGETS, *_OTHER]
        for name in columns:
            if name not in known and not name.startswith("data."):
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise ConfigError(f"--map: {name!r} is not a name.{hint} Use {', '.join(known)} or data.KEY.")
        if "time" not in columns:
            raise ConfigError("--map must say which column holds the time: time=COLUMN.")
        if not {"user", "anonymous"} & columns.keys():
            raise ConfigError(
                "--map must say whose event a row is: user=COLUMN (a user of the shop) or anonymous=COLUMN (a device, "
                "or a session where nothing else is known)."
            )
        if "type" not in columns and not self.event_type:
            raise ConfigError("What happened? Give --type product_view (every row) or map a column: type=COLUMN.")
        if {"price", "total"} <= columns.keys():
            raise ConfigError("--map takes price=COLUMN (of one piece) or total=COLUMN (of the line), not both.")
        if {"total", "data.total"} <= columns.keys():
            raise ConfigError("--map total=COLUMN is kept as data.total itself: choose another name for data.total.")
        for word, name in [("--type", self.event_type), *self.types.items()]:
            if name and name not in self._vocabulary:
                close = difflib.get_close_matches(name, self._vocabulary, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise ConfigError(f"{word}: {name!r} is not an event type that can be imported.{hint}")
        if self.event_type in _NEEDS_ITEM - {"purchase"} and "item" not in columns and "type" not in columns:
            raise ConfigError(f"A {self.event_type} is about a product: map its column with item=COLUMN.")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(
                f"--timezone: {self.timezone!r} is not a time zone. Use a name such as Europe/Berlin."
            ) from error
        if self.currency and not (len(self.currency) == 3 and self.currency.isalpha() and self.currency.isupper()):
            raise ConfigError(f"--currency: {self.currency!r} is not an ISO 4217 code such as EUR.")
        if self.decimal not in (".", ","):
            raise ConfigError(f"--decimal: {self.decimal!r} is neither '.' nor ','.")
        if self.time_format not in ("auto", "iso", "position", *_EPOCHS) and "%" not in self.time_format:
            raise ConfigError(
                f"--time-format: {self.time_format!r} is not a format. Use auto, iso, {', '.join(_EPOCHS)}, or one "
                "such as '%d/%m/%Y %H:%M'."
            )

    @property
    def _vocabulary(self) -> list[str]:
        return [str(name) for name in EventType if name not in _NOT_HISTORY]

    @property
    def needed(self) -> list[str]:
        """Columns of the file that are read, each once."""
        return list(dict.fromkeys([*self.columns.values(), *self.reads]))

    def describe(self) -> str:
        """All that decides what a row becomes, as one line: part of the identity of an import."""
        return repr(
            (
                sorted(self.columns.items()),
                self.event_type,
                sorted(self.types.items()),
                self.currency,
                self.timezone,
                self.time_format,
                self.decimal,
                sorted(self.whole),
                [(name, str(rule)) for name, rule in self.skip.items()],
            )
        )

    def apply(self, frame: pl.DataFrame) -> Mapped:
        """Turn rows of the file into events, bad rows and skipped rows."""
        frame = frame.with_row_index("\x00index")
        skipped: dict[str, int] = {}
        for name, rule in self.skip.items():
            before = frame.height
            frame = frame.filter(~rule.fill_null(False))
            if before > frame.height:
                skipped[name] = before - frame.height
        out = frame.select(pl.col("\x00index").alias("index"))
        problems: list[tuple[str, pl.Series, str | None]] = []

        for name, target in TARGETS.items():
            cell = self._text(frame, name) if name in self.columns else _nothing(frame, target)
            out = out.with_columns(cell.alias(target))
        self._time(frame, out, problems)
        visitor = out["user_id"].is_not_null() | out["anonymous_id"].is_not_null()
        problems.append(("missing_visitor", ~visitor, None))
        self._type(frame, out, problems)
        needs = out["event_type"].is_in(sorted(_NEEDS_ITEM))
        if "item" not in self.columns:
            needs = needs & (out["event_type"] != "purchase")  # an order known only as a whole
        problems.append(("missing_item", needs & out["product_id"].is_null(), None))
        self._amounts(frame, out, problems)
        for target in TARGETS.values():
            if out[target].null_count() < out.height:
                longest = _LONGEST.get(target, _MAX_TEXT)
                problems.append(("id_too_long", out[target].str.len_chars() > longest, target))
                problems.append(("bad_characters", out[target].str.contains("[\\x00-\\x1f\\x7f\ufffd]"), target))

        reason, detail = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.String)
        for number, (code, hit, source) in reversed(list(enumerate(problems))):
            out = out.with_columns(hit.fill_null(False).alias(f"\x00{number}"))
            reason = pl.when(f"\x00{number}").then(pl.lit(code)).otherwise(reason)
            detail = pl.when(f"\x00{number}").then(pl.lit(source, dtype=pl.String)).otherwise(detail)
        out = out.with_columns(reason.alias("reason"), detail.alias("detail"))
        good = out.filter(pl.col("reason").is_null()).select(pl.col(name).cast(kind) for name, kind in FIELDS.items())
        return Mapped(good, out.filter(pl.col("reason").is_not_null()).select("index", "reason", "detail"), skipped)

    # -- columns -----------------------------------------------------------------------------------

    def _text(self, frame: pl.DataFrame, name: str) -> pl.Series:
        """A column as text, the same whatever format it came in; empty is null."""
        cell = frame[self.columns[name]]
        if cell.dtype.is_float():
            whole = cell.is_finite() & (cell == cell.round(0)) & (cell.abs() < 2**53)
            text = pl.select(
                pl.when(whole).then(cell.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(cell.cast(pl.String))
            ).to_series()
            return text.set(cell.is_nan().fill_null(False), None)
        if cell.dtype == pl.Boolean:
            return cell.replace_strict({True: "true", False: "false"}, return_dtype=pl.String)
        text = cell.cast(pl.String).str.strip_chars()
        if name in self.whole:
            text = text.str.replace(r"^(\d+)\.0+$", "$1")
        return text.set((text == "").fill_null(False), None)

    def _number(self, frame: pl.DataFrame, name: str) -> tuple[pl.Series, pl.Series]:
        """A column as Decimal with 6 digits, and where something stands that is no number."""
        cell = frame[self.columns[name]]
        if cell.dtype.is_float():
            cell = cell.set(cell.is_nan().fill_null(False), None)
        elif not cell.dtype.is_numeric():
            cell = self._text(frame, name)
            if self.decimal == ",":
                cell = cell.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        number = cell.cast(pl.Decimal(38, 6), strict=False)
        number = number.set(((number > _LARGEST) | (number < -_LARGEST)).fill_null(False), None)
        return number, cell.is_not_null() & number.is_null()

    def _time(self, frame: pl.DataFrame, out: pl.DataFrame, problems: list[tuple[str, pl.Series, str | None]]) -> None:
        cell = frame[self.columns["time"]]
        given = cell.is_not_null()
        if cell.dtype == pl.String:
            cell = cell.str.strip_chars()
            given = given & (cell != "")
        moment = self._moment(cell)
        out.insert_column(1, moment.alias("event_time"))
        latest = clock.now() + timedelta(days=1)
        problems.append(("missing_time", ~given, None))
        problems.append(("bad_time", moment.is_null(), None))
        problems.append(("time_out_of_range", (moment < _EARLIEST) | (moment > latest), None))

    def _moment(self, cell: pl.Series) -> pl.Series:
        """Times as aware UTC with microseconds; null where the cell cannot be read."""
        style = self.time_format
        if isinstance(cell.dtype, pl.Datetime) or cell.dtype == pl.Date:
            return self._aware(cell.cast(pl.Datetime("us", getattr(cell.dtype, "time_zone", None))))
        if style == "position":
            hours = cell.cast(pl.Int64, strict=False)
            micros = hours * 3_600_000_000 + int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
            return micros.cast(FIELDS["event_time"])
        if style in _EPOCHS:
            return self._epoch(cell, style)
        if "%" in style:
            return self._parse(cell.cast(pl.String), style)
        if cell.dtype.is_integer():
            cell = cell.cast(pl.String)
        elif cell.dtype.is_numeric():
            return self._epoch(cell, "")
        # The first cell's format is tried first on all; the others only on what is left.
        first = cell.drop_nulls().head(1)
        likely = sorted(_ISO, key=lambda format: self._parse(first, format).null_count())
        found = self._parse(cell, likely[0])
        for format in likely[1:]:
            missing = found.is_null() & cell.is_not_null()
            if not missing.any():
                break
            where = missing.arg_true()
            found = found.scatter(where, self._parse(cell.gather(where), format))
        if style == "auto":
            # Eight digits are a date, 20240115, and never seconds, which would be the year 1970.
            for pattern, read in (
                (r"^\d{8}$", lambda cells: self._parse(cells, "%Y%m%d")),
                (r"^\d{9,17}(\.\d+)?$", lambda cells: self._epoch(cells, "")),
            ):
                missing = found.is_null() & cell.str.contains(pattern).fill_null(False)
                if missing.any():
                    where = missing.arg_true()
                    found = found.scatter(where, read(cell.gather(where)))
        return found

    def _parse(self, cell: pl.Series, format: str) -> pl.Series:
        read = cell.str.to_datetime(format, strict=False, time_unit="us")
        return self._aware(read)

    def _epoch(self, cell: pl.Series, style: str) -> pl.Series:
        """Epoch times; the unit by the size of the number where none is given (valid from 1973 to 5138)."""
        number = cell.cast(pl.Float64 if cell.dtype.is_float() else pl.Decimal(38, 6), strict=False)
        if style:
            micros = number * _EPOCHS[style]
        else:
            micros = pl.select(
                pl.when(number.abs() < 100_000_000_000)
                .then(number * 1_000_000)
                .when(number.abs() < 100_000_000_000_000)
                .then(number * 1_000)
                .otherwise(number)
            ).to_series()
        return micros.cast(pl.Int64, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")

    def _aware(self, moment: pl.Series) -> pl.Series:
        """UTC; a clock time that daylight saving skips is read an hour later, a doubled one as the first."""
        dtype = moment.dtype
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            return moment.dt.convert_time_zone("UTC")
        zoned = moment.dt.replace_time_zone(self.timezone, ambiguous="earliest", non_existent="null")
        gap = zoned.is_null() & moment.is_not_null()
        if gap.any():
            later = (moment + timedelta(hours=1)).dt.replace_time_zone(
                self.timezone, ambiguous="earliest", non_existent="null"
            )
            zoned = zoned.zip_with(~gap, later)
        return zoned.dt.convert_time_zone("UTC")

    def _type(self, frame: pl.DataFrame, out: pl.DataFrame, problems: list[tuple[str, pl.Series, str | None]]) -> None:
        if "type" not in self.columns:
            kind = pl.Series([self.event_type], dtype=pl.String).new_from_index(0, frame.height)
        else:
            words = {word.lower(): name for word, name in ALIASES.items()}
            words |= _COMMON | {name: name for name in self._vocabulary}
            words |= {word.lower(): name for word, name in self.types.items()}
            text = self._text(frame, "type").str.to_lowercase()
            kind = text.replace_strict(words, default=None, return_dtype=pl.String)
            if self.event_type:
                kind = kind.zip_with(text.is_not_null(), pl.Series([self.event_type]).new_from_index(0, kind.len()))
        out.insert_column(1, kind.alias("event_type"))
        problems.append(("unknown_event_type", kind.is_null(), None))

    def _amounts(
        self, frame: pl.DataFrame, out: pl.DataFrame, problems: list[tuple[str, pl.Series, str | None]]
    ) -> None:
        count = pl.Series([None], dtype=pl.Int64).new_from_index(0, frame.height)
        if "quantity" in self.columns:
            number, wrong = self._number(frame, "quantity")
            count = number.cast(pl.Int64, strict=False)
            broken = (number != count) | (count < 1) | (count > 1_000_000_000)
            problems.append(("bad_quantity", wrong | broken.fill_null(False), None))
        bought = (out["event_type"] == "purchase") & count.is_null()
        count = count.set(bought.fill_null(False), 1)

        if "currency" in self.columns:
            currency = self._text(frame, "currency").str.to_uppercase()
            problems.append(("bad_currency", ~currency.str.contains("^[A-Z]{3}$"), None))
            if self.currency:
                currency = currency.fill_null(self.currency)
        else:
            currency = pl.Series([self.currency or None], dtype=pl.String).new_from_index(0, frame.height)

        price = pl.Series([None], dtype=pl.Int64).new_from_index(0, frame.height)
        total = None
        name = "price" if "price" in self.columns else "total" if "total" in self.columns else ""
        if name:
            number, wrong = self._number(frame, name)
            factor = pl.Series([100]).new_from_index(0, frame.height)
            if currency.null_count() < currency.len():
                codes = currency.unique().drop_nulls().to_list()
                factor = currency.replace_strict(
                    {code: 10 ** exponent(code) for code in codes}, default=100, return_dtype=pl.Int64
                )
            # As decimals all the way: 12.345 is rounded half up, never through a binary fraction.
            price = (number * factor.cast(pl.Decimal(38, 0))).round(0, mode="half_away_from_zero")
            price = price.cast(pl.Int64, strict=False)
            problems.append(("bad_price", wrong | ((price < 0) | (price > MAX_MINOR)).fill_null(False), None))
            if name == "total":
                total, pieces = price, count.fill_null(1)
                price = (total * 2 + pieces) // (pieces * 2).set(pieces < 1, 2)
        # A currency without a price says nothing and would only make equal facts differ.
        currency = currency.set(price.is_null(), None)
        for place, (field_, cell) in enumerate((("quantity", count), ("unit_price", price), ("currency", currency))):
            out.insert_column(1 + place, cell.alias(field_))
        out.insert_column(1, self._data(frame, total).alias("data"))

    def _data(self, frame: pl.DataFrame, total: pl.Series | None) -> pl.Series:
        """Further columns as one JSON text, values as text, `total` in minor units as a number."""
        cells = [
            self._text(frame, name).alias(name.removeprefix("data."))
            for name in sorted(self.columns)
            if name.startswith("data.")
        ]
        if total is not None:
            cells.append(total.alias("total"))
        if not cells:
            return _nothing(frame, "data")
        return pl.DataFrame(cells).select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _nothing(frame: pl.DataFrame, target: str) -> pl.Series:
    return pl.Series([None], dtype=FIELDS[target]).new_from_index(0, frame.height)
