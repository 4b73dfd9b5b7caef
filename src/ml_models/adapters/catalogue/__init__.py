"""The shop's own products and orders, through `ML_CATALOG`."""

from ml_models.adapters.catalogue.memory import MemoryCatalogue
from ml_models.adapters.catalogue.reader import DjangoCatalogue

__all__ = ["DjangoCatalogue", "MemoryCatalogue"]
