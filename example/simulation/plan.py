"""What one generated shop is made of, kept beside its database, so that every process builds the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from .assortment import DEPARTMENTS
from .catalogue import GeneratedCategory, GeneratedProduct, generate, slugify
from .tastes import Shopper, make_shoppers

__all__ = ["Plan", "SalePlan"]


@dataclass(frozen=True)
class SalePlan:
    category: str
    """Slug of a category."""
    percent: int
    starts: date
    ends: date


@dataclass(frozen=True)
class Plan:
    seed: int
    last_day: date
    """The newest simulated day."""
    days: int
    shoppers: int
    products: int

    @classmethod
    def new(cls, today: date, *, seed: int = 7, days: int = 120, shoppers: int = 1500, products: int = 2200) -> Plan:
        return cls(seed, today - timedelta(days=1), days, shoppers, products)

    @property
    def first_day(self) -> date:
        return self.last_day - timedelta(days=self.days - 1)

    @property
    def end(self) -> datetime:
        """The moment after the last simulated day."""
        return datetime.combine(self.last_day + timedelta(days=1), time(), UTC)

    def save(self, path: Path) -> None:
        """Write it, all or nothing."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({**asdict(self), "last_day": self.last_day.isoformat()}, indent=1))
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Plan:
        given = json.loads(path.read_text())
        return cls(**{**given, "last_day": date.fromisoformat(given["last_day"])})

    def catalogue(self) -> tuple[list[GeneratedCategory], list[GeneratedProduct]]:
        return generate(self.seed, self.end, self.products)

    def people(self) -> list[Shopper]:
        categories, products = self.catalogue()
        return make_shoppers(self.seed, self.shoppers, categories, products)

    def sales(self) -> list[SalePlan]:
        """Ten days of a sale in three other categories every two weeks, up to and including the last day."""
        slugs = [slugify(spec.name) for department in DEPARTMENTS for spec in department.categories]
        planned = []
        for number, start in enumerate(range(self.days - 9, -1, -14)):
            starts = self.first_day + timedelta(days=start)
            for turn in range(3):
                slug = slugs[(self.seed * 11 + number * 17 + turn * 23) % len(slugs)]
                planned.append(SalePlan(slug, (15, 20, 30)[turn], starts, starts + timedelta(days=9)))
        return planned
