"""The stages of the two shops: the generated one, and the one made from real invoices."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from .plan import Plan
from .stages import Build, Stage

__all__ = ["generated", "retail"]

Report = Callable[[float, str], None]


def _django() -> None:
    import django

    django.setup()


def _tables(build: Build, report: Report) -> str:
    build.manage("migrate", "--verbosity", "0")
    return ""


def _visits(build: Build, report: Report) -> str:
    plan = Plan.load(build.state / "plan.json")

    def show(newest: list[dict]) -> None:
        day = min(one.get("day", 0) for one in newest)
        report(day / plan.days, f"day {day} of {plan.days}, {sum(one.get('events', 0) for one in newest):,} events")

    shares = min(2, os.cpu_count() or 1)
    last = build.workers("simulation.worker", shares, show)
    total = {key: sum(one[key] for one in last) for key in ("visits", "events", "orders")}
    (build.state / "visits.json").write_text(json.dumps(total))
    return (
        f"{total['visits']:,} visits, {total['events']:,} posted events, {total['orders']:,} orders in {plan.days} days"
    )


def _count_sales(build: Build, report: Report) -> str:
    _django()
    from django.utils import timezone
    from shop.nightly import count_sales

    return f"{count_sales(timezone.now()):,} products sold in the last 30 days"


def _command(*arguments: str, keep: str = "") -> Callable[[Build, Report], str]:
    def run(build: Build, report: Report) -> str:
        said = build.manage(*arguments)
        found = re.search(keep, said) if keep else None
        return found[0].strip() if found else ""

    return run


def _learning() -> list[Stage]:
    def evaluate(build: Build, report: Report) -> str:
        output = build.state / "report.json"
        said = build.manage("ml_evaluate", "--report", "--output", str(output))
        for line in said.splitlines():
            if any(character in line for character in "┃│┏┡└"):
                build.console.print(line, highlight=False)
        return f"report in {output}"

    return [
        Stage("profiles", "Collecting profiles (ml_collect --profiles)", _command("ml_collect", "--profiles")),
        Stage("products", "Counting views and sales (ml_collect --products)", _command("ml_collect", "--products")),
        Stage(
            "train",
            "Training the models (ml_train --all)",
            _command("ml_train", "--all", keep=r"[\d,]+ interactions,.*"),
        ),
        Stage("evaluate", "Evaluating them on the newest days (ml_evaluate)", evaluate),
    ]


def generated(plan: Plan) -> list[Stage]:
    """The generated shop, from `plan`."""

    def catalogue(build: Build, report: Report) -> str:
        plan.save(build.state / "plan.json")
        _django()
        from .fill import fill

        made = fill(plan)
        return f"{made['products']:,} products in {made['categories']} categories, {made['shoppers']:,} accounts"

    def tastes(build: Build, report: Report) -> str:
        _django()
        from .check import check_tastes

        found = check_tastes(Plan.load(build.state / "plan.json"))
        (build.state / "tastes.json").write_text(json.dumps(found.__dict__))
        return (
            f"“for you” of {found.shoppers} shoppers: {found.in_favourites:.0%} in their own favourite categories "
            f"(popular: {found.popular_in_favourites:.0%}, by chance {found.catalogue_in_favourites:.0%}), "
            f"{found.own_brand_or_style:.0%} of them in their style or brands "
            f"(of what they have not seen there: {found.left_own_brand_or_style:.0%})"
        )

    return [
        Stage("tables", "Creating the tables", _tables, fills=True),
        Stage("catalogue", "Drawing up the catalogue", catalogue, fills=True),
        Stage("visits", "Letting shoppers in", _visits, fills=True),
        Stage("sold", "Counting what sold lately", _count_sales),
        Stage(
            "process",
            "Moving events to the lake (ml_collect --process)",
            _command("ml_collect", "--process", keep=r"[\d,]+ new in the lake"),
        ),
        Stage("sync", "Reading the orders (ml_sync)", _command("ml_sync", keep=r"[\d,]+ orders read")),
        *_learning(),
        Stage("tastes", "Comparing with the planted tastes", tastes),
    ]


def retail(source: Path) -> list[Stage]:
    """The shop of the real catalogue and orders in `source` (the folder with `invoices.parquet`)."""

    def fill_shop(build: Build, report: Report) -> str:
        _django()
        from .retail import fill

        made = fill(source, datetime.now(UTC).date(), report)
        return (
            f"{made['products']:,} products in {made['categories']} categories, {made['customers']:,} customers, "
            f"{made['orders']:,} orders ({made['cancelled']:,} cancelled), {made['lines']:,} lines"
        )

    return [
        Stage("tables", "Creating the tables", _tables, fills=True),
        Stage("shop", "Reading the real catalogue and orders", fill_shop, fills=True),
        Stage("sold", "Counting what sold lately", _count_sales),
        Stage("sync", "Reading the orders (ml_sync)", _command("ml_sync", keep=r"[\d,]+ orders read")),
        *_learning(),
    ]
