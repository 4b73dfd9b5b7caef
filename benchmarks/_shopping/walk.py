"""Visitors who wander through the shop by a seeded die, and the truth of what they did, as they go."""

from __future__ import annotations

import random
import re
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks._shopping.build import PASSWORD

__all__ = ["Shop", "Truth", "Visitor", "wander"]

MOST = 20
"""Pieces of a line that the demo shop takes."""


@dataclass
class Shop:
    """What the build printed, and where it is served."""

    address: str
    products: dict[str, str]
    """Path of a product's page -> its id."""
    lists: list[str]
    users: dict[str, int]


@dataclass
class Truth:
    """What was done, in the words of the lake."""

    views: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(visitor, path) of pages shown."""
    products: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(visitor, product id) of product pages shown."""
    carts: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    """(visitor, kind, product id, quantity)."""
    orders: dict[str, tuple[str, frozenset[tuple[str, int]]]] = field(default_factory=dict)
    """Order number -> (meaning, (product id, quantity) of its lines)."""
    refunds: set[str] = field(default_factory=set)
    steps: Counter[str] = field(default_factory=Counter)


@dataclass
class Tab:
    """One tab and how many pages it can go back."""

    page: Any
    depth: int = 0


class Visitor:
    """One person with a browser of their own."""

    def __init__(self, name: str, shop: Shop, context: Any, truth: Truth, rng: random.Random) -> None:
        self.name, self.shop, self.context, self.truth, self.rng = name, shop, context, truth, rng
        self.ids: set[str] = set()
        self.pending: set[Any] = set()
        self.logged_in = False
        self.cart: dict[str, int] = {}
        self.tabs: list[Tab] = []
        context.on("request", lambda request: self.pending.add(request))
        context.on("requestfinished", lambda request: self.pending.discard(request))
        context.on("requestfailed", lambda request: self.pending.discard(request))
        self._new_tab()

    # -- what a step is made of ---------------------------------------------------------------------

    @property
    def tab(self) -> Tab:
        """The tab that is looked at."""
        return self.tabs[-1]

    def _new_tab(self) -> Tab:
        self.tabs.append(Tab(self.context.new_page()))
        return self.tab

    def path(self) -> str:
        """Where the tab is, as its address bar says."""
        return unquote(urlsplit(self.tab.page.url).path)

    def shown(self, tab: Tab | None = None) -> None:
        """A page is loaded: that is a view of it, and of the product it is about."""
        path = unquote(urlsplit((tab or self.tab).page.url).path)
        self.truth.views[self.name, path] += 1
        if path in self.shop.products:
            self.truth.products[self.name, self.shop.products[path]] += 1

    def settle(self) -> None:
        """Wait until everything the pages asked for is answered, as a person does who reads."""
        for _ in range(250):
            self.tab.page.wait_for_timeout(20)
            if not self.pending:
                break
        else:
            raise RuntimeError(f"no answer to {[request.url for request in self.pending][:3]}")
        self.know()

    def know(self) -> None:
        """Note which visitor the shop takes this one for; a login and a logout change that."""
        for cookie in self.context.cookies():
            if cookie["name"] == "_ml":
                self.ids.add(cookie["value"].split(".")[1])

    def go(self, path: str) -> None:
        """Open an address."""
        self.tab.page.goto(self.shop.address + path, wait_until="load")
        self.tab.depth += 1
        self.shown()
        if not self.ids:  # until the first answer of the track endpoint every page makes a visitor of its own
            self.settle()

    def leads(self, action: Callable[[], object]) -> None:
        """Do what leads to another page."""
        with self.tab.page.expect_navigation(wait_until="load"):
            action()
        self.tab.depth += 1
        self.shown()

    # -- steps --------------------------------------------------------------------------------------

    def look_around(self) -> None:
        """A page that is about no product."""
        self.go(self.rng.choice(["/", "/cart/", "/search/", *self.shop.lists]))

    def product(self) -> None:
        """A product, by its address."""
        self.go(self.rng.choice(list(self.shop.products)))

    def from_a_list(self) -> None:
        """A list, and a product of it."""
        self.go(self.rng.choice(self.shop.lists) + "?sort=price")
        cards = self.tab.page.locator(".grid .card a")
        self.leads(cards.nth(self.rng.randrange(cards.count())).click)

    def search(self) -> None:
        """A search through the form of every page."""
        if not self.tab.depth:
            self.go("/")
        self.tab.page.fill("#q", f"thing {self.rng.randrange(9)}")
        self.leads(lambda: self.tab.page.press("#q", "Enter"))

    def reload(self) -> None:
        """The same page once more."""
        if not self.tab.depth:
            self.go("/")
        self.tab.page.reload(wait_until="load")
        self.shown()

    def back(self) -> None:
        """The browser's own button."""
        if self.tab.depth < 2:
            self.product()
            self.look_around()
        self.tab.page.go_back(wait_until="load")
        self.tab.depth -= 1
        self.shown()

    def two_tabs(self) -> None:
        """One product in two tabs at the same time."""
        if not self.tab.depth:
            self.go("/")
        path = self.rng.choice(list(self.shop.products))
        first = self.tab
        second = self._new_tab()
        with first.page.expect_navigation(wait_until="load"):
            first.page.evaluate("path => { setTimeout(() => { location.href = path; }); }", path)
            second.page.goto(self.shop.address + path, wait_until="load")
        for tab in (first, second):
            tab.depth += 1
            self.shown(tab)
        if len(self.tabs) > 2:
            self.settle()
            self.tabs.pop(0).page.close()

    def add(self) -> None:
        """A product into the cart."""
        path = self.rng.choice(list(self.shop.products))
        self.go(path)
        product, quantity = self.shop.products[path], self.rng.randint(1, 3)
        form = self.tab.page.locator("form.buy")
        sku = form.locator("input[name=variant]:checked")
        key = f"{product}:{sku.get_attribute('value')}" if sku.count() else product
        form.locator("input[name=quantity]").fill(str(quantity))
        self.leads(form.locator("button.button").click)
        self.truth.carts[self.name, "cart_add", product, quantity] += 1
        self.cart[key] = min(MOST, self.cart.get(key, 0) + quantity)

    def change(self) -> None:
        """A line of the cart, to another quantity or out of it."""
        if not self.cart:
            self.add()
        key = self.rng.choice(list(self.cart))
        before, wanted = self.cart[key], self.rng.choice([0, 1, 2, 3, 5])
        form = self.tab.page.locator("form", has=self.tab.page.locator(f"input[name=line][value='{key}']"))
        # Another tab may have changed the cart meanwhile, and the browser's own button brings an old one back.
        if self.path() != "/cart/" or len(self.tabs) > 1 or not form.count():
            self.go("/cart/")
        if wanted:
            form.locator("input[type=number]").fill(str(wanted))
            self.leads(form.get_by_text("Update").click)
        else:
            self.leads(form.get_by_text("Remove").click)
        kind = "cart_remove" if wanted < before else "cart_add"
        if wanted != before:
            self.truth.carts[self.name, kind, key.partition(":")[0], abs(wanted - before)] += 1
        if wanted:
            self.cart[key] = wanted
        else:
            del self.cart[key]

    def order(self) -> None:
        """Checkout; that empties the cart, which is no change of mind."""
        if not self.cart:
            self.add()
        self.go("/cart/")
        self.leads(self.tab.page.get_by_role("link", name="Checkout").click)
        address = {"email": f"{self.name}@example.com", "name": self.name, "address": "1 Market Street"}
        for field_, value in {**address, "postcode": "20095", "city": "Hamburg"}.items():
            self.tab.page.fill(f"#id_{field_}", value)
        self.leads(self.tab.page.get_by_text("Place order").click)
        number = re.search(r"ORD-\S+", self.tab.page.inner_text(".heading"))
        if number is None:
            raise RuntimeError(f"no order at {self.tab.page.url}")
        lines: Counter[str] = Counter()
        for key, quantity in self.cart.items():
            lines[key.partition(":")[0]] += quantity
        self.truth.orders[number[0]] = ("purchase", frozenset(lines.items()))
        self.cart = {}

    def regret(self, status: str, meaning: str) -> None:
        """An employee cancels or refunds an order."""
        bought = [number for number, (state, _) in self.truth.orders.items() if state == "purchase"]
        if not bought:
            self.order()
            bought = list(self.truth.orders)[-1:]
        number = self.rng.choice(bought)
        urllib.request.urlopen(f"{self.shop.address}/desk/{number}/{status}/", data=b"").close()
        self.truth.orders[number] = (meaning, self.truth.orders[number][1])
        if meaning == "refunded":
            self.truth.refunds.add(number)

    def cancel(self) -> None:
        """An order is cancelled."""
        self.regret("cancelled", "cancelled")

    def refund(self) -> None:
        """An order is refunded: the table says so, and a call does."""
        self.regret("refunded", "refunded")

    def log_in_or_out(self) -> None:
        """Whichever is possible; what the cart holds stays at the login and goes with the session at the logout."""
        if self.logged_in:
            self.go("/account/")
            self.settle()
            self.leads(self.tab.page.get_by_role("button", name="Log out").click)
            self.cart = {}
        else:
            self.go("/account/login/")
            self.tab.page.fill("#id_username", f"{self.name}@example.com")
            self.tab.page.fill("#id_password", PASSWORD)
            self.leads(self.tab.page.locator("form.panel button").click)
        self.logged_in = not self.logged_in
        self.settle()

    def wrong_password(self) -> None:
        """A page that only a browser sees: the answer to a form."""
        if self.logged_in:
            return self.reload()
        self.go("/account/login/")
        self.tab.page.fill("#id_username", f"{self.name}@example.com")
        self.tab.page.fill("#id_password", "wrong")
        self.leads(self.tab.page.locator("form.panel button").click)
        self.go("/")
        self.tab.depth = 1  # going back would ask whether to send the form again
        return None


STEPS: dict[str, int] = {
    "look_around": 12,
    "product": 20,
    "from_a_list": 10,
    "search": 5,
    "reload": 8,
    "back": 10,
    "two_tabs": 4,
    "add": 16,
    "change": 10,
    "order": 6,
    "cancel": 1,
    "refund": 1,
    "log_in_or_out": 5,
    "wrong_password": 1,
}
"""Step -> how often, relative to the others."""


def wander(visitors: list[Visitor], steps: int, rng: random.Random, progress: Callable[[int], object]) -> None:
    """`steps` steps of visitors in turn, by the die; afterwards every tab has said what it had to say."""
    every = list(STEPS)  # each kind once before the die decides, so that a short walk leaves none out
    for number in range(steps):
        visitor = visitors[number] if number < len(visitors) else rng.choice(visitors)
        name = every[number] if number < len(every) else rng.choices(every, weights=list(STEPS.values()))[0]
        getattr(visitor, name)()
        visitor.know()
        visitor.truth.steps[name] += 1
        if number % 100 == 99:
            progress(number + 1)
    for visitor in visitors:
        for tab in visitor.tabs:
            tab.page.evaluate("window.BunoraaML && window.BunoraaML.flush()")
        visitor.settle()
