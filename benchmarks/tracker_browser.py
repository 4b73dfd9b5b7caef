"""The tracker in a real Chromium against a real site: track endpoint, spool, committer, lake.

What is counted are rows of the lake. Events carry a number; an event is lost when no row has it, and twice when two
rows have it. The pages come with a strict Content-Security-Policy and with the element that `{% ml_tracking %}` writes.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._tracker_site.running import FLAGS, GENEROUS, Killable, chromium, lake, served
from benchmarks._tracker_site.sabotage import SABOTAGE
from benchmarks.harness import ROOT, Context, ProofError, Report, Skip

TITLE = "The tracker: small, nothing lost at exit or offline under a killed browser, no harm to any page"

SCRIPT = ROOT / "src/ml_models/static/js/ml-tracking.js"
LIMIT = 5 * 1024
"""Bytes of the packed script."""
AT_EXIT = 30
TOGETHER = 8
"""Broken pages that are open at once."""
HEAVY = 2000
"""Bytes of one event where 30 of them are more than a browser lets go with a page (64 KiB)."""
VIOLATIONS = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.__violations.push(event.violatedDirective));
"""
WAITING = """
new Promise((done) => {
  const request = indexedDB.open("_ml");
  request.onsuccess = () => {
    const stores = [...request.result.objectStoreNames];
    if (!stores.length) return done(0);
    const count = request.result.transaction(stores).objectStore("events").count();
    count.onsuccess = () => { request.result.close(); done(count.result); };
  };
})
"""
"""How many events wait in the browser's queue."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    exits: int
    """Pages left in each of four ways."""
    tabs: int
    offline: int
    """Events recorded offline, over all tabs."""
    kills: int
    """Times that the browser is killed while they wait."""
    cached: int
    """Times that a page is left and come back to, in each of three states."""
    broken: int
    """Kinds of broken pages, the control among them."""


FULL = Size(exits=5, tabs=8, offline=500, kills=3, cached=5, broken=len(SABOTAGE))
QUICK = Size(exits=1, tabs=3, offline=100, kills=1, cached=1, broken=12)


class _Probe:
    """Events of the proof, by run and number."""

    def __init__(self) -> None:
        self.expected: dict[str, int] = {}

    def run(self, name: str, count: int) -> str:
        self.expected[name] = count
        return name

    def judge(self, rows: Sequence[dict[str, Any]], prefix: str) -> tuple[int, int, int]:
        """(recorded, lost, rows too many) of the runs whose name starts so."""
        found = Counter((row["data"].get("run"), row["data"].get("n")) for row in rows)
        runs = {name: count for name, count in self.expected.items() if name.startswith(prefix)}
        lost = sum((name, n) not in found for name, count in runs.items() for n in range(count))
        again = sum(times - 1 for (name, _), times in found.items() if name in runs)
        return sum(runs.values()), lost, again


def _empty(page: Any) -> None:
    """Wait until the queue of the browser is empty."""
    deadline = time.monotonic() + GENEROUS
    while waiting := page.evaluate(WAITING):
        page.evaluate("BunoraaML.flush()")
        if time.monotonic() > deadline:
            raise ProofError(f"{waiting} events still wait in the browser after {GENEROUS:g} s")
        page.wait_for_timeout(200)


def _exits(playwright: Any, address: str, probe: _Probe, size: Size) -> None:
    """Pages that record events right when they are left, and the visit after."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    for number in range(size.exits):
        for weight, event_bytes in (("light", 20), ("heavy", HEAVY)):
            for way in ("link", "close"):
                context = browser.new_context()
                page = context.new_page()
                run = probe.run(f"exit-{way}-{weight}-{number}", AT_EXIT)
                page.goto(f"{address}/exit/?{run}#{AT_EXIT}-{event_bytes}")
                if way == "link":
                    page.click("#away")
                    page.wait_for_url("**/other/")
                else:
                    with page.expect_event("close"):
                        page.close(run_before_unload=True)
                    page = context.new_page()
                    page.goto(f"{address}/other/")
                _empty(page)
                context.close()
    browser.close()


