"""A usual stack of middleware around pages without a database; `PAGES_SHOP` is the folder, `PAGES_*` what fails."""

import os
from pathlib import Path

BASE_DIR = Path(os.environ["PAGES_SHOP"])
SECRET_KEY = "pages"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
DEBUG = False
ROOT_URLCONF = "benchmarks._pages_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(BASE_DIR / "shop.sqlite3"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"},
    }
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "ml",
]
STACK = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
OURS = ["ml.middleware.MLTrackingMiddleware", "ml.middleware.MLProductTrackingMiddleware"]
MIDDLEWARE = [*STACK, *OURS]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"bunoraa.ml": {"level": "ERROR"}}}

ML_STORAGE = {"data": os.environ.get("PAGES_DATA", str(BASE_DIR / "data"))}
if "PAGES_SPOOL" in os.environ:
    ML_STORAGE["spool"] = os.environ["PAGES_SPOOL"]
if "PAGES_REDIS" in os.environ:
    REDIS_URL = os.environ["PAGES_REDIS"]
