"""What a training is given besides data: seed, device, budget, and where to report progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ml_models.core import clock

__all__ = ["Run", "available_memory"]


def available_memory() -> int | None:
    """Bytes this process may still take (the machine's, or its control group's when smaller); None where unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            # What the kernel keeps of files and can drop at once is counted as used, yet is free to take.
            stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            used = int((group / "memory.current").read_text(encoding="ascii")) - int(stat.get("inactive_file", 0))
            free = min(free, int(limit) - used)
    except (OSError, ValueError):
        return free
    return max(free, 0)


@dataclass(frozen=True, slots=True)
class Run:
    """One training run."""

    seed: int = 42
    """Seed of everything random."""
    device: str = "cpu"
    """`cpu` or a torch device, for models that use one."""
    epochs: int | None = None
    """Passes over the data, for models that make passes; None means the config's number."""
    time_budget: float | None = None
    """Seconds after which a model with epochs stops at the next one; None means no limit."""
    memory: int | None = field(default_factory=available_memory)
    """Bytes the training may take; None means unknown, and no model refuses."""
    progress: Callable[[str, float], None] | None = None
    """Called with what is being done and the share done, 0 to 1."""
    started: float = field(default_factory=lambda: clock.current().monotonic())
    """Start on the clock that never steps back; seconds."""

    def rng(self) -> np.random.Generator:
        """A fresh generator from the seed."""
        return np.random.default_rng(self.seed)

    def report(self, what: str, share: float) -> None:
        """Tell the progress, when anybody listens."""
        if self.progress is not None:
            self.progress(what, share)

    def over_budget(self) -> bool:
        """Whether the time budget is spent."""
        return self.time_budget is not None and clock.current().monotonic() - self.started > self.time_budget
