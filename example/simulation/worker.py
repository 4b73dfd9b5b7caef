"""One process of the simulation: `python -m simulation.worker NUMBER SHARES`; reports a line of JSON a day."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

import django
from django.conf import settings


def main(number: int, shares: int) -> None:
    django.setup()
    # Imported here: the tables exist for Python only after setup().
    from shop.nightly import apply_sales

    from .plan import Plan
    from .visits import Simulation

    plan = Plan.load(settings.STATE_DIR / "plan.json")
    simulation = Simulation(plan, number, shares)
    if number == 0:
        apply_sales(plan.first_day)
    for day in simulation.run():
        report = {"day": day + 1, "events": simulation.events, "orders": simulation.orders, "visits": simulation.visits}
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
        if number == 0:
            apply_sales(plan.first_day + timedelta(days=day + 1))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
