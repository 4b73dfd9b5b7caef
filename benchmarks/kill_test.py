"""Processes are killed at random moments; every acknowledged event must be in the lake exactly once.

Producers append small batches to the spool and, after each acknowledgement, write the batch's numbers to a journal of
their own. One batch in twenty is delivered a second time, as a browser does whose answer was lost. Clients post batches
to real web workers (granian) until they are answered with 200, then write their journal. Two committers move the spool
into one Delta table and now and then compact it. The storm kills one process after another with SIGKILL, Redis among
them where it is the transport, and starts another in its place. In the end the journals are compared with the lake, id
by id.

A second, shorter storm takes the search for duplicates away: there the positions alone must keep every event single.
On Redis it runs without the files behind it, and an append without an answer is not repeated.

Last, nobody is killed: Redis is stopped under load and comes back, then hangs and goes on.
"""

from __future__ import annotations

import os
import random
import resource
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._kill.count import in_commit_order, out_of_order
from benchmarks._kill.parts import PRODUCERS, Plan, committer, event
from benchmarks._kill.storm import COMMITTERS, context, outages, storm
from benchmarks._kill.web import WORKERS
from benchmarks.harness import Context, Report, Skip

TITLE = "Under SIGKILLs of producers, web workers, rival committers and Redis no acknowledged event is lost, none twice"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    kills: int
    """Of the storm on files, and of that on Redis."""
    kills_positions_only: int
    """Of the second storm on each."""
    pause: float
    """Mean seconds between two kills."""
    accepted: int
    """Events each first storm goes on for."""
    outage: float
    """Seconds for which Redis is stopped, and then hangs."""
    rows: int
    """Rows of the throughput measurement."""


FULL = Size(kills=220, kills_positions_only=110, pause=0.4, accepted=1_000_000, outage=20.0, rows=1_000_000)
QUICK = Size(kills=22, kills_positions_only=11, pause=0.25, accepted=0, outage=2.0, rows=100_000)
"""Its floors: 200 accepted events a kill, each role killed as often as the full form asks of so many kills."""

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")


