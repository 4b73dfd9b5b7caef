"""Settings of the test project: SQLite and files by default, PostgreSQL where DATABASE_URL names one."""

import os
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

BASE_DIR = Path(tempfile.mkdtemp(prefix="ml-tests-"))
SECRET_KEY = "tests-only"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_url = urlsplit(os.environ.get("DATABASE_URL", ""))
if _url.scheme.startswith("postgres"):
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _url.path.lstrip("/"),
            "USER": unquote(_url.username or ""),
            "PASSWORD": unquote(_url.password or ""),
            "HOST": _url.hostname or "",
            "PORT": str(_url.port or ""),
        }
    }
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "db.sqlite3")}}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "ml",
    "tests.shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "ml.middleware.MLTrackingMiddleware",
    "ml.middleware.MLProductTrackingMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ML_CATALOG = {
    "product": {
        "model": "shop.Product",
        "filter": {"is_active": True},
        "select_related": ["category"],
        "fields": {
            "id": "id",
            "name": "name",
            "description": "description",
            "category": "category.name",
            "tags": "tags[]",
            "brand": "brand",
            "price": "price",
            "currency": {"value": "EUR"},
            "in_stock": "in_stock",
            "url": "get_absolute_url",
            "created": "created_at",
            "updated": "updated_at",
        },
        "visible": "tests.shop.visible.visible",
    },
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
