"""Servers of the same shop, each with something of ours broken, loaded in turn."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._serve_shop import load
from benchmarks.harness import ROOT, START_S, Report

__all__ = ["measure"]

CONNECTIONS = 4
VISITORS = 500
PAGE = "/products/7/"
FULL_DISK = 2 << 20
"""Size of the small file system that is filled; bytes."""

PREPARE = """
import sys, django; django.setup()
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
from ml_models.core.ids import uuid7
from ml_models.data_collection.identity import Identity, sign
call_command("migrate", verbosity=0)
import time
cookies = [sign(Identity(uuid7(), None, int(time.time()))) for _ in range(int(sys.argv[1]))]
(settings.BASE_DIR / "cookies.txt").write_text("\\n".join(cookies) + "\\n")
"""
FILL = """
import sys, django; django.setup()
from ml_models.adapters.build import get_spool
from ml_models.core import clock
from ml_models.core.event import Event, encode_event
from ml_models.core.ids import uuid7
now = clock.now()
for _ in range(int(sys.argv[1]) // 5000):
    get_spool().append([encode_event(Event(event_id=uuid7(), event_type="page_view", event_time=now, received_at=now,
                                           source="middleware", page_url="/")) for _ in range(5000)])
"""
STATE = """
import json, django; django.setup()
from django.conf import settings
from ml_models.adapters.build import get_spool
from ml_models.data_collection import counters
from ml_models.settings import get_settings
data = get_settings().storage.data
print(json.dumps({"spool": type(get_spool()).__name__, "records": get_spool().stats()["records"],
                  "counters": counters.totals(data / "counters")}))
"""


@dataclass
class Server:
    """One of them."""

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def env(self) -> dict[str, str]:
        """What its processes run with."""
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        own = {"PAGES_SHOP": str(self.folder), "DJANGO_SETTINGS_MODULE": "benchmarks._pages_shop.settings"}
        return {**os.environ, "PYTHONPATH": paths, **own, **self.environment}

    def python(self, code: str, *arguments: object) -> str:
        """Run code in this shop; returns what it printed."""
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, check=True, env=self.env(), cwd=ROOT, capture_output=True, text=True).stdout

    def median(self, name: str) -> float:
        """Over the rounds."""
        return statistics.median(one[name] for one in self.rounds)


def measure(ctx: Any, report: Report, plan: dict[str, Any], folder: Path, cores: list[int]) -> None:
    """Load every server in turn and compare each with the healthy one."""
    with ExitStack() as stack:
        servers = _servers(folder, report, stack)
        for server in servers:
            ctx.progress(f"starting the shop: {server.name}")
            server.folder.mkdir()
            server.python(PREPARE, VISITORS)
            if server.name == "committer dead":
                server.python(FILL, plan["waiting"])
            stack.enter_context(_running(server, cores[0]))
        for number in range(plan["rounds"] + 1):  # the first warms up, and fills the queues of those that cannot store
            ctx.progress(f"pages under load, round {number} of {plan['rounds']}")
            for server in servers[number % 2 :] + servers[: number % 2]:
                seconds = plan["seconds"] if number else plan["warm_s"]
                result = load.measure(
                    server.folder, server.port, PAGE, connections=CONNECTIONS, seconds=seconds, core=cores[-1]
                )
                if number:
                    server.rounds.append(result)
        _judge(report, plan, servers)
        for server in servers:
            _prove(report, plan, server)


def _servers(folder: Path, report: Report, stack: ExitStack) -> list[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = free.getsockname()[1]
    disk = folder / "disk"
    disk.mkdir()
    full = {"PAGES_SPOOL": "benchmarks._pages_shop.failing.FullSpool"}
    if _mounted(disk, stack):
        full = {"PAGES_DATA": str(disk)}
        report.note(f"Disk full: a file system of {FULL_DISK >> 20} MiB without a byte left.")
    else:
        report.note("Disk full: a spool that raises ENOSPC, because nothing may be mounted here.")
    return [
        Server("healthy", folder / "healthy"),
        Server("Redis down", folder / "redis", {"PAGES_REDIS": f"redis://127.0.0.1:{dead}/0"}),
        Server("disk full", folder / "full", full),
        Server("committer dead", folder / "committer"),
        Server("collector flooded", folder / "flooded", {"PAGES_SPOOL": "benchmarks._pages_shop.failing.StuckSpool"}),
    ]


def _mounted(disk: Path, stack: ExitStack) -> bool:
    """Mount a small file system and fill it; False where that is not allowed."""
    if not (shutil.which("mount") and sys.platform == "linux"):
        return False
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={FULL_DISK}", "pages", str(disk)], check=False, capture_output=True
    )
    if done.returncode:
        return False
    stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            return True


@contextmanager
def _running(server: Server, core: int) -> Iterator[None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server.port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1"]
    command += ["--host", "127.0.0.1", "--port", str(server.port), "--no-ws", "benchmarks._pages_shop.wsgi:application"]
    log = server.folder / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            env=server.env(),
            cwd=ROOT,
            stdout=out,
            stderr=out,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            _wait(server.port, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=START_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not start:\n" + log.read_text())


def _judge(report: Report, plan: dict[str, Any], servers: list[Server]) -> None:
    healthy = servers[0]
    rows = []
    for server in servers:
        rate = statistics.median(one["requests"] / one["seconds"] for one in server.rounds)
        failed = sum(one["failed"] for one in server.rounds)
        rows.append([server.name, round(rate), *(round(server.median(f"{q}_ms"), 2) for q in ("p50", "p99")), failed])
        report.figure(f"failed pages, {server.name}", failed, ("==", 0), "requests")
        if server is healthy:
            continue
        for name in ("p50", "p99"):
            # Round by round: what disturbed the machine in a round disturbed both.
            pairs = zip(server.rounds, healthy.rounds, strict=True)
            ratio = statistics.median(one[f"{name}_ms"] / other[f"{name}_ms"] for one, other in pairs)
            report.figure(f"{name} of pages, {server.name}", round(ratio, 3), ("<=", plan[name]), "of healthy")
    report.table("Pages through granian", ["shop", "pages/s", "p50 ms", "p99 ms", "failed"], rows)


def _prove(report: Report, plan: dict[str, Any], server: Server) -> None:
    """What was to fail did fail."""
    state = json.loads(server.python(STATE).splitlines()[-1])
    dropped = state["counters"].get("overflow.queue_full", 0)
    if server.name == "collector flooded":
        report.figure("events dropped and counted, collector flooded", dropped, (">", 0), "events")
    elif server.name == "disk full":
        report.figure("events stored, disk full", state["records"], ("==", 0), "events")
    elif server.name == "committer dead":
        report.figure("events that wait, committer dead", state["records"], (">", plan["waiting"]), "events")
    else:
        report.figure(f"events stored, {server.name}", state["records"], (">", 0), "events")
    report.note(f"{server.name}: {state['spool']}, {state['records']:,} events wait, counted: {state['counters']}")
