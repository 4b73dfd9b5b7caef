"""`... lake fill ROWS` and `... lake commit`: the way of a shop's events from the spool into the lake."""

import json
import os
import random
import resource
import sys
import time


def main() -> None:
    """Run one of the two for the folder that `TRACK_SHOP` names; `commit` prints one JSON object."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._track_shop.settings")
    import django

    django.setup()
    if sys.argv[1] == "fill":
        fill(int(sys.argv[2]))
    else:
        print(json.dumps(commit()))


def fill(rows: int) -> None:
    """Put events of the usual kinds into the spool, validated as the endpoint does."""
    from benchmarks._track_shop.build import BODIES, EVENTS, PLACE, batch
    from ml_models.adapters.build import get_spool
    from ml_models.core import clock
    from ml_models.core.event import encode_event
    from ml_models.core.ids import uuid7
    from ml_models.data_collection import wire

    rng = random.Random(5)
    bodies = [json.dumps(batch(rng)).replace(PLACE, "0" * 12).encode() for _ in range(BODIES)]
    for start in range(0, rows, EVENTS):
        found = wire.parse(bodies[start // EVENTS % BODIES])
        context = wire.Context(
            received_at=clock.now(),
            anonymous_id=uuid7(),
            currency="EUR",
            ip_prefix="203.0.113.0/24",
            browser="Chrome 140",
        )
        records = []
        for index, raw in enumerate(found.events):
            event = wire.validate(raw, context, found, index)
            event.event_id = uuid7()
            records.append(encode_event(event))
        get_spool().append(records)


def commit() -> dict[str, float]:
    """Commit everything that waits; rows, seconds and the largest memory of this process in MiB."""
    from ml_models.data_collection.process import process_events

    began = time.perf_counter()
    result = process_events()
    return {
        "rows": result.written,
        "duplicates": result.duplicates,
        "dead": result.dead,
        "commits": result.commits,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time(),
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
