"""What a proof is made of: the context it runs in, the report it returns, and the runner that judges it.

A proof is a module of this package with a `TITLE` and a function `run(ctx) -> Report`. The module's file name, with
`-` for `_`, is the proof's name.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import operator
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = [
    "HERE",
    "ROOT",
    "START_S",
    "Context",
    "Figure",
    "ProofError",
    "Report",
    "Skip",
    "find",
    "main",
    "proofs",
    "run_proof",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
START_S = 300.0
"""How long a server or a client may take to start; seconds. Only what hangs takes so long: starting is not measured."""
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
"""What a browser of the proofs calls itself: by its own name a headless one is taken for a robot."""
_NOT_PROOFS = {"__init__", "__main__", "harness"}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


class ProofError(Exception):
    """A proof cannot be run as asked; the message says why."""


class Skip(Exception):
    """The proof cannot be run here, with the reason.

    `server=True` says that the reason is a server that could not be had: under `CI=true` that is a failure, because
    there the servers are promised.
    """

    def __init__(self, reason: str, *, server: bool = False) -> None:
        self.reason = reason
        self.server = server
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, with its target where it has one."""

    name: str
    value: Any
    target: tuple[str, Any] | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if self.target is not None and self.target[0] not in _OPERATORS:
            raise ProofError(f"figure {self.name!r}: {self.target[0]!r} is not one of {', '.join(_OPERATORS)}")

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without a target. A NaN meets no target."""
        if self.target is None:
            return None
        if isinstance(self.value, float) and math.isnan(self.value):
            return False
        return bool(_OPERATORS[self.target[0]](self.value, self.target[1]))

    def as_json(self) -> dict[str, Any]:
        """For the JSON line."""
        # NaN and the infinities have no place in JSON; as words they stay readable.
        value = str(self.value) if isinstance(self.value, float) and not math.isfinite(self.value) else self.value
        row: dict[str, Any] = {"value": value, "ok": self.ok}
        row["target"] = f"{self.target[0]} {self.target[1]}" if self.target else None
        if self.unit:
            row["unit"] = self.unit
        return row


@dataclass(slots=True)
class Report:
    """What a proof found: figures with targets, tables for people, notes."""

    figures: list[Figure] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[Any]]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figure(self, name: str, value: Any, target: tuple[str, Any] | None = None, unit: str = "") -> Any:
        """Add a figure; `target` such as `("<=", 0)`. Returns the value."""
        if any(figure.name == name for figure in self.figures):
            raise ProofError(f"figure {name!r} is reported twice")
        item = getattr(value, "item", None)  # a NumPy scalar
        value = item() if callable(item) else value
        self.figures.append(Figure(name, value, target, unit))
        return value

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table for people."""
        self.tables.append((title, list(columns), [list(row) for row in rows]))

    def note(self, text: str) -> None:
        """Add a sentence that belongs with the figures."""
        self.notes.append(text)

    @property
    def missed(self) -> list[Figure]:
        """Figures whose target is missed."""
        return [figure for figure in self.figures if figure.ok is False]


