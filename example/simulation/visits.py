"""Visits of the simulated shoppers: what the browser's tracker would post, and the shop's own cart and checkout.

Everything goes through Django's test client, so through every middleware, the track endpoint with its cookie, the
session, the forms and the order code of the shop. Only the clock is not the machine's.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from unittest import mock

import numpy as np
from django.contrib.auth import get_user_model
from django.test import Client
from django.test.client import ClientHandler
from shop.models import Product

from ml_models.core import clock
from ml_models.data_collection.queue import queue
from ml_models.data_collection.recent import recent

from .plan import Plan
from .tastes import Shelf, Shopper, season_factor

__all__ = ["Simulation", "simulated_time"]

_SPACE = uuid.UUID("6fb8a1b2-7a4a-4a52-9c7e-1f5e0a2f4d10")
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Mobile "
    "Safari/537.36",
)
_CITIES = (("Hamburg", "20095"), ("Lyon", "69002"), ("Leeds", "LS1 4DY"), ("Porto", "4000-322"), ("Graz", "8010"))
# Share of visits by the hour of the day, from midnight.
_HOURS = np.array([1, 0.5, 0.3, 0.2, 0.2, 0.5, 1, 2, 3, 4, 4, 4, 5, 5, 4, 4, 4, 5, 6, 8, 9, 8, 5, 2.5])
BATCH = 10
"""Events after which the tracker posts."""
SWITCH_DEVICE = 0.02
"""Probability a visit that the shopper comes with a browser the shop has not seen."""


@contextmanager
def simulated_time(start: datetime) -> Iterator[clock.ManualClock]:
    """Put a clock that moves only when told in force, for the ML app and for Django."""
    manual = clock.ManualClock(start)
    with clock.use(manual), mock.patch("django.utils.timezone.now", manual.now):
        yield manual


@dataclass
class _Visit:
    """One visit: a session id and what the tracker has not posted yet."""

    browser: Client
    session_id: str
    manual: clock.ManualClock
    waiting: list[dict]
    batches: int = 0
    events: int = 0

    def note(self, event_type: str, page_url: str, **fields: object) -> None:
        event = {
            "event_type": event_type,
            "timestamp": self.manual.now().isoformat(),
            "session_id": self.session_id,
            "page_url": page_url,
            **fields,
        }
        self.waiting.append(event)
        if len(self.waiting) >= BATCH:
            self.post()

    def post(self) -> None:
        """Post the waiting events in the guide's wire form."""
        if not self.waiting:
            return
        batch_id = uuid.uuid5(_SPACE, f"{self.session_id}:{self.batches}").hex
        meta = {"batch_id": batch_id, "sent_at": self.manual.now().isoformat()}
        answer = self.browser.post(
            "/api/ml/track/", {"events": self.waiting, "meta": meta}, content_type="application/json"
        )
        if answer.status_code != 200 or answer.json().get("rejected"):
            raise RuntimeError(f"The track endpoint answered {answer.status_code}: {answer.content[:300]!r}")
        self.events += len(self.waiting)
        self.batches += 1
        self.waiting = []


