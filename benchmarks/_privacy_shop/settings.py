"""The guide's settings with every privacy setting at its default; the tables of the app in a file of their own.

The shop's own tables hold addresses of customers by right, so they must not lie in the file that is searched.
"""

import os
from pathlib import Path

BASE_DIR = Path(os.environ["PRIVACY_SHOP"])
SECRET_KEY = "privacy-shop, with a secret that is long enough"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
DEBUG = False
ROOT_URLCONF = "benchmarks._privacy_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "privacy_shop.User"
DATABASES = {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / f"{name}.sqlite3"), "OPTIONS": options}
    for name, options in (
        ("default", {}),
        ("ml", {"init_command": "PRAGMA journal_mode=WAL; PRAGMA secure_delete=OFF;"}),
    )
}
DATABASE_ROUTERS = ["benchmarks._privacy_shop.settings.Router"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "benchmarks._privacy_shop.apps.PrivacyShopConfig",
    "tests.shop",
    "ml",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "ml.middleware.MLTrackingMiddleware",
    "ml.middleware.MLProductTrackingMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
LOGGING = {
    "version": 1,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": str(BASE_DIR / "logs" / "ml.log")}},
    "loggers": {"bunoraa.ml": {"level": "DEBUG", "handlers": ["file"]}},
}
REDIS_URL = os.environ.get("PRIVACY_REDIS") or None
ML_LIMITS = {"visitor_burst": 100_000, "network_burst": 1_000_000}  # all of this shop's visitors are one process
ML_CATALOG = {
    "currency": "EUR",
    "product": {"model": "shop.Product", "fields": {"id": "id", "name": "name", "price": "price"}},
    "order_line": {
        "model": "shop.OrderItem",
        "fields": {
            "order": "order.number",
            "product": "product_id",
            "quantity": "quantity",
            "unit_price": "unit_price",
            "currency": "order.currency",
            "user": "order.user_id",
            "guest": "order.email",
            "when": "order.created_at",
            "updated": "order.updated_at",
            "status": "order.status",
        },
    },
}


class Router:
    """The app's tables in the database `ml`, all others in `default`."""

    def db_for_read(self, model, **hints):
        """By app label."""
        return "ml" if model._meta.app_label == "ml" else "default"

    db_for_write = db_for_read

    def allow_relation(self, first, second, **hints):
        """None crosses."""
        return True

    def allow_migrate(self, db, app_label, **hints):
        """Each where it belongs."""
        return (db == "ml") == (app_label == "ml")
