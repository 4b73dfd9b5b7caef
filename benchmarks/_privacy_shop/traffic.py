"""`python -m benchmarks._privacy_shop.traffic VISITORS FIRST`: visitors who put what is personal wherever they can.

Every address, e-mail and value of a form carries a mark by which `scan` knows it in any place. Prints JSON: the
persons, as the shop knows them, and how many marked things were sent. Makes the shop where there is none.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections import Counter
from typing import Any
from urllib.parse import quote

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
SECRETS = Counter[str]()


class Visitor:
    """One person with an address, a mailbox and a browser."""

    def __init__(self, number: int) -> None:
        from django.test import Client

        self.number = number
        self.ip = f"203.0.113.{100 + number % 150}" if number % 3 else f"2001:db8:{number:x}:77::{number + 0xA000:x}"
        self.other_ip = f"198.51.100.{100 + number % 150}"
        self.email = f"Mailboxzq{number}+tag@Needle.example"
        self.agent = f"{AGENT} agentzq/{number} ({self.email}; {self.ip})"
        self.client = Client(
            REMOTE_ADDR=self.ip,
            HTTP_X_FORWARDED_FOR=f"{self.other_ip}, {self.ip}",
            HTTP_USER_AGENT=self.agent,
            raise_request_exception=True,
        )
        self.user: Any = None
        self.devices: list[str] = []
        """Anonymous ids of his cookies: a login changes the id."""

    def mail(self) -> str:
        """The address, which counts as sent."""
        SECRETS["emails"] += 1
        return self.email

    def address(self) -> str:
        """An IP address, likewise."""
        SECRETS["ips"] += 1
        return self.ip

    def value(self) -> str:
        """What was typed into a form."""
        SECRETS["form_values"] += 1
        return f"formvaluezq{self.number}n{SECRETS['form_values']}"

    # -- what he does -------------------------------------------------------------------------------

    def browse(self) -> None:
        """Pages through the middleware."""
        query = f"q={quote(self.mail())}&email={self.mail()}&password={self.value()}&ip={self.address()}&page=2"
        referrer = f"https://{self.mail()}:{self.value()}@other.example/inbox/{self.mail()}?token={self.value()}"
        self.client.get(f"/product/{1 + self.number % 5}/?{query}", HTTP_REFERER=referrer)
        self.client.get(f"/account/{quote(self.mail())}/orders/?next=/x%3Fmail={quote(self.mail())}")
        self.client.get(f"/search/?search=visits%20from%20{self.address()}%20by%20{quote(self.mail())}")
        self.client.get(
            f"/reset/{self.mail()}/?{quote(self.mail())}", HTTP_REFERER=f"http://testserver/?mail={self.mail()}"
        )

    def forms(self) -> None:
        """Forms whose views are careless, and an order."""
        self.client.post("/form/", {"form": "contact", "email": self.mail(), "message": self.value()})
        self.client.post("/order/", {"email": self.mail()})

    def track(self) -> None:
        """What a page's own scripts may send, right, wrong and broken."""
        url = f"https://testserver/p/{quote(self.mail())}?q={self.mail()}&card={self.value()}#mail={self.mail()}"
        shared = {"page_url": url, "referrer": f"https://u:{self.value()}@x.example/?{self.mail()}"}
        texts = {"note": f"write to {self.mail()} or {self.address()}", "mail": quote(self.mail())}
        events: list[Any] = [
            {"event_type": "page_view", **shared},
            {"event_type": "product_view", "product_id": "1", **shared, "data": texts},
            {"event_type": "search", "query": f"{self.mail()} {self.address()}", **shared},
            {"event_type": "form_interaction", "data": {"form_id": "login", "password": self.value(), "fields": 2}},
            {
                "event_type": "form_interaction",
                "data": {"form_id": "x", "values": {"a": self.value(), "b": [self.mail()]}},
            },
            {"event_type": "click", "data": {"tag": "a", "href": url, "text": self.value(), "value": self.value()}},
            {
                "event_type": "custom",
                "data": {"action": "deep", "a": {"b": [{"c": self.mail(), "ip": self.address()}]}},
            },
            {
                "event_type": "page_view",
                "session_id": self.mail(),
                "page_view_id": self.address(),
                "rec_id": self.mail(),
            },
            {"event_type": "page_view", "ip": self.address(), "ip_address": self.address(), "user_id": self.mail()},
            {"event_type": "custom", "data": {self.mail(): 1, f"key {self.address()}": "x"}},
            {"event_type": "rec_click", "product_id": self.mail(), "placement": self.mail()},
            # Broken, and so kept aside.
            {"event_type": self.mail(), "data": texts},
            {"event_type": "page_view", "timestamp": self.mail(), **shared},
            {"event_type": "cart_add", "product_id": "1", "quantity": self.mail(), "data": texts},
            {
                "event_type": "form_interaction",
                "data": {"password": self.value(), "n": 1, "a": {"b": {"c": {"d": {"e": 1}}}}},
            },
            {"event_type": "click", "items": self.value(), "data": {"text": self.value()}},
            {"event_type": "product_view", "product_id": {"mail": self.mail(), "ip": self.address()}},
            {"event_type": "search", "query": [self.mail()], "page_url": {"x": self.address()}},
            {"event_type": "custom", "data": self.mail()},
            [self.mail(), self.address()],
            self.mail(),
        ]
        self.post(json.dumps({"events": events, "meta": {"batch_id": self.mail(), "sent_at": self.mail()}}))
        broken = f'{{"event_type": "page_view", "page_url": "https://x.example/?m={self.mail()}", '
        self.post(f'{{"events": [{broken}]}}')
        self.post(self.mail())
        escaped = json.dumps({"event_type": "search", "query": self.mail()}).replace("@", "\\u0040")
        self.post(f'{{"events": [{escaped}]}}')
        encoded = base64.b64encode(self.mail().encode()).decode()
        self.post(json.dumps({"events": [{"event_type": "page_view", "page_url": f"/x?mail={encoded}&q=shoes"}]}))

    def post(self, body: str) -> None:
        """To the track endpoint; whatever it answers is no matter here."""
        self.client.post("/api/ml/track/", body, content_type="application/json")
        device = self.client.cookies["_ml"].value.split(".")[1]
        if device not in self.devices:
            self.devices.append(device)

    def log_in(self) -> None:
        """Become a user of the shop."""
        from django.contrib.auth import get_user_model

        user, _ = get_user_model().objects.get_or_create(
            username=f"customer{self.number}", defaults={"email": self.email}
        )
        self.client.force_login(user)
        self.user = str(user.pk)

    def person(self) -> dict[str, Any]:
        """As the shop knows him."""
        from ml_models.adapters.catalogue.values import guest_key

        return {
            "user": self.user,
            "visitor": self.devices[-1],
            "devices": self.devices,
            "email": self.email,
            "guest": f"guest:{guest_key(self.email)}",
            "cookie": self.client.cookies["_ml"].value,
        }


def build() -> None:
    """Tables and five products."""
    from django.core.management import call_command

    from tests.shop.models import Product

    for database in ("default", "ml"):
        call_command("migrate", database=database, run_syncdb=True, verbosity=0)
    Product.objects.bulk_create(Product(name=f"Product {number}") for number in range(5))


def main() -> None:
    """Drive the shop, then end as a server does."""
    import django

    django.setup()
    from ml_models import signals
    from ml_models.data_collection.queue import queue

    count, first = int(sys.argv[1]), int(sys.argv[2])
    if first == 0:
        build()
    persons = []
    for number in range(first, first + count):
        visitor = Visitor(number)
        visitor.browse()
        visitor.track()
        visitor.forms()
        if number % 2:
            visitor.log_in()
            visitor.track()
            visitor.browse()
            visitor.forms()
        signals.emit_search(None, f"a job about {visitor.mail()}")
        persons.append(visitor.person())
        queue.flush()
    queue.close()
    print(json.dumps({"persons": persons, "sent": SECRETS}))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._privacy_shop.settings")
    main()