@dataclass(slots=True)
class Context:
    """What a proof may use."""

    name: str
    quick: bool = False
    data: Path = Path("../shared/data")
    """Folder of the real data sets; may be absent, then the proof raises `Skip`."""
    out: Path = HERE / "out"
    """Folder for this proof's files and screenshots; emptied before the run."""
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def progress(self, text: str) -> None:
        """Say what goes on, on standard error."""
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {text}", highlight=False)

    def venv(self, name: str, requirements: Sequence[str]) -> Path:
        """The Python of an environment of its own, for an independent computation.

        Built under `.bench/` at the first call and kept while the requirements stay the same. Raises `Skip` when the
        packages cannot be had.
        """
        wanted = hashlib.sha256(json.dumps([sys.version, *requirements]).encode()).hexdigest()
        folder = ROOT / ".bench" / name
        python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        self.progress(f"building {folder.relative_to(ROOT)}: {' '.join(requirements)}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise Skip(f"the packages of the independent computation cannot be installed: {last}")
        stamp.write_text(wanted, encoding="utf-8")
        return python


def proofs() -> dict[str, str]:
    """Name -> title of every proof. Reads the files without importing them, so that listing is instant."""
    found: dict[str, str] = {}
    for path in sorted(HERE.glob("*.py")):
        if path.stem in _NOT_PROOFS or path.stem.startswith("_"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TITLE":
                found[path.stem.replace("_", "-")] = str(ast.literal_eval(node.value))
    return found


def find(name: str) -> Any:
    """The module of a proof; raises `ProofError` with a suggestion for an unknown name."""
    import difflib

    known = proofs()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ProofError(f"there is no proof {name!r}.{hint} `python -m benchmarks` lists them.")
    return import_module(f"benchmarks.{name.replace('-', '_')}")


def _print(console: Console, name: str, report: Report, seconds: float) -> None:
    for title, columns, rows in report.tables:
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(str(column))
        for row in rows:
            table.add_row(*(_text(cell) for cell in row))
        console.print(table)
    table = Table(title=f"{name} ({seconds:.1f} s)", title_justify="left")
    for column in ("figure", "value", "target", ""):
        table.add_column(column)
    for figure in report.figures:
        target = f"{figure.target[0]} {_text(figure.target[1])} {figure.unit}" if figure.target else ""
        mark = {True: "[green]ok[/green]", False: "[red]missed[/red]", None: ""}[figure.ok]
        table.add_row(figure.name, f"{_text(figure.value)} {figure.unit}".strip(), target.strip(), mark)
    console.print(table)
    for note in report.notes:
        console.print(note, highlight=False)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _line(result: Mapping[str, Any], path: Path | None, *, console: Console) -> None:
    text = json.dumps(result, default=str, allow_nan=False)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    console.file.write(text + "\n")
    console.file.flush()


def run_proof(module: Any, ctx: Context, *, json_path: Path | None = None, console: Console | None = None) -> int:
    """Run one proof, print its tables and, last, one JSON line; the exit code: 1 when a target is missed."""
    console = console or Console()
    shutil.rmtree(ctx.out, ignore_errors=True)
    ctx.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"proof": ctx.name, "title": module.TITLE, "quick": ctx.quick, "machine": machine()}
    started = time.perf_counter()
    try:
        report = module.run(ctx)
    except Skip as skip:
        failed = skip.server and os.environ.get("CI", "").lower() == "true"
        console.print(f"{ctx.name} skipped: {skip.reason}", highlight=False)
        if failed:
            console.print("Under CI=true the servers are promised, so this skip is a failure.", highlight=False)
        _line({**result, "skipped": skip.reason, "ok": not failed}, json_path, console=console)
        return int(failed)
    except ProofError as error:
        console.print(f"{ctx.name} could not be finished: {error}", style="red", highlight=False, markup=False)
        _line({**result, "error": str(error), "ok": False}, json_path, console=console)
        return 1
    seconds = time.perf_counter() - started
    _print(console, ctx.name, report, seconds)
    if ctx.quick:
        console.print("A quick run: it never counts as the full result.", highlight=False)
    if any(ctx.out.iterdir()):
        console.print(f"Files: {ctx.out}", highlight=False)
    else:
        ctx.out.rmdir()
    figures = {figure.name: figure.as_json() for figure in report.figures}
    figures["wall_seconds"] = Figure("wall_seconds", round(seconds, 2), None, "s").as_json()
    ok = not report.missed and any(figure.ok is not None for figure in report.figures)
    if not report.missed and not ok:
        console.print("[red]No figure has a target: nothing was judged.[/red]")
    _line({**result, "ok": ok, "figures": figures, "notes": report.notes}, json_path, console=console)
    return 0 if ok else 1


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m benchmarks [NAME [--quick] [--data DIR] [--json FILE]]`."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="the proof to run; without it, the list")
    parser.add_argument("--quick", action="store_true", help="the small version, at most 60 s, with its own floors")
    parser.add_argument("--data", type=Path, default=None, help="folder of the real data (default ../shared/data)")
    parser.add_argument("--json", type=Path, default=None, help="also write the JSON line to this file")
    options = parser.parse_args(argv)
    console = Console()
    if options.name is None:
        table = Table(title="Proofs: python -m benchmarks NAME", title_justify="left")
        table.add_column("name", no_wrap=True)
        table.add_column("what it proves")
        for name, title in proofs().items():
            table.add_row(name, title)
        console.print(table)
        return 0
    data = options.data or Path(os.environ.get("ML_TEST_DATA", ROOT / "../shared/data"))
    try:
        module = find(options.name)
    except ProofError as error:
        console.print(str(error), style="red", highlight=False)
        return 2
    ctx = Context(options.name, quick=options.quick, data=data.resolve(), out=HERE / "out" / options.name)
    return run_proof(module, ctx, json_path=options.json, console=console)
