"""How many events a second the track endpoint takes durably on one core, and how fast they reach the lake.

wrk on one core posts batches of 20 events with valid cookies to one worker on another, at the track endpoint and at a
view that returns a constant, in alternating rounds. The answer of the endpoint waits for `fdatasync`; afterwards the
committer brings the spool into the lake, where every acknowledged event must be. The committer is then measured alone,
on a spool filled beforehand.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._track_shop import load, server
from benchmarks._track_shop.build import EVENTS
from benchmarks.harness import Context, Report, Skip

TITLE = "Durable accept of track requests on one core under granian and gunicorn, and the committer's rate and memory"

PATHS = {"constant": "/floor/", "track": "/api/ml/track/"}
VISITORS = 500
CONNECTIONS = 16
THREADS = 8
"""Threads of the worker: those that wait for the disk at the same time share one sync."""
FULL: dict[str, Any] = {"rounds": 5, "seconds": 8.0, "rows": 2_000_000, "accept": 20_000, "commit": 200_000}
QUICK: dict[str, Any] = {"rounds": 1, "seconds": 3.0, "rows": 200_000, "accept": 4_000, "commit": 30_000}
"""The floors of `--quick` are fixed; they say that nothing is broken on a machine that does other things too."""
OPEN = {"network_rate": 1e6, "network_burst": 10_000_000, "visitor_rate": 1e5, "visitor_burst": 1_000_000}
"""`ML_LIMITS` out of the way: what is measured is the way of a request that is taken."""


def run(ctx: Context) -> Report:
    """Load both servers, then measure the committer."""
    load.need()
    if not hasattr(os, "sched_setaffinity"):
        raise Skip("server and client cannot be pinned to cores on this system")
    plan, report = QUICK if ctx.quick else FULL, Report()
    cores = sorted(os.sched_getaffinity(0))
    report.note(
        f"Batches of {EVENTS} events, {CONNECTIONS} connections, {VISITORS} visitors in turn; {plan['rounds']} "
        f"alternating rounds of {plan['seconds']:g} s after one to warm up, medians over the rounds. Server on core "
        f"{cores[0]}, wrk on core {cores[-1]}; one worker with {THREADS} threads, SQLite in WAL mode, the file spool."
    )
    if len(cores) < 2:
        report.note("Only one core: client and server shared it.")
    for number, name in enumerate(("granian", "gunicorn")):
        _accept(ctx, report, plan, name, cores, judged=number == 0)
    ctx.progress(f"committer: filling a spool with {plan['rows']:,} events")
    with tempfile.TemporaryDirectory(prefix="track-throughput-") as temporary:
        folder = Path(temporary)
        server.python(folder, "build", "1")
        server.python(folder, "lake", "fill", str(plan["rows"]))
        ctx.progress("committer: committing them")
        done = json.loads(server.python(folder, "lake", "commit"))
    report.figure("committer rows", done["rows"], ("==", plan["rows"]))
    report.figure("committer", round(done["rows"] / done["seconds"]), (">=", plan["commit"]), "rows/s")
    report.figure("committer memory", round(done["rss_mib"]), ("<=", 700), "MiB")
    report.figure("committer CPU", round(done["cpu_seconds"] / done["rows"] * 1e6, 2), None, "us/row, start included")
    return report


def _accept(ctx: Context, report: Report, plan: dict[str, Any], name: str, cores: list[int], *, judged: bool) -> None:
    rounds: dict[str, list[dict[str, Any]]] = {path: [] for path in PATHS}
    acknowledged = runs = 0
    with tempfile.TemporaryDirectory(prefix="track-throughput-") as temporary:
        folder = Path(temporary)
        server.python(folder, "build", str(VISITORS))
        options = {"threads": THREADS, "TRACK_SHOP_LIMITS": json.dumps(OPEN)}
        with server.serve(folder, name, core=cores[0], **options) as (port, pid):
            for number in range(plan["rounds"] + 1):
                ctx.progress(f"{name}: round {number} of {plan['rounds']}")
                for what, path in PATHS.items():
                    seconds = plan["seconds"] if number else 2.0
                    before = server.cpu_seconds(pid)
                    client = load.start(
                        folder, port, path, connections=CONNECTIONS, seconds=seconds, core=cores[-1], run=runs
                    )
                    found = load.result(client)
                    runs += 1
                    found["cpu_us"] = (server.cpu_seconds(pid) - before) / max(1, found["requests"]) / EVENTS * 1e6
                    acknowledged += (found["requests"] - found["refused"]) * EVENTS * (what == "track")
                    if number:
                        rounds[what].append(found)
        in_lake = json.loads(server.python(folder, "lake", "commit"))
    rates = {
        what: statistics.median(one["requests"] / one["seconds"] for one in found) for what, found in rounds.items()
    }
    columns = ["view", "requests/s", "events/s", "p50 ms", "p99 ms", "CPU us/event", "failed"]
    rows = []
    for what, found in rounds.items():
        row: list[Any] = [what, round(rates[what]), round(rates[what] * EVENTS)]
        row += [round(statistics.median(one[key] for one in found), 2) for key in ("p50_ms", "p99_ms", "cpu_us")]
        rows.append([*row, sum(one["refused"] + one["broken"] for one in found)])
    report.table(name, columns, rows)
    track = rows[-1]
    report.figure(f"{name} events", track[2], (">=", plan["accept"]) if judged else None, "events/s, durable, one core")
    report.figure(f"{name} p50", track[3], None, "ms")
    report.figure(f"{name} p99", track[4], None, "ms")
    report.figure(f"{name} share of a constant view", round(rates["track"] / rates["constant"], 3))
    report.figure(f"{name} CPU", track[5], None, "us/event, the server's share included")
    report.figure(f"{name} failed", sum(row[-1] for row in rows), ("==", 0), "requests")
    # A load that ends leaves some requests without an answer: those may be in the lake, once.
    extra = in_lake["rows"] - acknowledged
    report.figure(f"{name} acknowledged", acknowledged, (">", 0), "events")
    report.figure(f"{name} lost", max(0, -extra), ("==", 0), "events")
    report.figure(f"{name} twice", in_lake["duplicates"], ("==", 0), "events")
    report.figure(f"{name} not acknowledged", max(0, extra), ("<=", CONNECTIONS * EVENTS * runs), "events")
