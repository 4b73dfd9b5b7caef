"""A shopper in a small Oscar shop, through its own views; run by `test_oscar_signals.py` in a process of its own."""

import json
import logging
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.api.oscar_signals_settings"

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402
from django.urls import reverse  # noqa: E402
from oscar.apps.checkout.signals import post_checkout  # noqa: E402
from oscar.core.loading import get_class, get_model  # noqa: E402

from ml_models import oscar_signals  # noqa: E402
from ml_models.adapters import build  # noqa: E402
from ml_models.adapters.event_store_memory import MemoryEventStore  # noqa: E402
from ml_models.data_collection import counters  # noqa: E402
from ml_models.data_collection.outbox_drain import drain_outbox  # noqa: E402
from ml_models.data_collection.queue import queue  # noqa: E402
from tests.adapters.catalogue.oscar_story import build as build_shop  # noqa: E402
from tests.recorded import Recorded  # noqa: E402

Line, Order, User = get_model("basket", "Line"), get_model("order", "Order"), get_model("auth", "User")


class Story:
    def __init__(self):
        queue.automatic = False
        setup_test_environment()
        call_command("migrate", run_syncdb=True, verbosity=0)
        self.made = build_shop()
        self.lake = MemoryEventStore()
        self.recorded = Recorded().install(event_store=self.lake)
        self.names = {str(product.pk): name for name, product in self.made.items()}
        self.told = 0
        self.out = {}

    def page(self, client, name, **extra):
        product = self.made[name]
        answer = client.get(product.get_absolute_url(), **extra)
        assert answer.status_code == 200, answer.status_code

    def add(self, client, page, quantity, child=None):
        product = self.made[page]
        url = reverse("basket:add", kwargs={"pk": product.pk})
        data = {"quantity": quantity} | ({"child_id": self.made[child].pk} if child else {})
        answer = client.post(url, data, HTTP_REFERER=f"http://testserver{product.get_absolute_url()}")
        assert answer.status_code == 302, answer.content
        self.page(client, page, HTTP_REFERER=f"http://testserver{product.get_absolute_url()}")

    def lines(self, client, **changes):
        """Post the basket's form with other quantities."""
        lines = list(Line.objects.filter(basket__status="Open").order_by("pk"))
        data = {"form-TOTAL_FORMS": len(lines), "form-INITIAL_FORMS": len(lines)}
        for number, line in enumerate(lines):
            data |= {f"form-{number}-id": line.pk, f"form-{number}-quantity": line.quantity}
            data |= {key.replace("N", str(number)): value for key, value in changes.items()}
        answer = client.post(reverse("basket:summary"), data)
        assert answer.status_code in (200, 302), answer.content

    def tell(self, step):
        """What was recorded since the last step."""
        events = self.recorded.events
        self.out[step] = [
            [
                event.event_type,
                event.source,
                self.names.get(event.product_id or ""),
                self.names.get(event.variant_id or ""),
                event.quantity,
                event.query,
            ]
            for event in events[self.told :]
            if event.event_type != "page_view"
        ]
        self.told = len(events)


def main():
    story = Story()
    guest = Client()
    story.page(guest, "plain")
    story.tell("a product page")
    story.add(guest, "plain", 2)
    story.tell("added, and shown again")
    story.add(guest, "plain", 1)
    story.tell("added once more")
    story.add(guest, "parent", 1, child="large")
    story.tell("a child added")
    story.lines(guest, **{"form-0-quantity": 1})
    story.tell("quantity lowered")
    story.lines(guest, **{"form-0-quantity": 0})
    story.tell("line removed")
    guest.get(reverse("search:search"), {"q": "shirt"})
    guest.get(reverse("search:search"), {"q": "shirt", "page": "2"})
    story.tell("search")
    user = User.objects.create_user("ann", "ann@example.com", "a-long-password")
    guest.force_login(user)
    guest.get(reverse("basket:summary"))
    story.tell("baskets merged at a login")

    # The checkout's own last step: the order is created in a transaction, then the basket is submitted.
    basket = get_model("basket", "Basket").objects.get(owner=user, status="Open")
    request = RequestFactory().post("/checkout/")
    request.user = user
    strategy = get_class("partner.strategy", "Selector")().strategy(request=request, user=user)
    basket.strategy = strategy
    total = get_class("checkout.calculators", "OrderTotalCalculator")(request).calculate(
        basket, get_class("shipping.methods", "Free")().calculate(basket)
    )
    free = get_class("shipping.methods", "Free")()
    order = get_class("order.utils", "OrderCreator")().place_order(
        basket=basket, total=total, shipping_method=free, shipping_charge=free.calculate(basket), user=user,
        order_number="2001",
    )  # fmt: skip
    post_checkout.send(sender=None, order=order, user=user, request=request, response=None)
    basket.lines.all().delete()  # as some shops do
    basket.submit()
    story.tell("the basket emptied by the order")
    drained = drain_outbox()
    story.out["drained"] = [drained.read, drained.written, drained.unknown]
    story.out["purchases"] = [
        [row["order_id"], row["user_id"] == str(user.pk), [story.names[i["product_id"]] for i in row["items"]]]
        for row in story.lake.scan(event_types=["purchase"]).collect().to_dicts()
    ]
    order.set_status("Cancelled")
    drain_outbox()
    (row,) = story.lake.scan(event_types=["purchase"]).collect().to_dicts()
    story.out["cancelled"] = [row["revision"], json.loads(row["data"])["meaning"]]

    # Nothing escapes, whatever a signal brings. (Oscar's own receivers are not asked: they would raise.)
    logging.getLogger("bunoraa.ml").setLevel("CRITICAL")
    oscar_signals._product_viewed(sender=None, product=object(), request=None)
    oscar_signals._review_added(sender=None, review=object(), request=None)
    oscar_signals._line_saved(sender=Line, instance=object())
    story.out["failed"] = counters.snapshot().get("oscar.failed")
    build.reset()
    json.dump(story.out, sys.stdout)


if __name__ == "__main__":
    main()
