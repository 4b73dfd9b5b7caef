"""Visitors shop in real browsers while middleware, tracker, signals and outbox all record: what remains is the truth.

Twice, each time in a shop of its own: as it is served, and behind a proxy that takes `Server-Timing` away, so that no
id connects the two copies of a view. A worker brings everything into the lake meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks._shopping.walk import Shop, Truth, Visitor, wander
from benchmarks.demo_tour import FLAGS, ROOT, _chromium
from benchmarks.harness import ProofError, Report

TITLE = "a scripted shopping run with middleware, tracker and signals on: the rows that count equal the truth"

SEED = 20240301


def run(ctx: Any) -> Report:
    """Both passes."""
    report = Report()
    steps = 40 if ctx.quick else 1_000  # of each pass
    for name, strip in (("served as it is", False), ("without Server-Timing", True)):
        with tempfile.TemporaryDirectory(prefix="shopping-run-") as folder:
            ctx.progress(f"{name}: {steps:,} steps")
            truth, rows, owners = _shopping(ctx, Path(folder), steps, strip)
            _judge(report, name, truth, rows, owners, steps)
    return report


# -- the run ------------------------------------------------------------------------------------------


def _shopping(
    ctx: Any, folder: Path, steps: int, strip: bool
) -> tuple[Truth, list[dict[str, Any]], dict[str | int, str]]:
    """Build a shop, shop in it, close it, and read what its lake holds."""
    environment = {**os.environ, "BUNORAA_STATE": str(folder)}
    environment |= {"DJANGO_SETTINGS_MODULE": "benchmarks._shopping.settings", "SHOPPING_STRIP": "1" if strip else ""}
    paths = [str(ROOT), str(ROOT / "example"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    built = subprocess.run(
        [sys.executable, "-m", "benchmarks._shopping.build"], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if built.returncode:
        raise ProofError(f"the shop cannot be built: {built.stderr[-2000:]}")
    known = json.loads(built.stdout)
    truth, rng = Truth(), random.Random(SEED)
    owners: dict[str | int, str] = {str(pk): name for name, pk in known["users"].items()}
    with _worker(environment, folder), _served(environment, folder) as address:
        shop = Shop(address, known["products"], known["lists"], known["users"])
        with _browser() as browser:
            visitors = [Visitor(name, shop, browser.new_context(), truth, rng) for name in known["users"]]
            wander(visitors, steps, rng, lambda done: ctx.progress(f"{done:,} steps"))
            owners |= {one: visitor.name for visitor in visitors for one in visitor.ids}
    return truth, _rows(folder / "ml_data" / "lake"), owners


@contextlib.contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def _served(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "server.log").open("w")
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers",
        "1", "--blocking-threads", "4", "--log-level", "warning", "--no-access-log",
        "benchmarks._shopping.wsgi:application",
    ]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(address + "/pictures/mug-aabbcc-112233-plain-1.svg", timeout=5).close()
                break
            if server.poll() is not None:
                raise ProofError(f"the shop did not start: {(folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.2)
        else:
            raise ProofError("the shop did not answer within a minute")
        yield address
    finally:
        server.terminate()  # which stores what its queue still holds
        server.wait(30)
        log.close()


@contextlib.contextmanager
def _worker(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Runs the scheduled task all the time, and once more after the shop has closed."""
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._shopping.work"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield
        finally:
            worker.communicate(timeout=120)
    if worker.returncode:
        raise ProofError(f"the worker failed: {(folder / 'worker.log').read_text()[-2000:]}")


def _rows(lake: Path) -> list[dict[str, Any]]:
    """The lake's rows with the word of the authority rules on each."""
    from ml_models.adapters.event_store import DeltaEventStore
    from ml_models.core.authority import COLUMNS, tag_copies

    scan = DeltaEventStore(str(lake), {}).scan(columns=[*COLUMNS, "session_id", "order_id", "items", "data"])
    return tag_copies(scan).collect().to_dicts()


# -- the verdict --------------------------------------------------------------------------------------


