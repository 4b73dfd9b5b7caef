"""Versions of models: begun, finished, promoted, rolled back; a killed training never leaves half a version.

The order makes it so: the row comes first (`training`, never served), then the artifact by one rename in the model
store, then the row becomes `ready`, and only a ready row can be pointed to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import EllipsisType
from typing import Any

from ml_models.core import clock
from ml_models.core.errors import MLError, ModelNotFound
from ml_models.core.ports import ModelStore, VersionRecord, VersionTable

__all__ = ["STALE_AFTER", "Registry", "plain"]

STALE_AFTER = timedelta(hours=24)
"""Age at which a row that still says `training` is taken for a training that died."""


def plain(value: Any) -> Any:
    """The same as JSON can say it: a figure that is not a number (such as the diversity of lists of one) is None."""
    if isinstance(value, Mapping):
        return {key: plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Registry:
    """The rules over a model store and a version table."""

    def __init__(self, store: ModelStore, versions: VersionTable) -> None:
        self.store = store
        self.versions = versions

    def begin(
        self,
        name: str,
        *,
        trigger: str = "manual",
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        code_version: str = "",
    ) -> VersionRecord:
        """A new version in the state `training`, with its lineage."""
        # Above what the store holds too: a database made anew must not stumble over the artifacts of the old one.
        return self.versions.create(
            VersionRecord(
                name=name,
                version=max(self.store.versions(name), default=0),
                created_at=clock.now(),
                trigger=trigger,
                seed=seed,
                config=dict(config or {}),
                data=dict(data or {}),
                code_version=code_version,
            )
        )

    def finish(self, record: VersionRecord, directory: Path, *, kind: str, metrics: Mapping[str, Any]) -> VersionRecord:
        """Take the exported folder over and make the version `ready`."""
        digest = self.store.put(record.name, record.version, directory)
        return self.versions.update(
            record.name,
            record.version,
            status="ready",
            kind=kind,
            metrics=plain(metrics),
            sha256=digest,
            finished_at=clock.now(),
        )

    def fail(self, record: VersionRecord, error: str) -> VersionRecord:
        """Mark the version `failed`, with the reason in words."""
        return self.versions.update(record.name, record.version, status="failed", error=error, finished_at=clock.now())

    def champion(self, name: str) -> VersionRecord | None:
        """The version that serves, or None."""
        version = self.versions.champions().get(name)
        return None if version is None else self.versions.get(name, version)

    def promote(self, name: str, version: int, *, by: str, reason: str, over: int | EllipsisType | None = ...) -> None:
        """Let a ready version serve, after a look at its files; with `over`, only where that version serves now.

        Raises `ModelNotFound` without such a version, `ArtifactError` when its files are missing or damaged, `MLError`
        when it is not ready, `PromotionConflict` when another than `over` serves.
        """
        record = self.versions.get(name, version)
        if record is None:
            raise ModelNotFound(f"{name} version {version}", "See what there is: python manage.py ml_status --health")
        if record.status == "ready":
            self.store.path(name, version)
        self.versions.promote(name, version, by=by, reason=reason, over=over)

    def rollback(self, name: str, *, by: str, reason: str = "rolled back") -> VersionRecord:
        """Point back to the newest version that served before the present one and is still whole."""
        present = self.versions.champions().get(name)
        if present is None:
            raise ModelNotFound(name)
        for promotion in self.versions.promotions(name, limit=100):
            earlier = promotion["previous"]
            if earlier is None or earlier >= present:
                continue
            record = self.versions.get(name, earlier)
            if record is not None and record.status == "ready":
                self.promote(name, earlier, by=by, reason=reason)
                return record
        raise MLError(
            f"{name} has no earlier version to go back to. Train another: python manage.py ml_train --model {name}"
        )

    def expire(self, older_than: timedelta = STALE_AFTER) -> list[VersionRecord]:
        """Mark trainings that died as failed and remove what they left in the store; returns them."""
        limit = clock.now() - older_than
        dead = [r for r in self.versions.list(limit=1000) if r.status == "training" and r.created_at < limit]
        for record in dead:
            if record.version in self.store.versions(record.name):
                self.store.delete(record.name, record.version)
        hours = older_than / timedelta(hours=1)
        return [
            self.fail(r, f"The training did not finish within {hours:g} hours; it was probably killed.") for r in dead
        ]
