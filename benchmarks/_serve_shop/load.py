"""The load: `wrk` where it is installed, else a keep-alive client of our own; both send every cookie in turn.

`python -m benchmarks._serve_shop.load HOST PORT PATH COOKIES CONNECTIONS SECONDS` is our own client; it prints one JSON
object with `requests`, `seconds`, `p50_ms`, `p99_ms` and `failed` (answers other than 200, broken connections).
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

__all__ = ["measure", "tool"]

LUA = """
local cookies, place = {}, 0
function init(arguments)
  for line in io.lines(arguments[1]) do cookies[#cookies + 1] = "_ml=" .. line end
end
function request()
  place = place % #cookies + 1
  return wrk.format("GET", nil, {["Cookie"] = cookies[place]})
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def tool() -> str:
    """Which client sends the load."""
    return "wrk" if shutil.which("wrk") else "the bundled client"


def measure(folder: Path, port: int, path: str, *, connections: int, seconds: float, core: int) -> dict[str, Any]:
    """Load a path from one core and say what came of it."""
    if shutil.which("wrk"):
        script = folder / "load.lua"
        script.write_text(LUA)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script)]
        command += [f"http://127.0.0.1:{port}{path}", "--", str(folder / "cookies.txt")]
    else:
        command = [sys.executable, "-m", "benchmarks._serve_shop.load", "127.0.0.1", str(port), path]
        command += [str(folder / "cookies.txt"), str(connections), str(seconds)]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return dict(json.loads(line.removeprefix("RESULT ")))


def main() -> None:
    """The bundled client: a few sockets, each with one request under way."""
    host, port, path, cookies, connections, seconds = sys.argv[1:]
    lines = cycle(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: _ml={cookie}\r\n\r\n".encode()
        for cookie in Path(cookies).read_text().split()
    )
    selector = selectors.DefaultSelector()
    latencies: list[float] = []
    failed = 0

    def start(sock: socket.socket) -> dict[str, Any]:
        sock.sendall(next(lines))
        return {"sent": time.perf_counter(), "got": b""}

    for _ in range(int(connections)):
        sock = socket.create_connection((host, int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ, start(sock))
    began = time.perf_counter()
    while time.perf_counter() - began < float(seconds) and selector.get_map():
        for key, _ in selector.select(timeout=1):
            state, sock = key.data, key.fileobj
            assert isinstance(sock, socket.socket)
            part = sock.recv(65536)
            state["got"] += part
            head, found, body = state["got"].partition(b"\r\n\r\n")
            if not part:
                failed += 1
                selector.unregister(sock)
            elif found:
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                length = fields.get(b"content-length")
                if body.endswith(b"0\r\n\r\n") if length is None else len(body) >= int(length):
                    latencies.append(time.perf_counter() - state["sent"])
                    failed += not head.startswith(b"HTTP/1.1 200")
                    selector.modify(sock, selectors.EVENT_READ, start(sock))
    took = time.perf_counter() - began
    latencies.sort()
    result = {
        "requests": len(latencies),
        "seconds": took,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
        "failed": failed,
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
