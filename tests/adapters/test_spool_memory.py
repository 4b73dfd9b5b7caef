from ml_models.adapters.spool_memory import MemorySpool
from ml_models.testing.spool import SpoolContract


class TestMemorySpool(SpoolContract):
    def make(self):
        return MemorySpool()
