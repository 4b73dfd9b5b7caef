"""The demo shop in a real browser: every page, then a guest whose three views change "for you"."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import AGENT, Report, Skip

TITLE = "every page of the demo shop opens cleanly in Chromium, and three product views change “for you”"

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", f"--user-agent={AGENT}",
]  # fmt: skip
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}
PASSWORD = "bunoraa-demo"


@dataclass
class _Trouble:
    """What went wrong while pages were open."""

    console: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)
    pages: int = 0
    requests: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    pending: set[Any] = field(default_factory=set)
    """Requests that have no answer yet."""

    def settle(self, page: Any) -> None:
        """Wait until the page is loaded and everything it asked for is answered."""
        page.wait_for_load_state("load")
        # Not "networkidle": a keepalive request whose answer nobody reads never counts as finished there.
        for _ in range(500):
            page.wait_for_timeout(20)
            if not self.pending:
                return
        raise RuntimeError(f"{page.url}: no answer to {sorted(request.url for request in self.pending)[:3]}")

    def watch(self, page: Any) -> None:
        def console(message: Any) -> None:
            if message.type in ("error", "warning"):
                self.console.append(f"{page.url}: {message.text}")

        def response(answer: Any) -> None:
            self.requests += 1
            self.pending.discard(answer.request)
            if answer.status >= 400:
                self.statuses.append(f"{answer.status} {answer.url}")

        def left(frame: Any) -> None:
            # What a page sends as it is left arrives without the browser telling anybody.
            if frame == page.main_frame:
                self.pending = {request for request in self.pending if "/api/ml/track/" not in request.url}

        page.on("console", console)
        page.on("framenavigated", left)
        page.on("pageerror", lambda error: self.console.append(f"{page.url}: {error}"))
        page.on("request", lambda request: self.pending.add(request))
        page.on("requestfailed", lambda request: self.pending.discard(request))
        page.on("response", response)


@contextlib.contextmanager
def _shop(state: Path) -> Iterator[str]:
    """The shop of `state`, served; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (state / "logs" / "server.log").open("w")
    command = [sys.executable, "example/demo.py", "--state", str(state), "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if server.poll() is not None:
                raise RuntimeError(f"the shop did not start: {(state / 'logs' / 'server.log').read_text()[-2000:]}")
            try:
                urllib.request.urlopen(address + "/", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        else:
            raise RuntimeError("the shop did not answer within a minute")
        yield address
    finally:
        server.terminate()
        server.wait(15)
        log.close()


def _for_you(page: Any) -> list[str]:
    """Categories of the products in the block "for you"."""
    return page.eval_on_selector_all(
        '[data-block="personalized"] [data-product-id]', "cards => cards.map(card => card.dataset.category)"
    )


class _Tour:
    def __init__(self, ctx: Any, browser: Any, address: str, trouble: _Trouble) -> None:
        self.ctx, self.browser, self.address, self.trouble = ctx, browser, address, trouble

    @contextlib.contextmanager
    def visitor(self, width: str) -> Iterator[Any]:
        """A browser that the shop has never seen."""
        across, down = WIDTHS[width]
        context = self.browser.new_context(
            viewport={"width": across, "height": down}, is_mobile=width == "phone", has_touch=width == "phone"
        )
        page = context.new_page()
        self.trouble.watch(page)
        yield page
        context.close()

    def open(self, page: Any, path: str, kind: str, picture: str = "") -> None:
        page.goto(self.address + path, wait_until="load")
        self.look(page, kind, picture)

    def look(self, page: Any, kind: str, picture: str = "") -> None:
        """Measure the page that is open, and keep a picture of it under `picture`."""
        self.trouble.settle(page)
        self.trouble.pages += 1
        timing = "(() => { const n = performance.getEntriesByType('navigation')[0];"
        timing += " return n.responseStart - n.requestStart; })()"
        self.trouble.seconds.setdefault(kind, []).append(page.evaluate(timing))
        # Without an error the blocks below the fold have loaded, and nothing sticks out sideways.
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        self.trouble.settle(page)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            self.trouble.wide.append(f"{page.url} at {page.viewport_size['width']}")
        if picture:
            # Lazy pictures load when they come into view; a full-page picture needs them all.
            page.evaluate("document.querySelectorAll('img[loading=lazy]').forEach(i => { i.loading = 'eager'; })")
            self.trouble.settle(page)
            page.evaluate("window.scrollTo(0, 0)")
            page.screenshot(path=str(self.ctx.out / f"{picture}.png"), full_page=True)

    def addresses(self) -> tuple[list[str], list[str]]:
        """Paths of the departments, and of their categories."""
        with self.visitor("desktop") as page:
            page.goto(self.address + "/")
            links = "nodes => nodes.map(node => node.getAttribute('href'))"
            departments = page.eval_on_selector_all(".departments a", links)
            categories: list[str] = []
            for path in departments:
                page.goto(self.address + path)
                categories += page.eval_on_selector_all(".chips a", links)[1:]
        return departments, list(dict.fromkeys(categories))

    def every_page(self, width: str, departments: list[str], categories: list[str], few: bool) -> None:
        def name(kind: str, first: bool) -> str:
            return f"{width}-{kind}" if first else ""

        with self.visitor(width) as page:
            self.open(page, "/", "home", f"{width}-home")
            for number, path in enumerate(departments[:1] if few else departments):
                self.open(page, path, "department", name("department", number == 0))
            for number, path in enumerate(categories[:1] if few else categories):
                if number % 8 == 0:  # no person turns pages as fast: another visitor, before ML_LIMITS stops this one
                    page.context.clear_cookies(name="_ml")
                self.open(page, path, "category", name("category", number == 0))
                product = page.get_attribute(".grid .card a", "href")
                self.open(page, product, "product", name("product", number == 0))
            if not few:
                self.open(page, f"{categories[0]}?sort=price&page=2", "category")
                self.open(page, f"{categories[0]}?sort=-price&low=10&high=9000&sale=on", "category")
                self.open(page, "/search/", "search")
                self.open(page, "/search/?q=red", "search")
            self.open(page, f"{categories[0]}?low=999999", "category", f"{width}-category-empty")
            words = page.inner_text(".departments a").lower()
            self.open(page, f"/search/?q={words[:4]}", "search", f"{width}-search")
            self.open(page, "/search/?q=zzzzzz", "search", f"{width}-search-empty")
            self.open(page, "/cart/", "cart", f"{width}-cart-empty")
            self.open(page, "/account/register/", "register", f"{width}-register")
            page.fill("#id_first_name", "Mona")
            page.fill("#id_username", f"mona.{width}@example.com")
            page.fill("#id_password1", "a-long-password")
            page.fill("#id_password2", "a-long-password")
            page.click("text=Open account")
            self.look(page, "account")
            page.click("text=Log out")
            page.wait_for_load_state("load")
            self.open(page, "/account/login/", "login", f"{width}-login")
            shopper = page.query_selector(".hint code + *, .hint li code")
            if shopper is not None:
                page.fill("#id_username", shopper.inner_text())
                page.fill("#id_password", PASSWORD)
                page.click("form.panel button")
                self.look(page, "account", f"{width}-account")
                page.click(".orders a")
                self.look(page, "order", f"{width}-order")
                self.open(page, "/", "home", f"{width}-home-shopper")

    def missing_page(self) -> int:
        """Status of an address that does not exist; its page is pictured, its 404 is no trouble."""
        context = self.browser.new_context()
        page = context.new_page()
        answer = page.goto(self.address + "/products/there-is-no-such-product/")
        page.screenshot(path=str(self.ctx.out / "desktop-404.png"), full_page=True)
        context.close()
        return answer.status

    def guest(self, path: str, picture: str = "") -> tuple[str, float, float]:
        """Views three products of a category; its share of "for you" before and after."""
        with self.visitor("desktop") as page:
            self.open(page, "/", "home", picture and f"{picture}-before")
            before = _for_you(page)
            page.goto(self.address + path)
            category = page.inner_text("h1")
            products = page.eval_on_selector_all(".grid .card a", "all => all.map(a => a.getAttribute('href'))")[:3]
            for product in products:
                self.open(page, product, "product")
            self.open(page, "/", "home", picture and f"{picture}-after")
            after = _for_you(page)
        return category, before.count(category) / max(1, len(before)), after.count(category) / max(1, len(after))

    def buy(self, width: str, path: str) -> str:
        """Puts a product into the cart and orders it as a guest; returns the order's number."""
        with self.visitor(width) as page:
            page.goto(self.address + path)
            page.click(".grid .card a")
            page.wait_for_load_state("load")
            page.click("text=Add to cart")
            page.wait_for_load_state("load")
            self.look(page, "cart", f"{width}-cart")
            page.click("text=Checkout")
            page.wait_for_load_state("load")
            self.look(page, "checkout", f"{width}-checkout")
            for name, value in (
                ("email", "guest@example.com"), ("name", "Gustav Guest"), ("address", "1 Market Street"),
                ("postcode", "20095"), ("city", "Hamburg"),
            ):  # fmt: skip
                page.fill(f"#id_{name}", value)
            page.click("text=Place order")
            page.wait_for_url("**/checkout/thanks/")
            self.look(page, "thanks", f"{width}-thanks")
            return page.inner_text(".heading p").split()[1]


def _built(ctx: Any) -> Path:
    """The folder of a built demo shop; builds it where it is not there."""
    small = ctx.quick
    state = ROOT / "example" / ".state" / ("small" if small else "generated")
    command = [sys.executable, "example/demo.py", "--no-serve", *(["--small"] if small else [])]
    ctx.progress("building the demo shop, or finding it built")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the demo shop cannot be built: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return state


def _chromium() -> str:
    found = next((path for path in CHROMIUM if os.access(path, os.X_OK)), None) or shutil.which("chromium")
    if found is None:
        raise Skip("there is no Chromium on this machine (looked for " + ", ".join(CHROMIUM) + ")")
    return found


def run(ctx: Any) -> Report:
    """Open everything, then shop."""
    chromium = _chromium()
    from playwright.sync_api import sync_playwright

    report, trouble = Report(), _Trouble()
    state = _built(ctx)
    guests: list[tuple[str, float, float]] = []
    with tempfile.TemporaryDirectory(prefix="demo-tour-") as folder:
        # A copy: what the tour looks at and buys must not change the shop that people look at.
        copy = Path(folder) / "shop"
        shutil.copytree(state, copy)
        with _shop(copy) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            tour = _Tour(ctx, browser, address, trouble)
            departments, categories = tour.addresses()
            for width in WIDTHS:
                ctx.progress(f"every page, {width}")
                tour.every_page(width, departments, categories, ctx.quick)
            missing = tour.missing_page()
            step = max(1, len(categories) // (2 if ctx.quick else 12))
            chosen = categories[step // 2 :: step][: 2 if ctx.quick else 12]
            ctx.progress(f"{len(chosen)} guests, each looking at three products of one category")
            for number, path in enumerate(chosen):
                guests.append(tour.guest(path, "guest" if number == 0 else ""))
            ctx.progress("cart and checkout")
            orders = [tour.buy(width, path) for width, path in zip(WIDTHS, chosen, strict=False)]
            browser.close()
        placed = _orders(copy, orders)
    before, after = statistics.mean(one[1] for one in guests), statistics.mean(one[2] for one in guests)
    report.figure("pages opened", trouble.pages, (">=", 35 if ctx.quick else 300), "pages")
    report.figure("console errors and warnings", len(trouble.console), ("==", 0))
    report.figure("answers of 400 and above", len(trouble.statuses), ("==", 0))
    report.figure("pages wider than the screen", len(trouble.wide), ("==", 0))
    report.figure("status of a missing page", missing, ("==", 404))
    report.figure("for you: share of the category before", round(before, 3))
    # The small shop has 10 products in each category and few visits to learn from.
    least = 0.25 if ctx.quick else 0.5
    report.figure("for you: share of the category after three views", round(after, 3), (">=", least))
    moved = sum(one[2] > one[1] for one in guests)
    report.figure("guests whose for you moved to the category", f"{moved} of {len(guests)}")
    report.figure("guests whose for you did not move", len(guests) - moved, ("==", 0))
    report.figure("orders placed by guests and found in the shop", placed, ("==", len(orders)))
    slowest = max(statistics.median(times) for times in trouble.seconds.values())
    report.figure("slowest kind of page, median to the first byte", round(slowest, 1), ("<=", 400), "ms")
    report.table(
        "Server's answer by kind of page, milliseconds",
        ["page", "opened", "median", "slowest"],
        [[k, len(t), f"{statistics.median(t):.0f}", f"{max(t):.0f}"] for k, t in sorted(trouble.seconds.items())],
    )
    report.table("Guests", ["category", "before", "after"], [[n, f"{b:.0%}", f"{a:.0%}"] for n, b, a in guests])
    for title, found in (("console", trouble.console), ("status", trouble.statuses), ("wide", trouble.wide)):
        for line in found[:10]:
            report.note(f"{title}: {line}")
    report.note(f"{trouble.requests:,} requests. Screenshots: {ctx.out}")
    return report


def _orders(state: Path, numbers: list[str]) -> int:
    """How many of the order numbers are in the shop's table."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(state / "shop.sqlite3")) as connection:
        marks = ",".join("?" * len(numbers))
        row = connection.execute(f"SELECT count(*) FROM shop_order WHERE number IN ({marks})", numbers).fetchone()
    return int(row[0])