def _judge(
    report: Report, name: str, truth: Truth, rows: list[dict[str, Any]], owners: Mapping[str | int, str], steps: int
) -> None:
    facts = [row for row in rows if row["authority"] == "fact"]

    # Two requests that leave one page right after a logout each get a new id, and the browser keeps the second: the
    # first is known by the session that both name.
    sessions = {row["session_id"]: owners[row["anonymous_id"]] for row in rows if row["anonymous_id"] in owners}
    sessions.pop(None, None)
    strangers = {row["anonymous_id"] for row in facts} - set(owners) - {None}

    def who(row: Mapping[str, Any]) -> str:
        known = owners.get(row["anonymous_id"]) or owners.get(row["user_id"]) or sessions.get(row["session_id"])
        return known or f"nobody: {row['anonymous_id']}"

    def of(*kinds: str) -> list[dict[str, Any]]:
        return [row for row in facts if row["event_type"] in kinds]

    found: dict[str, tuple[Counter[Any], Counter[Any]]] = {
        "page views": (
            truth.views,
            Counter((who(row), _path(row["page_url"])) for row in of("page_view")),
        ),
        "product views": (truth.products, Counter((who(row), row["product_id"]) for row in of("product_view"))),
        "cart changes": (
            truth.carts,
            Counter(
                (who(row), row["event_type"], row["product_id"], row["quantity"])
                for row in of("cart_add", "cart_remove", "cart_update")
            ),
        ),
        "purchases": (
            Counter((number, *what) for number, what in truth.orders.items()),
            Counter((row["order_id"], _meaning(row), _lines(row)) for row in of("purchase")),
        ),
        "refunds": (Counter(truth.refunds), Counter(row["order_id"] for row in of("refund"))),
    }
    report.figure(f"{name}: steps", sum(truth.steps.values()), (">=", steps))
    table = []
    for kind, (wanted, got) in found.items():
        missing, extra = wanted - got, got - wanted
        report.figure(f"{name}: {kind} missing", missing.total(), ("==", 0))
        report.figure(f"{name}: {kind} extra", extra.total(), ("==", 0))
        table.append([kind, wanted.total(), got.total()])
        for word, some in (("missing", missing), ("extra", extra)):
            for what, count in list(some.items())[:5]:
                report.note(f"{name}: {kind} {word}: {count} x {what}")
    set_aside = Counter(
        (row["event_type"], row["source"], row["authority"]) for row in rows if row["authority"] != "fact"
    )
    # That every way of recording was on shows in what the rules set aside.
    for kind, source in (("page_view", "middleware"), ("product_view", "middleware"), ("cart_add", "js")):
        count = sum(n for (event, where, _), n in set_aside.items() if (event, where) == (kind, source))
        report.figure(f"{name}: {kind} rows of {source} set aside", count, (">", 0), "rows")
    ids = {side: {row["page_view_id"] for row in rows if row["source"] == side} for side in ("js", "middleware")}
    shared = len((ids["js"] & ids["middleware"]) - {None})
    report.figure(f"{name}: views that one id connects", shared, ("==", 0) if "without" in name else (">", 0), "views")
    report.table(f"{name}: rows", ["fact", "in truth", "in the lake"], table)
    report.table(f"{name}: steps", ["step", "times"], [[step, n] for step, n in truth.steps.most_common()])
    guests = sum(one.startswith("guest:") for one in strangers)
    report.note(f"{name}: {len(strangers) - guests} ids that no browser kept, known by their session.")
    report.note(f"{name}: {len(rows):,} rows in the lake, {len(rows) - len(facts):,} set aside as copies or intents.")


def _path(address: str | None) -> str:
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(address or "").path)


def _meaning(row: Mapping[str, Any]) -> str:
    return str(json.loads(row["data"] or "{}").get("meaning"))


def _lines(row: Mapping[str, Any]) -> frozenset[tuple[str, int]]:
    lines: Counter[str] = Counter()
    for item in row["items"] or ():
        lines[item["product_id"]] += item["quantity"]
    return frozenset(lines.items())
