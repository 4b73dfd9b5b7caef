"""Forgetting a person: from every place, with a receipt that says what went, what stays and why, and what still leaves.

The order makes it safe to be killed at any point and run again. Tombstones come first, then a fence in the lake: from
there on nothing older can arrive any more. Then the spool is drained and its bytes overwritten, the other places are
emptied, and the rows leave the lake and their files the disk. In the end everything is searched once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from ml_models.core import clock
from ml_models.core.errors import InvalidQuery
from ml_models.core.keyed_ids import ORDER_TYPES, is_keyed
from ml_models.core.lake_schema import LAKE_SCHEMA
from ml_models.core.traces import Traces
from ml_models.data_collection import sweep, tombstones
from ml_models.data_collection.person import Person, trace
from ml_models.data_collection.places import Place, places
from ml_models.data_collection.trained import trained_on

if TYPE_CHECKING:
    import polars as pl

    from ml_models.core.ports import EventStore

__all__ = ["Receipt", "forget"]

_ROUNDS = 5
"""How often the drained spool may bring new ids of the person."""


@dataclass(slots=True)
class Receipt:
    """What an erasure found and did. It names nobody, so it may be kept as a proof."""

    at: datetime
    orders: str
    dry_run: bool = False
    person: dict[str, int] = field(default_factory=dict)
    """How many ids of each kind the person was found by."""
    found: dict[str, int] = field(default_factory=dict)
    """Place -> entries before the erasure."""
    erased: dict[str, int] = field(default_factory=dict)
    """Place -> entries erased or changed."""
    kept: list[str] = field(default_factory=list)
    """What stays, and why."""
    leaving: list[str] = field(default_factory=list)
    """What still leaves, and when."""
    retrain: list[dict[str, Any]] = field(default_factory=list)
    """Model versions trained on rows of the person, see `trained.trained_on`."""
    forgotten_at: datetime | None = None
    """When an earlier erasure of the person was, as far as a tombstone tells."""
    remaining: dict[str, int] = field(default_factory=dict)
    """Place -> entries of before the erasure that the second search found."""

    @property
    def complete(self) -> bool:
        """Whether the second search found nothing."""
        return not self.dry_run and not any(self.remaining.values())

    @property
    def nothing(self) -> str:
        """Where nothing was found, a sentence that says so and why that may be; else empty."""
        if any(self.found.values()):
            return ""
        if self.forgotten_at is not None:
            return f"Nothing is left to erase: this person was forgotten on {self.forgotten_at:%Y-%m-%d %H:%M:%S} UTC."
        return (
            "Nothing was found. Check that the person is named as the shop stores the ids: --user is the primary key "
            "of the user, --visitor the anonymous id of the cookie."
        )


def forget(
    person: Person, *, orders: str = "key", dry_run: bool = False, progress: Callable[[str], None] | None = None
) -> Receipt:
    """Erase a person. Harmless to repeat; after a kill, running it again finishes what was begun.

    `orders`, what becomes of purchases and refunds in the lake: `key` (pseudonyms, and no other personal column),
    `keep` or `delete`. `progress` is told what comes next. Raises `InvalidQuery`, `StoreError`, `SpoolError`.
    """
    from ml_models.adapters.build import get_event_store

    if orders not in tombstones.ORDERS:
        raise InvalidQuery(f"{orders!r} is not one of {', '.join(tombstones.ORDERS)}.")
    tell = progress or (lambda text: None)
    receipt = Receipt(clock.now(), orders, dry_run)
    run = _Run(person, get_event_store(), receipt)
    tell("searching")
    run.search()
    if dry_run:
        return receipt
    tell("draining the spool")
    run.close_the_ways()
    tell("emptying the other places")
    run.empty_places()
    tell("erasing from the lake")
    run.erase_rows()
    run.forget_again()
    tell("searching again")
    run.search_again()
    return receipt


class _Run:
    """One erasure."""

    def __init__(self, person: Person, store: EventStore, receipt: Receipt) -> None:
        self.person = person
        self.store = store
        self.receipt = receipt
        self.traces = trace(person)
        for plan in tombstones.unfinished(_subjects(self.traces)):
            self.traces |= msgspec.convert(plan["traces"], Traces)
            self._add_models(plan["retrain"])
        receipt.forgotten_at = tombstones.latest(_subjects(self.traces))

    def search(self) -> None:
        """Count what there is."""
        import polars as pl

        receipt = self.receipt
        receipt.person = self.traces.counts()
        receipt.found["lake"] = int(self._due().select(pl.len()).collect(engine="streaming").item())
        for place in self._places():
            receipt.found[place.name] = sum(1 for _ in place.find())
        files = self.store.purge(self.traces, orders=receipt.orders, before=receipt.at, dry_run=True)
        receipt.found["old_files"] = files.removed + files.waiting
        self._add_models(trained_on(self._due()))

    def _places(self) -> list[Place]:
        return places(self.traces, self.receipt.at, self.receipt.orders)

    def _due(self) -> pl.LazyFrame:
        """Rows of the lake that have to be dropped or changed."""
        due = self.traces.due(self.receipt.orders, self.receipt.at, list(LAKE_SCHEMA))
        return self.store.find(self.traces).filter(due)

    def _add_models(self, found: list[dict[str, Any]]) -> None:
        known = {(one["model"], one["version"]) for one in self.receipt.retrain}
        self.receipt.retrain += [one for one in found if (one["model"], one["version"]) not in known]

    def close_the_ways(self) -> None:
        """Let nothing older arrive any more, and take in what waits; it may tell of further ids."""
        receipt = self.receipt
        for _ in range(_ROUNDS):
            plan = {"traces": msgspec.to_builtins(self.traces), "retrain": receipt.retrain}
            tombstones.write(_subjects(self.traces), at=receipt.at, orders=receipt.orders, plan=plan)
            self.store.fence()
            for place in self._places():
                if place.on_the_way:
                    self._erase(place)
            before, self.traces = self.traces, self.traces | trace(self.person)
            if _subjects(before) == _subjects(self.traces) and before.spans == self.traces.spans:
                return

    def empty_places(self) -> None:
        """Everything beside the lake."""
        for place in self._places():
            if not place.on_the_way:
                self._erase(place)

    def _erase(self, place: Place) -> None:
        self.receipt.erased[place.name] = self.receipt.erased.get(place.name, 0) + place.erase()
        self._leaves(place.remark)

    def _leaves(self, remark: str) -> None:
        if remark and remark not in self.receipt.leaving:
            self.receipt.leaving.append(remark)

    def erase_rows(self) -> None:
        """Out of the table, then off the disk."""
        from ml_models.adapters.lake_keys import lake_keys

        receipt = self.receipt
        orders, before = receipt.orders, receipt.at
        done = self.store.erase(self.traces, orders=orders, before=before, key=lake_keys()[0])
        files = self.store.purge(self.traces, orders=orders, before=before)
        receipt.erased |= {"lake": done.dropped, "lake_keyed": done.keyed, "old_files": files.removed}

    def forget_again(self) -> None:
        """Recent items once more: a page that was under way may have written some since they went."""
        from ml_models.adapters.build import get_online_store

        store = get_online_store()
        for visitor in self.traces.visitor_keys:
            store.forget(visitor)
        sweep.sweep(grace=timedelta())

    def search_again(self) -> None:
        """The second search; where it finds nothing the plan is dropped. Then the sentences about what stays."""
        import polars as pl

        from ml_models.adapters.database_remains import wipe
        from ml_models.adapters.tables import primary
        from ml_models.orm import Erasure

        receipt = self.receipt
        receipt.remaining["lake"] = int(self._due().select(pl.len()).collect(engine="streaming").item())
        for place in self._places():
            receipt.remaining[place.name] = sum(1 for _ in place.find())
        files = self.store.purge(self.traces, orders=receipt.orders, before=receipt.at, dry_run=True)
        receipt.remaining["old_files"] = files.removed
        if files.waiting:
            receipt.leaving.append(
                f"{files.waiting} files that a writer of the lake may be at work on, or left when it was killed: they "
                "go with the same command run again in an hour."
            )
        if receipt.complete:
            tombstones.finish(_subjects(self.traces), receipt.at)
        self._say_what_stays()
        self._leaves(wipe(primary(Erasure).db))

    def _say_what_stays(self) -> None:
        receipt = self.receipt
        rows = self.store.find(self.traces, columns=["event_type", "event_time", "received_at"]).collect()
        types = Counter(rows.get_column("event_type").to_list())
        kept = sum(types[name] for name in ORDER_TYPES)
        if kept and receipt.orders == "key":
            receipt.kept.append(
                f"{kept} rows of purchases and refunds under pseudonyms, every other personal column empty: the shop "
                "has to keep its books. --orders delete drops them."
            )
        elif kept and receipt.orders == "keep":
            receipt.kept.append(f"{kept} rows of purchases and refunds with the person's id, as --orders keep asked.")
        if self.traces.spans:
            receipt.kept.append(
                "Rows of other users on a device shared with this person, and of the times when they were logged in."
            )
        newer = sum(types[name] for name in types if name not in ORDER_TYPES)
        if newer:
            receipt.kept.append(f"{newer} rows of what the person has done since this erasure began.")
        until = receipt.at + tombstones.KEEP
        receipt.kept.append(
            f"{len(_subjects(self.traces))} tombstones (keyed hashes) until {until:%Y-%m-%d}, so that events which are "
            "still on the way are dropped when they arrive."
        )
        receipt.kept.append("The shop's own tables (accounts, orders): they are the shop's to change.")


def _subjects(traces: Traces) -> list[str]:
    """Visitor keys that get a tombstone: not the pseudonyms, and not devices that others use as well."""
    keys = {f"u:{name}" for name in traces.users if not is_keyed(name)}
    return sorted(keys | {f"a:{name}" for name in traces.visitors if not is_keyed(name)})
