"""The shop behind a real server, pinned to one core."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, START_S

__all__ = ["cpu_seconds", "environment", "post", "python", "serve"]

APPLICATION = "benchmarks._track_shop.wsgi:application"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Environment of a process of the shop in `folder`."""
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    settings = "benchmarks._track_shop.settings"
    shop = {"TRACK_SHOP": str(folder), "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": settings}
    return {**os.environ, **one, **shop, **more}


def python(folder: Path, module: str, *arguments: str, **more: str) -> str:
    """Run a module of this package to its end; its standard output."""
    command = [sys.executable, "-m", f"benchmarks._track_shop.{module}", *arguments]
    done = subprocess.run(command, check=True, env=environment(folder, **more), cwd=ROOT, stdout=subprocess.PIPE)
    return done.stdout.decode()


def _command(server: str, port: int, threads: int) -> list[str]:
    address = f"127.0.0.1:{port}"
    if server == "granian":
        options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", str(threads), "--no-ws"]
        return [sys.executable, "-m", "granian", *options, "--host", "127.0.0.1", "--port", str(port), APPLICATION]
    options = ["--workers", "1", "--worker-class", "gthread", "--threads", str(threads), "--keep-alive", "30"]
    return [sys.executable, "-m", "gunicorn", *options, "--bind", address, APPLICATION]


@contextmanager
def serve(folder: Path, server: str, *, core: int, threads: int, **more: str) -> Iterator[tuple[int, int]]:
    """(port, process id) of the shop behind `granian` or `gunicorn`, one worker with some threads."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with (folder / f"{server}.log").open("w") as log:
        process = subprocess.Popen(
            _command(server, port, threads),
            env=environment(folder, **more),
            cwd=ROOT,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            _wait(port, process, folder / f"{server}.log")
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(timeout=START_S)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            status, _ = post(port, "/floor/", b"{}")
            if status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server did not start:\n" + log.read_text())


def post(port: int, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """One request on a connection of its own: status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, headers={"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def cpu_seconds(pid: int) -> float:
    """CPU time of a server and its workers: what a busy machine disturbs least. NaN without /proc."""
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
