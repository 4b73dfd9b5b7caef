"""Nobody writes in another's name, and one who floods is refused without the others noticing.

First, forged identities go through the real endpoint into the lake, among honest requests: claimed ids in bodies,
headers and cookies, cookies signed with other or removed keys, expired, changed by a bit, shifted over field
boundaries, spelled otherwise, spliced. Then one attacker floods the track endpoint from one network as fast as wrk
goes, while others shop from networks of their own behind a trusted proxy; in alternating rounds the same flood hits a
view that returns a constant.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._track_shop import load, server
from benchmarks.harness import ROOT, Context, Report, Skip
from benchmarks.track_throughput import OPEN, THREADS

TITLE = "Forged identities are never believed, and a flood is answered with 429 while the others are served as before"

PATHS = {"constant": "/floor/", "track": "/api/ml/track/"}
ATTACKERS = 16
"""Connections of the one who floods."""
BEFORE = 3.0
"""Seconds the flood goes on before the others are measured."""
RATE = 60.0
"""Requests a second of the others, together."""
ALLOWED = {"network_rate": 50.0, "network_burst": 500, "trusted_proxies": 1}
"""The defaults of `ML_LIMITS`, behind one proxy."""
FULL: dict[str, Any] = {"forged": 10_000, "rounds": 6, "seconds": 8.0, "ratio": 1.0}
QUICK: dict[str, Any] = {"forged": 1_500, "rounds": 1, "seconds": 4.0, "ratio": 3.0}
"""The ratio of `--quick` is fixed and wide: a p99 of some hundred requests on a busy machine says little."""


def run(ctx: Context) -> Report:
    """The forgeries, then the flood."""
    load.need()
    if not hasattr(os, "sched_setaffinity"):
        raise Skip("server and client cannot be pinned to cores on this system")
    plan, report = QUICK if ctx.quick else FULL, Report()
    _forge(ctx, report, plan)
    _flood(ctx, report, plan)
    return report


def _forge(ctx: Context, report: Report, plan: dict[str, Any]) -> None:
    seed = random.SystemRandom().randrange(2**32)
    ctx.progress(f"{plan['forged']:,} forged identities, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="forgery-") as temporary:
        folder = Path(temporary)
        more = {
            "TRACK_SHOP_LIMITS": json.dumps(OPEN),
            "TRACK_SHOP_FALLBACKS": json.dumps(["track-shop-fallback"]),
        }
        server.python(folder, "build", "1", **more)
        found = json.loads(server.python(folder, "forge", str(plan["forged"]), str(seed), **more).splitlines()[-1])
    report.table(
        "forged identities",
        ["kind", "sent", "accepted"],
        [[kind, number, found["accepted_by_kind"].get(kind, 0)] for kind, number in sorted(found["kinds"].items())],
    )
    report.note(f"Seed of the forgeries: {seed}.")
    report.figure("forged", found["forged"], (">=", plan["forged"]), "requests")
    report.figure("accepted", found["accepted"], ("==", 0), "forged identities")
    report.figure("false identity links", found["false_links"], ("==", 0))
    report.figure("honest", found["honest"], (">=", plan["forged"] // 5), "requests among them")
    report.figure("honest attributed wrongly", found["wrong_honest"], ("==", 0))
    report.figure("events missing", found["missing"], ("==", 0))
    report.figure("events twice", found["twice"], ("==", 0))
    report.figure("answers other than 200", found["not_200"], ("==", 0))


def _flood(ctx: Context, report: Report, plan: dict[str, Any]) -> None:
    cores = sorted(os.sched_getaffinity(0))
    latencies: dict[str, list[float]] = {name: [] for name in PATHS}
    rounds: dict[str, list[float]] = {name: [] for name in PATHS}
    failures: dict[str, list[str]] = {name: [] for name in PATHS}
    attacks: dict[str, list[dict[str, Any]]] = {name: [] for name in PATHS}
    with tempfile.TemporaryDirectory(prefix="forgery-") as temporary:
        folder = Path(temporary)
        server.python(folder, "build", "500")
        options = {"threads": THREADS, "TRACK_SHOP_LIMITS": json.dumps(ALLOWED)}
        with server.serve(folder, "granian", core=cores[0], **options) as (port, _):
            for number in range(plan["rounds"]):
                ctx.progress(f"flood: round {number + 1} of {plan['rounds']}")
                for place, (name, path) in enumerate(PATHS.items()):
                    attack, others = _round(folder, port, path, plan["seconds"], cores[-1], number * 2 + place)
                    attacks[name].append(attack)
                    latencies[name] += others["latencies"]
                    rounds[name].append(_p99(others["latencies"]))
                    failures[name] += others["failed"]
    rows = []
    for name in PATHS:
        sent = sum(one["requests"] for one in attacks[name])
        refused = sum(one["refused"] for one in attacks[name])
        values = latencies[name]
        rows.append([name, sent, refused, len(values), statistics.median(values), _p99(values), len(failures[name])])
    columns = ["flooded view", "attacker's requests", "refused", "others' requests", "p50 ms", "p99 ms", "failed"]
    report.table("others track while one attacker floods", columns, rows)
    track = attacks["track"]
    taken = sum(one["requests"] - one["refused"] for one in track)
    # Every round may begin with a full bucket.
    due = sum(ALLOWED["network_burst"] + ALLOWED["network_rate"] * (one["seconds"] + 1) for one in track)
    report.figure("attacker's requests refused with 429", sum(one["refused"] for one in track), (">", 0), "requests")
    report.figure("attacker's requests above the limit taken", max(0, round(taken - due)), ("==", 0), "requests")
    report.figure("errors of the others", len(failures["track"]), ("==", 0), "requests")
    for name in PATHS:
        report.figure(f"p99 of the others, {name} flooded", round(_p99(latencies[name]), 2), None, "ms")
    ratio = _p99(latencies["track"]) / _p99(latencies["constant"])
    report.figure("p99 of the others, track against constant", round(ratio, 3), ("<=", plan["ratio"]))
    report.note(
        f"Flood: wrk with {ATTACKERS} connections from one network, no cookie. Others: {RATE:g} track requests a "
        f"second from networks of their own, measured from {BEFORE:g} s on, when the burst that ML_LIMITS grants to "
        f"anybody is used up. One granian worker with {THREADS} threads on core {cores[0]}, clients on core "
        f"{cores[-1]}; p99 over all of {plan['rounds']} alternating rounds of {plan['seconds']:g} s. p99 by round: "
        + "; ".join(f"{name} {', '.join(f'{value:.1f}' for value in rounds[name])}" for name in PATHS)
        + " ms."
    )


def _round(
    folder: Path, port: int, path: str, seconds: float, core: int, run: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One flood of `path`, and what the others saw of it at the track endpoint."""
    attack = load.start(
        folder,
        port,
        path,
        connections=ATTACKERS,
        seconds=seconds + BEFORE,
        core=core,
        run=run,
        LOAD_ANONYMOUS="1",
        LOAD_ADDRESS="198.51.100.66",
    )
    time.sleep(BEFORE - 0.5)
    command = [sys.executable, "-m", "benchmarks._track_shop.others", str(port), PATHS["track"], str(folder)]
    done = subprocess.run(
        [*command, str(seconds - 0.5), str(RATE)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return load.result(attack), json.loads(done.stdout)


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]