class Simulation:
    """The visits of one share of the shoppers (`number` of `shares`), day after day."""

    def __init__(self, plan: Plan, number: int = 0, shares: int = 1) -> None:
        self.plan = plan
        categories, self.products = plan.catalogue()
        self.shoppers = plan.people()[number::shares]
        self.seasons = {category.slug: category.season for category in categories if category.department}
        self.names = {category.slug: category.name for category in categories}
        places: dict[str, list[int]] = {}
        for place, product in enumerate(self.products):
            places.setdefault(product.category, []).append(place)
        self.shelves = {slug: Shelf([self.products[i] for i in held], held) for slug, held in places.items()}
        self.sales = plan.sales()
        ids = dict(Product.objects.values_list("slug", "id"))
        self.ids = [ids[product.slug] for product in self.products]
        skus: dict[int, list[str]] = {}
        for product_id, sku in Product.objects.filter(variants__isnull=False).values_list("id", "variants__sku"):
            skus.setdefault(product_id, []).append(sku)
        self.skus = skus
        self.users = {user.username: user for user in get_user_model().objects.all()}
        # One handler for all browsers: each loads the whole middleware once more.
        self._handler = ClientHandler(enforce_csrf_checks=False)
        self._browsers: dict[int, Client] = {}
        self._pulls: dict[tuple[int, str], np.ndarray] = {}
        self._categories = list(self.shelves)
        self.events = self.orders = self.visits = 0

    def run(self) -> Iterator[int]:
        """Simulate all days; yields the number of each finished day."""
        # Threads would race the simulated clock; what the queue holds is stored after each visit instead.
        queue.automatic = recent.automatic = False
        start = datetime.combine(self.plan.first_day, time(), UTC)
        with simulated_time(start) as manual:
            for day in range(self.plan.days):
                self._day(day, manual)
                yield day

    def _day(self, day: int, manual: clock.ManualClock) -> None:
        date = self.plan.first_day + timedelta(days=day)
        discounts = {sale.category: sale.percent / 100 for sale in self.sales if sale.starts <= date <= sale.ends}
        weekday = (1.0, 0.95, 0.95, 1.0, 1.05, 1.15, 1.25)[date.weekday()]
        due: list[tuple[float, Shopper]] = []
        for shopper in self.shoppers:
            # Its own generator, so that a shopper does the same whatever share runs it.
            own = np.random.default_rng([self.plan.seed, 4, day, shopper.number])
            if day < shopper.starts * self.plan.days * 0.9 or own.random() > shopper.visits / 30 * weekday:
                continue
            hour = own.choice(24, p=_HOURS / _HOURS.sum()) + own.random()
            due.append((float(hour) * 3600, shopper))
        midnight = datetime.combine(date, time(), UTC)
        for seconds, shopper in sorted(due, key=lambda one: (one[0], one[1].number)):
            moment = midnight + timedelta(seconds=seconds)
            manual.set(max(moment, manual.now()))
            self._visit(shopper, day, discounts, manual)

    # -- one visit ----------------------------------------------------------------------------------

    def _browser(self, shopper: Shopper, rng: np.random.Generator) -> Client:
        browser = self._browsers.get(shopper.number)
        if browser is None or rng.random() < SWITCH_DEVICE:
            browser = Client(headers={"user-agent": _AGENTS[int(rng.integers(len(_AGENTS)))]})
            browser.handler = self._handler
            self._browsers[shopper.number] = browser
        return browser

    def _intent(self, shopper: Shopper, month: float, discounts: dict[str, float], rng: np.random.Generator) -> str:
        """Which category this visit is for: mostly a favourite, now and then the season's or a sale."""
        if rng.random() < 0.14:
            pool = self._categories
            weights = np.array(
                [season_factor(self.seasons[slug], month) * (1 + 6 * discounts.get(slug, 0)) for slug in pool]
            )
        else:
            pool = list(shopper.favourites)
            weights = np.array(shopper.weights) * [
                season_factor(self.seasons[slug], month) ** 0.5 * (1 + 2 * discounts.get(slug, 0)) for slug in pool
            ]
        return pool[int(rng.choice(len(pool), p=weights / weights.sum()))]

    def _visit(self, shopper: Shopper, day: int, discounts: dict[str, float], manual: clock.ManualClock) -> None:
        rng = np.random.default_rng([self.plan.seed, 5, day, shopper.number])
        browser = self._browser(shopper, rng)
        user = self.users.get(shopper.email) if shopper.has_account else None
        # Most who have an account are not logged in when they come.
        if user is not None and rng.random() < 0.3:
            self._log_in(browser, user)
        visit = _Visit(browser, uuid.uuid5(_SPACE, f"{self.plan.seed}:{day}:{shopper.number}").hex, manual, [])
        month = (self.plan.first_day + timedelta(days=day)).timetuple().tm_yday / 30.44 + 0.5
        in_cart: list[int] = []
        for _ in range(1 + (rng.random() < 0.35) + (rng.random() < 0.12)):
            in_cart += self._browse(shopper, self._intent(shopper, month, discounts, rng), discounts, visit, rng)
        if in_cart and rng.random() < 0.62:
            self._buy(shopper, user, visit, len(in_cart), rng)
        visit.post()
        queue.flush()
        self.events += visit.events
        self.visits += 1

    def _log_in(self, browser: Client, user: object) -> None:
        if "_auth_user_id" not in browser.session:
            browser.force_login(user)

    def _browse(
        self, shopper: Shopper, slug: str, discounts: dict[str, float], visit: _Visit, rng: np.random.Generator
    ) -> list[int]:
        manual = visit.manual
        if rng.random() < 0.25:
            words = self.names[slug].lower()
            visit.note("search", f"/search/?q={words}", query=words, results_count=len(self.shelves[slug].positions))
        else:
            visit.note("page_view", f"/shop/{slug}/")
        key = (shopper.number, slug)
        if key not in self._pulls:
            self._pulls[key] = self.shelves[slug].pull(shopper)
        count = 1 + int(rng.poisson(2.6))
        looked_at = self.shelves[slug].look(
            self._pulls[key], discounts.get(slug, 0.0), manual.now().timestamp(), count, rng
        )
        taken = []
        for position, place in enumerate(looked_at, start=1):
            manual.advance(seconds=float(rng.uniform(8, 70)))
            product = self.products[place]
            address = f"/products/{product.slug}/"
            visit.note(
                "product_view",
                address,
                product_id=str(self.ids[place]),
                product_name=product.name,
                category=self.names[slug],
                price=float(product.price),
                source_page="category",
                position=position,
            )
            liking = self._pulls[key][int(np.searchsorted(self.shelves[slug].positions, place))]
            chance = shopper.buys * (1.5 if discounts.get(slug) else 1.0) * (1.5 if liking > 1.5 else 0.8)
            if rng.random() < chance:
                manual.advance(seconds=float(rng.uniform(3, 20)))
                self._add_to_cart(place, visit, rng)
                taken.append(place)
        return taken

    def _add_to_cart(self, place: int, visit: _Visit, rng: np.random.Generator) -> None:
        visit.post()  # the tracker posts what it holds when the page goes away
        product_id = self.ids[place]
        form = {"product": product_id, "quantity": 1 + int(rng.random() < 0.15)}
        skus = self.skus.get(product_id)
        if skus:
            form["variant"] = skus[int(rng.integers(len(skus)))]
        answer = visit.browser.post("/cart/add/", form)
        if answer.status_code != 302:
            raise RuntimeError(f"The cart answered {answer.status_code} for product {product_id}.")

    def _buy(self, shopper: Shopper, user: object, visit: _Visit, pieces: int, rng: np.random.Generator) -> None:
        manual = visit.manual
        manual.advance(seconds=float(rng.uniform(20, 120)))
        if user is not None:
            visit.post()
            self._log_in(visit.browser, user)
        visit.note("checkout_start", "/checkout/", step=1, step_name="address", items_count=pieces)
        manual.advance(seconds=float(rng.uniform(30, 180)))
        city, postcode = _CITIES[shopper.number % len(_CITIES)]
        answer = visit.browser.post(
            "/checkout/",
            {
                "email": shopper.email,
                "name": shopper.name,
                "address": f"{1 + shopper.number % 90} Market Street",
                "postcode": postcode,
                "city": city,
            },
        )
        if answer.status_code != 302 or "thanks" not in answer["Location"]:
            raise RuntimeError(f"The checkout answered {answer.status_code}: {answer.content[:300]!r}")
        number = visit.browser.session["last_order"]
        visit.note("purchase", "/checkout/thanks/", order_id=number, items_count=pieces)
        self.orders += 1
