"""Orders placed while the processes that drain the outbox are killed (SIGKILL); prints what the lake has of them.

`python -m tests.data_collection.outbox_kill_story KIND FOLDER SEED`, with KIND `mapped` or `unmapped`. Children are
forked from a process that has the libraries imported and has used none of them: cheap, and no thread is forked.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django
from django.conf import settings

from tests.waiting import GENEROUS

KIND, FOLDER, SEED = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
settings.ML_STORAGE = {"data": FOLDER / "ml_data"}
if KIND == "unmapped":
    settings.ML_CATALOG = {}
if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    settings.DATABASES["default"].update(NAME=str(FOLDER / "db.sqlite3"), OPTIONS={"timeout": GENEROUS})

django.setup()

import deltalake  # noqa: E402, F401  (for the children)
from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402
from django.db.models.query import QuerySet  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.utils import timezone  # noqa: E402

from ml_models import signals  # noqa: E402
from ml_models.adapters.build import get_event_store  # noqa: E402
from ml_models.adapters.event_store import DeltaEventStore  # noqa: E402
from ml_models.data_collection import outbox  # noqa: E402
from ml_models.data_collection.identity import Identity, sign  # noqa: E402
from ml_models.data_collection.outbox_drain import drain_outbox  # noqa: E402
from ml_models.data_collection.queue import queue  # noqa: E402
from tests.shop import models as shop  # noqa: E402

CHUNK = 2
ORDERS = 3
"""Placed before every kill; one more is rolled back."""
POINTS = [
    ("before the commit", DeltaEventStore, "commit", False),
    ("after the commit", DeltaEventStore, "commit", True),
    ("before the deletion", QuerySet, "delete", False),
    ("after the deletion", QuerySet, "delete", True),
]
AT_RANDOM = 2


class RolledBack(Exception):
    """The shop's own failure."""


def place(number):
    """An order, and for every third of them a refund of its first line; every other one is told of twice."""
    request = RequestFactory().post("/checkout/")
    anonymous = f"01953f3c-1111-7000-8000-{number:012d}"
    request.COOKIES["_ml"] = sign(Identity(anonymous, None, int(time.time())))
    products = [PRODUCT.pk, PRODUCT.pk + 1]
    if KIND == "mapped":
        order = shop.Order.objects.create(number=f"n{number}", created_at=timezone.now())
        shop.OrderItem.objects.create(order=order, product=PRODUCT, quantity=2, unit_price="4.20")
        products = [PRODUCT.pk]
    for _ in range(1 + number % 2):
        signals.emit_purchase(request, f"n{number}", items=products)
    if number % 3 == 0:
        signals.emit_refund(request, f"n{number}", items=products[:1])


def place_some(first):
    for number in range(first, first + ORDERS):
        with transaction.atomic():
            place(number)
    try:
        with transaction.atomic():
            place(first + 100_000)
            raise RolledBack
    except RolledBack:
        pass


def die(owner, name, after, times):
    """Let the process kill itself at the call of that name, before or after it is done."""
    inner = getattr(owner, name)
    left = [times]

    def call(*args, **options):
        left[0] -= 1
        result = inner(*args, **options) if left[0] or after else None
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)


def forked(prepare):
    """A process that drains; it says so in a pipe when it begins. Returns its id and the pipe."""
    connections.close_all()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            prepare()
            os.write(writer, b"!")
            drain_outbox(chunk=CHUNK)
            code = 0
        except Exception:  # noqa: BLE001  (shown, and counted by the exit code)
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    return child, reader


def main():
    global PRODUCT
    queue.automatic = False  # no thread
    if connections["default"].vendor == "sqlite":
        call_command("migrate", verbosity=0, run_syncdb=True)
    PRODUCT = shop.Product.objects.create(name="cup")
    rng = random.Random(SEED)
    kills, crashes, placed, left = Counter(), 0, 0, 0
    rounds = [(*point, times) for point in POINTS for times in (1, 2)] + [None] * AT_RANDOM
    rng.shuffle(rounds)
    for round_ in rounds:
        place_some(placed)
        placed += ORDERS
        if round_ is None:
            prepared = [bool, bool]
        else:
            name, *point, times = round_
            prepared = [lambda point=point, times=times: die(*point, times)]
            if times > 1:  # beside another, which may leave it nothing to do
                prepared.append(bool)
        children = [forked(prepare) for prepare in prepared]
        for child, reader in children:
            os.read(reader, 1)
            os.close(reader)
            if round_ is None:
                time.sleep(rng.uniform(0, 0.25))
                os.kill(child, signal.SIGKILL)
        for child, _ in children:
            status = os.waitpid(child, 0)[1]
            if os.WIFSIGNALED(status):
                kills["at random" if round_ is None else name] += 1
            else:
                crashes += os.waitstatus_to_exitcode(status) != 0
        left += outbox.waiting()
    drain_outbox()
    found = get_event_store().scan(columns=["event_type", "order_id", "revision"], every_revision=True).collect()
    rows = Counter(found.select("event_type", "order_id").rows())
    wanted = {(kind, f"n{number}") for number in range(placed) for kind in kinds(number)}
    report = {
        "placed": placed,
        "kills": kills,
        "crashes": crashes,
        "left by kills": left,
        "waiting": outbox.waiting(),
        "lost": sorted(wanted - rows.keys()),
        "of orders rolled back": sorted(rows.keys() - wanted),
        "twice": sorted(row for row, times in rows.items() if times > 1),
    }
    json.dump(report, sys.stdout)
    queue.reset()  # recent items are no part of this


def kinds(number):
    yield "purchase"
    if KIND == "mapped":
        yield "purchase_seen"
    if number % 3 == 0:
        yield "refund"


if __name__ == "__main__":
    main()
