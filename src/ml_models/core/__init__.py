"""The pure core: NumPy, Polars/Arrow, msgspec and the standard library; no Django, torch or Celery."""
