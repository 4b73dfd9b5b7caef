"""Facade of `ml_models.middleware`."""

from ml_models.middleware import MLProductTrackingMiddleware, MLTrackingMiddleware

__all__ = ["MLProductTrackingMiddleware", "MLTrackingMiddleware"]
