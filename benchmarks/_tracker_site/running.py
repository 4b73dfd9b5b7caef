"""The site served, its lake read, and a Chromium that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import AGENT, ROOT, START_S, ProofError, Skip

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
FLAGS += [f"--user-agent={AGENT}"]
GENEROUS = START_S
"""Seconds no working machine needs for one step."""


def chromium() -> str:
    """The browser's path. Raises `Skip` where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise Skip("there is no Chromium on this machine", server=True)


def environment(folder: Path) -> dict[str, str]:
    """For every process of the site."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    settings = "benchmarks._tracker_site.settings"
    return {**os.environ, "TRACKER_SITE": str(folder), "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": settings}


def manage(folder: Path, *arguments: str) -> str:
    """Run a management command; what it printed."""
    command = [sys.executable, "-m", "django", *arguments]
    done = subprocess.run(
        command, env=environment(folder), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise ProofError(f"{arguments[0]} failed: {done.stderr[-2000:]}")
    return done.stdout


def lake(folder: Path) -> list[dict[str, Any]]:
    """Every row of the lake, once the spool is brought in: some columns, with `data` parsed."""
    from ml_models.adapters.event_store import DeltaEventStore

    manage(folder, "ml_collect", "--process")
    store = DeltaEventStore(folder / "ml_data" / "lake")
    rows = store.scan(columns=["event_id", "event_type", "page_url", "source", "is_bot", "data"]).collect().to_dicts()
    return [{**row, "data": json.loads(row["data"] or "{}")} for row in rows]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The site, migrated and served by granian; yields its address."""
    manage(folder, "migrate", "--verbosity", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "4"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-ws", "benchmarks._tracker_site.wsgi:application"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment(folder), cwd=ROOT, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _answers(address, server, folder)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=GENEROUS)


def _answers(address: str, server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + GENEROUS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise ProofError(f"the site did not start: {(folder / 'server.log').read_text()[-2000:]}")


class Killable:
    """A Chromium of our own over one profile, driven by its debugging port."""

    def __init__(self, playwright: Any, profile: Path) -> None:
        profile.mkdir(exist_ok=True)
        (profile / "DevToolsActivePort").unlink(missing_ok=True)
        command = [chromium(), "--headless=new", *FLAGS, "--no-first-run", "--remote-debugging-port=0"]
        command += [f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        port = self._port(profile / "DevToolsActivePort")
        self._browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        self.context = self._browser.contexts[0]

    def _port(self, file: Path) -> int:
        deadline = time.monotonic() + GENEROUS
        while time.monotonic() < deadline and self._process.poll() is None:
            if file.exists() and (lines := file.read_text().split()):
                return int(lines[0])
            time.sleep(0.05)
        raise ProofError("Chromium did not open its debugging port")

    def kill(self) -> None:
        """SIGKILL to the browser process and all its helpers at once; nothing of it gets another instruction."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(Exception):  # the driver's side of a connection that is gone
            self._browser.close()
