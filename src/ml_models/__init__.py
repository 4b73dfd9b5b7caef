"""Bunoraa ML: the ML layer of a Django shop. Importing this package imports nothing else."""

__version__ = "0.1.0"
__all__ = ["__version__"]
