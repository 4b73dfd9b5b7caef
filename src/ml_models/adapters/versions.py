"""Rows about model versions and the champion pointers, in the database or in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from ml_models.core import clock
from ml_models.core.errors import MLError, ModelNotFound, PromotionConflict, StoreError
from ml_models.core.ports import VersionRecord

if TYPE_CHECKING:
    from ml_models.orm import ModelVersion

__all__ = ["DatabaseVersions", "MemoryVersions"]

_FIELDS = tuple(field.name for field in fields(VersionRecord))
_CHANGEABLE = frozenset(_FIELDS) - {"name", "version", "created_at"}


def _check_changes(changes: Mapping[str, Any]) -> None:
    wrong = sorted(set(changes) - _CHANGEABLE)
    if wrong:
        raise StoreError(
            f"{', '.join(wrong)} of a version cannot be changed. Changeable: {', '.join(sorted(_CHANGEABLE))}."
        )


def _unknown(name: str, version: int) -> ModelNotFound:
    return ModelNotFound(f"{name} version {version}", "See what there is: python manage.py ml_status --health")


def _not_ready(record: VersionRecord) -> MLError:
    return MLError(
        f"Version {record.version} of {record.name} is {record.status} and cannot serve. Promote a ready version "
        f"(python manage.py ml_status --health lists them) or train one: "
        f"python manage.py ml_train --model {record.name}"
    )


def _check_over(name: str, over: int | EllipsisType | None, serving: int | None) -> None:
    if over is not ... and over != serving:
        raise PromotionConflict(
            f"{name} was to be promoted over version {over}, but version {serving} serves now. "
            "Judge it against that one."
        )


class DatabaseVersions:
    """Tables `ml_modelversion`, `ml_servingmodel` and `ml_promotion`; every change is one transaction."""

    def create(self, record: VersionRecord) -> VersionRecord:
        """Insert with the next free version number of that name; two at once get two numbers."""
        from django.db import IntegrityError, router, transaction

        from ml_models.adapters.tables import primary
        from ml_models.orm import ModelVersion

        known, alias = primary(ModelVersion), router.db_for_write(ModelVersion)
        values = {field: getattr(record, field) for field in _FIELDS if field != "version"}
        for _ in range(100):
            newest = known.filter(name=record.name).order_by("-version").values_list("version").first()
            number = max(newest[0] if newest else 0, record.version) + 1
            try:
                with transaction.atomic(using=alias):
                    return _record(ModelVersion.objects.create(version=number, **values))
            except IntegrityError:  # another training took the number: take the next
                if not known.filter(name=record.name, version=number).exists():
                    raise
        raise StoreError(f"No free version number for {record.name} after 100 tries. Train again later.")

    def update(self, name: str, version: int, **changes: Any) -> VersionRecord:
        """Change fields of one version. Raises `ModelNotFound` without it."""
        from ml_models.adapters.tables import primary
        from ml_models.orm import ModelVersion

        _check_changes(changes)
        if not ModelVersion.objects.filter(name=name, version=version).update(**changes):
            raise _unknown(name, version)
        return _record(primary(ModelVersion).get(name=name, version=version))

    def get(self, name: str, version: int) -> VersionRecord | None:
        """One version."""
        from ml_models.orm import ModelVersion

        row = ModelVersion.objects.filter(name=name, version=version).first()
        return None if row is None else _record(row)

    def list(self, name: str | None = None, *, limit: int = 100) -> list[VersionRecord]:
        """Newest first."""
        from ml_models.orm import ModelVersion

        rows = ModelVersion.objects.order_by("-created_at", "-id")
        if name is not None:
            rows = rows.filter(name=name)
        return [_record(row) for row in rows[:limit]]

    def champions(self) -> dict[str, int]:
        """Model name -> version that serves; one query."""
        from ml_models.adapters.apart import read_apart
        from ml_models.orm import ServingModel

        with read_apart(ServingModel.objects.db):
            return dict(ServingModel.objects.values_list("name", "version__version"))

    def promote(self, name: str, version: int, *, by: str, reason: str, over: int | EllipsisType | None = ...) -> None:
        """Point to a ready version; refuses any other. Pointing where the pointer is changes nothing."""
        from django.db import IntegrityError, router, transaction

        from ml_models.adapters.tables import lock, primary
        from ml_models.orm import ModelVersion, Promotion, ServingModel

        alias, versions, pointers = router.db_for_write(ServingModel), primary(ModelVersion), primary(ServingModel)
        with transaction.atomic(using=alias):
            lock(versions.filter(name=name, version=version), "status")
            row = versions.select_for_update().filter(name=name, version=version).first()
            if row is None:
                raise _unknown(name, version)
            if row.status != "ready":
                raise _not_ready(_record(row))
            now = clock.now()
            try:
                with transaction.atomic(using=alias):
                    pointer = pointers.select_for_update().filter(name=name).first()
                    if pointer is None:
                        _check_over(name, over, None)
                        ServingModel.objects.create(name=name, version=row, since=now)
            except IntegrityError:  # another training was the first a moment ago
                pointer = pointers.select_for_update().get(name=name)
            previous = None if pointer is None else pointer.version_id
            if pointer is not None:
                _check_over(name, over, versions.get(pk=pointer.version_id).version)
                if previous == row.pk:
                    return
                pointer.version, pointer.since = row, now
                pointer.save(update_fields=["version", "since"])
            Promotion.objects.create(name=name, version=row, previous_id=previous, at=now, by=by, reason=reason)

    def promotions(self, name: str, *, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """History of the pointer, newest first."""
        from ml_models.orm import Promotion

        rows = Promotion.objects.filter(name=name).order_by("-at", "-id").select_related("version", "previous")[:limit]
        return [
            {
                "version": row.version.version,
                "previous": row.previous.version if row.previous else None,
                "at": row.at,
                "by": row.by,
                "reason": row.reason,
            }
            for row in rows
        ]


def _record(row: ModelVersion) -> VersionRecord:
    return VersionRecord(**{field: getattr(row, field) for field in _FIELDS})


class MemoryVersions:
    """The twin for tests and simulations."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], VersionRecord] = {}
        self._order: list[tuple[str, int]] = []
        self._serving: dict[str, int] = {}
        self._promotions: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def create(self, record: VersionRecord) -> VersionRecord:
        """Insert with the next free version number of that name."""
        with self._lock:
            number = max(record.version, *(v for n, v in self._rows if n == record.name), 0) + 1
            created = self._rows[record.name, number] = replace(record, version=number)
            self._order.append((record.name, number))
            return created

    def update(self, name: str, version: int, **changes: Any) -> VersionRecord:
        """Change fields of one version. Raises `ModelNotFound` without it."""
        _check_changes(changes)
        with self._lock:
            if (name, version) not in self._rows:
                raise _unknown(name, version)
            changed = self._rows[name, version] = replace(self._rows[name, version], **changes)
            return changed

    def get(self, name: str, version: int) -> VersionRecord | None:
        """One version."""
        return self._rows.get((name, version))

    def list(self, name: str | None = None, *, limit: int = 100) -> list[VersionRecord]:
        """Newest first."""
        rows = [self._rows[key] for key in reversed(self._order) if name is None or key[0] == name]
        return sorted(rows, key=lambda row: row.created_at, reverse=True)[:limit]

    def champions(self) -> dict[str, int]:
        """Model name -> version that serves."""
        return dict(self._serving)

    def promote(self, name: str, version: int, *, by: str, reason: str, over: int | EllipsisType | None = ...) -> None:
        """Point to a ready version; refuses any other. Pointing where the pointer is changes nothing."""
        with self._lock:
            record = self._rows.get((name, version))
            if record is None:
                raise _unknown(name, version)
            if record.status != "ready":
                raise _not_ready(record)
            previous = self._serving.get(name)
            _check_over(name, over, previous)
            if previous == version:
                return
            self._serving[name] = version
            self._promotions.insert(
                0,
                {
                    "name": name,
                    "version": version,
                    "previous": previous,
                    "at": clock.now(),
                    "by": by,
                    "reason": reason,
                },
            )

    def promotions(self, name: str, *, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """History of the pointer, newest first."""
        rows = [row for row in self._promotions if row["name"] == name][:limit]
        return [{key: value for key, value in row.items() if key != "name"} for row in rows]
