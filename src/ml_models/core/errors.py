"""Errors of the package: each message is a sentence that carries its remedy."""

__all__ = [
    "ArtifactError",
    "CatalogueError",
    "CommitConflict",
    "ConfigError",
    "InsufficientData",
    "InvalidEvent",
    "InvalidQuery",
    "MLError",
    "ModelNotFound",
    "PromotionConflict",
    "SpoolError",
    "StoreError",
]


class MLError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(MLError):
    """A setting or a model's config is wrong."""


class CatalogueError(MLError):
    """`ML_CATALOG` does not fit the shop's models."""


class InvalidEvent(MLError):
    """An event that breaks the schema; `reason` is a short code, `path` the field."""

    def __init__(self, reason: str, path: str = "", detail: str = "") -> None:
        self.reason = reason
        self.path = path
        super().__init__(f"{reason}{' at ' + path if path else ''}{': ' + detail if detail else ''}")


class InvalidQuery(MLError):
    """A list was asked for in a way that cannot be answered (unknown type, limit out of range, no product named)."""


class SpoolError(MLError):
    """The spool cannot take or give records (disk full, slot lost)."""


class StoreError(MLError):
    """A store (lake, model store, online store) failed."""


class CommitConflict(StoreError):
    """Another writer committed first: discard everything read and start over from a fresh snapshot."""


class PromotionConflict(StoreError):
    """Another version was promoted since the judgement: judge again, against that one."""


class InsufficientData(MLError):
    """There is too little data to train; the guide's text `Insufficient data for training`."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        remedy = remedy or (
            "See what is there: python manage.py ml_status --data. Wait for more interactions, import history with "
            "python manage.py ml_import, or lower the thresholds in ML_AUTO_TRAINING_CONFIG."
        )
        super().__init__(f"Insufficient data for training: {detail}. {remedy}")


class ModelNotFound(MLError):
    """No such model, or none trained yet; the guide's text `Model not found: NAME`."""

    def __init__(self, name: str, remedy: str = "") -> None:
        self.name = name
        super().__init__(
            f"Model not found: {name}. " + (remedy or f"Train it first: python manage.py ml_train --model {name}")
        )


class ArtifactError(MLError):
    """An artifact on disk is damaged, of an unknown kind or of a newer format."""
