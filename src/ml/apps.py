"""Facade of `ml_models.apps`."""

from ml_models.apps import MLConfig

__all__ = ["MLConfig"]
