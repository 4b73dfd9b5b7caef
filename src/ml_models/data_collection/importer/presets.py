"""Ready mappings for well-known public data sets: a folder (or one file of it) and what its columns mean.

`ml_import FOLDER --preset NAME`. A preset holds a declaration only; nothing of the data is shipped.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml_models.core.errors import ConfigError
from ml_models.data_collection.importer.mapping import ColumnMap
from ml_models.data_collection.importer.readers import ImportFileError, detect_format

__all__ = ["PRESETS", "Preset", "get_preset"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One data set."""

    title: str
    file: str
    """Name of the file inside the folder."""
    map: ColumnMap
    format: str = ""
    """Format of `file`; empty means by its extension."""
    header: tuple[str, ...] = ()
    """Column names of a file without a header line."""
    note: str = ""
    """What a reader of the figures must know."""

    def files(self, paths: list[Path]) -> list[Path]:
        """The files to read: a folder means the set's own file in it."""
        found = [path / self.file if path.is_dir() else path for path in paths]
        for path in found:
            if not path.is_file():
                raise ImportFileError(f"{path}: there is no such file; the preset reads {self.file} of a folder.")
        return found

    def format_of(self, path: Path) -> str:
        """Format of one file: the set's own, or by the extension of an export of it."""
        if self.format and path.name.removesuffix(".gz") == self.file:
            return self.format
        try:
            return detect_format(path)
        except ImportFileError:
            if self.format:
                return self.format
            raise


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).cast(pl.Float64, strict=False)


def _blank(column: str) -> pl.Expr:
    return pl.col(column).is_null() | (pl.col(column).cast(pl.String).str.strip_chars() == "")


PRESETS: dict[str, Preset] = {
    "online_retail": Preset(
        title="Online Retail II: invoice lines of a British gift wholesaler, 2009-12 to 2011-12",
        file="invoices.parquet",
        map=ColumnMap(
            columns={
                "user": "CustomerID",
                "item": "StockCode",
                "time": "InvoiceDate",
                "quantity": "Quantity",
                "price": "UnitPrice",
                "order": "InvoiceNo",
                "data.country": "Country",
            },
            event_type="purchase",
            currency="GBP",
            timezone="Europe/London",
            whole=frozenset({"user"}),
            skip={
                "cancelled invoice (InvoiceNo starts with C)": pl.col("InvoiceNo").str.starts_with("C"),
                "return or correction (Quantity not positive)": _number("Quantity") <= 0,
                "no customer": _blank("CustomerID"),
                "no price (UnitPrice not positive)": _number("UnitPrice") <= 0,
                "no product (StockCode is no five-digit code: postage, fees, vouchers)": ~pl.col(
                    "StockCode"
                ).str.contains(r"^\d{5}"),
            },
        ),
        note="Each invoice line is one purchase of one product; lines that occur twice on an invoice stay two.",
    ),
    "retailrocket": Preset(
        title="RetailRocket: views, carts and purchases of buyers, 2015-05 to 2015-09",
        file="events.parquet",
        map=ColumnMap(
            columns={"user": "user_id", "item": "item_id", "type": "event", "time": "timestamp"},
            types={"view": "product_view", "cart": "cart_add", "addtocart": "cart_add", "buy": "purchase"},
            time_format="epoch_s",
        ),
        note="The held-out buys (test_buys.csv) are not imported.",
    ),
    "amazon_beauty": Preset(
        title="Amazon Beauty 5-core 2014: reviewed items of each user in order",
        file="Beauty.txt",
        format="sequence",
        map=ColumnMap(
            columns={"user": "user", "item": "item", "time": "position"},
            event_type="product_view",
            time_format="position",
        ),
        note="The set has an order but no clock: the n-th item of a user is put n hours after 2000-01-01. Use a "
        "leave-last-out split, not a split by time.",
    ),
    "ml1m": Preset(
        title="MovieLens-1M: rated films of each user in order",
        file="sequences.parquet",
        map=ColumnMap(
            columns={"user": "user_id", "item": "movie_id", "time": "position"},
            event_type="product_view",
            time_format="position",
        ),
        note="The set has an order but no clock: the n-th film of a user is put n hours after 2000-01-01. Use a "
        "leave-last-out split, not a split by time.",
    ),
    "ml100k": Preset(
        title="MovieLens-100K: ratings with times, 1997-09 to 1998-04",
        file="ml-100k.inter",
        format="tsv",
        map=ColumnMap(
            columns={
                "user": "user_id:token",
                "item": "item_id:token",
                "time": "timestamp:float",
                "data.rating": "rating:float",
            },
            event_type="product_view",
            time_format="epoch_s",
        ),
        note='Every rating is a product_view with its stars in data["rating"]; --type review_submit takes it as such.',
    ),
    "cdnow": Preset(
        title="CDNOW: purchases of 23,570 customers, 1997-01 to 1998-06, days only",
        file="CDNOW_master.txt",
        format="columns",
        map=ColumnMap(
            columns={"user": "customer_id", "time": "date", "price": "dollar_value", "data.units": "number_of_cds"},
            event_type="purchase",
            currency="USD",
            time_format="%Y%m%d",
            timezone="UTC",
        ),
        note='A line is one order without products: its amount is the price, the number of CDs is data["units"].',
    ),
    "completejourney": Preset(
        title="The Complete Journey (sample): grocery receipts of 2,377 households, 2017",
        file="transactions_sample.parquet",
        map=ColumnMap(
            columns={
                "user": "household_id",
                "item": "product_id",
                "time": "transaction_timestamp",
                "quantity": "quantity",
                "total": "sales_value",
                "order": "basket_id",
                "data.store": "store_id",
            },
            event_type="purchase",
            currency="USD",
            skip={"nothing bought (quantity 0: a coupon or a correction)": _number("quantity") <= 0},
        ),
        note='The receipt gives the line total: it is kept in data["total"] (minor units), the price of a piece is '
        "rounded from it. Times carry no zone and are taken as UTC.",
    ),
}

_NO_EVENTS = {
    "rossmann": "daily sales of stores",
    "carparts": "monthly demand of parts",
    "home_depot": "judgements of search results",
    "open_bandit": "impressions of visitors who are not told apart",
    "retrotech": "simulated search sessions without times",
}


def get_preset(name: str) -> Preset:
    """The preset; raises `ConfigError` for an unknown name."""
    name = name.replace("-", "_")
    if name in PRESETS:
        return PRESETS[name]
    if name in _NO_EVENTS:
        raise ConfigError(f"{name} holds {_NO_EVENTS[name]}, no events of visitors: there is nothing to import.")
    close = difflib.get_close_matches(name, [*PRESETS, *_NO_EVENTS], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise ConfigError(f"There is no preset {name!r}.{hint} Presets: {', '.join(PRESETS)}.")
