"""The load: `wrk` posts every batch in turn for every visitor in turn, with event ids that never repeat."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.harness import ProofError, Skip

__all__ = ["need", "result", "start"]

LUA = """
local cookies, bodies, place, number = {}, {}, 0, 0
local networks, address = tonumber(os.getenv("LOAD_NETWORKS") or "0"), os.getenv("LOAD_ADDRESS")
local function lines(path, into)
  for line in io.lines(path) do into[#into + 1] = line end
end
local prefix = ""
function init(arguments)
  lines(arguments[1], cookies)
  lines(arguments[2], bodies)
  prefix = arguments[3]
end
local function unique()
  number = number + 1
  return string.format("%s%09x", prefix, number)
end
function request()
  place = place + 1
  local headers = {
    ["Content-Type"] = "application/json",
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
  }
  if os.getenv("LOAD_ANONYMOUS") == nil then headers["Cookie"] = "_ml=" .. cookies[place % #cookies + 1] end
  if networks > 0 then
    local n = place % networks
    headers["X-Forwarded-For"] = string.format("198.%d.%d.9", 18 + math.floor(n / 250), n % 250)
  elseif address then
    headers["X-Forwarded-For"] = address
  end
  return wrk.format("POST", nil, headers, (string.gsub(bodies[place % #bodies + 1], "@@@@@@@@@@@@", unique)))
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "broken": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def need() -> None:
    """Raises `Skip` where wrk is not installed: a slower client would measure itself."""
    if shutil.which("wrk") is None:
        raise Skip("wrk is not installed: apt-get install wrk")


def start(
    folder: Path, port: int, path: str, *, connections: int, seconds: float, core: int, run: int, **environment: str
) -> subprocess.Popen[str]:
    """Begin to load a path from one core, for whole seconds.

    `run`: a number from 0 to 4095 that no other load of this shop has. `refused` of the result counts answers that are
    errors, `broken` connections that failed.
    """
    script = folder / "load.lua"
    script.write_text(LUA)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "30s", "-s", str(script)]
    command += [
        f"http://127.0.0.1:{port}{path}",
        "--",
        *(str(folder / f"{name}.txt") for name in ("cookies", "bodies")),
    ]
    return subprocess.Popen(
        [*command, f"{run:03x}"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )


def result(client: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a load to end and say what came of it."""
    out, _ = client.communicate(timeout=600)
    line = next((line for line in out.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise ProofError(f"wrk gave no result: {out}")
    return dict(json.loads(line.removeprefix("RESULT ")))
