"""`python -m benchmarks._privacy_shop.work STEP`: what a shop's worker does, and what the proof has to know.

`night` runs everything a worker runs, `others FILE` prints the ids of all events and how many dead letters belong to
nobody named in FILE, `late FILE` posts events of before for the persons in FILE.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any


def night() -> None:
    """Outbox, orders, spool, profiles, products, export, training."""
    from django.core.management import call_command

    from ml_models import tasks

    tasks.process_training_data_task()
    call_command("ml_collect", "--profiles", "--products", "--export", verbosity=0)
    call_command("ml_train", "--model", "popular", "--force", verbosity=0)
    call_command("ml_train", "--model", "item_knn", "--force", verbosity=0)


def others(path: Path) -> None:
    """Events in lake and spool, and letters, that carry no id of these persons; by no code of the erasure."""
    from ml_models.adapters.build import get_dead_letters, get_event_store, get_spool
    from ml_models.core.event import decode_event

    persons = json.loads(path.read_text())
    users = {person["user"] for person in persons if person["user"]}
    devices = {device for person in persons for device in person["devices"]}
    guests = {person["guest"] for person in persons}
    columns = ("event_id", "user_id", "anonymous_id", "page_view_id", "event_type")
    rows: list[tuple[Any, ...]] = get_event_store().scan(columns=list(columns)).collect().rows()
    spool, snapshot = get_spool(), get_event_store().snapshot()
    for source in spool.sources():
        for record in spool.read(source, snapshot.position(source), 1_000_000).records:
            event = decode_event(record)
            rows.append(tuple(getattr(event, name) for name in columns))

    def theirs(row: tuple[Any, ...]) -> bool:
        return row[1] in users or row[2] in devices | guests

    views = {row[3] for row in rows if row[3] and theirs(row)}
    kept = [row for row in rows if not theirs(row) and not (row[1] is None and row[2] is None and row[3] in views)]
    letters = sum(
        letter.context.get("user_id") not in users and letter.context.get("anonymous_id") not in devices
        for letter in get_dead_letters()
    )
    print(json.dumps({"events": sorted({row[0] for row in kept}), "letters": letters}))


def late(path: Path) -> None:
    """A browser that was offline sends what happened an hour ago; a worker takes it, and runs on for an hour."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from ml_models.core import clock
    from ml_models.data_collection.process import process_events

    moment = (clock.now() - timedelta(hours=1)).isoformat()
    persons = json.loads(path.read_text())
    for person in persons:
        client = Client()
        if person["user"]:
            client.force_login(get_user_model().objects.get(pk=person["user"]))
        client.cookies["_ml"] = person["cookie"]
        event = {"event_type": "product_view", "product_id": "1", "timestamp": moment}
        body = json.dumps({"events": [event], "meta": {"sent_at": clock.now().isoformat()}})
        answer = client.post("/api/ml/track/", body, content_type="application/json").json()
        if answer["processed"] != 1:
            raise SystemExit(f"a late event was not taken: {answer}")
    from ml_models.data_collection.recent import recent

    recent.flush()
    dropped = process_events().forgotten
    # What the dropped events left on the way goes with later runs, the bytes of its rows at most once an hour.
    now = clock.now()
    for minutes in (5, 70):
        with clock.use(clock.ManualClock(now + timedelta(minutes=minutes))):
            process_events()
    print(json.dumps({"sent": len(persons), "dropped": dropped}))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._privacy_shop.settings")
    import django

    django.setup()
    {"night": night, "others": others, "late": late}[sys.argv[1]](*(Path(argument) for argument in sys.argv[2:]))
