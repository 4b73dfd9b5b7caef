"""What the floors above may ask of the outside world. Adapters implement these; tests use the memory twins.

External ids are strings at every port. Times are aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from ml_models.core.query import Interaction

if TYPE_CHECKING:
    import polars as pl

    from ml_models.core.traces import Traces

__all__ = [
    "Catalogue",
    "Clock",
    "CommitResult",
    "ErasedRows",
    "EventStore",
    "HistoryEvent",
    "ModelStore",
    "OnlineStore",
    "Order",
    "OrderItem",
    "Product",
    "PurgedFiles",
    "Scrubbed",
    "Snapshot",
    "Spool",
    "SpoolRead",
    "VersionRecord",
    "VersionTable",
]


# -- time -------------------------------------------------------------------------------------------


@runtime_checkable
class Clock(Protocol):
    """The only source of the present. Everything asks it, so that a year can be simulated."""

    def now(self) -> datetime:
        """The present, aware UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


# -- spool ------------------------------------------------------------------------------------------


class SpoolRead(NamedTuple):
    """Records of one source strictly after a position."""

    records: list[bytes]
    position: int
    """Position after the last of `records`; equal to the position asked for when there are none."""


class Scrubbed(NamedTuple):
    """What `Spool.scrub` did."""

    overwritten: int
    """Bytes."""
    remark: str = ""
    """A sentence about what stays for a while; empty where nothing does."""


class Spool(Protocol):
    """A durable queue of opaque records on the way to the lake. Positions grow by at least 1 per record."""

    def append(self, records: Sequence[bytes]) -> None:
        """Store the records durably; returns only when they survive a power cut. Raises `SpoolError`."""

    def sources(self) -> list[str]:
        """Stable names of the sources with anything to read (never one per process)."""

    def read(self, source: str, after: int, max_records: int) -> SpoolRead:
        """Up to `max_records` records of `source` strictly after position `after`."""

    def trim(self, source: str, upto: int) -> None:
        """Forget what the lake proves it has: everything up to and including position `upto`."""

    def scrub(self, position: Callable[[str], int]) -> Scrubbed:
        """Make what the lake has already, up to `position(source)`, unreadable on disk wherever `trim` leaves some.

        Of every source, those with nothing to read included. For erasures; safe beside writers and readers, harmless
        to repeat.
        """

    def stats(self) -> dict[str, Any]:
        """`bytes`, `records`, `oldest_age_s`, `sources` of what waits."""


# -- lake -------------------------------------------------------------------------------------------


class Snapshot(Protocol):
    """One version of the lake; the handle a commit must be made through."""

    @property
    def version(self) -> int:
        """Number of the version, as `CommitResult.version` counts."""

    def position(self, source: str) -> int:
        """Last committed position of a source, 0 when it has none."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What one commit did."""

    written: int
    """Rows appended."""
    duplicates: int
    """Rows left out because the lake had their (event_id, revision)."""
    version: int
    """Version of the table after the commit."""


class ErasedRows(NamedTuple):
    """What an erasure did to the rows of a lake."""

    dropped: int
    keyed: int
    """Purchases and refunds that kept keyed ids and nothing else of the person."""


class PurgedFiles(NamedTuple):
    """What an erasure did to files outside the table."""

    removed: int
    waiting: int
    """Files that hold rows of the person, or cannot be read, and may belong to a writer that is still at work."""


