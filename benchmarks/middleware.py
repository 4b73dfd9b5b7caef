"""[middleware] What the two tracking classes add to a page, and what a page notices of our failures.

In process, on one core: blocks of requests through a usual stack of middleware with and without the two classes, in
alternation. What is added is the difference of the quantiles of neighbouring blocks; the figure is the median over the
rounds. Judged is what the page's own thread has to do more (its CPU time, garbage collection included), one page after
the other, so that nothing but the two classes differs. The background thread that stores what they recorded runs
meanwhile on the same core; what it costs, and what pages feel of it by the clock with gaps of several lengths between
them, is reported: without a gap it takes the interpreter from a page now and then, for Python's switch interval (5 ms).

Through granian, on one core: the same shop five times, healthy and with one thing of ours broken each, loaded in turn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks._pages_shop import servers
from benchmarks.harness import ROOT, Report, Skip

TITLE = "The tracking middleware: microseconds added to a page, no query, and pages as fast when our parts fail"

MOST_US = {"0.5": 15.0, "0.99": 75.0}
FULL: dict[str, Any] = {"blocks": 10, "requests": 2_000, "us": MOST_US}
FULL |= {"rounds": 5, "seconds": 6.0, "warm_s": 8.0, "waiting": 200_000}
QUICK: dict[str, Any] = {"blocks": 2, "requests": 400, "us": {"0.5": 100.0, "0.99": 500.0}}
QUICK |= {"rounds": 2, "seconds": 1.0, "warm_s": 2.0, "waiting": 20_000}
"""Floors of `--quick`, fixed: beside other work a cold cache alone multiplies microseconds."""
RATIOS = {"p50": 1.10, "p99": 1.25}
"""A page under our failure may take at most so many times that of the healthy shop; medians of alternating rounds."""
RATIOS_QUICK = {"p50": 3.0, "p99": 10.0}
"""Floors of `--quick`, fixed: seconds on a busy machine tell a stall from none, not a tenth from none."""
TENTH, HALF, SATURATED = 0.1, 0.5, 1.0
"""Share of the time that the process is busy with pages."""


def run(ctx: Any) -> Report:
    """Measure in process, then through the server."""
    if find_spec("granian") is None:
        raise Skip("granian is not installed: pip install granian")
    if not hasattr(os, "sched_setaffinity"):
        raise Skip("the process cannot be pinned to a core on this system")
    plan = {**(QUICK if ctx.quick else FULL), **(RATIOS_QUICK if ctx.quick else RATIOS)}
    cores = sorted(os.sched_getaffinity(0))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="pages-") as temporary:
        folder = Path(temporary)
        for mode, load in (("sync", SATURATED), ("async", SATURATED), ("sync", HALF), ("sync", TENTH)):
            ctx.progress(f"in process, {mode}, {load:.0%} of the core")
            found = _inside(folder / f"{mode}-{load}", mode, plan, load, cores[-1])
            _added(report, plan, found, mode, load)
        if len(cores) < 2:
            report.note("Only one core: the server and its load shared it.")
        servers.measure(ctx, report, plan, folder, cores)
    return report


def _inside(folder: Path, mode: str, plan: dict[str, Any], load: float, core: int) -> dict[str, Any]:
    folder.mkdir()
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    size = map(str, (plan["blocks"], plan["requests"], load))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._pages_shop.inside", mode, *size],
        env={**os.environ, "PAGES_SHOP": str(folder), "PYTHONPATH": paths},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        raise RuntimeError(f"the measurement in process failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _added(report: Report, plan: dict[str, Any], found: dict[str, Any], mode: str, load: float) -> None:
    rounds = found["rounds"]
    pairs = list(zip(rounds["with"], rounds["without"], strict=True))
    names = [f"{kind}_{share}" for kind in ("own", "cpu", "wall") for share in (0.5, 0.9, 0.99, 0.999)]

    def added(name: str) -> float:
        return round(statistics.median(one[name] - other[name] for one, other in pairs), 1)

    title = f"{mode}, {load:.0%} busy"
    rows = []
    for name in names:
        both = [round(statistics.median(one[name] for one in rounds[part]), 1) for part in ("without", "with")]
        rows.append([name, *both, added(name)])
    report.table(f"In process, {title}: us a page", ["quantile", "without", "with", "added"], rows)
    for share in ("0.5", "0.99"):
        name = f"added p{share[2:].ljust(2, '0')}"
        if load == SATURATED:
            report.figure(f"{name}, {mode}", added(f"own_{share}"), ("<=", plan["us"][share]), "us")
        report.figure(f"{name} by the clock, {title}", added(f"wall_{share}"), None, "us")
    if load == SATURATED:
        report.figure(f"queries of pages, {mode}", found["queries"], ("==", 0))
        report.figure(f"Vary on HTML, {mode}", found["vary"] or "none", ("==", "none"))
        report.figure(f"cookies on HTML, {mode}", found["cookies"], ("==", 0))
    # A short block warms up, and every page with the two classes is two events: none may be missing.
    whole = 2 * (plan["blocks"] * plan["requests"] + min(plan["requests"], 500) + 1)
    report.figure(f"events in the spool, {title}", found["records"], ("==", whole), "events")
    report.figure(f"CPU of a page's two events, background included, {title}", added("all_cpu"), None, "us")
    report.note(f"{title}: garbage collections {found['collections']}, counted {found['counters'] or 'nothing'}.")
