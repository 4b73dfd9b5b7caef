"""A bare project with one of the shops here (`ML_TEST_SHOP`) and this app."""

import os
import tempfile
from pathlib import Path

BASE_DIR = Path(os.environ.get("ML_TEST_DIR") or tempfile.mkdtemp(prefix="ml-shop-"))
SECRET_KEY = "tests-only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.adapters.catalogue.shops.settings"
urlpatterns: list[object] = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
MEDIA_URL = "/media/"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    f"tests.adapters.catalogue.shops.{os.environ['ML_TEST_SHOP']}",
    "ml",
]
