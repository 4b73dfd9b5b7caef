"""Real web workers: granian serving the track endpoint, and clients that post batches to it until they are taken."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks._kill.parts import Plan, event_ids
from benchmarks.harness import ROOT, START_S, ProofError

__all__ = ["CLIENTS", "WORKERS", "Web", "post", "serve"]

WORKERS = 3
CLIENTS = 2
BATCH = 20
"""Events of a request."""
SESSIONS = 10
"""Sessions of a client, in turn: their requests are served by any of the workers."""
_STARTED, _SETTLED = 1.0, 6.5
"""Seconds a worker must have lived before it is killed, the first ones and those that came in their place: granian
gives up when one of the latter dies within 5.5 s."""


class Web:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        self._first = {child.pid for child in self._workers()}

    def _workers(self) -> list[psutil.Process]:
        children = psutil.Process(self._process.pid).children()
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]

    def victim(self, rng: random.Random) -> psutil.Process | None:
        """A worker that may be killed; None while all are new."""
        if self._process.poll() is not None:
            raise ProofError("granian ended by itself; see web.log of the run")
        now = time.time()
        old = [
            child
            for child in self._workers()
            if now - child.create_time() > (_STARTED if child.pid in self._first else _SETTLED)
        ]
        return rng.choice(old) if old else None


@contextmanager
def serve(plan: Plan) -> Iterator[Web]:
    """Granian with its workers over the plan's spool, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environment = {
        **os.environ,
        "KILL_FOLDER": str(plan.folder),
        "KILL_REDIS": plan.redis,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--blocking-threads", "2", "--no-ws"]
    command += ["--respawn-failed-workers", "--respawn-interval", "0.1", "benchmarks._kill.wsgi:application"]
    with (plan.folder / "web.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(process, port, plan.folder / "web.log")
            yield Web(process, port)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            # A worker that granian was just about to start outlives it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise ProofError(f"granian did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.1)


def post(plan: Plan, name: str, port: int) -> None:
    """Post batches for ever, each again and again until it is answered with 200; then its numbers go to the journal.

    Answers other than 200 are counted in `refused/<name>`: a killed worker answers nothing.
    """
    journal = os.open(plan.folder / "journal" / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    refused = plan.folder / "refused" / name
    connection: http.client.HTTPConnection | None = None
    number = refusals = 0
    while not plan.over():
        session = f"{name}.{number // BATCH % SESSIONS}"
        events = [
            {"event_type": "product_view", "product_id": str(n % 4999), "session_id": session, "event_id": event_id}
            for n, event_id in enumerate(event_ids(name, number, number + BATCH), number)
        ]
        body = json.dumps({"events": events, "meta": {"batch_id": f"{name}-{number}"}})
        while not plan.over():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("POST", "/api/ml/track/", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.02)
                continue
            if answer.status == 200 and json.loads(said)["processed"] == BATCH:
                os.write(journal, b"%d %d\n" % (number, number + BATCH))
                break
            refusals += 1
            refused.write_text(f"{refusals} {answer.status} {said[:200]!r}")
            time.sleep(0.1)
        else:
            return
        number += BATCH
        time.sleep(0.002)
