"""After an erasure: what a forgotten person still leaves on the way to the lake goes with the runs of the committer.

`ml_forget` reaches the lake, the database, Redis and the files of the host it runs on. The rest is reached here, at the
end of every run of the committer, on each host by its own worker:

- Bytes in the spool. The newest segment of a slot outlives `trim`, so each host overwrites its own, once it has not
  done so for the tombstones in force, whenever events of forgotten persons were dropped, and once a day for retention.
- Recent items of events that came late. Whose they are is noted in the database *before* the commit that drops the
  events: afterwards, with the events gone, nobody could tell. The note goes once the items are gone.
- Dead letters that a refusal after the erasure left. Tombstones name nobody, so what may be an id in a letter is hashed
  and looked up, as rows on their way to the lake are.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from django.db import DatabaseError, router

from ml_models.adapters.tables import primary
from ml_models.core import clock
from ml_models.core.errors import MLError, StoreError
from ml_models.core.ids import uuid7
from ml_models.data_collection import counters
from ml_models.data_collection.tombstones import Tombstones
from ml_models.settings import get_settings

__all__ = ["note", "sweep"]

logger = logging.getLogger("bunoraa.ml")

_NOTE = "late:"
"""What the names of the notes begin with, among the sync states."""
_GRACE = timedelta(seconds=10)
"""Recent items are written behind (`recent`), so an event may be dropped before its item is there: a note younger than
this is gone by once more."""
_DAILY = timedelta(days=1)
_HOURLY = timedelta(hours=1)
"""How often, at most, database and Redis are made to write their files anew: gigabytes, perhaps."""
_LETTERS_FOR = timedelta(days=30)
"""As long as a dead letter lies, see `DeadLetters`."""


class _State(msgspec.Struct):
    """What this host has done, in a small file."""

    erasures: str = ""
    """Tombstones for which its files were overwritten last."""
    letters: str = ""
    """Tombstones and letters that were compared last."""
    at: datetime | None = None
    """When its files were overwritten last."""
    anew_at: datetime | None = None
    """When database and Redis were made to write their files anew last."""


def note(visitors: Collection[str]) -> None:
    """Note durably that events of forgotten persons are about to be dropped. Raises `StoreError`.

    `visitors`: visitor keys (`u:...`, `a:...`) of the events.
    """
    from ml_models.orm import SyncState

    try:
        name = uuid7()
        SyncState.objects.create(pk=f"{_NOTE}{name}", updated_at=clock.now(), data={"visitors": sorted(visitors)})
        # A file of its own: a sweep that is under way in another process takes away only those it saw.
        _mark(name)
    except (DatabaseError, OSError) as error:
        raise StoreError(
            f"Whose late events are dropped cannot be noted: {error}. Check the database and free space where "
            'ML_STORAGE["data"] lives; the events wait in the spool.'
        ) from error


def sweep(*, grace: timedelta = _GRACE) -> None:
    """Remove what forgotten persons left behind, as far as this host reaches. Never raises where a store is away.

    `grace`: notes older than that are dropped once their items are gone.
    """
    for step in (lambda: _recent_items(grace), _spool, _letters):
        try:
            step()
        except (MLError, DatabaseError, OSError):
            counters.add("forgotten.sweep_failed")
            logger.exception("What forgotten persons left behind could not all be removed; the next run tries again.")


def _recent_items(grace: timedelta) -> None:
    from ml_models.adapters.build import get_online_store
    from ml_models.orm import SyncState

    notes = primary(SyncState).filter(pk__startswith=_NOTE)
    for one in list(notes):
        for visitor in one.data["visitors"]:
            get_online_store().forget(visitor)
        if clock.now() - one.updated_at >= grace:
            one.delete()


def _spool() -> None:
    from ml_models.adapters.build import get_event_store, get_online_store, get_spool
    from ml_models.adapters.database_remains import wipe
    from ml_models.orm import SyncState

    state, now, wanted = _read(), clock.now(), Tombstones.load().fingerprint
    dropped = sorted(_folder().glob("*"))
    if not dropped and state.erasures == wanted and not _due(state.at, _DAILY):
        return
    anew = bool(dropped) and _due(state.anew_at, _HOURLY)
    spool, position = get_spool(), get_event_store().snapshot().position
    overwrite = spool.scrub if anew else getattr(spool, "scrub_files", spool.scrub)
    remark = overwrite(position).remark
    if anew:
        state.anew_at = now
        remark = " ".join(filter(None, (remark, get_online_store().scrub(), wipe(router.db_for_write(SyncState)))))
        # A note that is still needed leaves its bytes later.
        if not primary(SyncState).filter(pk__startswith=_NOTE).exists():
            for path in dropped:
                path.unlink(missing_ok=True)
    if remark:
        logger.info("Of forgotten persons some bytes stay for a while. %s", remark)
    state.erasures, state.at = wanted, now
    _write(state)


def _due(last: datetime | None, every: timedelta) -> bool:
    return last is None or clock.now() - last >= every


def _letters() -> None:
    from ml_models.adapters.build import get_dead_letters
    from ml_models.data_collection.letters import names_in

    tombstones = Tombstones.load().since(clock.now() - _LETTERS_FOR)
    if not tombstones.rows:
        return
    letters, state = get_dead_letters(), _read()
    compared = f"{tombstones.fingerprint} {letters.fingerprint()}"
    if state.letters == compared:
        return
    # Looked at first without the lock, which would hold up those that refuse events.
    if any(tombstones.name(names_in(letter)) for letter in letters):
        gone = letters.erase(
            lambda letter: tombstones.name(names_in(letter)), lambda line: tombstones.name(names_in(line))
        )
        logger.info("%d dead letters of forgotten persons were removed.", gone)
    state.letters = compared
    _write(state)


# -- the state of this host -------------------------------------------------------------------------


def _path() -> Path:
    return get_settings().storage.data / "swept.json"


def _folder() -> Path:
    """An empty file for each commit that dropped something, until nothing is left of it on this host."""
    return get_settings().storage.data / "late"


def _read() -> _State:
    try:
        return msgspec.json.decode(_path().read_bytes(), type=_State)
    except (FileNotFoundError, msgspec.DecodeError):
        return _State()


def _write(state: _State) -> None:
    """A hint: cut short or lost by a power cut, all is done once more."""
    path = _path()
    if path.parent.is_dir():
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.write_bytes(msgspec.json.encode(state))
        partial.replace(path)


def _mark(name: str) -> None:
    """Durable when this returns; without a data folder nothing lies on this host, and nothing is kept."""
    folder = _folder()
    if folder.parent.is_dir():
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
