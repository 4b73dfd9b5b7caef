"""The guide's settings with sessions and users. SQLite with a kept connection, as any deployment would have."""

import json
import os
from pathlib import Path

BASE_DIR = Path(os.environ["TRACK_SHOP"])
SECRET_KEY = os.environ.get("TRACK_SHOP_KEY", "track-shop")
SECRET_KEY_FALLBACKS = json.loads(os.environ.get("TRACK_SHOP_FALLBACKS", "[]"))
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
DEBUG = False
ROOT_URLCONF = "benchmarks._track_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(BASE_DIR / "shop.sqlite3"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", "timeout": 30},
    }
}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "ml"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "ml.middleware.MLTrackingMiddleware",
    "ml.middleware.MLProductTrackingMiddleware",
]
ML_CATALOG = {"currency": "EUR"}
ML_LIMITS = json.loads(os.environ.get("TRACK_SHOP_LIMITS", "{}"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
"""So that whatever is logged stands in the server's log: Django mails errors to its admins otherwise."""