class EventStore(Protocol):
    """The lake: append-only events, positions inside the commits, exactly once."""

    def snapshot(self) -> Snapshot:
        """A fresh snapshot of the table."""

    def commit(self, snapshot: Snapshot, positions: Mapping[str, int], rows: pl.DataFrame) -> CommitResult:
        """Append `rows` less those the lake already has and move the positions, all or nothing.

        Raises `CommitConflict` when anything was committed since `snapshot`: discard, take a new snapshot, read again.
        """

    def scan(
        self,
        *,
        columns: Sequence[str] | None = None,
        event_types: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        every_revision: bool = False,
    ) -> pl.LazyFrame:
        """Latest revision of every event with `start <= event_time < end`, in the lake's schema.

        With `every_revision` the earlier ones too: what an order said before it changed.
        """

    def stats(self) -> dict[str, Any]:
        """`rows`, `bytes`, `files`, `version`, `first`, `last`, `by_type`, `by_source`, `day_bytes`.

        `day_bytes`: UTC day of the events -> bytes of its files.
        """

    def delete(
        self,
        *,
        older_than: datetime | None = None,
        keep_types: Sequence[str] = (),
        keep_sources: Sequence[str] = (),
    ) -> int:
        """Drop rows received before a time, except the kept types and sources; returns how many."""

    def key_ids(
        self, *, key: bytes, older_than: datetime, types: Sequence[str], keep_sources: Sequence[str] = ()
    ) -> int:
        """Put keyed ids into the rows of these types received before a time (`core.keyed_ids`); returns how many.

        Rows of kept sources stay plain. A row is there all the time, plain or keyed; repeated calls change nothing,
        and rows written meanwhile are keyed too. `key`: 32 secret bytes.
        """

    def compact(self) -> dict[str, Any]:
        """Upkeep: merge small files and drop what nobody needs, without breaking readers; says what it did."""

    def days(self) -> dict[date, str]:
        """UTC day -> fingerprint that changes whenever rows of the day may have."""

    def find(self, traces: Traces, *, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Every row of a person, all revisions of it."""

    def fence(self) -> None:
        """When this returns, no commit through an older snapshot can succeed any more."""

    def erase(self, traces: Traces, *, orders: str, before: datetime, key: bytes) -> ErasedRows:
        """Take a person's rows that happened or came before a moment out of the table, until none is left.

        Behaviour goes. `orders`, for purchases and refunds: `keep` leaves them, `key` puts keyed ids in and empties
        every other personal column (`core.keyed_ids`), `delete` drops them. Nothing of the person enters the log.
        """

    def purge(self, traces: Traces, *, orders: str, before: datetime, dry_run: bool = False) -> PurgedFiles:
        """Delete files that left the table and hold such rows, at once; a reader at work may lose one it uses."""


# -- online store -----------------------------------------------------------------------------------


class OnlineStore(Protocol):
    """Recent interactions per visitor, written before the lake is."""

    def record(self, visitor: str, interactions: Sequence[Interaction]) -> None:
        """Add interactions of a visitor; keeps a bounded number of the newest."""

    def record_many(self, batch: Mapping[str, Sequence[Interaction]]) -> None:
        """Add interactions of several visitors at once, by visitor key."""

    def recent(self, visitor: str, limit: int = 50) -> list[Interaction]:
        """The newest interactions, oldest first."""

    def merge(self, source: str, target: str) -> None:
        """Give the history of one visitor key (a guest's) to another (the user's)."""

    def forget(self, visitor: str) -> None:
        """Erase a visitor."""

    def scrub(self) -> str:
        """Get the bytes of what was erased off the disk; a sentence about what stays for a while, empty for nothing."""

    def expire(self, older_than: datetime) -> int:
        """Drop what happened before a time, of everybody; returns how many interactions."""


# -- catalogue --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product as the shop shows it."""

    id: str
    name: str = ""
    description: str = ""
    category: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    brand: str = ""
    price: Decimal | None = None
    currency: str = ""
    in_stock: bool = True
    image: str = ""
    url: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItem:
    """One line of an order."""

    product_id: str
    """Canonical (parent) product id."""
    variant_id: str | None = None
    quantity: int = 1
    """Whole pieces (`core.money.pieces`)."""
    unit_price: Decimal | None = None
    """Of one piece."""
    total: Decimal | None = None
    """Of the line, where `unit_price` was divided from it: 10.00 for 3 is no price of a piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order of the shop, the truth about a purchase."""

    id: str
    when: datetime
    items: tuple[OrderItem, ...]
    currency: str = ""
    user_id: str | None = None
    guest: str | None = None
    """Keyed hash of the guest's e-mail, never the e-mail."""
    status: str = ""
    meaning: str = "purchase"
    """`purchase`, `cancelled`, `refunded` or `pending`."""
    updated: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One row of a table in which the shop itself recorded behaviour."""

    id: str
    """Identity of the row, stable over runs: `<app>.<Model>:<primary key>`."""
    event_type: str
    """A name of `ml_models.core.event.EventType`, such as `product_view`."""
    when: datetime
    product_id: str | None = None
    """Canonical (parent) product id."""
    variant_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    guest: str | None = None
    """Keyed hash of the guest's e-mail, never the e-mail."""
    quantity: int | None = None
    unit_price: Decimal | None = None
    currency: str = ""
    query: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class Catalogue(Protocol):
    """The shop's own products and orders, through `ML_CATALOG`."""

    def visible(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that may be shown and bought right now; one query."""

    def newest(self, limit: int, exclude: Iterable[str] = ()) -> list[str]:
        """Visible ids, newest first; one query. Non-empty while the shop shows one product not excluded."""

    def get(self, ids: Sequence[str]) -> dict[str, Product]:
        """Products by id (visible or not), a fixed number of queries."""

    def products(self, *, since: datetime | None = None) -> Iterator[Product]:
        """All products, in chunks; with `since` only those updated after it where `updated` is mapped."""

    def canonical(self, ids: Sequence[str]) -> dict[str, str]:
        """Variant id -> parent product id for the ids that are variants; others map to themselves."""

    def orders(self, *, since: datetime | None = None, ids: Sequence[str] | None = None) -> Iterator[Order]:
        """Orders, oldest first; with `since` those created or updated after it; with `ids` those, in any order."""

    def history(self, *, since: datetime | None = None) -> Iterator[HistoryEvent]:
        """Behaviour the shop recorded in tables of its own (`ML_CATALOG["history"]`), table by table, oldest first."""


# -- models -----------------------------------------------------------------------------------------


class ModelStore(Protocol):
    """Artifacts of model versions: folders of data files."""

    def put(self, name: str, version: int, directory: Path) -> str:
        """Take a finished folder over atomically; returns its sha256 (over sorted names and contents)."""

    def path(self, name: str, version: int) -> Path:
        """A local folder with the artifact; raises `ArtifactError` when it is missing or damaged."""

    def versions(self, name: str) -> list[int]:
        """Versions present, ascending."""

    def delete(self, name: str, version: int) -> None:
        """Remove one version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """One trained version and where it came from."""

    name: str
    version: int
    kind: str = ""
    status: str = "training"
    """`training`, `ready`, `failed` or `deleted`. The champion is a pointer beside it, never a status."""
    created_at: datetime
    finished_at: datetime | None = None
    trigger: str = "manual"
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    """Window and lineage: `start`, `end`, `interactions`, `users`, `items`, `lake_version`, `hash`."""
    code_version: str = ""
    sha256: str = ""
    error: str = ""


class VersionTable(Protocol):
    """Rows about versions and the champion pointers; every change is one transaction."""

    def create(self, record: VersionRecord) -> VersionRecord:
        """Insert with the next free version number of that name, above the record's own (0 where none is taken)."""

    def update(self, name: str, version: int, **changes: Any) -> VersionRecord:
        """Change fields of one version."""

    def get(self, name: str, version: int) -> VersionRecord | None:
        """One version."""

    def list(self, name: str | None = None, *, limit: int = 100) -> list[VersionRecord]:
        """Newest first."""

    def champions(self) -> dict[str, int]:
        """Model name -> version that serves."""

    def promote(self, name: str, version: int, *, by: str, reason: str, over: int | EllipsisType | None = ...) -> None:
        """Point to a ready version; refuses any other. At most one champion a name, by constraint.

        With `over`, only where that version serves now (None = none does), else raises `PromotionConflict`.
        """

    def promotions(self, name: str, *, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """History of the pointer, newest first: `version`, `previous`, `at`, `by`, `reason`."""
