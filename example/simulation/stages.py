"""Builds a shop stage by stage. Interrupt it whenever you like: the next run goes on, and nothing is there twice.

The stages that fill the shop (tables, catalogue, visits or orders) are started over together when one of them did not
finish. Those after them are commands that may be repeated at will, so the first unfinished one is simply run again.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Build", "BuildError", "Stage"]

HERE = Path(__file__).resolve().parent.parent
MARK = ".bunoraa-shop"
"""A file that says that a folder is a shop of ours: what is in it may be thrown away to build it anew."""


class BuildError(Exception):
    """A stage failed; the message says which and where to read more."""


@dataclass(frozen=True)
class Stage:
    name: str
    """Short, unique; kept in the list of finished stages."""
    says: str
    """What it does, for people."""
    run: Callable[[Build, Callable[[float, str], None]], str]
    """Does it. Takes the build and a function to report progress (0 to 1, and words); returns what to say after it."""
    fills: bool = False
    """Whether it belongs to the stages that are started over together."""


@dataclass
class Build:
    """One shop's folder, and what is done in it."""

    state: Path
    stages: list[Stage]
    console: Console = field(default_factory=Console)
    times: dict[str, float] = field(default_factory=dict)

    @property
    def _record(self) -> Path:
        return self.state / "stages.json"

    def done(self) -> dict[str, float]:
        """Finished stages and how many seconds each took."""
        return json.loads(self._record.read_text()) if self._record.exists() else {}

    def environment(self) -> dict[str, str]:
        """For processes that work on this shop."""
        return {
            **os.environ,
            "BUNORAA_STATE": str(self.state),
            "DJANGO_SETTINGS_MODULE": "bunoraa.settings",
            "PYTHONUNBUFFERED": "1",
        }

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder: --fresh removes what is in it.
        with self.state.with_name(self.state.name + ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BuildError(f"{self.state} is being built by another process. Wait for it to finish.") from error
            yield

    def run(self, *, fresh: bool = False) -> None:
        """Run what is not done yet. Raises `BuildError`."""
        with self._locked():
            done = {} if fresh else self.done()
            if any(stage.fills and stage.name not in done for stage in self.stages):
                self._empty()
                done = {}
            waiting = [stage for stage in self.stages if stage.name not in done]
            if not waiting:
                self.console.print(
                    f"[green]✓[/green] The shop in {self.state} is ready ({sum(done.values()):.0f} s to build)."
                )
                return
            started = time.perf_counter()
            for number, stage in enumerate(self.stages, start=1):
                if stage.name not in done:
                    self._stage(stage, number, done)
            self.console.print(f"[bold green]Built in {time.perf_counter() - started:.0f} s.[/bold green]")

    def _empty(self) -> None:
        """Start from an empty folder. One that an earlier build made, an empty one, and those of the demo are ours."""
        mark = self.state / MARK
        # In the demo's own folder the settings may have made the folders of logs and pictures already.
        ours = HERE / ".state" in self.state.parents or mark.exists() or self._record.exists()
        try:
            if self.state.exists():
                if not ours and any(self.state.iterdir()):
                    raise BuildError(
                        f"{self.state} holds files that no build of this shop made, and building would delete them. "
                        "Name an empty or a new folder: --state DIR"
                    )
                shutil.rmtree(self.state)
            self.state.mkdir(parents=True)
            mark.touch()
        except OSError as error:
            raise BuildError(f"{self.state} cannot be emptied for a new shop: {error}") from error

    def _stage(self, stage: Stage, number: int, done: dict[str, float]) -> None:
        started = time.perf_counter()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=26),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(f"{number}/{len(self.stages)} {stage.says}", total=None, words="")

            def report(share: float, words: str = "") -> None:
                progress.update(task, completed=share, total=1.0, words=words)

            said = stage.run(self, report)
        seconds = time.perf_counter() - started
        done[stage.name] = round(seconds, 1)
        partial = self._record.with_suffix(".partial")
        partial.write_text(json.dumps(done, indent=1))
        partial.replace(self._record)
        self.console.print(f"[green]✓[/green] {stage.says} [dim]{seconds:.1f} s[/dim]" + (f"  {said}" if said else ""))

    # -- what stages are made of --------------------------------------------------------------------

    def manage(self, *arguments: str) -> str:
        """Run a management command in a process of its own, as a shop would; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=HERE,
            env={**self.environment(), "COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=False,
        )
        log = self.state / "logs" / "build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as handle:
            handle.write(f"$ manage.py {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
            raise BuildError(f"manage.py {' '.join(arguments)} failed:\n{last}\nEverything it said is in {log}")
        return done.stdout

    def workers(self, module: str, shares: int, report: Callable[[list[dict[str, Any]]], None]) -> list[dict[str, Any]]:
        """Run `python -m MODULE NUMBER SHARES` for each share at once; `report` gets their newest lines of JSON."""
        lines: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        log = (self.state / "logs" / "workers.log").open("w", encoding="utf-8")
        with log:
            running = [
                subprocess.Popen(
                    [sys.executable, "-m", module, str(number), str(shares)],
                    cwd=HERE,
                    env=self.environment(),
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
                for number in range(shares)
            ]

            def read(number: int) -> None:
                for line in running[number].stdout or ():
                    lines.put((number, line))
                lines.put((number, ""))

            for number in range(shares):
                threading.Thread(target=read, args=(number,), daemon=True).start()
            newest: list[dict[str, Any]] = [{} for _ in running]
            open_ends = shares
            try:
                while open_ends:
                    number, line = lines.get()
                    if line:
                        newest[number] = json.loads(line)
                        report(newest)
                    else:
                        open_ends -= 1
                        if running[number].wait():
                            raise BuildError(f"A worker ({module} {number}) failed; see {log.name}")
            finally:
                for process in running:
                    if process.poll() is None:
                        process.terminate()
                        process.wait()
        return newest
