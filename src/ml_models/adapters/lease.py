"""Which of several processes leads: a lease in the database, renewed while its holder lives."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from datetime import timedelta

from django.db import DatabaseError, IntegrityError, router, transaction

from ml_models.adapters.tables import primary
from ml_models.core import clock

__all__ = ["Lease"]

logger = logging.getLogger("bunoraa.ml")


class Lease:
    """At most one holder at a time, on any database: every change is one UPDATE that names the state it was made from.

    A holder that dies is followed when its time is over. Hosts must agree on the time to within a few seconds.
    """

    def __init__(self, name: str, *, seconds: float = 60.0) -> None:
        """Do nothing yet; `seconds`: how long it lasts without a renewal."""
        self.seconds = seconds
        self.me = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.holder = ""
        """Who held it when it was last looked at."""
        self._row = f"lease:{name}"
        self._until = float("-inf")

    def hold(self) -> bool:
        """Take or renew it; whether it is ours now. A database that fails for a moment does not end what we hold."""
        try:
            mine = self._take()
        except DatabaseError as error:
            mine = clock.now().timestamp() < self._until
            logger.warning("The lease could not be renewed: %s", error)
        return mine

    def ours(self) -> bool:
        """Whether it is held, as far as can be told without asking: for a holder that renews it elsewhere."""
        return self.holder == self.me and clock.now().timestamp() < self._until

    def _take(self) -> bool:
        from ml_models.orm import SyncState

        now = clock.now()
        until = now.timestamp() + self.seconds
        row = primary(SyncState).filter(pk=self._row).first()
        if row is None:
            try:
                with transaction.atomic(using=router.db_for_write(SyncState)):
                    SyncState.objects.create(pk=self._row, updated_at=now, data={"holder": self.me, "until": until})
            except IntegrityError:  # another was faster
                return False
        else:
            self.holder = str(row.data.get("holder", ""))
            if self.holder != self.me and row.data.get("until", 0) > now.timestamp():
                return False
            # The time of the last change is what the UPDATE compares, so it must differ from the one before.
            stamp = max(now, row.updated_at + timedelta(microseconds=1))
            unchanged = SyncState.objects.filter(pk=self._row, updated_at=row.updated_at)
            if not unchanged.update(updated_at=stamp, data={"holder": self.me, "until": until}):
                return False
        self.holder, self._until = self.me, until
        return True

    def release(self) -> None:
        """Give it back, where it is ours, so that another need not wait for its end."""
        from ml_models.orm import SyncState

        if self.holder == self.me:
            row = primary(SyncState).filter(pk=self._row).first()
            if row is not None and row.data.get("holder") == self.me:
                SyncState.objects.filter(pk=self._row, updated_at=row.updated_at).update(data={})
            self.holder, self._until = "", float("-inf")
