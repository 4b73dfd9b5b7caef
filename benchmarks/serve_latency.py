"""How fast lists are served, beside what the same server does without us.

One granian worker on one core, the client on another, three URLs of one process in alternating rounds so that noise
hits all: (a) a view that returns a constant, (b) that view after the bare search, the fastest of several exact ones
over the same vectors, (c) `GET recommendations`: cookie, recent items, search, the shop's word on visibility, JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks._serve_shop import load
from benchmarks.harness import ROOT, START_S, Report, Skip

TITLE = "Recommendations at 10,000 and 100,000 products through one granian worker, beside two floors of the same run"

PATHS = {
    "a: constant": "/floor/constant/",
    "b: constant + search": "/floor/search/",
    "recommendations": "/api/ml/recommendations/?type=personalized&limit=10",
}
FLOOR, OURS = "b: constant + search", "recommendations"
CONNECTIONS = 4
VISITORS = 500
FULL = {"products": (10_000, 100_000), "rounds": 5, "seconds": 8.0, "share": 0.50, "p99_ms": 20.0, "swap_s": 10.0}
QUICK = {"products": (20_000,), "rounds": 2, "seconds": 2.0, "share": 0.25, "p99_ms": 60.0, "swap_s": 10.0}
"""Floors of `--quick`, fixed: on 20,000 products the bare search is cheap, and a busy CI machine disturbs."""


def run(ctx: Any) -> Report:
    """Build the shops, load them, promote a version under load."""
    if find_spec("granian") is None:
        raise Skip("granian is not installed: pip install granian")
    if not hasattr(os, "sched_setaffinity"):
        raise Skip("server and client cannot be pinned to cores on this system")
    plan: dict[str, Any] = QUICK if ctx.quick else FULL
    cores = sorted(os.sched_getaffinity(0))
    report = Report()
    report.note(
        f"Load: {load.tool()}, {CONNECTIONS} connections, {VISITORS} visitors in turn, {plan['rounds']} alternating "
        f"rounds of {plan['seconds']:g} s after one to warm up; medians over the rounds. Server on core {cores[0]}, "
        f"client on core {cores[-1]}; one worker, one blocking thread, BLAS on one thread. SQLite in WAL mode, the "
        "connection kept."
    )
    if len(cores) < 2:
        report.note("Only one core: client and server shared it.")
    for products in plan["products"]:
        _measure(ctx, report, plan, products, judged=products == plan["products"][-1], cores=cores)
    return report


def _measure(ctx: Any, report: Report, plan: dict[str, Any], products: int, *, judged: bool, cores: list[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="serve-latency-") as temporary:
        folder = Path(temporary)
        ctx.progress(f"{products:,} products: building the shop")
        _python(folder, "build", str(products), str(VISITORS))
        searches = json.loads((folder / "search.json").read_text())
        with _server(folder, cores[0]) as (port, pid):
            _check(folder, port)
            rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in PATHS}
            for number in range(plan["rounds"] + 1):
                ctx.progress(f"{products:,} products: round {number} of {plan['rounds']}")
                for name, path in PATHS.items():
                    seconds = plan["seconds"] if number else min(2.0, plan["seconds"])
                    before = _cpu_seconds(pid)
                    result = load.measure(folder, port, path, connections=CONNECTIONS, seconds=seconds, core=cores[-1])
                    result["cpu_ms"] = (_cpu_seconds(pid) - before) / max(1, result["requests"]) * 1000
                    if number:
                        rounds[name].append(result)
            swap = _swap(ctx, folder, port, cores[-1]) if judged else None
    rates = {
        name: statistics.median(one["requests"] / one["seconds"] for one in found) for name, found in rounds.items()
    }
    rows = [
        [
            name,
            round(rates[name]),
            round(statistics.median(one["p50_ms"] for one in found), 2),
            round(statistics.median(one["p99_ms"] for one in found), 2),
            round(statistics.median(one["cpu_ms"] for one in found), 2),
            sum(one["failed"] for one in found),
        ]
        for name, found in rounds.items()
    ]
    report.table(f"{products:,} products", ["URL", "requests/s", "p50 ms", "p99 ms", "CPU ms/request", "failed"], rows)
    times = ", ".join(f"{name} {value:.2f}" for name, value in searches.items())
    report.note(f"{products:,} products, ms per bare search in process: {times}; floor (b) uses the fastest.")
    share = rates[OURS] / rates[FLOOR]
    name = f"{products:,}"
    report.figure(f"share of floor (b) at {name}", round(share, 3), (">=", plan["share"]) if judged else None)
    report.figure(f"p99 at {name}", rows[-1][3], ("<=", plan["p99_ms"]) if judged else None, "ms")
    report.figure(f"p50 at {name}", rows[-1][2], None, "ms")
    report.figure(f"requests/s at {name}", rows[-1][1])
    report.figure(f"failed at {name}", sum(row[5] for row in rows), ("==", 0), "requests")
    if swap is not None:
        report.figure("new version served after", round(swap[0], 2), ("<=", plan["swap_s"]), "s")
        report.figure("failed while swapping", swap[1], ("==", 0), "requests")


def _environment(folder: Path) -> dict[str, str]:
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    settings = "benchmarks._serve_shop.settings"
    return {**os.environ, **one, "SERVE_SHOP": str(folder), "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": settings}


def _python(folder: Path, module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", f"benchmarks._serve_shop.{module}", *arguments]
    subprocess.run(command, check=True, env=_environment(folder), cwd=ROOT)


@contextmanager
def _server(folder: Path, core: int) -> Iterator[tuple[int, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-ws", "benchmarks._serve_shop.wsgi:application"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command,
            env=_environment(folder),
            cwd=ROOT,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            _wait(port, server, folder)
            yield port, server.pid
        finally:
            server.terminate()
            server.wait(timeout=START_S)


def _cpu_seconds(pid: int) -> float:
    """CPU time of the server and its worker: what a busy machine disturbs least. NaN without /proc."""
    ticks, found = 0, False
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if pid in (int(path.parent.name), int(fields[1])):
            ticks += int(fields[11]) + int(fields[12])
            found = True
    return ticks / os.sysconf("SC_CLK_TCK") if found else float("nan")


def _wait(port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not start:\n" + (folder / "server.log").read_text())


def _get(port: int, path: str, cookie: str = "") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Cookie": f"_ml={cookie}"} if cookie else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _check(folder: Path, port: int) -> None:
    """The thing measured does what it should: ten products each, by the model, other ones for other visitors."""
    cookies = (folder / "cookies.txt").read_text().split()[:5]
    lists = set()
    for _ in range(60):  # until the model is loaded, other sources answer
        if [one["source"] for one in _get(port, PATHS[OURS], cookies[0])[1]["meta"]["sources"]] == ["two_tower"]:
            break
        time.sleep(1)
    for cookie in cookies:
        status, body = _get(port, PATHS[OURS], cookie)
        [source] = body["meta"]["sources"]
        items = [item["product_id"] for item in body["recommendations"]]
        # Every twentieth product is sold out in the bench's shop.
        if status != 200 or source["source"] != "two_tower" or len(items) != 10 or any(int(i) % 20 == 0 for i in items):
            raise RuntimeError(f"a wrong answer ({status}): {body}")
        lists.add(tuple(items))
    if len(lists) != len(cookies):
        raise RuntimeError("different visitors got the same list")
    for name in (name for name in PATHS if name != OURS):
        if _get(port, PATHS[name])[0] != 200:
            raise RuntimeError(f"{name} does not answer")


def _swap(ctx: Any, folder: Path, port: int, core: int) -> tuple[float, int]:
    """Seconds from a promotion to its first answer while the load goes on, and how many requests failed."""
    ctx.progress("promoting a version under load")
    cookie = (folder / "cookies.txt").read_text().split()[0]
    results: list[dict[str, Any]] = []
    client = threading.Thread(
        target=lambda: results.append(
            load.measure(folder, port, PATHS[OURS], connections=CONNECTIONS, seconds=14, core=core)
        )
    )
    client.start()
    _python(folder, "build", "--promote")
    promoted = time.monotonic()
    failed, seconds = 0, float("inf")
    while time.monotonic() - promoted < 30:
        status, body = _get(port, PATHS[OURS], cookie)
        failed += status != 200
        if status == 200 and body["meta"]["sources"][0]["version"] == 2:
            seconds = time.monotonic() - promoted
            break
        time.sleep(0.05)
    client.join()
    return seconds, failed + results[0]["failed"]
