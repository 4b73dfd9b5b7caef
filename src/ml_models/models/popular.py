"""What most visitors met lately; and what is met more than before. The baseline and the last resort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml_models.core.data_loader import DAY, Dataset
from ml_models.core.recommender import Learned, Recommender
from ml_models.core.run import Run
from ml_models.models._popularity import decayed, per_item

__all__ = ["Popular"]


@dataclass(frozen=True, slots=True)
class PopularConfig:
    """How popularity is counted."""

    half_life_days: float = 14.0
    """Age at which an interaction counts half, from the newest one of the data; days, >= 0, 0 = no decay."""
    window_days: float = 0.0
    """Only interactions of the newest days count; days, >= 0, 0 = all."""
    trending_days: float = 7.0
    """The recent window of `trending`; days, > 0."""
    trending_base_days: float = 28.0
    """The window before it that says what was to be expected; days, > 0."""

    def problems(self) -> list[str]:
        """Values out of range, in words."""
        found = [f"{n} must be >= 0" for n in ("half_life_days", "window_days") if getattr(self, n) < 0]
        return found + [f"{n} must be > 0" for n in ("trending_days", "trending_base_days") if getattr(self, n) <= 0]


class Popular(Recommender):
    """Each visitor counts once per item, with the strongest decayed interaction, so that no single visitor decides.

    `trending` of an item: (recent - expected) / sqrt(expected + 1), where the expectation is the rate of the window
    before: how many standard deviations of a Poisson count it stands above itself.
    """

    name = "popular"
    Config = PopularConfig
    kind: ClassVar[str] = "static"

    def _fit(self, data: Dataset, run: Run) -> Learned:
        config: PopularConfig = self.config
        end = int(data.times.max())
        age = (end - data.times) / DAY  # (m,) days
        values = decayed(data, config.half_life_days)
        if config.window_days > 0:
            values = np.where(age < config.window_days, values, 0.0)
        scores = per_item(data, values)
        recent = per_item(data, np.where(age < config.trending_days, data.weights, 0.0))
        base = (age >= config.trending_days) & (age < config.trending_days + config.trending_base_days)
        before = per_item(data, np.where(base, data.weights, 0.0))
        # a short history has no full base window: the rate is over the days there are
        days = float(np.clip(age.max(initial=0.0) - config.trending_days, 1.0, config.trending_base_days))
        expected = before * config.trending_days / days
        trending = (recent - expected) / np.sqrt(expected + 1.0)
        run.report("counted", 1.0)
        arrays = {"scores": scores.astype(np.float32), "trending": trending.astype(np.float32)}
        return Learned(data.item_ids.names, arrays, {"weights": dict(data.type_weights)})
