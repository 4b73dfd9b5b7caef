"""The guide's settings over the test shop's tables. SQLite with a kept connection, as any deployment would have."""

import os
from pathlib import Path

BASE_DIR = Path(os.environ["SERVE_SHOP"])
SECRET_KEY = "serve-latency"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
DEBUG = False
ROOT_URLCONF = "benchmarks._serve_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(BASE_DIR / "shop.sqlite3"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"},
    }
}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "ml", "tests.shop"]
MIDDLEWARE = ["ml.middleware.MLTrackingMiddleware", "ml.middleware.MLProductTrackingMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

ML_SERVING = {"sources": {"personalized": ["two_tower", "new"]}}
ML_CATALOG = {
    "product": {
        "model": "shop.Product",
        "filter": {"is_active": True},
        "fields": {"id": "id", "name": "name", "price": "price", "created": "created_at", "updated": "updated_at"},
        "visible": "tests.shop.visible.visible",
    },
}