def _offline(playwright: Any, address: str, folder: Path, probe: _Probe, size: Size) -> int:
    """Events recorded offline in several tabs of a browser that is then killed; how many tabs knew it was offline."""
    offline = 0
    for number in range(size.kills):
        profile = folder / f"profile-{number}"
        browser = Killable(playwright, profile)
        pages = [browser.context.new_page() for _ in range(size.tabs)]
        for page in pages:
            page.goto(f"{address}/?tab")
        browser.context.set_offline(True)
        run = probe.run(f"offline-{number}", size.offline)
        for n in range(size.offline):
            # One by one and in turn, as visitors do, not as one task of one page.
            page = pages[n % size.tabs]
            page.evaluate(f"BunoraaML.track('probe', {{run: '{run}', n: {n}}})")
        offline += sum(not page.evaluate("navigator.onLine") for page in pages)
        time.sleep(1)
        browser.kill()

        browser = Killable(playwright, profile)
        page = browser.context.new_page()
        page.goto(f"{address}/")
        _empty(page)
        browser.kill()
    return offline


def _cached(playwright: Any, address: str, times: int) -> tuple[int, list[str]]:
    """Leave a page in several states and come back; (times left, why it was not restored from memory)."""
    browser = playwright.chromium.launch(
        executable_path=chromium(), args=FLAGS, ignore_default_args=["--disable-back-forward-cache"]
    )
    reasons = []
    busy = "for (let n = 0; n < 60; n++) BunoraaML.track('busy', { n })"
    states = {"at once": "0", "after a while": "new Promise((done) => setTimeout(done, 1500))", "while sending": busy}
    for name, state in [*states.items()] * times:
        page = browser.new_page()
        page.add_init_script("addEventListener('pageshow', (event) => { window.__persisted = event.persisted; })")
        page.goto(f"{address}/")
        page.evaluate(state)
        page.goto(f"{address}/other/")
        page.go_back(wait_until="commit")
        page.wait_for_function("window.__persisted !== undefined")
        if not page.evaluate("window.__persisted"):
            why = "JSON.stringify(performance.getEntriesByType('navigation')[0].notRestoredReasons)"
            reasons.append(f"{name}: {page.evaluate(why)}")
        page.close()
    browser.close()
    return times * len(states), reasons