def _judge(report: Report, name: str, counts: dict[str, int], kills: int, accepted: int) -> None:
    roles = {"producer": 5, "committer": 5, "web": 11, "redis": 22}
    report.figure(f"{name}kills", counts["kills"], (">=", kills), "SIGKILLs")
    for role, part in roles.items():
        killed = counts.get(f"kills_of_{role}")
        if killed is not None:
            label = {"producer": "producers", "committer": "committers", "web": "web_workers"}.get(role, role)
            report.figure(f"{name}kills_of_{label}", killed, (">=", max(1, kills // part)), "SIGKILLs")
    report.figure(f"{name}acknowledged", counts["acknowledged"], (">=", accepted or 200 * kills), "events")
    if "kills_of_web" in counts:
        report.figure(f"{name}acknowledged_by_web", counts["acknowledged_by_web"], (">=", 20 * kills), "events")
        report.figure(f"{name}refused_by_web", counts["refused_by_web"], ("<=", 0), "answers other than 200")
    report.figure(f"{name}lost", counts["lost"], ("<=", 0), "events")
    report.figure(f"{name}twice", counts["twice"], ("<=", 0), "events")
    report.figure(f"{name}crashes", counts["crashes"], ("<=", 0), "processes")
    report.figure(f"{name}left_in_spool", counts["left_in_spool"], ("<=", 0), "records")
    report.figure(f"{name}unacknowledged_present", counts["unacknowledged_present"], unit="events")
    report.figure(f"{name}commits", counts["commits"])
    report.figure(f"{name}slots", counts["slots"], ("<=", PRODUCERS + COMMITTERS + 2 * WORKERS))


def _storms(ctx: Context, report: Report, size: Size, server: Any = None) -> None:
    """The two storms on one transport."""
    prefix, url = ("redis_", server.url) if server else ("", "")
    for search in (True, False):
        name = prefix if search else f"{prefix}positions_only_"
        kills, accepted = (size.kills, size.accepted) if search else (size.kills_positions_only, 0)
        ctx.progress(f"storm on {'Redis' if server else 'files'}{'' if search else ', positions only'}")
        with tempfile.TemporaryDirectory(prefix="ml-kill-") as folder:
            counts = storm(
                Plan(Path(folder), url, search),
                kills,
                size.pause,
                seed=random.SystemRandom().randrange(2**32),
                accepted=accepted,
                server=server,
                web=search,
                progress=ctx.progress,
            )
        if server:
            server.empty()
        _judge(report, name, counts, kills, accepted)


def _outages(ctx: Context, report: Report, size: Size, server: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="ml-kill-") as folder:
        plan = Plan(Path(folder), server.url, compact=False)
        seed = random.SystemRandom().randrange(2**32)
        least = int(100 * size.outage)
        counts = outages(plan, server, size.outage, seed=seed, least=least, progress=ctx.progress)
        sessions, by_commit, by_time = out_of_order(in_commit_order(plan))
    report.figure("stopped_acknowledged", counts["acknowledged"], (">=", int(500 * size.outage)), "events")
    report.figure("stopped_in_files", counts["in_files"], (">=", least), "events, the lesser outage")
    report.figure("stopped_lost", counts["lost"], ("<=", 0), "events")
    report.figure("stopped_twice", counts["twice"], ("<=", 0), "events")
    report.figure("stopped_refused_by_web", counts["refused_by_web"], ("<=", 0), "answers other than 200")
    report.figure("stopped_crashes", counts["crashes"], ("<=", 0), "processes")
    report.figure("stopped_drained_after", round(counts["drained_s"], 1), ("<=", 60.0), "s, the load going on")
    report.figure("stopped_left_in_spool", counts["left_in_spool"], ("<=", 0), "records")
    report.figure("stopped_commits", counts["commits"], (">=", int(2 * size.outage)))
    report.figure("stopped_sessions", sessions, (">=", 50))
    report.figure("stopped_sessions_out_of_order", by_commit, ("==", 0), "sessions of one process, by commit")
    report.figure("stopped_web_sessions_out_of_order", by_time, ("==", 0), "sessions of many, by event time")


def _measure(folder: Path, rows: int, results: Any) -> None:
    """In a process of its own: fill the spool, then commit all of it; CPU and memory of the committer alone."""
    from ml_models.adapters.spool_file import FileSpool
    from ml_models.core.event import encode_event

    spool = FileSpool(folder / "spool")
    began = time.perf_counter()
    for start in range(0, rows, 500):
        spool.append([encode_event(event(f"{start + n:036d}", start + n)) for n in range(min(500, rows - start))])
    filled = time.perf_counter() - began
    worker, _ = committer(Plan(folder))
    result = worker.run()
    results.put((filled, result.seconds, result.written, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def throughput(folder: Path, rows: int) -> tuple[float, float, int, float]:
    """(seconds to fill, seconds to commit, rows written, peak memory in MiB)."""
    found = context()
    results = found.Queue()
    process = found.Process(target=_measure, args=(folder, rows, results), daemon=True)
    process.start()
    measured: tuple[float, float, int, float] = results.get(timeout=600)
    process.join()
    return measured


def run(ctx: Context) -> Report:
    """The storms on both transports, the outages, and the committer's speed beside them."""
    from tests.servers import NoServer, private_redis

    size = QUICK if ctx.quick else FULL
    report = Report()
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="ml-redis-"))
        try:
            server = stack.enter_context(private_redis(Path(data), *ALWAYS))
        except NoServer as error:
            if os.environ.get("CI", "").lower() == "true":
                raise Skip(str(error), server=True) from error
            server = None
            report.note(f"Nothing was proven on Redis. {error}")
        _storms(ctx, report, size)
        if server is not None:
            _storms(ctx, report, size, server)
            _outages(ctx, report, size, server)
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
