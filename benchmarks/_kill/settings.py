"""A site with nothing but the API. Whoever starts it says where its files and its Redis are."""

import os
from pathlib import Path

BASE_DIR = Path(os.environ.get("KILL_FOLDER", "."))
SECRET_KEY = "kill-test"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "benchmarks._kill.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "kill.sqlite3")}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "ml"]

REDIS_URL = os.environ.get("KILL_REDIS") or None
ML_SITE = "kill"
ML_STORAGE = {"data": BASE_DIR, "online_store": "ml_models.adapters.online_store.MemoryOnlineStore"}
# A few clients send what thousands of visitors would.
ML_LIMITS = {
    "visitor_rate": 100_000.0,
    "visitor_burst": 1_000_000,
    "network_rate": 1_000_000.0,
    "network_burst": 10_000_000,
}
