"""The whole schedule in one process, for shops without Celery: `manage.py ml_worker`.

Several may run; one leads, by a lease in the database, and the others wait for it to die. What was missed while none
ran is caught up once. When each task last began stands in the database (sync state `worker`), written before it begins:
a task that takes the process down with it is tried at its next time and not for ever.

Two tasks may run at a time: bringing events into the lake goes on while a training takes its hours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.utils.timezone import get_default_timezone

from ml_models import tasks
from ml_models.adapters.lease import Lease
from ml_models.adapters.tables import primary
from ml_models.core import clock
from ml_models.schedule import Times, schedule
from ml_models.settings import get_settings

__all__ = ["Done", "Worker", "functions"]

logger = logging.getLogger("bunoraa.ml.worker")

_LANES = {"process_training_data": "events"}
"""Task -> lane; those of one lane run one after the other. All others share a lane."""
_LOOK = 0.5
"""Seconds between two looks while a task runs."""
_AGAIN = 5.0
"""Seconds until a database that failed is asked again."""


def functions() -> dict[str, Callable[[], Any]]:
    """Name of a scheduled task -> what it does; without the tasks that this version does not have."""
    found = {name: getattr(tasks, f"{name}_task", None) for name in schedule()}
    return {name: function for name, function in found.items() if function is not None}


@dataclass(frozen=True, slots=True)
class Done:
    """One run of one task."""

    name: str
    started: datetime
    seconds: float
    result: Any
    """What the task returned; None where it failed."""
    error: str = ""


class Worker:
    """Runs what is due while it leads."""

    def __init__(
        self,
        work: Mapping[str, Callable[[], Any]] | None = None,
        *,
        times: Mapping[str, Times] | None = None,
        lease: Lease | None = None,
        inline: bool = False,
        tell: Callable[[str, Any], None] = lambda what, about: None,
    ) -> None:
        """Build it over the app's tasks and schedule.

        `inline` runs tasks in the calling thread (simulations). `tell(what, about)`: called with `leads` or `waits`
        (and the holder), `begins` (and the task's name), `done` (and a `Done`).
        """
        self._work = functions() if work is None else work
        every = schedule(get_settings().data_collection.flush_interval) if times is None else times
        self.times = {name: every[name] for name in self._work}
        self.zone = get_default_timezone()
        self._lease = lease or Lease("worker")
        self._inline = inline
        self._tell = tell
        self._stopping = False
        self._leads: bool | None = None
        self._began: dict[str, datetime] = {}
        self._new: set[str] = set()
        """Tasks that never ran; they count from the moment at which a worker first knew them."""
        self._running: dict[str, tuple[str, datetime, Future[tuple[Any, str]]]] = {}
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def stop(self) -> None:
        """End after what runs now; may be called by a signal's handler."""
        self._stopping = True

    @property
    def running(self) -> list[str]:
        """Names of the tasks that run now."""
        return [name for name, _, _ in self._running.values()]

    def last(self, name: str) -> datetime | None:
        """When a task last began, as far as this worker knows; None for one that never did."""
        return None if name in self._new else self._began.get(name)

    def run(self, *, once: bool = False, until: datetime | None = None) -> bool:
        """Work until `stop()` or `until`; with `once`, until nothing is due. Whether this worker ever led."""
        led = False
        lanes = {lane: ThreadPoolExecutor(1, f"ml-worker-{lane}") for lane in ("events", "other")}
        try:
            while not self._stopping:
                try:
                    led = self._step(lanes) or led
                except DatabaseError:
                    if once:
                        raise
                    logger.exception("The database failed. The worker goes on when it answers again.")
                    self._renew_at = clock.now() + timedelta(seconds=_AGAIN)
                if once and not self._running:
                    break
                if until is not None and clock.now() >= until:
                    break
                self._pause(until)
            while self._running:  # nothing new is begun; what runs may take its time, and the lease holds so long
                self._lead()
                clock.current().sleep(_LOOK)
                self._collect()
        finally:
            for pool in lanes.values():
                pool.shutdown(wait=False, cancel_futures=True)
            if not self._running:
                self._lease.release()
        return led

    def _step(self, lanes: Mapping[str, ThreadPoolExecutor]) -> bool:
        leads = self._lead()
        self._collect()
        if leads:
            for name in self._due():
                self._begin(name, lanes)
        return leads

    # -- leading ------------------------------------------------------------------------------------

    def _lead(self) -> bool:
        now = clock.now()
        if now >= self._renew_at:
            if not self._inline:  # a simulation's connection is its caller's
                close_old_connections()
            leads = self._lease.hold()
            self._renew_at = now + timedelta(seconds=self._lease.seconds / 3)
            if leads and not self._leads:
                self._load()
            if leads != self._leads:
                self._tell("leads" if leads else "waits", self._lease.holder)
            self._leads = leads
        return bool(self._leads)

    def _load(self) -> None:
        """What the leader before knew; a task that never ran counts from now on, unless it runs every hour."""
        from ml_models.orm import SyncState

        now = clock.now()
        row = primary(SyncState).filter(pk="worker").first()
        kept = {} if row is None else row.data
        self._began = {name: datetime.fromisoformat(text) for name, text in kept.get("began", {}).items()}
        self._new = set(kept.get("new", ()))
        for name, times in self.times.items():
            if name not in self._began and not times.often:
                self._began[name] = now
                self._new.add(name)
        self._save(self._began, self._new)

    @staticmethod
    def _save(moments: Mapping[str, datetime], new: Set[str]) -> None:
        from ml_models.orm import SyncState

        began = {name: moment.isoformat() for name, moment in moments.items()}
        data = {"began": began, "new": sorted(new)}
        SyncState.objects.update_or_create(pk="worker", defaults={"updated_at": clock.now(), "data": data})

    # -- tasks --------------------------------------------------------------------------------------

    def _due(self) -> list[str]:
        now = clock.now()
        latest = {name: times.latest(now, self.zone) for name, times in self.times.items()}
        due = [name for name in latest if name not in self._began or self._began[name] < latest[name]]
        return sorted(due, key=lambda name: latest[name])

    def next(self, name: str) -> datetime:
        """When a task is due next; now where it is due already."""
        now = clock.now()
        times = self.times[name]
        began = self._began.get(name)
        due = began is None or began < times.latest(now, self.zone)
        return now if due else times.next(now, self.zone)

    def _begin(self, name: str, lanes: Mapping[str, ThreadPoolExecutor]) -> None:
        lane = _LANES.get(name, "other")
        if lane in self._running or self._stopping:
            return
        started = clock.now()
        self._save({**self._began, name: started}, self._new - {name})
        self._began[name] = started
        self._new.discard(name)
        self._tell("begins", name)
        if self._inline:
            self._finish(name, started, self._call(name))
        else:
            self._running[lane] = (name, started, lanes[lane].submit(self._in_thread, name))

    def _call(self, name: str) -> tuple[Any, str]:
        """What the task returned, and its error in words where it failed."""
        try:
            return self._work[name](), ""
        except Exception as error:  # whatever it is, the other tasks and the next time must not suffer from it
            logger.exception("ml.%s failed. It is tried again at its next time.", name)
            return None, f"{type(error).__name__}: {error}"

    def _in_thread(self, name: str) -> tuple[Any, str]:
        close_old_connections()
        try:
            return self._call(name)
        finally:
            close_old_connections()

    def _collect(self) -> None:
        """Tell of what has ended."""
        for lane, (name, started, future) in list(self._running.items()):
            if future.done():
                del self._running[lane]
                self._finish(name, started, future.result())

    def _finish(self, name: str, started: datetime, outcome: tuple[Any, str]) -> None:
        self._tell("done", Done(name, started, (clock.now() - started).total_seconds(), *outcome))

    def _pause(self, until: datetime | None) -> None:
        """Sleep until something may be due, in short steps, so that `stop()` is seen."""
        now = clock.now()
        wake = [self._renew_at, *([until] if until is not None else [])]
        if self._running:
            wake.append(now + timedelta(seconds=_LOOK))
        elif self._leads:
            wake += [self.next(name) for name in self.times]
        end = max(min(wake), now + timedelta(milliseconds=10))
        while not self._stopping and (left := (end - clock.now()).total_seconds()) > 0:
            clock.current().sleep(min(left, _LOOK))
