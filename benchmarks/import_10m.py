"""The import of a long history: how fast, in how much memory, and exactly once through repeats and kills.

A file of purchases is generated with equal lines that are genuine and with lines that cannot be taken. It is imported
by `manage.py ml_import` in a process of its own; then again; then shuffled and packed; and, into a second lake, by a
process that is killed half-way and started again. Each time the lake must hold exactly the events of the file.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import ROOT, Context, ProofError, Report

TITLE = "10 M rows imported in bounded memory, each event once, also after a kill"

FULL_ROWS, QUICK_ROWS = 10_000_000, 300_000
FULL_DAYS, QUICK_DAYS = 730, 120
"""Days the history spans: the lake has a file a day and commit."""
FULL_RATE, QUICK_RATE = 50_000, 20_000
"""Rows the first import must do in a second of one core (user and system time); a quick run is mostly start-up."""
FULL_RSS, QUICK_RSS = 1.5e9, 1.0e9
"""Peak resident memory allowed; bytes."""
CHUNK = 500_000
EQUAL_EVERY = 50
"""One line in so many is written twice: two pieces bought by two scans of a till."""
BAD_EVERY = 1_000

_SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).parent
SECRET_KEY = "benchmark"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "ml"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "db.sqlite3")}}}}
ML_STORAGE = {{"data": str(BASE_DIR / "{data}")}}
"""
_MAP = ["--map", "user=customer,item=sku,time=when,quantity=pieces,price=price,order=order", "--currency", "EUR"]


@dataclass(frozen=True)
class Planted:
    """What a generated file holds."""

    rows: int
    events: int
    bad: dict[str, int]


def generate(path: Path, rows: int, days: int, seed: int = 7) -> Planted:
    """Write `rows` lines over so many days: distinct ones, exact repeats, and lines that break."""
    rng = np.random.default_rng(seed)
    events, written = 0, 0
    bad = {"bad_time": 0, "missing_visitor": 0, "bad_quantity": 0, "wrong_number_of_fields": 0}
    kinds = list(bad)
    with path.open("wb") as file:
        file.write(b"order,customer,sku,when,pieces,price\n")
        while written < rows:
            size = min(CHUNK, rows - written)
            number = np.arange(written, written + size)
            repeated = number % EQUAL_EVERY == EQUAL_EVERY - 1
            origin = np.where(repeated, number - 1, number)  # an exact copy of the line before
            draw = np.random.default_rng([seed, written])
            user = draw.integers(0, 400_000, size)
            item = (draw.pareto(1.2, size) * 50).astype(np.int64) % 60_000
            second = draw.integers(1_640_995_200, 1_640_995_200 + days * 86_400, size)
            pieces = draw.integers(1, 5, size)
            cents = draw.integers(99, 20_000, size)
            take = np.arange(size) - (repeated & (np.arange(size) > 0))
            frame = pl.DataFrame(
                {
                    "order": origin // 3 + 1,
                    "customer": user[take],
                    "sku": item[take],
                    "when": pl.from_epoch(pl.Series(second[take])).dt.strftime("%Y-%m-%d %H:%M:%S"),
                    "pieces": pieces[take],
                    "price": pl.Series(cents[take]).cast(pl.Decimal(12, 2)) / 100,
                }
            ).with_columns(pl.all().cast(pl.String))
            spoilt = number % BAD_EVERY == 137
            which = rng.integers(0, 3, size)
            for place, (column, value) in enumerate((("when", "yesterday"), ("customer", ""), ("pieces", "-2"))):
                hit = pl.Series(spoilt & (which == place))
                bad[kinds[place]] += int(hit.sum())
                frame = frame.with_columns(pl.when(hit).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))
            file.write(frame.write_csv(include_header=False).encode())
            file.write(b"cut,short\n")
            bad["wrong_number_of_fields"] += 1
            events += size - int(spoilt.sum())
            written += size
    return Planted(written + bad["wrong_number_of_fields"], events, bad)