def _policy(playwright: Any, address: str, probe: _Probe) -> list[str]:
    """Violations of the strict policy while the tracker does all it can."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    page = browser.new_page()
    page.add_init_script(VIOLATIONS)
    run = probe.run("policy", 3)
    page.goto(f"{address}/?{run}")
    for n in range(3):
        page.evaluate(f"BunoraaML.track('probe', {{run: '{run}', n: {n}}})")
    page.wait_for_timeout(1500)  # impressions take a second
    page.evaluate("history.pushState(null, '', '?second')")
    page.evaluate("BunoraaML.flush()")
    _empty(page)
    violations: list[str] = page.evaluate("window.__violations")
    # The detector: the policy is in force and a violation is seen.
    page.evaluate("document.body.appendChild(document.createElement('img')).src = '/favicon.ico'")
    page.wait_for_function("window.__violations.length > 0")
    browser.close()
    return violations


def _broken(playwright: Any, address: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Uncaught errors by kind of broken page."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    errors: dict[str, list[str]] = {}
    for start in range(0, len(names), TOGETHER):
        pages = []
        for name in names[start : start + TOGETHER]:
            page = browser.new_context().new_page()
            found = errors.setdefault(name, [])
            page.on("pageerror", lambda error, found=found: found.append(str(error)))
            page.goto(f"{address}/broken/{name}/")
            pages.append(page)
        pages[-1].wait_for_timeout(2500)  # the timers of impressions, lists and scanning have run
        for page in pages:
            page.goto(f"{address}/other/")
            page.context.close()
    browser.close()
    return errors


def run(ctx: Context) -> Report:
    """Open, leave, cut, kill, break; then count the rows of the lake."""
    chromium()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Skip("playwright is not installed") from None
    size = QUICK if ctx.quick else FULL
    report, probe = Report(), _Probe()
    packed = len(gzip.compress(SCRIPT.read_bytes(), 9))
    report.figure("size, gzip", packed, ("<=", LIMIT), "bytes")
    names = list(SABOTAGE) if not ctx.quick else list(SABOTAGE)[:: max(1, len(SABOTAGE) // (size.broken - 1))]
    with tempfile.TemporaryDirectory(prefix="ml-tracker-") as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        with served(folder) as address:
            ctx.progress(f"{4 * size.exits} pages that record {AT_EXIT} events when they are left")
            _exits(playwright, address, probe, size)
            ctx.progress(f"{size.kills} browsers killed with {size.offline} events of {size.tabs} tabs in hand")
            offline = _offline(playwright, address, folder, probe, size)
            ctx.progress("the back/forward cache, the policy")
            left, reasons = _cached(playwright, address, size.cached)
            violations = _policy(playwright, address, probe)
            ctx.progress(f"{len(names)} broken pages")
            errors = _broken(playwright, address, names)
        ctx.progress("committing, counting")
        rows = lake(folder)

    recorded, lost, again = probe.judge(rows, "exit-")
    report.figure("exit: pages left", 4 * size.exits, (">=", 4 if ctx.quick else 20))
    report.figure("exit: delivered of each 30, after the next visit", (recorded - lost) * 30 / recorded, ("==", 30.0))
    report.figure("exit: lost", lost, ("==", 0), "events")
    report.figure("exit: twice", again, ("==", 0), "events")
    recorded, lost, again = probe.judge(rows, "offline-")
    report.figure("offline: browsers killed", size.kills, (">=", 1 if ctx.quick else 3))
    report.figure("offline: tabs that were offline", offline, ("==", size.tabs * size.kills))
    report.figure("offline: tabs of each", size.tabs, (">=", 3 if ctx.quick else 8))
    report.figure("offline: events of each", recorded // size.kills, (">=", 100 if ctx.quick else 500), "events")
    report.figure("offline: lost", lost, ("==", 0), "events")
    report.figure("offline: twice", again, ("==", 0), "events")
    report.figure("back/forward cache: pages left", left, (">=", 3 if ctx.quick else 15))
    report.figure("back/forward cache: not restored", len(reasons), ("==", 0), "pages")
    report.figure("strict policy: violations", len(violations), ("==", 0))
    report.figure("strict policy: events lost", probe.judge(rows, "policy")[1], ("==", 0), "of 3")
    seen = len(errors.pop("control"))
    uncaught = sum(len(found) for found in errors.values())
    report.figure("broken pages", len(errors), (">=", 10 if ctx.quick else 38))
    report.figure("broken pages: uncaught errors", uncaught, ("==", 0))
    report.figure("broken pages: errors seen on the control page", seen, ("==", 1))
    ids = Counter(row["event_id"] for row in rows)
    report.figure("rows of the lake with an id that another has", sum(ids.values()) - len(ids), ("==", 0), "rows")
    robots = sum(row["is_bot"] for row in rows if row["source"] == "js")
    report.figure("rows of the tracker taken for a robot's", robots, ("==", 0), "rows")
    types = Counter(row["event_type"] for row in rows)
    report.table("Rows of the lake", ["event type", "rows"], [[name, count] for name, count in types.most_common()])
    for reason in reasons:
        report.note(f"not restored {reason}")
    for name, found in errors.items():
        for error in found[:3]:
            report.note(f"{name}: {error}")
    report.note("A browser was killed one second after its last event; its queue writes an event when it is recorded.")
    return report
