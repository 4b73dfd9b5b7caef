"""From the lake's rows to numbers: who did what when, with weights; and the splits, without a leak.

Worker side only (Polars, SciPy); nothing that a web process imports may import this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from ml_models.core.authority import COLUMNS as AUTHORITY
from ml_models.core.authority import drop_shadowed
from ml_models.core.event import INTERACTION_TYPES, NOT_BOUGHT
from ml_models.core.identifiers import IdMap
from ml_models.core.keyed_ids import restore_ids
from ml_models.core.query import Interaction

__all__ = ["Dataset", "interaction_frame", "load_interactions", "type_weights"]

LINK_GRACE = timedelta(minutes=2)
"""How long after a login a guest's rows still count as the user's: pages under way, hosts whose clocks differ."""
DAY = 86_400_000_000
"""Microseconds of a day."""


def type_weights(overrides: Mapping[str, float] | None = None) -> dict[str, float]:
    """Implicit weight per event type: the defaults, `overrides` laid over them, types of weight 0 left out."""
    merged = {**INTERACTION_TYPES, **(overrides or {})}
    return {name: float(weight) for name, weight in merged.items() if weight > 0}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Interactions of visitors with items, sorted by visitor, then time (equal times in the order they came).

    Letters: m interactions, U visitors, n items. Vocabularies are sorted by external id and hold only what occurs.
    """

    user_ids: IdMap
    """Visitor keys: `u:<user id>` or `a:<anonymous id>`."""
    item_ids: IdMap
    users: NDArray[np.int64]
    """(m,) internal visitor ids, ascending."""
    items: NDArray[np.int64]
    """(m,) internal item ids."""
    times: NDArray[np.int64]
    """(m,) microseconds since 1970, UTC."""
    types: NDArray[np.int64]
    """(m,) positions in `type_names`."""
    type_names: tuple[str, ...]
    type_weights: Mapping[str, float]
    """Implicit weight of each event type; > 0."""

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, weights: Mapping[str, float] | None = None) -> Dataset:
        """Build from columns `visitor`, `item`, `time` (Datetime or int64 microseconds UTC) and `type`.

        Rows of types without a positive weight and rows without visitor or item are left out.
        """
        table = type_weights(weights)
        names = tuple(sorted(table))
        frame = (
            frame.filter(pl.col("type").is_in(names))
            .drop_nulls(["visitor", "item", "time", "type"])
            .select(
                pl.col("visitor").cast(pl.String),
                pl.col("item").cast(pl.String),
                pl.col("time").dt.cast_time_unit("us").cast(pl.Int64)
                if frame.schema["time"].is_temporal()
                else pl.col("time").cast(pl.Int64),
                pl.col("type").cast(pl.String),
            )
        )
        user_names = frame["visitor"].unique().sort()
        item_names = frame["item"].unique().sort()
        coded = frame.select(
            pl.col("visitor").cast(pl.Enum(user_names)).to_physical().cast(pl.Int64),
            pl.col("item").cast(pl.Enum(item_names)).to_physical().cast(pl.Int64),
            "time",
            pl.col("type").cast(pl.Enum(list(names))).to_physical().cast(pl.Int64),
        ).sort("visitor", "time", maintain_order=True)
        return cls(
            IdMap(user_names.to_list()),
            IdMap(item_names.to_list()),
            coded["visitor"].to_numpy(),
            coded["item"].to_numpy(),
            coded["time"].to_numpy(),
            coded["type"].to_numpy(),
            names,
            table,
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of visitors."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @property
    def weights(self) -> NDArray[np.float64]:
        """(m,) implicit weight of each interaction."""
        return np.array([self.type_weights[name] for name in self.type_names], dtype=np.float64)[self.types]

    @property
    def first(self) -> datetime | None:
        """Time of the oldest interaction, aware UTC; None without any."""
        return _moment(int(self.times.min())) if len(self) else None

    @property
    def last(self) -> datetime | None:
        """Time of the newest interaction, aware UTC; None without any."""
        return _moment(int(self.times.max())) if len(self) else None

    def indptr(self) -> NDArray[np.int64]:
        """(U + 1,) where each visitor's interactions begin."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1)).astype(np.int64)

    def select(self, keep: NDArray[np.bool_]) -> Dataset:
        """Only some interactions, with vocabularies of their own: nothing of the others shows."""
        users, user_names = _compact(self.users[keep], self.user_ids)
        items, item_names = _compact(self.items[keep], self.item_ids)
        return Dataset(
            user_names,
            item_names,
            users,
            items,
            self.times[keep],
            self.types[keep],
            self.type_names,
            self.type_weights,
        )

    def frequent(self, min_events: int, most: int | None = None) -> Dataset:
        """Only items with at least `min_events` interactions, at most the `most` most frequent (ties by id)."""
        counts = np.bincount(self.items, minlength=self.n_items)
        keep = counts >= min_events
        if most is not None and keep.sum() > most:
            order = np.argsort(-np.where(keep, counts, -1), kind="stable")[:most]
            keep = np.zeros(self.n_items, dtype=bool)
            keep[order] = True
        return self if keep.all() else self.select(keep[self.items])

    def history(self, user: int, newest: int | None = None) -> tuple[Interaction, ...]:
        """A visitor's interactions as a query carries them, oldest first; only the `newest` where given."""
        begin, end = np.searchsorted(self.users, [user, user + 1])
        if newest is not None:
            begin = max(begin, end - newest)
        return tuple(
            Interaction(self.item_ids.names[item], self.type_names[kind], _moment(time))
            for item, kind, time in zip(
                self.items[begin:end].tolist(),
                self.types[begin:end].tolist(),
                self.times[begin:end].tolist(),
                strict=True,
            )
        )

    def inputs(
        self,
        *,
        combine: str = "sum",
        half_life_days: float = 0.0,
        step_decay: float = 1.0,
        since_end: bool = False,
    ) -> sparse.csr_matrix:
        """Weights of all visitors' items as a matrix (U, n), float32: `artifact.history_inputs` for everybody at once.

        With `since_end` time decay counts from the newest interaction of the data instead of each visitor's own, so
        that old visitors weigh less: what a model fits on, where it decays by time.
        """
        values = self.weights
        pointers = self.indptr()
        if half_life_days > 0 and len(self):
            newest = self.times[pointers[1:] - 1][self.users]  # sorted by time within a visitor
            reference = np.int64(self.times.max()) if since_end else newest
            values = values * 0.5 ** ((reference - self.times) / (DAY * half_life_days))
        key = self.users * self.n_items + self.items
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0]) if len(self) else np.empty(0, dtype=np.int64)
        reduce = np.maximum if combine == "max" else np.add
        cells = reduce.reduceat(values[order], starts) if len(self) else values
        cell_keys = key[order][starts]
        if step_decay < 1.0 and len(self):
            ends = np.r_[starts[1:], len(order)] - 1
            latest = order[ends]  # place of each cell's newest interaction; rows are in time order
            rows = cell_keys // self.n_items
            by_age = np.lexsort((-latest, rows))
            row_start = np.searchsorted(rows, rows)  # rows ascend
            steps = np.empty(len(rows), dtype=np.int64)
            steps[by_age] = np.arange(len(rows)) - row_start
            cells = cells * step_decay**steps
        matrix = sparse.csr_matrix(
            (cells.astype(np.float32), (cell_keys // self.n_items, cell_keys % self.n_items)),
            shape=(self.n_users, self.n_items),
        )
        matrix.sort_indices()
        return matrix

    def matrix(self) -> sparse.csr_matrix:
        """Which visitor met which item: ones, (U, n), float32."""
        matrix = self.inputs(combine="max")
        matrix.data[:] = 1.0
        return matrix

    def fingerprint(self) -> str:
        """sha256 over ids, interactions and weights: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for names in (self.user_ids.names, self.item_ids.names, self.type_names):
            digest.update("\n".join(names).encode())
        for array in (self.users, self.items, self.times, self.types):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr(sorted(self.type_weights.items())).encode())
        return digest.hexdigest()

    def lineage(self) -> dict[str, Any]:
        """Window and size, for a version's `data`."""
        return {
            "start": self.first.isoformat() if self.first else None,
            "end": self.last.isoformat() if self.last else None,
            "interactions": len(self),
            "users": self.n_users,
            "items": self.n_items,
            "hash": self.fingerprint(),
        }


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _compact(ids: NDArray[np.int64], names: IdMap) -> tuple[NDArray[np.int64], IdMap]:
    used = np.unique(ids)
    return np.searchsorted(used, ids).astype(np.int64), IdMap(names.names[place] for place in used.tolist())


COLUMNS = (*AUTHORITY, "items", "is_bot", "data")
"""Columns of the lake that training reads."""


def interaction_frame(
    scan: pl.LazyFrame,
    *,
    weights: Mapping[str, float] | None = None,
    canonical: Mapping[str, str] | None = None,
    known_until: datetime | None = None,
    keys: Sequence[bytes] = (),
    bots: bool = False,
) -> pl.LazyFrame:
    """Interactions of the lake: `visitor`, `item`, `time`, `type`, one row a product of an event.

    Left out: bots, unless `bots` is True; copies of a fact that came twice (`core.authority`);
    purchases that were cancelled, refunded or not paid yet (`data.meaning`). A purchase counts once per product in
    it. The visitor is the user where the event names one, else the user that `identity_link` names for its anonymous
    id where that is exactly one (two users of one device are never merged) and the event is no later than the link
    (`LINK_GRACE`), else the anonymous id: a login gives the visitor a new id, so whatever bears the old one later is
    not known to be the user's. With
    `known_until`, events before that time are stitched only by links before it, so that a later login changes nothing
    of the past. `canonical` maps variant ids to products. With `keys`, old orders whose ids are keyed go to their
    visitor where `scan` knows the plain id (`core.keyed_ids`); the others are visitors `u:key:...` and `a:key:...` of
    their own.
    """
    types = list(type_weights(weights))
    scan = restore_ids(scan.select(COLUMNS), keys)
    events = drop_shadowed(
        scan.filter(pl.col("event_type").is_in(types))
        .with_columns(meaning=pl.col("data").str.json_path_match("$.meaning"))
        .filter((pl.col("event_type") != "purchase") | ~pl.col("meaning").fill_null("").is_in(NOT_BOUGHT)),
        canonical,
    ).filter(pl.lit(bots) | ~pl.col("is_bot").fill_null(False))  # last: of a robot's two copies one may be flagged
    links = (
        scan.filter(pl.col("event_type") == "identity_link")
        .select("anonymous_id", link_user="user_id", link_time="event_time")
        .drop_nulls()
    )
    events = _stitch(events, links, known_until)
    inside = pl.col("items").list.eval(pl.element().struct.field("product_id")).list.unique(maintain_order=True)
    frame = (
        events.select(
            "visitor",
            time="event_time",
            type="event_type",
            item=pl.when(pl.col("items").list.len() > 0).then(inside).otherwise(pl.concat_list("product_id")),
        )
        .explode("item")
        .drop_nulls(["visitor", "item"])
    )
    if canonical:
        frame = frame.with_columns(pl.col("item").replace(dict(canonical)))
    return frame


def _stitch(events: pl.LazyFrame, links: pl.LazyFrame, known_until: datetime | None) -> pl.LazyFrame:
    """`events` with `visitor`; `links` has `anonymous_id`, `link_user` and `link_time`, none of them null."""

    def owned(events: pl.LazyFrame, found: pl.LazyFrame, name: str) -> pl.LazyFrame:
        owners = (
            found.group_by("anonymous_id")
            .agg(pl.col("link_user").unique(), (pl.col("link_time").min() + LINK_GRACE).alias("_until"))
            .filter(pl.col("link_user").list.len() == 1)
            .select("anonymous_id", "_until", pl.col("link_user").list.first().alias("_owner"))
        )
        # When it happened, not when it came: a tracker that was offline sends the guest's pages after the login.
        until = pl.when(pl.col("event_time") <= pl.col("_until")).then(pl.col("_owner"))
        joined = events.join(owners, on="anonymous_id", how="left", maintain_order="left")
        return joined.with_columns(until.alias(name)).drop("_until", "_owner")

    events = owned(events, links, "owner")
    owner = pl.col("owner")
    if known_until is not None:
        events = owned(events, links.filter(pl.col("link_time") < known_until), "past_owner")
        owner = pl.when(pl.col("event_time") < known_until).then(pl.col("past_owner")).otherwise(owner)
    return events.with_columns(
        visitor=pl.coalesce(pl.lit("u:") + pl.coalesce("user_id", owner), pl.lit("a:") + pl.col("anonymous_id"))
    )


def load_interactions(
    scan: pl.LazyFrame,
    *,
    weights: Mapping[str, float] | None = None,
    canonical: Mapping[str, str] | None = None,
    known_until: datetime | None = None,
    keys: Sequence[bytes] = (),
    bots: bool = False,
) -> Dataset:
    """Read the lake's interactions (`EventStore.scan()`) into a `Dataset`; see `interaction_frame` for what counts."""
    frame = interaction_frame(scan, weights=weights, canonical=canonical, known_until=known_until, keys=keys, bots=bots)
    return Dataset.from_frame(frame.collect(), weights)
