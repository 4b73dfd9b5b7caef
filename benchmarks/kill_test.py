"""Producers and committers are killed at random moments; every acknowledged event must be in the lake exactly once.

Producers append small batches to the file spool and, after each acknowledgement, write the batch's ids to a journal of
their own. One batch in twenty is delivered a second time, as a browser does whose answer was lost. Two committers move
the spool into one Delta table and now and then compact it. The storm kills one process after another with SIGKILL and
starts another in its place. In the end the journals are compared with the lake, id by id.

A second, shorter storm takes the search for duplicates away: there the positions alone must keep every event single.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import tempfile
import time
import uuid
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks.harness import Context, Report

TITLE = "Under SIGKILLs of producers and of two rival committers no acknowledged event is lost and none comes twice"

PRODUCERS = 4
COMMITTERS = 2


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    kills: int
    kills_positions_only: int
    """Kills of a second storm, in which the lake looks for no duplicates and the producers repeat nothing: there the
    positions inside the commits must do it alone."""
    pause: float
    """Mean seconds between two kills."""
    rows: int
    """Rows of the throughput measurement."""


FULL = Size(kills=200, kills_positions_only=100, pause=0.4, rows=1_000_000)
QUICK = Size(kills=50, kills_positions_only=25, pause=0.25, rows=200_000)


def _event(event_id: str, number: int) -> Any:
    from ml_models.core import clock
    from ml_models.core.event import Event

    now = clock.now()
    return Event(
        event_id=event_id,
        event_type="product_view",
        event_time=now,
        received_at=now,
        source="middleware",
        session_id=f"s{number % 997}",
        anonymous_id=str(uuid.UUID(int=number % 9973)),
        page_url=f"/products/{number % 4999}/",
        product_id=str(number % 4999),
        device_type="mobile",
        country="DE",
        data={"list": "search"} if number % 3 == 0 else {},
    )


def _orphaned(parent: int) -> bool:
    return os.getppid() != parent


def produce(folder: Path, name: str, seed: int, repeat: bool) -> None:
    """Append batches for ever; a batch's ids go to the journal once it is acknowledged."""
    from ml_models.adapters.spool_file import FileSpool
    from ml_models.core.event import encode_event

    rng = random.Random(seed)
    parent = os.getppid()
    spool = FileSpool(folder / "spool", segment_bytes=1 << 20)
    journal = os.open(folder / "journal" / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    while not _orphaned(parent) and not (folder / "stop").exists():
        count = rng.randrange(1, 100)
        records = [encode_event(_event(f"{name}-{number + n}", number + n)) for n in range(count)]
        spool.append(records)
        os.write(journal, b"%d %d\n" % (number, number + count))
        if repeat and rng.random() < 0.05:
            spool.append(records)
        number += count
        time.sleep(rng.uniform(0, 0.02))


def commit(folder: Path, seed: int, search: bool) -> None:
    """Commit for ever, compacting now and then."""
    from ml_models.core.errors import StoreError

    rng = random.Random(seed)
    parent = os.getppid()
    committer, store = _committer(folder, search)
    while not _orphaned(parent) and not (folder / "stop").exists():
        committer.run(limit=rng.choice([500, 5_000, 50_000]))
        if rng.random() < 0.03:
            try:
                store.compact(min_files=20)
            except StoreError as error:  # the other one compacts as well; said, and tried again later
                print(f"compaction: {error}", flush=True)
        time.sleep(rng.uniform(0, 0.05))


def _committer(folder: Path, search: bool = True) -> tuple[Any, Any]:
    from ml_models.adapters.dead_letters import DeadLetters
    from ml_models.adapters.event_store import DeltaEventStore
    from ml_models.adapters.spool_file import FileSpool
    from ml_models.data_collection.process import Committer

    class PositionsOnly(DeltaEventStore):
        def _unknown(self, table: Any, rows: Any) -> Any:
            return rows

    store = (DeltaEventStore if search else PositionsOnly)(folder / "lake")
    return Committer(FileSpool(folder / "spool"), store, DeadLetters(folder / "dead")), store


def _context() -> Any:
    # Children come from a server that has the modules imported but has run nothing: cheap, and no thread is forked.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ml_models.adapters.event_store", "ml_models.data_collection.process"])
    return context


def storm(
    folder: Path, total: int, pause: float, *, seed: int, search: bool = True, progress: Any = lambda text: None
) -> dict[str, int]:
    """Kill `total` processes, one every `pause` seconds on average; returns the counts.

    Without `search` the lake looks for no duplicates and the producers repeat nothing.
    """
    rng = random.Random(seed)
    context = _context()
    (folder / "journal").mkdir()
    started = 0

    def start(role: str) -> BaseProcess:
        nonlocal started
        started += 1
        if role == "producer":
            arguments: tuple[Any, ...] = (folder, f"p{started:05d}", seed + started, search)
            process = context.Process(target=produce, args=arguments, daemon=True)
        else:
            process = context.Process(target=commit, args=(folder, seed + started, search), daemon=True)
        process.start()
        return process

    roles = ["producer"] * PRODUCERS + ["committer"] * COMMITTERS
    running = [start(role) for role in roles]
    kills = {"producer": 0, "committer": 0}
    died = 0
    try:
        while sum(kills.values()) < total:
            time.sleep(rng.uniform(0, 2 * pause))
            role = rng.choice(["producer", "committer"])
            place = rng.choice([number for number, name in enumerate(roles) if name == role])
            if running[place].is_alive():
                running[place].kill()
                kills[roles[place]] += 1
            else:
                died += 1  # by itself: a crash is no kill, and is a failure of the proof
            running[place].join()
            running[place] = start(roles[place])
            if sum(kills.values()) % 20 == 0:
                progress(f"{sum(kills.values())} of {total} kills")
    finally:
        (folder / "stop").touch()
        for process in running:
            process.join(30)
            if process.is_alive():
                process.kill()
            died += process.exitcode not in (0, None)
            process.join()
    progress("last commits, then counting")
    committer, store = _committer(folder, search)
    committer.run()
    return {
        **_count(folder, store),
        "kills": sum(kills.values()),
        "kills_of_producers": kills["producer"],
        "kills_of_committers": kills["committer"],
        "crashes": died,
        "commits": store.snapshot().position("committer"),
        "slots": len(list((folder / "spool").iterdir())),
    }


def _count(folder: Path, store: Any) -> dict[str, int]:
    acknowledged: set[str] = set()
    for journal in (folder / "journal").iterdir():
        for line in journal.read_text().splitlines():
            first, last = map(int, line.split())
            acknowledged.update(f"{journal.name}-{number}" for number in range(first, last))
    rows = store.scan(columns=["event_id"]).collect().get_column("event_id")
    present = set(rows)
    return {
        "acknowledged": len(acknowledged),
        "rows": len(rows),
        "lost": len(acknowledged - present),
        "twice": len(rows) - len(present),
        "unacknowledged_present": len(present - acknowledged),
        "left_in_spool": committer_left(folder),
    }


def committer_left(folder: Path) -> int:
    """Records that the spool still counts as waiting."""
    from ml_models.adapters.spool_file import FileSpool

    return int(FileSpool(folder / "spool").stats()["records"])


def _measure(folder: Path, rows: int, results: Any) -> None:
    """In a process of its own: fill the spool, then commit all of it; CPU and memory of the committer alone."""
    from ml_models.adapters.spool_file import FileSpool
    from ml_models.core.event import encode_event

    spool = FileSpool(folder / "spool")
    began = time.perf_counter()
    for start in range(0, rows, 500):
        spool.append([encode_event(_event(f"{start + n:036d}", start + n)) for n in range(min(500, rows - start))])
    filled = time.perf_counter() - began
    committer, _ = _committer(folder)
    result = committer.run()
    results.put((filled, result.seconds, result.written, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def throughput(folder: Path, rows: int) -> tuple[float, float, int, float]:
    """(seconds to fill, seconds to commit, rows written, peak memory in MiB)."""
    context = _context()
    results = context.Queue()
    process = context.Process(target=_measure, args=(folder, rows, results), daemon=True)
    process.start()
    measured: tuple[float, float, int, float] = results.get(timeout=600)
    process.join()
    return measured


def run(ctx: Context) -> Report:
    """The storm, the count, and the committer's speed beside it."""
    size = QUICK if ctx.quick else FULL
    report = Report()
    storms = {"": (size.kills, True), "positions_only_": (size.kills_positions_only, False)}
    for name, (kills, search) in storms.items():
        seed = random.SystemRandom().randrange(2**32)
        with tempfile.TemporaryDirectory(prefix="ml-kill-") as folder:
            counts = storm(Path(folder), kills, size.pause, seed=seed, search=search, progress=ctx.progress)
        report.figure(f"{name}kills", counts["kills"], (">=", kills), "SIGKILLs")
        report.figure(f"{name}kills_of_producers", counts["kills_of_producers"], (">=", kills // 5), "SIGKILLs")
        report.figure(f"{name}kills_of_committers", counts["kills_of_committers"], (">=", kills // 5), "SIGKILLs")
        report.figure(f"{name}acknowledged", counts["acknowledged"], (">=", 200 * kills), "events")
        report.figure(f"{name}lost", counts["lost"], ("<=", 0), "events")
        report.figure(f"{name}twice", counts["twice"], ("<=", 0), "events")
        report.figure(f"{name}crashes", counts["crashes"], ("<=", 0), "processes")
        report.figure(f"{name}left_in_spool", counts["left_in_spool"], ("<=", 0), "records")
        report.figure(f"{name}unacknowledged_present", counts["unacknowledged_present"], unit="events")
        report.figure(f"{name}commits", counts["commits"])
        report.figure(f"{name}slots", counts["slots"], ("<=", PRODUCERS + COMMITTERS))
    ctx.progress("measuring the committer")
    with tempfile.TemporaryDirectory(prefix="ml-kill-") as folder:
        filled, seconds, rows, memory = throughput(Path(folder), size.rows)
    report.figure("append_rate", round(size.rows / filled), unit="events/s, batches of 500, encoding included")
    report.figure("committer_rate", round(rows / seconds), unit="rows/s")
    report.figure("committer_memory", round(memory), unit="MiB peak")
    report.note(
        "An event that was written but not acknowledged may be in the lake, once; a killed producer sends again."
    )
    report.note("append_rate, committer_rate and committer_memory are for information.")
    return report
