"""`python -m benchmarks._track_shop.build VISITORS`: the shop's tables, visitors' cookies, and what they send."""

import json
import os
import random
import sys

EVENTS = 20
"""Events of one batch."""
PER_PAGE = 5
"""Events of one page view."""
BODIES = 200
"""Different batches; each is sent many times, with other event ids."""
PLACE = "@" * 12
"""Stands where the load generator puts a number of its own: the last digits of every id."""
KINDS = ("page_view", "product_view", "page_engagement", "product_view", "product_click", "cart_add", "rec_impression")


def main() -> None:
    """Fill the folder that `TRACK_SHOP` names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._track_shop.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from ml_models.core import clock
    from ml_models.core.ids import uuid7
    from ml_models.data_collection.identity import Identity, sign

    call_command("migrate", verbosity=0)
    now = int(clock.now().timestamp())
    cookies = [sign(Identity(uuid7(), None, now)) for _ in range(int(sys.argv[1]))]
    folder = settings.BASE_DIR
    (folder / "cookies.txt").write_text("\n".join(cookies) + "\n")
    rng = random.Random(3)
    (folder / "bodies.txt").write_text("\n".join(json.dumps(batch(rng)) for _ in range(BODIES)) + "\n")


def batch(rng: random.Random) -> dict[str, object]:
    """A batch as the tracker sends it after some minutes of shopping."""
    from ml_models.core.ids import uuid7

    session, events = uuid7(), []
    for number in range(EVENTS):
        if number % PER_PAGE == 0:
            view, page = uuid7(), rng.randrange(5_000)
        kind, product = rng.choice(KINDS), rng.randrange(5_000)
        event: dict[str, object] = {
            "event_id": uuid7()[:-12] + PLACE,
            "event_type": kind,
            "timestamp": f"2026-03-05T10:{number:02d}:07.{rng.randrange(1000):03d}Z",
            "session_id": session,
            "page_view_id": view,
            "page_url": f"https://shop.example/products/{page}/?utm_source=mail",
            "referrer": "https://shop.example/category/shoes/",
        }
        if kind == "page_engagement":
            event["data"] = {"engaged_ms": rng.randrange(60_000), "max_scroll": rng.randrange(101)}
        elif kind != "page_view":
            event["data"] = {"product_id": str(product), "price": rng.randrange(99, 99_999) / 100, "category": "Shoes"}
        events.append(event)
    return {"events": events, "meta": {"batch_id": uuid7(), "sent_at": "2026-03-05T10:21:00.000Z", "schema": 1}}


if __name__ == "__main__":
    main()
