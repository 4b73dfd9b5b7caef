"""What was recorded, for tests: the spool, the recent items and the dead letters in memory."""

from ml_models.adapters import build
from ml_models.adapters.online_store import MemoryOnlineStore
from ml_models.adapters.spool_memory import MemorySpool
from ml_models.core.errors import SpoolError
from ml_models.core.event import decode_event
from ml_models.data_collection.queue import queue


class FullSpool(MemorySpool):
    """A spool on a full disk."""

    def append(self, records):
        raise SpoolError("No space left on device. Free some.")


class DeadList:
    """Dead letters in a list."""

    def __init__(self):
        self.letters = []

    def write_all(self, letters, *, durable=False):
        self.letters += letters


class Recorded:
    """In force from `install()` on."""

    def __init__(self):
        self.spool, self.online, self.dead = MemorySpool(), MemoryOnlineStore(), DeadList()

    def install(self, **others):
        build.override(**{"spool": self.spool, "online_store": self.online, "dead_letters": self.dead, **others})
        return self

    @property
    def events(self):
        """Everything in the spool, oldest first; what waits in the queue is stored first."""
        queue.flush()
        return [
            decode_event(record)
            for source in self.spool.sources()
            for record in self.spool.read(source, 0, 10_000).records
        ]

    def of_type(self, *types):
        return [event for event in self.events if event.event_type in types]