def shuffle_and_pack(source: Path, target: Path, seed: int = 11) -> None:
    """The same lines in another order, columns in another order too, as gzip."""
    lines = source.read_bytes().splitlines()
    header, body = lines[0].split(b","), lines[1:]
    order = [3, 1, 0, 2, 5, 4]
    np.random.default_rng(seed).shuffle(body)
    with gzip.open(target, "wb", compresslevel=1) as file:
        file.write(b",".join(header[i] for i in order) + b"\n")
        for start in range(0, len(body), CHUNK):
            part = (line.split(b",") for line in body[start : start + CHUNK])
            file.write(
                b"".join(b",".join(f[i] for i in order) + b"\n" if len(f) == 6 else b",".join(f) + b"\n" for f in part)
            )


@dataclass(frozen=True)
class Run:
    """One command, measured from outside."""

    output: str
    seconds: float
    cpu_seconds: float
    """User and system time of all its threads."""
    peak: int
    """Peak resident memory; bytes."""


class Project:
    """A Django project of nothing but the app, with a lake of its own."""

    def __init__(self, folder: Path, data: str) -> None:
        self.folder = folder
        self.name = f"settings_{data}"
        (folder / f"{self.name}.py").write_text(_SETTINGS.format(data=data), encoding="utf-8")
        path = os.pathsep.join([str(folder), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "DJANGO_SETTINGS_MODULE": self.name, "PYTHONPATH": path}
        migrate = [sys.executable, "-m", "django", "migrate", "-v", "0"]
        subprocess.run(migrate, env=self.environment, cwd=self.folder, check=True)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`manage.py` in a process of its own."""
        command = [sys.executable, "-m", "django", *arguments]
        return subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self, *arguments: str) -> Run:
        """One command to its end; raises `ProofError` when it fails."""
        started = time.perf_counter()
        process = self.start(*arguments)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.stdout.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise ProofError(f"{' '.join(arguments[:2])} failed: {output[-2000:]}")
        seconds = time.perf_counter() - started
        return Run(output, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def counts(self) -> dict[str, Any]:
        """Rows, distinct event ids and dead letters, asked in another process."""
        code = (
            "import django, json; django.setup()\n"
            "import polars as pl\n"
            "from ml_models.adapters.build import get_event_store, get_dead_letters\n"
            "store = get_event_store()\n"
            "ids = store.scan(columns=['event_id']).select(pl.len().alias('rows'),\n"
            "    distinct=pl.col('event_id').n_unique()).collect(engine='streaming').row(0, named=True)\n"
            "letters = get_dead_letters().stats()\n"
            "print(json.dumps({**ids, 'letters': letters['by_reason'], 'version': store.stats()['version']}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ProofError(f"the lake cannot be counted: {done.stderr[-2000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))


def _import(project: Project, path: Path, *more: str) -> Run:
    return project.run("ml_import", str(path), "--type", "purchase", *_MAP, "--timezone", "Europe/Berlin", *more)


def _kill_half_way(project: Project, path: Path, events: int, progress: Any) -> int:
    """Start an import and SIGKILL it once the lake holds about half; returns the rows it held then."""
    log = project.folder / "killed" / "lake" / "_delta_log"
    process = project.start("ml_import", str(path), "--type", "purchase", *_MAP, "--timezone", "Europe/Berlin")
    try:
        while process.poll() is None:
            commits = list(log.glob("*.json")) if log.is_dir() else []
            rows = sum(_rows_of(commit) for commit in commits)
            if rows >= events // 2:
                break
            time.sleep(0.02)
        else:
            raise ProofError("the import ended before it could be killed")
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    held = int(project.counts()["rows"])
    progress(f"killed with {held:,} of {events:,} events in the lake")
    return held


def _rows_of(commit: Path) -> int:
    """Rows a log entry added."""
    rows = 0
    for line in commit.read_text(encoding="utf-8").splitlines():
        statistics = json.loads(line).get("add", {}).get("stats")
        rows += json.loads(statistics)["numRecords"] if statistics else 0
    return rows


def run(ctx: Context) -> Report:
    """Generate, import, repeat, shuffle, kill; count each time."""
    report = Report()
    rows = QUICK_ROWS if ctx.quick else FULL_ROWS
    with tempfile.TemporaryDirectory(prefix="ml-import-") as name:
        folder = Path(name)
        path = folder / "purchases.csv"
        planted = generate(path, rows, QUICK_DAYS if ctx.quick else FULL_DAYS)
        ctx.progress(f"generated {planted.rows:,} lines, {path.stat().st_size / 1e6:,.0f} MB")

        first = Project(folder, "first")
        done = _import(first, path)
        ctx.progress(done.output.strip())
        once = first.counts()
        report.figure("rows", planted.rows)
        rate = QUICK_RATE if ctx.quick else FULL_RATE
        report.figure("rows_per_core_second", round(planted.rows / done.cpu_seconds), (">=", rate), "rows/s")
        report.figure("rows_per_second", round(planted.rows / done.seconds), None, "rows/s")
        limit = ("<=", (QUICK_RSS if ctx.quick else FULL_RSS) / 1e6)
        report.figure("peak_rss", round(done.peak / 1e6), limit, "MB")
        report.figure("events_missing", planted.events - once["rows"], ("==", 0))
        report.figure("events_doubled", once["rows"] - once["distinct"], ("==", 0))
        report.figure("dead_letters_wrong", _differ(once["letters"], planted.bad), ("==", 0))

        second = _import(first, path)
        report.figure("second_run_added", first.counts()["rows"] - once["rows"], ("==", 0))
        report.figure("second_run_seconds", round(second.seconds, 1), None, "s")
        again = _import(first, path, "--again")
        counted = first.counts()
        report.figure("read_again_added", counted["rows"] - once["rows"], ("==", 0))
        report.figure("read_again_dead_letters_added", _differ(counted["letters"], once["letters"]), ("==", 0))
        report.figure("read_again_seconds", round(again.seconds, 1), None, "s")

        packed = folder / "another_export.csv.gz"
        # In a process of its own: a child's peak begins with the memory of the process that started it.
        shuffling = multiprocessing.get_context("spawn").Process(target=shuffle_and_pack, args=(path, packed))
        shuffling.start()
        shuffling.join()
        if shuffling.exitcode:
            raise ProofError("the file could not be shuffled")
        shuffled = _import(first, packed)
        report.figure("re_export_added", first.counts()["rows"] - once["rows"], ("==", 0))
        packed.unlink()

        killed = Project(folder, "killed")
        held = _kill_half_way(killed, path, planted.events, ctx.progress)
        _import(killed, path)
        after = killed.counts()
        report.figure("held_when_killed", held, (">", 0), "events")
        report.figure("missing_after_kill", planted.events - after["rows"], ("==", 0))
        report.figure("doubled_after_kill", after["rows"] - after["distinct"], ("==", 0))
        report.figure("dead_letters_wrong_after_kill", _differ(after["letters"], planted.bad), ("==", 0))
        report.figure("peak_rss_of_repeats", round(max(again.peak, shuffled.peak) / 1e6), limit, "MB")
        size = path.stat().st_size
    report.table(
        "Planted and found",
        ["", "planted", "found"],
        [
            ["events", planted.events, once["rows"]],
            ["equal lines kept", rows // EQUAL_EVERY, "within the events"],
            *([reason, count, once["letters"].get(reason, 0)] for reason, count in planted.bad.items()),
        ],
    )
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report.note(
        f"The file had {size / 1e6:,.0f} MB; the time is that of the whole process. This one took {own / 1e6:,.0f} MB."
    )
    return report


def _differ(found: dict[str, int], planted: dict[str, int]) -> int:
    return sum(abs(found.get(reason, 0) - planted.get(reason, 0)) for reason in {*found, *planted})
